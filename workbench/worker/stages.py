"""The stages of a run: SFT and DPO with TRL's trainers, by the rules of TRL's own scripts."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.recipe.recipe import load_recipe
from workbench.run.checkpoints import choose, step_of
from workbench.run.directory import RunDirectory
from workbench.worker import checkpoints, dataset, machine, probes
from workbench.worker.answer_budget import AnswerBudget
from workbench.worker.callbacks import EvaluationStoppedError, RunCallback, mean_loss
from workbench.worker.checkpoint_answers import CheckpointAnswers
from workbench.worker.explain import explain_data
from workbench.worker.packed_scoring import causal_model, use_packed_rows
from workbench.worker.rank_file import RankFile
from workbench.worker.reference_scores import (
    REFERENCE_ADAPTER,
    ReferenceScores,
    reference_file,
)
from workbench.worker.resuming import restore_end, restore_token_count
from workbench.worker.run_writer import DivergedError, RunWriter, StopRequested
from workbench.worker.saving import Saver
from workbench.worker.scoring import score_labelled_positions_only
from workbench.worker.sharding import allow_deepspeed_states, save_adapters_alone
from workbench.worker.stage_config import StageConfig, check_steps, parse_config
from workbench.worker.trainers import Start, make_trainer
from workbench.worker.world import World

NO_ANSWERS = (
    "The probe prompts are not answered while the weights are spread over processes; "
    "`compare` asks them afterwards."
)
PACKED = {"sft": "packed, without padding", "dpo": "packed, with a shared prefix"}


@dataclass
class StageData:
    """The splits of a stage as loaded, before TRL's preparation."""

    train: Any
    evaluation: Any


def run_stages(run: RunDirectory, writer: RunWriter, world: World, file: RankFile) -> None:
    """Train all stages of a run that are not finished yet.

    Args:
        world, file: This process among those that train together, and its record.

    Raises:
        ProblemError: the run cannot go on; anything else that a library raises passes through.
    """
    score_labelled_positions_only()
    record = writer.record()
    weights = Path(record.start_adapter) if record.start_adapter else None
    start = Start(weights, record.start_reference)
    budget = AnswerBudget()
    for stage in record.stages:
        if stage not in record.results:
            writer.update(stage=stage, step=0, max_steps=0)
            StageRun(run, writer, stage, start, budget, world, file).train()
            machine.give_back_memory()
        start = Start(run.output(stage))


