"""Accelerate's config files: TRL's own by name, a person's by path."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import yaml

from workbench.base.files import write_atomic
from workbench.base.paths import existing
from workbench.base.problems import Problem, ProblemError
from workbench.base.tail import read_small

PRESETS = ("single_gpu", "multi_gpu", "fsdp1", "fsdp2", "zero1", "zero2", "zero3")
"""The names of TRL's own configs, from the simplest to the one that needs the least memory."""
KINDS = ("NO", "MULTI_GPU", "MULTI_CPU", "FSDP", "DEEPSPEED")
"""Accelerate's kinds of training that run on CPUs or on the GPUs that torch calls cuda."""
WHERE = "accelerate_config"
ZERO_FILE = "deepspeed_config_file"
KEPT, KEPT_ZERO = "accelerate_as_given.yaml", "deepspeed_as_given.json"
"""Copies in a run directory of the files that its recipe names: a run must not change with them."""


def find_launch_file(name: str, recipe_folder: Path) -> Path:
    """The file behind a name of TRL's or a path, which counts from the recipe's folder.

    In a run directory it is the copy that was made with the run.

    Raises:
        ProblemError: There is none.
    """
    kept = recipe_folder / KEPT
    if name not in PRESETS and kept.is_file():
        return kept
    path = existing(recipe_folder, name)
    if path is not None and (path.is_file() or name not in PRESETS):
        return path
    if name in PRESETS:
        return _preset(name)
    hint = f"Write one of {', '.join(PRESETS)}, or the path of a file."
    raise ProblemError(Problem(f"there is no launch config {name}", WHERE, hint))


def _preset(name: str) -> Path:
    # Found without importing it: that takes seconds, and torch with it.
    found = importlib.util.find_spec("trl")
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder) / "accelerate_configs" / f"{name}.yaml"
        if path.is_file():
            return path
    hint = "Install it again, or write the path of a file of `accelerate config`."
    raise ProblemError(Problem(f"the installed TRL has no launch config {name}", WHERE, hint))


def read_launch_file(name: str, recipe_folder: Path) -> dict[str, Any]:
    """The content of a launch config; it has a `distributed_type` of `KINDS`.

    Raises:
        ProblemError: It is missing, cannot be read, is no such config, or is for other machines.
    """
    path = find_launch_file(name, recipe_folder)
    where = path.name
    try:
        content = yaml.safe_load(read_small(path))
    except OSError as error:
        what = f"cannot read the launch config: {error.strerror}"
        raise ProblemError(Problem(what, str(path), "Check its permissions.")) from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        what = "the launch config is no YAML"
        raise ProblemError(Problem(what, place, "Make one with `accelerate config`.")) from None
    if not isinstance(content, dict):
        hint = "Make one with `accelerate config`."
        raise ProblemError(Problem("the launch config is no mapping", where, hint))
    _refuse_foreign(content, where)
    zero = content.get("deepspeed_config")
    if isinstance(zero, dict) and zero.get(ZERO_FILE):
        content["deepspeed_config"] = {**zero, ZERO_FILE: zero_file(zero[ZERO_FILE], path.parent)}
    return {str(key): value for key, value in content.items()}


def zero_file(name: object, folder: Path) -> str:
    """DeepSpeed's own config, absolute; in a run directory the copy that was made with it."""
    kept = folder / KEPT_ZERO
    return str(kept if kept.is_file() else existing(folder, str(name)) or folder / str(name))


def keep_launch_files(config: str, zero: object, recipe_folder: Path, folder: Path) -> None:
    """Copy the files that a recipe's launch keys name into a run directory.

    Args:
        config: Its `accelerate_config`.
        zero: Its `deepspeed_config_file`, if any.

    Raises:
        ProblemError: `config` cannot be read.
        OSError: A copy cannot be written.
    """
    inner: object = None
    if config and config not in PRESETS:
        section = read_launch_file(config, recipe_folder).get("deepspeed_config")
        inner = section.get(ZERO_FILE) if isinstance(section, dict) else None
        write_atomic(folder / KEPT, read_small(find_launch_file(config, recipe_folder)))
    if zero or inner:
        source = Path(zero_file(zero, recipe_folder) if zero else str(inner))
        try:
            write_atomic(folder / KEPT_ZERO, read_small(source))
        except ValueError:
            hint = "Write the path of a DeepSpeed config, which is JSON."
            raise ProblemError(Problem("it is not UTF-8 text", str(source), hint)) from None


def _refuse_foreign(content: dict[Any, Any], where: str) -> None:
    kind = content.get("distributed_type")
    if content.get("compute_environment", "LOCAL_MACHINE") != "LOCAL_MACHINE":
        what = f"the launch config is for {content['compute_environment']}"
        hint = "Write compute_environment: LOCAL_MACHINE."
        raise ProblemError(Problem(what, where, hint))
    if kind is False:
        content["distributed_type"] = kind = "NO"  # a bare NO in YAML
    if kind is None:
        what, hint = (
            "the launch config has no distributed_type",
            f"Write one of {', '.join(KINDS)}.",
        )
        raise ProblemError(Problem(what, where, hint))
    if kind not in KINDS:
        what = f"distributed_type: {kind} cannot be started here"
        raise ProblemError(Problem(what, where, f"Write one of {', '.join(KINDS)}."))
    if content.get("use_cpu") is True:
        what = "use_cpu belongs into the recipe, where TRL reads it"
        raise ProblemError(Problem(what, where, "Write use_cpu: true into the recipe instead."))
    for key in ("parallelism_config", "mpirun_config", "megatron_lm_config"):
        if content.get(key):
            what = f"{key} cannot be used: every process of a run trains on rows of its own"
            raise ProblemError(Problem(what, where, "Remove it."))
