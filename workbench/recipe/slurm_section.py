"""What a recipe or a command line asks of Slurm: options of `sbatch` by their long names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.recipe.recipe import Recipe, load_recipe
from workbench.recipe.yaml_edit import edit

SECTION = "slurm"
SETUP = "setup"
SAVE = "save_seconds"
SAVE_SECONDS = 180
"""How long before its time limit a job is told to save, unless somebody says otherwise."""
SAVE_RANGE = (10, 65_535)
"""Slurm keeps the number in two bytes."""

_COUNT = re.compile(r"[1-9]\d{0,8}")
_MEMORY = re.compile(r"\d{1,12}[KMGT]?", re.IGNORECASE)
_TIME = re.compile(r"\d+|\d+:\d{1,2}|\d+:\d{1,2}:\d{1,2}|\d+-\d{1,2}(:\d{1,2}){0,2}")
_ENDLESS = ("unlimited", "infinite")
_NAME = re.compile(r"[a-z][a-z0-9-]*")

KINDS = {
    "count": (_COUNT, "a whole number above 0"),
    "memory": (_MEMORY, "a number of megabytes, or one with K, M, G or T such as 64G"),
    "time": (_TIME, "minutes, or a time such as 2:30:00 or 1-12:00:00 (days-hours)"),
}

OPTIONS = {
    **dict.fromkeys(
        (
            *("partition", "account", "qos", "constraint", "prefer", "nodelist", "exclude"),
            *("reservation", "gres", "licenses", "dependency", "begin", "deadline", "comment"),
            *("priority", "nice", "hint", "mail-type", "wckey", "clusters", "core-spec", "tmp"),
        ),
        "text",
    ),
    **dict.fromkeys(("nodes", "gpus", "gpus-per-node"), "count"),
    **dict.fromkeys(("cpus-per-task", "cpus-per-gpu", "mincpus"), "count"),
    **dict.fromkeys(("mem", "mem-per-cpu", "mem-per-gpu"), "memory"),
    **dict.fromkeys(("time", "time-min"), "time"),
    **dict.fromkeys(("exclusive", "contiguous", "overcommit", "spread-job"), "flag"),
}
"""What a recipe may ask for: it names resources, and neither runs anything nor writes a file."""

PROCESS_KEYS = ("num_processes", "accelerate_config", "config_file", "multi_gpu")
"""Launch keys that say how many processes there are."""

TYPED_GPUS = ("gpus", "gpus-per-node")
"""Their counts may have a type before them: `a100:4`."""

OWN = (
    *("output", "error", "input", "open-mode", "signal", "requeue", "no-requeue", "chdir", "wrap"),
    *("array", "parsable", "wait", "test-only", "ntasks", "ntasks-per-node", "job-name", "help"),
    *("version", "quiet", "verbose", "usage", "ignore-pbs", "uid", "gid"),
)
"""What the run's script says for itself, and what would make something else of the job."""


@dataclass(frozen=True)
class SlurmWish:
    """What a job asks for.

    Attributes:
        options: Long names of `sbatch` and their values; a flag has an empty one.
        setup: Lines of shell that the job runs before the training.
        save_seconds: How long before the time limit it begins to save.
    """

    options: Mapping[str, str] = field(default_factory=dict)
    setup: tuple[str, ...] = ()
    save_seconds: int = SAVE_SECONDS


def slurm_wish(recipe: Recipe) -> SlurmWish | None:
    """What the recipe's own section asks for; None where it has none.

    Raises:
        ProblemError: The section is wrong.
    """
    section = recipe.data.get(SECTION)
    if section is None and SECTION not in recipe.data:
        return None
    if problems := list(section_problems(recipe)):
        raise ProblemError(*problems)
    values = dict(section or {})
    setup = tuple(values.pop(SETUP, None) or ())
    save = int(values.pop(SAVE, SAVE_SECONDS))
    texts = {name: _text(value) for name, value in values.items() if value is not False}
    return SlurmWish(texts, setup, save)


def section_words(recipe: Recipe) -> str:
    """What a recipe asks of Slurm in a line: `partition gpu, nodes 2`; empty where it does not."""
    section = recipe.data.get(SECTION)
    if SECTION not in recipe.data or not isinstance(section or {}, dict):
        return ""
    asked = (f"{name} {_text(value)}".strip() for name, value in (section or {}).items()
             if name in OPTIONS and value is not False)  # fmt: skip
    return ", ".join(asked) or "with the cluster's defaults"


def refuse_setup(wish: SlurmWish) -> None:
    """Let no line of shell run that came with a recipe, unless somebody has read it.

    Raises:
        ProblemError: There are such lines.
    """
    if wish.setup:
        shown = "; ".join(wish.setup)
        what = f"the recipe would have the job run lines of shell: {shown}"
        hint = "If you trust them: dpo-workbench run RECIPE --trust-setup."
        raise ProblemError(Problem(what, "slurm.setup", hint))


def with_options(wish: SlurmWish, options: Mapping[str, str]) -> SlurmWish:
    """The wish with options of the command line, which win.

    Raises:
        ProblemError: One of them cannot be meant (exit code 2).
    """
    problems = [
        found for name, value in options.items() if (found := _option_problem(name, value, "--"))
    ]
    if problems:
        raise ProblemError(*problems, exit_code=2)
    return replace(wish, options={**wish.options, **options})


