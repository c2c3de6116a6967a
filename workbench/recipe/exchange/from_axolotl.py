"""Axolotl's configs, of SFT and DPO with LoRA, QLoRA or all weights."""

from __future__ import annotations

from typing import Any

from workbench.base.files import is_number
from workbench.recipe.exchange import launch
from workbench.recipe.exchange.axolotl_data import read_datasets
from workbench.recipe.exchange.common import (
    TEMPLATE_HINT,
    TRACKERS,
    Reader,
    missing,
    needless,
    refuse,
    stay_out,
    warmup_share,
)
from workbench.recipe.exchange.draft import Draft
from workbench.recipe.exchange.names import AXOLOTL, AXOLOTL_SAME
from workbench.recipe.yaml_file import Document

ATTENTION = {
    "eager_attention": "eager",
    "flash_attention": "flash_attention_2",
    "flex_attention": "flex_attention",
    "sdp_attention": "sdpa",
}
DPO_LOSSES = {"dpo": None, "ipo": ["ipo"]}
OTHER_METHODS = ("reward_model", "process_reward_model", "pretraining_dataset", "relora")
PARALLEL = (
    *("context_parallel_size", "dp_replicate_size", "dp_shard_size"),
    *("sequence_parallel_degree", "tensor_parallel_size"),
)
DEFAULTS = {
    "num_train_epochs": 1.0,
    "per_device_train_batch_size": 1,
    "max_length": 512,
    "lr_scheduler_type": "cosine",
    "save_total_limit": 4,
}
WHOSE = "Axolotl's default"


def stage_of(document: Document) -> str:
    """`sft` or `dpo`.

    Raises:
        ProblemError: It is another method.
    """
    data = document.data
    for key in OTHER_METHODS:
        if data.get(key):
            raise refuse(f"{key} is neither DPO nor SFT", document.where((key,)))
    method = data.get("rl")
    if method and str(method) not in DPO_LOSSES:
        raise refuse(f"rl: {method} is neither DPO nor SFT", document.where(("rl",)))
    adapter = data.get("adapter")
    if adapter and adapter not in ("lora", "qlora"):
        hint = "LoRA, QLoRA and the training of all weights can be imported."
        raise refuse(f"adapter: {adapter} is not LoRA", document.where(("adapter",)), hint)
    return "dpo" if method else "sft"


def read_axolotl(draft: Draft) -> None:
    """Read the whole file into the draft."""
    names = {**AXOLOTL, **{key: key for key in AXOLOTL_SAME}}
    for key, value in draft.data.items():
        if value is None:
            continue  # accounted for at the end
        if stay_out(draft, key, value):
            continue
        if key in READERS:
            READERS[key](draft, key, value)
        elif key in names:
            draft.take((key,), {names[key]: value})
    read_datasets(draft)
    _assume(draft)
    draft.finish()


def _assume(draft: Draft) -> None:
    for key, value in DEFAULTS.items():
        draft.assume(key, value, WHOSE)
    if draft.settings.get("use_peft"):
        draft.assume("lora_dropout", 0.0, WHOSE)
    if not any(draft.value(key) is not None for key in ("warmup_steps", "warmup_ratio")):
        draft.assume("warmup_steps", 0.03, WHOSE)
    if "save_steps" not in draft.settings:
        draft.assume("save_strategy", "epoch", WHOSE)


def _method(draft: Draft, key: str, value: Any) -> None:
    losses = DPO_LOSSES[str(value)]
    if losses:
        draft.take((key,), {"loss_type": losses})
    else:
        draft.tell((key,), "the stage dpo")


def _adapter(draft: Draft, key: str, value: Any) -> None:
    draft.take((key,), {"use_peft": True, **({"load_in_4bit": True} if value == "qlora" else {})})


def _four_bits(draft: Draft, key: str, value: Any) -> None:
    if draft.value("adapter") == "qlora":
        draft.drop((key,), "adapter: qlora says it")
    else:
        draft.take((key,), {key: value})


