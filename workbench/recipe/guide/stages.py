"""Guides to what only one of the stages knows, and to the losses of both."""

from __future__ import annotations

from workbench.recipe.guide.entry import section

SFT = section(
    "SFT",
    (
        *("completion_only_loss", "Loss on answers only", "", "unset"),
        "Whether the prompt is learned as well. Unset learns the answer alone where rows have "
        "prompt and completion, and everything where they do not.",
    ),
    (
        *("assistant_only_loss", "Loss on assistant turns", "", "true for rows of messages"),
        "Learns only what the assistant says; without it the user's turns of a conversation are "
        "learned too. Needs a chat template that marks those turns; TRL has one for well-known "
        "models and stops for others.",
    ),
    (
        *("packing", "Pack short rows", "", "false"),
        "Fills blocks of max_length with several rows, so that a step sees more of them. Lower the "
        "batch size with it. The workbench computes no padding even without packing, so it seldom "
        "saves time here.",
    ),
    (
        *("packing_strategy", "Packing strategy", "", "bfd"),
        "How rows are put into blocks: bfd keeps rows whole and cuts overlong ones, wrapped cuts "
        "wherever a block is full and lets rows see each other.",
    ),
    (
        *("dataset_text_field", "Text column", "", "text"),
        "The column that is learned where rows are plain text, not messages or prompt and "
        "completion.",
    ),
    (
        *("chat_template_path", "Chat template from", "", "unset"),
        "Takes the chat template of another tokenizer or of a Jinja file. For base models that "
        "have none; tokens that it adds are trained, with the whole output layer, which costs "
        "memory.",
    ),
    (
        *("eos_token", "End token", "", "unset"),
        "The token that ends an answer, where the tokenizer's own is not the one that the chat "
        "template writes. A wrong one gives answers that never end.",
    ),
    (
        *("shuffle_dataset", "Shuffle before packing", "", "false"),
        "Shuffles the rows once before they are packed. Training order is shuffled without it; use "
        "it with packing when the file is sorted by topic.",
    ),
)
"""Settings that only SFT knows."""

DPO = section(
    "DPO",
    (
        *("beta", "Beta", "", "0.05 to 0.5"),
        "How tightly the model is held to the reference. Lower lets it move further: more effect, "
        "more risk of broken text. For ipo it sets the margin, 1 / (2 beta) a token. It costs "
        "nothing.",
    ),
    (
        *("loss_type", "Loss", "", {"sft": "nll", "dpo": "sigmoid, or sigmoid with sft"}),
        "What a step makes smaller. DPO takes one loss or a list that is summed; sft as a second "
        "one keeps the chosen answers likely. All cost about the same.",
    ),
    (
        *("loss_weights", "Loss weights", "", "1 for the first, 0.1 to 1 for sft"),
        "One factor for each entry of the loss, in the same order; 1 each when unset. Raise that "
        "of sft when the chosen answers grow unlikely.",
    ),
    (
        *("label_smoothing", "Wrong labels", "share", "0.1 for robust, 0.001 for exo_pair"),
        "The share of pairs that you expect to be labelled the wrong way round. Read by robust, "
        "exo_pair, aot and aot_unpaired, by no other loss.",
    ),
    (
        *("f_divergence_type", "Divergence", "", "reverse_kl"),
        "How distance from the reference is measured. Others than reverse_kl are for losses of "
        "reward differences, such as sigmoid, and may need another beta.",
    ),
    (
        *("f_alpha_divergence_coef", "Divergence alpha", "", "0.3 to 0.7"),
        "For alpha_divergence: 1 is reverse KL, 0 is forward KL, and what is between mixes them.",
    ),
    (
        *("use_weighting", "Weight pairs (WPO)", "", "false"),
        "Counts pairs more whose answers the model itself would give. For pairs that another model "
        "has written; losses get much smaller numbers by it. Not with aot.",
    ),
    (
        *("ld_alpha", "Weight of extra length", "share", "unset"),
        "Tokens beyond the length of the shorter answer count by this factor (LD-DPO): 1 is plain "
        "DPO, 0 ignores them. Lower it when answers grow longer with each run.",
    ),
    (
        *("discopop_tau", "DiscoPOP temperature", "", "0.05"),
        "How sharply the discopop loss changes from one of its two forms to the other. Only read "
        "with that loss.",
    ),
    (
        *("disable_dropout", "No dropout", "", "true"),
        "Sets all dropout to 0, lora_dropout too, so that policy and reference see the same "
        "network. With false and any dropout the workbench must train by TRL's slower path.",
    ),
    (
        *("precompute_ref_log_probs", "Precompute reference", "", "false"),
        "Scores all pairs by the reference before the first step. Without LoRA it saves the memory "
        "of a second model; with LoRA it saves little, because the workbench keeps these scores by "
        "itself.",
    ),
    (
        *("precompute_ref_batch_size", "Precompute batch", "pairs", "2 to 4 times the batch size"),
        "Pairs scored at once while precomputing. No gradients are kept, so it may be larger than "
        "the training batch.",
    ),
    (
        *("sync_ref_model", "Moving reference", "", "false"),
        "Pulls the reference after the model every few steps (TR-DPO). Needs a reference in "
        "memory of its own: not possible with LoRA or precomputing.",
    ),
    (
        *("ref_model_mixup_alpha", "Share of the model", "share", "0.6"),
        "How much of the model is mixed into a moving reference each time; 1 replaces it.",
    ),
    (
        *("ref_model_sync_steps", "Move reference every", "steps", "256 to 1024"),
        "Steps between two moves of the reference. Fewer let the model drift further.",
    ),
)
"""Settings that only DPO knows, and the loss, which both stages have."""
