"""The answering process behind the compare screen: started when asked, replaced with the run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.tui.messages import AnswerEvent
from workbench.tui.services import Answers, AnswersFactory

if TYPE_CHECKING:
    from workbench.judge.answers import Sampling
    from workbench.run.directory import RunDirectory

Messages = Sequence[Mapping[str, str]]


class Models:
    """One answering process at a time, started when it is first asked.

    Args:
        make: Makes the process of a run.
        post: Takes events from any thread.
    """

    def __init__(self, make: AnswersFactory, post: Callable[[AnswerEvent], object]) -> None:
        self._make = make
        self._post = post
        self._process: Answers | None = None
        self._number = 0

    @property
    def loaded(self) -> bool:
        """Whether a process with the models is there already."""
        return self._process is not None and self._process.alive

    def accepts(self, message: AnswerEvent) -> bool:
        """Whether an event is of the present process."""
        return message.process == self._number

    def work(
        self,
        run: RunDirectory,
        ask: Callable[[Answers], dict[str, Any] | None],
        take: Callable[[dict[str, Any]], dict[str, Any]] = lambda event: event,
    ) -> Callable[[], None]:
        """The work of asking, to be done in a thread (it may start a process).

        Args:
            ask: Asks the process, and may return an event to be told.
            take: Sees each event before it is told, most of them on the process's reader thread.
        """
        if self._process is None:
            self._number += 1
            begun = self._number
            self._process = self._make(run, lambda event: self._tell(begun, take(event)))
        process, number = self._process, self._number

        def work() -> None:
            try:
                event = ask(process)
            except OSError as error:
                what = f"the models' process cannot be started: {error}"
                event = {"event": "error", "id": None, "what": what}
            if event is not None:
                self._tell(number, take(event))

        return work

    def _tell(self, number: int, event: dict[str, Any]) -> None:
        self._post(AnswerEvent(number, event))

    def close(self) -> None:
        """Let the process go; waiting for its end is left to a thread of its own."""
        process, self._process = self._process, None
        self._number += 1
        if process is not None:
            threading.Thread(target=process.close, daemon=True).start()


class Asker(Models):
    """The models behind a conversation; only the newest request counts."""

    def __init__(self, make: AnswersFactory, post: Callable[[AnswerEvent], object]) -> None:
        super().__init__(make, post)
        self._request = 0

    def asking(
        self,
        run: RunDirectory,
        messages: Messages | Mapping[str, Messages],
        sampling: Sampling,
        sides: Sequence[str],
        answers: int,
    ) -> Callable[[], None]:
        """The work of asking the models, to be done in a thread."""
        if self._process is None:
            self._request = 0

        def ask(process: Answers) -> dict[str, Any]:
            request = process.generate(messages, sampling, sides, answers=answers)
            return {"event": "asked", "id": request}

        return self.work(run, ask)

    def accepts(self, message: AnswerEvent) -> bool:
        """Whether an event is of the present process and of its newest request."""
        request = message.event.get("id")
        if not super().accepts(message):
            return False
        if isinstance(request, int):
            if request < self._request:
                return False
            self._request = request
        return True

    def cancelling(self) -> Callable[[], None]:
        """The work of ending the present request early."""
        process, request = self._process, self._request
        return lambda: process.cancel(request) if process is not None else None

    def pausing(self, pause: bool) -> Callable[[], None]:
        """The work of halting the present request, or of letting it go on."""
        process, request = self._process, self._request
        if process is None:
            return lambda: None
        return lambda: (process.pause if pause else process.go_on)(request)
