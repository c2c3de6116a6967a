"""Bell, notification and title of a command that follows a run."""

import io
from collections.abc import Callable

import pytest

from workbench.base.paths import Paths
from workbench.cli.announce import Announcer
from workbench.run.directory import RunDirectory
from workbench.run.record import read_record, update_record

MakeRun = Callable[..., RunDirectory]
OVER = {"state": "finished", "started": 1000.0, "finished": 1220.0, "stage": "dpo"}
RESULTS = {"dpo": {"eval": {"eval_rewards/accuracies": 1.0}}}


@pytest.fixture(autouse=True)
def no_tmux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)


def heard(run: RunDirectory, paths: Paths, config: str) -> str:
    """What a terminal gets from a run that is looked at twice while it works, and after its end."""
    (paths.config / "config.yaml").write_text(config)
    (paths.config / "config.yaml").chmod(0o600)
    terminal = io.StringIO()
    with Announcer(run, paths, terminal) as announcer:
        for _ in range(2):
            announcer.look(read_record(run))
        update_record(run, **OVER, results=RESULTS)
        for _ in range(2):
            announcer.look(read_record(run))
    return terminal.getvalue()


def test_the_bell_rings_once_unless_it_is_not_wanted(make_run: MakeRun, paths: Paths) -> None:
    assert heard(make_run("running"), paths, "") == "\a"
    assert heard(make_run("running"), paths, "bell: false") == ""


def test_notifications_and_title(make_run: MakeRun, paths: Paths) -> None:
    run = make_run("running", name="quick", stage="dpo", step=12, max_steps=40)
    told = heard(run, paths, "notify: osc9\nterminal_title: true\nbell: false")
    assert told == (
        "\x1b[22;2t\x1b]2;dpo 12/40 quick\a"
        "\x1b]9;quick finished after 3:40: accuracy 1.00\a"
        "\x1b]2;\a\x1b[23;2t"
    )


def test_a_run_that_was_over_before_is_not_told(make_run: MakeRun, paths: Paths) -> None:
    assert heard(make_run("finished"), paths, "notify: both") == ""


def test_without_a_terminal_nothing_is_written(
    make_run: MakeRun, paths: Paths, capfd: pytest.CaptureFixture[str]
) -> None:
    run = make_run("running")
    with Announcer(run, paths) as announcer:
        announcer.look(read_record(run))
        update_record(run, **OVER)
        announcer.look(read_record(run))
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_bad_preferences_are_told_once(
    make_run: MakeRun, paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    heard(make_run("running"), paths, "bel: true")
    assert capsys.readouterr().err.count("there is no preference bel. Did you mean bell?") == 1
