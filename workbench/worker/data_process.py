"""The process that looks at preference data: ``python -m workbench.worker.data_process FOLDER``.

FOLDER holds `job.json` (`run.data_look.DataJob`) and, where there is a recipe, the stage's flat
config. JSON lines come in and go out as in `worker.generate`. Requests: `scan`, `rows`, `row`,
`tokens`, `xray`, `fix`, `cancel`, `quit`. Events, each with the request's `id`:

- `progress`: message, done, of (bytes of the files), rows
- `source`: what a file is, and the shape of its rows (`data.formats.model.Recognised`)
- `first`: the first rows, as soon as they are there
- `report`: what a scan has found; rules with counts and the first row numbers
- `rows`, `row`: what was asked for; `tokens`, `xray`: see `worker.data_tokens`
- `fixed`: what a cleaned copy has kept
- `error` (what, where, next_step) or `done` at the end of each

No library is loaded before tokens are asked for, so that the first rows are there at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.base.secrets import redact
from workbench.run.data_look import JOB
from workbench.worker import machine
from workbench.worker.data_rows import DataRows
from workbench.worker.explain import explain
from workbench.worker.guard import report_of
from workbench.worker.pipes import Pipes

IDLE_SECONDS = 3600.0
LONG, SHORT = ("tokens", "fix"), ("rows", "row")
REQUESTS = ("scan", "rows", "row", "tokens", "xray", "fix")


class Requests:
    """One job's requests, answered one after another."""

    def __init__(self, folder: Path, pipes: Pipes) -> None:
        job = json.loads((folder / JOB).read_text(encoding="utf-8"))
        self.folder, self.pipes, self.job = folder, pipes, job
        self.rows = DataRows(job, folder)
        self.tokens: Any = None

    def answer(self, request: Mapping[str, Any]) -> None:
        """Answer one request; what goes wrong with it is told, and the next one may come."""
        request_id = request.get("id")

        def emit(event: str, **fields: Any) -> None:
            self.pipes.emit(event, id=request_id, **fields)

        def going_on() -> bool:
            if request.get("op") in LONG:
                self._answer_short()
            return self.pipes.may_go_on(request_id)

        try:
            name = str(request.get("op"))
            if name not in REQUESTS:
                hint = f"Use one of: {', '.join(REQUESTS)}."
                raise ProblemError(Problem(f"there is no request {name!r}", next_step=hint))
            getattr(self, f"do_{name}")(request, emit, going_on)
            emit("done")
        except ProblemError as error:
            told = error.problems[0]
            emit("error", **{k: redact(getattr(told, k)) for k in ("what", "where", "next_step")})
        except Exception as error:  # noqa: BLE001 - a failed request must not end the process
            print(report_of(error), file=sys.stderr, flush=True)
            problem = explain(error, model=self.job["model_source"], log="")
            emit("error", what=redact(problem.what), where="", next_step=redact(problem.next_step))

    def _answer_short(self) -> None:
        """Answer what takes no time while tokens are counted; the rest waits its turn."""
        later: list[dict[str, Any] | None] = []
        with contextlib.suppress(queue.Empty):
            while True:
                request = self.pipes.requests.get_nowait()
                if request is not None and request.get("op") in SHORT:
                    self.answer(request)
                else:
                    later.append(request)
        for request in later:
            self.pipes.requests.put(request)

    def do_scan(self, _: Mapping[str, Any], emit: Any, going_on: Any) -> None:
        """Read everything once."""
        self.rows.scan(emit, going_on)

    def do_rows(self, request: Mapping[str, Any], emit: Any, going_on: Any) -> None:
        """Some rows."""
        start, count = max(0, int(request.get("start", 0))), max(0, int(request.get("count", 0)))
        rule, search = str(request.get("rule") or ""), str(request.get("search") or "")
        emit("rows", start=start, **self.rows.page(start, count, rule, search, going_on))

    def do_row(self, request: Mapping[str, Any], emit: Any, _: Any) -> None:
        """One row."""
        emit("row", **self.rows.whole(int(request.get("number", 0))))

    def do_tokens(self, request: Mapping[str, Any], emit: Any, going_on: Any) -> None:
        """Lengths."""
        measure = self._tokens(emit)
        measure.all_rows(self.rows, max(0, int(request.get("most", 0))), emit, going_on)

    def do_xray(self, request: Mapping[str, Any], emit: Any, _: Any) -> None:
        """The tokens of a pair."""
        number, part = int(request.get("number", 0)), int(request.get("part", 0))
        emit("xray", **self._tokens(emit).xray(self.rows, number, part))

    def do_fix(self, request: Mapping[str, Any], emit: Any, going_on: Any) -> None:
        """A cleaned copy."""
        from workbench.worker.data_fix import write_cleaned

        emit("fixed", **write_cleaned(self.rows, request, emit, going_on))

    def _tokens(self, emit: Any) -> Any:
        from workbench.worker.data_tokens import Tokens

        if self.tokens is None:
            self.tokens = Tokens(self.folder, self.job, emit)
        return self.tokens


def main(arguments: list[str] | None = None) -> int:
    """Entry of the process."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1 or not (Path(arguments[0]) / JOB).is_file():
        print("usage: python -m workbench.worker.data_process FOLDER", file=sys.stderr)
        return 2
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    machine.prepare_environment(os.environ)
    pipes = Pipes(os.getppid())
    pipes.listen()
    requests = Requests(Path(arguments[0]), pipes)
    for request in pipes.each(IDLE_SECONDS):
        requests.answer(request)
    sys.stderr.flush()
    # The reading thread may still wait for input, which would hold the interpreter's end up.
    os._exit(0)


if __name__ == "__main__":
    raise SystemExit(main())
