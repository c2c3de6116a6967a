"""Rules on the data and how rows become batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workbench.base.problems import Problem
from workbench.recipe.base_model import PYPI_PREFIX, looks_local
from workbench.recipe.recipe import find_file
from workbench.recipe.rules.base import DPO_RULES, RULES, SFT_RULES, Settings, rule

FIXED_POSITIONS = ("gpt2", "opt", "gpt_neo", "gptj", "codegen", "biogpt", "xglm")
"""Model types that have an embedding for each position, and none beyond."""


@rule(RULES)
def two_data_sets(s: Settings) -> Iterator[Problem]:
    """TRL takes the mixture where both are named."""
    if s.get("datasets") and s.get("dataset_name"):
        what = "datasets wins, dataset_name has no effect"
        yield Problem(what, s.where("dataset_name"), "Delete one of the two.", "warning")


@rule(RULES)
def split_size_without_mixture(s: Settings) -> Iterator[Problem]:
    """TRL splits off a test set only where `datasets` is given."""
    if s.has("test_split_size") and not s.get("datasets"):
        what = "test_split_size has no effect with dataset_name"
        hint = "Write datasets: [{path: ...}] instead, or name a split by dataset_test_split."
        yield Problem(what, s.where("test_split_size"), hint, "warning")


@rule(RULES)
def stream_without_end(s: Settings) -> Iterator[Problem]:
    """A stream has no length, so that its epochs cannot be counted."""
    if s.get("dataset_streaming") and not (s.number("max_steps") or -1) > 0:
        what = "a streamed data set has no known length"
        yield Problem(what, s.where("dataset_streaming"), "Set max_steps.")


@rule(RULES)
def deprecated_truncation(s: Settings) -> Iterator[Problem]:
    """TRL has announced the end of keep_end."""
    if s.get("truncation_mode") == "keep_end":
        what = "truncation_mode: keep_end will be gone from TRL 2"
        yield Problem(what, s.where("truncation_mode"), "Use keep_start.", "warning")


@rule(SFT_RULES)
def padding_free_rows_are_not_cut(s: Settings) -> Iterator[Problem]:
    """TRL cuts rows while it pads or packs them."""
    if s.get("padding_free") and not s.get("packing") and s.get("max_length") is not None:
        what = "padding_free without packing does not cut rows to max_length"
        hint = "Delete padding_free: the workbench computes no padding anyway."
        yield Problem(what, s.where("padding_free"), hint)


@rule(DPO_RULES)
def no_padding_free_pairs(s: Settings) -> Iterator[Problem]:
    """TRL 1.16 turns it off for DPO."""
    if s.get("padding_free"):
        what = "TRL has no padding_free for DPO at present and ignores it"
        hint = "Delete it: the workbench computes no padding anyway."
        yield Problem(what, s.where("padding_free"), hint, "warning")


@rule(RULES)
def batch_larger_than_the_data(s: Settings) -> Iterator[Problem]:
    """A step that asks for more rows than there are gets those."""
    batch, rows = s.totals.effective_batch if s.totals else 0, s.rows
    if rows and batch > rows and not any(batch_never_full(s)):
        key = "gradient_accumulation_steps"
        key = key if s.has(key) else "per_device_train_batch_size"
        what = f"a step takes {batch} rows and the data has {rows}: each step is a whole epoch"
        yield Problem(what, s.where(key), f"Lower {key}.", "warning")


@rule(RULES)
def batch_never_full(s: Settings) -> Iterator[Problem]:
    """Fewer rows than one batch, and the rest of an epoch dropped: no step at all."""
    batch, rows = s.number("per_device_train_batch_size"), s.rows
    if rows and batch and s.get("dataloader_drop_last") and rows < batch:
        what = f"{rows} rows fill no batch of {batch:g}, and dataloader_drop_last drops the rest"
        hint = "Lower per_device_train_batch_size, or remove dataloader_drop_last."
        yield Problem(what, s.where("dataloader_drop_last"), hint)


@rule(SFT_RULES)
def answers_of_no_conversation(s: Settings) -> Iterator[Problem]:
    """Only messages have an assistant."""
    if not s.get("assistant_only_loss"):
        return
    if any(not conversational(row) for row in s.first_rows):
        what = "assistant_only_loss needs rows of messages, and the data has texts"
        hint = "Delete assistant_only_loss, or write the rows as messages."
        yield Problem(what, s.where("assistant_only_loss"), hint)


@rule(SFT_RULES)
def completions_that_are_not_there(s: Settings) -> Iterator[Problem]:
    """Without a column completion TRL scores every token, whatever is asked for."""
    if not s.get("completion_only_loss"):
        return
    if any("completion" not in row for row in s.first_rows):
        what = "completion_only_loss has no effect: the rows have no column completion"
        hint = "Delete it; for messages, assistant_only_loss: true scores the answers alone."
        yield Problem(what, s.where("completion_only_loss"), hint, "warning")


@rule(RULES)
def workers_that_are_not_there(s: Settings) -> Iterator[Problem]:
    """torch refuses settings of the loading processes where there are none."""
    if s.get("dataloader_num_workers"):
        return
    for key in ("dataloader_prefetch_factor", "dataloader_persistent_workers"):
        if s.get(key):
            what = f"{key} needs loading processes, and dataloader_num_workers is 0"
            yield Problem(what, s.where(key), f"Delete {key}.")


@rule(RULES)
def order_of_a_stream(s: Settings) -> Iterator[Problem]:
    """A stream comes in its own order."""
    order = s.get("train_sampling_strategy")
    if s.has("train_sampling_strategy") and order != "random" and s.get("dataset_streaming"):
        what = f"train_sampling_strategy: {order} has no effect on a streamed data set"
        yield Problem(what, s.where("train_sampling_strategy"), "Delete it.", "warning")


@rule(DPO_RULES)
def reference_of_a_stream(s: Settings) -> Iterator[Problem]:
    """What is precomputed is kept beside the rows, and a stream has nowhere to keep it."""
    if s.get("precompute_ref_log_probs") and s.get("dataset_streaming"):
        what = "precompute_ref_log_probs does not work on a streamed data set"
        yield Problem(what, s.where("precompute_ref_log_probs"), "Delete it.")


@rule(SFT_RULES)
def packing_without_length(s: Settings) -> Iterator[Problem]:
    """Packing fills blocks of max_length tokens."""
    if s.get("packing") and s.get("max_length") is None:
        what = "packing needs to know how long its blocks are"
        yield Problem(what, s.where("packing"), "Set max_length: 1024.")


@rule(RULES)
def length_beyond_the_model(s: Settings) -> Iterator[Problem]:
    """Positions that the model has never seen, or does not have."""
    length, most = s.number("max_length"), context_length(s.model)
    if length and most and length > most:
        fixed = s.model.get("model_type") in FIXED_POSITIONS
        what = f"max_length {length:g} is beyond the model's {most} positions"
        hint = f"Set max_length: {most}."
        yield Problem(what, s.where("max_length"), hint, "error" if fixed else "warning")


@rule(RULES)
def revision_of_no_repository(s: Settings) -> Iterator[Problem]:
    """Only hub models have revisions."""
    source = str(s.get("model_name_or_path") or "")
    here = source.startswith(PYPI_PREFIX) or looks_local(source)
    if here and s.get("model_revision") not in ("main", None):
        what = f"model_revision has no effect: {source} is no repository of the hub"
        yield Problem(what, s.where("model_revision"), "Delete it.", "warning")


@rule(SFT_RULES)
def chat_template_is_missing(s: Settings) -> Iterator[Problem]:
    """A template's file that is not there would be asked of the hub as a model."""
    path = s.get("chat_template_path")
    if not isinstance(path, str) or not (looks_local(path) or path.endswith((".jinja", ".j2"))):
        return
    if find_file(path, s.recipe.path.parent) is None:
        hint = f"Paths count from {s.recipe.path.parent}."
        what = f"chat_template_path: there is no file {path}"
        yield Problem(what, s.where("chat_template_path"), hint)


def conversational(row: dict[str, Any]) -> bool:
    """Whether a row of SFT data holds messages."""
    value = row.get("messages", row.get("completion", row.get("prompt")))
    return isinstance(value, list)


def context_length(model: dict[str, Any]) -> int | None:
    """Tokens that a model's config.json says it was made for, a stretched RoPE included."""
    names = ("max_position_embeddings", "n_positions", "max_seq_len")
    most: int | None = next((model[n] for n in names if isinstance(model.get(n), int)), None)
    scaling = model.get("rope_scaling") or model.get("rope_parameters")
    if most is None or not isinstance(scaling, dict):
        return most
    factor, original = scaling.get("factor"), scaling.get("original_max_position_embeddings")
    if not isinstance(factor, int | float) or isinstance(factor, bool) or not 1 < factor < 1e4:
        return most
    return max(most, int(factor * (original if isinstance(original, int) else most)))
