"""The stages of a run: SFT and DPO with TRL's trainers, by the rules of TRL's own scripts."""

from __future__ import annotations

import gc
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.base.files import json_safe, write_atomic
from workbench.base.problems import Problem, ProblemError
from workbench.recipe.recipe import load_recipe
from workbench.run.directory import RunDirectory
from workbench.worker import checkpoints, dataset, machine, probes
from workbench.worker.callbacks import EvaluationStoppedError, RunCallback, mean_loss
from workbench.worker.explain import explain_data
from workbench.worker.model import is_adapter, load_start, load_tokenizer
from workbench.worker.run_writer import DivergedError, RunWriter, StopRequested
from workbench.worker.scoring import score_labelled_positions_only

REFERENCE_ADAPTER = "ref"


@dataclass
class StageConfig:
    """A stage's config as TRL's four dataclasses."""

    stage: str
    script: Any
    training: Any
    model: Any
    data: Any


@dataclass
class StageData:
    """The splits of a stage as loaded, before TRL's preparation."""

    train: Any
    evaluation: Any


def run_stages(run: RunDirectory, writer: RunWriter) -> None:
    """Train all stages of a run that are not finished yet.

    Raises:
        ProblemError: the run cannot go on; anything else that a library raises passes through.
    """
    score_labelled_positions_only()
    record = writer.record()
    start = Path(record.start_adapter) if record.start_adapter else None
    for stage in record.stages:
        if stage not in record.results:
            writer.check_stop()
            writer.update(stage=stage, step=0, max_steps=0)
            StageRun(run, writer, stage, start).train()
            free_memory()
        start = run.output(stage)


