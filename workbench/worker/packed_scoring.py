"""The forward pass of SFT and DPO on packed rows, in the place where TRL's trainers call their own.

`use_packed_rows` is what a stage calls: it looks whether the model can take it, compares the first
rows with TRL's own path, and leaves TRL's path where they do not agree.
"""

from __future__ import annotations

import functools
import types
from typing import Any

import torch

from workbench.worker import machine
from workbench.worker.frozen_layers import fuse
from workbench.worker.packed_attention import ATTENTION, packed_attention
from workbench.worker.packed_layout import Layout, lay_pairs, lay_rows
from workbench.worker.reference_scores import ReferenceScores, is_reference_pass, row_key
from workbench.worker.sharding import engine_reason, is_sharded, whole
from workbench.worker.token_scores import TokenScores
from workbench.worker.world import World

KNOWN = {"input_ids", "attention_mask", "labels", "fused_lm_head", "use_cache", "return_dict"}
CHECKED_ROWS, CHECKED_AMONG = 2, 32
TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-6}
TOLERANCE_16_BIT = 0.2
"""Of `logit_error`. Rounding to bf16 makes 0.06 to 0.08 of it on real models and texts, the same
for likely and unlikely ones; a wrong mask or position 0.3 to 30."""


def use_packed_rows(
    trainer: Any,
    stage: str,
    scores: ReferenceScores | None = None,
    world: World | None = None,
) -> str:
    """Let a trainer score its rows packed, if its model can and the numbers agree.

    Args:
        scores: Where the numbers of DPO's reference are kept; None computes them each time, as
            TRL does.
        world: This process among those that train together. Rank 0 decides for all of them: with
            FSDP it may be the only one that has read the weights yet.

    Returns:
        Why TRL's own path stays, empty where rows are packed from now on.
    """
    world = world or World()
    model = causal_model(trainer.model)
    config = model.config.get_text_config()
    reason: str = world.share(
        trainer_reason(trainer, stage)
        or layers_reason(config, trainer.args.max_length)
        or supports(model)
    )
    if not reason:
        usual, attention = model.forward, model.config._attn_implementation
        before = first_scores(trainer) if world.rank == 0 else None
        on = trainer.accelerator.device.type
        changed = install(model, stage, outputs_of(trainer, stage), scores, world, on)
        # What TRL's path took for it is more than a step of the packed one needs.
        machine.give_back_memory()
        found = None if before is None else logit_error(first_scores(trainer), before)
        difference = world.share(found)
        if difference <= TOLERANCES.get(model.dtype, TOLERANCE_16_BIT):
            if scores is not None:
                trainer.add_callback(scores)
            return ""
        model.forward = usual
        for module in changed:
            del module.forward
        model.set_attn_implementation(attention)
        reason = f"its logits differ by {difference:.2g} on the first rows"
    return reason


def causal_model(model: Any) -> Any:
    """A model without its PEFT wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def trainer_reason(trainer: Any, stage: str) -> str:
    """Why a trainer's batches cannot be packed; empty where they can."""
    if len(trainer.train_dataset) == 0:
        return "there are no rows"
    if getattr(trainer, "_is_vision_dataset", False):
        return "its data holds images"
    if reason := engine_reason(trainer):
        return reason
    if trainer.args.torch_compile:
        return "torch_compile is on, which would compile for each layout of a batch anew"
    # LoRA's dropout acts on each token alone, so that SFT can have it; in DPO it would act on a
    # common prompt once instead of twice.
    if any(
        isinstance(part, torch.nn.Dropout) and part.p > 0
        for name, part in trainer.model.named_modules()
        if stage == "dpo" or "lora_dropout" not in name
    ):
        return "dropout is on"
    config = trainer.model.config.get_text_config()
    if (getattr(config, "attention_dropout", None) or 0) > 0:
        return "dropout of attention is on"
    if stage == "sft" and (trainer.args.packing or trainer.padding_free):
        return "TRL packs its rows already"
    if getattr(trainer, "ref_model", None) is not None:
        return "the reference is a model of its own"
    return ""


