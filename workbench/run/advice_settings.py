"""Known causes that lie in the recipe's settings or its data."""

from __future__ import annotations

import re

from workbench.base.problems import Problem
from workbench.recipe.weights import module_shapes
from workbench.run.advice_rows import Facts, Found, Row, problem, row, short
from workbench.run.memory_advice import architecture_of

TARGETS_KEY = "lora_target_modules"
ENUM_KEYS = {
    "IntervalStrategy": "eval_strategy",
    "SaveStrategy": "save_strategy",
    "SchedulerType": "lr_scheduler_type",
    "OptimizerNames": "optim",
    "HubStrategy": "hub_strategy",
}


def refused_choice(found: Found, facts: Facts) -> Problem | None:
    """A value that is none of a setting's choices."""
    value, kind, choices = found.group("value"), found.group("kind"), found.group("choices")
    key = ENUM_KEYS.get(kind)
    if key is None:
        return None
    key = next((k for k, v in facts.config.items() if str(v) == value), key)
    names = ", ".join(re.findall(r"'(\w{1,60})'", choices)[:8])
    return problem(f"{key}: there is no {short(value)}", key, f"Set {key} to one of {names}.")


def wrong_target(found: Found, facts: Facts) -> Problem:
    """LoRA layers that the model does not have, with those that it has."""
    named = ", ".join(sorted(re.findall(r"[\w.]{1,60}", found.group("names"))))
    config = architecture_of(facts.model)
    return target_problem(named, sorted(module_shapes(config)) if config else [])


def target_problem(named: str, known: list[str]) -> Problem:
    """The message about wrong LoRA layers.

    Args:
        known: The layers that the model has, where they are known.
    """
    hint = "Set lora_target_modules: all-linear, or leave it out to take the default."
    if known:
        hint = f"The model has: {', '.join(known)}. lora_target_modules: all-linear takes them all."
    what = f"the model has no layer named {short(named)} for LoRA"
    return problem(what, TARGETS_KEY, hint)


ADAPTER_ROWS = (
    row(
        "adapter on the head",
        r"Applying a PEFT adapter to `lm_head` is not supported",
        "an adapter on lm_head would never be trained",
        "lora_target_modules",
        "Remove lm_head from lora_target_modules.",
    ),
    Row(
        "wrong target",
        re.compile(r"Target modules (?P<names>[^\n]{1,400}?) not found in the base model"),
        wrong_target,
    ),
    row(
        "target of another kind",
        r"Target module (?P<names>[^\n(]{1,80})[^\n]{0,300} is not supported",
        "LoRA cannot adapt a layer of the kind {names}",
        "lora_target_modules",
        "Set lora_target_modules: all-linear, which takes every linear layer.",
    ),
    row(
        "no target",
        r"No modules were targeted for adaptation|Please specify `target_modules`",
        "the settings leave no layer for LoRA",
        "lora_target_modules",
        "Set lora_target_modules: all-linear.",
    ),
    row(
        "quantized without adapter",
        r"fine-tuning on purely quantized models",
        "quantized weights cannot be trained without LoRA",
        "use_peft",
        "Set use_peft: true, or load_in_4bit: false.",
    ),
    row(
        "nothing to train",
        r"optimizer got an empty parameter list",
        "nothing of the model is trainable",
        "lora_target_modules",
        "Set use_peft: true and lora_target_modules: all-linear.",
    ),
    row(
        "no gradient",
        r"element 0 of tensors does not require grad",
        "no gradient reaches the weights that should train",
        "gradient_checkpointing_kwargs",
        "Set gradient_checkpointing_kwargs: {{use_reentrant: false}} or gradient_checkpointing: "
        "false; check that lora_target_modules names layers of the model.",
    ),
    row(
        "checkpointing twice",
        r"mark a variable ready only once|[Rr]ecomputed values for the following tensors"
        r"|different number of tensors was saved",
        "gradient checkpointing does not work with this model as it is set",
        "gradient_checkpointing_kwargs",
        "Set gradient_checkpointing_kwargs: {{use_reentrant: false}}, or gradient_checkpointing: "
        "false.",
    ),
    row(
        "model and adapter settings",
        r"You passed a `PeftModel` instance together with a `peft_config`",
        "the model already carries an adapter, and a new one was asked for",
        "use_peft",
        "Set use_peft: false, or name the plain base model in model_name_or_path.",
    ),
    row(
        "the same reference",
        r"`model` and `ref_model` cannot be the same object"
        r"|passed both `?ref_model`? and `?peft_config",
        "a reference model of its own does not go together with LoRA here",
        "use_peft",
        "With use_peft: true the reference is the model without its adapter; name no other.",
    ),
    row(
        "moving reference with LoRA",
        r"`sync_ref_model=True` while using a PEFT model",
        "sync_ref_model does not work with LoRA",
        "sync_ref_model",
        "Remove sync_ref_model, or set use_peft: false.",
    ),
    row(
        "moving reference computed before",
        r"`sync_ref_model=True` together with `precompute_ref_log_probs=True`",
        "a reference that moves cannot be computed beforehand",
        "precompute_ref_log_probs",
        "Set precompute_ref_log_probs: false or sync_ref_model: false.",
    ),
    row(
        "reference of a stream",
        r"`precompute_ref_log_probs=True` is not supported with IterableDataset",
        "the reference of streamed data cannot be computed beforehand",
        "dataset_streaming",
        "Set precompute_ref_log_probs: false, or dataset_streaming: false.",
    ),
    row(
        "other optimizer state",
        r"doesn't match the size of optimizer's group|contains a parameter group that",
        "the checkpoint's optimizer belongs to other trainable weights",
        "lora_target_modules",
        "Resume with the lora_target_modules and lora_modules_to_save of the run, or start anew.",
    ),
)

