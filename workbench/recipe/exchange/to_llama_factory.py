"""A recipe's stage as a config of LLaMA-Factory, with the description of its data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from workbench.recipe.check_data import data_parts
from workbench.recipe.exchange.from_llama_factory import ATTENTION, INFO, LOSSES
from workbench.recipe.exchange.names import LLAMA_FACTORY, LLAMA_FACTORY_SAME, training_arguments
from workbench.recipe.exchange.outgoing import Exported, Pending, columns, sources
from workbench.recipe.recipe import Recipe

EXPLICIT = ("learning_rate", "max_length")
LORA = ("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules")
ROLES = {"role_tag": "role", "content_tag": "content", "user_tag": "user",
         "assistant_tag": "assistant", "system_tag": "system"}  # fmt: skip
_SLICE = re.compile(r"(.+)\[:(\d+)\]")


def to_llama_factory(
    recipe: Recipe, stage: str, config: dict[str, Any], exported: Exported
) -> None:
    """Fill in the settings, the remarks and `dataset_info.json`.

    Args:
        config: The stage's resolved TRL config.
    """
    lora = bool(recipe.get("use_peft", stage))
    pending = Pending(recipe, stage, (*EXPLICIT, *(LORA if lora else ())))
    out = exported.settings
    pending.pop("model_name_or_path")
    out["model_name_or_path"] = config["model_name_or_path"]
    out.update(stage=stage, do_train=True)
    _adapter(pending, out, lora)
    _bits(pending, out)
    _data(pending, out, exported)
    _precision(pending, out)
    if stage == "dpo":
        _losses(pending, out)
    else:
        _answers(pending, out)
    _rest(pending, out)
    pending.rename(out, LLAMA_FACTORY)
    pending.rename(out, {key: key for key in LLAMA_FACTORY_SAME})
    pending.pop("output_dir")
    pending.rename(out, {key: key for key in sorted(training_arguments())})
    out["output_dir"] = config["output_dir"]
    exported.remarks += pending.lost("LLaMA-Factory")


def _adapter(pending: Pending, out: dict[str, Any], lora: bool) -> None:
    pending.pop("use_peft")
    out["finetuning_type"] = "lora" if lora else "full"
    if not lora:
        return
    targets = pending.pop("lora_target_modules")
    if isinstance(targets, list):
        out["lora_target"] = ",".join(str(name) for name in targets)
    else:
        # PEFT's own choice, attention alone, is not known there.
        out["lora_target"] = "all" if targets in (None, "all-linear") else targets
    saved = pending.pop("lora_modules_to_save")
    if saved:
        out["additional_target"] = ",".join(saved) if isinstance(saved, list) else saved


def _bits(pending: Pending, out: dict[str, Any]) -> None:
    for bits in (4, 8):
        if pending.pop(f"load_in_{bits}bit"):
            out["quantization_bit"] = bits
    double = pending.pop("use_bnb_nested_quant")
    if out.get("quantization_bit") == 4:
        out["double_quantization"] = bool(double)


def _data(pending: Pending, out: dict[str, Any], exported: Exported) -> None:
    test = None if pending.get("datasets") else pending.pop("dataset_test_split")
    info: dict[str, Any] = {}
    limits = set()
    form = _form(pending, exported)
    for entry in sources(pending):
        name = _slug(entry, info)
        found = _SLICE.fullmatch(str(entry.get("split") or ""))
        if found:
            entry["split"] = found.group(1)
        limits.add(int(found.group(2)) if found else None)
        info[name] = {**_place(pending, entry, "train"), **form}
        for key in entry.keys() & {"columns", "fraction", "data_dir"}:
            exported.remarks.append(f"no equal in LLaMA-Factory: {key} of {entry.get('path')}")
    out["dataset"], out["dataset_dir"] = ",".join(info), "."
    (limit, *others) = limits
    if limit and not others:
        out["max_samples"] = limit
    elif others:
        exported.remarks.append("no equal in LLaMA-Factory: another number of rows per data set")
    if test and pending.get("eval_strategy") != "no":
        (name,) = info
        entry = {"path": pending.recipe.get("dataset_name", pending.stage), "split": test}
        info[f"{name}_test"] = {**_place(pending, entry, test), **form}
        out["eval_dataset"] = f"{name}_test"
    size = pending.pop("test_split_size")
    if size:
        out["val_size"] = size
    exported.files[INFO] = json.dumps(info, indent=2)


def _slug(entry: dict[str, Any], taken: dict[str, Any]) -> str:
    source = str(entry.get("data_files") or entry.get("path"))
    name = re.sub(r"\W+", "_", Path(source).stem).strip("_") or "data"
    return name if name not in taken else f"{name}_{len(taken)}"


def _place(pending: Pending, entry: dict[str, Any], split: str) -> dict[str, Any]:
    """Where a data set is: a file, or a hub id with its configuration and split."""
    files = entry.get("data_files")
    if isinstance(files, str):
        return {"file_name": files}
    if not files and "datasets" not in pending.recipe.values(pending.stage):
        parts = data_parts(pending.recipe, pending.stage, "test" if split != "train" else "train")
        if local := [str(file) for part in parts for file in part.files]:
            return {"file_name": local[0]}
    place = {"hf_hub_url": entry.get("path"), "subset": entry.get("name")}
    place["split"] = entry.get("split") if entry.get("split") != "train" else None
    return {key: value for key, value in place.items() if value}


def _form(pending: Pending, exported: Exported) -> dict[str, Any]:
    """How LLaMA-Factory reads the rows; where they are not here, the usual form is taken."""
    row = columns(pending.recipe, pending.stage)
    if pending.stage == "dpo":
        if not isinstance(row.get("chosen", ""), str):
            exported.remarks.append(
                "rows of messages: LLaMA-Factory wants one message in chosen and rejected, "
                "not lists; rewrite the data as texts."
            )
        names = ("prompt", "chosen", "rejected")
        return {"ranking": True, "columns": {name: name for name in names}}
    if "completion" in row:
        return {"columns": {"prompt": "prompt", "response": "completion"}}
    if "messages" not in row:
        exported.remarks.append(f"{INFO} takes the rows for messages; see whether that fits.")
    return {"formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": ROLES}


def _precision(pending: Pending, out: dict[str, Any]) -> None:
    dtype, bf16 = pending.get("dtype"), pending.get("bf16")
    if bf16 is False and dtype == "bfloat16":
        out["pure_bf16"] = True
        pending.pop("bf16", "dtype")
    elif pending.get("fp16"):
        out["fp16"] = pending.pop("fp16", "bf16")
    elif bf16 is False:
        out["bf16"] = pending.pop("bf16")
    else:
        out["bf16"] = True
        pending.pop("bf16")
    if pending.says("dtype") and dtype == "bfloat16":
        pending.pop("dtype")


def _losses(pending: Pending, out: dict[str, Any]) -> None:
    losses = pending.get("loss_type")
    losses = losses if isinstance(losses, list) else [losses]
    weights = pending.get("loss_weights") or [1.0] * len(losses)
    plain = len(losses) == 1 and losses[0] in LOSSES and weights == [1.0]
    with_sft = len(losses) == 2 and losses[0] in LOSSES and losses[1] == "sft"
    if plain:
        out["pref_loss"] = losses[0]
    elif with_sft and weights[0] == 1:
        out.update(pref_loss=losses[0], pref_ftx=weights[1])
    else:
        return
    pending.pop("loss_type", "loss_weights")


def _answers(pending: Pending, out: dict[str, Any]) -> None:
    pending.rename(out, {"packing": "packing"})
    if pending.get("loss_type") == "nll":
        pending.pop("loss_type")
    if pending.says("completion_only_loss") and pending.get("completion_only_loss") is False:
        out["train_on_prompt"] = not pending.pop("completion_only_loss")


def _rest(pending: Pending, out: dict[str, Any]) -> None:
    if pending.says("gradient_checkpointing"):
        out["disable_gradient_checkpointing"] = not pending.pop("gradient_checkpointing")
    kinds = {ours: theirs for theirs, ours in ATTENTION.items()}
    if pending.get("attn_implementation") in kinds:
        out["flash_attn"] = kinds[pending.pop("attn_implementation")]
    warmup = pending.get("warmup_steps")
    if isinstance(warmup, float) and 0 < warmup < 1:
        out["warmup_ratio"] = pending.pop("warmup_steps")
    out["report_to"] = pending.pop("report_to") or "none"
