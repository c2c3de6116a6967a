"""Rows of a batch answer as `generate` answers each prompt alone, whatever the architecture."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
import transformers

from workbench.judge.answers import Sampling
from workbench.worker.decode import Answer
from workbench.worker.row_cache import KeptRow
from workbench.worker.row_decoder import Decoder, Row, Voice, decode
from workbench.worker.side_layers import slices

pytestmark = pytest.mark.model

SHAPE: dict[str, Any] = {
    "vocab_size": 128,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SLIDING = {**SHAPE, "head_dim": 8, "sliding_window": 8}
CONFIGS = {
    "llama": lambda: transformers.LlamaConfig(**SHAPE),
    "all layers slide": lambda: transformers.MistralConfig(**SHAPE, sliding_window=8),
    "some layers slide": lambda: transformers.Gemma3TextConfig(**SLIDING, query_pre_attn_scalar=8),
    "learned positions": lambda: transformers.GPT2Config(
        vocab_size=128, n_embd=32, n_layer=2, n_head=4, n_positions=256
    ),
    "no positions": lambda: transformers.BloomConfig(
        vocab_size=128, hidden_size=32, n_layer=2, n_head=4
    ),
    "experts": lambda: transformers.Qwen3MoeConfig(
        **SHAPE, head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16
    ),
    "convolutions": lambda: transformers.Lfm2Config(
        **SHAPE, layer_types=["conv", "full_attention"], block_auto_adjust_ff_dim=False
    ),
    "state space": lambda: transformers.MambaConfig(
        vocab_size=128, hidden_size=32, num_hidden_layers=2, state_size=8
    ),
}
PROMPTS = ([5, 9, 30, 77, 12, 8, 100, 33, 21, 40, 41, 42], [6, 10, 31, 78, 13], [7])
LENGTHS = (20, 7, 20)


class Letters:
    """A tokenizer of single letters."""

    def decode(self, ids: list[int], **_: Any) -> str:
        return "".join(chr(33 + number % 90) for number in ids)


def row(name: str, prompt: list[int], tokens: int, kept: KeptRow | None = None) -> Row:
    return Row(Answer(name, Letters()), prompt, "", tokens, kept=kept)


def alone(model: Any, prompt: list[int], tokens: int) -> list[int]:
    ids = torch.tensor([prompt])
    output = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=tokens,
        do_sample=False,
        pad_token_id=0,
        eos_token_id=None,
    )
    found: list[int] = output[0, len(prompt) :].tolist()
    return found


@pytest.mark.parametrize("name", CONFIGS)
def test_rows_come_go_and_come_back(name: str) -> None:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[name]()).eval()
    model.generation_config.eos_token_id = None
    voice = Voice(model, lambda _: contextlib.nullcontext(), frozenset())
    rows = [
        row(str(number), prompt, tokens)
        for number, (prompt, tokens) in enumerate(zip(PROMPTS, LENGTHS, strict=True))
    ]
    kept: dict[str, KeptRow | None] = {}
    decoder = Decoder(
        voice, Sampling(), lambda one, read: kept.update({one.answer.side: read}), keep=True
    )
    # Two at a time, so that the third comes in when the second has left.
    decode([decoder], {0: list(rows)}, 2, lambda: True)
    for one, prompt, tokens in zip(rows, PROMPTS, LENGTHS, strict=True):
        assert one.ids == alone(model, prompt, tokens)
        assert one.answer.finish == "length"
    stateful = name in ("convolutions", "state space")
    assert (kept["0"] is None) == stateful
    longer = [*PROMPTS[0], *rows[0].ids, 50, 51, 52]
    again = row("again", longer, 10, kept["0"])
    decode([Decoder(voice, Sampling())], {0: [again, row("new", PROMPTS[2], 3)]}, 4, lambda: True)
    assert again.ids == alone(model, longer, 10)


def test_rows_of_one_adapter_are_neighbours() -> None:
    assert slices(["", "", "a", "b", "b"]) == [("a", 2, 3), ("b", 3, 5)]
    with pytest.raises(ValueError, match="beside each other"):
        slices(["a", "", "a"])
