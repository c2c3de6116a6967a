"""Look at preference data: the client of `python -m workbench.worker.data_process JOB`.

One process reads, recognises, maps and checks the rows of a few files, and counts their tokens as
the trainer does. The libraries are loaded when tokens are first asked for.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from workbench.base.files import json_safe
from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.data.formats.model import Wish
from workbench.recipe.check_data import DataPart, data_parts
from workbench.recipe.recipe import Recipe, resolve
from workbench.run.json_process import JsonProcess
from workbench.run.worker_events import Event

JOB, LOG = "job.json", "data.log"


@dataclass(frozen=True)
class DataJob:
    """What is to be looked at.

    Attributes:
        stage: "dpo", "sft", or empty: whatever the data are fit for.
        files: Training rows; files or folders that `datasets` has saved.
        hub: Data sets that are no local files: `path`, and `name`, `split` where they are given.
            Of those only the first rows are read.
        mixture: Of each file the entry of `datasets` that it belongs to, and that one's fraction.
        test_files: Rows that are held out.
        wish: What is said of the shape.
        config: The stage's flat TRL config: tokenizer, max_length, batch; empty without a recipe.
        model_source: The base model as the recipe names it; empty without a recipe.
        trusted_model: The model whose own code may run.
        models: Folder of the converted models.
    """

    stage: str = ""
    files: tuple[Path, ...] = ()
    hub: tuple[Mapping[str, str], ...] = ()
    mixture: tuple[tuple[int, float | None], ...] = ()
    test_files: tuple[Path, ...] = ()
    wish: Wish = field(default_factory=Wish)
    config: Mapping[str, Any] = field(default_factory=dict)
    model_source: str = ""
    trusted_model: str = ""
    models: Path = Path()


def job_of_recipe(
    recipe: Recipe, stage: str, paths: Paths, *, files: Sequence[Path] = (), trusted: str = ""
) -> DataJob:
    """A recipe stage's data, or other files with the recipe's tokenizer and settings.

    Raises:
        ProblemError: The recipe names no data, or files that are not there.
    """
    config = resolve(recipe, stage, output_dir=paths.runs / "RUN" / stage, models=paths.models)
    common: dict[str, Any] = {
        "stage": stage,
        "wish": recipe.wish(stage),
        "config": config,
        "model_source": recipe.model,
        "trusted_model": trusted,
        "models": paths.models,
    }
    if files:
        return DataJob(files=tuple(files), **common)
    parts, test = data_parts(recipe, stage), data_parts(recipe, stage, "test")
    lacking = [part.name for part in parts if part.missing]
    if lacking or not parts:
        what = f"there is no file {lacking[0]}" if lacking else f"{stage} names no data"
        hint = f"Paths count from {recipe.path.parent}." if lacking else "Give it `datasets:`."
        raise ProblemError(Problem(what, recipe.path.name, hint))
    return DataJob(
        files=tuple(file for part in parts for file in part.files),
        mixture=tuple(_entry(recipe, stage, part) for part in parts for _ in part.files),
        hub=tuple({"path": part.name} for part in parts if not part.files),
        test_files=tuple(file for part in test for file in part.files),
        **common,
    )


def _entry(recipe: Recipe, stage: str, part: DataPart) -> tuple[int, float | None]:
    """Number and fraction of the mixture's entry that a part belongs to."""
    entries = recipe.get("datasets", stage)
    if len(part.keys) < 2 or not isinstance(entries, list):
        return 0, None
    index = int(part.keys[1])
    fraction = entries[index].get("fraction")
    return index, float(fraction) if isinstance(fraction, int | float) else None


class DataProcess(JsonProcess):
    """The process that looks at one job's data; may be used from any thread.

    Its events are in `worker/data_process.py`.

    Args:
        on_event: Called with each event, on the reader thread; see `JsonProcess`.
        command: What to start instead of the worker; the job's folder is added to it.
    """

    def __init__(
        self,
        job: DataJob,
        on_event: Callable[[Event], None],
        *,
        command: Sequence[str] | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="dpo-workbench-data-")
        folder = Path(self._folder.name)
        (folder / JOB).write_text(json.dumps(json_safe(_plain(job))), encoding="utf-8")
        if job.config:
            text = yaml.safe_dump(dict(job.config), sort_keys=False, allow_unicode=True)
            (folder / f"{job.stage}.yaml").write_text(text, encoding="utf-8")
        worker = command or [sys.executable, "-m", "workbench.worker.data_process"]
        super().__init__(
            [*worker, str(folder)],
            folder / LOG,
            on_event,
            name="process that looks at the data",
            after_death="Ask again; `dpo-workbench doctor` looks at this machine.",
        )

    def close(self, wait_seconds: float = 3.0) -> None:
        """End the process and delete what it has kept."""
        super().close(wait_seconds)
        self._folder.cleanup()

    def scan(self) -> int:
        """Read every row once: recognise, map, check."""
        return self.ask("scan", {})

    def rows(self, start: int, count: int, *, rule: str = "", search: str = "") -> int:
        """Some rows, cut short; those with a finding of a rule, or with a text in them."""
        return self.ask("rows", {"start": start, "count": count, "rule": rule, "search": search})

    def row(self, number: int) -> int:
        """One row whole, as it stands in the data and as the trainer gets it."""
        return self.ask("row", {"number": number})

    def tokens(self, most: int = 0) -> int:
        """Lengths and what `max_length` does, of all pairs or of a spread of `most` of them."""
        return self.ask("tokens", {"most": most})

    def xray(self, number: int, part: int = 0) -> int:
        """A pair's tokens as the trainer makes them."""
        return self.ask("xray", {"number": number, "part": part})

    def fix(
        self,
        out: Path,
        *,
        rules: Sequence[str] | None = None,
        mend: bool = True,
        force: bool = False,
    ) -> int:
        """Write a cleaned copy and a report beside it; the data themselves stay as they are.

        Args:
            rules: Whose rows are left out or mended; None for the usual ones, empty for none.
        """
        named = None if rules is None else list(rules)
        fields = {"out": str(out.absolute()), "rules": named, "mend": mend, "force": force}
        return self.ask("fix", fields)


def _plain(job: DataJob) -> dict[str, Any]:
    values = {name: value for name, value in vars(job).items() if name != "config"}
    return {
        **values,
        "wish": {**asdict(job.wish), "columns": dict(job.wish.columns)},
        "files": [str(file.absolute()) for file in job.files],
        "test_files": [str(file.absolute()) for file in job.test_files],
        "hub": [dict(one) for one in job.hub],
        "models": str(job.models),
    }
