"""Steps of SFT or DPO in one of several processes; rank 0 writes what each step came to.

python -m torch.distributed.run --nproc-per-node 2 two_processes.py OPTIONS, or without the
launcher for one process. OPTIONS is JSON: see `Options`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import test_worker_packed_pairs as pairs
import test_worker_packed_sft as sft
import torch
from transformers import TrainerCallback

from workbench.worker.sharding import is_part, whole


@dataclass(frozen=True)
class Options:
    """What to train and where.

    Attributes:
        model, output: Folder of the tiny model, and a file for what was found (`torch.save`).
        path: "packed" or "trl".
        trained: Whether DPO goes on from an adapter, whose copy is the reference then.
        settings: Of TRL's config.
    """

    model: str
    output: str
    stage: str = "dpo"
    path: str = "packed"
    trained: bool = False
    rows: int = 24
    dtype: str = "float32"
    settings: dict[str, Any] = field(default_factory=dict)


class Steps(TrainerCallback):  # type: ignore[misc]
    """Keeps each step's gradients, and the adapter at the end.

    Attributes:
        gradients: Of each step, (n,) all trained weights' one behind the other, as the optimizer
            gets them.
    """

    def __init__(self) -> None:
        self.gradients: list[torch.Tensor] = []
        self.seconds: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock of a step."""
        self.seconds.append(-time.perf_counter())

    def on_pre_optimizer_step(self, *_: Any, model: Any, **__: Any) -> None:
        """After clipping."""
        found = [weight.grad for weight in model.parameters() if weight.requires_grad]
        self.gradients.append(torch.cat([whole(part).flatten() for part in found]))

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Stop it."""
        self.seconds[-1] += time.perf_counter()


def make_trainer(options: Options, folder: Path) -> Any:
    """The stage's trainer, packed where that is asked for."""
    fixed = {"logging_steps": 1, "save_strategy": "no", "disable_tqdm": True}
    settings = {**fixed, **options.settings}
    if "WORLD_SIZE" in os.environ:
        settings["ddp_backend"] = "gloo"
    if options.stage == "sft":
        trainer = sft.make_trainer(
            options.model, folder, "completion", settings, count=options.rows
        )
    else:
        trainer = pairs.make_trainer(
            options.model,
            folder,
            settings,
            trained=options.trained,
            pairs=options.rows,
            dtype=options.dtype,
        )
    if options.path == "packed":
        from workbench.worker.packed_scoring import use_packed_rows
        from workbench.worker.reference_scores import ReferenceScores
        from workbench.worker.world import World

        world = World.from_environment()
        scores = ReferenceScores(None, world) if options.stage == "dpo" else None
        reason = use_packed_rows(trainer, options.stage, scores, world)
        assert reason == "", reason
    return trainer


def main() -> None:
    """One process."""
    options = Options(**json.loads(sys.argv[1]))
    trainer = make_trainer(options, Path(options.output).parent)
    steps = Steps()
    trainer.add_callback(steps)
    trainer.train()
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        assert all(is_part(weight) for weight in trainer.model.parameters())
    weights = {
        name: whole(weight.detach())
        for name, weight in trainer.model.named_parameters()
        if weight.requires_grad
    }
    if trainer.accelerator.is_main_process:
        found = {
            "history": trainer.state.log_history,
            "gradients": torch.stack(steps.gradients),
            "seconds": steps.seconds,
            "weights": weights,
            "processes": trainer.accelerator.num_processes,
        }
        torch.save(found, options.output)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    # Threads of gloo that still wait when the interpreter ends would abort the process.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
