"""The process that owns a run's worker: ``python -m workbench.run.supervisor RUN LOCK``.

It has no torch, starts the worker, passes signals on, and survives what the worker does not. Once
the worker has ended it completes run.json (how it ended, and how that is known), ends every process
that is left, and runs the user's end command.

Where several processes train together it starts their launcher, which is told nothing: torchrun
would give them 30 s to end. Signals go to the processes themselves.

SIGTERM and SIGINT stop the run with a checkpoint, SIGUSR2 kills it, SIGHUP is ignored.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType

import psutil

from workbench.base.files import append_json
from workbench.base.locks import lock_again
from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.base.tail import LineTail
from workbench.base.text import clean
from workbench.run.advice import advise, facts_of, less_memory, memory_evidence
from workbench.run.advice_machine import memory_hint
from workbench.run.directory import RunDirectory
from workbench.run.ending import Ending, conclude, signal_name
from workbench.run.evidence import MemoryKills, boot_id, memory_kills
from workbench.run.hosts.links import HostLinks
from workbench.run.hosts.of_run import by_hand_environment, links_of
from workbench.run.launcher import Start, plan_start
from workbench.run.machine.sampler import MachineSampler
from workbench.run.notify import run_end_hook
from workbench.run.preferences import load_preferences
from workbench.run.processes import RUN_VARIABLE, end_processes
from workbench.run.rank_ending import find_cause, last_words
from workbench.run.ranks import forget_ranks, processes_here, rank_log, read_ranks, signal_ranks
from workbench.run.record import (
    RunRecord,
    as_error,
    has_ended,
    read_record,
    update_record,
    write_end,
)

TICK_SECONDS = 1.0
LOOK_SECONDS = 5.0
SAVE_SECONDS = 30.0
"""For processes whose launcher was killed, to save a checkpoint."""
MEMORY_SAMPLES = 5
LAST_WORDS_BYTES = 32 * 1024
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
KILL_SIGNAL = signal.SIGUSR2


class Supervisor:
    """Waits for one worker, or for the launcher of several.

    Args:
        run: The run; this process holds its supervisor lock.
        start: What is started.
        links: The run's other hosts, None for this one alone.
        environment: What the processes get beside this process's own.
    """

    def __init__(
        self,
        run: RunDirectory,
        start: Start,
        links: HostLinks | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.run = run
        self.start = start
        self.links = links
        self._environment = dict(environment or {})
        self._lost: Problem | None = None
        self.kill_requested = False
        self._launched = False
        self._told_stop: set[int] = set()
        self._stop_requested = False
        self._worker: subprocess.Popen[bytes] | None = None
        self._told_stall = 0.0
        # What an earlier worker of this run said is not this one's.
        self._log_start = self._log_bytes()
        # Only a kill within the last samples can have been the worker's.
        self._kills: deque[MemoryKills] = deque([memory_kills()], maxlen=MEMORY_SAMPLES)

    def listen(self) -> int:
        """Take over the signals; returns the descriptor on which they wake a `select`."""
        awake, wake = socket.socketpair()
        for end in (awake, wake):
            end.setblocking(False)
        signal.set_wakeup_fd(wake.detach(), warn_on_full_buffer=False)
        for number in (*STOP_SIGNALS, KILL_SIGNAL, signal.SIGCHLD):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*STOP_SIGNALS, KILL_SIGNAL))
        return awake.detach()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number in STOP_SIGNALS:
            self._stop_requested = True
            self._pass_stop_on()
        elif number == KILL_SIGNAL:
            self.kill_requested = True
            self._kill()

    @property
    def _is_launcher(self) -> bool:
        return self._launched and self.start.by_launcher

    def _pass_stop_on(self) -> None:
        """Ask those to stop that have not been asked yet: a launcher's processes come late."""
        if not self._is_launcher:
            self._send(signal.SIGTERM)
        else:
            self._told_stop |= signal_ranks(self.run, signal.SIGTERM, except_for=self._told_stop)
            if self.links is not None:
                self.links.stop()

    def _kill(self) -> None:
        self._send(signal.SIGKILL)
        if self._is_launcher:
            signal_ranks(self.run, signal.SIGKILL)
        if self.links is not None:
            self.links.kill()

    def _send(self, number: int) -> None:
        # Popen does not signal a child that it has waited for, so no stranger is hit.
        if self._worker is not None:
            self._worker.send_signal(number)

    def supervise(self) -> int | None:
        """Run the worker to its end; returns its exit code, None where it never started."""
        awake = self.listen()
        code = None
        for command in self.start.commands:
            if self._stop_requested or self.kill_requested or code:
                break
            self._launched = command is self.start.commands[-1]
            if self._launched and self.links is not None:
                command = self._begin_elsewhere(self.links, command)
            self._worker = self._begin(command)
            if self.kill_requested:
                self._kill()
            elif self._stop_requested:
                self._pass_stop_on()
            code = self._await(self._worker, awake)
        if self._launched and self.links is not None:
            self.links.settle(failed=code != 0)
            if code:
                self._look_at_hosts()
            self.links.close()
        return code

    def _begin_elsewhere(self, links: HostLinks, command: tuple[str, ...]) -> tuple[str, ...]:
        """Start the processes of the other hosts; this host's own command."""
        forget_ranks(self.run)
        own = links.start(command, self.start.processes)
        self._environment |= links.environment
        return own

    def _look_at_hosts(self) -> None:
        """End the processes here where a host's are gone: they would wait for them for ever."""
        if self.links is None or self._lost is not None or self.kill_requested:
            return
        problem = self.links.poll()
        if problem is not None:
            self._lost = problem
            say(str(problem))
            self._kill()

    def _await(self, worker: subprocess.Popen[bytes], awake: int) -> int:
        sampler = MachineSampler(self.run, worker.pid, launcher=self._is_launcher)
        sampler.start()
        next_look = 0.0
        while (code := worker.poll()) is None:
            self._kills.append(memory_kills())
            if time.monotonic() >= next_look:
                self._look_for_stall()
                next_look = time.monotonic() + LOOK_SECONDS
            if self._stop_requested and self._is_launcher:
                self._pass_stop_on()
            if self._is_launcher:
                self._look_at_hosts()
            if select.select([awake], [], [], TICK_SECONDS)[0]:
                os.read(awake, 64)
        if code < 0 and self._is_launcher and not self.kill_requested and self._lost is None:
            self._let_save()
        sampler.stop()
        return code

    def _let_save(self) -> None:
        """Let processes whose launcher has died save a checkpoint: nobody waits for them now."""
        say("the launcher is gone; its processes save a checkpoint and end")
        deadline = time.monotonic() + SAVE_SECONDS
        while processes_here(self.run) and time.monotonic() < deadline:
            self._pass_stop_on()
            time.sleep(TICK_SECONDS / 5)

    def _begin(self, command: tuple[str, ...]) -> subprocess.Popen[bytes]:
        if self._is_launcher and self.links is None:
            forget_ranks(self.run)
        # A stop that comes before the worker listens waits for it: the worker unblocks the signal.
        # A launcher never does, so that whoever ends all processes leaves it to wait for them.
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                cwd=self.run.path,
                env={**os.environ, **self._environment, RUN_VARIABLE: str(self.run.path)},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)

    def _look_for_stall(self) -> None:
        """Have a silent worker write where each of its threads stands, once for each silence."""
        record = read_record(self.run)
        if record.state != "stalled" or record.heartbeat == self._told_stall:
            return
        self._told_stall = record.heartbeat
        say(f"stalled: no sign of life since step {record.step}; its stacks are in stacks.log")
        # A worker that is still starting has no handler yet, and would die of the signal.
        if self._is_launcher:
            signal_ranks(self.run, signal.SIGUSR1)
        elif self._worker is not None and record.pid == self._worker.pid:
            self._send(signal.SIGUSR1)
        event = {"event": "stalled", "stage": record.stage, "step": record.step}
        with contextlib.suppress(OSError):
            append_json(self.run.metrics, {"time": time.time(), **event})

    def complete(self, code: int | None) -> RunRecord:
        """Write how the run ended, unless the worker has; returns the last record."""
        record = read_record(self.run)
        changes: dict[str, object] = {"saving": ""}
        only_prepared = code == 0 and not self._launched and not has_ended(record)
        if code is None or only_prepared:
            changes |= {"state": "stopped", "exit_code": 0, "finished": time.time()}
        elif has_ended(record) and record.state != "lost" and not self._is_overruled(record, code):
            changes |= {"exit_code": code, "signal": max(0, -code)}
            if code < 0:
                fact = f"the trainer ended by {signal_name(code)} after its end record"
                changes["evidence"] = [*record.evidence, fact]
        else:
            ending = self._conclude(code)
            say(f"{ending.state}: {ending.problem}")
            problem = ending.problem
            changes |= {
                "state": ending.state,
                "exit_code": code,
                "signal": max(0, -code),
                "finished": time.time(),
                "error": as_error(problem.what, problem.where, problem.next_step),
                "evidence": [*record.evidence, *ending.evidence],
            }
        with contextlib.suppress(OSError, ValueError):
            record = write_end(self.run, **changes)
        if code is None or "state" in changes:
            with contextlib.suppress(OSError):
                append_json(
                    self.run.metrics,
                    {"time": time.time(), "event": "end", "state": changes["state"]},
                )
        return record

    def _is_overruled(self, record: RunRecord, code: int) -> bool:
        """Whether the end that rank 0 has written only followed from another's."""
        if not self._is_launcher or code == 0:
            return False
        if self._lost is not None:
            return record.state == "failed"
        if code < 0:
            return not self._stop_requested
        cause = find_cause(read_ranks(self.run), self.last_words())
        own = record.state in ("stopped", "finished")
        return cause is not None and cause.record.rank != 0 and not own

    def _conclude(self, code: int) -> Ending:
        risen = self._kills[0].risen(memory_kills())
        record = read_record(self.run)
        facts, words = facts_of(self.run, record.stage, record.model_path), self.last_words()
        who, log = "the trainer", self.run.log
        told: tuple[str, ...] = ()
        if self._is_launcher:
            ranks = read_ranks(self.run)
            told = tuple(last_words(ranks))
            cause = find_cause(ranks, words)
            if self._lost is not None:
                own = cause.problem if cause and not cause.record.follows else None
                state = cause.record.state if cause and own else ""
                return Ending(state or "failed", own or self._lost, told)
            who = "the launcher of the processes"
            if cause is not None and code > 0 and not self.kill_requested:
                problem = cause.problem
                if problem is not None:
                    return Ending(cause.record.state or "failed", problem, told)
                who, log = cause.record.name, rank_log(self.run, cause.record.rank)
                code, words = cause.code or code, tail_of(log)
        ending = conclude(
            code,
            requested=self.kill_requested,
            memory_kills=risen,
            advice=advise(words, facts),
            smaller=memory_hint(facts, on_gpu=False),
            log=str(log),
            who=who,
        )
        if ending.state != "out_of_memory":
            return replace(ending, evidence=(*ending.evidence, *told))
        lines = memory_evidence(words, facts) or less_memory(facts, on_gpu=False)
        return replace(ending, evidence=(*ending.evidence, *told, *lines))

    def last_words(self) -> str:
        """The end of what this worker wrote into train.log."""
        return tail_of(self.run.log, max(0, self._log_bytes() - self._log_start))

    def _log_bytes(self) -> int:
        try:
            return self.run.log.stat().st_size
        except OSError:
            return 0


