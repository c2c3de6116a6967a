"""Settings that TRL and transformers no longer know, and what takes their place."""

from __future__ import annotations

from typing import Any

from workbench.base.problems import Problem

RENAMED = {
    "evaluation_strategy": "eval_strategy",
    "max_seq_length": "max_length",
    "no_cuda": "use_cpu",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "precompute_ref_eval_batch_size": "precompute_ref_batch_size",
    "preprocessing_num_workers": "dataset_num_proc",
    "ref_model_init_kwargs": "model_init_kwargs",
    "torch_dtype": "dtype",
    "use_liger_loss": "use_liger_kernel",
    "warmup_ratio": "warmup_steps",
}
"""Old name to new one; the value stays. A `warmup_steps` below 1 is a share of all steps."""

CUT = "Delete it: max_length and truncation_mode cut the whole row."
BY_ITSELF = "Delete it: TRL finds it by itself."
OWN_FOLDER = "Delete it: each run has a folder of its own."
GONE = {
    "base_model_attribute_name": BY_ITSELF,
    "chat_template": "Write chat_template_path: with a file or a folder that has one.",
    "chars_per_token": BY_ITSELF,
    "cpo_alpha": "Write loss_type: [sigmoid, sft] with loss_weights.",
    "dataset_configs": "Write datasets: with a name for each entry.",
    "dataset_mixer": "Write datasets: with a path and a fraction for each entry.",
    "dataset_mixture": "Write datasets: with a path and a fraction for each entry.",
    "dataset_splits": "Write dataset_train_split and dataset_test_split.",
    "dispatch_batches": "Write accelerator_config: {dispatch_batches: ...}.",
    "force_use_ref_model": "Delete it: there is always a reference.",
    "fp16_backend": BY_ITSELF,
    "fp16_opt_level": BY_ITSELF,
    "generate_during_eval": "Write probe_prompts: they are answered before and after each stage.",
    "group_by_length": "Write train_sampling_strategy: group_by_length.",
    "half_precision_backend": BY_ITSELF,
    "hub_model_revision": "Delete it, or write model_revision for that of the base model.",
    "is_encoder_decoder": BY_ITSELF,
    "label_pad_token_id": BY_ITSELF,
    "logging_dir": OWN_FOLDER,
    "max_completion_length": CUT,
    "max_prompt_length": CUT,
    "max_target_length": CUT,
    "model_adapter_name": BY_ITSELF,
    "num_of_sequences": BY_ITSELF,
    "overwrite_output_dir": OWN_FOLDER,
    "padding_value": BY_ITSELF,
    "ref_adapter_name": BY_ITSELF,
    "reference_free": "Delete it: every loss of today's TRL has a reference.",
    "save_safetensors": "Delete it: weights are always saved as safetensors.",
    "split_batches": "Write accelerator_config: {split_batches: ...}.",
    "tools": "Put them into a column tools of the data.",
    "use_flash_attention_2": "Write attn_implementation: flash_attention_2.",
    "use_logits_to_keep": BY_ITSELF,
}
"""Old name to what to do instead."""


def old_key(key: str, value: Any, where: str) -> Problem | None:
    """The problem of an outdated setting; None where it was never one."""
    if key == "rpo_alpha":
        hint = f"Write loss_type: [sigmoid, sft] and loss_weights: [1.0, {value}]."
        return Problem("rpo_alpha is gone from TRL", where, hint)
    if key in GONE:
        return Problem(f"{key} is gone from TRL", where, GONE[key])
    if key not in RENAMED:
        return None
    share = "; below 1 it is a share of all steps" if key == "warmup_ratio" else ""
    hint = f"Write {RENAMED[key]}: {value}{share}."
    return Problem(f"{key} is called {RENAMED[key]} now", where, hint)
