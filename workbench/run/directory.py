"""The run directory: one launch on disk. It is the truth, every front end is a viewer of it."""

from __future__ import annotations

import json
import secrets
import socket
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from workbench.base.files import json_safe, make_private_dir, write_atomic
from workbench.base.paths import Paths, safe_name
from workbench.base.problems import Problem, ProblemError
from workbench.base.tail import read_small
from workbench.recipe.launch_files import ZERO_FILE, keep_launch_files
from workbench.recipe.launching import launch_wish
from workbench.recipe.recipe import Recipe, resolve
from workbench.run.checkpoints import MANIFEST, STATE, checkpoint_folders, verify
from workbench.run.space import check_space

RESERVE_BYTES = 64 * 1024
BASE_REFERENCE = "base"
"""As a run's start_reference: DPO's reference is the base model without any adapter."""
START_SUFFIXES = (".json", ".safetensors", ".jinja", ".model", ".txt")
"""Files of an adapter and its tokenizer."""


class RunDirectory:
    """Names of the files of one run; see `workbench/README.md` for what each holds."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunDirectory) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"RunDirectory({str(self.path)!r})"

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def record(self) -> Path:
        return self.path / "run.json"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def machine(self) -> Path:
        """What the run took of the machine, a line every some seconds."""
        return self.path / "machine.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "train.log"

    @property
    def generate_log(self) -> Path:
        return self.path / "generate.log"

    @property
    def samples(self) -> Path:
        return self.path / "samples.jsonl"

    @property
    def notes(self) -> Path:
        """Tags and a note of the person's, see `workbench.run.notes`."""
        return self.path / "notes.json"

    @property
    def comparisons(self) -> Path:
        return self.path / "comparisons.jsonl"

    @property
    def votes(self) -> Path:
        return self.path / "votes.jsonl"

    @property
    def sittings(self) -> Path:
        """Plans of blind votes, one file each."""
        return self.path / "sittings"

    @property
    def scores(self) -> Path:
        return self.path / "scores.json"

    @property
    def scores_folder(self) -> Path:
        """What `score` found, a file for each pair of sides."""
        return self.path / "scores"

    @property
    def stacks(self) -> Path:
        return self.path / "stacks.log"

    @property
    def batch_script(self) -> Path:
        """The script of a run that is a job of Slurm's; no other run has one."""
        return self.path / "run.sbatch"

    @property
    def slurm(self) -> Path:
        """What Slurm last said of the job, see `workbench.run.slurm.status`."""
        return self.path / "slurm.json"

    @property
    def slurm_log(self) -> Path:
        """What the job printed before the training, and what Slurm had to say."""
        return self.path / "slurm.log"

    @property
    def slurm_stop(self) -> Path:
        """Is there once a person has stopped the job: it does not go on after a requeue."""
        return self.path / ".slurm-stop"

    @property
    def lock(self) -> Path:
        """Held by the worker while it lives."""
        return self.path / "run.lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the launcher and then by the supervisor, until the end record is written."""
        return self.path / "supervisor.lock"

    @property
    def reserve(self) -> Path:
        """A few blocks of the disk that the end record may have when it is full."""
        return self.path / ".reserve"

    @property
    def start(self) -> Path:
        """The adapter of another run that this one began with, and its reference within."""
        return self.path / "start"

    def config(self, stage: str) -> Path:
        """The stage's resolved TRL config."""
        return self.path / f"{stage}.yaml"

    def output(self, stage: str) -> Path:
        """TRL's output_dir of the stage: checkpoints, and the final adapter at its top."""
        return self.path / stage

    def adapter(self, stage: str) -> Path | None:
        """The stage's final adapter, once it is saved."""
        folder = self.output(stage)
        return folder if (folder / "adapter_config.json").is_file() else None

    def checkpoints(self, stage: str) -> list[Path]:
        """Complete checkpoints, oldest first; half-written ones are left out.

        Files are looked at by their sizes only; `checkpoints.choose` reads them.
        """
        folders = checkpoint_folders(self.output(stage))
        return [folder for folder in folders if not verify(folder, root=self.path)]


@dataclass(frozen=True)
class Origin:
    """Weights of a run that another run begins with.

    Attributes:
        run, stage: Id of the run, and the stage that has trained them.
        step: Of the checkpoint; 0 for the stage's final adapter.
        folder: The adapter.
        reference: DPO's reference: `BASE_REFERENCE`, the folder of an adapter, or empty where
            the weights themselves are it.
    """

    run: str
    stage: str
    step: int
    folder: Path
    reference: str = ""


