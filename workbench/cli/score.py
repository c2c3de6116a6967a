"""`score`: whether the tuned side is better, at what, and what it lost."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.cli.execute import BAD_USAGE
from workbench.cli.output import columns, cut, one_line, print_json, redrawable
from workbench.judge.endpoint import Endpoint, check_address, judge_answers
from workbench.judge.lm_eval import find_lm_eval, run_lm_eval
from workbench.judge.prompts import find_prompts, read_prompts
from workbench.judge.score_text import score_lines
from workbench.judge.scores import Score, Wanted, save, score_file
from workbench.judge.scores import score as measure
from workbench.run.directory import RunDirectory, find_run
from workbench.run.sides import Side, parse_sides

CLEAR_LINE = "\r\x1b[K"


def score(arguments: argparse.Namespace, paths: Paths) -> int:
    """Measure two sides of a run, keep what was found, print it."""
    run = find_run(paths, arguments.run)
    sides = parse_sides(paths, run, arguments.sides.split(","))
    wanted = _wanted(arguments, paths, run)
    # What is missing for the end is told before minutes are spent.
    endpoint = _endpoint(arguments)
    program = find_lm_eval() if arguments.lm_eval else ""
    say = Progress()
    found = measure(run, sides, wanted, say=say)
    summary = found.summary
    file = save(run, found)
    failure: ProblemError | None = None
    try:
        if endpoint is not None:
            say(f"asking {arguments.judge_model}")
            rows = [row for row in found.rows if row["kind"] == "answers"]
            names = (sides[0].spec, sides[1].spec)
            summary["judge"] = judge_answers(rows, names, endpoint, say=say)
        if program:
            tasks, limit = arguments.lm_eval, arguments.lm_eval_limit
            summary["lm_eval"] = run_lm_eval(program, summary, tasks, limit=limit, say=say)
    except ProblemError as error:
        # Not worth losing the rest for.
        failure = error
    finally:
        save(run, found)
        say.end()
    if failure is None or not arguments.json:
        show(run, found, sides, file, as_json=arguments.json)
    if failure is not None:
        raise failure
    return 0


def show(run: RunDirectory, found: Score, sides: list[Side], file: Path, *, as_json: bool) -> None:
    """Print a score, and where it is kept."""
    if as_json:
        print_json(found.summary)
        return
    print("\n".join(score_lines(found.summary)))
    print()
    print(f"Kept: {one_line(file)}")
    rows = score_file(run, [side.spec for side in sides]).with_suffix(".rows.jsonl")
    print(f"Rows: {one_line(rows)}")


def _wanted(arguments: argparse.Namespace, paths: Paths, run: RunDirectory) -> Wanted:
    prompts = None
    if arguments.prompts:
        prompts = [
            {"id": one.id, "category": one.category, "messages": list(one.opening)}
            for one in read_prompts(find_prompts(paths, run, arguments.prompts).path)
        ]
    given = len(prompts) if prompts is not None else Wanted.samples
    samples = given if arguments.samples is None else arguments.samples
    if arguments.judge and arguments.no_samples:
        what = "a judge compares sampled answers, and there are none"
        raise ProblemError(Problem(what, "--judge", "Leave --no-samples out."), exit_code=BAD_USAGE)
    return Wanted(
        data=str(Path(arguments.data).expanduser().absolute()) if arguments.data else "",
        rows=arguments.rows or 0,
        prompts=prompts,
        samples=0 if arguments.no_samples else samples,
        max_new_tokens=arguments.max_new_tokens,
        temperature=arguments.temperature,
        seed=arguments.seed,
        sft_data=str(Path(arguments.sft_data).expanduser().absolute())
        if arguments.sft_data
        else "",
        sft_rows=0 if arguments.no_sft else arguments.sft_rows,
    )


def _endpoint(arguments: argparse.Namespace) -> Endpoint | None:
    """The judge, once the person has allowed to send it the answers."""
    if not arguments.judge:
        return None
    if not arguments.judge_model:
        what = "a judge needs the name of its model"
        problem = Problem(what, "--judge-model", "Name it: --judge-model NAME.")
        raise ProblemError(problem, exit_code=BAD_USAGE)
    host = urlsplit(arguments.judge).hostname or arguments.judge
    if not arguments.send_answers:
        what = f"the prompts and both answers would be sent to {host}"
        problem = Problem(what, "--judge", "Allow it with --send-answers.")
        raise ProblemError(problem, exit_code=BAD_USAGE)
    key = ""
    if arguments.judge_key_env:
        key = os.environ.get(arguments.judge_key_env, "")
        if not key:
            what = f"the variable {arguments.judge_key_env} is not set"
            problem = Problem(what, "--judge-key-env", "Set it to the API key.")
            raise ProblemError(problem, exit_code=BAD_USAGE)
    pause = arguments.judge_pause
    endpoint = Endpoint(arguments.judge, arguments.judge_model, key, pause_seconds=pause)
    check_address(endpoint)
    return endpoint


class Progress:
    """Says on stderr what takes time: one line redrawn on a terminal, a new one elsewhere."""

    def __init__(self) -> None:
        self._redraw = redrawable() and sys.stderr.isatty()
        self._last = ""

    def __call__(self, text: str) -> None:
        """Say a sentence."""
        text = one_line(text)
        if self._redraw:
            print(f"{CLEAR_LINE}{cut(text, columns() - 2)}", end="", file=sys.stderr, flush=True)
        # Counts are news for a terminal only.
        elif (kind := text.rstrip("0123456789/ ")) != self._last:
            self._last = kind
            print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line clean."""
        if self._redraw:
            print(CLEAR_LINE, end="", file=sys.stderr, flush=True)
