"""Runs of several processes have several devices, and wait for them without being passed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import psutil
import pytest
from nvml_stub import GIGA, Device, Nvml

from workbench.base.locks import take_lock
from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.recipe.estimate import totals
from workbench.recipe.memory import Room
from workbench.recipe.recipe import Recipe, load_recipe
from workbench.run import dispatcher as dispatching
from workbench.run.devices import (
    Occupancy,
    check_device,
    choose_slots,
    slot_environment,
    slot_of_recipe,
    slots_needed,
)
from workbench.run.directory import RunDirectory, create_run
from workbench.run.dispatcher import Dispatcher, take_free_device
from workbench.run.gpu_use import use_of
from workbench.run.health.history import stage_history
from workbench.run.health.rows import RowSample
from workbench.run.metrics import MetricsReader
from workbench.run.queue import Queue, waits_for
from workbench.run.record import read_record, update_record
from workbench.run.room import room_for
from workbench.run.schedule import plan_of
from workbench.run.similar import find_similar

MakeRecipe = Callable[..., Recipe]
Make = Callable[[str], RunDirectory]
ME = {"supervisor_pid": os.getpid(), "supervisor_create_time": psutil.Process().create_time()}
FOUR = ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]
HEAD = "model_name_or_path: org/model\ndataset_name: org/pairs\nuse_peft: true\n"


@pytest.fixture
def make(paths: Paths, make_recipe: MakeRecipe) -> Make:
    return lambda lines: create_run(paths, make_recipe(f"{HEAD}{lines}\n"))


@pytest.fixture
def queue(paths: Paths) -> Queue:
    return Queue.of(paths)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Run and devices of each launch; this process is the worker of what is started."""
    calls: list[tuple[str, str]] = []

    def launch(run: RunDirectory) -> int:
        calls.append((run.id, read_record(run).device))
        update_record(run, state="running", started=1000.0 + len(calls), **ME)
        return os.getpid()

    monkeypatch.setattr(dispatching, "launch", launch)
    monkeypatch.setattr(dispatching, "visible_slots", lambda: FOUR)
    return calls


def dispatcher(queue: Queue) -> Dispatcher:
    lock = take_lock(queue.dispatcher_lock)
    assert lock is not None
    return Dispatcher(queue, lock)


@pytest.mark.parametrize(
    ("lines", "slots", "count"),
    [
        ("beta: 0.1", FOUR, 1),
        ("num_processes: 2", FOUR, 2),
        ("num_processes: 2", ["cpu"], 1),
        ("num_processes: 2\nuse_cpu: true", FOUR, 1),
        ("num_processes: 4\nnum_machines: 2", FOUR, 2),
        ("accelerate_config: fsdp2", FOUR, 4),
        ("accelerate_config: single_gpu", FOUR, 1),
        ("num_processes: 8", FOUR, 8),
    ],
)
def test_how_many_devices_a_run_takes(
    make_recipe: MakeRecipe, lines: str, slots: list[str], count: int
) -> None:
    assert slots_needed(make_recipe(f"{HEAD}{lines}\n"), slots) == count


def test_several_slots_are_one_device() -> None:
    assert slot_environment("cuda:0,cuda:2", {})["CUDA_VISIBLE_DEVICES"] == "0,2"
    assert check_device("cuda:0, cuda:2", FOUR) == "cuda:0,cuda:2"
    assert choose_slots(FOUR, {"cuda:0"}, 2) == ["cuda:1", "cuda:2"]
    assert choose_slots(FOUR, set(FOUR[1:]), 2) == ["cuda:0", "cuda:1"]


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda:0,cuda:9", "there is no such device as cuda:9. Name one or more of these"),
        ("cuda:0,cuda:0", "a device is named twice"),
        ("cuda:0,cpu", "a run trains on GPUs or on the CPU, not on both"),
        (",", "there is no such device"),
    ],
)
def test_wrong_names_are_one_message(device: str, message: str) -> None:
    with pytest.raises(ProblemError, match=message) as caught:
        check_device(device, FOUR)
    assert caught.value.exit_code == 2


def test_all_slots_of_a_run_are_taken(paths: Paths, make: Make) -> None:
    run = make("num_processes: 2")
    update_record(run, state="running", device="cuda:1,cuda:3", **ME)
    assert Occupancy(paths.runs, FOUR).look() == {"cuda:1": run.id, "cuda:3": run.id}


def test_a_new_run_takes_as_many_free_devices(make: Make, started: list[tuple[str, str]]) -> None:
    one, two, three = make("beta: 0.1"), make("num_processes: 2"), make("num_processes: 2")
    update_record(one, state="running", device="cuda:1", **ME)
    assert take_free_device(two) == "cuda:0,cuda:2"
    assert read_record(two).notes == ["It has cuda:0,cuda:2, the first devices that were free."]
    update_record(two, state="running", **ME)
    # One is free, two are needed: it shares the other one.
    assert take_free_device(three) == ""
    assert read_record(three).device == "cuda:0,cuda:3"


def test_the_env_of_a_recipe_names_as_many_as_it_needs(make: Make) -> None:
    run = make("num_processes: 2\nenv: {CUDA_VISIBLE_DEVICES: '1,2,3'}")
    assert slot_of_recipe(load_recipe(run.recipe)) == "cuda:1,cuda:2"


