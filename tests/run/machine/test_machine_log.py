"""machine.jsonl, written and read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from machine_samples import GIGA, gpu, machine

from workbench.base.files import append_json
from workbench.run.directory import RunDirectory
from workbench.run.machine.log import (
    MachineLog,
    Sample,
    decode,
    encode,
    energy_wh,
    read_samples,
    stage_energy,
)
from workbench.run.machine.view import BIN_SECONDS, CURVE_BINS, History


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    folder = tmp_path / "20270115-080000-small-a1b2"
    folder.mkdir()
    return RunDirectory(folder)


def test_a_sample_comes_back_as_it_was_written(run: RunDirectory) -> None:
    view = machine(gpu(0), gpu(1))
    record = encode(Sample(view, 10, True, 55.55))
    assert record == {
        "time": 1800000000.0,
        "every": 10,
        "begin": True,
        "cpu": 42.4,
        "cores": 16.0,
        "ram_mb": 31000,
        "ram_total_mb": 128000,
        "worker_cpu": 193.4,
        "worker_rss_mb": 2100,
        "package_joules": 55.5,
        # The other GPU is not the run's.
        "gpus": [
            {
                "device": "cuda:0",
                "name": "NVIDIA H100 80GB HBM3",
                "load": 61,
                "used_mb": 18000,
                "total_mb": 80000,
                "celsius": 64.0,
                "watts": 310.2,
                "limit_watts": 700.0,
                "joules": 123456.8,
            }
        ],
    }
    sample = decode(json.loads(json.dumps(record)), run)
    assert sample is not None
    (seen,) = sample.view.gpus.gpus
    assert (seen.key, seen.used_bytes, seen.watts) == ("cuda:0", 18 * GIGA, 310.2)
    assert sample.view.devices == ("cuda:0",)
    assert sample.view.host.memory == view.host.memory
    assert (sample.begins, sample.every, sample.package_joules) == (True, 10, 55.5)


def test_what_never_changes_is_told_once(run: RunDirectory) -> None:
    write(run, Sample(machine(gpu()), 10, True), Sample(machine(gpu()), 10))
    first, second = run.machine.read_text().splitlines()
    assert "H100" in first
    assert "limit_watts" in first
    assert "H100" not in second
    assert "limit_watts" not in second
    last = MachineLog(run).poll()[-1]
    assert (last.view.gpus.gpus[0].name, last.view.gpus.gpus[0].limit_watts) == (
        "NVIDIA H100 80GB HBM3",
        700.0,
    )


def test_an_instance_of_mig_keeps_its_name(run: RunDirectory) -> None:
    part = gpu(3, instance=1, watts=None, joules=None)
    sample = decode(encode(Sample(machine(part), 10)), run)
    assert sample is not None
    assert sample.view.devices == ("cuda:3.1",)


@pytest.mark.parametrize(
    "damage",
    [
        {"time": None},
        {"time": "now"},
        {"every": 0},
        {"every": True},
        {"time": float("nan")},
        {"every": -5},
    ],
)
def test_a_line_without_a_time_is_none(run: RunDirectory, damage: dict[str, object]) -> None:
    assert decode({"time": 5, "every": 10, **damage}, run) is None


@pytest.mark.parametrize("odd", [None, "x", [], {}, -1, True, 10**400, "\x1b[2J", [[]], [{}]])
def test_wrong_types_cost_their_value_alone(run: RunDirectory, odd: object) -> None:
    good = encode(Sample(machine(gpu()), 10, package_joules=1.0))
    for name in good:
        if name not in ("time", "every"):
            assert decode({**good, name: odd}, run) is not None
    for name in good["gpus"][0]:
        sample = decode({**good, "gpus": [{**good["gpus"][0], name: odd}, odd]}, run)
        assert sample is not None
        assert "\x1b" not in str(sample)


def write(run: RunDirectory, *samples: Sample) -> None:
    for sample in samples:
        append_json(run.machine, encode(sample))


def at(time: float, watts: float, begins: bool = False) -> Sample:
    one = gpu(watts=watts, joules=None)
    return Sample(replace(machine(one), time=time), 10, begins)


def test_the_energy_of_a_stage(run: RunDirectory) -> None:
    assert stage_energy(run, 0, 100) is None
    write(run, at(0, 360), at(10, 360), at(20, 360), at(500, 360, begins=True), at(510, 360))
    assert stage_energy(run, 0, 20) == pytest.approx(2.0)
    assert stage_energy(run, 0, 510) == pytest.approx(3.0)
    assert energy_wh(read_samples(run)) == pytest.approx(3.0)
    assert stage_energy(run, 5, 10) == pytest.approx(0.5)
    assert stage_energy(run, 100, 200) is None


def test_a_file_that_others_have_damaged(run: RunDirectory) -> None:
    write(run, at(0, 360))
    with run.machine.open("ab") as file:
        file.write(b'\xff\xfe{"time": \n[1, 2]\n{"time": 1e999, "every": 10}\nnull\n{"time": 4')
    write(run, at(10, 360))
    assert len(list(read_samples(run))) == 2
    run.machine.unlink()
    run.machine.mkdir()
    assert list(read_samples(run)) == []
    assert MachineLog(run).poll() == []


def test_following_a_file_that_grows_and_is_written_anew(run: RunDirectory) -> None:
    log = MachineLog(run)
    assert (log.poll(), log.last, log.energy) == ([], None, None)
    write(run, at(0, 360), at(10, 360))
    assert [sample.view.time for sample in log.poll()] == [0, 10]
    assert log.last is not None
    assert log.energy is not None
    assert log.energy.wh == pytest.approx(1.0)
    assert log.poll() == []
    write(run, at(20, 360))
    assert len(log.poll()) == 1
    assert log.energy.wh == pytest.approx(2.0)
    run.machine.write_text("")
    write(run, at(5, 1))
    assert [sample.view.time for sample in log.poll()] == [5]
    assert log.energy is None


def test_curves_stand_still_while_time_goes_on() -> None:
    history = History()
    start = 1_800_000_000.0
    for second in range(0, 30, 2):
        history.note(replace(machine(gpu(load_percent=second)), time=start + second))
    curve = history.curves(start + 28)["cuda:0"]
    assert curve[:-3] == (None,) * (CURVE_BINS - 3)
    assert curve[-3:] == (4.0, 14.0, 24.0)
    assert history.curves(start + 29.9)["cuda:0"] == curve
    assert history.curves(start + 30)["cuda:0"][-3:] == (14.0, 24.0, None)
    # What is old goes, and an older look changes nothing.
    history.note(replace(machine(gpu()), time=start - 5))
    later = start + CURVE_BINS * BIN_SECONDS + 25
    history.note(replace(machine(gpu(load_percent=9)), time=later))
    assert [value for value in history.curves(later)["cuda:0"] if value is not None] == [9.0]