class StageRun:
    """One stage, from its config to its saved weights.

    Args:
        start: what an earlier stage or run has left.
        budget: of the answers at checkpoints, of all stages together.
        world, file: see `run_stages`; one process alone where they are not given.
    """

    def __init__(
        self,
        run: RunDirectory,
        writer: RunWriter,
        stage: str,
        start: Start,
        budget: AnswerBudget,
        world: World | None = None,
        file: RankFile | None = None,
    ) -> None:
        self.run = run
        self.writer = writer
        self.stage = stage
        self.start = start
        self.budget = budget
        self.world = world or World()
        self.config = parse_config(stage, run.config(stage))
        if self.world.own_host:
            # What this host goes on from must lie in its own run directory.
            self.config.training.save_on_each_node = True
        self.callback = RunCallback(writer, stage, self.world, file)
        self.began = time.monotonic()
        self.packed = ""

    def train(self) -> None:
        """Train, or go on training, until the stage's final weights are saved."""
        self.check_stop()
        machine.reset_peaks()
        checkpoint = self.pick_checkpoint()
        self.writer.progress(f"{self.stage}: reading the data")
        data = load_data(self.config, self.run.path)
        self.check_stop()
        self.writer.progress(f"{self.stage}: loading {self.config.model.model_name_or_path}")
        recipe = load_recipe(self.run.recipe)
        prompts = self.prompts_to_ask(recipe.probe_prompts)
        trainer = make_trainer(
            self.config,
            self.start,
            self.writer.note,
            train_dataset=data.train,
            eval_dataset=data.evaluation,
            callbacks=[*self.answerers(prompts), self.callback],
        )
        save_adapters_alone(trainer)
        allow_deepspeed_states(trainer)
        if recipe.shared_prefix:
            self.pack_rows(trainer)
        self.saver = Saver(self.run, self.writer, self.stage, trainer, self.world)
        self.callback.measure(trainer)
        self.write_counts(data, trainer)
        self.check_stop()
        if prompts and not self.start.weights:
            self.writer.progress(f"{self.stage}: the base model answers the probe prompts")
            self.ask(trainer, prompts, "base")
        self.check_stop()
        with self.writer.uninterrupted():
            self.run_trainer(trainer, checkpoint)
            self.finish(trainer, prompts)
        if self.callback.stopped:
            raise StopRequested

    def check_stop(self) -> None:
        """End where a stop has been asked of any of the processes."""
        if self.world.any(self.writer.stop_requested):
            raise StopRequested

    def pick_checkpoint(self) -> Path | None:
        """The checkpoint that all processes go on from, chosen by the one that writes."""
        asked = self.config.training.resume_from_checkpoint
        chosen = None
        if self.world.writes:
            chosen = checkpoints.pick_checkpoint(self.run, self.writer, self.stage, asked)
        if chosen is not None and chosen.is_relative_to(self.run.path):
            # Another host may have a run directory of its own.
            chosen = chosen.relative_to(self.run.path)
        shared = self.world.share(chosen)
        return None if shared is None else self.run.path / shared

    def answerers(self, prompts: tuple[str, ...]) -> list[CheckpointAnswers]:
        """Who lets the checkpoints answer: one process, before the other callback, which takes
        the clock of the speed up again after a save."""
        if not prompts:
            return []
        return [
            CheckpointAnswers(
                self.writer,
                self.stage,
                prompts,
                self.budget,
                lambda: self.callback.clock.section("save"),
            )
        ]

    def prompts_to_ask(self, prompts: tuple[str, ...]) -> tuple[str, ...]:
        """Those that this process lets its weights answer while it trains: all, or none."""
        arguments = self.config.training
        if prompts and (self.world.spreads_weights or arguments.fsdp or arguments.deepspeed):
            self.writer.note(NO_ANSWERS)
            return ()
        return prompts if self.world.writes else ()

    def pack_rows(self, trainer: Any) -> None:
        """Compute no padding, and a pair's prompt once, if the model can; say so if it cannot."""
        scores = None
        if self.stage == "dpo" and not self.config.training.sync_ref_model:
            models = self.writer.record().models_folder
            cache = Path(models).parent if models else None
            base = self.config.model.model_name_or_path
            model, device = causal_model(trainer.model), trainer.accelerator.device.type
            precision = f"{trainer.accelerator.mixed_precision} {self.config.training.tf32}"
            if device != model.device.type:
                precision += f" {device}"
            file = reference_file(model, base, cache, precision, self.world)
            scores = ReferenceScores(file, self.world)
        reason = use_packed_rows(trainer, self.stage, scores, self.world)
        self.packed = f"TRL's own path: {reason}" if reason else PACKED[self.stage]
        if reason:
            self.writer.note(f"{self.stage} trains by TRL's own, slower path: {reason}.")

    def write_counts(self, data: StageData, trainer: Any) -> None:
        """Row counts and fingerprints into environment.json; refuse to train on nothing."""
        arguments = self.config.training
        packed = bool(getattr(arguments, "packing", False))
        pairs = {"train": (data.train, trainer.train_dataset)}
        if data.evaluation is not None:
            pairs["test"] = (data.evaluation, trainer.eval_dataset)
        counts = {
            name: dataset.count_rows(before, after, arguments.max_length, packed)
            for name, (before, after) in pairs.items()
        }
        files = dataset.file_hashes(self.config.data, self.config.script)
        update_environment(self.writer, self.stage, {**counts, "files": files, "path": self.packed})
        if counts["train"].get("kept") == 0:
            rows = counts["train"]["rows"]
            what = f"all {rows} rows are longer than max_length ({arguments.max_length} tokens)"
            raise ProblemError(Problem(what, "max_length", "Raise max_length or shorten the rows."))
        for name, count in counts.items():
            if count.get("dropped") or count.get("truncated"):
                self.writer.note(
                    f"{self.stage} {name}: of {count['rows']} rows {count['dropped']} are dropped "
                    f"and {count['truncated']} cut by max_length {arguments.max_length}."
                )
        check_steps(arguments, counts["train"])

    def run_trainer(self, trainer: Any, checkpoint: Path | None) -> None:
        """Train from the beginning or a checkpoint; raise when the run has diverged."""
        if checkpoint is not None:
            restore_token_count(trainer, self.callback, checkpoint)
            if restore_end(trainer, self.callback, checkpoint):
                return
        try:
            # The path itself, never True: the Trainer would take any newest folder.
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except EvaluationStoppedError:
            self.save_stopped(trainer)
        if self.callback.diverged is not None:
            self.raise_diverged()

    def save_stopped(self, trainer: Any) -> None:
        """Save the checkpoint of a stop that came between the last step and the results."""
        newest = choose(self.run, self.stage, deep=False).folder
        if trainer.state.global_step > self.world.share(step_of(newest) if newest else 0):
            self.saver.save(trainer.model, None)
        self.callback.stopped = True

    def raise_diverged(self) -> None:
        """End the run with the step and the metric that was lost."""
        assert self.callback.diverged is not None
        step, metric, value = self.callback.diverged
        if not self.world.writes:
            raise DivergedError(Problem(f"diverged at step {step}: {metric} is {value}"))
        dropped, left = checkpoints.drop_diverged(self.run, self.stage)
        self.writer.update(stopped_at=str(left) if left else "")
        kept = f" The last good checkpoint is kept: {left.name}." if left else ""
        if dropped:
            lost = f"Deleted {', '.join(dropped)}: the weights in it were lost."
            self.writer.note(lost + (kept or " No good checkpoint is left."))
        rate = self.config.training.learning_rate
        raise DivergedError(
            Problem(
                f"diverged at step {step}: {metric} is {value}",
                f"{self.stage}.learning_rate",
                f"Lower learning_rate (it is {rate:g}) or add warmup_steps, and run anew.{kept}",
            )
        )

    def finish(self, trainer: Any, prompts: tuple[str, ...]) -> None:
        """Save the final weights, scores and results, unless a stop comes before."""
        if self.callback.stopped:
            return
        try:
            evaluation = self.evaluate(trainer)
        except EvaluationStoppedError:
            self.save_stopped(trainer)
            return
        if not self.answer_probes(trainer, prompts):
            self.save_stopped(trainer)
            return
        if REFERENCE_ADAPTER in getattr(trainer.model, "peft_config", {}):
            trainer.model.delete_adapter(REFERENCE_ADAPTER)
        self.saver.save_final()
        results = self.results(trainer, evaluation)
        record = self.writer.record()
        self.writer.update(
            results={**record.results, self.stage: results}, step=trainer.state.global_step
        )
        if evaluation:
            scores = {"stage": self.stage, **evaluation, **results}
            scores.pop("eval")
            self.writer.keep(self.run.scores, scores)
        if self.config.training.push_to_hub:
            trainer.push_to_hub(dataset_name=self.config.script.dataset_name)

    def answer_probes(self, trainer: Any, prompts: tuple[str, ...]) -> bool:
        """Let the trained weights answer the probe prompts; False when a stop came before."""
        if prompts:
            self.writer.progress(f"{self.stage}: the tuned model answers the probe prompts")
            self.ask(trainer, prompts, self.stage)
        return not self.world.any(self.writer.stop_requested)

    def ask(self, trainer: Any, prompts: tuple[str, ...], side: str) -> None:
        """Let a side answer the probe prompts, where it has not done so before."""
        probes.answer_probes(
            self.writer, trainer, prompts, self.budget, side=side, stage=self.stage
        )

    def evaluate(self, trainer: Any) -> dict[str, float]:
        """The held-out metrics of the final weights; evaluated anew only if that is not done.

        Raises:
            EvaluationStoppedError: a stop was asked for meanwhile.
        """
        if trainer.eval_dataset is None:
            return {}
        history = trainer.state.log_history
        last = [row for row in history if "eval_loss" in row]
        if last and last[-1]["step"] == trainer.state.global_step:
            metrics = last[-1]
        else:
            metrics = trainer.evaluate()
        values = {name: value for name, value in metrics.items() if name.startswith("eval_")}
        return {**values, "pairs": len(trainer.eval_dataset)}

    def results(self, trainer: Any, evaluation: dict[str, float]) -> dict[str, Any]:
        """What the stage took and reached, for run.json."""
        losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
        final = [row for row in trainer.state.log_history if "train_loss" in row]
        train_loss = final[-1]["train_loss"] if final else math.nan
        if self.callback.resumed:
            train_loss = mean_loss(trainer.state.log_history)
        return {
            "seconds": round(time.monotonic() - self.began, 2),
            "steps": trainer.state.global_step,
            "peak_rss_bytes": self.world.most(machine.peak_rss_bytes()),
            "peak_gpu_bytes": self.world.most(machine.peak_gpu_bytes()),
            "train_loss": train_loss,
            "last_loss": losses[-1] if losses else None,
            "eval": evaluation,
        }


