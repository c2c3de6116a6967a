"""Guides to data, training and evaluation."""

from __future__ import annotations

from workbench.recipe.guide.entry import section
from workbench.recipe.rules.schedule import LORA_RATES

DATA = section(
    "Data",
    (
        *("datasets", "Data sets", "", "one file"),
        "What is trained on, local files included: a list of path, data_files and split, with "
        "shares (fraction) for a mixture. DPO reads prompt, chosen, rejected; SFT reads messages, "
        "prompt and completion, or text.",
    ),
    (
        *("test_split_size", "Held-out share", "share", "0.05 to 0.2"),
        "Takes this share of the rows out of `datasets` for evaluation. A hundred pairs or more "
        "make the held-out accuracy steady enough to compare runs.",
    ),
    (
        *("data_format", "Shape of the rows", "", "unset"),
        "Rows that TRL cannot read as they stand are mapped to its columns by their shape, which "
        "is guessed. A name of `dpo-workbench data --formats` settles it; trl leaves them alone.",
    ),
    (
        *("columns", "Names of the columns", "", "unset"),
        "Says which column is the prompt, chosen, rejected and so on where the guess is wrong: "
        "{prompt: question, chosen: better}.",
    ),
    (
        *("pairs", "Pairs of ranked answers", "", "all"),
        "Several ranked answers to one prompt make pairs of any two (all), of neighbours "
        "(adjacent), or of the first and the last (best_worst).",
    ),
    (
        *("dataset_name", "Data set", "", "a hub name or a folder"),
        "One data set from the hub or from a folder, in place of `datasets`; where both are given, "
        "`datasets` wins. It brings its own splits.",
    ),
    (
        *("dataset_config", "Configuration", "", "unset"),
        "Which part of a hub data set is meant, where it has several. Goes with dataset_name only.",
    ),
    (
        *("dataset_train_split", "Training split", "", "train"),
        "The split that is trained on. Leave it at train with `datasets`, whose own splits are "
        "named there.",
    ),
    (
        *("dataset_test_split", "Evaluation split", "", "test"),
        "The split that evaluations read; only needed when eval_strategy is on. Leave it at test "
        "with `datasets` and test_split_size.",
    ),
    (
        *("max_length", "Longest row", "tokens", {"sft": "512 to 4096", "dpo": "512 to 2048"}),
        "Prompt and answer together; what is longer is cut, and a row whose prompt fills it is "
        "dropped. Activations grow in proportion: the first thing to halve when memory runs out.",
    ),
    (
        *("truncation_mode", "Cut off at", "", "keep_start"),
        "Which end of an overlong row is lost. keep_start may lose the end of an answer, keep_end "
        "the system prompt.",
    ),
    (
        *("dataset_num_proc", "Preparation processes", "processes", "half of the CPU cores"),
        "Processes that tokenize the rows before training. Saves minutes with large data; each "
        "takes some memory of its own.",
    ),
    (
        *("dataset_streaming", "Stream dataset_name", "", "false"),
        "Reads rows of dataset_name while it trains instead of downloading all first. Needs "
        "max_steps, and rows cannot be counted or shuffled as a whole.",
    ),
    (
        *("streaming", "Stream datasets", "", "false"),
        "The same for `datasets`. Not together with fraction or test_split_size.",
    ),
    (
        *("dataloader_num_workers", "Loader processes", "processes", "0 to 4"),
        "Processes that make batches beside training. The rows are tokenized already, so 0 is "
        "mostly fast enough.",
    ),
    (
        *("dataloader_drop_last", "Drop a half batch", "", "false"),
        "Leaves out the last batch of an epoch when it is not full. With little data that is "
        "a good part of it.",
    ),
    (
        *("data_seed", "Seed of the order", "", "unset"),
        "A seed of its own for the order of the rows; unset takes seed.",
    ),
)
"""What is trained on, and how it is cut."""