def test_what_needs_many_is_not_passed_for_ever(
    queue: Queue, make: Make, started: list[tuple[str, str]]
) -> None:
    """Small runs that come later would take each device the moment it is free."""
    first, second = make("beta: 0.1"), make("beta: 0.1")
    large, small = make("num_processes: 2"), make("beta: 0.1")
    two = FOUR[:2]
    for run in (first, second, large, small):
        queue.add(run, two)
    work = dispatcher(queue)
    assert work.tick()
    assert started == [(first.id, "cuda:0"), (second.id, "cuda:1")]
    taken = Occupancy(queue.data / "runs", FOUR).look()
    assert waits_for(queue.read(), taken) == {
        large.id: "2 devices at once; 0 of 2 are free",
        small.id: f"cuda:0, which {first.id} has",
    }
    update_record(second, state="finished")
    assert work.tick()
    assert len(started) == 2
    taken = Occupancy(queue.data / "runs", FOUR).look()
    assert waits_for(queue.read(), taken) == {
        large.id: "2 devices at once; 1 of 2 is free",
        small.id: f"cuda:0, which {first.id} has",
    }
    update_record(first, state="finished")
    assert work.tick()
    assert started[2:] == [(large.id, "cuda:0,cuda:1")]
    assert [entry.run for entry in queue.read().entries] == [small.id]
    update_record(large, state="finished")
    assert work.tick()
    assert started[3:] == [(small.id, "cuda:0")]


def test_other_devices_serve_smaller_runs_meanwhile(
    queue: Queue, make: Make, started: list[tuple[str, str]]
) -> None:
    busy, large, small = make("beta: 0.1"), make("num_processes: 2"), make("beta: 0.1")
    update_record(busy, state="running", device="cuda:0", **ME)
    queue.add(large, FOUR[:2])
    queue.add(small, FOUR[:3])
    assert waits_for(queue.read(), {"cuda:0": busy.id})[small.id].startswith("nothing")
    assert dispatcher(queue).tick()
    assert started == [(small.id, "cuda:2")]


def test_a_kept_device_is_said(queue: Queue, make: Make) -> None:
    large, small = make("num_processes: 2"), make("beta: 0.1")
    queue.add(large, FOUR[:2])
    queue.add(small, ["cuda:1"])
    reasons = waits_for(queue.read(), {"cuda:0": "other"})
    assert reasons[small.id] == f"cuda:1, which is kept for {large.id}"


def test_more_devices_than_there_are_do_not_come_into_the_queue(queue: Queue, make: Make) -> None:
    run = make("num_processes: 8")
    with pytest.raises(ProblemError, match="needs 8 devices at once, and there are 4"):
        queue.add(run, FOUR)
    assert queue.read().entries == []


def test_a_damaged_count_is_told(queue: Queue, make: Make) -> None:
    queue.add(make("num_processes: 2"), FOUR)
    text = queue.file.read_text()
    queue.file.write_text(text.replace('"count": 2', '"count": 0'))
    assert queue.read().fault is not None
    # A queue of an older version has none: each run takes one.
    queue.file.write_text(text.replace(',\n   "count": 2', ""))
    assert [entry.count for entry in queue.read().entries] == [1]


def test_the_room_and_the_use_are_those_of_all_devices(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = Device(total=80 * GIGA, used=10 * GIGA)
    full = Device(total=80 * GIGA, used=60 * GIGA)
    Nvml(free, full).install(monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    room = room_for(make_recipe(f"{HEAD}accelerate_config: multi_gpu\n"))
    assert (room.name, room.devices) == ("cuda:1", 2)
    assert "cuda:0" in use_of("cuda:0,cuda:1").others
    assert "cuda:1" in use_of("cuda:0,cuda:1").others


def test_the_processes_of_a_cpu_share_its_memory(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("workbench.run.room.free_memory", lambda: 8 * GIGA)
    room = room_for(make_recipe(f"{HEAD}num_processes: 4\n"))
    assert (room.free_bytes, room.name) == (2 * GIGA, "each of 4 processes")


def test_the_effective_batch_is_that_of_all_processes(
    make_recipe: MakeRecipe, paths: Paths
) -> None:
    batch = "per_device_train_batch_size: 2\ngradient_accumulation_steps: 3\n"
    two = make_recipe(f"{HEAD}{batch}num_processes: 2\n")
    assert totals(two, "dpo", paths.models).effective_batch == 12
    every = make_recipe(f"{HEAD}{batch}accelerate_config: multi_gpu\n")
    assert totals(every, "dpo", paths.models, Room(devices=4)).effective_batch == 24
    assert totals(every, "dpo", paths.models, Room(devices=4)).processes == 4


def test_a_past_run_counts_only_with_as_many_processes(
    make_recipe: MakeRecipe, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    recipe = make_recipe(f"{HEAD}num_processes: 2\n")
    run = create_run(paths, recipe)
    rows = [{"stage": "dpo", "step": n, "time": 10.0 * n, "loss": 0.5} for n in (1, 2, 3)]
    run.metrics.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    update_record(run, state="finished", finished=99.0, processes=2)
    similar = find_similar(recipe, "dpo", paths)
    assert similar is not None
    assert similar.run == run.id
    assert find_similar(make_recipe(f"{HEAD}num_processes: 4\n"), "dpo", paths) is None
    assert find_similar(make_recipe(HEAD), "dpo", paths) is None
    by_devices = make_recipe(f"{HEAD}accelerate_config: multi_gpu\n")
    assert find_similar(by_devices, "dpo", paths) == similar


def test_what_is_foreseen_counts_all_processes(make: Make) -> None:
    run = make("num_processes: 2\nper_device_train_batch_size: 4")
    update_record(run, processes=2)
    assert plan_of(run, "dpo").rows_per_step == 8
    stage = stage_history(
        "dpo", MetricsReader(run), read_record(run), {"per_device_train_batch_size": 4}, (),
        RowSample(run.metrics),
    )  # fmt: skip
    assert stage.rows_of(1) == 8.0 * stage.stride
