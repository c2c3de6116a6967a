"""Prompt sets: what both sides are asked, read from whatever file a person has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.base.files import make_private_dir, write_atomic
from workbench.base.paths import Paths, is_safe_name
from workbench.base.problems import Problem, ProblemError
from workbench.base.tail import read_small
from workbench.recipe.recipe import SHIPPED, load_recipe

if TYPE_CHECKING:
    from workbench.run.directory import RunDirectory

SHIPPED_SETS = SHIPPED / "data" / "prompts"
RECIPE_SET = "probe prompts"
FORMS = 'A line is {"prompt": "..."} or {"messages": [...]}, with "id" and "category" if you like.'
ROLES = ("system", "user", "assistant")
ID_CHARACTERS = 200


@dataclass(frozen=True)
class Prompt:
    """One thing to ask.

    Attributes:
        id: Unique in its set; made of the text where the file gives none.
        category: Empty where the file gives none.
        messages: User turns in order, a system message first where given. An assistant's
            message among them is a given answer; the last one is always the user's.
    """

    id: str
    category: str
    messages: tuple[dict[str, str], ...]

    @property
    def opening(self) -> tuple[dict[str, str], ...]:
        """The messages up to the first user turn that the file itself does not answer."""
        for place, message in enumerate(self.messages[:-1], start=1):
            if message["role"] == "user" and self.messages[place]["role"] == "user":
                return self.messages[:place]
        return self.messages

    @property
    def turns(self) -> tuple[str, ...]:
        """The user's texts after the opening, to be asked once the one before is answered."""
        return tuple(message["content"] for message in self.messages[len(self.opening) :])

    @property
    def text(self) -> str:
        """The user's last text of the opening."""
        return self.opening[-1]["content"]


@dataclass(frozen=True)
class PromptSet:
    """A file of prompts with the name that people see."""

    name: str
    path: Path
    shipped: bool


def library(paths: Paths, run: RunDirectory | None = None) -> list[PromptSet]:
    """The shipped sets, the user's own, then the prompts that a run's recipe names, if any."""
    sets = [
        PromptSet(file.stem, file, shipped)
        for folder, shipped in ((SHIPPED_SETS, True), (_own_folder(paths), False))
        if folder.is_dir()
        for file in sorted(folder.glob("*.jsonl"))
    ]
    if run is not None and _has_probes(run):
        sets.append(PromptSet(RECIPE_SET, run.recipe, shipped=False))
    return sets


def find_prompts(paths: Paths, run: RunDirectory | None, name_or_path: str) -> PromptSet:
    """A set of the library by name, else the file of that path.

    Raises:
        ProblemError: There is neither (exit code 2).
    """
    known = library(paths, run)
    named = next((one for one in reversed(known) if one.name == name_or_path), None)
    if named is not None:
        return named
    path = Path(name_or_path).expanduser()
    try:
        if path.is_file():
            return PromptSet(path.stem, path, shipped=False)
    except (OSError, ValueError):
        pass
    names = ", ".join(one.name for one in known)
    problem = Problem("there is no such prompt set", name_or_path, f"Known: {names}; or a path.")
    raise ProblemError(problem, exit_code=2)


def read_prompts(path: Path) -> list[Prompt]:
    """The prompts of a file, in its order.

    JSON lines or a JSON list with `prompt` (text or messages), `messages`, or mt_bench's
    `turns`; rows of preference data count as their prompts. A recipe counts as its
    probe_prompts, any other file as text with one prompt a line.

    Raises:
        ProblemError: It cannot be read, holds no prompt, or a line is none; with file and line.
    """
    if path.suffix in (".yaml", ".yml"):
        rows: list[tuple[int, Any]] = [(0, text) for text in load_recipe(path).probe_prompts]
    else:
        rows = list(_rows(path, _content(path)))
    taken: set[str] = set()
    prompts = [_prompt(row, f"{path}:{line}", taken) for line, row in rows]
    if not prompts:
        raise ProblemError(Problem("holds no prompt", str(path), FORMS))
    return prompts