def _lora(draft: Draft, key: str, value: Any) -> None:
    if not draft.value("adapter"):
        draft.drop((key,), "there is no adapter: all weights are trained")
    elif key == "lora_target_modules" and draft.value("lora_target_linear"):
        draft.drop((key,), "lora_target_linear takes all linear layers")
    else:
        draft.take((key,), {key: value})


def _all_linear(draft: Draft, key: str, value: Any) -> None:
    if value and draft.value("adapter"):
        draft.take((key,), {"lora_target_modules": "all-linear"})
    else:
        draft.drop((key,), "it is off, or there is no adapter")


def _bf16(draft: Draft, key: str, value: Any) -> None:
    if value == "auto":
        draft.drop((key,), "the precision follows the hardware here too")
    elif value == "full":
        draft.take((key,), {"dtype": "bfloat16", "bf16": False})
    elif value is True:
        # Axolotl loads the weights in this type too; TRL would load them in 32 bits.
        draft.take((key,), {"bf16": True, "dtype": "bfloat16"})
    else:
        draft.take((key,), {"bf16": value})


def _half(draft: Draft, key: str, value: Any) -> None:
    if not value:
        draft.drop((key,), "it is off")
    elif key == "fp16":
        draft.take((key,), {"fp16": True})
    else:
        dtype = {"bfloat16": "bfloat16", "float16": "float16", "float32": "float32"}[key]
        draft.take((key,), {"dtype": dtype, "bf16": False})


def _tf32(draft: Draft, key: str, value: Any) -> None:
    if value == "auto":
        draft.drop((key,), "transformers' own choice stays")
    else:
        draft.take((key,), {key: value})


def _attention(draft: Draft, key: str, value: Any) -> None:
    if not value:
        draft.drop((key,), "it is off")
    else:
        draft.take((key,), {"attn_implementation": ATTENTION[key]})


def _warmup_ratio(draft: Draft, key: str, value: Any) -> None:
    if draft.value("warmup_steps") is not None:
        draft.drop((key,), "warmup_steps counts where both are given")
    else:
        warmup_share(draft, (key,), value)


def _warmup_steps(draft: Draft, key: str, value: Any) -> None:
    draft.take((key,), {key: value})


def _saves(draft: Draft, key: str, value: Any) -> None:
    if key == "save_steps":
        draft.take((key,), {"save_strategy": "steps", "save_steps": value})
    elif key == "save_strategy":
        if draft.value("save_steps") or draft.value("saves_per_epoch"):
            draft.drop((key,), "save_steps or saves_per_epoch counts")
        else:
            draft.take((key,), {key: value})
    else:
        _per_epoch(draft, key, value, "save")


def _per_epoch(draft: Draft, key: str, value: Any, what: str) -> None:
    epochs = draft.value("num_epochs")
    epochs = epochs if is_number(epochs) and epochs > 0 else DEFAULTS["num_train_epochs"]
    if not is_number(value) or value < 0:
        draft.lack((key,), f"Write {what}_steps: with a number of steps, or a share below 1.")
    elif value == 0:
        draft.drop((key,), "it is off")
    elif value * epochs <= 1:
        strategy = {f"{what}_strategy": "epoch"}
        draft.take((key,), strategy, "once an epoch, and there is no more than one")
    else:
        note = "a share of all steps"
        steps = round(1 / (value * epochs), 6)
        draft.take((key,), {f"{what}_strategy": "steps", f"{what}_steps": steps}, note)


def _evals(draft: Draft, key: str, value: Any) -> None:
    if not draft.value("val_set_size") and not draft.value("test_datasets"):
        if key == "evals_per_epoch" and not value:
            draft.take((key,), {"eval_strategy": "no"})
        else:
            draft.drop((key,), "no rows are held out, so that nothing is evaluated")
    elif key == "evals_per_epoch":
        if value:
            _per_epoch(draft, key, value, "eval")
        else:
            draft.take((key,), {"eval_strategy": "no"})
    elif key == "eval_steps":
        draft.take((key,), {"eval_strategy": "steps", "eval_steps": value})
    elif draft.value("eval_steps") or draft.value("evals_per_epoch"):
        draft.drop((key,), "eval_steps or evals_per_epoch counts")
    else:
        draft.take((key,), {key: value})


