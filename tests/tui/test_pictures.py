"""The command that makes the README's pictures."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tui_fakes import NOW, make_run

from workbench.base.files import append_json
from workbench.base.paths import Paths
from workbench.run.directory import RunDirectory

MAKE = Path(__file__).parents[1] / "pictures" / "make.py"


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_pictures", MAKE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "make_pictures", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "STILL_SECONDS", 0.3)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.1)
    return module


@pytest.fixture
def run(paths: Paths) -> RunDirectory:
    return make_run(paths, state="finished", name="real-one", finished=NOW, heartbeat=NOW)


def sample(run: RunDirectory, side: str, answer: str) -> None:
    row = {"time": NOW, "stage": "dpo", "step": 9, "side": side, "tokens": 3}
    append_json(run.samples, {**row, "prompt": "Why?", "answer": answer})


def make_pictures(make: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> int:
    monkeypatch.setattr(sys, "argv", ["make.py", *map(str, arguments)])
    return int(make.main())


def test_pictures_show_the_run_and_load_nothing(
    make: ModuleType,
    run: RunDirectory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = {file.name: file.read_bytes() for file in run.path.iterdir()}
    wanted = ("monitor-80x24", "overlay-120x40")
    assert make_pictures(make, monkeypatch, run.path, tmp_path / "out", "--only", *wanted) == 0
    picture = (tmp_path / "out" / "monitor-80x24.svg").read_text()
    assert "real-one" in picture
    assert "url(http" not in picture
    assert "overlay-120x40   left out" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in run.path.iterdir()} == before


def test_answers_are_those_that_the_run_has_kept(make: ModuleType, run: RunDirectory) -> None:
    sample(run, "base", "Hm.")
    assert make.kept_answers(run) == {}
    for side in ("sft", "dpo"):
        sample(run, side, f"Because of {side}.")
    (known,) = make.kept_answers(run).values()
    assert {side: answer["text"] for side, answer in known.items()} == {
        "base": "Hm.",
        "sft": "Because of sft.",
        "dpo": "Because of dpo.",
        "tuned": "Because of dpo.",
    }
    told: list[dict[str, Any]] = []
    replay = make.Replay(run, told.append)
    replay.generate([{"role": "user", "content": "Why?"}], None, ("base", "tuned"))
    texts = [one["text"] for one in told if one["event"] == "answer"]
    assert texts == ["Hm.", "Because of dpo."]
    assert "seconds" not in json.dumps(told)


def test_a_run_at_work_is_refused(
    make: ModuleType, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = make_run(paths, state="running")
    with pytest.raises(SystemExit, match="still trains"):
        make_pictures(make, monkeypatch, live.path, tmp_path / "out")
