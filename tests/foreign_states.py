"""A trainer's output folder, as transformers and TRL write it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

ADAPTER = {
    "base_model_name_or_path": "org/base",
    "r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "target_modules": ["v_proj", "q_proj"],
    "peft_version": "0.17.0",
    "use_dora": False,
}
CARD = """\
---
base_model: org/from-the-card
---
### Framework versions

- TRL: 0.19.0
- Transformers: 4.52.1
- Pytorch: 2.6.0+cu124
- Evil: 1
"""


def dpo_state(steps: int = 20, planned: int = 20, **changes: Any) -> dict[str, Any]:
    """The state of a DPO training that logs each fifth step and evaluates each tenth."""
    history: list[dict[str, Any]] = []
    for step in range(5, steps + 1, 5):
        margin = 1.5 * (1 - math.exp(-step / 40))
        history.append(
            {
                "epoch": step / 20,
                "grad_norm": math.nan if step == 5 else 1.2,
                "learning_rate": 5e-5 * (1 - step / planned),
                "logps/chosen": -100.0,
                "loss": 0.69 * math.exp(-step / 60),
                "num_tokens": 800.0 * step,
                "rewards/accuracies": min(1.0, 0.5 + step / 100),
                "rewards/chosen": 0.6 * margin,
                "rewards/margins": margin,
                "rewards/rejected": -0.4 * margin,
                "step": step,
            }
        )
        if step % 10 == 0:
            history.append(
                {"epoch": step / 20, "eval_loss": round(0.7 - step / 100, 2), "step": step}
            )
    if steps == planned:
        history.append(
            {"epoch": 1.0, "step": steps, "total_flos": 1e12, "train_loss": 0.5,
             "train_runtime": 321.5, "train_steps_per_second": 0.1}
        )  # fmt: skip
    state = {"epoch": 1.0, "global_step": steps, "max_steps": planned, "num_train_epochs": 1,
             "train_batch_size": 4, "stateful_callbacks": {}, "log_history": history}  # fmt: skip
    return {**state, **changes}


def write_output(folder: Path, state: dict[str, Any] | None = None) -> Path:
    """An output folder with an adapter, a card, and a pickle that nobody must open."""
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text(json.dumps(state or dpo_state()))
    (folder / "adapter_config.json").write_text(json.dumps(ADAPTER))
    (folder / "README.md").write_text(CARD)
    (folder / "training_args.bin").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    return folder
