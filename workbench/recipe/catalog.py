"""Which recipes there are, and where a new one is saved."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from workbench.base.files import make_private_dir, write_atomic
from workbench.base.paths import Paths, existing, is_safe_name
from workbench.base.problems import Problem, ProblemError
from workbench.recipe.recipe import PATH_KEYS, SHIPPED, absolute_paths, load_recipe
from workbench.recipe.schema import STAGES
from workbench.recipe.yaml_edit import edit
from workbench.recipe.yaml_file import Path as KeyPath

Origin = Literal["shipped", "user", "local"]
SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Entry:
    """One recipe in the list; `problem` says why it cannot be read, if so.

    Attributes:
        needs: What its `# needs:` comment says of hardware and time.
    """

    name: str
    path: Path
    origin: Origin
    title: str
    description: str
    model: str
    stages: tuple[str, ...]
    needs: str
    problem: str


class Catalog:
    """The shipped recipes, the user's own, and those in `./recipes`."""

    def __init__(self, paths: Paths, cwd: Path) -> None:
        self._paths = paths
        self._folders: list[tuple[Origin, Path]] = [("user", paths.recipes)]
        local = cwd / "recipes"
        if local.is_dir() and local.resolve() != SHIPPED.resolve():
            self._folders.append(("local", local))
        self._folders.append(("shipped", SHIPPED))

    def entries(self) -> list[Entry]:
        """All recipes, broken ones too: the user's first, then local and shipped ones."""
        return [
            describe(file, origin)
            for origin, folder in self._folders
            if folder.is_dir()
            for file in sorted(folder.iterdir())
            if file.suffix in SUFFIXES
        ]

    def find(self, name_or_path: str) -> Path:
        """The file of a recipe by name, with or without suffix, or by path.

        Raises:
            ProblemError: There is none (exit code 2).
        """
        given = existing(Path.cwd(), name_or_path)
        if given and given.is_file():
            return given
        for _, folder in self._folders:
            for suffix in ("", *SUFFIXES):
                file = existing(folder, f"{name_or_path}{suffix}")
                if file and file.suffix in SUFFIXES and file.is_file():
                    return file
        names = ", ".join(sorted({entry.name for entry in self.entries()}))
        problem = Problem(
            "there is no such recipe", name_or_path, f"Known: {names}; or give a path."
        )
        raise ProblemError(problem, exit_code=2)

    def is_shipped(self, path: Path) -> bool:
        """Whether a file is one of the shipped recipes, which are never overwritten."""
        return SHIPPED.resolve() in path.resolve().parents

    def save(self, path: Path, text: str) -> None:
        """Write a recipe back to its own file.

        Raises:
            ProblemError: It is a shipped recipe, or cannot be written.
        """
        if self.is_shipped(path):
            problem = Problem("a shipped recipe is not changed", path.name, "Save it as a new one.")
            raise ProblemError(problem)
        try:
            # A file that others may read stays so; a new one is the owner's alone.
            mode = stat.S_IMODE(path.stat().st_mode) & 0o666 if path.exists() else 0o600
            write_atomic(path, text, mode=mode)
        except OSError as error:
            what = f"cannot save: {error.strerror}"
            raise ProblemError(Problem(what, str(path), "Save it under another name.")) from error

    def save_as(
        self, text: str, name: str, *, source: Path | None = None, overwrite: bool = False
    ) -> Path:
        """Save a text as one of the user's own recipes and return its path.

        Args:
            name: File name without suffix, `[A-Za-z0-9][A-Za-z0-9._-]*`.
            source: The file that the text comes from: its relative paths are made to fit.
            overwrite: Whether a recipe of this name may be replaced.

        Raises:
            ProblemError: The name is odd or taken, or the file cannot be written.
        """
        name = re.sub(r"\.ya?ml$", "", name.strip())
        if not is_safe_name(name):
            hint = "Use letters, digits, dot, dash and underscore."
            raise ProblemError(Problem(f"{name!r} cannot be a recipe's name", "", hint))
        path = self._paths.recipes / f"{name}.yaml"
        if path.exists() and not overwrite:
            problem = Problem(
                f"there is a recipe {name} already", str(path), "Choose another name."
            )
            raise ProblemError(problem)
        if source is not None:
            text = _keep_files_reachable(text, source, path)
        try:
            make_private_dir(path.parent)
        except OSError as error:
            what = f"cannot make the recipe folder: {error.strerror}"
            raise ProblemError(Problem(what, str(path.parent), "Check its permissions.")) from error
        self.save(path, text)
        return path


def describe(file: Path, origin: Origin) -> Entry:
    """A recipe's line in the list."""
    try:
        recipe = load_recipe(file)
    except ProblemError as error:
        problem = str(error.problems[0])
        return Entry(file.stem, file, origin, file.stem, "", "", (), "", problem)
    needs = re.search(r"^# needs:[ \t]*(.+)$", recipe.text, re.MULTILINE)
    return Entry(
        name=file.stem,
        path=file,
        origin=origin,
        title=recipe.title,
        description=recipe.description,
        model=recipe.model,
        stages=recipe.stages,
        needs=needs.group(1).strip() if needs else "",
        problem="",
    )


def _keep_files_reachable(text: str, source: Path, target: Path) -> str:
    """Make relative data paths absolute where the copy would not find them any more."""
    try:
        recipe = load_recipe(source, text=text)
    except ProblemError:
        return text  # an unfinished text is saved as it is
    changes: dict[KeyPath, Any] = {}
    for prefix in ((), *((stage,) for stage in STAGES)):
        section = recipe.data if not prefix else recipe.data.get(prefix[0])
        for key in PATH_KEYS:
            value = section.get(key) if isinstance(section, dict) else None
            here = absolute_paths(key, value, source.parent)
            if here != absolute_paths(key, value, target.parent):
                changes[(*prefix, key)] = here
    return edit(text, changes) if changes else text