def say(text: str) -> None:
    """A line in train.log, which this process's output goes to."""
    with contextlib.suppress(OSError):
        print(clean(text, newlines=False), flush=True)


def tail_of(log: Path, reach: int = LAST_WORDS_BYTES) -> str:
    """The end of a log, at most so many bytes of it and never more than `LAST_WORDS_BYTES`."""
    tail = LineTail(log, LAST_WORDS_BYTES)
    tail.skip_to_last(min(LAST_WORDS_BYTES, reach))
    return "\n".join([*tail.read(), tail.partial])


def main(arguments: list[str] | None = None) -> int:
    """Entry of the process."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 2 or not arguments[1].isdecimal():
        print("usage: python -m workbench.run.supervisor RUN_DIRECTORY LOCK", file=sys.stderr)
        return 2
    os.umask(0o077)
    run, lock = RunDirectory(Path(arguments[0])), int(arguments[1])
    if not lock_again(lock):
        say("another supervisor is at work on this run")
        return 1
    os.set_inheritable(lock, False)
    return supervise_run(run, lock)


def supervise_run(
    run: RunDirectory,
    lock: int,
    *,
    conclude: Callable[[RunRecord], RunRecord] = lambda record: record,
) -> int:
    """Own a run from the start of its processes to its end record; returns the exit code.

    Args:
        lock: Descriptor that holds the run's supervisor lock; closed once the end is written.
        conclude: May write another end, such as `queued` for a run that goes on later, while the
            lock is held; returns the last record.
    """
    me = psutil.Process()
    update_record(
        run, supervisor_pid=me.pid, supervisor_create_time=me.create_time(), boot_id=boot_id()
    )
    try:
        start = plan_start(run)
        update_record(run, processes=start.processes)
        supervisor = Supervisor(run, start, links_of(run, say), by_hand_environment(run))
        code = supervisor.supervise()
    except ProblemError as error:
        return refuse_to_start(run, error.problems[0])
    except OSError as error:
        return fail_to_start(run, error)
    end_processes(run)
    record = conclude(supervisor.complete(code))
    # The end is known: a resume need not wait for the user's command.
    os.close(lock)
    preferences, _ = load_preferences(Paths.from_environment())
    if has_ended(record) and (problem := run_end_hook(run, record, preferences)):
        say(problem)
    return 0


def refuse_to_start(run: RunDirectory, problem: Problem) -> int:
    """The recipe asks for processes that cannot be started here."""
    say(f"failed: {problem}")
    error = as_error(problem.what, problem.where, problem.next_step)
    write_end(run, state="failed", finished=time.time(), error=error)
    return 1


def fail_to_start(run: RunDirectory, error: OSError) -> int:
    """The worker's process could not be made."""
    what = f"cannot start the trainer: {error.strerror or error}"
    hint = "Check the installation, and this machine's memory and process limits."
    return refuse_to_start(run, Problem(what, sys.executable, hint))


if __name__ == "__main__":
    raise SystemExit(main())
