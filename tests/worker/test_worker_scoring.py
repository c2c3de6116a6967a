from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.model


def test_labelled_positions_score_the_same_with_and_without_the_others(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    import trl.trainer.utils as trl_utils
    from transformers import AutoModelForCausalLM

    from workbench.worker.scoring import score_labelled_positions_only

    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    trl_utils.add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    rows = torch.randint(3, 300, (2, 12), generator=torch.Generator().manual_seed(1))
    labels = rows.clone()
    labels[0, :5] = labels[1, 9:] = -100

    def scores() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        model.zero_grad()
        output = model(input_ids=rows, labels=labels, fused_lm_head=True)
        output.loss.backward()
        gradient = model.model.layers[0].self_attn.q_proj.weight.grad.clone()
        return output.log_probs.detach(), output.entropy.detach(), gradient

    everywhere = scores()
    monkeypatch.setattr(trl_utils, "_use_triton", trl_utils._use_triton)  # put back afterwards
    score_labelled_positions_only()
    assert trl_utils._use_triton(torch.device("cpu"))
    for before, after in zip(everywhere, scores(), strict=True):
        torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-6)


def test_a_trl_without_the_switch_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import trl.trainer.utils as trl_utils

    from workbench.worker.scoring import score_labelled_positions_only

    monkeypatch.delattr(trl_utils, "_use_triton")
    score_labelled_positions_only()
    assert not hasattr(trl_utils, "_use_triton")
