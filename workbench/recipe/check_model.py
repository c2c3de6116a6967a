"""A recipe's base model, as far as this machine knows it without loading it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem
from workbench.recipe.base_model import (
    PYPI_MODELS,
    PYPI_PREFIX,
    local_folder,
    looks_local,
    model_config,
    model_location,
    pickled_weights,
    pypi_model,
)
from workbench.recipe.recipe import Recipe
from workbench.recipe.weights import module_shapes

CONVERT_HINT = (
    "Such a file can run code when it is read. Take a model with .safetensors, or convert it: "
    "https://huggingface.co/spaces/safetensors/convert."
)


def check_model(recipe: Recipe, models: Path) -> Iterator[Problem]:
    """An unknown source, a folder that is no model, LoRA targets that the model does not have."""
    stage, source = recipe.stages[0], recipe.model
    where = recipe.document.where(recipe.path_of("model_name_or_path", stage))
    if source.startswith(PYPI_PREFIX):
        if pypi_model(source) is None:
            known = ", ".join(f"{PYPI_PREFIX}{name}" for name in PYPI_MODELS)
            yield Problem(f"there is no packaged model {source}", where, f"Known: {known}.")
    elif source and looks_local(source):
        folder = local_folder(source, recipe.path.parent)
        if folder is None:
            hint = f"Paths count from {recipe.path.parent}."
            yield Problem(f"there is no model folder {source}", where, hint)
        elif not (folder / "config.json").is_file():
            hint = "Name the folder that holds config.json and the weights."
            yield Problem(f"{source} is no model folder: it has no config.json", where, hint)
    config = model_config(source, recipe.path.parent, models)
    if config is None:
        return
    if config.get("auto_map") and not recipe.get("trust_remote_code", stage):
        hint = (
            "Only if you trust its author: set trust_remote_code: true and launch with "
            f"--trust-remote-code {source}."
        )
        yield Problem(f"{source} brings code of its own", where, hint)
    folder = model_location(source, recipe.path.parent, models)
    if folder is not None and (file := pickled_weights(folder)):
        yield Problem(f"{source} has its weights in {file} only", where, CONVERT_HINT)
    for name in recipe.stages:
        yield from _check_targets(recipe, name, config)


def _check_targets(recipe: Recipe, stage: str, config: dict[str, Any]) -> Iterator[Problem]:
    targets = recipe.get("lora_target_modules", stage)
    try:
        shapes = module_shapes(config)
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return  # an odd config.json; whether the model loads, transformers will say
    if not shapes or not recipe.get("use_peft", stage) or not targets:
        return
    names = [targets] if isinstance(targets, str) else targets
    where = recipe.document.where(recipe.path_of("lora_target_modules", stage))
    for name in names if isinstance(names, list) else []:
        if re.search(r"[^\w.-]|^[.]", str(name)):
            continue  # a pattern of whole names, which are not known here
        if (
            name not in ("all-linear", "lm_head", "embed_tokens")
            and str(name).split(".")[-1] not in shapes
        ):
            near = difflib.get_close_matches(str(name), shapes, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            hint += f"It has {', '.join(shapes)}; all-linear takes them all."
            what = f"lora_target_modules: the model has no module {name}"
            yield Problem(what, where, hint)
