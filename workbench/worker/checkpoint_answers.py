"""Answers to the probe prompts at every save, so that one can see when training changed what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from transformers import TrainerCallback

from workbench.run.samples import read_samples
from workbench.worker.answer_budget import MAX_TOKENS, AnswerBudget
from workbench.worker.probes import MAX_PROMPTS, ProbeAnswer, generate_batch, write_answers
from workbench.worker.run_writer import RunWriter

SHORTENED = (
    "Answers to the probe prompts at checkpoints are shortened or left out where they would take "
    "more than 5 % of the run's time."
)


class CheckpointAnswers(TrainerCallback):  # type: ignore[misc]
    """Lets the weights of each checkpoint answer, within the run's budget.

    The last step's answers are those after the stage, which are asked anyway. A run that goes on
    from a checkpoint asks what that one has not answered.

    Args:
        prompts: Of the recipe.
        saving: Counts the time as that of the checkpoint.
    """

    def __init__(
        self,
        writer: RunWriter,
        stage: str,
        prompts: Sequence[str],
        budget: AnswerBudget,
        saving: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.writer = writer
        self.stage = stage
        self._saving = saving
        self.prompts = tuple(prompts[:MAX_PROMPTS])
        self.budget = budget

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Catch up on what the checkpoint that the run goes on from was not asked."""
        if not state.global_step or not self.prompts:
            return
        answered = {
            sample.prompt
            for sample in read_samples(self.writer.run)
            if (sample.side, sample.step) == (self.stage, state.global_step)
        }
        missing = [prompt for prompt in self.prompts if prompt not in answered]
        self._answer(args, state, given, missing)

    def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Answer, unless saving has failed."""
        if (self.writer.run.output(self.stage) / f"checkpoint-{state.global_step}").is_dir():
            with self._saving():
                self._answer(args, state, given, self.prompts)

    def _answer(self, args: Any, state: Any, given: dict[str, Any], prompts: Sequence[str]) -> None:
        last = state.global_step >= state.max_steps and not args.load_best_model_at_end
        if last or not prompts or self.writer.stopping():
            return
        limit = self.budget.tokens()
        answers = self._ask(given, prompts, limit) if limit else ()
        if self.writer.stop_requested:
            return
        if limit < MAX_TOKENS and (not answers or any(answer.cut for answer in answers)):
            self.writer.note(SHORTENED)
        # A slow machine may have cut them shorter still; what has been paid for is kept.
        if answers:
            place = {"stage": self.stage, "step": state.global_step, "side": self.stage}
            write_answers(self.writer, prompts, answers, {**place, "checkpoint": True})

    def _ask(self, given: dict[str, Any], prompts: Sequence[str], limit: int) -> list[ProbeAnswer]:
        over, before = self.budget.deadline(), self.budget.spent
        with self.budget.spending():
            answers = generate_batch(
                given["model"],
                given["processing_class"],
                prompts,
                lambda: self.writer.stopping() or over(),
                limit=limit,
                budget=self.budget,
            )
        seconds = round(self.budget.spent - before, 3)
        self.writer.event("answers", stage=self.stage, limit=limit, seconds=seconds)
        return answers
