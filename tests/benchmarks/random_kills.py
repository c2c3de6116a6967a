"""Kill trainer, supervisor, app or all of them at random moments; resume; compare the end.

``python tests/benchmarks/random_kills.py --kills 50 --seed 1``. Not collected by pytest: it takes
some ten minutes on two cores. Every run is killed several times and resumed after each; at its end
its weights must be those of a run that nothing disturbed, byte for byte. Exit code 1 if one
differs.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import pty
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tiny_model import make_tiny_model, write_tiny_recipe

from workbench.base.locks import is_locked
from workbench.base.paths import Paths
from workbench.base.tail import read_jsonl
from workbench.recipe.recipe import load_recipe
from workbench.run.directory import RunDirectory, create_run
from workbench.run.launch import launch, resume
from workbench.run.record import RunRecord, has_ended, read_record

VICTIMS = ("trainer", "supervisor", "app", "all")
KILLS_PER_RUN = 5
STEPS = 16
WAIT_SECONDS = 180.0


def open_app(home: Path) -> tuple[subprocess.Popen[bytes], int]:
    """The terminal app in a pseudo-terminal that nobody reads from."""
    master, slave = pty.openpty()
    environment = {**os.environ, "DPO_WORKBENCH_HOME": str(home), "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "workbench"]
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environment
    )
    os.close(slave)
    os.set_blocking(master, False)
    return process, master


def kill(pids: list[int]) -> None:
    """SIGKILL, without a word."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_for_end(run: RunDirectory) -> str:
    """The state of a run once it is at rest and nobody holds it."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        held = is_locked(run.lock) or is_locked(run.supervisor_lock)
        if has_ended(read_record(run)) and not held:
            return read_record(run).state
        time.sleep(0.02)
    raise SystemExit(f"{run.path} does not end: {read_record(run)}")


def moment(run: RunDirectory) -> str:
    """What a run is doing now, in a few words."""
    record = read_record(run)
    if record.saving:
        return f"{record.stage}: saving {record.saving}"
    if record.state == "starting" or not record.max_steps:
        return f"{record.stage}: loading"
    return f"{record.stage}: step {record.step}"


def aim(rng: random.Random, seconds: float) -> Callable[[RunRecord, float], bool]:
    """When to strike: at any time, at a step of a stage, or while a checkpoint is written."""
    kind, stage = rng.choice(("time", "step", "step", "save")), rng.choice(("sft", "dpo"))
    time_, step, jitter = rng.uniform(0.05, seconds), rng.randint(0, STEPS), rng.uniform(0, 0.2)
    reached = 0.0

    def due(record: RunRecord, waited: float) -> bool:
        nonlocal reached
        if kind == "save":
            return bool(record.stage == stage and record.saving)
        if kind == "time" or record.state == "starting":
            return kind == "time" and waited >= time_
        if not reached and record.stage == stage and record.max_steps and record.step >= step:
            reached = waited
        return bool(reached and waited >= reached + jitter)

    return due


def disturb(
    run: RunDirectory, home: Path, victim: str, due: Callable[[RunRecord, float], bool]
) -> str:
    """Kill a victim when it is due; returns what the run was doing then, empty if it was over."""
    app, master = open_app(home) if victim in ("app", "all") else (None, -1)
    began = time.monotonic()
    while True:
        record = read_record(run)
        if has_ended(record) or due(record, time.monotonic() - began):
            break
        with contextlib.suppress(OSError):
            if master >= 0:
                os.read(master, 65536)
        time.sleep(0.003)
    doing = "" if has_ended(record) else moment(run)
    pids = {"trainer": [record.pid], "supervisor": [record.supervisor_pid], "app": []}
    if doing:
        targets = pids.get(victim, [record.supervisor_pid, record.pid])
        kill([pid for pid in targets if pid > 0])
    if app is not None:
        kill([app.pid])
        app.wait()
        os.close(master)
    return doing


def weights(run: RunDirectory) -> dict[str, bytes]:
    """The final adapters."""
    stages = read_record(run).stages
    return {s: (run.output(s) / "adapter_model.safetensors").read_bytes() for s in stages}


def new_run(paths: Paths, recipe: Path) -> RunDirectory:
    return create_run(paths, load_recipe(recipe))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    home = Path(tempfile.mkdtemp(prefix="kills-"))
    paths = Paths.from_environment({"DPO_WORKBENCH_HOME": str(home)})
    os.environ["HF_HUB_OFFLINE"] = "1"
    recipe = write_tiny_recipe(home / "tiny.yaml", make_tiny_model(home / "model"), steps=STEPS)
    unbroken = new_run(paths, recipe)
    began = time.monotonic()
    launch(unbroken)
    assert wait_for_end(unbroken) == "finished", unbroken.log.read_text()
    whole = time.monotonic() - began
    print(f"unbroken run: {whole:.1f} s", flush=True)

    done, table, wrong = 0, collections.Counter(), 0
    while done < arguments.kills:
        run = new_run(paths, recipe)
        launch(run)
        for _ in range(KILLS_PER_RUN):
            victim = VICTIMS[done % len(VICTIMS)]
            doing = disturb(run, home, victim, aim(rng, whole))
            if victim == "app":
                state = "ended before" if not doing else read_record(run).state
            else:
                state = wait_for_end(run)
            if doing:
                done += 1
                table[victim, state] += 1
                print(f"{done:3} {victim:<10} at {doing:<28} -> {state}", flush=True)
            if victim == "app" and doing:
                continue
            if state in ("finished", "ended before"):
                break
            resume(run)
        state = wait_for_end(run)
        if state != "finished":
            resume(run)
            state = wait_for_end(run)
        starts = [
            (r["stage"], r["step"]) for r in read_jsonl(run.metrics) if r.get("event") == "resume"
        ]
        same = state == "finished" and weights(run) == weights(unbroken)
        wrong += not same
        verdict = "weights equal" if same else f"DIFFERENT ({state}), see {run.path}"
        print(f"    resumed at {starts}: {verdict}", flush=True)
    for (victim, state), count in sorted(table.items()):
        print(f"{victim:<10} {state:<10} {count}")
    print(f"{done} kills, {wrong} runs that differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
