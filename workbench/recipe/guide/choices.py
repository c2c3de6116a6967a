"""A word on the choices of settings that have some."""

from __future__ import annotations

LOSSES: dict[str, str] = {
    "sigmoid": "the original DPO loss (DPO)",
    "hinge": "no more push once the margin is reached (SLiC)",
    "ipo": "aims at a fixed margin a token, overfits less (IPO)",
    "exo_pair": "reverse KL to softened labels (EXO)",
    "nca_pair": "keeps chosen answers likely (NCA)",
    "robust": "expects a share of wrong labels (rDPO)",
    "bco_pair": "tells good from bad one by one (BCO, no shift)",
    "sppo_hard": "pulls both answers to fixed rewards (SPPO)",
    "aot": "compares sorted margins of a batch (AOT)",
    "aot_unpaired": "compares sorted rewards, not pairs (AOT)",
    "apo_zero": "chosen up, rejected down: chosen beats the model (APO)",
    "apo_down": "both down, rejected more: the model is better (APO)",
    "discopop": "a loss found by search, logistic and exp (DiscoPOP)",
    "sft": "likelihood of chosen answers, as an extra term",
    "sigmoid_norm": "DPO on rewards a token, less length bias",
}
"""DPO's loss types, and what each of them is for."""

CHOICES: dict[str, dict[str, str]] = {
    "accelerate_config": {
        "single_gpu": "one process, as without",
        "multi_gpu": "rows divided; a whole model on each GPU",
        "fsdp1": "model divided as well, PyTorch's older way",
        "fsdp2": "model divided as well, PyTorch's way of today",
        "zero1": "optimizer divided; needs deepspeed",
        "zero2": "optimizer and gradients divided",
        "zero3": "optimizer, gradients and model divided",
    },
    "dtype": {
        "auto": "as the model's files say",
        "bfloat16": "2 bytes, range of float32; usual",
        "float16": "2 bytes, overflows easily; older GPUs",
        "float32": "4 bytes, exact and large",
    },
    "bnb_4bit_quant_type": {
        "nf4": "levels fit the weights; usual",
        "fp4": "a 4-bit floating-point number",
    },
    "attn_implementation": {
        "sdpa": "PyTorch's own, the default for most models",
        "eager": "plain and slow, for finding faults",
        "flash_attention_2": "fast for long rows; needs flash-attn",
        "flash_attention_3": "for Hopper GPUs; needs its package",
        "flex_attention": "compiled by PyTorch",
    },
    "shared_prefix": {
        "auto": "no padding, prompts once, where it can",
        "off": "TRL's own path",
    },
    "pairs": {
        "all": "any two answers of different rank",
        "adjacent": "neighbours in the ranking",
        "best_worst": "the best against the worst",
    },
    "loss_type": LOSSES
    | {
        "nll": "SFT: likelihood of every answer token",
        "dft": "SFT: unlikely tokens count less (DFT)",
        "chunked_nll": "SFT: an old name of nll",
    },
    "packing_strategy": {
        "bfd": "whole rows, best fit; cuts overlong ones",
        "bfd_split": "best fit; splits overlong rows, loses nothing",
        "wrapped": "one stream cut into blocks; rows mix",
    },
    "f_divergence_type": {
        "reverse_kl": "plain DPO",
        "forward_kl": "covers more kinds of answers",
        "js_divergence": "between forward and reverse KL",
        "alpha_divergence": "by f_alpha_divergence_coef, between both KL",
    },
    "truncation_mode": {
        "keep_start": "cut off the end",
        "keep_end": "cut off the start; gone from TRL 2",
    },
    "train_sampling_strategy": {
        "random": "shuffled in each epoch; usual",
        "sequential": "in the order of the file",
        "group_by_length": "SFT: rows of like length together",
        "batch_rebalance": "SFT: even load for devices and steps",
    },
    "optim": {
        "adamw_torch_fused": "AdamW in one kernel; the default",
        "adamw_torch": "AdamW, plain",
        "adamw_torch_8bit": "AdamW, 8-bit state; needs torchao",
        "adamw_torch_4bit": "AdamW, 4-bit state; needs torchao",
        "adamw_8bit": "AdamW, 8-bit state; needs bitsandbytes",
        "adamw_bnb_8bit": "the same as adamw_8bit",
        "paged_adamw_8bit": "8-bit state that moves to RAM when short",
        "paged_adamw_32bit": "full state that moves to RAM when short",
        "adafactor": "little state, less steady",
        "lion_8bit": "one state a weight; wants a lower rate",
        "lion_32bit": "one state a weight; wants a lower rate",
        "sgd": "no state; learns too slowly here",
        "ademamix": "AdamW with a second, long momentum",
        "schedule_free_adamw": "needs no decay of the rate; own package",
    },
    "lr_scheduler_type": {
        "linear": "falls evenly to 0; the default",
        "cosine": "falls slowly, fast, slowly to 0",
        "constant": "stays; ignores warmup_steps",
        "constant_with_warmup": "rises in the warmup, then stays",
        "cosine_with_restarts": "cosine that jumps back up",
        "cosine_with_min_lr": "cosine to a floor (lr_scheduler_kwargs)",
        "polynomial": "linear with another curve and end",
        "inverse_sqrt": "falls with the root of the steps",
        "warmup_stable_decay": "stays, then falls near the end",
        "reduce_lr_on_plateau": "falls when evaluation stops improving",
    },
    "logging_strategy": {
        "steps": "every logging_steps; usual",
        "epoch": "once an epoch",
        "no": "never: the charts stay empty",
    },
    "save_strategy": {
        "steps": "every save_steps; usual",
        "epoch": "after each epoch",
        "best": "when metric_for_best_model improves",
        "no": "none: a killed run begins anew",
    },
    "eval_strategy": {
        "no": "never; no held-out rows needed",
        "steps": "every eval_steps",
        "epoch": "after each epoch",
    },
}
"""By setting and choice; what is not in here, nobody needs to know before they ask for it."""