TRAINING = section(
    "Training",
    (
        *("learning_rate", "Learning rate", ""),
        {stage: usual for stage, (_, _, usual) in LORA_RATES.items()},
        "How far a step moves the weights, at its highest. The first setting to try: too low and "
        "nothing changes, too high and text falls apart. DPO wants a tenth of SFT's or less.",
    ),
    (
        *("num_train_epochs", "Epochs", "passes", {"sft": "1 to 3", "dpo": "1 to 2"}),
        "How often each row is seen; time grows in proportion. More passes over few rows are "
        "learned by heart: watch the held-out loss.",
    ),
    (
        *("max_steps", "Steps", "steps", "-1, or 100 to 1000"),
        "Ends training after this many optimizer steps, whatever the epochs say; -1 leaves it to "
        "them. A small number makes a quick trial.",
    ),
    (
        *("per_device_train_batch_size", "Batch size"),
        *("rows on a device", {"sft": "1 to 16", "dpo": "1 to 8"}),
        "Rows computed at once on one GPU. Activations grow in proportion, and a DPO pair counts "
        "as two rows. Halve it when memory runs out, and double the accumulation.",
    ),
    (
        *("gradient_accumulation_steps", "Accumulate gradients", "batches", "1 to 32"),
        "Batches that are added up before a step. Batch size times this times GPUs is what a step "
        "learns from, usually 16 to 64. Costs time in proportion, hardly any memory.",
    ),
    (
        *("gradient_checkpointing", "Recompute activations", "", "true when memory is short"),
        "Keeps few activations and computes the rest again in the backward pass: much less memory, "
        "steps a fifth to a half slower. Where a LoRA recipe says nothing, the workbench turns it "
        "off if memory suffices.",
    ),
    (
        *("activation_offloading", "Activations to RAM", "", "false"),
        "Moves activations to the host's memory until the backward pass. Saves GPU memory, costs "
        "time on the bus. Try it when recomputing alone is not enough.",
    ),
    (
        *("optim", "Optimizer", "", "adamw_torch_fused"),
        "How gradients become steps. AdamW keeps two numbers a trained weight, which is little "
        "with LoRA; 8-bit and paged ones save memory mainly with all weights or high ranks.",
    ),
    (
        *("lr_scheduler_type", "Learning rate schedule", "", "cosine or linear"),
        "How the learning rate falls after the warmup. linear and cosine both end at 0; which one "
        "matters far less than the rate itself.",
    ),
    (
        *("lr_scheduler_kwargs", "Schedule options", "", "unset"),
        "What a schedule wants besides, such as {min_lr_rate: 0.1} for cosine_with_min_lr.",
    ),
    (
        *("warmup_steps", "Warmup", "steps, below 1 a share", "0.03 to 0.1"),
        "Steps over which the learning rate rises from 0. Guards the first steps, while the "
        "optimizer knows little of the gradients. Below 1 it is a share of all steps.",
    ),
    (
        *("weight_decay", "Weight decay", "", "0 to 0.1"),
        "Pulls the trained weights towards 0 in each step. With LoRA that pulls the model towards "
        "the base; it matters little in short runs.",
    ),
    (
        *("max_grad_norm", "Largest gradient norm", "", "0.3 to 1"),
        "Gradients longer than this are scaled down, so that one odd batch does no harm; 0 turns "
        "it off. Lower it when grad_norm has spikes.",
    ),
    (
        *("adam_beta1", "Adam beta 1", "", "0.9"),
        "Memory of past gradients: 0.9 averages over about ten steps. Seldom worth a change.",
    ),
    (
        *("adam_beta2", "Adam beta 2", "", "0.95 to 0.999"),
        "Memory of the gradients' size. Runs of a few hundred steps may do better with 0.98 or "
        "less.",
    ),
    (
        *("adam_epsilon", "Adam epsilon", "", "1e-8 to 1e-6"),
        "Keeps Adam from dividing by almost 0. Seldom worth a change.",
    ),
    (
        *("bf16", "bf16 mixed precision", "", "true, or false with dtype bfloat16"),
        "Computes in bfloat16 while the weights keep their type. On unless fp16 is; beside a base "
        "in bfloat16 the workbench turns it off for LoRA, where it would only cost time.",
    ),
    (
        *("fp16", "fp16 mixed precision", "", "false"),
        "Computes in float16 and scales the loss against underflow. For GPUs without bfloat16 "
        "only: it overflows more easily.",
    ),
    (
        *("tf32", "TF32 products", "", "unset"),
        "Lets GPUs since Ampere multiply float32 with fewer digits, several times faster. No use "
        "where everything runs in bfloat16.",
    ),
    (
        *("torch_compile", "Compile the model", "", "false"),
        "Lets PyTorch compile the model: minutes at the start, faster steps later. The workbench "
        "then trains by TRL's own path, which is often the slower of the two.",
    ),
    (
        *("use_liger_kernel", "Liger kernels", "", "false"),
        "Swaps in Triton kernels for some layers, on GPUs. TRL has announced its end, and the "
        "workbench has operations of its own.",
    ),
    (
        *("padding_free", "No padding (TRL)", "", "false"),
        "TRL's way to leave out padding, in SFT only and with flash attention. Not needed: the "
        "workbench computes no padding anyway.",
    ),
    (
        *("train_sampling_strategy", "Order of rows", "", "random"),
        "Which rows share a batch. group_by_length evens out batches, so that they need less "
        "memory or padding; it stops DPO, whose rows have no single length.",
    ),
    (
        *("neftune_noise_alpha", "Noise on inputs (NEFTune)", "", {"sft": "unset, or 5 to 15"}),
        "Adds noise to the embeddings while it trains. Can make SFT on few instructions answer "
        "more fully; not meant for DPO. Costs nothing to speak of.",
    ),
    (
        *("router_aux_loss_coef", "Expert balance", "", "unset"),
        "For mixture-of-experts models: how much an even use of the experts counts. Unset takes "
        "the model's own; fails with other models.",
    ),
    (
        *("auto_find_batch_size", "Shrink batch when full", "", "false"),
        "When memory runs out, begins anew with a tenth fewer rows a batch. The effective batch "
        "shrinks with it, so two such runs may not be alike.",
    ),
    (
        *("torch_empty_cache_steps", "Empty GPU cache every", "steps", "unset"),
        "Gives unused GPU memory back every so many steps. Helps when others share the GPU or "
        "memory is in pieces; steps get about a tenth slower.",
    ),
    (
        *("logging_strategy", "Log by", "", "steps"),
        "When numbers for the charts are written.",
    ),
    (
        *("logging_steps", "Log every", "steps, below 1 a share", "1 to 10"),
        "Steps between two points of the charts, each the mean of the steps since the last. 1 "
        "costs almost nothing.",
    ),
    (
        *("save_strategy", "Save checkpoints by", "", "steps"),
        "When a checkpoint is written, from which a run can go on. Stopping a run writes one in "
        "any case.",
    ),
    (
        *("save_steps", "Save every", "steps, below 1 a share", "50 to 500"),
        "Steps between two checkpoints: what a crash can cost. A LoRA checkpoint is small, the "
        "adapter and twice as much for the optimizer.",
    ),
    (
        *("save_total_limit", "Checkpoints kept", "", "1 to 3"),
        "Deletes older checkpoints beyond this many, but not the best one. Unset keeps them all.",
    ),
    (
        *("save_only_model", "Weights only", "", "false"),
        "Leaves optimizer and schedule out of checkpoints: about a third of the size, but no run "
        "can resume from them.",
    ),
    (
        *("full_determinism", "Same to the last bit", "", "false"),
        "Allows only operations that repeat exactly. Slower; for finding faults, not for training.",
    ),
    (
        *("use_cpu", "Train on the CPU", "", "false"),
        "Leaves a GPU alone. Good for tiny models and trials; without a GPU the workbench sets it.",
    ),
    (
        *("report_to", "Trackers", "", "none"),
        "Services that get the metrics too, such as tensorboard or wandb. The charts here need "
        "none; some send data off this machine.",
    ),
    (
        *("run_name", "Name at trackers", "", "unset"),
        "What the run is called in wandb and the like. No effect without report_to.",
    ),
)
"""How the weights are moved, and what is written meanwhile."""

