"""The front door: help, no terminal, broken pipes, and what is not imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from workbench import __version__
from workbench.cli import main

Capture = pytest.CaptureFixture[str]

COMMANDS = [
    *("quickstart", "run", "resume", "recipes", "check", "show", "runs"),
    *("status", "logs", "stop", "rm", "compare", "merge", "doctor"),
]
HEAVY = ("textual", "torch", "transformers", "trl", "peft", "datasets", "numpy", "pandas")
PROBE = """
import json, sys
from workbench.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(json.dumps(sorted(name for name in sys.modules if "." not in name)), file=sys.stderr)
"""


def modules_after(*arguments: str) -> list[str]:
    answer = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=True
    )
    modules = json.loads(answer.stderr.splitlines()[-1])
    assert isinstance(modules, list)
    return modules


def test_help_imports_nothing_heavy() -> None:
    loaded = modules_after("--help")
    assert "workbench" in loaded
    assert not {*HEAVY, "yaml", "psutil", "rich"} & set(loaded)


@pytest.mark.parametrize("command", ["runs", "recipes", "doctor"])
def test_headless_commands_import_no_framework(command: str, home: Path) -> None:
    assert not set(HEAVY) & set(modules_after(command))


def test_help_names_every_command(capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(f"\n    {command} " in out for command in COMMANDS if command != "quickstart")
    assert "\n    quickstart\n" in out
    assert "2 bad usage, 130 interrupted" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert capsys.readouterr().out.startswith(f"usage: dpo-workbench {command}")


def test_version(capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"dpo-workbench {__version__}\n"


def test_an_unknown_command_is_bad_usage(capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["trian"])
    assert "invalid choice: 'trian'" in capsys.readouterr().err


def test_the_app_without_a_terminal_names_the_other_commands(home: Path, capsys: Capture) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "the app needs a terminal on stdin and stdout. Without one use the commands: quickstart, "
        "run, recipes, runs, status, logs, stop, compare (dpo-workbench --help).\n"
    )


def test_a_reader_that_leaves_is_no_error(home: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "workbench", "doctor"]
    with os.fdopen(write_end, "wb") as pipe:
        answer = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, check=False)
    assert (answer.returncode, answer.stderr) == (0, b"")


def test_letters_that_the_terminal_lacks_are_replaced(home: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    environment["DPO_WORKBENCH_HOME"] = str(home / "é")
    answer = subprocess.run(
        [sys.executable, "-m", "workbench", "doctor"],
        capture_output=True,
        env=environment,
        check=False,
    )
    assert (answer.returncode, answer.stderr) == (0, b"")
    assert b"/?/runs" in answer.stdout


@pytest.mark.parametrize(
    ("redirection", "arguments", "code"),
    [("<&-", "", 2), ("<&-", "doctor", 0), (">&-", "runs", 0), (">/dev/full", "doctor", 1)],
)
def test_closed_and_full_streams_are_no_crash(
    redirection: str, arguments: str, code: int, home: Path
) -> None:
    command = f"{sys.executable} -m workbench {arguments} {redirection}"
    answer = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert answer.returncode == code
    assert "Traceback" not in answer.stderr
    assert answer.stderr.startswith("output: No space left") == (code == 1)


def test_json_commands_tell_their_failure_as_json_too(home: Path, capsys: Capture) -> None:
    assert main(["status", "nothing", "--json"]) == 2
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert answer["ok"] is False
    assert answer["problems"][0]["what"] == "there are no runs yet"
    assert captured.err.startswith("nothing: there are no runs yet")


def test_an_early_interrupt_is_no_crash(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("workbench.cli.parser.build_parser", interrupt)
    assert main([]) == 130
    assert capsys.readouterr().err == "Interrupted.\n"
