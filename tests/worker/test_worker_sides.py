"""Which weights answer: the base bit for bit, and the trained ones, whatever came before."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from worker_helpers import MakeRun, train

from workbench.judge.answers import Sampling
from workbench.run.directory import RunDirectory
from workbench.run.record import read_record
from workbench.run.sides import find_side
from workbench.worker.answerer import Answerer
from workbench.worker.requests import prompt_ids
from workbench.worker.row_cache import MOST_ROWS
from workbench.worker.row_decoder import Voice, processors

pytestmark = pytest.mark.model

TEA = [{"role": "user", "content": "What is tea?"}]
LONGER = [{"role": "user", "content": "Tell me how to make tea, and what to eat with it."}]
Events = list[dict[str, Any]]


class Asked:
    """An answerer, and what it has sent."""

    def __init__(self, run: RunDirectory) -> None:
        self.answerer = Answerer(run, lambda _: None)
        self.answerer.load()
        self.events: Events = []

    def __call__(
        self, op: str = "generate", going: Callable[[], bool] = lambda: True, **fields: Any
    ) -> Events:
        """Serve one request and return its events."""
        self.events = []
        request = {"op": op, "max_new_tokens": 12, "messages": TEA, **fields}
        self.answerer.answer(request, self.emit, going)
        return self.events

    def emit(self, event: str, **fields: Any) -> None:
        self.events.append({"event": event, **fields})

    def logits(self, spec: str, prompts: list[list[int]]) -> torch.Tensor:
        """The logits of a side at the end of prompts of one length, a row each."""
        loaded = self.answerer.models.get([find_side(self.answerer.run, spec)])[spec]
        voice, count = loaded.voice, len(prompts)
        return voice.read_prompts(prompts, [loaded.adapter] * count, [None] * count)[1][:, -1]

    def prompt(self, messages: list[dict[str, str]] = TEA) -> list[int]:
        return prompt_ids(self.answerer.models.tokenizer, messages, None)


def set_in_config(run: RunDirectory, name: str, value: bool) -> None:
    config = yaml.safe_load(run.config("dpo").read_text())
    run.config("dpo").write_text(yaml.safe_dump({**config, name: value}))


def of(events: Events, name: str) -> Events:
    return [event for event in events if event["event"] == name]


def texts(events: Events) -> dict[tuple[str, int, int], str]:
    return {(e["side"], e["prompt"], e["index"]): e["text"] for e in of(events, "answer")}


@pytest.fixture
def ask(finished: RunDirectory) -> Asked:
    return Asked(finished)


def alone(path: Path | str, prompts: list[list[int]]) -> torch.Tensor:
    """The logits of a model that is loaded by itself, without PEFT; read in the same way.

    Shapes, and whether a weight is frozen, decide in which order a product is summed up, so bits
    can only be compared among equals.
    """
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    model.requires_grad_(False)
    voice = Voice(model, lambda _: contextlib.nullcontext(), frozenset())
    read = voice.read_prompts(prompts, [""] * len(prompts), [None] * len(prompts))[1][:, -1]
    with torch.inference_mode():
        plain = model(torch.tensor(prompts)).logits[:, -1]
    torch.testing.assert_close(read, plain, rtol=1e-5, atol=1e-5)
    return read


def merged(base: Path, adapter: Path) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return PeftModel.from_pretrained(model, adapter).merge_and_unload().eval()


def check_weights(ask: Asked, tiny: Path) -> None:
    """Base is the base bit for bit, tuned the merged model, in one batch and alone."""
    prompt = ask.prompt()
    base = alone(tiny, [prompt, prompt])
    assert torch.equal(ask.logits("base", [prompt, prompt]), base)
    folder = ask.answerer.run.output("dpo")
    with torch.inference_mode():
        tuned = merged(tiny, folder)(torch.tensor([prompt])).logits[:, -1]
    torch.testing.assert_close(ask.logits("tuned", [prompt]), tuned, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(base[:1], tuned, atol=1e-2)
    sides = [find_side(ask.answerer.run, spec) for spec in ("base", "tuned")]
    loaded = ask.answerer.models.get(sides)
    adapters = [one.adapter for one in loaded.values()]
    read = loaded["base"].voice.read_prompts([prompt, prompt], adapters, [None, None])[1][:, -1]
    assert torch.equal(read[0], base[0])
    torch.testing.assert_close(read[1], tuned[0], rtol=1e-4, atol=1e-4)


def test_each_side_has_its_own_weights_whatever_came_before(ask: Asked, tiny: Path) -> None:
    check_weights(ask, tiny)
    left = iter([True] * 4)
    ask(going=lambda: next(left, False), max_new_tokens=60)
    assert {event["finish"] for event in of(ask.events, "answer")} <= {"cancelled", "eos"}
    check_weights(ask, tiny)
    checkpoint = next(s for s in ask.answerer.description()["sides"] if s.startswith("dpo:"))
    ask(sides=["sft", checkpoint])
    check_weights(ask, tiny)
    loads = ask.answerer.models.loads

    def broken() -> bool:
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        ask(going=broken)
    check_weights(ask, tiny)
    assert ask.answerer.models.loads == loads == 1
    ask.answerer.forget()
    ask.answerer.load()
    check_weights(ask, tiny)


def test_checkpoints_are_swapped_without_loading_the_base_again(ask: Asked, tiny: Path) -> None:
    specs = [s for s in ask.answerer.description()["sides"] if ":" in s]
    assert len(specs) > 8  # more than are kept at once
    prompt = ask.prompt()
    for spec in [*specs, specs[0]]:
        folder = find_side(ask.answerer.run, spec).folder
        assert folder is not None
        with torch.inference_mode():
            fresh = merged(tiny, folder)(torch.tensor([prompt])).logits[:, -1]
        torch.testing.assert_close(ask.logits(spec, [prompt]), fresh, rtol=1e-4, atol=1e-4)
    assert ask.answerer.models.loads == 1


def test_the_weights_are_told_before_any_text(ask: Asked, finished: RunDirectory) -> None:
    events = ask()
    assert events[0]["event"] == "weights"
    sides = events[0]["sides"]
    assert sides["tuned"]["label"] == "tuned (dpo)"
    assert sides["tuned"]["folder"] == str(finished.output("dpo"))
    assert len(sides["tuned"]["sha256"]) == 12
    assert (sides["base"]["sha256"], sides["tuned"]["same_as"]) == ("", "")
    prompt = ask.prompt()
    apart = (ask.logits("tuned", [prompt]) - ask.logits("base", [prompt])).abs().max()
    assert events[0]["max_delta_logit"]["base"] == 0
    assert events[0]["max_delta_logit"]["tuned"] >= float(apart) - 1e-5


@pytest.fixture
def zero(finished: RunDirectory, tmp_path: Path) -> RunDirectory:
    """A run whose last adapter changes nothing."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / finished.id
    shutil.copytree(finished.path, folder)
    weights = RunDirectory(folder).output("dpo") / "adapter_model.safetensors"
    tensors = load_file(weights)
    save_file({k: v * ("lora_B" not in k) for k, v in tensors.items()}, weights)
    return RunDirectory(folder)


