"""One setting's value against its type, its choices and the range that makes sense."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from workbench.base.files import is_number
from workbench.base.problems import Problem
from workbench.recipe.schema import Field

SHOWN_CHARACTERS = 40
KIND_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "list": "a list",
    "dict": "a mapping",
}

# (low, low is allowed itself, high). None = no bound.
Range = tuple[float | None, bool, float | None]
POSITIVE: Range = (0.0, False, None)
NOT_NEGATIVE: Range = (0.0, True, None)
SHARE: Range = (0.0, True, 1.0)
RANGES: dict[str, Range] = {
    "learning_rate": (0.0, False, 1.0),
    "beta": POSITIVE,
    "lora_r": POSITIVE,
    "lora_alpha": POSITIVE,
    "lora_dropout": SHARE,
    "label_smoothing": SHARE,
    "per_device_train_batch_size": POSITIVE,
    "per_device_eval_batch_size": POSITIVE,
    "gradient_accumulation_steps": POSITIVE,
    "num_train_epochs": POSITIVE,
    "max_length": POSITIVE,
    "max_grad_norm": NOT_NEGATIVE,
    "weight_decay": NOT_NEGATIVE,
    "warmup_steps": NOT_NEGATIVE,
    "logging_steps": POSITIVE,
    "eval_steps": POSITIVE,
    "save_steps": POSITIVE,
    "save_total_limit": POSITIVE,
    "test_split_size": POSITIVE,
    "adam_beta1": SHARE,
    "adam_beta2": SHARE,
    "adam_epsilon": POSITIVE,
    "discopop_tau": POSITIVE,
    "ref_model_mixup_alpha": SHARE,
    "num_processes": POSITIVE,
    "num_machines": POSITIVE,
    "machine_rank": NOT_NEGATIVE,
    "main_process_port": (0.0, True, 65535.0),
    "num_cpu_threads_per_process": POSITIVE,
    "monitor_interval": POSITIVE,
}


def check_value(name: str, value: Any, field: Field, where: str) -> Iterator[Problem]:
    """Problems of one value; `name` is how the recipe writes it, such as `dpo.beta`."""
    if value is None:
        if not field.optional:
            hint = f"Give a value or delete the line (TRL's default is {field.default})."
            yield Problem(f"{name} is empty", where, hint)
        return
    if not _has_kind(value, field):
        hint = f"Write {KIND_WORDS[field.kind]}{_example(field)}."
        yield Problem(f"{name}: {value!r} is not {KIND_WORDS[field.kind]}", where, hint)
        return
    yield from _check_choices(name, value, field, where)
    yield from _check_range(name, value, field, where)
    if field.name == "lora_target_modules" and isinstance(value, str) and "," in value:
        modules = ", ".join(part.strip() for part in value.split(","))
        what = f"{name}: a text with commas is taken for one module name"
        yield Problem(what, where, f"Write [{modules}].")


def check_option(name: str, value: Any, field: Field, where: str) -> Iterator[Problem]:
    """The same for an option of the launcher, which knows true and false as texts, too."""
    if not (field.kind == "str" and isinstance(value, bool) and not field.choices):
        yield from check_value(name, value, field, where)


def _has_kind(value: Any, field: Field) -> bool:
    if isinstance(value, bool):
        return field.kind == "bool"
    match field.kind:
        case "int":
            return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        case "float":
            return isinstance(value, int | float)
        case "str":
            return isinstance(value, str | int | float)
        case "list":
            # A single value stands for a list of one: `loss_type: sigmoid`.
            return isinstance(value, list | str | int | float)
        case "dict":
            # JSON text and file names are what TRL's command line takes for mappings.
            return isinstance(value, dict | str)
        case _:
            return False


def _example(field: Field) -> str:
    if field.choices:
        return f": {', '.join(field.choices)}"
    return "" if field.default in (None, "", [], {}) else f" such as {field.default}"


def _check_choices(name: str, value: Any, field: Field, where: str) -> Iterator[Problem]:
    if not field.choices:
        return
    for item in value if isinstance(value, list) else [value]:
        if str(item) in field.choices:
            continue
        near = difflib.get_close_matches(str(item), field.choices, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        hint += f"Allowed: {', '.join(field.choices)}."
        yield Problem(f"{name}: there is no {item}", where, hint)


def _check_range(name: str, value: Any, field: Field, where: str) -> Iterator[Problem]:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    if not is_number(value):
        shown = str(value)[:SHOWN_CHARACTERS]
        yield Problem(f"{name}: {shown} is not a finite number", where, "Write a number.")
        return
    if field.name == "max_steps" and value < 1 and value != -1:
        hint = "Write the number of steps, or -1 to train num_train_epochs."
        yield Problem(f"{name}: {value} is no number of steps", where, hint)
        return
    low, low_allowed, high = RANGES.get(field.name, (None, True, None))
    example = f" Write a number{_example(field)}." if field.default else ""
    if low is not None and (value < low or (value == low and not low_allowed)):
        bound = "below" if low_allowed else "not above"
        yield Problem(f"{name}: {value} is {bound} {low:g}", where, example.strip())
    elif high is not None and value > high:
        yield Problem(f"{name}: {value} is above {high:g}", where, example.strip())
