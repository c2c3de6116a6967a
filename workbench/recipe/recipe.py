"""A recipe: what one YAML file asks for, and the flat TRL configs that follow from it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.base.paths import existing
from workbench.base.problems import Problem, ProblemError
from workbench.base.tail import read_small
from workbench.data.formats.model import PAIRINGS, Wish
from workbench.recipe.base_model import local_folder, model_folder
from workbench.recipe.schema import OWN_KEYS, SHAPE_KEYS, STAGES, load_schema
from workbench.recipe.yaml_edit import edit
from workbench.recipe.yaml_file import Document, parse

SHIPPED = next(
    folder
    for folder in (
        Path(__file__).parent.parent / "shipped",  # in an installed wheel
        Path(__file__).parent.parent.parent / "recipes",  # in a source tree
    )
    if folder.is_dir()
)
"""Folder of the recipes that come with the workbench."""

PATH_KEYS = (
    *("model_name_or_path", "dataset_name", "chat_template_path", "datasets"),
    *("accelerate_config", "config_file", "deepspeed_config_file"),
)
"""Settings that may name local files."""


@dataclass(frozen=True)
class Recipe:
    """A recipe file that could be read; whether it is right is `checks.check`'s to say.

    Attributes:
        data: The file's mapping, YAML 1.1 booleans undone where the setting is a text.
        stages: `("sft", "dpo")`, `("dpo",)` or `("sft",)`.
        staged: Whether the file has stage sections, or is one flat TRL config.
    """

    path: Path
    text: str
    data: dict[str, Any]
    document: Document = field(repr=False, compare=False)
    stages: tuple[str, ...]
    staged: bool

    @property
    def title(self) -> str:
        """The `title` key, else the file's first line where that is a comment, else its name."""
        first_line = self.text.lstrip("\ufeff").split("\n", 1)[0]
        comment = first_line.removeprefix("#").strip() if first_line.startswith("#") else ""
        return str(self.data.get("title") or comment or self.path.stem)

    @property
    def description(self) -> str:
        return str(self.data.get("description") or "")

    @property
    def probe_prompts(self) -> tuple[str, ...]:
        prompts = self.data.get("probe_prompts")
        return tuple(str(prompt) for prompt in prompts) if isinstance(prompts, list) else ()

    @property
    def shared_prefix(self) -> bool:
        """Whether DPO may compute the prompt of a pair once."""
        return self.data.get("shared_prefix", "auto") not in ("off", False)

    @property
    def model(self) -> str:
        """`model_name_or_path` of the first stage, as typed."""
        return str(self.get("model_name_or_path", self.stages[0]) or "")

    def values(self, stage: str) -> dict[str, Any]:
        """The recipe's own TRL values for a stage: shared ones, then the section's over them."""
        schema = load_schema()
        shared = {
            key: value
            for key, value in self.data.items()
            if key not in OWN_KEYS and key not in STAGES and key not in schema.launch
        }
        if self.staged:
            # A shared key that only the other stage knows is no business of this one.
            shared = {k: v for k, v in shared.items() if k == "env" or schema.field(k, stage)}
        return shared | {k: v for k, v in self._section(stage).items() if k not in SHAPE_KEYS}

    def _section(self, stage: str) -> dict[str, Any]:
        section = self.data.get(stage)
        return section if isinstance(section, dict) else {}

    def wish(self, stage: str) -> Wish:
        """What the recipe says of the shape of a stage's data; wrong values are left out."""
        said = {**self.data, **self._section(stage)}
        columns, pairs = said.get("columns"), said.get("pairs")
        named = columns.items() if isinstance(columns, dict) else ()
        return Wish(
            data_format=str(said.get("data_format") or ""),
            columns={str(role): str(name) for role, name in named},
            pairs=next((one for one in PAIRINGS if one == pairs), "all"),
        )

    def get(self, key: str, stage: str) -> Any:
        """A stage's value of a setting: the recipe's, else TRL's default."""
        values = self.values(stage)
        if key in values:
            return values[key]
        found = load_schema().field(key, stage)
        return found.default if found else None

    def path_of(self, key: str, stage: str) -> tuple[str, ...]:
        """Where the file holds a stage's value: in the section, or among the shared keys."""
        section = self.data.get(stage)
        return (stage, key) if isinstance(section, dict) and key in section else (key,)