def layers_reason(config: Any, max_length: int | None) -> str:
    """Why a model's layers would mix the tokens of a packed row; empty where they would not.

    Args:
        max_length: The longest row in tokens; None for any length.
    """
    kinds = set(getattr(config, "layer_types", None) or ())
    if kinds - {"full_attention", "sliding_attention", "chunked_attention"}:
        return "some of its layers carry a state from token to token"
    windows = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
    window = min((size for size in windows if size), default=0)
    local = window and (not kinds or kinds != {"full_attention"})
    if local and (max_length is None or max_length > window):
        return f"its attention window of {window} tokens is shorter than max_length"
    return ""


def outputs_of(trainer: Any, stage: str) -> tuple[str, ...]:
    """The fields that TRL 1.16's trainers ask their fused head for."""
    if stage == "sft":
        return ("log_probs", "entropy", "is_top1")
    fields = ("log_probs", "entropy", "mean_logits", "is_top1")
    return (*fields, "log_sum_sq_probs") if trainer.use_weighting else fields


def first_scores(trainer: Any) -> torch.Tensor:
    """(tokens,) log-probabilities of the shortest of the first rows, as the trainer makes them."""
    count = min(CHECKED_AMONG, len(trainer.train_dataset))
    rows = list(trainer.train_dataset.select(range(count)))
    rows.sort(key=lambda row: sum(len(ids) for name, ids in row.items() if name.endswith("_ids")))
    # No more rows than a step has, so that the check never takes longer than one.
    checked = min(CHECKED_ROWS, trainer.args.per_device_train_batch_size)
    batch, device = trainer.data_collator(rows[:checked]), trainer.model.device
    inputs = {name: batch[name].to(device) for name in ("input_ids", "attention_mask")}
    if "labels" in batch:
        labels = batch["labels"].to(device)
    else:
        labels = inputs["input_ids"].masked_fill(batch["completion_mask"].to(device) == 0, -100)
    training = trainer.model.training
    trainer.model.eval()
    try:
        with torch.no_grad(), trainer.accelerator.autocast():
            scores = trainer.model(**inputs, labels=labels, use_cache=False, fused_lm_head=True)
    finally:
        trainer.model.train(training)
    found: torch.Tensor = scores.log_probs[labels[:, 1:] != -100].float()
    return found


def logit_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """How far (tokens,) log-probabilities are apart, as a mean error of their logits.

    A logit's error d moves log p by about (1 - p) d, so that the mean difference alone would be
    small for likely texts and large for unlikely ones.
    """
    doubt = (1 - expected.exp()).mean().clamp(min=torch.finfo(torch.float32).tiny)
    return float((found - expected).abs().mean() / doubt)


def supports(model: Any) -> str:
    """Why a causal language model cannot take the packed row; empty where it can."""
    config = model.config.get_text_config()
    if getattr(config, "output_router_logits", False):
        return "its experts' load is counted by token"
    if any(parameter.requires_grad for parameter in model.get_output_embeddings().parameters()):
        return "its head is trained"
    if model.get_output_embeddings().bias is not None:
        return "its head has a bias"
    if getattr(config, "final_logit_softcapping", None) or getattr(
        config, "attn_logit_softcapping", None
    ):
        return "its logits are capped"
    if not getattr(type(model), "_supports_attention_backend", False):
        return "its attention cannot be replaced"
    return ""


