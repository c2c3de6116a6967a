"""LLaMA-Factory's configs, of SFT and DPO with LoRA, QLoRA or all weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.base.files import is_number
from workbench.base.tail import read_small
from workbench.recipe.exchange import launch
from workbench.recipe.exchange.common import (
    TEMPLATE_HINT,
    Reader,
    add_sft_loss,
    column_hint,
    data_settings,
    missing,
    needless,
    refuse,
    stay_out,
    warmup_share,
)
from workbench.recipe.exchange.draft import Draft
from workbench.recipe.exchange.names import LLAMA_FACTORY, LLAMA_FACTORY_SAME, training_arguments
from workbench.recipe.old_keys import RENAMED
from workbench.recipe.yaml_file import Document

INFO = "dataset_info.json"
LOSSES = ("sigmoid", "hinge", "ipo")
ATTENTION = {"disabled": "eager", "sdpa": "sdpa", "fa2": "flash_attention_2"}
DEFAULTS: dict[str, Any] = {"learning_rate": 5e-5, "max_length": 2048}
LORA_DEFAULTS: dict[str, Any] = {
    "lora_r": 8,
    "lora_dropout": 0.0,
    "lora_target_modules": "all-linear",
}
LORA_KEYS = (
    *("lora_rank", "lora_alpha", "lora_dropout", "lora_target", "additional_target"),
    *("use_rslora", "use_dora", "loraplus_lr_ratio", "pissa_init", "create_new_adapter"),
)
WHOSE = "LLaMA-Factory's default"


def stage_of(document: Document) -> str:
    """`sft` or `dpo`.

    Raises:
        ProblemError: It is another method, or other weights than LoRA's or all are trained.
    """
    data = document.data
    stage = str(data.get("stage") or "sft")
    if stage not in ("sft", "dpo"):
        raise refuse(f"stage: {stage} is neither DPO nor SFT", document.where(("stage",)))
    kind = data.get("finetuning_type") or "lora"
    if kind not in ("lora", "full"):
        hint = "LoRA, QLoRA and the training of all weights can be imported."
        where = document.where(("finetuning_type",))
        raise refuse(f"finetuning_type: {kind} is not LoRA", where, hint)
    loss = data.get("pref_loss") or "sigmoid"
    if stage == "dpo" and loss not in LOSSES:
        raise refuse(f"pref_loss: {loss} is not a loss of DPO", document.where(("pref_loss",)))
    return stage


def read_llama_factory(draft: Draft, folder: Path) -> None:
    """Read the whole file into the draft.

    Args:
        folder: The file's own, beside which `dataset_info.json` is looked for.
    """
    names = {**LLAMA_FACTORY, **{key: key for key in LLAMA_FACTORY_SAME}}
    for key, value in draft.data.items():
        if value is None:
            continue  # accounted for at the end
        if stay_out(draft, key, value):
            continue
        if key in LORA_KEYS and not _lora(draft):
            draft.drop((key,), "there is no adapter: all weights are trained")
        elif key in READERS:
            READERS[key](draft, key, value)
        elif key in names:
            draft.take((key,), {names[key]: value})
        elif key in training_arguments():
            draft.take((key,), {key: value})
        elif RENAMED.get(key) in training_arguments():
            draft.take((key,), {RENAMED[key]: value})
    if _lora(draft):
        draft.take(("finetuning_type",), {"use_peft": True})
    elif "finetuning_type" in draft.data:
        draft.tell(("finetuning_type",), "use_peft is off")
    _read_data(draft, folder)
    _assume(draft)
    draft.finish()


def _lora(draft: Draft) -> bool:
    return (draft.value("finetuning_type") or "lora") == "lora"


def _assume(draft: Draft) -> None:
    for key, value in DEFAULTS.items():
        draft.assume(key, value, WHOSE)
    if not _lora(draft):
        return
    for key, value in LORA_DEFAULTS.items():
        draft.assume(key, value, WHOSE)
    draft.assume("lora_alpha", 2 * draft.settings["lora_r"], f"{WHOSE}, twice lora_rank")


def _stage(draft: Draft, key: str, value: Any) -> None:
    draft.tell((key,), f"the stage {value}")


def _targets(draft: Draft, key: str, value: Any) -> None:
    draft.take((key,), {"lora_target_modules": "all-linear" if value == "all" else _names(value)})


def _names(value: Any) -> list[str]:
    items = value if isinstance(value, list) else str(value).split(",")
    return [str(item).strip() for item in items if str(item).strip()]


def _additional(draft: Draft, key: str, value: Any) -> None:
    draft.take((key,), {"lora_modules_to_save": _names(value)})


def _bits(draft: Draft, key: str, value: Any) -> None:
    if value == 8:
        draft.take((key,), {"load_in_8bit": True})
    elif value == 4:
        double = draft.value("double_quantization") is not False
        draft.take((key,), {"load_in_4bit": True, "use_bnb_nested_quant": double})
    else:
        draft.lack((key,), "Write load_in_4bit: true or load_in_8bit: true.")


def _of_four_bits(draft: Draft, key: str, value: Any) -> None:
    if draft.value("quantization_bit") != 4:
        draft.drop((key,), "it is of 4-bit weights alone")
    elif key == "double_quantization":
        draft.tell((key,), f"use_bnb_nested_quant: {str(bool(value)).lower()}")
    else:
        draft.take((key,), {LLAMA_FACTORY[key]: value})


def _method(draft: Draft, key: str, value: Any) -> None:
    if value == "bnb":
        draft.drop((key,), "it is the one that TRL uses")
    else:
        draft.lack((key,), "TRL quantizes with bitsandbytes.")


def _attention(draft: Draft, key: str, value: Any) -> None:
    name = str(value).lower()
    if name == "auto":
        draft.drop((key,), "transformers chooses by itself")
    elif value is False or name in ATTENTION:
        draft.take((key,), {"attn_implementation": ATTENTION.get(name, "eager")})
    else:
        draft.lack((key,), "Write attn_implementation: with a name that transformers knows.")


def _loss(draft: Draft, key: str, value: Any) -> None:
    if draft.stage != "dpo":
        draft.drop((key,), "it is a setting of DPO")
        return
    weight = draft.value("pref_ftx")
    if is_number(weight) and weight > 0:
        draft.tell((key,), f"loss_type: [{value}, sft]", "see pref_ftx")
    else:
        draft.take((key,), {"loss_type": [value]})


def _sft_term(draft: Draft, key: str, value: Any) -> None:
    if draft.stage != "dpo" or not value:
        draft.drop((key,), "it is off, or a setting of DPO")
    else:
        draft.take((key,), add_sft_loss(draft.value("pref_loss"), None, value))


def _smoothing(draft: Draft, key: str, value: Any) -> None:
    if not value:
        draft.drop((key,), "it is off")
    else:
        hint = "TRL's sigmoid loss reads no label_smoothing; loss_type: robust does, otherwise."
        draft.lack((key,), hint)


def _bf16(draft: Draft, key: str, value: Any) -> None:
    if key == "pure_bf16":
        if value:
            draft.take((key,), {"dtype": "bfloat16", "bf16": False})
        else:
            draft.drop((key,), "it is off")
    elif value is True:
        # LLaMA-Factory loads the weights in this type too; TRL would load them in 32 bits.
        draft.take((key,), {"bf16": True, "dtype": "bfloat16"})
    else:
        draft.take((key,), {key: value})


def _checkpointing(draft: Draft, key: str, value: Any) -> None:
    if value:
        draft.take((key,), {"gradient_checkpointing": False})
    else:
        draft.drop((key,), "TRL recomputes activations by itself")


def _template(draft: Draft, key: str, value: Any) -> None:
    draft.lack((key,), TEMPLATE_HINT)


def _packing(draft: Draft, key: str, value: Any) -> None:
    if draft.stage == "dpo" or not value:
        draft.drop((key,), "it is off, or of SFT alone")
    else:
        draft.take((key,), {"packing": True})


def _whole_rows(draft: Draft, key: str, value: Any) -> None:
    if not value:
        draft.drop((key,), "it is off")
    elif draft.stage == "sft":
        draft.take((key,), {"completion_only_loss": False})
    else:
        draft.drop((key,), "DPO scores the answers alone")


def _warmup(draft: Draft, key: str, value: Any) -> None:
    warmup_share(draft, (key,), value, steps=draft.value("warmup_steps"))


def _warmup_steps(draft: Draft, key: str, value: Any) -> None:
    if not value and draft.value("warmup_ratio"):
        draft.drop((key,), "it is 0, and warmup_ratio counts")
    else:
        draft.take((key,), {key: value})


def _read_data(draft: Draft, folder: Path) -> None:
    names = _names(draft.value("dataset") or [])
    info = _dataset_info(draft, folder)
    count = draft.value("max_samples")
    parts, renames = [], {}
    for name in names:
        part, columns = _part(name, info.get(name), folder)
        if is_number(count):
            part["split"] = f"{part.get('split', 'train')}[:{int(count)}]"
        parts.append(part)
        renames.update(columns)
    if "val_size" in draft.data:
        _val_size(draft)
    settings = data_settings(parts, draft.value("val_size") or None)
    draft.give(("dataset",), settings)
    if names:
        _tell_data(draft, [name for name in names if name not in info], settings, renames)
    if is_number(count):
        draft.tell(("max_samples",), f"split: train[:{int(count)}] of each data set")


def _tell_data(
    draft: Draft, unknown: list[str], settings: dict[str, Any], renames: dict[str, str]
) -> None:
    draft.tell(("dataset",), ", ".join(settings))
    if unknown:
        hint = (
            f"{', '.join(unknown)} would be described in {INFO}, which is not here: replace "
            f"each name by the hub id of the data, or by its file (path: json, data_files: FILE)."
        )
        draft.lack(("dataset",), hint)
    if hint := column_hint(renames):
        draft.lack(("dataset",), hint)


def _val_size(draft: Draft) -> None:
    value = draft.value("val_size")
    if value:
        draft.tell(("val_size",), f"test_split_size: {value}")
    else:
        draft.drop(("val_size",), "no rows are held out")


def _dataset_info(draft: Draft, folder: Path) -> dict[str, Any]:
    """The descriptions of data sets by name, from beside the file or from `dataset_dir`."""
    given = draft.value("dataset_dir")
    places = [folder / INFO, folder / "data" / INFO, Path("data") / INFO]
    if isinstance(given, str):
        draft.tell(("dataset_dir",), "the files of the data", f"looked for {INFO} there")
        places = [folder / given / INFO, Path(given) / INFO, *places]
    for place in places:
        try:
            found = json.loads(read_small(place))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            near = {"": str(place.parent)}
            return {k: {**near, **v} for k, v in found.items() if isinstance(v, dict)}
    return {}


def _part(name: str, info: dict[str, Any] | None, folder: Path) -> tuple[dict[str, Any], Any]:
    """TRL's description of a data set, and the columns that must be renamed."""
    if info is None:
        return {"path": name}, {}
    if isinstance(info.get("file_name"), str):
        place = Path(info[""]) / info["file_name"]
        part: dict[str, Any] = {"path": str(place.absolute())}
    else:
        part = {"path": str(info.get("hf_hub_url") or name)}
    part.update({new: info[old] for old, new in (("subset", "name"), ("split", "split"))
                 if info.get(old)})  # fmt: skip
    return part, dict(_renames(info))


