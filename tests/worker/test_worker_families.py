"""Packed pairs in the model families, against TRL's own path: taken with its numbers, or left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_worker_packed_pairs import make_trainer, measure

pytestmark = pytest.mark.model

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}
LOCAL = {"layer_types": ["sliding_attention", "full_attention"]}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
FAMILIES: dict[str, tuple[str, dict[str, Any], str]] = {
    # name: (model type, settings, why it is left to TRL)
    "Llama": ("llama", {}, ""),
    "Mistral": ("mistral", {"sliding_window": None}, ""),
    "Mistral, narrow window": ("mistral", {"sliding_window": 64}, "window of 64 tokens"),
    "Mistral, wide window": ("mistral", {"sliding_window": 512}, ""),
    "Qwen 2.5": ("qwen2", {}, ""),
    "Qwen 3": ("qwen3", {"head_dim": 8}, ""),
    "Gemma": ("gemma", {"head_dim": 8}, ""),
    "Gemma 2": ("gemma2", {"head_dim": 8}, "its logits are capped"),
    "Gemma 3": ("gemma3_text", {"head_dim": 8, "sliding_window": 512, **LOCAL}, ""),
    "Gemma 3, narrow window": (
        "gemma3_text",
        {"head_dim": 8, "sliding_window": 64, **LOCAL},
        "window of 64 tokens",
    ),
    "Phi 2": ("phi", {}, "its head has a bias"),
    "Phi 3": ("phi3", {"sliding_window": None, "pad_token_id": 0}, ""),
    "SmolLM 3": ("smollm3", {"pad_token_id": 0}, ""),
    "OLMo 2": ("olmo2", {}, ""),
    "Granite": ("granite", {"logits_scaling": 4.0}, ""),
    "Cohere": ("cohere", {"logit_scale": 0.25}, ""),
    "Mixtral": ("mixtral", {"num_local_experts": 4, "sliding_window": None}, ""),
    "Qwen 3, experts": ("qwen3_moe", {"head_dim": 8, **EXPERTS}, ""),
    "Qwen 3, experts' load": (
        "qwen3_moe",
        {"head_dim": 8, **EXPERTS, "output_router_logits": True},
        "its experts' load",
    ),
}
LONGEST = 256


def make_model(kind: str, settings: dict[str, Any], tiny: Path, folder: Path) -> Path:
    """A small random model of a family, with the tiny model's tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **{**SHAPE, **settings})
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_packed_with_the_numbers_of_trl(name: str, tiny: Path, tmp_path: Path) -> None:
    from workbench.worker.packed_scoring import use_packed_rows

    kind, settings, reason = FAMILIES[name]
    model = make_model(kind, settings, tiny, tmp_path / "model")
    targets = ("qkv_proj",) if kind == "phi3" else ("q_proj", "v_proj")
    options: dict[str, Any] = {"settings": {"max_length": LONGEST}, "targets": targets}
    usual, ours = (make_trainer(model, tmp_path, **options) for _ in range(2))
    found = use_packed_rows(ours, "dpo")
    assert reason in found if reason else found == ""
    loss, gradients, metrics = measure(usual)
    packed_loss, packed_gradients, packed_metrics = measure(ours)
    assert packed_loss == pytest.approx(loss, abs=1e-5, rel=1e-5)
    for key, gradient in gradients.items():
        difference = (packed_gradients[key] - gradient).norm()
        assert difference <= 1e-4 * gradient.norm() + 1e-7, key
    assert packed_metrics == pytest.approx(metrics, abs=1e-4)