def test_a_zero_adapter_is_called_the_base(zero: RunDirectory) -> None:
    ask = Asked(zero)
    events = ask(temperature=1.0, max_new_tokens=24, answers=2)
    (weights,) = of(events, "weights")
    assert weights["sides"]["tuned"]["same_as"] == "base"
    assert weights["max_delta_logit"] == {"base": 0.0, "tuned": 0.0}
    for told in of(events, "analysis"):
        assert told["first_difference"] == -1
        assert {delta for _, delta in told["pieces"]} == {0.0}
    got = texts(events)
    # The same chances and the same noise: the same words, though they are drawn.
    assert got["base", 0, 0] == got["tuned", 0, 0]
    assert got["base", 0, 0] != got["base", 0, 1]


def test_the_log_ratios_of_the_tokens(ask: Asked, tiny: Path, finished: RunDirectory) -> None:
    events = ask(max_new_tokens=20)
    tokenizer = ask.answerer.models.tokenizer
    tuned = merged(tiny, finished.output("dpo"))
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()
    prompt = ask.prompt()
    answers = {event["side"]: event for event in of(events, "answer")}
    ends = {tokenizer.eos_token_id, base.generation_config.eos_token_id}
    for told in of(events, "analysis"):
        assert "".join(text for text, _ in told["pieces"]) == answers[told["side"]]["text"]
        model = base if told["side"] == "base" else tuned
        whole = model.generate(torch.tensor([prompt]), max_new_tokens=20, do_sample=False)
        ids = [token for token in whole[0, len(prompt) :].tolist() if token not in ends]
        assert len(ids) == len(told["pieces"])
        whole = torch.tensor([[*prompt, *ids]])
        with torch.inference_mode():
            one, other = (
                torch.log_softmax(model(whole).logits[0, len(prompt) - 1 : -1], dim=-1)
                for model in (tuned, base)
            )
        index = torch.tensor(ids)[:, None]
        expected = (one - other).gather(1, index)[:, 0]
        torch.testing.assert_close(
            torch.tensor([delta for _, delta in told["pieces"]]), expected, atol=2e-4, rtol=1e-3
        )
    pieces = {told["side"]: [text for text, _ in told["pieces"]] for told in of(events, "analysis")}
    place = next(t["first_difference"] for t in of(events, "analysis") if t["side"] == "tuned")
    assert pieces["base"][:place] == pieces["tuned"][:place]
    assert pieces["base"][place:] != pieces["tuned"][place:]


