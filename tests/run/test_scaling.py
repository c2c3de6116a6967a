"""How a run of several processes scales, and against what."""

from __future__ import annotations

import json
import math
import socket
from pathlib import Path
from typing import Any

import pytest

from workbench.base.paths import Paths
from workbench.run.directory import RunDirectory
from workbench.run.metrics import MetricsReader
from workbench.run.rank_figures import rank_metrics, slowest
from workbench.run.rank_states import rank_rows, rank_states
from workbench.run.ranks import RankRecord, write_rank
from workbench.run.record import read_record
from workbench.run.scaling import (
    ScalingOutlook,
    Single,
    recent_values,
    scaling,
    scaling_words,
)

CONFIG = "model_name_or_path: org/model\nuse_peft: true\nlora_r: 8\nuse_cpu: true\n"
SHARES = {
    "ranks/communication_share": 0.3,
    "ranks/exposed_share": 0.2,
    "ranks/waiting_share": 0.05,
    "ranks/slowest": 1.0,
    "ranks/slowest_lag": 0.12,
}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths.from_environment({"DPO_WORKBENCH_HOME": str(tmp_path / "home")})
    found.runs.mkdir(parents=True)
    return found


def make_run(
    paths: Paths,
    number: int,
    speed: float,
    *,
    threads: int = 1,
    gpu: str = "",
    config: str = CONFIG,
    shares: dict[str, float] | None = None,
    **record: Any,
) -> RunDirectory:
    """A DPO run with twelve log records, the first of which is slow."""
    run = RunDirectory(paths.runs / f"20270115-0800{number:02}-small-a1b2")
    run.path.mkdir()
    run.recipe.write_text(CONFIG)
    run.config("dpo").write_text(config)
    content = {"version": 1, "id": run.id, "state": "finished", "stages": ["dpo"], "stage": "dpo"}
    content |= {"host": socket.gethostname(), "finished": 900.0 + number, **record}
    run.record.write_text(json.dumps(content))
    environment = {"threads": threads, "gpus": [{"name": gpu}] if gpu else []}
    run.environment.write_text(json.dumps(environment))
    rows = [
        {"stage": "dpo", "step": step, "loss": 0.5, "tokens_per_second": speed if step > 1 else 1.0}
        | ({} if step == 1 else shares or {})
        for step in range(1, 13)
    ]
    run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run


def look(run: RunDirectory, paths: Paths) -> Any:
    reader = MetricsReader(run)
    reader.read_all()
    return ScalingOutlook(run, paths).look(read_record(run), reader)


def two_ranks(run: RunDirectory) -> None:
    (run.path / "ranks").mkdir()
    for rank, values in enumerate(
        (
            {"tokens_per_second": 900.0, "exposed_share": 0.25, "communication_share": 0.3},
            {"tokens_per_second": 880.0},
        )
    ):
        values["threads"] = 1.0
        write_rank(run, RankRecord(rank, "box", step=12, heartbeat=100.0, values=values))


def test_the_slowest_and_by_how_much() -> None:
    assert slowest([2.0, 3.0, 2.0, 2.0]) == (1, pytest.approx(0.5))
    assert slowest([2.0, 1.6]) == (0, pytest.approx(0.25))
    assert slowest([1.0, 0.0]) == (0, 0.0)


def test_waiting_for_the_slowest_is_told_apart() -> None:
    fast = {"seconds": 10.0, "compute_seconds": 6.0}
    slow = {"seconds": 10.0, "compute_seconds": 9.0}
    found = rank_metrics(
        [
            {**fast, "exposed_share": 0.4, "communication_share": 0.5},
            {**slow, "exposed_share": 0.1, "communication_share": 0.2},
        ]
    )
    assert found["ranks/exposed_share"] == pytest.approx(0.25)
    assert found["ranks/communication_share"] == pytest.approx(0.35)
    assert found["ranks/waiting_share"] == pytest.approx(0.15)
    assert (found["ranks/slowest"], found["ranks/slowest_lag"]) == (1.0, pytest.approx(0.5))


def test_without_communication_there_are_no_metrics() -> None:
    nothing = {"seconds": 10.0, "exposed_share": math.nan}
    assert rank_metrics([nothing, nothing]) == {}
    assert rank_metrics([{"exposed_share": 0.5}]) == {}


def test_efficiency_against_a_run_of_one_process() -> None:
    found = scaling(2, {"tokens_per_second": 1500.0, **SHARES}, Single("before", 1000.0), 1)
    assert found.efficiency == pytest.approx(0.75)
    assert found.at_most == pytest.approx(0.8)
    assert "over 2 times those of one" in found.compared
    assert found.compared.endswith("in run before, 1 thread each")
    assert scaling_words(found) == [
        *("2 ranks", "1500 tok/s", "comm 20 %", "rank 1 slower by 12 %"),
        "efficiency 0.75 of run before",
    ]