def install(
    model: Any,
    stage: str,
    outputs: tuple[str, ...],
    scores: ReferenceScores | None = None,
    world: World | None = None,
    on: str = "",
) -> list[Any]:
    """Let a model with TRL's fused head score its rows packed.

    Args:
        model: A causal language model, without its PEFT wrapper, after `add_fused_lm_head`.
        outputs: The fields of TRL's `FusedCausalLMOutput` that the trainer asks for.
        stage, scores, world: See `use_packed_rows`.
        on: The kind of device that the model will compute on, empty for the one it is on.

    Returns:
        The modules inside it that have got another forward.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(ATTENTION, packed_attention)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)
    model.set_attn_implementation(ATTENTION)
    usual = model.forward

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = {name for name, value in kwargs.items() if value is not None}
        if args or not kwargs.get("fused_lm_head") or given - KNOWN:
            return usual(*args, **kwargs)
        batch = kwargs["input_ids"], kwargs["attention_mask"], kwargs["labels"]
        if scores is not None and is_reference_pass(self):
            return score_reference(self, *batch, scores)
        layout = lay_pairs(*batch) if stage == "dpo" else lay_rows(batch[1])
        return score_rows(self, layout, batch[0], batch[2], outputs)

    model.forward = types.MethodType(functools.wraps(usual)(forward), model)
    return fuse(model, world, on)


def score_reference(
    model: Any,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    labels: torch.Tensor,
    scores: ReferenceScores,
) -> Any:
    """What TRL reads of the reference's answer, `log_probs`; scores only pairs it does not know."""
    from trl.trainer.utils import FusedCausalLMOutput

    asked = labels[:, 1:] != -100
    on_cpu = [part.cpu() for part in (input_ids, attention_mask != 0, labels)]
    keys = [row_key(ids[mask], own[mask]) for ids, mask, own in zip(*on_cpu, strict=True)]
    count = len(keys) // 2
    missing = [
        row for row in range(count) if not {keys[row], keys[count + row]} <= scores.known.keys()
    ]
    asks = bool(missing)
    if scores.world.is_shared and is_sharded(model):
        # Layers that are gathered from all processes compute in all of them or in none.
        asks = scores.world.any(asks)
    if asks:
        pairs = missing or [0]
        rows = [*pairs, *(count + row for row in pairs)]
        batch = input_ids[rows], attention_mask[rows], labels[rows]
        found = score_rows(model, lay_pairs(*batch), batch[0], batch[2], ("log_probs",)).log_probs
        for row, values in zip(rows, found, strict=True):
            if missing:
                scores.put(keys[row], values[asked[row]])
    log_probs = torch.zeros(asked.shape, dtype=torch.float32, device=labels.device)
    known = torch.cat([scores.known[key] for key in keys]).to(labels.device)
    log_probs.masked_scatter_(asked, known)
    loss = -log_probs.sum() / asked.sum().clamp(min=1)
    return FusedCausalLMOutput(loss=loss, label_mask=asked, log_probs=log_probs)


def score_rows(
    model: Any,
    layout: Layout,
    input_ids: torch.Tensor,
    labels: torch.Tensor,
    outputs: tuple[str, ...],
) -> Any:
    """What TRL's fused forward returns: fields of shape (R, L - 1), 0 where nothing is asked."""
    from trl.trainer.utils import FusedCausalLMOutput

    hidden = model.base_model(
        input_ids=input_ids.reshape(-1)[layout.tokens][None],
        position_ids=layout.positions[None],
        # Any mask with four dimensions keeps transformers from making one of T x T.
        attention_mask=torch.ones((1, 1, 1, 1), dtype=torch.bool, device=input_ids.device),
        use_cache=False,
        shared_prefix=layout,
    ).last_hidden_state[0]
    asked = labels[:, 1:] != -100
    head = model.get_output_embeddings()
    predictors = hidden[layout.places[:, :-1][asked]]
    found = TokenScores.apply(  # type: ignore[no-untyped-call]
        predictors,
        whole(head.weight),
        labels[:, 1:][asked],
        logit_scale(model.config.get_text_config()),
        torch.is_grad_enabled() and predictors.requires_grad,
        outputs,
    )
    fields = {
        name: values.new_zeros(asked.shape).masked_scatter(asked, values)
        for name, values in zip(outputs, found, strict=True)
    }
    loss = -fields["log_probs"].sum() / asked.sum().clamp(min=1)
    return FusedCausalLMOutput(loss=loss, label_mask=asked, **fields)


def logit_scale(config: Any) -> float:
    """What the logits are multiplied by before the softmax, in the families that do so."""
    for name in ("logit_scale", "output_multiplier", "lm_head_multiplier"):
        if getattr(config, name, None) is not None:
            return float(getattr(config, name))
    scaling = getattr(config, "logits_scaling", None)
    if scaling is None:
        return 1.0
    return float(scaling if config.model_type == "hyperclovax" else 1 / scaling)
