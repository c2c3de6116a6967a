"""What a resumed stage takes over from its checkpoint beside what the Trainer does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workbench.worker.callbacks import RunCallback


def restore_end(trainer: Any, callback: RunCallback, checkpoint: Path) -> bool:
    """Take over a checkpoint of the last step, where the Trainer would add one step more.

    Returns:
        Whether the checkpoint is one of the last step.
    """
    from transformers import TrainerState

    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    if not 0 < state.max_steps <= state.global_step:
        return False
    trainer._load_from_checkpoint(str(checkpoint))
    trainer.state = state
    if trainer.args.load_best_model_at_end and state.best_model_checkpoint:
        trainer._load_best_model()
    callback.on_train_begin(trainer.args, state, trainer.control)
    return True


def restore_token_count(trainer: Any, callback: RunCallback, checkpoint: Path) -> None:
    """Let `num_tokens` go on from the checkpoint, where TRL begins at 0 again."""
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        history = state["log_history"]
    except (OSError, ValueError, KeyError):
        return
    seen = [row["num_tokens"] for row in history if "num_tokens" in row]
    if seen and hasattr(trainer, "_total_train_tokens"):
        trainer._total_train_tokens = int(seen[-1])
        callback.count_from(float(seen[-1]))
