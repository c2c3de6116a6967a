"""Ten steps of DDP in each of two processes, of which the second computes longer.

python -m torch.distributed.run --nproc-per-node 2 two_clocks.py OUTPUT SECONDS

Rank 0 writes what it has measured itself, and the metrics of both, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from workbench.worker.rank_clock import rank_clock_for

STEPS = 10


def gather(mine: torch.Tensor) -> torch.Tensor:
    """As accelerate gathers: one after the other."""
    parts = [torch.zeros_like(mine) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, mine)
    return torch.cat(parts)


def main() -> None:
    """One process."""
    output, seconds = Path(sys.argv[1]), float(sys.argv[2])
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    model = DistributedDataParallel(torch.nn.Linear(64, 64))

    def compute_loss(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return model(inputs["input_ids"]).sum()

    trainer: Any = SimpleNamespace(
        args=SimpleNamespace(device=torch.device("cpu"), world_size=2),
        accelerator=SimpleNamespace(gather=gather),
        compute_loss=compute_loss,
        evaluate=None,
        _save_checkpoint=None,
    )
    trainer.evaluate = trainer._save_checkpoint = lambda: time.sleep(seconds * (1 - rank))
    clock = rank_clock_for(trainer)
    clock.watch(trainer)
    clock.start()
    for step in range(STEPS):
        loss = trainer.compute_loss(model, {"input_ids": torch.ones(4, 64)})
        time.sleep(seconds * rank)
        loss.backward()
        if step == STEPS // 2:
            # One writes, the other one has only come to wait for it.
            trainer._save_checkpoint()
        distributed.all_reduce(torch.ones(1))
    figures = clock.take(4 * STEPS)
    metrics = clock.share(figures)
    if rank == 0:
        output.write_text(json.dumps({"figures": figures, "metrics": metrics}))
    distributed.destroy_process_group()
    sys.stdout.flush()
    # Threads of gloo that still wait when the interpreter ends would abort the process.
    os._exit(0)


if __name__ == "__main__":
    main()
