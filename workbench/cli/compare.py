"""`compare`: answers of the base model and of the tuned one, side by side."""

from __future__ import annotations

import argparse
import queue
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.cli.execute import BAD_USAGE
from workbench.cli.output import columns, one_line, print_json, size
from workbench.cli.panes import side_by_side
from workbench.judge.answers import AnswerProcess, Event, Sampling
from workbench.judge.comparisons import Asked, save_comparison
from workbench.recipe.recipe import load_recipe
from workbench.run.directory import RunDirectory, find_run

PROMPTS_LIMIT_BYTES = 1_000_000
SIDES = ("base", "tuned")


def compare(arguments: argparse.Namespace, paths: Paths) -> int:
    """Answer each prompt with both models, print and keep the answers."""
    run = find_run(paths, arguments.run)
    prompts = _prompts(arguments, run)
    sampling = Sampling(
        max_new_tokens=arguments.max_new_tokens,
        temperature=arguments.temperature,
        seed=arguments.seed,
    )
    shown = []
    for comparison in ask(run, prompts, sampling, say=_say):
        shown.append(comparison)
        if not arguments.json:
            print_comparison(comparison)
    if arguments.json:
        print_json({"run": run.id, "sampling": asdict(sampling), "comparisons": shown})
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _prompts(arguments: argparse.Namespace, run: RunDirectory) -> list[str]:
    """Prompts as asked for on the command line, else those that the run's recipe names."""
    if arguments.prompts:
        prompts, where = list(arguments.prompts), "--prompt"
    elif arguments.prompts_file:
        prompts, where = _read_prompts(Path(arguments.prompts_file)), arguments.prompts_file
    else:
        prompts, where = list(load_recipe(run.recipe).probe_prompts), "probe_prompts"
    asked = [prompt for prompt in prompts if prompt.strip()]
    if not asked:
        problem = Problem("there is no prompt to answer", where, 'Give one: --prompt "Hello!"')
        raise ProblemError(problem, exit_code=BAD_USAGE)
    return asked


def _read_prompts(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            content = file.read(PROMPTS_LIMIT_BYTES + 1)
        if len(content) <= PROMPTS_LIMIT_BYTES:
            return content.decode("utf-8-sig").splitlines()
        what = f"is larger than {size(PROMPTS_LIMIT_BYTES)}"
        problem = Problem(what, str(path), "Write one prompt a line, in UTF-8.")
    except OSError as error:
        problem = Problem(f"cannot be read: {error.strerror}", str(path), "Check the path.")
    except UnicodeDecodeError:
        problem = Problem("is no UTF-8 text", str(path), "Write one prompt a line, in UTF-8.")
    raise ProblemError(problem, exit_code=BAD_USAGE)


def ask(
    run: RunDirectory,
    prompts: Sequence[str],
    sampling: Sampling,
    *,
    say: Callable[[str], None],
) -> Iterator[dict[str, Any]]:
    """Answer prompts one after the other; each is kept in comparisons.jsonl as it is yielded.

    Args:
        say: gets one line for each thing that takes a while.

    Yields:
        `{"prompt", "answers": {side: its answer event}}`.

    Raises:
        ProblemError: The models cannot be loaded, or an answer failed.
    """
    events: queue.Queue[Event] = queue.Queue()
    models = AnswerProcess(run, events.put)
    try:
        for prompt in prompts:
            messages = [{"role": "user", "content": prompt}]
            request = models.generate(messages, sampling, SIDES)
            answers = _collect(events, request, run, say)
            save_comparison(run, Asked(messages, sampling), answers)
            yield {"prompt": prompt, "answers": answers}
    finally:
        models.close()


def _collect(
    events: queue.Queue[Event], request: int, run: RunDirectory, say: Callable[[str], None]
) -> dict[str, Event]:
    answers: dict[str, Event] = {}
    while True:
        event = events.get()
        match event["event"]:
            case "loading":
                say(one_line(event.get("message", "Loading the models.")))
            case "error":
                what, step = str(event.get("what", "")), str(event.get("next_step") or "")
                raise ProblemError(Problem(what, run.id, step))
            case "answer" if event.get("id") == request:
                answers[str(event["side"])] = _answer(event)
            case "done" if event.get("id") == request:
                return {side: answers[side] for side in SIDES if side in answers}


def _answer(event: Event) -> Event:
    return {key: value for key, value in event.items() if key not in ("event", "id", "side")}


def print_comparison(comparison: dict[str, Any]) -> None:
    """Print one prompt and its answers, a title over each with its length and time."""
    print(f"> {one_line(comparison['prompt'])}")
    panes = [
        (_title(side, answer), str(answer.get("text", "")))
        for side, answer in comparison["answers"].items()
    ]
    print("\n".join(side_by_side(panes, columns())))
    print(flush=True)


def _title(side: str, answer: dict[str, Any]) -> str:
    parts = [f"{answer['tokens']} tokens" if answer.get("tokens") is not None else ""]
    if answer.get("seconds") is not None:
        parts.append(f"{answer['seconds']:.1f} s")
    if answer.get("finish") == "length":
        parts.append("cut")
    return f"{one_line(side)} ({', '.join(part for part in parts if part)})"
