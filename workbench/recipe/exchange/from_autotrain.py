"""AutoTrain's configs of language models: a task, and settings in sections."""

from __future__ import annotations

from typing import Any

from workbench.recipe.exchange.common import (
    TEMPLATE_HINT,
    UPLOAD_HINT,
    column_hint,
    data_settings,
    refuse,
    stay_out,
    warmup_share,
)
from workbench.recipe.exchange.draft import Draft
from workbench.recipe.exchange.launch import EVERY_DEVICE
from workbench.recipe.exchange.names import AUTOTRAIN
from workbench.recipe.yaml_file import Document

STAGES = {"llm-dpo": "dpo", "llm-sft": "sft"}
DEFAULTS = {
    "num_train_epochs": 1,
    "per_device_train_batch_size": 2,
    "learning_rate": 3e-5,
    "gradient_accumulation_steps": 4,
    "warmup_steps": 0.1,
    "max_length": 1024,
}
WHOSE = "AutoTrain's default"
COLUMNS = {"prompt_text_column": "prompt", "rejected_text_column": "rejected"}
NEEDLESS = {
    "max_completion_length": "max_length cuts the whole row",
    "max_prompt_length": "max_length cuts the whole row",
    "merge_adapter": "the adapter is merged by `dpo-workbench merge RUN DIR`",
    "padding": "the trainer pads as the model needs it",
    "unsloth": "the workbench has its own fast path",
}
"""Parameters that are left out, and why."""


def stage_of(document: Document) -> str:
    """`sft` or `dpo`.

    Raises:
        ProblemError: It is another task.
    """
    task = str(document.data.get("task"))
    name = "-".join(task.split("-")[:2])
    if name not in STAGES:
        raise refuse(f"task: {task} is neither DPO nor SFT", document.where(("task",)))
    return STAGES[name]


def read_autotrain(draft: Draft) -> None:
    """Read the whole file into the draft."""
    draft.tell(("task",), f"the stage {draft.stage}")
    draft.take(("base_model",), {"model_name_or_path": draft.value("base_model")})
    if draft.value("project_name"):
        draft.take(("project_name",), {"output_dir": draft.value("project_name")})
    if draft.value("backend"):
        draft.drop(("backend",), "a run trains on this machine")
    if draft.value("log"):
        draft.take(("log",), {"report_to": draft.value("log")})
    _read_data(draft)
    section = draft.value("params")
    for key, value in (section if isinstance(section, dict) else {}).items():
        if value is not None and not stay_out(draft, key, value, ("params", key)):
            _read_parameter(draft, key, value)
    _read_hub(draft)
    _assume(draft)
    draft.finish()


def _assume(draft: Draft) -> None:
    share = draft.value("params", "warmup_ratio")
    for key, value in DEFAULTS.items():
        if key != "warmup_steps" or share is None:
            draft.assume(key, value, WHOSE)
    if draft.settings.get("use_peft"):
        draft.assume("lora_target_modules", "all-linear", WHOSE)
        if "quantization" not in (draft.value("params") or {}):
            draft.assume("load_in_4bit", True, WHOSE)


def _read_parameter(draft: Draft, key: str, value: Any) -> None:
    path = ("params", key)
    reader = READERS.get(key)
    if reader is not None:
        reader(draft, key, value)
    elif key in NEEDLESS:
        draft.drop(path, NEEDLESS[key])
    elif key in LORA and not draft.value("params", "peft"):
        draft.drop(path, "there is no adapter: all weights are trained")
    elif key in AUTOTRAIN:
        if value == -1:
            draft.drop(path, "it is left to the trainer")
        else:
            draft.take(path, {AUTOTRAIN[key]: value})


LORA = ("lora_r", "lora_alpha", "lora_dropout")


def _adapter(draft: Draft, key: str, value: Any) -> None:
    if value:
        draft.take(("params", key), {"use_peft": True})
    else:
        draft.drop(("params", key), "all weights are trained")


def _targets(draft: Draft, key: str, value: Any) -> None:
    if not draft.value("params", "peft"):
        draft.drop(("params", key), "there is no adapter: all weights are trained")
    else:
        draft.take(("params", key), {"lora_target_modules": value})


def _quantization(draft: Draft, key: str, value: Any) -> None:
    bits = {"int4": "load_in_4bit", "int8": "load_in_8bit"}.get(str(value))
    if not draft.value("params", "peft"):
        draft.drop(("params", key), "there is no adapter: all weights are trained")
    elif bits:
        draft.take(("params", key), {bits: True})
    elif str(value) == "none":
        draft.drop(("params", key), "the weights are not quantized")
    else:
        draft.lack(("params", key), "Write load_in_4bit: true or load_in_8bit: true.")