def test_a_batch_answers_as_one_by_one(ask: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MOST_ROWS, "cpu", 6)
    words = ["tea", "is", "simple", "and", "good", "with", "bread", "or", "without", "it"]
    prompts = [
        [{"role": "user", "content": " ".join(words[: 1 + number % 9])}] for number in range(11)
    ]
    together = texts(ask("batch", prompts=prompts, sides=["base", "sft", "tuned"]))
    assert len(together) == 33
    for number, messages in enumerate(prompts):
        one = texts(ask(messages=messages, sides=["base", "sft", "tuned"], analyse=False))
        for side in ("base", "sft", "tuned"):
            assert together[side, number, 0] == one[side, 0, 0]


def test_drawn_answers_do_not_depend_on_their_neighbours(ask: Asked) -> None:
    drawn = {"temperature": 0.9, "top_k": 40, "top_p": 0.95, "repetition_penalty": 1.1}
    three = texts(ask(answers=3, seed=5, **drawn))
    assert len({text for (side, _, _), text in three.items() if side == "base"}) == 3
    alone = texts(ask(answers=1, seed=7, sides=["tuned"], **drawn))
    assert three["tuned", 0, 2] == alone["tuned", 0, 0]


def test_a_second_turn_goes_on_from_what_was_read(
    ask: Asked, finished: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [{"role": "user", "content": "tea and bread " * 20}]
    events = ask(messages=first)
    histories = {
        side: [*first, {"role": "assistant", "content": text}, *LONGER]
        for (side, _, _), text in texts(events).items()
    }
    read: list[int] = []
    plain = Voice.read

    def counting(self: Voice, cache: Any, ids: Any, *rest: Any) -> Any:
        read.append(len(ids[0]))
        return plain(self, cache, ids, *rest)

    monkeypatch.setattr(Voice, "read", counting)
    second = texts(ask(messages=histories, analyse=False))
    assert max(read) <= max(len(ask.prompt(history)) for history in histories.values()) - 40
    read.clear()
    assert texts(Asked(finished)(messages=histories, analyse=False)) == second
    assert max(read) > 60


@pytest.mark.slow
@pytest.mark.parametrize("option", ["use_dora: true", "use_peft: false"])
def test_weights_that_cannot_share_a_batch_answer_beside_each_other(
    new_run: MakeRun, tiny: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.worker.answerer.FLUSH_SECONDS", 0.0)
    name, _, value = option.partition(": ")
    run = new_run(stages=("dpo",))
    set_in_config(run, name, value == "true")
    train(run)
    assert read_record(run).state == "finished", run.log.read_text()
    ask = Asked(run)
    events = ask(max_new_tokens=16)
    got = texts(events)
    assert got["base", 0, 0] != got["tuned", 0, 0]
    prompt = ask.prompt()
    torch.testing.assert_close(ask.logits("base", [prompt]), alone(tiny, [prompt]))
    assert of(events, "weights")[0]["max_delta_logit"]["tuned"] > 0
    assert len(of(events, "analysis")) == 2
    streams = [event["side"] for event in of(events, "text")]
    assert streams.index("tuned") < len(streams) - 1 - streams[::-1].index("base")


def test_sampling_without_its_temperature_is_the_model_s_own() -> None:
    assert not processors(Sampling(temperature=1.0))
    names = [type(one).__name__ for one in processors(Sampling(10, 0.7, 0.9, 40))]
    assert names == ["TemperatureLogitsWarper", "TopKLogitsWarper", "TopPLogitsWarper"]