def load_data(config: StageConfig, folder: Path) -> StageData:
    """A stage's splits, checked for what its trainer needs.

    Args:
        folder: Of the run, whose disk may be full.

    Raises:
        ProblemError: They cannot be read, or are not what the trainer needs.
    """
    script, arguments = config.script, config.training
    splits = load_splits(config, folder)
    train = dataset.pick_split(splits, script.dataset_train_split, "dataset_train_split")
    evaluation = None
    if arguments.eval_strategy != "no":
        evaluation = dataset.pick_split(splits, script.dataset_test_split, "eval_strategy")
    text_field = getattr(arguments, "dataset_text_field", "")
    for split in (train, evaluation):
        if split is not None:
            dataset.check_columns(config.stage, split, text_field)
            dataset.check_values(config.stage, split)
    return StageData(train, evaluation)


def load_splits(config: StageConfig, folder: Path) -> Any:
    """A stage's dataset dictionary, as TRL's script makes it; see `load_data`."""
    try:
        return dataset.load_datasets(config.script, config.data, config.training.seed)
    except ProblemError:
        raise
    except Exception as error:
        problem = explain_data(error, *dataset.source(config.script, config.data), folder)
        raise ProblemError(problem) from error


def update_environment(writer: RunWriter, stage: str, data: dict[str, Any]) -> None:
    """Put a stage's data description into environment.json."""
    try:
        known = json.loads(writer.run.environment.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    known.setdefault("datasets", {})[stage] = data
    writer.keep(writer.run.environment, known)
