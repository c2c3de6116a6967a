"""The reference's kept numbers: the same training, fewer passes, files that nothing can spoil."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from test_worker_packed_pairs import make_trainer, measure

pytestmark = pytest.mark.model


def count_reference_passes(trainer: Any, scores: Any) -> list[int]:
    """Let a trainer pack its pairs; the list gets the number of rows of each reference pass."""
    from workbench.worker import packed_scoring

    assert packed_scoring.use_packed_rows(trainer, "dpo", scores) == ""
    model = packed_scoring.causal_model(trainer.model)
    rows: list[int] = []

    def look(_: Any, __: Any, kwargs: dict[str, Any]) -> None:
        layout = kwargs["shared_prefix"]
        if packed_scoring.is_reference_pass(model):
            rows.append(len(layout.pairs))

    model.base_model.register_forward_pre_hook(look, with_kwargs=True)
    return rows


def test_known_rows_are_not_scored_again_and_give_the_same_loss(tiny: Path, tmp_path: Path) -> None:
    """Another run, whose adapter has another start, takes the numbers of the first."""
    from workbench.worker.reference_scores import ReferenceScores

    file = tmp_path / "reference" / "x.scores"
    first = make_trainer(tiny, tmp_path, {})
    passes = count_reference_passes(first, ReferenceScores(file))
    loss = measure(first)[0]
    again = measure(first)
    assert passes == [6]
    assert again[0] == loss
    first.callback_handler.on_evaluate(first.args, first.state, first.control, {})

    scores = ReferenceScores(file)
    assert len(scores.known) == 11  # the answers of one pair are the same
    lost = list(scores.known)[3]
    del scores.known[lost]
    second = make_trainer(tiny, tmp_path, {})
    passes = count_reference_passes(second, scores)
    assert measure(second)[0] == pytest.approx(loss, abs=1e-6)
    assert passes == [1]
    scores.save()
    assert len(ReferenceScores(file).known) == 11


def test_training_and_evaluation_are_those_of_trl(tiny: Path, tmp_path: Path) -> None:
    """Two epochs with an evaluation after each, against unmodified TRL, in fp32."""
    from workbench.worker.reference_scores import ReferenceScores

    settings = {
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "num_train_epochs": 2,
        "eval_strategy": "epoch",
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    histories = []
    for ours in (False, True):
        trainer = make_trainer(tiny, tmp_path, settings, evaluation=True)
        passes = count_reference_passes(trainer, ReferenceScores(None)) if ours else []
        trainer.train()
        histories.append(trainer.state.log_history)
    assert sum(passes) == 6
    timing = ("runtime", "per_second")
    for usual, packed in zip(*histories, strict=True):
        for name, value in usual.items():
            if not any(part in name for part in timing):
                assert packed[name] == pytest.approx(value, abs=1e-4, rel=1e-4), name


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_cut_file_is_read_as_far_as_it_goes_and_then_replaced(cut: int, tmp_path: Path) -> None:
    import torch

    from workbench.worker.reference_scores import ReferenceScores

    file = tmp_path / "x.scores"
    rows = {bytes([n]) * 16: torch.randn(10 * n) for n in range(6)}
    scores = ReferenceScores(file)
    for key, values in rows.items():
        scores.put(key, values)
    scores.save()
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_bytes(file.read_bytes()[:-cut])
    found = ReferenceScores(file)
    assert 0 < len(found.known) < 6
    for key, values in rows.items():
        assert key not in found.known or torch.equal(found.known[key], values)
        found.put(key, values)
    found.save()
    assert ReferenceScores(file).known.keys() == rows.keys()


def test_a_file_of_something_else_is_no_harm(tmp_path: Path) -> None:
    from workbench.worker.reference_scores import ReferenceScores

    file = tmp_path / "x.scores"
    file.write_bytes(b"\xff" * 5000)
    scores = ReferenceScores(file)
    assert scores.known == {}
    import torch

    scores.put(b"k" * 16, torch.ones(2))
    scores.save()
    assert list(ReferenceScores(file).known) == [b"k" * 16]


def test_a_disk_that_takes_nothing_loses_only_the_cache(tmp_path: Path) -> None:
    import torch

    from workbench.worker.reference_scores import ReferenceScores

    (tmp_path / "folder").write_text("in the way")
    scores = ReferenceScores(tmp_path / "folder" / "x.scores")
    scores.put(b"k" * 16, torch.ones(2))
    scores.save()
    assert torch.equal(scores.known[b"k" * 16], torch.ones(2))


def test_other_weights_have_another_file(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Base weights, the reference's adapter and the library tell files apart; a new adapter not."""
    import os
    import shutil

    import torch

    from workbench.worker.packed_scoring import causal_model
    from workbench.worker.reference_scores import reference_file

    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    model = make_trainer(folder, tmp_path, {}).model

    def name(precision: str = "no") -> Any:
        return reference_file(causal_model(model), str(folder), tmp_path / "cache", precision)

    first = name()
    assert first is not None
    assert first.parent == tmp_path / "cache" / "reference"
    for part, weight in model.named_parameters():
        if "lora_" in part:
            weight.data.add_(1.0)
    assert name() == first
    with monkeypatch.context() as patch:
        patch.setattr("transformers.__version__", "5.99")
        assert name() != first
    assert name("bf16") != first
    with monkeypatch.context() as patch:
        patch.setattr(model.config, "rms_norm_eps", 1e-3)
        assert name() != first
    model.add_adapter("ref", model.peft_config["default"])
    with_adapter = name()
    assert with_adapter != first
    for part, weight in model.named_parameters():
        if ".ref." in part and "lora_B" in part:
            weight.data.add_(1.0)
    assert name() not in (first, with_adapter)
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    times = weights.stat()
    weights.write_bytes(content)
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    model.delete_adapter("ref")
    assert name() != first
    assert reference_file(causal_model(model), "org/unknown", tmp_path) is None
    assert reference_file(causal_model(model).to(torch.bfloat16), str(folder), None) is None


