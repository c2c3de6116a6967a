"""Slurm's commands. Each call is one process with a time limit; each failure is one Problem."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from workbench.base.problems import Problem, ProblemError
from workbench.base.text import clean
from workbench.run.slurm.refusals import Refusal, find_refusal
from workbench.run.slurm.script import options_in

TIMEOUT_SECONDS = 20.0
OUTPUT_BYTES = 4 * 1024 * 1024
UNKNOWN_JOB = "Invalid job id"
NO_ACCOUNTING = "accounting storage is disabled"
# What a user may have set for these commands changes what they print.
FOREIGN = ("SQUEUE_", "SACCT_", "SINFO_", "SCONTROL_", "SCANCEL_", "SLURM_TIME_FORMAT")
OWN_VARIABLES = (
    *("SBATCH_OUTPUT", "SBATCH_ERROR", "SBATCH_INPUT", "SBATCH_OPEN_MODE", "SBATCH_SIGNAL"),
    *("SBATCH_REQUEUE", "SBATCH_NO_REQUEUE", "SBATCH_ARRAY_INX", "SBATCH_WAIT", "SBATCH_JOB_NAME"),
)
VARIABLES = {
    "time": "SBATCH_TIMELIMIT",
    "mem": "SBATCH_MEM_PER_NODE",
}
"""Variables of sbatch that are not called as their option is."""
QUEUE_FORMAT = "%i|%T|%P|%Q|%S|%l|%N|%r"
ACCOUNT_FIELDS = ("JobID", "State", "Partition", "ExitCode", "NodeList", "Timelimit", "Start")


def has_slurm() -> bool:
    """Whether this machine has Slurm's commands."""
    return shutil.which("sbatch") is not None


def require_slurm() -> None:
    """Let nothing be asked of a machine without Slurm.

    Raises:
        ProblemError: It has no `sbatch`.
    """
    if not has_slurm():
        what = "this machine has no Slurm: there is no command sbatch"
        hint = "Go to a login node of the cluster, or train here: --no-slurm."
        raise ProblemError(Problem(what, "PATH", hint))


def submit_script(script: Path) -> str:
    """Hand a script over; returns the id of its job.

    Raises:
        ProblemError: There is no Slurm, it does not answer, or it refuses the job.
    """
    require_slurm()
    options = options_in(script.read_text(encoding="utf-8", errors="replace"))
    names = {VARIABLES.get(o, f"SBATCH_{o.upper().replace('-', '_')}") for o in options}
    # Variables would win over what the script says, and with it over what the person typed.
    kept = {k: v for k, v in os.environ.items() if k not in names and k not in OWN_VARIABLES}
    command = ["sbatch", "--parsable", script.name]
    answer = call(command, folder=script.parent, variables=kept, options=options)
    job = answer.strip().partition(";")[0]
    if not job.isdecimal():
        shown = clean(answer.strip()[:200], newlines=False)
        what = f"sbatch answered with something else than the id of a job: {shown!r}"
        raise ProblemError(Problem(what, str(script), "Try it by hand: sbatch run.sbatch."))
    return job


def queue_lines(jobs: Sequence[str]) -> list[list[str]]:
    """What squeue says of jobs: id, state, partition, priority, start, limit, nodes, reason.

    Raises:
        ProblemError: There is no Slurm, or it does not answer.
    """
    command = ["squeue", "--noheader", "--states=all", f"--format={QUEUE_FORMAT}"]
    return rows_of(_known([*command, f"--jobs={','.join(jobs)}"]), QUEUE_FORMAT.count("|"))


def waiting_lines(partition: str) -> list[list[str]]:
    """Id and priority of each job that waits in a partition, as far as they are shown to us."""
    command = ["squeue", "--noheader", "--states=PENDING", "--format=%i|%Q"]
    return rows_of(call([*command, f"--partition={partition}"]), 1)


def account_lines(jobs: Sequence[str]) -> list[list[str]]:
    """What sacct still knows of jobs: `ACCOUNT_FIELDS` of each; nothing without accounting."""
    if not jobs or shutil.which("sacct") is None:
        return []
    command = ["sacct", "--allocations", "--noheader", "--parsable2", "--delimiter=|"]
    command += [f"--format={','.join(ACCOUNT_FIELDS)}", f"--jobs={','.join(jobs)}"]
    return rows_of(_known(command), len(ACCOUNT_FIELDS) - 1)


