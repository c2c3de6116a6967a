"""A recipe's stages as configurations of TRL itself, Axolotl and LLaMA-Factory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.recipe.base_model import model_folder
from workbench.recipe.check_data import data_parts, shape_of
from workbench.recipe.exchange.launch import launch_remarks
from workbench.recipe.exchange.outgoing import Exported
from workbench.recipe.exchange.to_axolotl import to_axolotl
from workbench.recipe.exchange.to_llama_factory import to_llama_factory
from workbench.recipe.launching import launch_values
from workbench.recipe.recipe import Recipe, absolute_paths, load_recipe, resolve

NAMES = {"trl": "TRL", "axolotl": "Axolotl", "llama-factory": "LLaMA-Factory"}
COMMANDS = {
    "trl": "trl {stage} --config FILE",
    "axolotl": "axolotl train FILE",
    "llama-factory": "llamafactory-cli train FILE",
}


def export_recipe(recipe: Recipe, stage: str, kind: str, *, models: Path) -> Exported:
    """One stage for another trainer.

    Args:
        kind: A key of `NAMES`.
        models: Folder of converted `pypi:` models.
    """
    title = f"{recipe.title}: stage {stage}, for {COMMANDS[kind].format(stage=stage)}"
    settings = resolve(recipe, stage, output_dir=_output_dir(recipe, stage), models=models)
    exported = Exported(stage, title)
    if kind == "trl":
        # TRL hands the options of accelerate on to its launcher.
        exported.settings = {**settings, **_launch(recipe)}
        exported.remarks += _mapped(recipe, stage)
    else:
        WRITERS[kind](recipe, stage, settings, exported)
        exported.remarks += launch_remarks(recipe, NAMES[kind])
    _tell_model(recipe, stage, exported, models)
    if stage == "dpo" and "sft" in _all_stages(recipe):
        exported.remarks += _after_sft(kind, _output_dir(recipe, "sft"))
    return exported


def _launch(recipe: Recipe) -> dict[str, Any]:
    folder = recipe.path.parent
    return {key: absolute_paths(key, value, folder) for key, value in launch_values(recipe).items()}


Writer = Callable[[Recipe, str, dict[str, Any], Exported], None]
WRITERS: dict[str, Writer] = {"axolotl": to_axolotl, "llama-factory": to_llama_factory}


def _all_stages(recipe: Recipe) -> tuple[str, ...]:
    """The file's stages, also where one of them alone was asked for."""
    return load_recipe(recipe.path, text=recipe.text).stages


def _output_dir(recipe: Recipe, stage: str) -> Path:
    own = recipe.values(stage).get("output_dir")
    single = len(_all_stages(recipe)) == 1
    return Path(str(own) if own else recipe.path.stem + ("" if single else f"-{stage}"))


def _tell_model(recipe: Recipe, stage: str, exported: Exported, models: Path) -> None:
    source = str(recipe.get("model_name_or_path", stage) or "")
    folder = model_folder(source, models)
    if folder is not None and not folder.is_dir():
        exported.remarks.append(
            f"{source} is not here yet: train it once with the workbench, which fills {folder}."
        )


def _mapped(recipe: Recipe, stage: str) -> list[str]:
    """Data that the workbench maps, and that TRL alone could not read."""
    files = [file for part in data_parts(recipe, stage) for file in part.files]
    return [
        f"TRL does not read {file.name} as it stands: write a copy with "
        f"`dpo-workbench data {file} --convert OUT.jsonl`, and name that."
        for file in files
        if (shape := shape_of(file, recipe.wish(stage))) is not None and not shape.as_is
    ]


def _after_sft(kind: str, sft_output: Path) -> list[str]:
    """How DPO goes on from what SFT has learnt."""
    if kind == "llama-factory":
        return [f"DPO goes on from SFT: add adapter_name_or_path: {sft_output}"]
    if kind == "axolotl":
        return [f"DPO goes on from SFT: add lora_model_dir: {sft_output}"]
    return [
        "DPO goes on from what SFT has learnt: merge the adapter in",
        f"{sft_output} into its base model, and set model_name_or_path to the merged model:",
        "  from peft import AutoPeftModelForCausalLM",
        f"  model = AutoPeftModelForCausalLM.from_pretrained({str(sft_output)!r})",
        "  model.merge_and_unload().save_pretrained('merged')  # the tokenizer belongs there too",
    ]