PRECISION_ROWS = (
    row(
        "no bf16",
        r"setup doesn't support bf16|does(?: not|n't) support bfloat16",
        "bf16 does not work on this machine",
        "bf16",
        "Set bf16: false (and use_cpu: true without a GPU); an older GPU takes fp16: true.",
    ),
    row(
        "fp16 weights",
        r"Attempting to unscale FP16 gradients",
        "weights in float16 cannot be trained with fp16",
        "dtype",
        "Set dtype: float32 with fp16: true, or dtype: bfloat16 with bf16: true.",
    ),
    row(
        "no such arithmetic",
        r"not implemented for '(?P<kind>Half|BFloat16)'",
        "this machine cannot compute a step in {kind}",
        "dtype",
        "Set dtype: float32 and bf16: false.",
    ),
    row(
        "mixed kinds of numbers",
        r"expected (?:m1 and m2|mat1 and mat2|scalar type) [^\n]{0,60}(?:dtype|but found)",
        "weights of two kinds of numbers meet",
        "dtype",
        "Set dtype: float32, or dtype: bfloat16 with bf16: true.",
    ),
    row(
        "several devices",
        r"Expected all tensors to be on the same device|is not on the expected device",
        "parts of the model lie on different devices",
        "CUDA_VISIBLE_DEVICES",
        "Use one GPU (CUDA_VISIBLE_DEVICES: 0 under `env:`), and remove device_map from "
        "model_init_kwargs.",
    ),
    row(
        "several gpus in one process",
        r"does not support `nn\.DataParallel`",
        "TRL refuses to train one process on several GPUs",
        "num_processes",
        "Set num_processes to the number of GPUs, or CUDA_VISIBLE_DEVICES: 0 under `env:`.",
    ),
    row(
        "lost numbers",
        r"probability tensor contains either `inf`, `nan`",
        "the model computes no numbers any more (nan), so it cannot answer",
        "learning_rate",
        "Lower learning_rate or add warmup_steps and train anew; with float16 set dtype: bfloat16.",
    ),
)