def exit_code(job: str) -> str:
    """The exit code of an ended job's script, as Slurm writes it: `1:0`; empty if not known."""
    for word in _known(["scontrol", "--oneliner", "show", "job", job]).split():
        if word.startswith("ExitCode="):
            return word.removeprefix("ExitCode=")
    return ""


def partitions() -> list[str]:
    """Names of the partitions that there are; none where Slurm does not say."""
    try:
        answer = call(["sinfo", "--noheader", "--format=%R"])
    except ProblemError:
        return []
    return list(dict.fromkeys(clean(line.strip()) for line in answer.splitlines() if line.strip()))


def cancel(job: str, *, number: str = "") -> None:
    """End a job, or with `number` (`TERM`) send a signal to its batch step alone.

    Raises:
        ProblemError: There is no Slurm, it does not answer, or the job is another user's.
    """
    _known(["scancel", *(["--batch", f"--signal={number}"] if number else []), job])


def requeue(job: str) -> None:
    """Let a job wait in the queue again; what it runs is ended.

    Raises:
        ProblemError: Slurm does not answer, or refuses.
    """
    call(["scontrol", "requeue", job])


def host_names(nodes: str) -> list[str]:
    """Names of single hosts, from a list as Slurm writes it: `n[1-3]`."""
    return call(["scontrol", "show", "hostnames", nodes]).split()


def _known(command: list[str]) -> str:
    """What a command says of jobs; nothing where Slurm has no such job, or no accounting."""
    try:
        return call(command)
    except ProblemError as error:
        if any(words in str(error) for words in (UNKNOWN_JOB, NO_ACCOUNTING)):
            return ""
        raise


def rows_of(answer: str, separators: int) -> list[list[str]]:
    """The fields of each line that has so many separators; the last field may hold more of them."""
    rows = (line.strip().split("|", separators) for line in answer.splitlines())
    return [row for row in rows if len(row) == separators + 1]


def call(
    command: list[str],
    *,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
    options: Mapping[str, str] = {},
    seconds: float = TIMEOUT_SECONDS,
) -> str:
    """Run one of Slurm's commands; returns what it prints.

    Args:
        folder: Where it runs.
        variables: Its environment, this process's if not given.
        options: What a submitted script asks for: a refusal names what it is about.

    Raises:
        ProblemError: It is not there, takes too long, or fails.
    """
    _refuse_lost_configuration()
    said = os.environ if variables is None else variables
    environment = {k: v for k, v in said.items() if not k.startswith(FOREIGN)}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=folder,
            env={**environment, "LC_ALL": "C.UTF-8"},
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError:
        what = f"this machine has no Slurm: there is no command {command[0]}"
        raise ProblemError(Problem(what, "PATH", "Go to a login node of the cluster.")) from None
    except subprocess.TimeoutExpired:
        what = f"Slurm has not answered {command[0]} within {seconds:.0f} seconds"
        hint = "Try again later; `scontrol ping` tells whether its controller is there."
        raise ProblemError(Problem(what, "", hint)) from None
    except OSError as error:
        what = f"cannot start {command[0]}: {error.strerror}"
        raise ProblemError(Problem(what, "", "Check the installation of Slurm.")) from None
    output = done.stdout[:OUTPUT_BYTES].decode("utf-8", "replace")
    if done.returncode:
        said_words = done.stderr[-OUTPUT_BYTES:].decode("utf-8", "replace") or output
        raise ProblemError(_refused(command[0], said_words, options))
    return output


def _refuse_lost_configuration() -> None:
    # Slurm itself would look for it for a minute.
    named = os.environ.get("SLURM_CONF", "")
    if named and not Path(named).exists():
        hint = "Correct or unset that variable."
        raise ProblemError(Problem("there is no file that SLURM_CONF names", named, hint))


def _refused(name: str, words: str, options: Mapping[str, str]) -> Problem:
    """One problem of what a command complained about."""
    lines = [clean(line, newlines=False).strip() for line in words.splitlines() if line.strip()]
    found = find_refusal(words) or Refusal("", f"{name} refused", "See man sbatch, or ask there.")
    reason = next((line for line in lines if "unrecognized option" in line), "")
    reason = reason or (lines[-1] if lines else "without a word")
    for prefix in (f"{name}: ", "error: ", "fatal: "):
        reason = reason.removeprefix(prefix)
    what = f"{found.what} (Slurm: {reason[:300]})"
    hint = found.next_step
    if found.lists_partitions and (names := partitions()):
        hint = f"These exist: {', '.join(names[:20])}. {hint}".strip()
    value = options.get(found.option, "")
    return Problem(what, f"{found.option} {value}" if value else "", hint)
