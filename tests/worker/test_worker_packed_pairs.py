"""Packed pairs against unmodified TRL, in fp32: losses, gradients and every logged metric."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_model import preference_rows

pytestmark = pytest.mark.model

LOSSES = (
    *("sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot"),
    *("aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm"),
)
SETTINGS: dict[str, dict[str, Any]] = {
    **{name: {"loss_type": [name]} for name in LOSSES},
    "exo_pair": {"loss_type": ["exo_pair"], "label_smoothing": 0.1},
    "robust": {"loss_type": ["robust"], "label_smoothing": 0.1},
    "two losses": {"loss_type": ["sigmoid", "sft"], "loss_weights": [0.7, 0.3]},
    "length": {"ld_alpha": 0.5},
    "weighting": {"use_weighting": True},
    "smoothing": {"label_smoothing": 0.2},
    "forward KL": {"f_divergence_type": "forward_kl"},
    "Jensen-Shannon": {"f_divergence_type": "js_divergence"},
    "alpha": {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 0.5},
    "short": {"max_length": 24},
    "long prompts cut": {"max_length": 24, "truncation_mode": "keep_end"},
    "padded": {"pad_to_multiple_of": 32},
    "one pair": {"per_device_train_batch_size": 1},
    "checkpointing": {"gradient_checkpointing": True},
    "precomputed": {"precompute_ref_log_probs": True},
}


def rows(count: int = 6) -> list[dict[str, Any]]:
    """Pairs of unlike lengths, with an empty answer, a long shared beginning and equal sides."""
    found = preference_rows(count)
    answer = found[0]["chosen"][0]["content"]
    found[1]["chosen"] = [{"role": "assistant", "content": ""}]
    found[2]["rejected"] = [{"role": "assistant", "content": answer + " And more of it."}]
    found[3]["rejected"] = found[3]["chosen"]
    turns = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": answer}]
    found[4]["prompt"] = [*turns, *turns, *found[4]["prompt"]]
    return found


def make_trainer(
    model: Any,
    folder: Path,
    settings: dict[str, Any],
    *,
    lora_dropout: float = 0.0,
    evaluation: bool = False,
    trained: bool = False,
    targets: tuple[str, ...] = ("q_proj", "v_proj"),
    pairs: int = 6,
    dtype: str = "float32",
) -> Any:
    """TRL's trainer on the tiny model, with an adapter that has learned something.

    Args:
        trained: Whether it goes on from an adapter, whose copy is the reference then.
    """
    import torch
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    defaults = {"per_device_train_batch_size": 6, "gradient_checkpointing": False}
    fixed = {"use_cpu": True, "bf16": False, "report_to": "none", "learning_rate": 1e-2}
    lora = LoraConfig(
        r=4, target_modules=list(targets), lora_dropout=lora_dropout, task_type="CAUSAL_LM"
    )
    start = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype))
    if trained:
        torch.manual_seed(1)
        start = get_peft_model(start, lora)
        move_adapter(start, seed=3)
    trainer = DPOTrainer(
        model=start,
        args=DPOConfig(output_dir=str(folder), **{**fixed, **defaults, **settings}),
        train_dataset=Dataset.from_list(rows(pairs)),
        eval_dataset=Dataset.from_list(rows()) if evaluation else None,
        processing_class=AutoTokenizer.from_pretrained(model),
        peft_config=None if trained else lora,
    )
    move_adapter(trainer.model, seed=2)
    return trainer


def move_adapter(model: Any, seed: int) -> None:
    """Give the training adapter weights as if it had learned something."""
    import torch

    seeded = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if "lora_B.default" in name:
            weight.data.normal_(std=0.1, generator=seeded)


def measure(trainer: Any) -> tuple[float, dict[str, Any], dict[str, float]]:
    """Loss, gradients and metrics of the first batch."""
    trainer.model.train()
    count = min(trainer.args.per_device_train_batch_size, len(trainer.train_dataset))
    batch = trainer.data_collator(list(trainer.train_dataset.select(range(count))))
    loss = trainer.compute_loss(trainer.model, dict(batch))
    loss.backward()
    gradients = {
        name: weight.grad.clone()
        for name, weight in trainer.model.named_parameters()
        if weight.grad is not None
    }
    metrics = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    return loss.item(), gradients, metrics


@pytest.mark.parametrize("name", [*SETTINGS, "from an adapter"])
def test_packed_pairs_give_the_numbers_of_trl(name: str, tiny: Path, tmp_path: Path) -> None:
    from workbench.worker.packed_scoring import use_packed_rows

    settings, trained = SETTINGS.get(name, {}), name not in SETTINGS
    usual = make_trainer(tiny, tmp_path, settings, trained=trained)
    assert ("ref" in usual.model.peft_config) is trained
    loss, gradients, metrics = measure(usual)
    ours = make_trainer(tiny, tmp_path, settings, trained=trained)
    assert use_packed_rows(ours, "dpo") == ""
    packed_loss, packed_gradients, packed_metrics = measure(ours)
    assert packed_loss == pytest.approx(loss, abs=1e-5, rel=1e-5)
    assert packed_gradients.keys() == gradients.keys()
    for key, gradient in gradients.items():
        difference = (packed_gradients[key] - gradient).norm()
        assert difference <= 1e-4 * gradient.norm() + 1e-7, key
    assert packed_metrics == pytest.approx(metrics, abs=1e-4)


def test_a_model_whose_numbers_differ_keeps_its_own_path(tiny: Path, tmp_path: Path) -> None:
    from workbench.worker import packed_attention
    from workbench.worker.packed_scoring import use_packed_rows

    trainer = make_trainer(tiny, tmp_path, {})
    attention = trainer.model.get_base_model().config._attn_implementation
    right = packed_attention._mask
    try:
        packed_attention._mask = lambda *arguments: ~right(*arguments)
        assert "differ by" in use_packed_rows(trainer, "dpo")
    finally:
        packed_attention._mask = right
    assert trainer.model.get_base_model().config._attn_implementation == attention
    assert measure(trainer)[0] == measure(make_trainer(tiny, tmp_path, {}))[0]


def test_an_error_is_as_large_for_likely_texts_as_for_unlikely_ones() -> None:
    import torch

    from workbench.worker.packed_scoring import logit_error

    seeded = torch.Generator().manual_seed(1)
    logits = torch.randn((4000, 50), generator=seeded)
    noise = 0.1 * torch.randn(logits.shape, generator=seeded)
    for certainty in (0.0, 4.0, 12.0):
        logits[:, 0] = certainty
        right, off = (torch.log_softmax(part, dim=-1)[:, 0] for part in (logits, logits + noise))
        assert logit_error(off, right) == pytest.approx(0.1, abs=0.03)
        assert logit_error(right, right) == 0.0
    assert logit_error(torch.zeros(3), torch.zeros(3)) == 0.0


@pytest.mark.parametrize(
    ("config", "max_length", "reason"),
    [
        ({}, None, ""),
        ({"sliding_window": 64}, 64, ""),
        ({"sliding_window": 64}, 65, "window of 64 tokens"),
        ({"sliding_window": 64}, None, "window of 64 tokens"),
        ({"sliding_window": 64, "layer_types": ["full_attention"]}, 65, ""),
        ({"sliding_window": 64, "layer_types": ["sliding_attention"]}, 65, "window of 64 tokens"),
        ({"layer_types": ["full_attention", "linear_attention"]}, 8, "carry a state"),
    ],
)
def test_layers_that_see_other_tokens_are_left_to_trl(
    config: dict[str, Any], max_length: int | None, reason: str
) -> None:
    from workbench.worker.packed_scoring import layers_reason

    found = layers_reason(SimpleNamespace(**config), max_length)
    assert reason in found if reason else found == ""


def test_dropout_is_left_to_trl(tiny: Path, tmp_path: Path) -> None:
    from workbench.worker.packed_scoring import use_packed_rows

    trainer = make_trainer(tiny, tmp_path, {"disable_dropout": False}, lora_dropout=0.1)
    assert use_packed_rows(trainer, "dpo") == "dropout is on"
    trainer = make_trainer(tiny, tmp_path, {}, lora_dropout=0.1)
    assert use_packed_rows(trainer, "dpo") == ""


def test_dropout_of_attention_is_left_to_trl(tiny: Path, tmp_path: Path) -> None:
    from workbench.worker.packed_scoring import use_packed_rows

    trainer = make_trainer(tiny, tmp_path, {})
    trainer.model.config.attention_dropout = 0.1
    assert use_packed_rows(trainer, "dpo") == "dropout of attention is on"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"is_deepspeed_enabled": True}, "spread over processes by DeepSpeed"),
        ({"is_fsdp_enabled": True}, "spread over processes by FSDP1"),
        ({"ref_model": object()}, "the reference is a model of its own"),
    ],
)
def test_trainers_that_work_otherwise_are_left_to_trl(
    change: dict[str, Any], reason: str, tiny: Path, tmp_path: Path
) -> None:
    from workbench.worker.packed_scoring import use_packed_rows

    trainer = make_trainer(tiny, tmp_path, {})
    for name, value in change.items():
        setattr(trainer, name, value)
    assert reason in use_packed_rows(trainer, "dpo")
    trainer = make_trainer(tiny, tmp_path, {})
    trainer.args.torch_compile = True
    assert "torch_compile is on" in use_packed_rows(trainer, "dpo")


def test_generation_stays_what_it_was(tiny: Path, tmp_path: Path) -> None:
    import torch

    from workbench.worker.packed_scoring import use_packed_rows

    trainer = make_trainer(tiny, tmp_path, {})
    trainer.model.eval()
    prompt = trainer.processing_class("What is tea?", return_tensors="pt")
    before = trainer.model.generate(**prompt, max_new_tokens=12, do_sample=False)
    assert use_packed_rows(trainer, "dpo") == ""
    after = trainer.model.generate(**prompt, max_new_tokens=12, do_sample=False)
    assert torch.equal(before, after)
