"""Who may read what a run writes, what never stands in it, and that nothing listens."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import stat
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from worker_helpers import SECRETS, WAIT_SECONDS, MakeRun, Witness, run_module

from workbench.base.files import append_json
from workbench.base.problems import ProblemError
from workbench.base.secrets import MASK
from workbench.judge.answers import AnswerProcess, Sampling
from workbench.run.directory import RunDirectory
from workbench.run.record import read_record, update_record
from workbench.worker import train
from workbench.worker.model import read_config
from workbench.worker.run_writer import RunWriter

MESSAGES = [{"role": "user", "content": "What is tea?"}]
model = pytest.mark.model


def open_to_others(folder: Path) -> list[str]:
    """Files and folders that somebody else could read, write or enter."""
    paths = [folder, *folder.rglob("*")]
    found = []
    for path in paths:
        mode = stat.S_IMODE(path.lstat().st_mode)
        if mode & 0o077 and not path.is_symlink():
            found.append(f"{path.relative_to(folder)} {mode:o}")
    return found


def holding_secrets(folder: Path) -> list[str]:
    """Files with the bytes of a planted secret in them."""
    return [
        f"{path.name}: {name}"
        for path in folder.rglob("*")
        if path.is_file()
        for name, value in SECRETS.items()
        if value.encode() in path.read_bytes()
    ]


@model
def test_a_run_is_its_owners_alone_whatever_the_umask(
    witnessed: tuple[RunDirectory, Witness],
) -> None:
    run, _ = witnessed
    assert (run.output("dpo") / "training_args.bin").is_file()
    assert open_to_others(run.path) == []
    assert stat.S_IMODE(run.path.parent.stat().st_mode) == 0o700


@model
def test_no_byte_of_a_run_is_a_token(witnessed: tuple[RunDirectory, Witness]) -> None:
    run, witness = witnessed
    assert holding_secrets(run.path) == []
    assert witness.looks > 3
    assert any("workbench.worker.train" in command for command in witness.commands)
    assert not [c for c in witness.commands for value in SECRETS.values() if value in c]


@model
def test_nothing_of_a_training_listens(witnessed: tuple[RunDirectory, Witness]) -> None:
    assert witnessed[1].listening == []


@model
def test_an_answering_process_is_private_and_listens_to_its_pipe_alone(
    finished: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    finished.generate_log.unlink(missing_ok=True)
    events: list[dict[str, Any]] = []
    done = threading.Event()

    def take(event: dict[str, Any]) -> None:
        events.append(event)
        if event["event"] in ("done", "error"):
            done.set()

    umask = os.umask(0)
    answers, witness = AnswerProcess(finished, take), Witness()
    try:
        answers.generate(MESSAGES, Sampling(max_new_tokens=4))
        assert done.wait(WAIT_SECONDS)
        assert events[-1]["event"] == "done", events[-1]
        for child in psutil.Process().children():
            if "workbench.worker.generate" in child.cmdline():
                witness.look_at(child)
        append_json(finished.comparisons, {"prompt": "x"})
    finally:
        os.umask(umask)
        answers.close()
        finished.comparisons.unlink(missing_ok=True)
    assert witness.looks
    assert witness.listening == []
    assert not [c for c in witness.commands for value in SECRETS.values() if value in c]
    assert open_to_others(finished.path) == []
    assert holding_secrets(finished.path) == []


@model
def test_a_merged_model_is_private_too(
    finished: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    umask = os.umask(0)
    try:
        result = run_module(
            "workbench.worker.merge", str(finished.path), str(tmp_path / "new" / "merged")
        )
    finally:
        os.umask(umask)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "new" / "merged" / "model.safetensors").is_file()
    assert open_to_others(tmp_path / "new") == []
    assert holding_secrets(tmp_path / "new") == []


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def test_the_bomb_goes_off_where_it_is_unpickled(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "boom")))
    assert (tmp_path / "boom").exists()


@model
def test_nothing_pickled_is_ever_run(
    finished: RunDirectory, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As weights, as an adapter, and with the variable that makes torch careless."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    boom = pickle.dumps(Bomb(tmp_path / "boom"))
    copy = RunDirectory(shutil.copytree(finished.path, tmp_path / finished.id))
    base = Path(shutil.copytree(tiny, tmp_path / "base"))
    (base / "model.safetensors").unlink()
    (base / "pytorch_model.bin").write_bytes(boom)
    config = yaml.safe_load(copy.config("dpo").read_text())
    good = config["model_name_or_path"]
    copy.config("dpo").write_text(yaml.safe_dump({**config, "model_name_or_path": str(base)}))
    with pytest.raises(ProblemError, match=r"has its weights in pytorch_model\.bin only"):
        read_config(copy, "dpo")

    copy.config("dpo").write_text(yaml.safe_dump({**config, "model_name_or_path": good}))
    adapter = copy.output("dpo")
    (adapter / "adapter_model.safetensors").unlink()
    (adapter / "adapter_model.bin").write_bytes(boom)
    result = run_module("workbench.worker.merge", str(copy.path), str(tmp_path / "merged"))
    assert result.returncode == 1
    assert "error: " in result.stderr
    assert not (tmp_path / "boom").exists()
    assert not (tmp_path / "merged").exists()


CAREFUL_LOAD = """
import os, sys
from workbench.worker import machine
machine.prepare_environment(os.environ)
import torch
for options in ({}, {"weights_only": False}):
    try:
        torch.load(sys.argv[1], **options)
    except Exception as error:
        print(type(error).__name__)
