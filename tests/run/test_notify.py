"""The user's preferences, the end command and what a terminal is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from workbench.base.files import append_json
from workbench.base.paths import Paths
from workbench.base.terminal import inert, notification, title_sequence
from workbench.recipe.recipe import Recipe
from workbench.run import notify
from workbench.run.directory import RunDirectory, create_run
from workbench.run.notify import end_file, end_sentence, keep_end_command, run_end_hook
from workbench.run.preferences import Preferences, load_preferences, preferences_file
from workbench.run.processes import RUN_VARIABLE
from workbench.run.record import read_record, update_record

HOSTILE = "bad \x1b]52;c;cm0gLXJm\x07\x9b31m;$(touch pwned)`touch pwned`\u202e\r\n'\"; touch pwned"


@pytest.fixture
def run(make_recipe: Callable[..., Recipe], paths: Paths) -> RunDirectory:
    made = create_run(paths, make_recipe(), name="trial")
    update_record(
        made,
        state="failed",
        title=HOSTILE,
        stage="dpo",
        step=7,
        max_steps=40,
        started=1000.0,
        finished=1220.0,
        error={"what": HOSTILE, "where": "", "next_step": ""},
    )
    append_json(made.metrics, {"stage": "dpo", "step": 7, "loss": 0.5, "rewards/accuracies": 0.75})
    return made


def hook(run: RunDirectory, command: str) -> str:
    return run_end_hook(run, read_record(run), Preferences(on_end=command))


def test_the_end_command_gets_the_facts_and_nothing_is_interpolated(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_VARIABLE, str(run.path))
    assert hook(run, "env -0 > facts; readlink /proc/self/fd/0; echo heard") == ""
    pairs = (run.path / "facts").read_bytes().decode().rstrip("\0").split("\0")
    facts = dict(pair.split("=", 1) for pair in pairs)
    prefix = "DPO_WORKBENCH_"
    expected = {
        "RUN_ID": run.id,
        "STATE": "failed",
        "NAME": "trial",
        "STEP": "7",
        "MAX_STEPS": "40",
        "SECONDS": "220",
        "FOLDER": str(run.path),
        "LOSS": "0.5",
        "ACCURACY": "0.75",
    }
    assert {name: facts[prefix + name] for name in expected} == expected
    assert RUN_VARIABLE not in facts
    for name in ("TITLE", "ERROR"):
        assert not set(facts[prefix + name]) & set("\x1b\x07\x9b\r\n\u202e")
        assert "$(touch pwned)" in facts[prefix + name]
    assert not (run.path / "pwned").exists()
    assert run.log.read_text() == "/dev/null\nheard\n"


def test_results_come_before_logged_values(run: RunDirectory) -> None:
    result = {"train_loss": 0.25, "eval": {"eval_rewards/accuracies": 1.0}}
    record = update_record(run, results={"dpo": result})
    assert notify.end_values(run, record) == (0.25, 1.0)
    record = update_record(run, results={"dpo": {"train_loss": None, "eval": "torn"}})
    assert notify.end_values(run, record) == (0.5, 0.75)


def test_a_failure_is_a_sentence(run: RunDirectory) -> None:
    assert hook(run, "exit 3") == "the end command failed with exit code 3"
    assert hook(run, "no-such-command-at-all") == "the end command failed with exit code 127"
    assert hook(run, "") == ""
    assert "could not be started" in hook(run, "a\0b")


def test_a_command_that_never_ends_is_ended_with_its_children(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "HOOK_SECONDS", 0.5)
    monkeypatch.setattr(notify, "TERM_SECONDS", 0.3)
    stubborn = "trap '' TERM; setsid sleep 600 & echo $! > child; while :; do sleep 600; done"
    began = time.monotonic()
    assert "was ended after" in hook(run, stubborn)
    assert time.monotonic() - began < 20
    child = int((run.path / "child").read_text())
    assert not goes_on(child)


def goes_on(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_runs_own_command_comes_first_and_only_from_a_private_file(run: RunDirectory) -> None:
    general = Preferences(on_end="echo general")
    assert notify.end_command(run, general) == "echo general"
    keep_end_command(run, "echo own")
    assert end_file(run).stat().st_mode & 0o777 == 0o600
    assert notify.end_command(run, general) == "echo own"
    end_file(run).chmod(0o644)
    assert notify.end_command(run, general) == "echo general"
    end_file(run).rename(run.path / "elsewhere")
    end_file(run).symlink_to(run.path / "elsewhere")
    assert notify.end_command(run, general) == "echo general"


def write_config(paths: Paths, content: str | bytes, mode: int = 0o600) -> Path:
    file = preferences_file(paths)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    file.chmod(mode)
    return file


def test_preferences_are_all_optional(paths: Paths) -> None:
    assert load_preferences(paths) == (Preferences(), [])
    for nothing in ("", "\n", "# notify: both\n", "bell:\n"):
        write_config(paths, nothing)
        assert load_preferences(paths) == (Preferences(), [])
    write_config(paths, "on_end: notify-send done\nbell: no\nnotify: both\nterminal_title: yes\n")
    expected = Preferences(
        on_end="notify-send done", bell=False, notify="both", terminal_title=True
    )
    assert load_preferences(paths) == (expected, [])
    write_config(paths, "notify: off\n")
    assert load_preferences(paths) == (Preferences(), [])


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("bell: true\nnotfy: osc9\n", 2, "there is no preference notfy. Did you mean notify?"),
        ("shell: rm\n", 1, "there is no preference shell"),
        ("notify: growl\n", 1, "notify cannot be growl. It is one of: off, osc9, osc777, both."),
        ("bell: 3\n", 1, "bell cannot be 3. It is true or false."),
        ("\non_end: [a]\n", 2, "on_end is not a text"),
        ("bell: [\n", 2, "not valid YAML"),
        ("- a\n", 0, "not a mapping"),
    ],
)
def test_row_58_a_bad_preference_is_told_with_its_line_and_ignored(
    paths: Paths, content: str, line: int, words: str
) -> None:
    """Row 58."""
    file = write_config(paths, content)
    found, (problem,) = load_preferences(paths)
    assert found == Preferences()
    assert words in str(problem)
    assert problem.severity == "warning"
    assert problem.where.startswith(f"{file}:{line}" if line else str(file))
    assert file.read_text() == content


def test_row_58_random_bytes_are_left_as_they_are(paths: Paths) -> None:
    """Row 58."""
    noise = bytes(range(256)) * 4
    file = write_config(paths, noise)
    found, (problem,) = load_preferences(paths)
    assert found == Preferences()
    assert str(file) in problem.where
    assert file.read_bytes() == noise


def test_a_command_in_a_file_that_others_may_write_is_ignored(paths: Paths) -> None:
    write_config(paths, "on_end: touch x\nbell: false\n", mode=0o666)
    found, (problem,) = load_preferences(paths)
    assert found == Preferences(bell=False)
    assert "others may write this file" in problem.what


def test_sentences() -> None:
    sentence = end_sentence("quickstart", "finished", 220.0, "accuracy 1.00")
    assert sentence == "quickstart finished after 3:40: accuracy 1.00"
    assert end_sentence("big", "out_of_memory", 4000.4) == "big OOM after 1:06:40"
    assert end_sentence("x", "lost", 0.0) == "x lost"


def test_what_a_terminal_gets_cannot_be_broken_out_of() -> None:
    for kind, count in (("off", 0), ("osc9", 1), ("osc777", 1), ("both", 2)):
        told = notification(kind, HOSTILE, HOSTILE * 9, {})
        assert told.count("\x1b") == told.count("\a") == count
        assert "\x9b" not in told
    assert notification("osc9", "t", "4;1;50", {}) == "\x1b]9;4,1,50\a"
    assert notification("osc777", "a;b", "c", {}) == "\x1b]777;notify;a,b;c\a"
    wrapped = notification("osc9", "t", "done", {"TMUX": "/tmp/tmux,1,0"})
    assert wrapped == "\x1bPtmux;\x1b\x1b]9;done\a\x1b\\"
    assert title_sequence(HOSTILE).count("\x1b") == 1
    assert title_sequence("dpo 12/40 quickstart") == "\x1b]2;dpo 12/40 quickstart\a"
    assert len(inert("x" * 500)) == 100
