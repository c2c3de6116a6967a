"""Score a run: two of its sides measured on held-out pairs, sampled answers and SFT rows.

The measuring is a process of its own, `python -m workbench.worker.score REQUEST`; here its rows
become a summary, which is kept in the run directory as `scores/<first>..<second>.json`:

- `version`, `time` (Unix seconds), `seconds`, `run`
- `sides`: the two specs; `labels`; `weights` and `reference` (`folder`, `sha256`: its first digits)
- `beta`, `ld_alpha`, `max_length`, `model`, `device`, `dtype`, `path` (how rows were scored),
  `versions`; `sampling`; `notes`
- `data`: `source`, `rows` (there are), `used`, `dropped` (longer than max_length), `files` (size
  and sha256), `fingerprint` (of the tokens that were scored)
- `equal`: not one log-probability of the two sides differs
- `rewards`: by side, against DPO's reference: `accuracy` and `margin` (estimates), `chosen`,
  `rejected`, `ties`, `histogram`, `slices`, `length` (see `length_view`), and `trl`, the numbers
  that TRL's own evaluation logs
- `between`: the same of the second side with the first one as the reference
- `worst`: the pairs whose margin fell most from the first to the second side
- `training`: what training measured at its end, and the largest difference; where comparable
- `answers`: by side, of the sampled answers, with the KL to the base; absent where none was drawn
- `sft`: perplexities, their ratio, the rows that became less likely; absent without SFT rows
- `judge`, `lm_eval`: where they were asked for

An estimate is `{value, low, high, n}` with a 95 % interval: bootstrap over rows, Wilson for shares
of slices and answers. Beside it, `.rows.jsonl` holds one line a pair (`kind: pair`), sampled prompt
(`answers`) and SFT row (`sft`); the pairs that got worse come first.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workbench.base.files import is_number, json_safe, make_private_dir, write_atomic
from workbench.base.problems import Problem, ProblemError
from workbench.base.tail import read_small
from workbench.base.text import clean
from workbench.judge.score_summary import (
    margin_of,
    rewards_of,
    summarise_answers,
    summarise_pairs,
    summarise_sft,
    worst_pairs,
)
from workbench.run.directory import RunDirectory
from workbench.run.record import read_record
from workbench.run.sides import Side
from workbench.run.worker_events import Event, last_words, read_events

WORKER = "workbench.worker.score"
VERSION = 1
PROBLEM_WORDS = ("what", "where", "next_step")
MOST_SUMMARY_BYTES = 16 * 1024 * 1024

Say = Callable[[str], None]
Begun = Callable[[Callable[[], None]], None]


@dataclass(frozen=True)
class Wanted:
    """What to measure.

    Attributes:
        data: A file of pairs instead of the run's held-out ones.
        rows: Pairs at most, the first ones; 0 for all.
        prompts: What to answer, `{id, category, messages}` each; None for the pairs' own prompts.
        samples: Prompts to answer at most; 0 draws no answers.
        max_new_tokens, temperature, seed: How answers are drawn. At temperature 1 they come from
            the model's own distribution, which the KL is about.
        sft_data: A file of SFT rows instead of the run's own.
        sft_rows: SFT rows at most; 0 for none.
    """

    data: str = ""
    rows: int = 0
    prompts: Sequence[Mapping[str, Any]] | None = None
    samples: int = 24
    max_new_tokens: int = 128
    temperature: float = 1.0
    seed: int = 42
    sft_data: str = ""
    sft_rows: int = 64


@dataclass
class Measured:
    """What the measuring process has said."""

    facts: dict[str, Any] = field(default_factory=dict)
    pairs: list[Event] = field(default_factory=list)
    answers: list[Event] = field(default_factory=list)
    sft: list[Event] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    path: str = ""


@dataclass(frozen=True)
class Score:
    """A summary, and the rows that it is made of (see the module's docstring)."""

    summary: dict[str, Any]
    rows: list[dict[str, Any]]


def score(
    run: RunDirectory,
    sides: Sequence[Side],
    wanted: Wanted,
    *,
    say: Say = lambda _: None,
    begun: Begun = lambda _: None,
) -> Score:
    """Measure two sides of a run; takes seconds to minutes, so call it from a thread.

    Nothing is kept; see `save`.

    Args:
        say: Called with a sentence about what takes time.
        begun: Called with a function that ends the measuring early, from whatever thread.

    Raises:
        ProblemError: There is nothing to measure, or the measuring failed.
    """
    if len(sides) != 2:
        what = f"a score is of two sides, not of {len(sides)}"
        raise ProblemError(Problem(what, "--sides", "Name two: base,tuned."), exit_code=2)
    began = time.monotonic()
    measured = Measured()
    with contextlib.closing(_events(run, sides, wanted, begun)) as events:
        for event in events:
            _take(measured, event, say)
    if not measured.pairs:
        hint = "Give pairs with --data FILE."
        raise ProblemError(Problem("no held-out pair was scored", run.id, hint))
    summary = summarise(run, sides, wanted, measured)
    summary["seconds"] = round(time.monotonic() - began, 1)
    return Score(summary, rows_of(measured, [side.spec for side in sides]))


def _take(measured: Measured, event: Event, say: Say) -> None:
    match event["event"]:
        case "progress":
            count = f" {event['done']}/{event['total']}" if event.get("total") else ""
            say(clean(str(event.get("message")), newlines=False) + clean(count))
        case "facts":
            measured.facts = event
        case "pair":
            measured.pairs.append(event)
        case "answer":
            measured.answers.append(event)
        case "sft":
            measured.sft.append(event)
        case "note":
            measured.path = str(event.get("path") or measured.path)
            if event.get("text"):
                measured.notes.append(clean(str(event["text"]), newlines=False))
        case "problem":
            words = {key: clean(str(event.get(key) or "")) for key in PROBLEM_WORDS}
            raise ProblemError(Problem(words["what"], words["where"], words["next_step"]))


def summarise(
    run: RunDirectory, sides: Sequence[Side], wanted: Wanted, measured: Measured
) -> dict[str, Any]:
    """The summary of what was measured; see the module's docstring."""
    specs, facts = [side.spec for side in sides], measured.facts
    about = ("weights", "reference", "beta", "ld_alpha", "max_length", "model", "device", "dtype")
    sampling = ("max_new_tokens", "temperature", "seed")
    summary: dict[str, Any] = {
        "version": VERSION,
        "time": time.time(),
        "run": run.id,
        "sides": specs,
        "labels": {side.spec: side.label for side in sides},
        **{name: facts.get(name) for name in (*about, "versions", "data")},
        "path": measured.path,
        "notes": measured.notes,
        **summarise_pairs(measured.pairs, specs, facts),
    }
    if recorded := compare_with_training(run, sides, wanted, summary):
        summary["training"] = recorded
    if measured.answers:
        summary["answers"] = summarise_answers(measured.answers, specs)
        summary["sampling"] = {name: asdict(wanted)[name] for name in sampling}
    if measured.sft:
        summary["sft"] = summarise_sft(measured.sft, specs)
    return summary


def compare_with_training(
    run: RunDirectory, sides: Sequence[Side], wanted: Wanted, summary: Mapping[str, Any]
) -> dict[str, Any]:
    """What TRL measured of the final weights at the end of training, beside the same from here.

    Empty where the two are not of the same weights and pairs.
    """
    try:
        recorded = json.loads(read_small(run.scores))
    except (OSError, ValueError, RecursionError):
        return {}
    own = [one for one in sides if one.run == run.id and one.stage == "dpo" and not one.step]
    if not own or wanted.data or not isinstance(recorded, dict) or recorded.get("stage") != "dpo":
        return {}
    if recorded.get("pairs") != summary["rewards"][own[0].spec]["accuracy"]["n"]:
        return {}
    here = summary["rewards"][own[0].spec]["trl"]
    there = {name: recorded[name] for name in here if is_number(recorded.get(name))}
    differences = {name: abs(here[name] - value) for name, value in there.items()}
    return {"side": own[0].spec, "recorded": there, "differences": differences} if there else {}


def rows_of(measured: Measured, sides: Sequence[str]) -> list[dict[str, Any]]:
    """The lines of `.rows.jsonl`: pairs, those that got worse first, then answers and SFT rows."""
    beta = measured.facts["beta"]
    place = {pair["row"]: pair for pair in measured.pairs}
    rows: list[dict[str, Any]] = []
    for worst in worst_pairs(measured.pairs, sides, beta):
        pair = place[worst["row"]]
        kept = {name: pair[name] for name in ("row", "prompt", "slices", "tokens", "logps")}
        rewards = {side: rewards_of(pair, side, "reference", beta) for side in sides}
        margins = {side: margin_of(pair, side, "reference", beta) for side in sides}
        change = {"margin_change": worst["change"]}
        rows.append({"kind": "pair", **kept, "rewards": rewards, "margins": margins, **change})
    return (
        rows
        + answer_rows(measured.answers)
        + [
            {"kind": "sft", **{name: row[name] for name in ("row", "prompt", "tokens", "logps")}}
            for row in measured.sft
        ]
    )


def answer_rows(answers: Sequence[Event]) -> list[dict[str, Any]]:
    """One row a sampled prompt, with every side's answer and what is measured of it."""
    rows: dict[int, dict[str, Any]] = {}
    for one in answers:
        about = {name: one[name] for name in ("number", "prompt_id", "category", "prompt")}
        row = rows.setdefault(one["number"], {"kind": "answers", **about, "answers": {}})
        row["answers"][one["side"]] = {
            **{name: one[name] for name in ("text", "tokens", "finish")},
            "kl": sum(one["log_ratios"]) / max(1, len(one["log_ratios"])),
        }
    return list(rows.values())


def save(run: RunDirectory, found: Score) -> Path:
    """Keep a score in the run directory and return the summary's file.

    Raises:
        OSError: It cannot be written.
    """
    make_private_dir(run.scores_folder)
    file = score_file(run, found.summary["sides"])
    lines = [json.dumps(json_safe(row), ensure_ascii=False) + "\n" for row in found.rows]
    write_atomic(file.with_suffix(".rows.jsonl"), "".join(lines))
    write_atomic(file, json.dumps(json_safe(found.summary), indent=1) + "\n")
    return file


def score_file(run: RunDirectory, sides: Sequence[str]) -> Path:
    """Where the summary of two sides is kept."""
    names = [spec.replace(":", "-").replace("@", "-") for spec in sides]
    return run.scores_folder / f"{'..'.join(names)}.json"


def load_scores(run: RunDirectory) -> list[dict[str, Any]]:
    """Every summary kept in the run, oldest first; files that are none are left out."""
    found = []
    with contextlib.suppress(OSError):
        for file in run.scores_folder.glob("*.json"):
            with contextlib.suppress(OSError, ValueError, RecursionError):
                summary = json.loads(read_small(file, MOST_SUMMARY_BYTES))
                if isinstance(summary, dict) and isinstance(summary.get("rewards"), dict):
                    found.append(summary)
    return sorted(found, key=lambda one: one["time"] if is_number(one.get("time")) else 0.0)


def _events(
    run: RunDirectory, sides: Sequence[Side], wanted: Wanted, begun: Begun
) -> Generator[Event, None, None]:
    """The process's events one by one; closing the iterator ends the process."""
    request = {
        "run": str(run.path),
        "sides": [{"spec": one.spec, "folder": str(one.folder or "")} for one in sides],
        **asdict(wanted),
    }
    with tempfile.TemporaryDirectory(prefix="dpo-workbench-") as name:
        file, log = Path(name) / "request.json", Path(name) / "stderr.log"
        file.write_text(json.dumps(json_safe(request)), encoding="utf-8")
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", WORKER, str(file)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                # A Ctrl-C is for the front end, which ends the process itself.
                start_new_session=True,
            )
        begun(process.terminate)
        ended = False
        with contextlib.closing(read_events(process)) as lines:
            for event in lines:
                ended = ended or event["event"] in ("end", "problem")
                yield event
        if not ended:
            yield {"event": "problem", **_obituary(read_record(run).id, process, log)}


def _obituary(run: str, process: subprocess.Popen[bytes], log: Path) -> dict[str, str]:
    if process.returncode == -9:
        cause = "it was killed (signal 9), often because memory ran out"
    else:
        cause = last_words(log) or f"exit code {process.returncode}"
    hint = (
        "Try fewer rows (--rows 16) or --no-samples; `dpo-workbench doctor` looks at the machine."
    )
    return {"what": f"the score has failed: {cause}", "where": run, "next_step": hint}