def _packing(draft: Draft, key: str, value: Any) -> None:
    if draft.stage == "dpo":
        draft.drop((key,), "DPO packs nothing; the workbench pads nothing anyway")
    elif key == "sample_packing":
        draft.take((key,), {"packing": value})
    elif draft.value("sample_packing"):
        draft.take((key,), {"eval_packing": value})
    else:
        draft.drop((key,), "nothing is packed")


def _template(draft: Draft, key: str, value: Any) -> None:
    if value == "tokenizer_default":
        draft.drop((key,), "the tokenizer's chat template is what TRL uses")
    else:
        draft.lack((key,), TEMPLATE_HINT)


def _special_tokens(draft: Draft, key: str, value: Any) -> None:
    if not isinstance(value, dict):
        draft.lack((key,), "Set them in the tokenizer.")
        return
    for name, token in value.items():
        known = name == "pad_token" or (name == "eos_token" and draft.stage == "sft")
        if token is not None and known:
            draft.take((key, name), {name: token})
        elif token is not None:
            draft.lack((key, name), "Set it in the model's tokenizer and save that.")


def _wandb_project(draft: Draft, key: str, value: Any) -> None:
    settings: dict[str, Any] = {"env": {"WANDB_PROJECT": value}}
    if "report_to" not in draft.settings:
        settings["report_to"] = ["wandb"]
    draft.take((key,), settings)


def _tracker(draft: Draft, key: str, value: Any) -> None:
    if not value:
        draft.drop((key,), "it is off")
        return
    name = key.removeprefix("use_")
    others = draft.settings.pop("report_to", [])
    draft.take((key,), {"report_to": list(dict.fromkeys([*others, name]))})