DATA_ROWS = (
    row(
        "all rows dropped",
        r"num_samples should be a positive integer value, but got num_samples=0",
        "no row is left to train on: all are longer than max_length or empty",
        "max_length",
        "Raise max_length, or shorten the rows.",
    ),
    row(
        "empty data",
        r"corresponds to no data|EmptyDatasetError|doesn't contain any data files"
        r"|at least one example when writing data",
        "the data set has no rows",
        "{data}",
        "Look at the files that {data} names; one of them is empty.",
    ),
    row(
        "missing column",
        r"KeyError: '(?P<name>prompt|chosen|rejected|completion|messages|text)'"
        r"|[Cc]olumn names? (?P<other>[^\n]{1,80}) not in the dataset",
        "the data have no column {name}{other}",
        "{data}",
        "Rename the columns of {data}: dpo reads prompt, chosen and rejected; sft reads messages, "
        "or prompt and completion, or text.",
    ),
    row(
        "different columns",
        r"column names don't match|All the data files must have the same columns",
        "the files of the data set have different columns",
        "{data}",
        "Name files with the same columns in {data}, or give each its own entry.",
    ),
    row(
        "column of another kind",
        r"AttributeError: '(?P<kind>int|float|bool|list|dict|NoneType)' object has no attribute "
        r"'(?:endswith|startswith|strip)'|TextEncodeInput must be|text input must be of type `str`",
        "a column holds something else than texts or messages: {kind}",
        "{data}",
        "Make prompt, chosen and rejected of {data} all texts, or all lists of messages.",
    ),
    row(
        "broken data line",
        r"JSON parse error: (?P<reason>[^\n]{1,120})",
        "a line of the data is no JSON: {reason}",
        "{data}",
        "Correct that line; `dpo-workbench check RECIPE` names its number in {data}.",
    ),
    row(
        "broken data",
        r"\bDatasetGenerationError\b|\bArrowInvalid\b",
        "the data file is damaged or of another kind than its name says",
        "{data}",
        "Check that each file of {data} is whole and of the kind named (json, csv, parquet).",
    ),
    row(
        "several configurations",
        r"Config name is missing|BuilderConfig '(?P<name>[^'\n]{1,80})' not found",
        "the data set has no such configuration {name}",
        "dataset_config",
        "Set dataset_config to one of those that train.log lists.",
    ),
    row(
        "unknown split",
        r"Unknown split \"(?P<name>[^\"\n]{1,60})\"\. Should be one of (?P<known>[^\n]{0,200})\.",
        "the data set has no split {name}; it has {known}",
        "dataset_train_split",
        "Set dataset_train_split and dataset_test_split to splits that it has.",
    ),
    row(
        "no assistant mask",
        r"at least one example has no assistant tokens",
        "the chat template does not mark what the assistant says",
        "assistant_only_loss",
        "Set assistant_only_loss: false.",
    ),
)

VALUE_ROWS = (
    Row(
        "refused choice",
        re.compile(
            r"(?<!\S)(?P<value>\S{1,80}) is not a valid (?P<kind>\w{1,40}), "
            r"please select one of (?P<choices>\[[^\]\n]{1,2000}\])"
        ),
        refused_choice,
    ),
    row(
        "unknown loss",
        r"Unknown loss type: (?P<name>[^\s.]{1,60})",
        "loss_type: there is no {name}",
        "loss_type",
        "Set loss_type: sigmoid, or another of those that train.log lists.",
    ),
    row(
        "loss weights",
        r"`loss_weights` must have the same length as `loss_type`",
        "there is not one weight for each loss",
        "loss_weights",
        "Give loss_weights one number per entry of loss_type.",
    ),
    row(
        "label smoothing",
        r"Label smoothing must be greater than 0\.0 when using 'exo_pair'",
        "exo_pair needs label smoothing",
        "label_smoothing",
        "Set label_smoothing: 0.001.",
    ),
    row(
        "divergence",
        r"`f_divergence_type='(?P<name>\w{1,40})'` is only supported",
        "f_divergence_type {name} does not go together with this loss",
        "f_divergence_type",
        "Set f_divergence_type: reverse_kl.",
    ),
    row(
        "truncation",
        r"Unsupported truncation mode: (?P<name>[^\s,]{1,60})",
        "truncation_mode: there is no {name}",
        "truncation_mode",
        "Set truncation_mode: keep_start.",
    ),
    row(
        "best model",
        r"load_best_model_at_end requires the save and eval strategy to match",
        "load_best_model_at_end wants evaluations and checkpoints at the same steps",
        "load_best_model_at_end",
        "Set eval_strategy and save_strategy to the same, or load_best_model_at_end: false.",
    ),
    row(
        "unknown setting",
        r"Unknown arguments from config file: \[?'?-{0,2}(?P<name>\w{1,60})",
        "there is no setting {name}",
        "{name}",
        "Remove it, or look for its name with `dpo-workbench show RECIPE`.",
    ),
)
