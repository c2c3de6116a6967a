"""Fixtures of the app's tests: folders, a fake launcher, an app."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from data_fakes import FakeData
from tui_fakes import NOW, FakeAnswers, FakeLauncher, make_paths

from workbench.base.paths import Paths
from workbench.tui.app import WorkbenchApp


@pytest.fixture(autouse=True)
def _steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """No inherited colour settings, the same terminal and the same memory everywhere."""
    monkeypatch.setattr("workbench.run.room.free_memory", lambda: 64 * 10**9)
    monkeypatch.setattr("workbench.run.room._cpu_has_bf16", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("DPO_WORKBENCH_ASCII", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """The user's folders with two recipes."""
    return make_paths(tmp_path)


@pytest.fixture
def launcher() -> FakeLauncher:
    """A launcher that writes files instead of training."""
    return FakeLauncher()


@pytest.fixture
def answers() -> list[FakeAnswers]:
    """The answer processes that the app has started, oldest first."""
    return []


@pytest.fixture
def looks() -> list[FakeData]:
    """The processes that look at data, oldest first."""
    return []


@pytest.fixture(autouse=True)
def tokenizers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model's tokenizer is taken to be here, so that tokens are counted unasked."""
    monkeypatch.setattr("workbench.tui.data_subjects.model_is_here", lambda *_: True)


@pytest.fixture
def make_app(
    paths: Paths,
    launcher: FakeLauncher,
    answers: list[FakeAnswers],
    looks: list[FakeData],
    tmp_path: Path,
) -> Callable[..., WorkbenchApp]:
    """Makes an app over the folders, with fakes for everything that works."""

    def factory(run: Any, on_event: Any) -> FakeAnswers:
        answers.append(FakeAnswers(run, on_event))
        return answers[-1]

    def look(job: Any, on_event: Any, **options: Any) -> FakeData:
        looks.append(FakeData(job, on_event, **options))
        return looks[-1]

    def make(*, data: Mapping[str, Any] | None = None, **options: Any) -> WorkbenchApp:
        given = {"launcher": launcher, "clock": lambda: NOW, "answers": factory, "cwd": tmp_path,
                 "data_looks": partial(look, **(data or {}))}  # fmt: skip
        return WorkbenchApp(paths, **{**given, **options})

    return make
