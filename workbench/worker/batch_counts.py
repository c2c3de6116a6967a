"""What the averages of a log record are over: how many rows, and how long their answers are."""

from __future__ import annotations

import functools
from typing import Any

IGNORED = -100


class BatchCounts:
    """Counts the rows that a trainer has scored since the last `take`; evaluations do not count.

    Args:
        stage: `sft` or `dpo`.
        processes: How many processes train, each with as many rows.
    """

    def __init__(self, stage: str, processes: int = 1) -> None:
        self._stage = stage
        self._processes = processes
        self._rows = 0
        # Tensors on the model's device: reading one would wait for the GPU.
        self._tokens: dict[str, Any] = {}

    def watch(self, trainer: Any) -> None:
        """Look at each batch that the trainer computes a loss of."""
        compute_loss = trainer.compute_loss

        @functools.wraps(compute_loss)
        def counted(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            if model.training:
                self.add(inputs)
            return compute_loss(model, inputs, *args, **kwargs)

        trainer.compute_loss = counted

    def add(self, inputs: Any) -> None:
        """Count a batch as TRL's collators make it; one of another shape is left out.

        Args:
            inputs: Of DPO `completion_mask` (2 R, L) with the chosen rows first; of SFT `labels`
                (R, L), and where rows are joined `position_ids`, which are 0 where one begins.
        """
        if self._stage == "dpo" and "completion_mask" in inputs:
            chosen, rejected = inputs["completion_mask"].chunk(2, dim=0)
            self._count(len(chosen), {"chosen": chosen.sum(), "rejected": rejected.sum()})
        elif self._stage == "sft" and "labels" in inputs:
            labels, places = inputs["labels"], inputs.get("position_ids")
            rows = len(labels) if places is None else int((places == 0).sum())
            self._count(rows, {"completion": (labels != IGNORED).sum()})

    def _count(self, rows: int, tokens: dict[str, Any]) -> None:
        self._rows += rows
        for name, count in tokens.items():
            known = self._tokens.get(name)
            self._tokens[name] = count if known is None else known + count

    def take(self) -> dict[str, float]:
        """`samples`, and `lengths/*` in tokens a row; empty where nothing was counted."""
        rows, tokens = self._rows, self._tokens
        self._rows, self._tokens = 0, {}
        if not rows:
            return {}
        lengths = {f"lengths/{name}": float(count) / rows for name, count in tokens.items()}
        return {"samples": rows * self._processes, **lengths}
