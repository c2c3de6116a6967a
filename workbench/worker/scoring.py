"""Which positions TRL's language-model head scores on a CPU."""

from __future__ import annotations

from typing import Any


def score_labelled_positions_only() -> None:
    """Let TRL's fused head skip prompts and padding on the CPU too.

    TRL 1.16 projects only positions that have a label where Triton runs, and all of them
    elsewhere, since some accelerators compile anew for every shape. A CPU compiles nothing, and
    the head over a vocabulary of 50,000 is nearly half of a small model's step. The scores of the
    labelled positions are the same either way. A TRL without this switch is left as it is.
    """
    import trl.trainer.utils as trl_utils

    choose = getattr(trl_utils, "_use_triton", None)
    if choose is None:
        return

    def compact(device: Any) -> bool:
        return device.type == "cpu" or bool(choose(device))

    trl_utils._use_triton = compact