def _precision(draft: Draft, key: str, value: Any) -> None:
    path = ("params", key)
    if value == "bf16":
        # AutoTrain loads the weights in this type too; TRL would load them in 32 bits.
        draft.take(path, {"bf16": True, "dtype": "bfloat16"})
    elif value == "fp16":
        # TRL's bf16 is on by itself, and the two exclude each other.
        settings = {"fp16": True, "bf16": False}
        lora = {"dtype": "float16"} if draft.value("params", "peft") else {}
        draft.take(path, {**settings, **lora})
    elif value in ("no", "none", False):
        draft.take(path, {"bf16": False})
    else:
        draft.lack(path, "Write bf16: true or fp16: true.")


def _length(draft: Draft, key: str, value: Any) -> None:
    path = ("params", key)
    if key == "model_max_length":
        draft.drop(path, "it is the tokenizer's; block_size is where rows are cut")
    elif isinstance(value, int) and value > 0:
        draft.take(path, {"max_length": value})
    else:
        draft.drop(path, "it is left to the trainer")


def _warmup(draft: Draft, key: str, value: Any) -> None:
    warmup_share(draft, ("params", key), value)


def _flash(draft: Draft, key: str, value: Any) -> None:
    if value:
        draft.take(("params", key), {"attn_implementation": "flash_attention_2"})
    else:
        draft.drop(("params", key), "it is off")


def _checkpointing(draft: Draft, key: str, value: Any) -> None:
    if value:
        draft.take(("params", key), {"gradient_checkpointing": False})
    else:
        draft.drop(("params", key), "TRL recomputes activations by itself")


def _evaluation(draft: Draft, key: str, value: Any) -> None:
    if draft.value("data", "valid_split"):
        draft.take(("params", key), {"eval_strategy": value})
    else:
        draft.drop(("params", key), "without a valid_split nothing is evaluated")


def _backend(draft: Draft, key: str, value: Any) -> None:
    config = {"ddp": "multi_gpu", "deepspeed": "zero3"}.get(str(value))
    if config:
        draft.take(("params", key), {"accelerate_config": config}, EVERY_DEVICE)
    else:
        draft.lack(("params", key), "Write accelerate_config: multi_gpu, fsdp2 or zero3.")


READERS = {
    "block_size": _length,
    "disable_gradient_checkpointing": _checkpointing,
    "distributed_backend": _backend,
    "eval_strategy": _evaluation,
    "mixed_precision": _precision,
    "model_max_length": _length,
    "peft": _adapter,
    "quantization": _quantization,
    "target_modules": _targets,
    "use_flash_attention_2": _flash,
    "warmup_ratio": _warmup,
}


def _read_data(draft: Draft) -> None:
    if not isinstance(draft.value("data"), dict):
        return
    name, split = draft.value("data", "path"), draft.value("data", "train_split")
    settings = data_settings([{"path": name, "split": split}]) if name else {}
    draft.give(("data",), settings)
    if name:
        draft.tell(("data", "path"), f"dataset_name: {name}")
    if split:
        draft.tell(("data", "train_split"), f"dataset_train_split: {split}")
    valid = draft.value("data", "valid_split")
    if valid and "dataset_name" in settings:
        draft.take(("data", "valid_split"), {"dataset_test_split": valid})
        if draft.value("params", "eval_strategy") is None:
            draft.assume("eval_strategy", "epoch", WHOSE)
    elif valid:
        draft.lack(("data", "valid_split"), "Write test_split_size: 0.1.")
    template = draft.value("data", "chat_template")
    if template in ("tokenizer", "none"):
        draft.drop(("data", "chat_template"), "the tokenizer's own is used where rows are messages")
    elif template:
        draft.lack(("data", "chat_template"), TEMPLATE_HINT)
    columns = draft.value("data", "column_mapping")
    for key, column in (columns if isinstance(columns, dict) else {}).items():
        _read_column(draft, key, column)


def _read_column(draft: Draft, key: str, column: Any) -> None:
    answers = "chosen" if draft.stage == "dpo" else "text"
    wanted = answers if key == "text_column" else COLUMNS.get(key)
    path = ("data", "column_mapping", key)
    if wanted is None or column is None:
        return
    taken = {wanted} if draft.stage == "dpo" else {"text", "messages"}
    if column in taken:
        draft.drop(path, "the column has TRL's name")
    else:
        draft.lack(path, column_hint({str(column): wanted}))


def _read_hub(draft: Draft) -> None:
    hub = draft.value("hub")
    for key, value in (hub if isinstance(hub, dict) else {}).items():
        if value is not None and not stay_out(draft, key, value, ("hub", key)):
            draft.drop(("hub", key), UPLOAD_HINT if value else "it is off")
