"""Rows that TRL cannot read as they stand, written into the run directory in TRL's columns.

The stage's config then names the written file, so that `trl dpo --config RUN/dpo.yaml` trains on
the very rows; a resumed run finds them again, whatever has become of the originals.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from workbench.base.files import write_atomic
from workbench.base.problems import Problem, ProblemError
from workbench.data.formats.mapping import map_row
from workbench.data.formats.model import Recognised, UnusableRowError, Wish
from workbench.data.formats.recognise import recognise
from workbench.data.readers.row import BrokenRow, SourceRow
from workbench.data.readers.source import is_saved_folder, open_source
from workbench.data.sources import split_files

SAMPLE_ROWS = 50
DATA_FOLDER = "data"
LEAVE_ALONE = "trl"
SPLITS = ("train", "test")

Say = Callable[[str], object]


@dataclass
class Mapped:
    """What became of one source's rows.

    Attributes:
        source: Its files, or its name on the hub.
        shape: As in a recipe's `data_format`.
        rows, pairs: Rows read, and pairs (or examples) written.
        unusable: Rows that nothing could be made of, with the reasons of the first ones.
    """

    source: str
    shape: str
    columns: dict[str, str]
    rows: int = 0
    pairs: int = 0
    unusable: int = 0
    reasons: list[str] = field(default_factory=list)


def map_stage(config: Path, stage: str, wish: Wish, say: Say = lambda _: None) -> list[Mapped]:
    """Write what has to be mapped beside a stage's config, and name it there.

    Args:
        config: The stage's flat YAML; it is written anew where anything was mapped.
        say: Takes a sentence about what takes time.

    Raises:
        ProblemError: The data cannot be read, or the stage cannot train on rows of their shape.
    """
    if wish.data_format == LEAVE_ALONE:
        return []
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    folder = config.parent / DATA_FOLDER
    task = Task(stage, wish, folder, say)
    entries = settings.get("datasets")
    if isinstance(entries, list) and entries:
        changed = [task.part(number, entry) for number, entry in enumerate(entries, 1)]
        settings["datasets"] = changed
    elif settings.get("dataset_name"):
        settings.update(task.splits(settings))
    if task.done:
        text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=100)
        write_atomic(config, text)
    return task.done


class Task:
    """The sources of one stage, mapped one after another.

    Attributes:
        done: What was mapped.
    """

    def __init__(self, stage: str, wish: Wish, folder: Path, say: Say) -> None:
        self.stage, self.wish, self.folder, self.say = stage, wish, folder, say
        self.done: list[Mapped] = []

    def part(self, number: int, entry: Any) -> Any:
        """An entry of a mixture: as it was, or naming the mapped rows."""
        if not isinstance(entry, Mapping):
            return entry
        files = local_files(entry)
        if files is None:
            return entry
        target = self.folder / f"{self.stage}-{number}.jsonl"
        if not self.map_files(files, target):
            return entry
        kept = {name: value for name, value in entry.items() if name == "fraction"}
        return {"path": "json", "data_files": str(target), **kept}

    def splits(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What `dataset_name` becomes: nothing new, or a folder with the mapped splits."""
        place = Path(str(settings["dataset_name"]))
        if not place.is_absolute():
            return {}
        names = [str(settings.get(f"dataset_{split}_split") or split) for split in SPLITS]
        found = {name: _split_of(place, name) for name in names}
        target = self.folder / self.stage
        train = names[0]
        if not found[train] or not self.map_files(found[train], target / f"{train}.jsonl"):
            return {}
        for name in names[1:]:
            if found[name]:
                self.map_files(found[name], target / f"{name}.jsonl", force=True)
        return {"dataset_name": str(target)}

    def map_files(self, files: Sequence[Path], target: Path, *, force: bool = False) -> bool:
        """Whether the rows of some files had to be mapped, and now stand in another.

        Raises:
            ProblemError: They cannot be read, or the stage cannot train on rows of their shape.
        """
        sources = [open_source(file) for file in files]
        try:
            shapes = [self._shape(source) for source in sources]
            pairs = zip(sources, shapes, strict=True)
            if not force and all(source.as_is and shape.as_is for source, shape in pairs):
                return False
            names = ", ".join(str(file) for file in files)
            self.say(f"{self.stage}: mapping {shapes[0].title} to TRL's columns")
            mapped = Mapped(names, shapes[0].shape, dict(shapes[0].columns))
            rows = (
                one
                for source, shape in zip(sources, shapes, strict=True)
                for one in self._rows(source, shape, mapped)
            )
            write_rows(target, rows)
            self.done.append(mapped)
            if not mapped.pairs:
                reason = f" ({mapped.reasons[0]})" if mapped.reasons else ""
                what = f"no row of {names} can be trained on{reason}"
                raise ProblemError(Problem(what, "datasets", f"`dpo-workbench data {files[0]}`."))
        finally:
            for source in sources:
                source.close()
        return True

    def _shape(self, source: Any) -> Recognised:
        rows = (row.values for row in source.rows() if isinstance(row, SourceRow))
        first = list(islice(rows, SAMPLE_ROWS))
        if not first:
            raise ProblemError(Problem("the file has no rows", str(source.path), "Name another."))
        found = recognise(first, self.wish)
        if found.stage != self.stage:
            lacking = found.missing or f"it is made for {found.stage}, not for {self.stage}"
            what = f"{source.path.name} holds {found.title}: {lacking}"
            hint = found.next_step or f"Look at it: `dpo-workbench data {source.path}`."
            raise ProblemError(Problem(what, "datasets", hint))
        return found

    def _rows(self, source: Any, shape: Recognised, mapped: Mapped) -> Iterator[dict[str, Any]]:
        for row in source.rows():
            if isinstance(row, BrokenRow):
                hint = f"Mend it, or `dpo-workbench data {source.path} --fix OUT.jsonl`."
                raise ProblemError(Problem(row.what, f"{source.path}:{row.line}", hint))
            mapped.rows += 1
            try:
                found = map_row(shape, row.values, self.wish)
            except UnusableRowError as error:
                mapped.unusable += 1
                if len(mapped.reasons) < 3:
                    mapped.reasons.append(f"row {row.number}: {error}")
                continue
            mapped.pairs += len(found)
            yield from found


