"""What a look at data begins with: a recipe's files, or a file that somebody named."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from workbench.base.paths import Paths
from workbench.base.problems import Problem, ProblemError
from workbench.tui.looking import Subject


def of_recipe(path: Path, paths: Paths, stage: str = "") -> Subject:
    """The data of a recipe's stage, of its last one if none is named. Slow: call it in a thread.

    Raises:
        ProblemError: The recipe does not read, or that stage names no data that are there.
    """
    from workbench.recipe.recipe import load_recipe
    from workbench.run.data_look import job_of_recipe

    recipe = load_recipe(path, for_check=True)
    stages = tuple(recipe.stages)
    chosen = stage if stage in stages else stages[-1]
    job = job_of_recipe(recipe, chosen, paths)
    files = (path, *job.files, *job.test_files)
    here = model_is_here(recipe.model, path.parent, paths)
    return Subject(recipe.title or path.stem, job, path, stages, _version(files), model_here=here)


def model_is_here(source: str, folder: Path, paths: Paths) -> bool:
    """Whether a model's tokenizer can be had without fetching anything."""
    from workbench.recipe.base_model import model_location

    place = model_location(source, folder, paths.models)
    return place is not None and (place / "config.json").is_file()


def of_file(path: Path) -> Subject:
    """One file or folder, whose stage its rows tell.

    Raises:
        ProblemError: There is no such file.
    """
    from workbench.run.data_look import DataJob

    if not path.exists():
        raise ProblemError(Problem("there is no such file", str(path), "Check the path."))
    return Subject(path.name or str(path), DataJob(files=(path,)), version=_version([path]))


def is_current(subject: Subject) -> bool:
    """Whether the files are those that were looked at."""
    return _version(Path(name) for name, _, _ in subject.version) == subject.version


def _version(files: Iterable[Path]) -> tuple[tuple[str, int, int], ...]:
    """Path, size and time of files, by which one version of them is told from another."""
    found = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            found.append((str(file), 0, 0))
        else:
            found.append((str(file), status.st_size, status.st_mtime_ns))
    return tuple(found)
