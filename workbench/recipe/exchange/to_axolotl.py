"""A recipe's stage as a config of Axolotl."""

from __future__ import annotations

from typing import Any

from workbench.recipe.exchange.names import AXOLOTL, AXOLOTL_SAME
from workbench.recipe.exchange.outgoing import Exported, Pending, columns, sources
from workbench.recipe.recipe import Recipe

EXPLICIT = (
    *("per_device_train_batch_size", "num_train_epochs", "learning_rate", "lr_scheduler_type"),
    *("warmup_steps", "max_length", "save_strategy", "save_steps", "gradient_accumulation_steps"),
    *("optim", "weight_decay", "gradient_checkpointing"),
)
"""Settings whose default differs, so that the file says them."""

LORA = ("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules")
TRACKERS = {"wandb": "use_wandb", "tensorboard": "use_tensorboard", "mlflow": "use_mlflow",
            "comet_ml": "use_comet", "trackio": "use_trackio"}  # fmt: skip


def to_axolotl(recipe: Recipe, stage: str, config: dict[str, Any], exported: Exported) -> None:
    """Fill in the settings and remarks.

    Args:
        config: The stage's resolved TRL config.
    """
    lora = bool(recipe.get("use_peft", stage))
    pending = Pending(recipe, stage, (*EXPLICIT, *(LORA if lora else ())))
    out = exported.settings
    pending.pop("model_name_or_path")
    out["base_model"] = config["model_name_or_path"]
    if stage == "dpo":
        out["rl"] = "dpo"
    _adapter(pending, out, lora)
    _data(pending, out, exported)
    _precision(pending, out)
    _method(pending, out)
    _schedule(pending, out)
    _trackers(pending, out)
    pending.rename(out, AXOLOTL)
    pending.rename(out, {key: key for key in AXOLOTL_SAME if key != "output_dir"})
    pending.pop("output_dir")
    out["output_dir"] = config["output_dir"]
    exported.remarks += pending.lost("Axolotl")


def _adapter(pending: Pending, out: dict[str, Any], lora: bool) -> None:
    pending.pop("use_peft")
    if not lora:
        return
    four = pending.get("load_in_4bit")
    out["adapter"] = "qlora" if four else "lora"
    if four:
        out["load_in_4bit"] = pending.pop("load_in_4bit")
    targets = pending.get("lora_target_modules")
    if targets == "all-linear":
        pending.pop("lora_target_modules")
        out["lora_target_linear"] = True
    elif targets is None:
        pending.pop("lora_target_modules")


def _data(pending: Pending, out: dict[str, Any], exported: Exported) -> None:
    single = not pending.get("datasets")
    test = pending.get("dataset_test_split")
    evaluates = pending.get("eval_strategy") != "no"
    kind = _type(pending, exported)
    parts = []
    for entry in sources(pending):
        part = {key: value for key, value in entry.items() if key in ("path", "name", "split")}
        files = entry.get("data_files")
        if isinstance(files, str) and entry.get("path") in ("json", "csv", "parquet", "arrow"):
            part.update(path=files, ds_type=entry["path"])
        elif files is not None:
            part["data_files"] = files
        for key in entry.keys() - {"path", "name", "split", "data_files"}:
            exported.remarks.append(f"no equal in Axolotl: {key} of {entry.get('path')}")
        parts.append({**part, **kind})
    out["datasets"] = parts
    if single:
        pending.pop("dataset_test_split")
    if single and evaluates and parts:
        out["test_datasets"] = [{**parts[0], "split": test}]
    out["val_set_size"] = pending.pop("test_split_size") or 0.0


def _type(pending: Pending, exported: Exported) -> dict[str, Any]:
    """How Axolotl reads the rows."""
    if pending.stage == "dpo":
        return {"type": "passthrough"}
    row = columns(pending.recipe, "sft")
    if "messages" in row:
        return {"type": "chat_template"}
    if "prompt" in row and "completion" in row:
        form = {"field_instruction": "prompt", "field_output": "completion"}
        return {"type": {**form, "format": "{instruction}", "no_input_format": "{instruction}"}}
    if "text" in row:
        return {"type": "completion", "field": "text"}
    exported.remarks.append("type: chat_template reads a column messages; see whether it fits.")
    return {"type": "chat_template"}


def _precision(pending: Pending, out: dict[str, Any]) -> None:
    dtype, bf16 = pending.get("dtype"), pending.get("bf16")
    told, named = pending.says("dtype"), pending.says("bf16")
    if pending.pop("fp16"):
        out["fp16"], out["bf16"] = True, False
        pending.pop("bf16")
        if told and dtype == "float16":
            pending.pop("dtype")
        return
    pending.pop("bf16")
    if not told and not named:
        out["bf16"] = "auto"
    elif named and bf16 is False:
        by_type = {"bfloat16": ("bf16", "full"), "float16": ("float16", True)}
        key, value = by_type.get(dtype, ("float32", True)) if told else ("bf16", False)
        out[key] = value
        pending.pop("dtype")
    else:
        out["bf16"] = True
        if not told or dtype == "bfloat16":
            pending.pop("dtype")


def _method(pending: Pending, out: dict[str, Any]) -> None:
    if pending.stage == "dpo":
        if pending.says("loss_type"):
            losses = pending.pop("loss_type")
            out["dpo_loss_type"] = losses if isinstance(losses, list) else [losses]
        if pending.says("use_liger_kernel"):
            out["dpo_use_liger_kernel"] = pending.pop("use_liger_kernel")
        return
    pending.rename(out, {"sample_packing": "packing", "eval_sample_packing": "eval_packing"})
    if pending.get("loss_type") == "nll":
        pending.pop("loss_type")
    if pending.says("completion_only_loss") and pending.get("completion_only_loss") is False:
        out["train_on_inputs"] = not pending.pop("completion_only_loss")
    if pending.get("use_liger_kernel"):
        pending.pop("use_liger_kernel")
        out["plugins"] = ["axolotl.integrations.liger.LigerPlugin"]
        out["liger_fused_linear_cross_entropy"] = True


def _schedule(pending: Pending, out: dict[str, Any]) -> None:
    warmup = pending.pop("warmup_steps") or 0
    out["warmup_ratio" if 0 < warmup < 1 else "warmup_steps"] = warmup
    if pending.get("save_strategy") == "steps":
        out["save_steps"] = pending.pop("save_steps", "save_strategy")
    else:
        out["save_strategy"] = pending.pop("save_strategy", "save_steps")
    strategy, held_out = pending.pop("eval_strategy"), out["val_set_size"]
    if strategy == "steps":
        out["eval_steps"] = pending.get("eval_steps") or pending.get("logging_steps")
    elif strategy != "no" or held_out:
        out["eval_strategy"] = strategy
    if pending.get("train_sampling_strategy") == "group_by_length":
        pending.pop("train_sampling_strategy")
        out["group_by_length"] = True


def _trackers(pending: Pending, out: dict[str, Any]) -> None:
    names = pending.pop("report_to")
    for name in names if isinstance(names, list) else [names]:
        if name in TRACKERS:
            out[TRACKERS[name]] = True
    variables = pending.get("env")
    if isinstance(variables, dict) and set(variables) == {"WANDB_PROJECT"}:
        out["wandb_project"] = pending.pop("env")["WANDB_PROJECT"]
    tokens = {key: pending.pop(key) for key in ("eos_token", "pad_token") if pending.get(key)}
    if tokens:
        out["special_tokens"] = tokens
