"""The last look at a stage's config before the worker obeys it.

`check` has said all this of the recipe; the run directory may have been written to since.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.base.secrets import redact
from workbench.recipe.base_model import pickled_weights
from workbench.recipe.caution import faults, refuse_code
from workbench.recipe.check_model import CONVERT_HINT
from workbench.run.record import RunRecord


def guard(config: Mapping[str, Any], record: RunRecord) -> None:
    """Refuse a config that sets odd variables, runs a model's code or unpickles its weights.

    Raises:
        ProblemError: It does.
    """
    problems = [problem for _, problem in faults(config)]
    model = str(config.get("model_name_or_path") or "")
    known = model in (record.model_path, record.model_source)
    refusal = refuse_code(config, record.model_source if known else model, record.trusted_model)
    if refusal is not None:
        problems.append(refusal)
    problems += _model_problems(config, model)
    if problems:
        raise ProblemError(*problems)


def _model_problems(config: Mapping[str, Any], model: str) -> list[Problem]:
    """What is wrong with a model folder that lies here."""
    folder = Path(model)
    if not model or not folder.is_dir():
        return []
    if file := pickled_weights(folder):
        return [Problem(f"{model} has its weights in {file} only", "", CONVERT_HINT)]
    brings = any(
        _has_code(folder / name)
        for name in ("config.json", "tokenizer_config.json", "processor_config.json")
    )
    if brings and not config.get("trust_remote_code"):
        hint = (
            "Only if you trust its author: set trust_remote_code: true and launch with "
            f"--trust-remote-code {model}."
        )
        return [Problem(f"{model} brings Python code of its own", "trust_remote_code", hint)]
    return []


def _has_code(file: Path) -> bool:
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(settings, dict) and bool(settings.get("auto_map"))


def report_of(error: BaseException) -> str:
    """An error's traceback without tokens, for a log file."""
    return redact("".join(traceback.format_exception(error))).rstrip()
