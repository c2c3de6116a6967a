"""The fused layers and the blocked attention against the libraries' own, values and gradients."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.model


def packed(*pairs: tuple[int, int, int]) -> Any:
    """A layout of pairs of (prefix, chosen, rejected) tokens, and its length."""
    from workbench.worker.packed_layout import Layout, Pair

    made, start = [], 0
    for prefix, chosen, rejected in pairs:
        made.append(Pair(start, prefix, chosen, rejected))
        start = made[-1].end
    empty: Any = None
    return Layout(tuple(made), empty, empty, empty), start


@pytest.mark.parametrize(("heads", "key_heads"), [(4, 4), (6, 2)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_blocked_attention_is_attention(heads: int, key_heads: int, dtype: str) -> None:
    """Prefixes, answers and pairs longer and shorter than a block; no answer; no prefix."""
    import torch

    from workbench.worker import packed_attention

    layout, length = packed((150, 20, 140), (3, 1, 2), (0, 7, 5), (5, 4, 0), (130, 0, 9))
    seeded = torch.Generator().manual_seed(1)
    exact = [
        torch.randn((count, length, 16), generator=seeded, dtype=torch.float64)
        for count in (heads, key_heads, key_heads, heads)
    ]
    results = {}
    for name in ("_attend", "_attend_packed"):
        kind = torch.float64 if name == "_attend" else getattr(torch, dtype)
        *inputs, slope = (part.detach().clone().to(kind) for part in exact)
        for part in inputs:
            part.requires_grad_()
        found = getattr(packed_attention, name)(*inputs, layout, 0.25)
        found.backward(slope)
        results[name] = [found.detach(), *(part.grad for part in inputs)]
    tolerance = 1e-5 if dtype == "float32" else 0.02
    for right, found in zip(*results.values(), strict=True):
        difference = (found.double() - right).norm() / right.norm()
        assert difference < tolerance


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("bias", [False, True])
def test_a_fused_lora_layer_is_that_of_peft(dtype: str, bias: bool) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    from workbench.worker.frozen_layers import fuse

    torch.manual_seed(1)
    layers = torch.nn.Sequential(torch.nn.Linear(24, 40, bias=bias)).to(getattr(torch, dtype))
    config = LoraConfig(r=4, lora_alpha=12, target_modules=["0"])
    model = get_peft_model(layers, config)
    lora = model.base_model.model[0]
    torch.nn.init.normal_(lora.lora_B["default"].weight)
    x = torch.randn((3, 5, 24)).to(getattr(torch, dtype)).requires_grad_()
    slope = torch.randn((3, 5, 40)).to(getattr(torch, dtype))
    trained = [x, lora.lora_A["default"].weight, lora.lora_B["default"].weight]
    usual = model(x)
    expected = [usual, *torch.autograd.grad(usual, trained, slope)]
    assert fuse(model) == [lora]
    fused = model(x)
    found = [fused, *torch.autograd.grad(fused, trained, slope)]
    tolerance = 1e-5 if dtype == "float32" else 0.01
    for right, got in zip(expected, found, strict=True):
        assert got.dtype == right.dtype
        assert (got - right).norm() / right.norm() < tolerance
    with model.disable_adapter():
        assert torch.equal(model(x), lora.base_layer(x))


def test_lora_that_is_more_than_two_products_stays_with_peft() -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    from workbench.worker.frozen_layers import fuse

    def lora(**settings: Any) -> Any:
        layers = torch.nn.Sequential(torch.nn.Linear(8, 8))
        return get_peft_model(layers, LoraConfig(r=2, target_modules=["0"], **settings))

    assert fuse(lora(use_dora=True)) == []
    assert fuse(lora(lora_bias=True)) == []
    dropping = lora(lora_dropout=0.5)
    assert len(fuse(dropping)) == 1
    torch.nn.init.normal_(dropping.base_model.model[0].lora_B["default"].weight)
    x = torch.randn((4, 8))
    assert not torch.equal(dropping.train()(x), dropping(x))
    assert torch.equal(dropping.eval()(x), dropping(x))


def test_the_fused_layer_drops_what_peft_drops() -> None:
    """From the same seed, the same values and gradients; the layer's own input gets none twice."""
    import torch
    from peft import LoraConfig, get_peft_model

    from workbench.worker.frozen_layers import fuse

    torch.manual_seed(1)
    layers = torch.nn.Sequential(torch.nn.Linear(24, 40))
    model = get_peft_model(layers, LoraConfig(r=4, target_modules=["0"], lora_dropout=0.3)).train()
    lora = model.base_model.model[0]
    torch.nn.init.normal_(lora.lora_B["default"].weight)
    x = torch.randn((3, 5, 24), requires_grad=True)
    slope = torch.randn((3, 5, 40))
    trained = [x, lora.lora_A["default"].weight, lora.lora_B["default"].weight]
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        found = model(x)
        results.append([found, *torch.autograd.grad(found, trained, slope)])
        fuse(model)
    for right, got in zip(*results, strict=True):
        assert torch.allclose(got, right, atol=1e-5)


def test_a_norm_that_computes_something_else_stays_itself() -> None:
    import torch
    from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    from workbench.worker.frozen_layers import fuse

    llama, gemma = LlamaRMSNorm(8), GemmaRMSNorm(8)
    gemma.variance_epsilon = gemma.eps
    for norm in (llama, gemma):
        torch.nn.init.normal_(norm.weight)
        norm.requires_grad_(False)
    x = torch.randn((2, 3, 8), requires_grad=True)
    expected = llama(x)
    slope = torch.randn((2, 3, 8))
    (gradient,) = torch.autograd.grad(expected, x, slope)
    assert fuse(torch.nn.ModuleList([llama, gemma])) == [llama]
    found = llama(x)
    assert torch.allclose(found, expected, atol=1e-6)
    assert torch.allclose(torch.autograd.grad(found, x, slope)[0], gradient, atol=1e-5)


def test_scores_of_chunks_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks, equal greatest logits, and every field against the softmax itself."""
    import torch

    from workbench.worker import token_scores

    monkeypatch.setattr(token_scores, "CHUNK_LOGITS", 3 * 11)
    torch.manual_seed(1)
    hidden = torch.randn((8, 6), requires_grad=True)
    weight = torch.randn((11, 6))
    weight[4] = weight[2]
    labels = torch.tensor([0, 2, 4, 1, 10, 4, 2, 3])
    fields = ("log_probs", "entropy", "mean_logits", "is_top1", "log_sum_sq_probs")
    found = token_scores.TokenScores.apply(hidden, weight, labels, 2.0, True, fields)
    logits = 2.0 * hidden @ weight.T
    logs = logits.log_softmax(dim=-1)
    chances = logs.exp()
    expected = {
        "log_probs": logs.gather(1, labels[:, None])[:, 0],
        "entropy": -(chances * logs).sum(dim=-1),
        "mean_logits": logits.mean(dim=-1),
        "is_top1": logits.argmax(dim=-1) == labels,
        "log_sum_sq_probs": (chances**2).sum(dim=-1).log(),
    }
    for name, got in zip(fields, found, strict=True):
        assert torch.allclose(got.float(), expected[name].float(), atol=1e-5), name
    slope = torch.randn(8)
    gradients = [
        torch.autograd.grad(part, hidden, slope, retain_graph=True)[0]
        for part in (found[0], expected["log_probs"])
    ]
    assert torch.allclose(*gradients, atol=1e-5)