def free_memory() -> None:
    """Give back what the last trainer held."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def parse_config(stage: str, path: Path) -> StageConfig:
    """Read a stage's flat YAML as `trl sft --config` or `trl dpo --config` does.

    Raises:
        ProblemError: TRL refuses a value.
    """
    from trl import (
        DatasetMixtureConfig,
        DPOConfig,
        ModelConfig,
        ScriptArguments,
        SFTConfig,
        TrlParser,
    )

    training = SFTConfig if stage == "sft" else DPOConfig
    parser = TrlParser((ScriptArguments, training, ModelConfig, DatasetMixtureConfig))
    try:
        parts = parser.parse_args_and_config(["--config", str(path)], fail_with_unknown_args=False)
    except (ValueError, TypeError, SystemExit) as error:
        what = f"TRL does not accept the {stage} config: {str(error).splitlines()[0]}"
        raise ProblemError(Problem(what, path.name, "Correct the value in the recipe.")) from error
    script, arguments, model, data = parts
    arguments.disable_tqdm = True
    arguments.logging_nan_inf_filter = False
    # Its own SIGTERM handler would take the place of the worker's.
    arguments.enable_jit_checkpoint = False
    model_init = {
        "revision": model.model_revision,
        "trust_remote_code": arguments.trust_remote_code,
        "attn_implementation": model.attn_implementation,
        "dtype": model.dtype,
    }
    arguments.model_init_kwargs = {**model_init, **(arguments.model_init_kwargs or {})}
    return StageConfig(stage, script, arguments, model, data)


class StageRun:
    """One stage, from its config to its saved weights.

    Args:
        start: adapter or model that an earlier stage or run has left, None to begin at the base.
    """

    def __init__(
        self, run: RunDirectory, writer: RunWriter, stage: str, start: Path | None
    ) -> None:
        self.run = run
        self.writer = writer
        self.stage = stage
        self.start = start
        self.config = parse_config(stage, run.config(stage))
        self.callback = RunCallback(writer, stage)
        self.began = time.monotonic()

    def train(self) -> None:
        """Train, or go on training, until the stage's final weights are saved."""
        machine.reset_peaks()
        self.writer.progress(f"{self.stage}: reading the data")
        data = self.load_data()
        self.writer.check_stop()
        self.writer.progress(f"{self.stage}: loading {self.config.model.model_name_or_path}")
        trainer = self.make_trainer(data)
        self.write_counts(data, trainer)
        prompts = load_recipe(self.run.recipe).probe_prompts
        checkpoint = checkpoints.newest_usable(self.run, self.stage)
        self.writer.check_stop()
        if prompts and not self.start:
            self.writer.progress(f"{self.stage}: the base model answers the probe prompts")
            probes.answer_probes(self.run, trainer, prompts, side="base", stage=self.stage)
        with self.writer.uninterrupted():
            self.run_trainer(trainer, checkpoint)
            self.finish(trainer, prompts)
        if self.callback.stopped:
            raise StopRequested

    def load_data(self) -> StageData:
        """The stage's splits, checked for what its trainer needs."""
        script, arguments = self.config.script, self.config.training
        try:
            splits = dataset.load_datasets(script, self.config.data, arguments.seed)
        except ProblemError:
            raise
        except Exception as error:
            problem = explain_data(error, *dataset.source(script, self.config.data), self.run.path)
            raise ProblemError(problem) from error
        train = dataset.pick_split(splits, script.dataset_train_split, "dataset_train_split")
        evaluation = None
        if arguments.eval_strategy != "no":
            evaluation = dataset.pick_split(splits, script.dataset_test_split, "eval_strategy")
        text_field = getattr(arguments, "dataset_text_field", "")
        for split in (train, evaluation):
            if split is not None:
                dataset.check_columns(self.stage, split, text_field)
                dataset.check_values(self.stage, split)
        return StageData(train, evaluation)

    def make_trainer(self, data: StageData) -> Any:
        """TRL's trainer for the stage.

        From the base model it is built exactly as TRL's script builds it. After an earlier stage
        the base model comes with that stage's adapter: TRL then copies it as the frozen reference.
        """
        from trl import DPOTrainer, SFTTrainer, get_peft_config, get_quantization_config

        trainer_class: Callable[..., Any] = SFTTrainer if self.stage == "sft" else DPOTrainer
        model, arguments = self.config.model, self.config.training
        bits = get_quantization_config(model)
        common = {
            "args": arguments,
            "train_dataset": data.train,
            "eval_dataset": data.evaluation,
            "callbacks": [self.callback],
        }
        if self.start is not None and is_adapter(self.start):
            init, path = arguments.model_init_kwargs, model.model_name_or_path
            policy = load_start(path, init, self.start, bits, arguments.seed)
            arguments.model_init_kwargs = None
            self.note_lora(policy)
            settings = {"model_name_or_path": path, "model_revision": model.model_revision}
            tokenizer = load_tokenizer(settings, self.start)
            return trainer_class(model=policy, processing_class=tokenizer, **common)
        path = str(self.start) if self.start is not None else model.model_name_or_path
        peft_config = get_peft_config(model)
        return trainer_class(
            model=path, quantization_config=bits, peft_config=peft_config, **common
        )

    def note_lora(self, policy: Any) -> None:
        """Say so when a stage asks for another LoRA shape than that of the adapter it continues."""
        adapter, asked = policy.peft_config["default"], self.config.model
        if (adapter.r, adapter.lora_alpha) != (asked.lora_r, asked.lora_alpha):
            self.writer.note(
                f"{self.stage} continues an adapter of rank {adapter.r} and alpha "
                f"{adapter.lora_alpha}; its own lora_r and lora_alpha do not apply."
            )

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
        update_environment(self.run, self.stage, {**counts, "files": files})
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
        resume = str(checkpoint) if checkpoint is not None else None
        resume = resume or self.config.training.resume_from_checkpoint
        if checkpoint is not None and self.restore_end(trainer, checkpoint):
            return
        try:
            trainer.train(resume_from_checkpoint=resume)
        except EvaluationStoppedError:
            self.save_stopped(trainer)
        if self.callback.diverged is not None:
            self.raise_diverged()

    def save_stopped(self, trainer: Any) -> None:
        """Save the checkpoint of a stop that came between the last step and the results."""
        state, newest = trainer.state, checkpoints.newest_usable(self.run, self.stage)
        if state.global_step > (checkpoints.step_of(newest) if newest else 0):
            trainer._save_checkpoint(trainer.model, None)
            self.callback.on_save(trainer.args, state, trainer.control)
        self.callback.stopped = True

    def restore_end(self, trainer: Any, checkpoint: Path) -> bool:
        """Take over a checkpoint of the last step, where the Trainer would add one step more.

        Returns:
            Whether the checkpoint is one of the last step.
        """
        from transformers import TrainerState

        state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        if not 0 < state.max_steps <= state.global_step:
            return False
        trainer._load_from_checkpoint(str(checkpoint))
        trainer.state = state
        if trainer.args.load_best_model_at_end and state.best_model_checkpoint:
            trainer._load_best_model()
        self.callback.on_train_begin(trainer.args, state, trainer.control)
        return True

    def raise_diverged(self) -> None:
        """End the run with the step and the metric that was lost."""
        assert self.callback.diverged is not None
        step, metric, value = self.callback.diverged
        dropped = checkpoints.drop_non_finite(self.run, self.stage)
        if dropped:
            self.writer.note(f"Deleted {', '.join(dropped)}: saved after the loss was lost.")
        left = checkpoints.newest_usable(self.run, self.stage)
        kept = f" The last checkpoint before it is kept: {left.name}." if left else ""
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
        trainer.save_model(self.config.training.output_dir)
        results = self.results(trainer, evaluation)
        record = self.writer.record()
        self.writer.update(
            results={**record.results, self.stage: results}, step=trainer.state.global_step
        )
        if evaluation:
            scores = {"stage": self.stage, **evaluation, **results}
            scores.pop("eval")
            write_atomic(self.run.scores, json.dumps(json_safe(scores), indent=1))
        if self.config.training.push_to_hub:
            trainer.push_to_hub(dataset_name=self.config.script.dataset_name)

    def answer_probes(self, trainer: Any, prompts: tuple[str, ...]) -> bool:
        """Let the trained weights answer the probe prompts; False when a stop came before."""
        if prompts:
            self.writer.progress(f"{self.stage}: the tuned model answers the probe prompts")
            probes.answer_probes(
                self.run,
                trainer,
                prompts,
                side=self.stage,
                stage=self.stage,
                stop=lambda: self.writer.stop_requested,
            )
        return not self.writer.stop_requested

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
            "peak_rss_bytes": machine.peak_rss_bytes(),
            "peak_gpu_bytes": machine.peak_gpu_bytes(),
            "train_loss": train_loss,
            "last_loss": losses[-1] if losses else None,
            "eval": evaluation,
        }


