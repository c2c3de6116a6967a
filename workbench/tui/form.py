"""Which settings the editor shows, where the recipe holds them, and how typed text becomes values.

No widget in here: the editor screen renders what this module says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from workbench.recipe.recipe import Recipe
from workbench.recipe.schema import OWN_KEYS, STAGES, Field, load_schema
from workbench.recipe.yaml_edit import REMOVE, dump
from workbench.recipe.yaml_file import parse

KeyPath = tuple[str | int, ...]

SHARED = "shared"
# Section -> "key label" pairs; a section named like a stage holds that stage's own settings.
SECTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "Basics": (
        ("title", "title"),
        ("description", "description"),
        ("model_name_or_path", "base model"),
        ("dtype", "weights dtype"),
        ("seed", "seed"),
    ),
    "LoRA": (
        ("use_peft", "train a LoRA adapter"),
        ("lora_r", "rank r"),
        ("lora_alpha", "alpha"),
        ("lora_dropout", "dropout"),
        ("lora_target_modules", "target modules"),
        ("use_rslora", "rank-stabilised"),
        ("use_dora", "DoRA"),
        ("load_in_4bit", "4-bit base (QLoRA)"),
    ),
    "SFT": (
        ("learning_rate", "learning rate"),
        ("num_train_epochs", "epochs"),
        ("max_steps", "max steps"),
        ("max_length", "max length (tokens)"),
        ("packing", "pack short rows"),
        ("completion_only_loss", "loss on answers only"),
    ),
    "DPO": (
        ("beta", "beta"),
        ("loss_type", "loss type"),
        ("loss_weights", "loss weights"),
        ("label_smoothing", "label smoothing"),
        ("learning_rate", "learning rate"),
        ("num_train_epochs", "epochs"),
        ("max_steps", "max steps"),
        ("max_length", "max length (tokens)"),
        ("precompute_ref_log_probs", "precompute reference"),
    ),
    "Data": (
        ("datasets", "data file"),
        ("dataset_name", "dataset name"),
        ("dataset_train_split", "train split"),
        ("test_split_size", "held-out share"),
    ),
    "Training": (
        ("per_device_train_batch_size", "batch size a device"),
        ("gradient_accumulation_steps", "gradient accumulation"),
        ("gradient_checkpointing", "gradient checkpointing"),
        ("optim", "optimizer"),
        ("lr_scheduler_type", "schedule"),
        ("warmup_steps", "warmup steps"),
        ("weight_decay", "weight decay"),
        ("max_grad_norm", "max grad norm"),
        ("bf16", "bf16 mixed precision"),
        ("logging_steps", "log every (steps)"),
        ("eval_strategy", "evaluate by"),
        ("eval_steps", "evaluate every (steps)"),
        ("save_strategy", "save by"),
        ("save_steps", "save every (steps)"),
        ("save_total_limit", "checkpoints kept"),
    ),
}
# Shared settings that often differ by stage; a staged recipe shows one row for each stage.
PER_STAGE = {"datasets", "dataset_name", "dataset_train_split", "test_split_size"}
_FLAT_ONLY = {"dataset_name", "dataset_train_split"}


@dataclass(frozen=True)
class Setting:
    """One row of the form.

    Attributes:
        path: Where an edit is written, `("beta",)` or `("dpo", "beta")`.
        label: Short name.
        section: Heading under which it stands.
        stage: `sft`, `dpo`, or `shared` by all stages.
        kind: `text`, `switch` or `choice`: which control shows it.
        value: The recipe's own value, None where TRL's default applies.
        default: TRL's default.
        choices: Allowed values, empty = any.
        help: TRL's help text.
        fixed: Why it cannot be changed here, empty where it can.
    """

    path: KeyPath
    label: str
    section: str
    stage: str
    kind: str
    value: Any
    default: Any
    choices: tuple[str, ...]
    help: str
    type_name: str = "str"
    fixed: str = ""

    @property
    def key(self) -> str:
        """TRL's name."""
        return str(self.path[-1])

    @property
    def shown(self) -> str:
        """The recipe's value as the text of an input."""
        return to_text(self.value)


def settings(recipe: Recipe) -> list[Setting]:
    """All rows of the form for a recipe, in order."""
    rows: list[Setting] = []
    for section, entries in SECTIONS.items():
        own_stage = section.lower() if section.lower() in STAGES else ""
        if own_stage and own_stage not in recipe.stages:
            continue
        for key, label in entries:
            for stage in _stages_of(recipe, key, own_stage):
                row = _setting(recipe, key, label, section, stage)
                if row is not None:
                    rows.append(row)
    rows += _others(recipe, {row.path for row in rows})
    # With one stage there is nothing to tell apart.
    return rows if len(recipe.stages) > 1 else [replace(row, stage=SHARED) for row in rows]


def _stages_of(recipe: Recipe, key: str, own_stage: str) -> Iterator[str]:
    """The rows of one setting: its stage's, one for all stages, or one for each."""
    if own_stage:
        yield own_stage
        return
    overriding = [s for s in recipe.stages if recipe.staged and key in _section(recipe, s)]
    if recipe.staged and (key in PER_STAGE or len(overriding) == len(recipe.stages)):
        yield from recipe.stages
        return
    yield SHARED
    yield from overriding