EVALUATION = section(
    "Evaluation",
    (
        *("eval_strategy", "Evaluate by", "", "steps"),
        "When held-out rows are scored, the honest sign of learning: eval_rewards/accuracies in "
        "DPO, eval_loss in SFT. Needs a test split or test_split_size.",
    ),
    (
        *("eval_steps", "Evaluate every", "steps, below 1 a share", "20 to 200"),
        "Steps between two evaluations; unset takes logging_steps. Each reads all held-out rows, "
        "for a third to a half of the time that training on them takes.",
    ),
    (
        *("eval_delay", "First evaluation after", "steps or epochs", "0"),
        "No evaluation before this many steps, or epochs where it evaluates by epoch.",
    ),
    (
        *("per_device_eval_batch_size", "Evaluation batch size", "rows on a device", "2 to 16"),
        "Rows scored at once. No gradients are kept, so it may be twice the training batch; lower "
        "it if an evaluation runs out of memory.",
    ),
    (
        *("eval_on_start", "Evaluate before training", "", "false"),
        "One evaluation before the first step: the numbers of the start, and proof that evaluation "
        "works. Costs one pass over the held-out rows.",
    ),
    (
        *("eval_packing", "Pack held-out rows", "", "unset"),
        "Whether evaluations of SFT pack rows as well; unset does as packing says. false gives "
        "numbers that compare with runs without packing.",
    ),
    (
        *("load_best_model_at_end", "Keep the best", "", "false; true for several epochs"),
        "Ends with the weights of the best evaluation, not the last. Needs checkpoints as often as "
        "evaluations.",
    ),
    (
        *("metric_for_best_model", "Best by", ""),
        {"sft": "eval_loss", "dpo": "eval_rewards/accuracies or eval_loss"},
        "The number that tells the best evaluation; loss where it is unset.",
    ),
    (
        *("greater_is_better", "More is better", "", "unset"),
        "Which way the metric goes. Unset knows that names ending in loss should fall and all "
        "others rise.",
    ),
)
"""What is measured on held-out rows."""
