"""A configuration file of another trainer, or of an older TRL, as a recipe and a report."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.base.problems import ProblemError
from workbench.recipe.exchange import from_autotrain, from_axolotl, from_llama_factory
from workbench.recipe.exchange.common import refuse
from workbench.recipe.exchange.draft import Draft, Entry
from workbench.recipe.exchange.from_trl import read_flat
from workbench.recipe.exchange.write import add_remarks, rewrite, write_recipe
from workbench.recipe.old_keys import GONE, RENAMED
from workbench.recipe.recipe import PATH_KEYS, absolute_paths, guess_stage, read_text
from workbench.recipe.schema import OWN_KEYS, STAGES, load_schema
from workbench.recipe.yaml_file import Document, parse

KINDS = {
    "trl": "TRL",
    "old-trl": "an older TRL",
    "handbook": "alignment-handbook",
    "axolotl": "Axolotl",
    "llama-factory": "LLaMA-Factory",
    "autotrain": "AutoTrain",
}
"""The kinds of source, and their names for people."""

FLAT = ("trl", "old-trl", "handbook")
HANDBOOK_KEYS = ("dataset_mixer", "dataset_mixture", "dataset_splits", "dataset_configs")
OLD_SFT_KEYS = ("max_seq_length", "chars_per_token", "num_of_sequences")
OLD_DPO_KEYS = ("rpo_alpha", "reference_free", "max_prompt_length", "ref_model_init_kwargs")
OTHER_METHODS = {
    "desirable_weight": "KTO",
    "undesirable_weight": "KTO",
    "num_generations": "GRPO",
    "reward_funcs": "GRPO",
    "reward_model_path": "PPO",
    "center_rewards_coefficient": "the training of reward models",
    "simpo_gamma": "SimPO",
}
"""Settings that only a method has which cannot be imported."""


@dataclass(frozen=True)
class Imported:
    """A recipe made from a foreign file.

    Attributes:
        kind: A key of `KINDS`.
        stages: The stages of the recipe.
        text: The recipe, its relative paths made absolute where a file is there.
        entries: What became of each setting of the source, in the order of its lines.
    """

    kind: str
    stages: tuple[str, ...]
    text: str
    entries: tuple[Entry, ...]

    def of(self, *outcomes: str) -> list[Entry]:
        """The entries with one of these outcomes."""
        return [entry for entry in self.entries if entry.outcome in outcomes]


def import_file(path: Path, *, kind: str | None = None, stage: str | None = None) -> Imported:
    """Read a configuration file of any known kind.

    Args:
        kind: A key of `KINDS`; recognised from the file's keys when not given.
        stage: `sft` or `dpo` of a flat TRL file; guessed from its keys when not given.

    Raises:
        ProblemError: It is unreadable, of no known kind, or of a method other than DPO and SFT.
    """
    text = read_text(path, "Give the path of a configuration file.")
    document = parse(text, path.name)
    if document.problems:
        raise ProblemError(*document.problems)
    kind = kind or recognise(document)
    if kind in FLAT:
        drafts = _read_trl(document, kind, stage)
    else:
        stage_of, read = _readers(path.parent)[kind]
        draft = Draft(document, stage_of(document))
        read(draft)
        drafts = [draft]
    _tell_stages_apart(drafts)
    for draft in drafts:
        _make_absolute(draft, path.parent)
    entries = sorted(
        (entry for draft in drafts for entry in draft.entries), key=lambda e: _line(e, document)
    )
    stages = tuple(d.stage for d in drafts if d.stage and (d.prefix or len(drafts) == 1))
    new = _text(text, drafts, kind, path.stem, entries)
    return Imported(kind, stages, new, tuple(entries))


def recognise(document: Document) -> str:
    """The kind of a configuration, by its keys.

    Raises:
        ProblemError: It is none that can be imported.
    """
    data = document.data
    if "task" in data and "base_model" in data:
        return "autotrain"
    if "base_model" in data:
        return "axolotl"
    if "stage" in data or "finetuning_type" in data:
        return "llama-factory"
    keys = [*data, *(k for s in STAGES if isinstance(data.get(s), dict) for k in data[s])]
    if any(key in HANDBOOK_KEYS for key in keys):
        return "handbook"
    if any(key in RENAMED or key in GONE or key == "rpo_alpha" for key in keys):
        return "old-trl"
    if any(load_schema().field(key) for key in keys):
        return "trl"
    hint = f"Say what it is: --from {', '.join(KINDS)}."
    raise refuse("the file has no setting of a trainer that is known", document.source, hint)


def _readers(
    folder: Path,
) -> Mapping[str, tuple[Callable[[Document], str], Callable[[Draft], None]]]:
    return {
        "axolotl": (from_axolotl.stage_of, from_axolotl.read_axolotl),
        "llama-factory": (
            from_llama_factory.stage_of,
            lambda draft: from_llama_factory.read_llama_factory(draft, folder),
        ),
        "autotrain": (from_autotrain.stage_of, from_autotrain.read_autotrain),
    }


def _read_trl(document: Document, kind: str, stage: str | None) -> list[Draft]:
    """A draft of the file, and one of each stage's section."""
    data = document.data
    sections = [name for name in STAGES if isinstance(data.get(name), dict)]
    for key, method in OTHER_METHODS.items():
        if key in data:
            raise refuse(f"{key} is a setting of {method}", document.where((key,)))
    if sections:
        drafts = [Draft(document, None), *(Draft(document, s, (s,)) for s in sections)]
    else:
        drafts = [Draft(document, stage or _guess_stage(data))]
    for draft in drafts:
        draft.keeps_wrong = True
        read_flat(draft)
    if not any(draft.settings.keys() - OWN_KEYS for draft in drafts):
        hint = "Look at the file: it may be one of another program."
        raise refuse(f"no setting of {KINDS[kind]} is in the file", document.source, hint)
    return drafts