def load_recipe(
    path: Path, *, text: str | None = None, stage: str | None = None, for_check: bool = False
) -> Recipe:
    """Read a recipe.

    Args:
        path: The file. With `text` it need not exist; relative paths count from its folder.
        text: Content to take instead of the file's.
        stage: Stage of a flat file; guessed from its keys when not given. Of a staged file, the
            one stage to keep.
        for_check: Read a text in which keys stand twice by the first of each. Only for `check`,
            which reports them among all other problems.

    Raises:
        ProblemError: The file is missing, unreadable or no YAML mapping, or has no such stage.
    """
    if text is None:
        text = read_text(path, "Choose one from the list of recipes.")
    document = parse(text, path.name)
    if document.problems and not (for_check and document.data):
        raise ProblemError(*document.problems)
    data = _undo_booleans(document.data)
    sections = tuple(name for name in STAGES if name in data)
    if stage is not None and sections and stage not in sections:
        what = f"the recipe has no stage {stage}; it has {', '.join(sections)}"
        raise ProblemError(Problem(what, path.name, f"Use --stage {sections[0]}."), exit_code=2)
    stages = (stage,) if stage else sections or (guess_stage(data),)
    return Recipe(path.absolute(), text, data, document, stages, bool(sections))


def flat_recipe(settings: Mapping[str, Any], stage: str) -> Recipe:
    """A flat config of one stage as a recipe without a file; its paths are absolute."""
    return Recipe(Path("/config.yaml"), "", dict(settings), parse("", ""), (stage,), staged=False)


def read_text(path: Path, missing: str) -> str:
    """A recipe file's text.

    Args:
        missing: What to do where there is no such file.

    Raises:
        ProblemError: The file is missing (exit code 2), cannot be read or is no UTF-8.
    """
    try:
        return read_small(path)
    except FileNotFoundError:
        problem = Problem("there is no such recipe file", str(path), missing)
        raise ProblemError(problem, exit_code=2) from None
    except OSError as error:
        problem = Problem(f"cannot read it: {error.strerror}", str(path), "Check its permissions.")
        raise ProblemError(problem) from None
    except UnicodeDecodeError as error:
        what = f"it is not UTF-8 text (byte {error.start})"
        raise ProblemError(Problem(what, str(path), "Save it as UTF-8.")) from None


def guess_stage(data: Mapping[str, Any]) -> str:
    """Stage of a flat file: the one whose own settings it uses, else dpo."""
    schema = load_schema()
    fields = [found for key in data if (found := schema.field(key))]
    return "sft" if any(found.stages == ("sft",) for found in fields) else "dpo"


def _undo_booleans(data: Mapping[str, Any]) -> dict[str, Any]:
    """`eval_strategy: no` means the text "no", though YAML 1.1 reads false."""
    schema, result = load_schema(), dict(data)
    for key, value in data.items():
        if key in STAGES and isinstance(value, dict):
            result[key] = _undo_booleans(value)
        found = schema.field(key)
        if isinstance(value, bool) and found and found.kind == "str" and "no" in found.choices:
            result[key] = "no" if value is False else "steps"
        option = schema.launch.get(key)
        if value is False and option and option.kind == "str" and "no" in option.choices:
            result[key] = "no"
    return result


