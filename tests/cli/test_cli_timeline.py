"""The checkpoints of a run on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from workbench.base.files import append_json
from workbench.cli import main
from workbench.run.directory import RunDirectory

HOSTILE = "\x1b]52;c;cm0=\x07\x1b[2J\u202eend"


def test_answers_are_shown_with_what_changed(
    make_run: Callable[..., RunDirectory], capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    assert main(["timeline", "last"]) == 0
    assert "No checkpoint" in capsys.readouterr().out
    row = {"time": 1.0, "stage": "dpo", "prompt": f"Why? {HOSTILE}", "tokens": 3}
    append_json(run.samples, {**row, "step": 0, "side": "base", "answer": f"It depends {HOSTILE}"})
    append_json(run.samples, {**row, "step": 8, "side": "dpo", "answer": "It is so"})
    assert main(["timeline", "last"]) == 0
    out = capsys.readouterr().out
    assert "dpo step 8" in out
    assert "[-depends end-]" in " ".join(out.split())
    assert "{+is so+}" in out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert main(["timeline", "last", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [mark["spec"] for mark in found["marks"]] == ["base", "dpo"]
