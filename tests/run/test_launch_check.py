"""Whether this machine has what a recipe's processes need: one clear message each."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Callable, Iterator

import pytest

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.recipe.recipe import Recipe
from workbench.run import launch_check
from workbench.run.directory import create_run
from workbench.run.launch import launch
from workbench.run.launch_check import launch_problems, launch_warnings, refuse_launch
from workbench.run.record import read_record

Make = Callable[[str], Recipe]
HEAD = "model_name_or_path: org/model\ndataset_name: org/pairs\nuse_peft: true\n"


@pytest.fixture
def recipe_of(make_recipe: Callable[..., Recipe]) -> Make:
    return lambda lines: make_recipe(f"{HEAD}{lines}\n")


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(launch_check, "cpu_cores", lambda: 4)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def only(recipe: Recipe, **given: int) -> str:
    (problem,) = launch_problems(recipe, **given)
    assert problem.severity == "error"
    assert problem.next_step
    return str(problem)


@pytest.mark.usefixtures("gpus")
def test_more_processes_than_gpus(recipe_of: Make) -> None:
    assert only(recipe_of("num_processes: 8")) == (
        "num_processes: 8 processes need 8 GPUs, and 2 are visible here. Lower num_processes to "
        "2, or show more GPUs with CUDA_VISIBLE_DEVICES."
    )
    one = recipe_of("num_processes: 2\nenv: {CUDA_VISIBLE_DEVICES: '1'}")
    assert "2 processes need 2 GPUs, and 1 is visible here" in only(one)
    machines = recipe_of("num_processes: 8\nnum_machines: 2\nmain_process_ip: 127.0.0.1")
    assert "4 processes on each machine need 4 GPUs" in only(machines)
    assert "Lower num_processes to 4" in only(machines)
    for fits in ("num_processes: 2", "accelerate_config: fsdp2", "beta: 0.1"):
        assert launch_problems(recipe_of(fits)) == []


@pytest.mark.usefixtures("cpu")
def test_a_cpu_has_as_many_processes_as_cores(recipe_of: Make) -> None:
    assert launch_problems(recipe_of("num_processes: 4")) == []
    assert "5 processes are more than this machine's 4 CPU cores" in only(
        recipe_of("num_processes: 5")
    )


@pytest.mark.usefixtures("gpus")
def test_a_recipe_for_the_cpu_counts_cores(
    recipe_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch_check, "cpu_cores", lambda: 4)
    assert launch_problems(recipe_of("num_processes: 4\nuse_cpu: true")) == []


@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize("name", ["fsdp1", "fsdp2"])
def test_an_engine_that_needs_gpus(recipe_of: Make, name: str) -> None:
    message = only(recipe_of(f"accelerate_config: {name}\nnum_processes: 2"))
    assert "FSDP trains on GPUs only" in message


@pytest.mark.usefixtures("gpus")
def test_zero_needs_its_package(recipe_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        launch_check.importlib.util,
        "find_spec",
        lambda name: None if name == "deepspeed" else real(name),
    )
    assert "needs the package deepspeed, which is not installed. pip install deepspeed" in only(
        recipe_of("accelerate_config: zero2")
    )
    monkeypatch.setattr(
        launch_check.importlib.util,
        "find_spec",
        lambda name: real("json") if name == "deepspeed" else real(name),
    )
    assert launch_problems(recipe_of("accelerate_config: zero2")) == []


@pytest.mark.usefixtures("cpu")
def test_a_port_in_use(recipe_of: Make, taken_port: int) -> None:
    recipe = recipe_of(f"num_processes: 2\nmain_process_port: {taken_port}")
    assert f"main_process_port: port {taken_port} is in use on this machine" in only(recipe)
    # Another machine's port is not this one's business.
    second = "num_machines: 2\nmachine_rank: 1\nmain_process_ip: 127.0.0.1\nnum_processes: 2\n"
    assert launch_problems(recipe_of(f"{second}main_process_port: {taken_port}")) == []


@pytest.mark.usefixtures("cpu")
def test_where_machines_meet(recipe_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    two = "num_processes: 2\nnum_machines: 2"
    assert "no main_process_ip: nobody knows where to meet" in only(recipe_of(two))
    assert launch_problems(recipe_of(two), hosts=2) == []
    wrong = recipe_of(f"{two}\nmain_process_ip: no.such.host.invalid")
    assert "is no address, and no host of this name is known" in only(wrong)
    assert launch_problems(recipe_of(f"{two}\nmain_process_ip: 127.0.0.1")) == []


@pytest.mark.usefixtures("gpus")
def test_devices_that_would_idle(recipe_of: Make) -> None:
    with pytest.raises(ProblemError, match="names 2 devices, and the recipe asks for 1 process"):
        refuse_launch(recipe_of("beta: 0.1"), "cuda:0,cuda:1", named=True)
    refuse_launch(recipe_of("accelerate_config: multi_gpu"), "cuda:0,cuda:1", named=True)


@pytest.mark.usefixtures("gpus")
def test_a_check_only_warns(recipe_of: Make) -> None:
    (problem,) = launch_warnings(recipe_of("num_processes: 8"))
    assert problem.severity == "warning"


@pytest.mark.usefixtures("gpus")
def test_nothing_is_started_that_cannot_be(recipe_of: Make, paths: Paths) -> None:
    run = create_run(paths, recipe_of("num_processes: 8"))
    with pytest.raises(ProblemError, match="8 processes need 8 GPUs, and 2 are visible"):
        launch(run)
    record = read_record(run)
    assert (record.state, record.supervisor_pid) == ("queued", 0)