def apply_overrides(text: str, settings: Sequence[str]) -> str:
    """Write `KEY=VALUE` settings (`beta=0.2`, `dpo.beta=0.2`) into a recipe's text.

    Raises:
        ProblemError: A setting has no `=` or no known key (exit code 2).
    """
    schema = load_schema()
    changes: dict[tuple[str, ...], Any] = {}
    for setting in settings:
        name, equals, raw = setting.partition("=")
        *stage, key = name.strip().split(".", 1)
        if not equals or (stage and stage[0] not in STAGES):
            problem = Problem(f"cannot read `{setting}`", "--set", "Write --set dpo.beta=0.2.")
            raise ProblemError(problem, exit_code=2)
        if not key:
            problem = Problem(f"`{setting}` names no key", "--set", "Write --set dpo.beta=0.2.")
            raise ProblemError(problem, exit_code=2)
        if stage and key in schema.launch:
            what = f"{key} belongs to the top: a run has one launch config for all its stages"
            raise ProblemError(Problem(what, "--set", f"Write --set {key}={raw}."), exit_code=2)
        known = key in OWN_KEYS or key in schema.launch
        if not known and schema.field(key, stage[0] if stage else None) is None:
            near = schema.nearest(key, stage[0] if stage else None, in_section=bool(stage))
            hint = f"Did you mean {near}?" if near else "See `dpo-workbench show RECIPE`."
            raise ProblemError(Problem(f"there is no key {key}", "--set", hint), exit_code=2)
        parsed = parse(f"value: {raw.strip()}", "--set")
        if parsed.problems:
            raise ProblemError(*parsed.problems, exit_code=2)
        changes[(*stage, key)] = parsed.data["value"]
    return edit(text, _prefer_sections(text, changes))


def _prefer_sections(text: str, changes: Mapping[tuple[str, ...], Any]) -> dict[Any, Any]:
    """A shared key goes into each section that overrides it too, so that the setting wins."""
    data = parse(text, "recipe").data
    result = dict(changes)
    for path, value in changes.items():
        for stage in STAGES:
            section = data.get(stage)
            if len(path) == 1 and isinstance(section, dict) and path[0] in section:
                result.setdefault((stage, path[0]), value)
                if path[0] not in data:
                    result.pop(path, None)
    return result


def find_file(value: str, recipe_folder: Path) -> Path | None:
    """A data file or folder that a recipe names, absolute.

    Relative paths count from the recipe's folder; what is not there is looked for among the
    shipped recipes, so that a copy of a shipped recipe keeps working wherever it is saved.
    """
    for folder in (recipe_folder, SHIPPED):
        if found := existing(folder, value):
            return found
    return None


def resolve(recipe: Recipe, stage: str, *, output_dir: Path, models: Path) -> dict[str, Any]:
    """The flat TRL config of a stage, as `trl dpo --config` and `trl sft --config` read it.

    Args:
        output_dir: TRL's `output_dir` of this stage.
        models: Folder of converted `pypi:` models.

    Returns:
        The recipe's values with absolute paths; TRL's defaults are left out. Non-finite losses
        are logged as such, which TRL's default hides.
    """
    folder = recipe.path.parent
    config = {"model_name_or_path": None, **recipe.values(stage)}
    source = str(config["model_name_or_path"] or "")
    converted = model_folder(source, models)
    if converted is not None:
        config["model_name_or_path"] = str(converted)
    for key in PATH_KEYS:
        if key in config:
            config[key] = absolute_paths(key, config[key], folder)
    config["output_dir"] = str(output_dir)
    config.setdefault("report_to", "none")
    config.setdefault("logging_nan_inf_filter", False)
    return config


def absolute_paths(key: str, value: Any, folder: Path) -> Any:
    """A setting's value with the files in it, relative to a recipe's folder, made absolute."""
    if key == "datasets" and isinstance(value, list):
        return [_absolute_dataset(item, folder) for item in value]
    if key == "model_name_or_path" and isinstance(value, str):
        return str(local_folder(value, folder) or value)
    return _absolute(value, folder) if isinstance(value, str) else value


def _absolute(value: str, folder: Path) -> str:
    found = find_file(value, folder)
    return str(found) if found else value


def _absolute_dataset(item: Any, folder: Path) -> Any:
    if not isinstance(item, dict):
        return item
    result = dict(item)
    for key in ("path", "data_dir"):
        if isinstance(result.get(key), str):
            result[key] = _absolute(result[key], folder)
    if "data_files" in result:
        result["data_files"] = _absolute_files(result["data_files"], folder)
    return result


def _absolute_files(value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return [_absolute_files(item, folder) for item in value]
    if isinstance(value, dict):
        return {key: _absolute_files(item, folder) for key, item in value.items()}
    if not isinstance(value, str) or re.match(r"[a-z0-9]+://", value):
        return value
    pattern = any(sign in value for sign in "*?[")
    return str((folder / value).absolute()) if pattern else _absolute(value, folder)