def test_an_efficiency_that_cannot_be_is_explained() -> None:
    found = scaling(2, {"tokens_per_second": 1800.0, **SHARES}, Single("before", 1000.0), 1)
    assert found.efficiency == pytest.approx(0.9)
    assert "a busier machine, or other rows" in found.compared


def test_without_such_a_run_only_the_most_is_known() -> None:
    found = scaling(4, {"tokens_per_second": 1800.0, **SHARES}, None)
    assert found.efficiency is None
    assert scaling_words(found)[-1] == "efficiency at most 0.80"
    assert found.compared.startswith("at most, by the 20 % of the time in communication")
    assert "num_processes: 1" in found.compared


def test_what_is_not_measured_is_not_said() -> None:
    found = scaling(8, {"tokens_per_second": 1800.0}, None)
    assert (found.efficiency, found.at_most, found.slowest) == (None, None, None)
    assert found.compared.startswith("not measured")
    assert scaling_words(found) == ["8 ranks", "1800 tok/s"]
    assert scaling_words(scaling(8, {}, None)) == ["8 ranks"]


def test_the_newest_run_of_one_process_on_the_same_kind_of_device(paths: Paths) -> None:
    make_run(paths, 1, 700.0)
    right = make_run(paths, 2, 1000.0)
    make_run(paths, 3, 2000.0, threads=2)
    make_run(paths, 4, 9000.0, gpu="H100", config=CONFIG.replace("use_cpu: true\n", ""))
    make_run(paths, 5, 3000.0, config=CONFIG.replace("8", "16"))
    make_run(paths, 6, 3000.0, state="failed")
    make_run(paths, 7, 3000.0, host="elsewhere")
    make_run(paths, 8, 1700.0, processes=2)
    run = make_run(paths, 9, 1500.0, shares=SHARES, threads=2, processes=2)
    two_ranks(run)
    ranks, found = look(run, paths)
    assert [one.rank for one in ranks] == [0, 1]
    assert (found.single_run, found.efficiency) == (right.id, pytest.approx(0.75))
    assert found.slowest == 1


def test_gpus_are_compared_by_their_name(paths: Paths) -> None:
    config = CONFIG.replace("use_cpu: true\n", "")
    make_run(paths, 1, 1000.0, gpu="A100", config=config)
    right = make_run(paths, 2, 4000.0, gpu="H100", config=config, host="elsewhere")
    make_run(paths, 3, 1000.0, gpu="A100", config=config)
    run = make_run(paths, 4, 7200.0, gpu="H100", config=config, processes=2)
    two_ranks(run)
    _, found = look(run, paths)
    assert (found.single_run, found.efficiency) == (right.id, pytest.approx(0.9))


def test_one_process_has_nothing_to_tell(paths: Paths) -> None:
    assert look(make_run(paths, 1, 700.0), paths) == ([], None)


def test_the_first_record_of_a_stage_does_not_count(paths: Paths) -> None:
    run = make_run(paths, 1, 700.0)
    reader = MetricsReader(run)
    reader.read_all()
    assert recent_values(reader, "dpo") == {"tokens_per_second": 700.0}
    first = run.metrics.read_text().splitlines()[0]
    run.metrics.write_text(first + "\n")
    reader = MetricsReader(run)
    reader.read_all()
    assert recent_values(reader, "dpo") == {"tokens_per_second": 1.0}


def test_the_slowest_is_the_same_in_most_records(paths: Paths) -> None:
    told = ((3, 0.1), (0, 0.9), (3, 0.3), (3, 0.5), (1, 0.9))
    run = make_run(paths, 1, 700.0, processes=4)
    for turns, wanted in ((told, (3, 0.3)), (told[1:4:2] + told[4:], (None, None))):
        rows = [
            {"stage": "dpo", "step": step, "loss": 0.5, "tokens_per_second": 700.0}
            | {"ranks/exposed_share": 0.2, "ranks/slowest": rank, "ranks/slowest_lag": lag}
            for step, (rank, lag) in enumerate(((0, 9.0), *turns), start=1)
        ]
        run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
        _, found = look(run, paths)
        assert (found.slowest, found.slowest_lag) == wanted


def test_a_table_of_the_processes() -> None:
    told = {"tokens_per_second": 1234.5, "exposed_share": 0.25, "communication_share": 0.3}
    states = rank_states(
        [
            RankRecord(0, "a", step=7, heartbeat=90.0, values=told),
            RankRecord(1, "b", step=7, heartbeat=90.0, ended=99.0),
        ],
        now=100.0,
    )
    assert states[0].heartbeat_age == 10.0
    assert states[1].heartbeat_age is None
    head, first, second = rank_rows(states)
    assert head[0] == "rank"
    assert first == ("0", "a", "7", "1234", "75 %", "25 %", "5 %", "10 s ago")
    assert second == ("1", "b", "7", "-", "-", "-", "-", "ended")