def _renames(info: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """TRL's name of each column of a described data set, by the data's own."""
    columns = info.get("columns")
    columns = columns if isinstance(columns, dict) else {}
    if info.get("formatting", "alpaca") == "alpaca":
        yield str(columns.get("prompt", "instruction")), "prompt"
        if not info.get("ranking"):
            yield str(columns.get("response", "output")), "completion"
    else:
        yield (
            str(columns.get("messages", "conversations")),
            ("prompt" if info.get("ranking") else "messages"),
        )
    if info.get("ranking"):
        yield str(columns.get("chosen", "chosen")), "chosen"
        yield str(columns.get("rejected", "rejected")), "rejected"


READERS: dict[str, Reader] = {
    **dict.fromkeys(("packing", "neat_packing"), _packing),
    **dict.fromkeys(("bf16", "pure_bf16"), _bf16),
    **dict.fromkeys(("double_quantization", "quantization_type"), _of_four_bits),
    **dict.fromkeys(
        ("dataset", "dataset_dir", "finetuning_type", "max_samples", "val_size"),
        lambda draft, key, value: None,  # read together, after the rest
    ),
    "adapter_name_or_path": missing("Train with `dpo-workbench run RECIPE --from RUN`."),
    "additional_target": _additional,
    "deepspeed": launch.deepspeed,
    "disable_gradient_checkpointing": _checkpointing,
    "dpo_label_smoothing": _smoothing,
    "eval_dataset": missing("Write dataset_test_split:, or test_split_size: with datasets:."),
    "flash_attn": _attention,
    "fsdp": launch.fsdp,
    "fsdp_config": launch.fsdp_config,
    "lora_target": _targets,
    "overwrite_cache": needless("a changed file is read anew"),
    "overwrite_output_dir": needless("each run has a folder of its own"),
    "plot_loss": needless("the workbench plots every run"),
    "pref_ftx": _sft_term,
    "pref_loss": _loss,
    "quantization_bit": _bits,
    "quantization_method": _method,
    "ref_model": missing("The reference is the base model, the adapter switched off."),
    "stage": _stage,
    "template": _template,
    "train_on_prompt": _whole_rows,
    "use_unsloth": missing("The workbench has its own fast path, which is on by default."),
    "warmup_ratio": _warmup,
    "warmup_steps": _warmup_steps,
}
