"""SFT on packed rows against unmodified TRL, in fp32: losses, gradients and every logged metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_worker_packed_pairs import measure, move_adapter
from tiny_model import preference_rows

pytestmark = pytest.mark.model

KINDS = {
    "messages": lambda row: {"messages": [*row["prompt"], *row["chosen"]]},
    "completion": lambda row: {"prompt": row["prompt"], "completion": row["chosen"]},
    "text": lambda row: {"text": row["prompt"][0]["content"] + row["chosen"][0]["content"]},
}
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    **{kind: (kind, {}) for kind in KINDS},
    "dft": ("completion", {"loss_type": "dft"}),
    "short": ("messages", {"max_length": 12}),
    "one row": ("messages", {"per_device_train_batch_size": 1}),
    "checkpointing": ("completion", {"gradient_checkpointing": True}),
    "padded": ("completion", {"pad_to_multiple_of": 32}),
}


def make_trainer(
    model: Any,
    folder: Path,
    kind: str,
    settings: dict[str, Any],
    lora_dropout: float = 0.0,
    count: int = 6,
) -> Any:
    """TRL's trainer on the tiny model, with an adapter that has learned something."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    defaults = {"per_device_train_batch_size": 6, "gradient_checkpointing": False}
    fixed = {"use_cpu": True, "bf16": False, "report_to": "none", "disable_tqdm": True}
    rows = [KINDS[kind](row) for row in preference_rows(count)]
    targets = ["q_proj", "v_proj"]
    lora = LoraConfig(r=4, target_modules=targets, lora_dropout=lora_dropout, task_type="CAUSAL_LM")
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        args=SFTConfig(output_dir=str(folder), **{**fixed, **defaults, **settings}),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(model),
        peft_config=lora,
    )
    move_adapter(trainer.model, seed=2)
    return trainer


@pytest.mark.parametrize("name", SETTINGS)
def test_packed_rows_give_the_numbers_of_trl(name: str, tiny: Path, tmp_path: Path) -> None:
    from workbench.worker.packed_scoring import use_packed_rows

    kind, settings = SETTINGS[name]
    loss, gradients, metrics = measure(make_trainer(tiny, tmp_path, kind, settings))
    ours = make_trainer(tiny, tmp_path, kind, settings)
    assert use_packed_rows(ours, "sft") == ""
    packed_loss, packed_gradients, packed_metrics = measure(ours)
    assert packed_loss == pytest.approx(loss, abs=1e-5, rel=1e-5)
    assert packed_gradients.keys() == gradients.keys()
    for key, gradient in gradients.items():
        difference = (packed_gradients[key] - gradient).norm()
        assert difference <= 1e-4 * gradient.norm() + 1e-7, key
    assert packed_metrics == pytest.approx(metrics, abs=1e-4)


def test_the_dropout_of_lora_does_not_keep_rows_from_being_packed(
    tiny: Path, tmp_path: Path
) -> None:
    """The mean loss over many draws is that of TRL; without dropout it is another one."""
    import torch

    from workbench.worker.packed_scoring import use_packed_rows

    means = []
    for ours in (False, True):
        trainer = make_trainer(tiny, tmp_path, "completion", {}, lora_dropout=0.5)
        trainer.model.train()
        if ours:
            assert use_packed_rows(trainer, "sft") == ""
            assert trainer.model.training
        batch = trainer.data_collator(list(trainer.train_dataset))
        torch.manual_seed(4)
        with torch.no_grad():
            losses = [trainer.compute_loss(trainer.model, dict(batch)).item() for _ in range(200)]
        assert max(losses) > min(losses)
        means.append(sum(losses) / len(losses))
    assert means[1] == pytest.approx(means[0], rel=2e-3)


def test_rows_that_trl_packs_are_left_to_it(tiny: Path, tmp_path: Path) -> None:
    from workbench.worker.packed_scoring import use_packed_rows

    trainer = make_trainer(tiny, tmp_path, "messages", {"packing": True, "max_length": 64})
    assert use_packed_rows(trainer, "sft") == "TRL packs its rows already"