def save_prompts(paths: Paths, name: str, prompts: Sequence[Prompt]) -> Path:
    """Write a set into the user's folder, in place of one of this name, and return its path.

    Raises:
        ProblemError: The name is no safe file name, or it cannot be written.
    """
    if not is_safe_name(name):
        hint = "Use letters, digits, dot, dash and underscore."
        raise ProblemError(Problem("cannot be the name of a prompt set", name, hint))
    folder = _own_folder(paths)
    rows = (
        {"id": prompt.id, "category": prompt.category, "messages": list(prompt.messages)}
        for prompt in prompts
    )
    try:
        make_private_dir(folder)
        target = folder / f"{name}.jsonl"
        write_atomic(target, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    except OSError as error:
        what = f"cannot be saved: {error.strerror or error}"
        raise ProblemError(Problem(what, str(folder), "Check its permissions.")) from error
    return target


def _own_folder(paths: Paths) -> Path:
    return paths.config / "prompts"


def _has_probes(run: RunDirectory) -> bool:
    try:
        return bool(load_recipe(run.recipe).probe_prompts)
    except ProblemError:
        return False


def _content(path: Path) -> str:
    try:
        return read_small(path).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        problem = Problem("is no UTF-8 text", str(path), "Save it as UTF-8.")
        raise ProblemError(problem) from error
    except (OSError, ValueError) as error:
        what = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise ProblemError(Problem(what, str(path), "Check the path.")) from error


def _rows(path: Path, content: str) -> Iterator[tuple[int, Any]]:
    """The rows with their line numbers: objects of JSON, or plain texts."""
    if content.lstrip().startswith("[") and path.suffix == ".json":
        found = _parsed(content, str(path))
        yield from ((1, row) for row in found)
        return
    is_json = path.suffix in (".json", ".jsonl") or content.lstrip().startswith('{"')
    # Only a line feed ends a line: JSON may hold other separators as they are.
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            yield number, _parsed(line, f"{path}:{number}") if is_json else line.strip()


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProblemError(Problem("is no JSON", where, FORMS)) from error


def _prompt(row: Any, where: str, taken: set[str]) -> Prompt:
    row = {"prompt": row} if isinstance(row, str) else row
    messages = _messages(row) if isinstance(row, dict) else []
    if not messages:
        raise ProblemError(Problem("is no prompt", where, FORMS))
    given = next((row[key] for key in ("id", "prompt_id", "question_id") if key in row), None)
    name = _id(given, messages)
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name}-{number}"
    taken.add(unique)
    category = row.get("category")
    return Prompt(
        unique, whole_letters(category) if isinstance(category, str) else "", tuple(messages)
    )


def _id(given: Any, messages: Sequence[dict[str, str]]) -> str:
    if isinstance(given, str | int) and not isinstance(given, bool) and str(given).strip():
        return whole_letters(str(given).strip()[:ID_CHARACTERS])
    return hashlib.sha256(json.dumps(messages).encode()).hexdigest()[:12]


def _messages(row: dict[str, Any]) -> list[dict[str, str]]:
    """The messages of a row up to its last user turn; none where the row is no prompt."""
    found = next((row[key] for key in ("messages", "turns", "prompt") if row.get(key)), None)
    if found is None and isinstance(row.get("chosen"), list):
        found = row["chosen"]
    if isinstance(found, str):
        found = [found]
    if not isinstance(found, list):
        return []
    messages = [_message(one) for one in found]
    if not all(messages):
        return []
    while messages and messages[-1]["role"] != "user":
        messages.pop()
    system = row.get("system")
    if isinstance(system, str) and system and messages and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": whole_letters(system)})
    return messages


def _message(one: Any) -> dict[str, str]:
    """A message of a row; empty where it is none."""
    if isinstance(one, str):
        one = {"role": "user", "content": one}
    if not isinstance(one, dict) or one.get("role") not in ROLES:
        return {}
    content = one.get("content")
    if not isinstance(content, str) or not content.strip():
        return {}
    return {"role": one["role"], "content": whole_letters(content)}


def whole_letters(text: str) -> str:
    """The text without halves of letters (lone surrogates), which no UTF-8 file can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
