"""Several processes on the command line: what is said, accepted and refused."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from workbench.base.paths import Paths
from workbench.cli import main
from workbench.cli.deep import launch_document, launch_record
from workbench.recipe.recipe import load_recipe
from workbench.run.directory import RunDirectory, list_runs
from workbench.run.launch_check import launch_settings
from workbench.run.queue import Queue
from workbench.run.record import read_record

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[RunDirectory]:
    """The runs that were started."""
    runs: list[RunDirectory] = []

    def launch(run: RunDirectory) -> int:
        runs.append(run)
        return 4242

    monkeypatch.setattr("workbench.cli.train.launch", launch)
    monkeypatch.setattr("workbench.run.launch_check.cpu_cores", lambda: 4)
    return runs


@pytest.mark.usefixtures("recipe_file")
def test_set_goes_through_all_commands(capsys: Capture) -> None:
    settings = ["--set", "num_processes=2", "--set", "accelerate_config=multi_gpu"]
    assert main(["check", "short.yaml", *settings]) == 0
    assert "one process" not in capsys.readouterr().out
    assert main(["show", "short.yaml", *settings]) == 0
    shown = capsys.readouterr().out
    assert "# launch: num_processes: 2, accelerate_config: multi_gpu\n" in shown
    assert "# effective batch size: 12 (2 processes together)\n" in shown
    assert "\nnum_processes" not in shown  # TRL's config has none of it
    assert main(["show", "short.yaml", *settings, "--json"]) == 0
    (stage,) = json.loads(capsys.readouterr().out)
    assert stage["launch"] == {"num_processes": 2, "accelerate_config": "multi_gpu"}
    assert (stage["effective_batch"], stage["processes"]) == (12, 2)
    assert main(["show", "short.yaml", *settings, "--text"]) == 0
    assert "num_processes: 2\n" in capsys.readouterr().out


@pytest.mark.usefixtures("home")
def test_schema_knows_them(capsys: Capture) -> None:
    assert main(["schema", "num_processes"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("num_processes [accelerate launch]: int, default none\n")
    assert "How many train together" in told
    assert main(["schema", "--json"]) == 0
    properties = json.loads(capsys.readouterr().out)["properties"]
    assert properties["num_processes"]["exclusiveMinimum"] == 0
    assert properties["main_process_port"]["maximum"] == 65535
    assert "num_processes" not in properties["dpo"]["properties"]


@pytest.mark.usefixtures("recipe_file")
def test_what_cannot_start_here_makes_no_run(
    paths: Paths, launched: list[RunDirectory], capsys: Capture
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        for settings, said in (
            (["num_processes=9"], "9 processes are more than this machine's 4 CPU cores"),
            (["num_processes=2", "accelerate_config=fsdp2"], "FSDP trains on GPUs only"),
            (["num_processes=2", f"main_process_port={port}"], f"{port} is in use"),
            (["num_machines=2", "num_processes=2"], "nobody knows where to meet"),
            (["accelerate_config=nowhere.yaml"], "there is no launch config nowhere.yaml"),
        ):
            flags = [part for one in settings for part in ("--set", one)]
            assert main(["run", "short.yaml", *flags, "--detach"]) == 1
            told = capsys.readouterr().err
            assert said in told
            assert "Traceback" not in told
    assert launched == []
    assert list_runs(paths) == []


@pytest.mark.usefixtures("recipe_file")
def test_several_gpus_are_given_and_hinted_at(
    paths: Paths, launched: list[RunDirectory], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert main(["run", "short.yaml", "--detach"]) == 0
    assert capsys.readouterr().err.count("With num_processes: 2 it would train on all 2.") == 1
    assert read_record(launched[-1]).device == "cuda:0"
    assert main(["run", "short.yaml", "--set", "num_processes=2", "--detach"]) == 0
    assert "It gets cuda:0,cuda:1, the first devices that are free." in capsys.readouterr().err
    assert read_record(launched[-1]).device == "cuda:0,cuda:1"
    named = ["--set", "num_processes=2", "--device", "cuda:1,cuda:0"]
    assert main(["run", "short.yaml", *named, "--detach"]) == 0
    assert read_record(launched[-1]).device == "cuda:1,cuda:0"
    assert len(list_runs(paths)) == 3


@pytest.mark.usefixtures("recipe_file")
def test_devices_and_processes_must_agree(
    paths: Paths, launched: list[RunDirectory], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    assert main(["run", "short.yaml", "--device", "cuda:0,cuda:1"]) == 1
    assert "the recipe asks for 1 process here" in capsys.readouterr().err
    two = ["--set", "num_processes=2"]
    assert main(["run", "short.yaml", *two, "--device", "cuda:0"]) == 1
    assert "2 processes need 2 GPUs, and 1 is visible here" in capsys.readouterr().err
    assert main(["run", "short.yaml", *two, "--device", "cuda:0,cuda:8"]) == 2
    assert "there is no such device as cuda:8" in capsys.readouterr().err
    assert list_runs(paths) == launched == []


@pytest.mark.usefixtures("recipe_file")
def test_the_queue_says_how_many_it_waits_for(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(Queue, "wake", lambda queue: True)
    assert main(["run", "short.yaml", "--set", "num_processes=2", "--queue"]) == 0
    capsys.readouterr()
    assert main(["queue", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["entries"]
    assert (entry["count"], entry["devices"]) == (2, ["cuda:0", "cuda:1"])


@pytest.mark.usefixtures("home")
def test_the_diff_has_the_launch(recipe_file: Path, capsys: Capture) -> None:
    other = recipe_file.with_name("other.yaml")
    other.write_text(f"{recipe_file.read_text()}num_processes: 2\n")
    assert main(["show", "--diff", "short.yaml", "other.yaml"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "launch:",
        "  num_processes: (not set) -> 2",
    ]


def test_the_resolved_launch_says_where_it_comes_from(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    text = f"{recipe_file.read_text()}accelerate_config: fsdp2\nnum_processes: 2\n"
    recipe = load_recipe(recipe_file, text=text)
    settings = launch_settings(recipe)
    told = launch_document(recipe, settings)
    (line,) = [line for line in told.splitlines() if line.startswith("num_processes")]
    assert line.split("  # ")[1] == "short.yaml:10:1"
    assert "distributed_type: FSDP" in told
    assert launch_record(recipe, settings)["settings"]["num_processes"]["value"] == 2
    assert launch_settings(load_recipe(recipe_file)) == {}
