"""Every rule on training data: what it finds, why it matters, what to do."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.data.lint.model import RuleInfo

_RULES = (
    RuleInfo(
        "broken_line", "lines that are no rows", "error",
        "They are lost, and `datasets` refuses the whole file.",
        "Mend them, or write a copy without them: --fix.", "drop",
    ),
    RuleInfo(
        "unusable_row", "rows that nothing can be made of", "error",
        "They are left out of the training.",
        "Look at one; --columns or --format help where the shape was guessed wrong.", "drop",
    ),
    RuleInfo(
        "prompt_too_long", "prompts that fill max_length", "error",
        "TRL drops such a row without a word.",
        "Raise max_length, or shorten the prompts.",
    ),
    RuleInfo(
        "no_answer_left", "rows whose answer max_length cuts off", "error",
        "Nothing of such a row is trained on.",
        "Raise max_length, or shorten the prompts.",
    ),
    RuleInfo(
        "identical_answers", "chosen and rejected are the same", "error",
        "Such a pair teaches nothing: its loss stays at ln 2, its gradient is zero.",
        "Leave them out: --fix does.", "drop",
    ),
    RuleInfo(
        "empty_answer", "an answer is empty", "error",
        "The model learns to end at once, or never to.",
        "Complete them or leave them out: --fix does.", "drop",
    ),
    RuleInfo(
        "conflicting_labels", "A over B here, B over A there", "error",
        "The two cancel each other, and half of them are wrong.",
        "Decide for one of them; --fix leaves all of them out.", "drop",
    ),
    RuleInfo(
        "leakage", "prompts that are held out too", "error",
        "Held-out figures then tell what was learned by heart.",
        "Leave them out of the training rows: --fix does.", "drop",
    ),
    RuleInfo(
        "role_order", "turns in an odd order", "warning",
        "Chat templates refuse such a conversation, or render it in a way no user ever writes.",
        "Mend the turns: system first, then user and assistant by turns.",
    ),
    RuleInfo(
        "answer_truncated", "answers that max_length cuts", "warning",
        "The model never sees the end of such an answer, nor its end token.",
        "Raise max_length, or shorten the answers.",
    ),
    RuleInfo(
        "doubled_special_token", "BOS or EOS twice", "warning",
        "The model learns to write it twice, or to answer after its end.",
        "Delete the token from the texts; template and tokenizer add it.",
    ),
    RuleInfo(
        "missing_eos", "answers that do not end with EOS", "warning",
        "The model does not learn to stop.",
        "Take a chat template that ends a turn with the tokenizer's EOS token.",
    ),
    RuleInfo(
        "prompt_not_prefix", "prompts whose end is not trained on", "warning",
        "Alone the prompt has other tokens than with its answer; TRL leaves that end out.",
        "End prompts without a blank, or take another chat template.",
    ),
    RuleInfo(
        "special_tokens", "special tokens written as text", "warning",
        "The tokenizer makes real ones of them, so that a turn ends in its middle.",
        "Delete them from the texts: --fix deletes those at the ends.", "mend",
    ),
    RuleInfo(
        "character_split", "prompts that TRL splits inside a word", "warning",
        "Without a prompt column TRL takes the common letters of both answers for it.",
        "Give the rows a prompt; for transcripts: data_format: hh_rlhf.",
    ),
    RuleInfo(
        "no_prompt", "rows without a prompt", "warning",
        "The answers are trained as if nobody had asked.",
        "Name the column: --columns prompt=NAME.",
    ),
    RuleInfo(
        "near_identical_answers", "chosen and rejected hardly differ", "warning",
        "What is preferred hangs on a few letters; training may push both down.",
        "Look whether the difference is the point; leave them out otherwise.",
    ),
    RuleInfo(
        "prompt_in_answer", "answers that begin with the prompt", "warning",
        "The model learns to repeat the question.",
        "Cut the prompt off the answers.",
    ),
    RuleInfo(
        "refusal_chosen", "the chosen answer refuses, the rejected does not", "warning",
        "The model learns to refuse.",
        "Look whether that is meant.",
    ),
    RuleInfo(
        "both_refuse", "both answers refuse", "note",
        "Such a pair can only teach how to refuse.",
        "Look whether that is meant.",
    ),
    RuleInfo(
        "duplicate_row", "rows that are there twice", "warning",
        "They count double, and may stand in both splits.",
        "Keep the first of each: --fix does.", "drop",
    ),
    RuleInfo(
        "duplicate_prompt", "prompts with several pairs", "note",
        "test_split_size may put one on either side: the held-out figures get too good.",
        "Hold out by prompt, in a file of its own, if that matters.",
    ),
    RuleInfo(
        "repeated_answer", "one answer to many prompts", "warning",
        "The model learns that text by heart.",
        "Look whether it is a filler such as an error message.",
    ),
    RuleInfo(
        "length_bias", "one side is mostly the longer one", "warning",
        "Length then explains most of the preference, and the model learns length.",
        "Balance the lengths, or set ld_alpha or loss_type: [sigmoid_norm].",
    ),
    RuleInfo(
        "mixed_languages", "another script than the rest", "note",
        "Rows in another language, or answers in two.",
        "Look whether they belong here.",
    ),
    RuleInfo(
        "broken_encoding", "letters that were read in a wrong encoding", "warning",
        "The model learns to write them.",
        "Convert the source anew; --fix mends what can be told for certain.", "mend",
    ),
    RuleInfo(
        "control_characters", "control, escape or invisible characters", "warning",
        "They are tokens as well, and terminals obey some of them.",
        "Take them out: --fix does.", "mend",
    ),
)  # fmt: skip

RULES: Mapping[str, RuleInfo] = {rule.name: rule for rule in _RULES}
"""By name, the worst first."""

TOKEN_RULES = (
    "prompt_too_long", "no_answer_left", "answer_truncated",
    "doubled_special_token", "missing_eos", "prompt_not_prefix",
)  # fmt: skip
"""What only a tokenizer can tell; found by the worker."""