def local_files(entry: Mapping[str, Any]) -> list[Path] | None:
    """The files of a mixture's entry; None for what is no local file, or a part of a split."""
    split = str(entry.get("split") or "train")
    files = entry.get("data_files")
    if files is None:
        path = Path(str(entry.get("path") or ""))
        if not path.is_absolute() or not path.exists() or split not in SPLITS:
            return None
        return _split_of(path, split) or None
    if isinstance(files, Mapping):
        files = files.get(split)
    names = [Path(str(name)) for name in (files if isinstance(files, list) else [files])]
    plain = split == "train" and all(name.is_absolute() and name.is_file() for name in names)
    return names if plain else None


def _split_of(place: Path, split: str) -> list[Path]:
    if place.is_file():
        return [place] if split == "train" else []
    if is_saved_folder(place):
        return [place]
    return split_files(place, re.split(r"\[", split)[0]) if place.is_dir() else []


def write_rows(target: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSON lines, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    half = target.with_name(target.name + ".part")
    try:
        with half.open("w", encoding="utf-8", errors="surrogatepass") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        half.replace(target)
    except BaseException:
        half.unlink(missing_ok=True)
        raise


def records(done: Iterable[Mapped]) -> list[dict[str, Any]]:
    """What was mapped, for environment.json."""
    return [asdict(one) for one in done]


def sentences(stage: str, done: Iterable[Mapped]) -> Iterator[str]:
    """What was mapped, for people."""
    for one in done:
        lost = f"; {one.unusable} rows left out ({one.reasons[0]})" if one.unusable else ""
        yield f"{stage}: {one.rows} rows of {one.shape} gave {one.pairs} for TRL{lost}."