def check_steps(arguments: Any, counts: dict[str, Any]) -> None:
    """Refuse a stage that would end without a single step.

    Raises:
        ProblemError: the rows do not fill one batch and dataloader_drop_last drops the rest.
    """
    kept = counts.get("kept", counts.get("blocks"))
    batch = arguments.train_batch_size * arguments.world_size
    if kept is not None and arguments.dataloader_drop_last and kept < batch:
        what = f"0 steps: {kept} rows do not fill one batch of {batch}"
        hint = "Lower per_device_train_batch_size or unset dataloader_drop_last."
        raise ProblemError(Problem(what, "per_device_train_batch_size", hint))


def restore_token_count(trainer: Any, callback: RunCallback, checkpoint: Path) -> None:
    """Let `num_tokens` go on from the checkpoint, where TRL begins at 0 again."""
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        history = state["log_history"]
    except (OSError, ValueError, KeyError):
        return
    seen = [row["num_tokens"] for row in history if "num_tokens" in row]
    if seen and hasattr(trainer, "_total_train_tokens"):
        trainer._total_train_tokens = int(seen[-1])
        callback.count_from(float(seen[-1]))


def update_environment(run: RunDirectory, stage: str, data: dict[str, Any]) -> None:
    """Put a stage's data description into environment.json."""
    try:
        known = json.loads(run.environment.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    known.setdefault("datasets", {})[stage] = data
    write_atomic(run.environment, json.dumps(json_safe(known), indent=1))
