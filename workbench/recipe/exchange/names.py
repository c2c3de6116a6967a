"""Which setting of another trainer means exactly what one of TRL's means, for both directions."""

from __future__ import annotations

import functools

from workbench.recipe.schema import load_schema

AXOLOTL = {
    "base_model": "model_name_or_path",
    "dpo_label_smoothing": "label_smoothing",
    "dpo_loss_type": "loss_type",
    "dpo_loss_weights": "loss_weights",
    "dpo_use_weighting": "use_weighting",
    "eval_batch_size": "per_device_eval_batch_size",
    "lr_scheduler": "lr_scheduler_type",
    "micro_batch_size": "per_device_train_batch_size",
    "num_epochs": "num_train_epochs",
    "optimizer": "optim",
    "peft_use_dora": "use_dora",
    "peft_use_rslora": "use_rslora",
    "revision_of_model": "model_revision",
    "rl_beta": "beta",
    "sequence_len": "max_length",
    "wandb_name": "run_name",
}
"""Axolotl's name of a setting, and TRL's."""

AXOLOTL_SAME = (
    "accelerator_config",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "attn_implementation",
    "auto_find_batch_size",
    "dataloader_drop_last",
    "dataloader_num_workers",
    "dataloader_pin_memory",
    "dataloader_prefetch_factor",
    "dataset_num_proc",
    "ddp_broadcast_buffers",
    "ddp_bucket_cap_mb",
    "ddp_find_unused_parameters",
    "ddp_timeout",
    "gradient_accumulation_steps",
    "gradient_checkpointing",
    "gradient_checkpointing_kwargs",
    "greater_is_better",
    "learning_rate",
    "load_best_model_at_end",
    "load_in_4bit",
    "load_in_8bit",
    "logging_steps",
    "lora_alpha",
    "lora_dropout",
    "lora_modules_to_save",
    "lora_r",
    "lora_target_modules",
    "lora_target_parameters",
    "lr_scheduler_kwargs",
    "max_grad_norm",
    "max_steps",
    "metric_for_best_model",
    "neftune_noise_alpha",
    "optim_args",
    "optim_target_modules",
    "output_dir",
    "precompute_ref_log_probs",
    "save_only_model",
    "save_total_limit",
    "seed",
    "tf32",
    "torch_compile",
    "torch_compile_backend",
    "torch_compile_mode",
    "torch_empty_cache_steps",
    "weight_decay",
)
"""Settings that have one name and one meaning in Axolotl and TRL."""

LLAMA_FACTORY = {
    "cutoff_len": "max_length",
    "enable_liger_kernel": "use_liger_kernel",
    "lora_rank": "lora_r",
    "moe_aux_loss_coef": "router_aux_loss_coef",
    "pref_beta": "beta",
    "preprocessing_num_workers": "dataset_num_proc",
    "quantization_type": "bnb_4bit_quant_type",
}
"""LLaMA-Factory's name of a setting, and TRL's."""

LLAMA_FACTORY_SAME = (
    "model_name_or_path",
    "model_revision",
    "lora_alpha",
    "lora_dropout",
    "use_rslora",
    "use_dora",
    "ld_alpha",
)
"""Settings beside transformers' own that have one name and one meaning in both."""

AUTOTRAIN = {
    "auto_find_batch_size": "auto_find_batch_size",
    "batch_size": "per_device_train_batch_size",
    "dpo_beta": "beta",
    "epochs": "num_train_epochs",
    "gradient_accumulation": "gradient_accumulation_steps",
    "logging_steps": "logging_steps",
    "lora_alpha": "lora_alpha",
    "lora_dropout": "lora_dropout",
    "lora_r": "lora_r",
    "lr": "learning_rate",
    "max_grad_norm": "max_grad_norm",
    "optimizer": "optim",
    "save_total_limit": "save_total_limit",
    "scheduler": "lr_scheduler_type",
    "seed": "seed",
    "weight_decay": "weight_decay",
}
"""AutoTrain's name of a parameter, and TRL's."""


@functools.cache
def training_arguments() -> frozenset[str]:
    """Names of the settings that transformers has for every trainer, TRL's own left out."""
    names = load_schema().names("sft")
    return frozenset(names[names.index("output_dir") : names.index("model_init_kwargs")])