def fit_together(recipe: Recipe, wish: SlurmWish) -> tuple[Recipe, SlurmWish]:
    """A recipe with as many machines and processes as its job has nodes and GPUs, and the job.

    What the recipe says of its processes stays; where it says nothing, each GPU of each node gets
    one.

    Raises:
        ProblemError: The recipe and the job want different numbers of machines (exit code 2).
    """
    said = recipe.data.get("num_machines")
    nodes = int(wish.options.get("nodes") or said or 1)
    if said is not None and said != nodes:
        what = f"the recipe wants num_machines: {said}, and the job {nodes} nodes"
        hint = "Say it once: leave num_machines out, the nodes are the machines."
        raise ProblemError(Problem(what, "nodes", hint), exit_code=2)
    gpus = wish.options.get("gpus-per-node", "").rpartition(":")[2]
    processes = nodes * int(gpus or 1)
    changes: dict[tuple[str | int, ...], Any] = {}
    if nodes > 1 and said is None:
        changes[("num_machines",)] = nodes
    named = any(recipe.data.get(key) is not None for key in PROCESS_KEYS)
    if processes > 1 and not named:
        changes[("num_processes",)] = processes
    wish = replace(wish, options={**wish.options, "nodes": str(nodes)})
    if not changes:
        return recipe, wish
    stage = recipe.stages[0] if len(recipe.stages) == 1 else None
    return load_recipe(recipe.path, text=edit(recipe.text, changes), stage=stage), wish


def section_problems(recipe: Recipe) -> Iterator[Problem]:
    """What is wrong with a recipe's `slurm:`, each with its place."""
    section = recipe.data.get(SECTION)
    if section is None:
        return
    if not isinstance(section, dict):
        hint = "Indent options of sbatch below it, such as `partition: gpu`."
        yield Problem("slurm is not a section", recipe.document.where((SECTION,)), hint)
        return
    odd = {problem.where for problem in recipe.document.oddities}
    for name, value in section.items():
        where = recipe.document.where((SECTION, name))
        if name == SETUP:
            yield from _setup_problems(value, where)
        elif name == SAVE:
            yield from _save_problems(value, where)
        elif name not in OPTIONS:
            yield _unknown(name, where)
        elif where in odd and isinstance(value, int):
            what = f"{name} is not a time here: YAML reads 1:30:00 as a number"
            yield Problem(what, where, 'Put it between quotes: "1:30:00".')
        elif isinstance(value, dict | list) or value is None:
            yield Problem(f"{name} is not one value", where, f"Write it as `sbatch --{name}` does.")
        elif isinstance(value, bool) and OPTIONS[name] != "flag":
            what = f"{name} is no text here: YAML reads yes, no, on and off as true and false"
            yield Problem(what, where, f'Put it between quotes: {name}: "{_spelt(value)}".')
        elif value is not False and (found := _option_problem(name, _text(value), "", where)):
            yield found


def section_warnings(recipe: Recipe) -> Iterator[Problem]:
    """What a person should know of a recipe's `slurm:` before it is submitted."""
    section = recipe.data.get(SECTION)
    if isinstance(section, dict) and section.get(SETUP):
        what = "slurm.setup holds lines of shell, which the job runs with your rights"
        yield Problem(what, recipe.document.where((SECTION, SETUP)), "Read them.", "warning")


def _setup_problems(value: Any, where: str) -> Iterator[Problem]:
    if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
        yield Problem("setup is not a list of shell lines", where, "Begin each line with `- `.")
    elif any(not line.isprintable() for line in value):
        yield Problem("a line of setup has a line break or a control character", where,
                      "Write one command in each line.")  # fmt: skip


def _save_problems(value: Any, where: str) -> Iterator[Problem]:
    low, high = SAVE_RANGE
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        hint = f"Write seconds, from {low} to {high}; {SAVE_SECONDS} is usual."
        yield Problem(f"{SAVE} cannot be {value!r}", where, hint)


def _spelt(value: bool) -> str:
    return "on" if value else "off"


def _text(value: Any) -> str:
    return "" if value is True else str(value)


def _unknown(name: str, where: str) -> Problem:
    if name in OWN:
        return Problem(f"the run sets {name} itself", where, "Delete it.")
    near = next(iter(difflib.get_close_matches(name, [*OPTIONS, SETUP, SAVE], n=1)), "")
    hint = f"Did you mean {near}? " if near else ""
    hint += f"Give others by hand: --sbatch {name}=VALUE."
    return Problem(f"a recipe may not ask Slurm for {name}", where, hint)


def _option_problem(name: str, value: str, prefix: str, where: str = "") -> Problem | None:
    """What is wrong with one option and its value; None where nothing is."""
    where = where or f"{prefix}{name}"
    if name in OWN:
        return Problem(f"the run sets {name} itself", where, "Leave it out.")
    if not _NAME.fullmatch(name):
        return Problem(f"{name!r} is no option of sbatch", where, "Write it as in man sbatch.")
    kind = OPTIONS.get(name, "any")
    if not value.isprintable():
        what = f"{name} has a line break or a control character"
        return Problem(what, where, "Write plain text.")
    if kind == "any" or (kind == "flag" and value in ("", "user", "mcs")):
        return None
    if kind == "text" and value:
        return None
    if kind == "time" and value.lower() in _ENDLESS:
        return None
    pattern, words = KINDS.get(kind, (None, "a text" if kind == "text" else "true, or left out"))
    counted = value.rpartition(":")[2] if name in TYPED_GPUS else value
    if pattern is not None and pattern.fullmatch(counted):
        return None
    return Problem(f"{name} cannot be {value!r}", where, f"Write {words}.")


def limit_seconds(text: str) -> int | None:
    """A time limit of sbatch's in seconds; None where there is none, or none that can be read."""
    if not _TIME.fullmatch(text):
        return None
    days, dash, rest = text.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:  # days-hours[:minutes[:seconds]]
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:  # minutes[:seconds]
        hours, (minutes, seconds) = 0, (*parts, 0)[:2]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