def _section(recipe: Recipe, stage: str) -> dict[str, Any]:
    section = recipe.data.get(stage)
    return section if isinstance(section, dict) else {}


def _setting(recipe: Recipe, key: str, label: str, section: str, stage: str) -> Setting | None:
    single = stage if stage != SHARED else recipe.stages[-1]
    known = load_schema().field(key, single) or load_schema().field(key)
    path = (stage, key) if recipe.staged and stage != SHARED else (key,)
    own = recipe.data if stage == SHARED else recipe.values(stage)
    value = own.get(key)
    if key == "datasets":
        return _data_file(recipe, label, stage, path, own)
    if section == "Data" and key in _FLAT_ONLY and _uses_mixture(own):
        return None
    if known is None and key not in OWN_KEYS:
        return None
    return _row(path, label, section, stage, value, known)


def _row(
    path: KeyPath, label: str, section: str, stage: str, value: Any, known: Field | None
) -> Setting:
    kind, choices = "text", known.choices if known else ()
    if known and known.kind == "bool" and not isinstance(value, str):
        kind = "switch"
    elif known and known.kind == "str" and choices and (value is None or value in choices):
        kind = "choice"
    fixed = "a longer value: edit it in the file" if isinstance(value, dict) else ""
    return Setting(
        path=path,
        label=label,
        section=section,
        stage=stage,
        kind=kind,
        value=value,
        default=known.default if known else None,
        choices=choices,
        help=known.help if known else OWN_KEYS.get(str(path[-1]), ""),
        type_name=known.kind if known else "str",
        fixed=fixed,
    )


def _uses_mixture(own: dict[str, Any]) -> bool:
    return bool(own.get("datasets"))


def _data_file(
    recipe: Recipe, label: str, stage: str, path: KeyPath, own: dict[str, Any]
) -> Setting | None:
    """The one local file of a `datasets` list as a plain text; longer lists stay in the file."""
    entries = own.get("datasets")
    if not entries:
        return None
    simple = (
        isinstance(entries, list)
        and len(entries) == 1
        and isinstance(entries[0], dict)
        and isinstance(entries[0].get("data_files"), str)
    )
    known = load_schema().field("datasets")
    return Setting(
        path=path,
        label=label if simple else "datasets",
        section="Data",
        stage=stage,
        kind="text",
        value=entries[0]["data_files"] if simple else entries,
        default=None,
        choices=(),
        help=known.help if known else "",
        type_name="data_file" if simple else "list",
        fixed="" if simple else "a mixture of data sets: edit it in the file",
    )


def _others(recipe: Recipe, shown: set[KeyPath]) -> list[Setting]:
    """What the recipe sets beyond the form's own list, so that nothing it does is hidden."""
    rows = []
    hidden = {"probe_prompts", "datasets", *STAGES, *OWN_KEYS}
    places = [((), recipe.data), *(((stage,), _section(recipe, stage)) for stage in recipe.stages)]
    for prefix, values in places:
        for key, value in values.items():
            path = (*prefix, key)
            if path in shown or key in hidden or not isinstance(key, str):
                continue
            stage = prefix[0] if prefix else SHARED
            known = load_schema().field(key, prefix[0] if prefix else None)
            rows.append(_row(path, key, "More from the file", stage, value, known))
    return rows


def to_text(value: Any) -> str:
    """A YAML value as one types it: `5e-5`, `q_proj, v_proj`, `true`, empty for none."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return _float_text(value)
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(to_text(item) for item in value)
    return dump(value)


def _float_text(value: float) -> str:
    """`0.1`, `3`, `5e-5`: as short as reads back exactly."""
    text = f"{value:.1e}" if 0 < abs(value) < 0.001 else f"{value:g}"
    if float(text) != value:
        return dump(value)
    mantissa, sign, exponent = text.partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}" if sign else text


def from_text(setting: Setting, text: str) -> Any:
    """What a typed text means for a setting.

    Returns:
        A value of the setting's type; the text itself where it is none (the check then says
        what is wrong with it); `REMOVE` for an empty text, which brings TRL's default back.
    """
    text = text.strip()
    if not text:
        return REMOVE
    if setting.type_name in ("str", "data_file"):
        return _as_data_file(setting, text) if setting.type_name == "data_file" else text
    if setting.type_name == "list":
        return [_scalar(part.strip()) for part in text.strip("[]").split(",") if part.strip()]
    return _scalar(text)


def _as_data_file(setting: Setting, text: str) -> Any:
    kind = "json" if not text.endswith((".csv", ".parquet")) else text.rpartition(".")[2]
    return [{"path": kind, "data_files": text}]


def _scalar(text: str) -> Any:
    document = parse(f"k: {text}", "")
    value = document.data.get("k")
    simple = not document.problems and isinstance(value, bool | int | float)
    return value if simple else text
