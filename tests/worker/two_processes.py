"""Three DPO steps in each of several processes; rank 0 writes the logged metrics as JSON.

python -m torch.distributed.run --nproc-per-node 2 two_processes.py MODEL OUTPUT packed|trl
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from test_worker_packed_pairs import make_trainer


def main() -> None:
    """One rank."""
    model, output, path = sys.argv[1:]
    settings = {
        "per_device_train_batch_size": 1,
        "max_steps": 3,
        "logging_steps": 1,
        "save_strategy": "no",
        "ddp_backend": "gloo",
        "disable_tqdm": True,
    }
    trainer = make_trainer(model, Path(output).parent, settings)
    assert trainer.accelerator.num_processes == 2
    if path == "packed":
        from workbench.worker.packed_scoring import use_packed_rows
        from workbench.worker.reference_scores import ReferenceScores

        assert use_packed_rows(trainer, "dpo", ReferenceScores(None)) == ""
    trainer.train()
    if trainer.accelerator.is_main_process:
        Path(output).write_text(json.dumps(trainer.state.log_history))
    torch.distributed.destroy_process_group()
    # Threads of gloo that still wait when the interpreter ends would abort the process.
    os._exit(0)


if __name__ == "__main__":
    main()
