"""`compare`: what two or three sides answer to the same prompts, side by side."""

from __future__ import annotations

import argparse
import queue
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.cli.compare_text import as_json, print_comparison, weights_lines
from workbench.cli.execute import BAD_USAGE
from workbench.cli.output import one_line, print_json
from workbench.judge.answers import SIDES, AnswerProcess, Sampling
from workbench.judge.comparisons import Asked, save_comparison
from workbench.judge.prompts import Prompt, find_prompts, read_prompts
from workbench.recipe.recipe import load_recipe
from workbench.run.directory import RunDirectory, find_run
from workbench.run.sides import parse_sides
from workbench.run.trust import refuse_imported
from workbench.run.worker_events import Event

Say = Callable[[str], None]
Comparison = dict[str, Any]


@dataclass(frozen=True)
class How:
    """How prompts are answered.

    Attributes:
        answers: How many answers of each side; number k has seed + k.
        analyse: Whether the log-ratio of each token is asked for.
    """

    sampling: Sampling
    sides: tuple[str, ...] = SIDES
    answers: int = 1
    analyse: bool = True


def compare(arguments: argparse.Namespace, paths: Paths) -> int:
    """Answer each prompt with all sides, print and keep the answers."""
    run = find_run(paths, arguments.run)
    refuse_imported(run)
    how = _how(arguments, paths, run)
    shown: list[Comparison] = []
    for comparison in _comparisons(arguments, paths, run, how):
        shown.append(comparison)
        if not arguments.json:
            print_comparison(comparison, shade=arguments.shade)
    if arguments.json:
        found = [as_json(comparison, pieces=arguments.shade) for comparison in shown]
        value = {"run": run.id, "sampling": asdict(how.sampling), "sides": list(how.sides)}
        print_json({**value, "comparisons": found})
    return 0


def _how(arguments: argparse.Namespace, paths: Paths, run: RunDirectory) -> How:
    sampling = Sampling(
        max_new_tokens=arguments.max_new_tokens,
        temperature=arguments.temperature,
        top_p=arguments.top_p,
        top_k=arguments.top_k,
        repetition_penalty=arguments.repetition_penalty,
        seed=arguments.seed,
    )
    if arguments.answers > 1 and sampling.temperature == 0:
        what = "several greedy answers would all be the same"
        problem = Problem(what, "--answers", "Add --temperature 0.8, or ask for one.")
        raise ProblemError(problem, exit_code=BAD_USAGE)
    if not arguments.sides:
        return How(sampling, answers=arguments.answers)
    sides = parse_sides(paths, run, arguments.sides.split(","))
    return How(sampling, tuple(side.spec for side in sides), arguments.answers)


def _comparisons(
    arguments: argparse.Namespace, paths: Paths, run: RunDirectory, how: How
) -> Iterator[Comparison]:
    if arguments.prompts_file:
        from workbench.cli.compare_batch import answer_set

        chosen = find_prompts(paths, run, arguments.prompts_file)
        try:
            prompts = read_prompts(chosen.path)
        except ProblemError as error:
            raise ProblemError(*error.problems, exit_code=BAD_USAGE) from error
        prompts = [_told(prompt, arguments.system) for prompt in prompts]
        how = How(how.sampling, how.sides, how.answers, analyse=arguments.shade)
        return answer_set(run, chosen.name, prompts, how, again=arguments.again, say=_say)
    texts, where = list(arguments.prompts or ()), "--prompt"
    if not texts:
        texts, where = list(load_recipe(run.recipe).probe_prompts), "probe_prompts"
    asked = [text for text in texts if text.strip()]
    if not asked:
        problem = Problem("there is no prompt to answer", where, 'Give one: --prompt "Hello!"')
        raise ProblemError(problem, exit_code=BAD_USAGE)
    questions = [_told(_typed(text), arguments.system) for text in asked]
    return answer_each(run, questions, how, say=_say)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _typed(text: str) -> Prompt:
    return Prompt("", "", ({"role": "user", "content": text},))


def _told(prompt: Prompt, system: str) -> Prompt:
    """The prompt with a system message, unless it has one of its own."""
    if not system or prompt.messages[0]["role"] == "system":
        return prompt
    messages = ({"role": "system", "content": system}, *prompt.messages)
    return Prompt(prompt.id, prompt.category, messages)


def ask(
    run: RunDirectory,
    prompts: Sequence[str],
    sampling: Sampling,
    *,
    say: Say,
) -> Iterator[Comparison]:
    """Answer prompts with base and tuned, see `answer_each`."""
    return answer_each(run, [_typed(prompt) for prompt in prompts], How(sampling), say=say)


def answer_each(
    run: RunDirectory, prompts: Sequence[Prompt], how: How, *, say: Say
) -> Iterator[Comparison]:
    """Answer prompts one after the other; each is kept in comparisons.jsonl as it is yielded.

    Args:
        say: gets one line for each thing that takes a while, and what is known of the weights.

    Yields:
        `{"prompt", "index", "count", "answers": {side: its answer event and analysis}, "sides"}`.

    Raises:
        ProblemError: The models cannot be loaded, or an answer failed.
    """
    events: queue.Queue[Event] = queue.Queue()
    models = AnswerProcess(run, events.put)
    told = False
    try:
        for prompt in prompts:
            messages = prompt.opening
            request = models.generate(messages, how.sampling, how.sides, answers=how.answers)
            found, weights = _collect(events, request, run, say)
            if weights and not told:
                told = True
                for line in weights_lines(weights, how.sides):
                    say(line)
            for index in sorted(found):
                answers = {side: found[index][side] for side in how.sides if side in found[index]}
                asked = Asked(messages, how.sampling, index=index, weights=weights)
                save_comparison(run, asked, answers)
                yield {
                    "prompt": prompt.text, "index": index, "count": how.answers,
                    "sides": weights.get("sides") or {}, "answers": answers,
                }  # fmt: skip
    finally:
        models.close()


def _collect(
    events: queue.Queue[Event], request: int, run: RunDirectory, say: Say
) -> tuple[dict[int, dict[str, Event]], Mapping[str, Any]]:
    """The answers by index and side, and the event that tells of the weights."""
    found: dict[int, dict[str, Event]] = {}
    weights: Mapping[str, Any] = {}
    while True:
        event = events.get()
        match event["event"]:
            case "loading":
                say(one_line(event.get("message", "Loading the models.")))
            case "error":
                raise failed(event, run)
            case "weights" if event.get("id") == request:
                weights = event
            case "answer" | "analysis" if event.get("id") == request:
                sides = found.setdefault(event.get("index") or 0, {})
                sides.setdefault(str(event["side"]), {}).update(facts_of(event))
            case "done" if event.get("id") == request:
                return found, weights


def failed(event: Event, run: RunDirectory) -> ProblemError:
    """What an error event says."""
    what, step = str(event.get("what", "")), str(event.get("next_step") or "")
    return ProblemError(Problem(what, run.id, step))


def facts_of(event: Event) -> Event:
    """What an event says of the answer itself."""
    unwanted = ("event", "id", "side", "index", "prompt")
    return {key: value for key, value in event.items() if key not in unwanted}
