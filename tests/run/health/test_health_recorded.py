"""Real runs of a 135M model: the healthy ones are left alone, the others are told what is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from recorded_runs import FOLDER, growing, restore

from workbench.run.health import Doctor, examine_run

HEALTHY = sorted(file.stem for file in FOLDER.glob("healthy-*.json"))
FAULTS = {
    "identical-pairs": "identical_pairs",
    "longer-chosen": "length_hacking",
    "rate-times-100": "rate_too_high",
    "rate-times-100-hard": "rate_too_high",
    "shuffled-labels": "random_labels",
}
SOON = 0.75
"""Of the lines of a run: by then there is an alarm."""


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_run_is_left_alone_at_each_moment(name: str, tmp_path: Path) -> None:
    run = restore(name, tmp_path)
    for lines in growing(run, 3):
        told = [one for one in examine_run(run) if one.severity != "hint"]
        assert told == [], (name, lines)


@pytest.mark.parametrize("name", [*HEALTHY, *FAULTS])
def test_an_imported_run_is_judged_by_what_its_curves_tell(name: str, tmp_path: Path) -> None:
    run = restore(name, tmp_path)
    record = json.loads(run.record.read_text()) | {"imported": "trainer_state.json"}
    run.record.write_text(json.dumps(record))
    for stage in record["stages"]:
        run.config(stage).write_text("per_device_train_batch_size: 4\n")
    run.samples.unlink()
    run.metrics.write_text(re.sub(r'"samples": \d+, ', "", run.metrics.read_text()))
    findings = examine_run(run)
    assert "tiny_batches" not in [one.rule for one in findings]
    alarms = [one.rule for one in findings if one.severity == "alarm"]
    assert alarms[:1] == [FAULTS[name]] if name in FAULTS else alarms == []


def test_there_are_five_healthy_runs() -> None:
    assert len(HEALTHY) == 5


@pytest.mark.parametrize("name", FAULTS)
def test_a_run_made_to_misbehave_is_told_why(name: str, tmp_path: Path) -> None:
    run = restore(name, tmp_path)
    total = len(run.metrics.read_text().splitlines())
    doctor = Doctor(run)
    alarmed = 0
    for lines in growing(run, 3):
        findings = doctor.look()
        if findings and findings[0].severity == "alarm":
            alarmed = alarmed or lines
            assert findings[0].rule == FAULTS[name], lines
    assert findings[0].severity == "alarm"
    assert 0 < alarmed <= SOON * total


def test_a_finding_names_the_setting_of_the_run(tmp_path: Path) -> None:
    worst = examine_run(restore("rate-times-100", tmp_path))[0]
    assert worst.key == "dpo.learning_rate"
    assert worst.change == "0.005 -> 2e-05"
