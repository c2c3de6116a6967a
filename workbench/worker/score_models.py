"""The weights of a score: one base model, adapters put on it, and what they say of tokens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from workbench.base.problems import Problem, ProblemError
from workbench.run.sides import is_adapter, is_full_model
from workbench.worker import machine
from workbench.worker.model import load_base, refuse_pickled_adapter
from workbench.worker.packed_layout import lay_pairs, lay_rows
from workbench.worker.packed_scoring import (
    TOLERANCE_16_BIT,
    TOLERANCES,
    causal_model,
    install,
    layers_reason,
    logit_error,
    score_rows,
    supports,
)
from workbench.worker.stage_config import StageConfig

IGNORED = -100
FIELDS = ("log_probs",)

Batch = Mapping[str, torch.Tensor]


class ScoredModels:
    """A base model whose adapters change, or whole models one after the other.

    Args:
        flat: The flat config of a stage, which names the base model.
        config: The same as TRL reads it: its precision and longest row count.
        packed: Whether rows may be scored packed, as in training.
        say: Called with a sentence while loading takes time.

    Attributes:
        path: By which way rows are scored, in words.
    """

    def __init__(
        self,
        flat: Mapping[str, Any],
        config: StageConfig,
        *,
        packed: bool,
        say: Callable[[str], None],
    ) -> None:
        self.flat, self.config, self.say = flat, config, say
        self.path = "TRL's own"
        self._wanted, self._packs = packed, False
        self._names: dict[Path, str] = {}
        self._whole: tuple[Path, Any] | None = None
        self.say(f"loading {flat['model_name_or_path']}")
        self.model = self._load("")

    def _load(self, path: str) -> Any:
        from trl.trainer.utils import add_fused_lm_head

        model = load_base(self.flat, path=path).requires_grad_(False)
        add_fused_lm_head(model, outputs=FIELDS)
        return model

    def add(self, folder: Path | None) -> None:
        """Put an adapter on the base model; whole weights are loaded when they are used.

        Raises:
            ProblemError: There are no weights, or they belong to another base model.
        """
        if folder is None or folder in self._names or not is_adapter(folder):
            if folder is not None and not is_adapter(folder) and not is_full_model(folder):
                hint = "Name other sides: dpo-workbench status RUN shows what there is."
                raise ProblemError(Problem("the weights are gone", str(folder), hint))
            return
        from peft import PeftModel

        refuse_pickled_adapter(folder)
        name = f"side{len(self._names)}"
        try:
            if self._names:
                self.model.load_adapter(str(folder), adapter_name=name, is_trainable=False)
            else:
                self.model = PeftModel.from_pretrained(self.model, folder, adapter_name=name)
        except (RuntimeError, ValueError) as error:
            what = f"the adapter does not fit the base model {self.flat['model_name_or_path']}"
            hint = "Score sides whose runs have one base model."
            raise ProblemError(Problem(what, str(folder), hint)) from error
        self._names[folder] = name
        self.model.requires_grad_(False)
        self.model.eval()

    def pack(self, batch: Batch, folder: Path | None) -> None:
        """Score packed from now on, if the model can and a few rows say the same both ways.

        Args:
            batch: Pairs of TRL's collator to compare.
            folder: The weights that score them.
        """
        if not self._wanted:
            return
        model = causal_model(self.model)
        reason = layers_reason(model.config.get_text_config(), self.config.training.max_length)
        reason = reason or supports(model)
        if not reason:
            usual, attention = model.forward, model.config._attn_implementation
            before = self.pair_scores(batch, folder)
            changed = install(model, "dpo", FIELDS)
            self._packs = True
            asked = batch["completion_mask"][:, 1:] != 0
            error = logit_error(self.pair_scores(batch, folder)[asked], before[asked])
            if error <= TOLERANCES.get(model.dtype, TOLERANCE_16_BIT):
                self.path = "packed, with a shared prefix"
                return
            self._packs = False
            model.forward = usual
            for module in changed:
                del module.forward
            model.set_attn_implementation(attention)
            reason = f"its logits differ by {error:.2g}"
        self.path = f"TRL's own: {reason}"

    @contextlib.contextmanager
    def using(self, folder: Path | None) -> Iterator[Any]:
        """The model with the weights of a folder; None for the plain base model."""
        if folder is None:
            off = self.model.disable_adapter() if self._names else contextlib.nullcontext()
            with off:
                yield self.model
        elif folder in self._names:
            self.model.set_adapter(self._names[folder])
            self.model.requires_grad_(False)
            yield self.model
        else:
            if self._whole is None or self._whole[0] != folder:
                self._whole = None
                machine.give_back_memory()
                self.say(f"loading {folder}")
                self._whole = folder, self._load(str(folder))
            yield self._whole[1]

    def pair_scores(self, batch: Batch, folder: Path | None) -> torch.Tensor:
        """(2 B, L - 1) log-probabilities of the answers' tokens of B pairs, 0 elsewhere.

        The rows are those of TRL's collator: the chosen ones, then the rejected ones.
        """
        labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, IGNORED)
        return self._score(batch, labels, folder, pairs=True)

    def row_scores(
        self, rows: Sequence[Sequence[int]], labels: Sequence[Sequence[int]], folder: Path | None
    ) -> torch.Tensor:
        """(B, L - 1) log-probabilities of the labelled tokens of B rows, 0 elsewhere."""
        from trl.trainer.utils import pad

        ids = [torch.tensor(row) for row in rows]
        batch = {
            "input_ids": pad(ids, padding_value=0, padding_side="right"),
            "attention_mask": pad([torch.ones_like(row) for row in ids], 0, "right"),
        }
        marked = pad([torch.tensor(row) for row in labels], IGNORED, "right")
        return self._score(batch, marked, folder, pairs=False)

    def _score(
        self, batch: Batch, labels: torch.Tensor, folder: Path | None, *, pairs: bool
    ) -> torch.Tensor:
        with self.using(folder) as model, torch.no_grad(), self._autocast(model):
            device = model.device
            ids, mask = (batch[name].to(device) for name in ("input_ids", "attention_mask"))
            labels = labels.to(device)
            if self._packs and model is self.model:
                layout = lay_pairs(ids, mask, labels) if pairs else lay_rows(mask)
                found = score_rows(causal_model(model), layout, ids, labels, FIELDS)
            else:
                found = model(
                    input_ids=ids,
                    attention_mask=mask,
                    labels=labels,
                    use_cache=False,
                    fused_lm_head=True,
                )
            # Prompt-learning adapters put positions of their own before the row.
            scores: torch.Tensor = found.log_probs[:, -(labels.shape[1] - 1) :]
            return scores.float().cpu()

    def _autocast(self, model: Any) -> Any:
        """The mixed precision that the stage was trained in."""
        arguments = self.config.training
        wanted = torch.bfloat16 if arguments.bf16 else torch.float16 if arguments.fp16 else None
        if wanted is None:
            return contextlib.nullcontext()
        return torch.autocast(model.device.type, dtype=wanted)


def pair_sums(
    scores: torch.Tensor, completion_mask: torch.Tensor, ld_alpha: float | None
) -> tuple[list[float], list[float], list[int], list[int]]:
    """Log-probabilities of whole answers as TRL's DPO sums them, and their tokens.

    Args:
        scores: (2 B, L - 1) as `pair_scores` returns them.
        completion_mask: (2 B, L) 1 for tokens of the answers.
        ld_alpha: Weight of the tokens behind the shorter answer's length (LD-DPO,
            arXiv:2409.06411), None for all alike.

    Returns:
        B numbers each: chosen, rejected, tokens of the chosen, tokens of the rejected.
    """
    mask = completion_mask[:, 1:]
    counts = mask.sum(dim=1)
    count = len(counts) // 2
    if ld_alpha is not None:
        shorter = torch.minimum(counts[:count], counts[count:]).repeat(2)
        tail = mask.cumsum(dim=1) > shorter[:, None]
        scores = torch.where(tail, ld_alpha * scores, scores)
    sums, sizes = (scores * mask).sum(dim=1).tolist(), counts.tolist()
    return sums[:count], sums[count:], sizes[:count], sizes[count:]