"""


@model
def test_torch_unpickles_nothing_in_our_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess
    import sys

    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    (tmp_path / "optimizer.pt").write_bytes(pickle.dumps(Bomb(tmp_path / "boom")))
    command = [sys.executable, "-c", CAREFUL_LOAD, str(tmp_path / "optimizer.pt")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_SECONDS)
    assert result.stdout.split() == ["UnpicklingError", "UnpicklingError"], result.stderr
    assert not (tmp_path / "boom").exists()


def write_config(run: RunDirectory, **changes: Any) -> None:
    config = yaml.safe_load(run.config("dpo").read_text())
    run.config("dpo").write_text(yaml.safe_dump({**config, **changes}))


def test_the_worker_looks_at_its_config_again(new_run: MakeRun) -> None:
    """Rows 9 and 22: a run directory may have been written to since the check."""
    run = new_run(stages=("dpo",))
    write_config(run, env={"LD_PRELOAD": "/tmp/evil.so"})
    with pytest.raises(ProblemError, match="may not set the variable LD_PRELOAD"):
        read_config(run, "dpo")
    write_config(run, env={"OMP_NUM_THREADS": "2"}, trust_remote_code=True)
    with pytest.raises(ProblemError, match="--trust-remote-code"):
        read_config(run, "dpo")
    update_record(run, trusted_model="org/other")
    with pytest.raises(ProblemError, match="--trust-remote-code"):
        read_config(run, "dpo")
    update_record(run, trusted_model=read_record(run).model_source)
    assert read_config(run, "dpo")["trust_remote_code"] is True
    write_config(run, model_name_or_path="org/other")
    with pytest.raises(ProblemError, match="--trust-remote-code org/other"):
        read_config(run, "dpo")


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_a_model_with_code_is_refused_before_anything_asks(
    name: str, new_run: MakeRun, tiny: Path, tmp_path: Path
) -> None:
    """Row 22."""
    folder = Path(shutil.copytree(tiny, tmp_path / "model"))
    settings = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**settings, "auto_map": {"AutoConfig": "evil.C"}}))
    run = new_run(folder, stages=("dpo",))
    with pytest.raises(ProblemError, match="brings Python code of its own") as caught:
        read_config(run, "dpo")
    assert "--trust-remote-code" in str(caught.value)


def test_an_error_that_quotes_a_token_loses_it(
    new_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    run = new_run(stages=("dpo",))
    quoted = " ".join(SECRETS.values())
    error = RuntimeError(f"401 for https://me:pass@hub.example {quoted}")
    assert train.fail(run, RunWriter(run), error) == 1
    told = capfd.readouterr()
    assert MASK in told.err
    assert "RuntimeError" in told.err
    for value in (*SECRETS.values(), "me:pass"):
        assert value not in told.out + told.err
    assert MASK in str(read_record(run).error)
    assert holding_secrets(run.path) == []