def create_run(
    paths: Paths,
    recipe: Recipe,
    *,
    name: str = "",
    origin: Origin | None = None,
) -> RunDirectory:
    """Make the directory of a new run, with everything that its worker needs to know.

    The weights of its origin are copied, so that the parent may be deleted meanwhile.

    Args:
        name: A name for people; the recipe's file name when empty.
        origin: Weights of another run that the first stage trains further.

    Raises:
        ProblemError: The directory cannot be written, or the disk has no room for the run.
    """
    check_space(recipe, paths)
    name = name or (
        recipe.path.parent.name if recipe.path.name == "recipe.yaml" else recipe.path.stem
    )
    try:
        run = new_directory(paths, name)
        write_atomic(run.recipe, recipe.text)
        wish = launch_wish(recipe)
        zero = wish.options.get(ZERO_FILE)
        keep_launch_files(wish.accelerate_config, zero, recipe.path.parent, run.path)
        write_atomic(run.reserve, secrets.token_bytes(RESERVE_BYTES))
        for stage in recipe.stages:
            config = resolve(recipe, stage, output_dir=run.output(stage), models=paths.models)
            head = f"# trl {stage} --config {run.config(stage).name}\n"
            body = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)
            write_atomic(run.config(stage), head + body)
        lineage = _copy_origin(run, origin) if origin else {}
        _write_first_record(run, recipe, paths, name, lineage)
    except OSError as error:
        what = f"cannot make a run directory: {error.strerror or error}"
        hint = "Free disk space or set DPO_WORKBENCH_HOME to a folder that you may write."
        raise ProblemError(Problem(what, str(paths.runs), hint)) from error
    return run


def new_directory(paths: Paths, name: str) -> RunDirectory:
    """An empty run directory; it is no run before its run.json is there."""
    make_private_dir(paths.runs)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    run = RunDirectory(paths.runs / f"{stamp}-{safe_name(name)[:40]}-{secrets.token_hex(2)}")
    run.path.mkdir(mode=0o700)
    return run


def _copy_origin(run: RunDirectory, origin: Origin) -> dict[str, object]:
    """Copy the weights that a run begins with; returns the record's fields about them."""
    _copy_adapter(origin.folder, run.start)
    reference = origin.reference
    if reference not in ("", BASE_REFERENCE):
        _copy_adapter(Path(reference), run.start / "reference")
        reference = str(run.start / "reference")
    return {
        "parent": origin.run,
        "parent_stage": origin.stage,
        "parent_step": origin.step,
        "start_adapter": str(run.start),
        "start_reference": reference,
    }


def _copy_adapter(source: Path, target: Path) -> None:
    """An adapter and its tokenizer, without what belongs to the training of it."""
    target.mkdir(mode=0o700)
    for file in source.iterdir():
        if file.is_file() and file.name not in (STATE, MANIFEST) and file.suffix in START_SUFFIXES:
            write_atomic(target / file.name, file.read_bytes())


def _write_first_record(
    run: RunDirectory,
    recipe: Recipe,
    paths: Paths,
    name: str,
    lineage: Mapping[str, object],
) -> None:
    config = yaml.safe_load(run.config(recipe.stages[0]).read_text(encoding="utf-8"))
    record = {
        "version": 1,
        "id": run.id,
        "name": safe_name(name),
        "title": recipe.title,
        "recipe_path": str(recipe.path),
        "state": "queued",
        "stages": list(recipe.stages),
        "stage": recipe.stages[0],
        "model_source": recipe.model,
        "model_path": config["model_name_or_path"],
        "models_folder": str(paths.models),
        **lineage,
        "host": socket.gethostname(),
        "created": time.time(),
    }
    write_atomic(run.record, json.dumps(json_safe(record), indent=1))


def list_runs(paths: Paths) -> list[RunDirectory]:
    """All run directories, newest first; also those that cannot be looked into.

    Raises:
        ProblemError: The folder of the runs cannot be read.
    """
    try:
        children = list(paths.runs.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        what = f"the folder of the runs cannot be read: {error.strerror}"
        hint = "Check its permissions, or set DPO_WORKBENCH_HOME to a folder of your own."
        raise ProblemError(Problem(what, str(paths.runs), hint)) from error
    folders = (child for child in children if _is_run(child))
    return [RunDirectory(folder) for folder in sorted(folders, key=_age, reverse=True)]


def _is_run(folder: Path) -> bool:
    try:
        return stat.S_ISREG((folder / "run.json").stat().st_mode)
    except PermissionError:
        return True  # closed to us, but there: better shown than left out
    except OSError:
        return False


def _age(folder: Path) -> tuple[str, float]:
    # The id begins with the UTC second; the birth of recipe.yaml orders runs of one second.
    try:
        return folder.name[:15], (folder / "recipe.yaml").stat().st_mtime
    except OSError:
        return folder.name[:15], 0.0


def find_run(paths: Paths, key: str) -> RunDirectory:
    """A run by id, unique prefix of one, name (the newest of that name), or `last`.

    Raises:
        ProblemError: There is no such run, or a prefix fits several (exit code 2).
    """
    runs = list_runs(paths)
    if not runs:
        hint = "Start one: dpo-workbench run RECIPE."
        raise ProblemError(Problem("there are no runs yet", key, hint), exit_code=2)
    if key == "last":
        return runs[0]
    exact = [run for run in runs if run.id == key or _name(run) == key]
    if exact:
        return exact[0]
    matching = [run for run in runs if key and run.id.startswith(key)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        some = ", ".join(run.id for run in matching[:3])
        hint = "Give more characters."
        raise ProblemError(Problem(f"several runs begin so: {some}", key, hint), exit_code=2)
    hint = "List them: dpo-workbench runs."
    raise ProblemError(Problem("there is no such run", key, hint), exit_code=2)


def _name(run: RunDirectory) -> str:
    try:
        return str(json.loads(read_small(run.record)).get("name", ""))
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""