def _batch_size(draft: Draft, key: str, value: Any) -> None:
    micro = draft.value("micro_batch_size") or 1
    if draft.value("gradient_accumulation_steps") or not is_number(value) or value < micro:
        draft.drop((key,), "micro_batch_size and gradient_accumulation_steps count")
    else:
        draft.take((key,), {"gradient_accumulation_steps": int(value // micro)})


def _smallest_rate(draft: Draft, key: str, value: Any) -> None:
    draft.settings.pop("lr_scheduler_type", None)
    kind = "cosine_with_min_lr"
    settings = {"lr_scheduler_type": kind, "lr_scheduler_kwargs": {"min_lr_rate": value}}
    draft.take((key,), settings)


def _scheduler(draft: Draft, key: str, value: Any) -> None:
    if is_number(draft.value("cosine_min_lr_ratio")):
        draft.drop((key,), "cosine_min_lr_ratio says it")
    else:
        draft.take((key,), {"lr_scheduler_type": value})


def _liger(draft: Draft, key: str, value: Any) -> None:
    if not value:
        draft.drop((key,), "it is off")
    elif draft.settings.get("use_liger_kernel"):
        draft.drop((key,), "use_liger_kernel turns all of its kernels on")
    else:
        draft.take((key,), {"use_liger_kernel": True})


def _plugins(draft: Draft, key: str, value: Any) -> None:
    names = [str(name) for name in (value if isinstance(value, list) else [value])]
    others = [name for name in names if "liger" not in name.lower()]
    if others:
        draft.lack((key,), f"{', '.join(others)}: TRL has no plugins.")
    else:
        draft.drop((key,), "use_liger_kernel needs no plugin")


def _trl_section(draft: Draft, key: str, value: Any) -> None:
    if isinstance(value, dict) and value.get("beta") is not None:
        draft.take((key, "beta"), {"beta": value["beta"]})


def _shuffling(draft: Draft, key: str, value: Any) -> None:
    draft.drop((key,), "the training shuffles the rows")


def _answers_alone(draft: Draft, key: str, value: Any) -> None:
    if draft.stage == "dpo":
        draft.drop((key,), "DPO scores the answers alone")
    elif value:
        draft.take((key,), {"completion_only_loss": False})
    else:
        hint = "TRL leaves out the prompt of prompt/completion rows by itself; for rows of messages"
        draft.lack((key,), f"{hint} write assistant_only_loss: true.")


def _loss_type(draft: Draft, key: str, value: Any) -> None:
    if str(draft.value("rl")) == "ipo":
        draft.drop((key,), "rl: ipo says it")
    else:
        draft.take((key,), {AXOLOTL[key]: value})


BY_ITSELF = needless("transformers finds it by itself")
CACHE = needless("TRL keeps prepared data by itself")
WATCHED = needless("a run whose loss diverges is told by the workbench itself")
READERS: dict[str, Reader] = {
    **dict.fromkeys(ATTENTION, _attention),
    **dict.fromkeys(PARALLEL, launch.division),
    **{f"use_{name.removesuffix('_ml')}": _tracker for name in TRACKERS if name != "swanlab"},
    **dict.fromkeys(("save_steps", "save_strategy", "saves_per_epoch"), _saves),
    **dict.fromkeys(("eval_steps", "eval_strategy", "evals_per_epoch"), _evals),
    **dict.fromkeys(("sample_packing", "eval_sample_packing"), _packing),
    **dict.fromkeys(("fp16", "bfloat16", "float16", "float32"), _half),
    **dict.fromkeys(
        ("lora_alpha", "lora_dropout", "lora_modules_to_save", "lora_r", "lora_target_modules"),
        _lora,
    ),
    **dict.fromkeys(("model_type", "tokenizer_type", "is_llama_derived_model"), BY_ITSELF),
    **dict.fromkeys(("dataset_prepared_path", "dataset_keep_in_memory"), CACHE),
    **dict.fromkeys(("loss_watchdog_threshold", "loss_watchdog_patience"), WATCHED),
    **dict.fromkeys(
        (
            "liger_rope",
            "liger_rms_norm",
            "liger_glu_activation",
            "liger_layer_norm",
            "liger_cross_entropy",
            "liger_fused_linear_cross_entropy",
            "dpo_use_liger_kernel",
        ),
        _liger,
    ),
    **dict.fromkeys(("shuffle_merged_datasets", "shuffle_before_merging_datasets"), _shuffling),
    "adapter": _adapter,
    "batch_size": _batch_size,
    "bf16": _bf16,
    "chat_template": _template,
    "chat_template_jinja": _template,
    "cosine_min_lr_ratio": _smallest_rate,
    "deepspeed": launch.deepspeed,
    "dataset_processes": lambda draft, key, value: _as(draft, key, "dataset_num_proc", value),
    "dpo_loss_type": _loss_type,
    "early_stopping_patience": missing("The best checkpoint is kept by load_best_model_at_end."),
    "experimental_skip_move_to_device": needless("it is a detail of Axolotl's own loading"),
    "fsdp": launch.fsdp,
    "fsdp_config": launch.fsdp_config,
    "fsdp_version": launch.fsdp_version,
    "group_by_length": lambda draft, key, value: _grouped(draft, key, value),
    "load_in_4bit": _four_bits,
    "lora_target_linear": _all_linear,
    "lr_scheduler": _scheduler,
    "pad_to_sequence_len": needless("the workbench pads nothing"),
    "plugins": _plugins,
    "rl": _method,
    "save_safetensors": needless("weights are always saved as safetensors"),
    "special_tokens": _special_tokens,
    "strict": needless("a recipe is always checked strictly"),
    "tf32": _tf32,
    "train_on_inputs": _answers_alone,
    "trl": _trl_section,
    "wandb_project": _wandb_project,
    "warmup_ratio": _warmup_ratio,
    "warmup_steps": _warmup_steps,
}


def _as(draft: Draft, key: str, new: str, value: Any) -> None:
    draft.take((key,), {new: value})


def _grouped(draft: Draft, key: str, value: Any) -> None:
    if value:
        draft.take((key,), {"train_sampling_strategy": "group_by_length"})
    else:
        draft.drop((key,), "it is off")