class Peers:
    """Processes as threads that hand each other their values, as gloo would.

    Attributes:
        size: How many there are.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.barrier = threading.Barrier(size, timeout=60)
        self.values: list[Any] = [None] * size

    def world(self, rank: int, local_rank: int) -> Any:
        """One of them."""
        from workbench.worker.world import World

        peers = self

        class Peer(World):
            def gather(self, value: Any) -> list[Any]:
                peers.values[rank] = value
                peers.barrier.wait()
                found = list(peers.values)
                peers.barrier.wait()
                return found

            def share(self, value: Any) -> Any:
                return self.gather(value)[0]

        return Peer(rank, self.size, local_rank)


@pytest.mark.parametrize("hosts", ["one", "two that share a disk", "two with a disk each"])
def test_processes_tell_each_other_and_one_of_each_host_writes(hosts: str, tmp_path: Path) -> None:
    """A row that two have scored counts as the first one has it, in memory and on the disk."""
    import torch

    from workbench.worker.reference_scores import ReferenceScores

    apart = hosts == "two with a disk each"
    peers = Peers(4)
    places = {0: (0, 0), 1: (0, 1), 2: (1, 0), 3: (1, 1)}
    files = [tmp_path / str(host if apart else 0) / "x.scores" for host, _ in places.values()]
    every = [
        ReferenceScores(files[rank], peers.world(rank, rank if hosts == "one" else local))
        for rank, (_, local) in places.items()
    ]

    def work(rank: int) -> None:
        for save in range(3):
            if rank != save:
                every[rank].put(bytes([save, rank]) * 8, torch.full((3,), float(rank)))
            every[rank].put(bytes([save, 99]) * 8, torch.full((2,), float(rank)))
            every[rank].save()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    expected = every[0].known
    assert len(expected) == 12
    for scores in every:
        assert scores.known.keys() == expected.keys()
        assert all(torch.equal(scores.known[key], expected[key]) for key in expected)
    assert torch.equal(expected[bytes([1, 99]) * 8], torch.zeros(2))
    for file in set(files):
        kept = ReferenceScores(file)
        assert all(torch.equal(kept.known[key], expected[key]) for key in expected)
        record = 24 * 12 + 4 * (9 * 3 + 3 * 2)
        assert file.stat().st_size == record
