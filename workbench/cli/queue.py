"""`queue`: what waits to be trained, and its order."""

from __future__ import annotations

import argparse
from typing import Any

from workbench.base.paths import Paths
from workbench.base.problems import ProblemError
from workbench.cli.execute import DONE, report
from workbench.cli.output import one_line, print_json, table
from workbench.run.devices import Occupancy, check_device, split_device, visible_slots
from workbench.run.directory import RunDirectory, find_run
from workbench.run.queue import Queue, QueueState, waits_for
from workbench.run.record import RunRecord, read_record
from workbench.run.states import label

MOVES = {"up": -1, "down": 1}


def queue(arguments: argparse.Namespace, paths: Paths) -> int:
    """List what waits, the next run first, and see that somebody starts it."""
    found = Queue.of(paths)
    wake(found)
    state = found.read()
    if state.fault is not None:
        report(ProblemError(state.fault))
    reasons = waits_for(state, Occupancy(paths.runs, visible_slots()).look())
    rows = [_row(found, state, place, reasons) for place in range(1, len(state.entries) + 1)]
    if arguments.json:
        head = {"paused": state.paused, "reason": state.reason, "dispatcher": found.dispatcher()}
        print_json({**head, "entries": rows})
        return DONE
    if state.paused:
        because = f": {one_line(state.reason)}" if state.reason else ""
        print(f"The queue is paused{because}. Go on: dpo-workbench queue resume")
    if not rows:
        print("Nothing waits. Put a run in: dpo-workbench run RECIPE --queue")
        return DONE
    cells = [
        (str(row["position"]), row["run"], row["state"], ", ".join(row["devices"]), row["waits"])
        for row in rows
    ]
    print("\n".join(table(("", "RUN", "STATE", "DEVICE", "WAITS FOR"), cells)))
    return DONE


def _row(found: Queue, state: QueueState, place: int, reasons: dict[str, str]) -> dict[str, Any]:
    entry = state.entries[place - 1]
    record = read_record(found.run(entry.run))
    return {
        "position": place,
        "run": entry.run,
        "name": record.name,
        "state": label(record.state),
        "action": entry.action,
        "devices": list(entry.devices),
        "count": entry.count,
        "stop_on_failure": entry.stop_on_failure,
        "waits": reasons[entry.run],
    }


def enqueue(
    paths: Paths,
    run: RunDirectory,
    *,
    device: str | None = None,
    stop_on_failure: bool = False,
    accept_changes: bool = False,
    as_json: bool = False,
) -> int:
    """Put a run at the end of the queue and say where it stands."""
    found, slots = Queue.of(paths), visible_slots()
    devices = split_device(check_device(device, slots)) if device else slots
    place = found.add(run, devices, stop_on_failure=stop_on_failure, accept_changes=accept_changes)
    wake(found)
    if as_json:
        print_json({"run": run.id, "path": run.path, "position": place})
    else:
        print(f"{run.id} is number {place} in the queue.")
        print("Look at it: dpo-workbench queue")
    return DONE


def move(arguments: argparse.Namespace, paths: Paths) -> int:
    """`queue up`, `down`, `top`."""
    found, run = Queue.of(paths), find_run(paths, arguments.run)
    if arguments.move == "top":
        place = found.top(run.id)
    else:
        place = found.move(run.id, MOVES[arguments.move])
    wake(found)
    print(f"{run.id} is number {place} in the queue.")
    return DONE


def remove(arguments: argparse.Namespace, paths: Paths) -> int:
    """`queue remove`: the run itself stays."""
    run = find_run(paths, arguments.run)
    Queue.of(paths).remove(run.id)
    print(out_of_queue(run))
    return DONE


def pause(arguments: argparse.Namespace, paths: Paths) -> int:
    """`queue pause` and `queue resume`."""
    found = Queue.of(paths)
    found.pause(arguments.paused)
    wake(found)
    if arguments.paused:
        print("The queue is paused: runs at work go on, nothing new starts.")
    else:
        print("The queue goes on.")
    return DONE


def leave_queue(paths: Paths, run: RunDirectory) -> str:
    """Take a run that somebody wants stopped out of the queue; empty where it does not wait."""
    found = Queue.of(paths)
    if not found.read().position(run.id):
        return ""
    found.remove(run.id)
    return out_of_queue(run)


def out_of_queue(run: RunDirectory) -> str:
    """What to tell a person who took a run out."""
    return f"{run.id} is out of the queue. Start it by hand: dpo-workbench resume {run.id}"


def state_words(record: RunRecord, place: int) -> str:
    """A run's state, with its place in the queue where it waits: `queued 2`."""
    if not place:
        return label(record.state)
    return (
        f"queued {place}" if record.state == "queued" else f"{label(record.state)}, queued {place}"
    )


def wake(found: Queue) -> None:
    """See that somebody starts what waits; a fault is told and nothing else changes."""
    try:
        found.wake()
    except ProblemError as error:
        report(error)
