"""Tags and notes of runs."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest

from workbench.base.problems import ProblemError
from workbench.run.directory import RunDirectory
from workbench.run.notes import MOST_TAGS, NOTE_CHARACTERS, Notes, change_notes, read_notes

HOSTILE = "a\x1b]52;c;cm0=\x07[/INST]\x1b[2J\u202eb"


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    found = RunDirectory(tmp_path / "run")
    found.path.mkdir(mode=0o700)
    found.record.write_text('{"state": "running", "id": "run"}')
    found.record.chmod(0o600)
    return found


def test_tags_are_added_and_taken_away_and_the_note_stays(run: RunDirectory) -> None:
    assert read_notes(run) == Notes()
    change_notes(run, add=["baseline", "#beta-0.1"], text="why\nnot")
    kept = change_notes(run, add=["übung", "baseline"], remove=["beta-0.1", "never-there"])
    assert kept == read_notes(run) == Notes(("baseline", "übung"), "why\nnot")
    assert change_notes(run, text="").text == ""


def test_the_file_is_private_and_run_json_is_untouched(run: RunDirectory) -> None:
    before = run.record.read_bytes()
    change_notes(run, add=["x"])
    assert stat.S_IMODE(run.notes.stat().st_mode) == 0o600
    assert run.record.read_bytes() == before
    assert sorted(path.name for path in run.path.iterdir()) == ["notes.json", "run.json"]


def test_writers_at_the_same_time_lose_nothing(run: RunDirectory) -> None:
    tags = [f"tag{number}" for number in range(16)]
    threads = [
        threading.Thread(target=lambda tag=tag: change_notes(run, add=[tag])) for tag in tags
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read_notes(run).tags) == sorted(tags)


@pytest.mark.parametrize("tag", ["", "#", "two words", "-x", "a" * 41, HOSTILE, "a=b", "a:b", '"'])
def test_what_is_no_tag_is_refused(run: RunDirectory, tag: str) -> None:
    with pytest.raises(ProblemError) as caught:
        change_notes(run, add=[tag])
    assert caught.value.exit_code == 2
    assert not run.notes.exists()


def test_too_much_is_refused(run: RunDirectory) -> None:
    with pytest.raises(ProblemError, match="too many"):
        change_notes(run, add=[f"t{number}" for number in range(MOST_TAGS + 1)])
    with pytest.raises(ProblemError, match="characters"):
        change_notes(run, text="x" * (NOTE_CHARACTERS + 1))
    assert read_notes(run) == Notes()


@pytest.mark.parametrize(
    "content",
    ["", "[", "[1]", "null", '{"tags": 3, "note": []}', '{"tags": [1, null, ""], "note": 5}',
     "[" * 5000, '{"tags": ["a"], "note": "' + "x" * 200_000 + '"}', "\xff"],
)  # fmt: skip
def test_a_damaged_file_has_no_notes_and_can_be_written_anew(
    run: RunDirectory, content: str
) -> None:
    run.notes.write_bytes(content.encode("latin-1"))
    assert read_notes(run) == Notes()
    assert change_notes(run, add=["new"]).tags == ("new",)


def test_what_somebody_wrote_by_hand_is_made_inert(run: RunDirectory) -> None:
    written = {"tags": [HOSTILE, "two words", "a", "a", *map(str, range(99))], "note": HOSTILE}
    run.notes.write_text(json.dumps(written))
    notes = read_notes(run)
    assert notes.tags[:3] == ("a[/INST]b", "two-words", "a")
    assert len(notes.tags) == MOST_TAGS
    assert notes.text == "a[/INST]b"


def test_a_pipe_or_a_link_to_one_is_no_notes(run: RunDirectory, tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    run.notes.symlink_to(tmp_path / "pipe")
    assert read_notes(run) == Notes()
    change_notes(run, add=["x"])
    assert not run.notes.is_symlink()
    assert read_notes(run).tags == ("x",)


def test_runs_of_others_get_no_notes(run: RunDirectory) -> None:
    run.path.chmod(0o777)
    with pytest.raises(ProblemError, match="written by others"):
        change_notes(run, add=["x"])


def test_a_full_disk_is_a_problem_and_keeps_what_was(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_notes(run, add=["old"])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("workbench.run.notes.write_atomic", full)
    with pytest.raises(ProblemError, match="No space left"):
        change_notes(run, add=["new"])
    assert read_notes(run).tags == ("old",)
