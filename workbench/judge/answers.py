"""Ask one run's models for answers: the client of `python -m workbench.worker.generate RUN`.

One process holds the base model and the run's adapters in memory and speaks JSON lines over its
stdin and stdout. What it prints on stderr lands in RUN/generate.log.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from workbench.run.json_process import JsonProcess
from workbench.run.sides import BASE, TUNED

if TYPE_CHECKING:
    from workbench.run.directory import RunDirectory
    from workbench.run.worker_events import Event

SIDES = (BASE, TUNED)
ANSWER_FIELDS = ("text", "tokens", "seconds", "first_seconds", "finish")
ANALYSIS_FIELDS = ("pieces", "first_difference")

Message = Mapping[str, str]
Conversation = Sequence[Message]


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn; `temperature` 0 is greedy, `top_k` 0 and `top_p` 1 are off."""

    max_new_tokens: int = 160
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int = 42


class AnswerProcess(JsonProcess):
    """The generate process of one run; may be used from any thread.

    Args:
        run: the run whose base model and adapters answer.
        on_event: called with each event, on the reader thread; see `JsonProcess`.
        command: what to start instead of the generate worker.
    """

    def __init__(
        self,
        run: RunDirectory,
        on_event: Callable[[Event], None],
        *,
        command: Sequence[str] | None = None,
    ) -> None:
        worker = [sys.executable, "-m", "workbench.worker.generate", str(run.path)]
        log = run.generate_log
        step = f"See {log}, then ask again: the models load anew."
        super().__init__(command or worker, log, on_event, name="models' process", after_death=step)

    def generate(
        self,
        messages: Conversation | Mapping[str, Conversation],
        sampling: Sampling,
        sides: Sequence[str] = SIDES,
        *,
        answers: int = 1,
        analyse: bool = True,
    ) -> int:
        """Ask for answers of each side and return the request's id; starts an ended process.

        Args:
            messages: the conversation, `{"role", "content"}` each, oldest first; or one for each
                side, where the sides have said different things before.
            sides: what `run.sides.find_side` understands.
            answers: how many of each side; number k is drawn with seed + k.
            analyse: whether the log-ratio of each token is sent afterwards.
        """
        asked = dict(messages) if isinstance(messages, Mapping) else list(messages)
        fields = {"messages": asked, "answers": answers, "analyse": analyse}
        return self._answer("generate", sides, sampling, fields)

    def batch(
        self,
        prompts: Sequence[Conversation],
        sampling: Sampling,
        sides: Sequence[str] = SIDES,
        *,
        analyse: bool = False,
    ) -> int:
        """Ask for one answer of each side to many conversations; they arrive in any order.

        The `answer` events carry the number of the conversation as `prompt`.
        """
        fields = {"prompts": [list(prompt) for prompt in prompts], "analyse": analyse}
        return self._answer("batch", sides, sampling, fields)

    def _answer(
        self, name: str, sides: Sequence[str], sampling: Sampling, fields: Mapping[str, object]
    ) -> int:
        return self.ask(name, {"sides": list(sides), **fields, **asdict(sampling)})

    def pause(self, request: int) -> None:
        """Let a request wait after its next token, until `go_on` or `cancel`."""
        self.steer("pause", request)

    def go_on(self, request: int) -> None:
        """Let a paused request go on."""
        self.steer("go_on", request)