def _guess_stage(data: Mapping[str, Any]) -> str:
    """The stage of a flat file, of which old keys and the data's splits tell too."""
    schema = load_schema()
    fields = [found for key in data if (found := schema.field(key))]
    if any(found.stages == ("dpo",) for found in fields) or any(k in data for k in OLD_DPO_KEYS):
        return "dpo"
    if any(found.stages == ("sft",) for found in fields) or any(k in data for k in OLD_SFT_KEYS):
        return "sft"
    said = str([data.get(key) for key in ("dataset_splits", "dataset_mixture", "output_dir")])
    return "sft" if re.search(r"sft|messages", said) and "pref" not in said else "dpo"


def _tell_stages_apart(drafts: list[Draft]) -> None:
    """A flat SFT recipe must have a setting that DPO has not, or it would be taken for DPO."""
    (draft, *sections) = drafts
    if not sections and draft.stage == "sft" and guess_stage(draft.settings) != "sft":
        draft.assume("packing", False, "TRL's default; it tells that this is SFT")


def _make_absolute(draft: Draft, folder: Path) -> None:
    """A recipe is saved elsewhere: the files beside the source must still be found."""
    for key in PATH_KEYS:
        if draft.settings.get(key):
            draft.settings[key] = absolute_paths(key, draft.settings[key], folder)


def _line(entry: Entry, document: Document) -> int:
    mark = document.marks.get(entry.path) if entry.path else None
    return mark.line if mark else 1_000_000


def _text(text: str, drafts: list[Draft], kind: str, stem: str, entries: list[Entry]) -> str:
    title = f"{_plain_name(stem, kind)}, imported from {KINDS[kind]}"
    remarks = [f"no equal: {entry.key}: {entry.note}" for entry in entries
               if entry.outcome == "no equal"]  # fmt: skip
    if kind in FLAT:
        edited = rewrite(text, drafts)
        if edited is not None:
            titled = "title" in drafts[0].settings or (kind == "trl" and edited.startswith("#"))
            return add_remarks(edited if titled else f"# {title}\n\n{edited}", remarks)
    settings = dict(drafts[0].settings)
    settings.update({draft.prefix[0]: draft.settings for draft in drafts[1:]})
    return write_recipe(title, settings, remarks)


def _plain_name(stem: str, kind: str) -> str:
    name = stem.replace("_", "-").removeprefix(f"{kind}-")
    return name.replace("-", " ").strip() or stem
