"""The answering process of one run: ``python -m workbench.worker.generate RUN``.

One base model and the run's adapters in memory, JSON lines on stdin and stdout, one request after
another. It ends by itself when nothing was asked for ten minutes, its input closes or its parent
is gone. Requests: `generate`, `batch`, `cancel`, `pause`, `go_on`, `quit`; events: `loading`,
`ready`, `weights`, `text`, `answer`, `analysis`, `done`, `error`. Only protocol lines go to stdout;
whatever a library prints goes to stderr.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.base.secrets import redact
from workbench.run.directory import RunDirectory
from workbench.worker import machine
from workbench.worker.explain import explain
from workbench.worker.guard import report_of
from workbench.worker.pipes import Pipes

IDLE_SECONDS = 600.0
REQUESTS = ("generate", "batch", "cancel", "pause", "go_on", "quit")


def main(arguments: list[str] | None = None) -> int:
    """Entry of the process."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or not (Path(arguments[0]) / "run.json").is_file():
        print("usage: python -m workbench.worker.generate RUN_DIRECTORY", file=sys.stderr)
        return 2
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run = RunDirectory(Path(arguments[0]))
    pipes = Pipes(os.getppid())
    pipes.listen()
    machine.prepare_environment(os.environ)
    code = serve(run, pipes)
    sys.stderr.flush()
    # The reading thread may still wait for input, which would hold the interpreter's end up.
    os._exit(code)


def serve(run: RunDirectory, pipes: Pipes) -> int:
    """Load, answer requests until there is reason to end, and return the exit code."""
    from workbench.worker.answerer import Answerer

    answerer = Answerer(run, lambda message: pipes.emit("loading", message=message))
    if not load(answerer, pipes, None):
        return 1
    for request in pipes.each(IDLE_SECONDS):
        if answerer.outdated() and not load(answerer, pipes, request.get("id")):
            continue
        answer(answerer, pipes, request)
    return 0


def load(answerer: Any, pipes: Pipes, request_id: object) -> bool:
    """Load the models and say what can be asked; False after an error."""
    try:
        answerer.load()
    except Exception as error:  # noqa: BLE001 - every cause is reported to the one who asked
        report(answerer, pipes, request_id, error)
        return False
    pipes.emit("ready", **answerer.description())
    return True


def answer(answerer: Any, pipes: Pipes, request: Mapping[str, Any]) -> None:
    """Answer one request, on every side that it names."""
    request_id = request.get("id")

    def emit(event: str, **fields: Any) -> None:
        pipes.emit(event, id=request_id, **fields)

    try:
        if request.get("op") not in ("generate", "batch"):
            what = f"there is no request {request.get('op')!r}"
            raise ProblemError(Problem(what, next_step=f"Use one of: {', '.join(REQUESTS)}."))
        answerer.answer(request, emit, lambda: pipes.may_go_on(request_id))
        pipes.emit("done", id=request_id)
    except Exception as error:  # noqa: BLE001 - a failed request must not end the process
        report(answerer, pipes, request_id, error)


def report(answerer: Any, pipes: Pipes, request_id: object, error: Exception) -> None:
    """Send an error, with the traceback in the log; the models load anew where they may be hurt."""
    if not isinstance(error, ProblemError):
        print(report_of(error), file=sys.stderr, flush=True)
        answerer.forget()
    problem = explain(error, model=answerer.path, folder=answerer.run.path, log="generate.log")
    what, next_step = redact(problem.what), redact(problem.next_step)
    pipes.emit("error", id=request_id, what=what, next_step=next_step)


if __name__ == "__main__":
    raise SystemExit(main())
