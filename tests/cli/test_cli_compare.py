"""compare: prompts in, both models' answers out, with a process that loads no model."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from workbench.base.problems import ProblemError
from workbench.cli import main
from workbench.cli.compare import How, ask
from workbench.cli.compare_batch import batch_name
from workbench.judge.answers import Sampling
from workbench.judge.comparisons import load_comparisons
from workbench.run.directory import RunDirectory
from workbench.run.sides import Side
from workbench.run.worker_events import Event

Capture = pytest.CaptureFixture[str]
MakeRun = Callable[..., RunDirectory]


class FakeModels:
    """Answers at once: the side's name, the prompt, and the limit."""

    closed = 0
    asked: ClassVar[list[Any]] = []
    stop_after = 1000

    def __init__(self, run: RunDirectory, on_event: Callable[[Event], None]) -> None:
        self.on_event = on_event

    def batch(
        self,
        prompts: Sequence[Sequence[Mapping[str, str]]],
        sampling: Sampling,
        sides: Sequence[str],
        *,
        analyse: bool,
    ) -> int:
        self.asked.append(([messages[-1]["content"] for messages in prompts], sampling, analyse))
        facts = {"sides": {side: {"label": side, "sha256": "3fa9c1d2e0ab"} for side in sides}}
        self.on_event({"event": "weights", "id": 1, **facts, "max_delta_logit": {"tuned": 4.2}})
        # The last one first: answers of a batch come in any order.
        for number, messages in reversed(list(enumerate(prompts))):
            if len(prompts) - number > self.stop_after:
                self.on_event({"event": "error", "id": 1, "what": "it died", "next_step": "Again."})
                return 1
            for side in sides:
                answer = {"text": f"{side}: {messages[-1]['content']}", "tokens": 2, "seconds": 1.0}
                place = {"id": 1, "side": side, "index": 0, "prompt": number}
                self.on_event({"event": "answer", **place, **answer, "finish": "eos"})
        self.on_event({"event": "done", "id": 1})
        return 1

    def generate(
        self,
        messages: Sequence[Mapping[str, str]],
        sampling: Sampling,
        sides: Sequence[str],
        *,
        answers: int = 1,
        analyse: bool = True,
    ) -> int:
        self.asked.append((messages, sampling, sides, answers))
        prompt = messages[-1]["content"]
        if prompt == "fail":
            self.on_event({"event": "error", "id": 1, "what": "no adapter", "next_step": "Train."})
            return 1
        self.on_event({"event": "loading", "message": "Loading\x07 the base model"})
        self.on_event({"event": "answer", "id": 0, "side": "base", "text": "of an older request"})
        for index in range(answers):
            for side in reversed(sides):
                text = f"{side}: {prompt} {sampling.max_new_tokens}"
                answer = {"text": text, "tokens": 3, "seconds": 1.2, "finish": "length"}
                place = {"id": 1, "side": side, "index": index}
                self.on_event({"event": "answer", **place, **answer})
                if prompt == "analysed":
                    parts = [[f"{side}:", 0.0], [" analysed", -0.7], [" 160", 2.5]]
                    facts = {"pieces": parts, "first_difference": 1}
                    self.on_event({"event": "analysis", **place, **facts})
        self.on_event({"event": "done", "id": 1})
        return 1

    def close(self) -> None:
        FakeModels.closed += 1


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> type[FakeModels]:
    monkeypatch.setattr("workbench.cli.compare.AnswerProcess", FakeModels)
    monkeypatch.setattr("workbench.cli.compare_batch.AnswerProcess", FakeModels)
    monkeypatch.setattr(FakeModels, "closed", 0)
    monkeypatch.setattr(FakeModels, "asked", [])
    monkeypatch.setattr(FakeModels, "stop_after", 1000)
    monkeypatch.setattr("workbench.cli.compare_batch.batch_name", lambda run, name, how: name)
    return FakeModels


def test_the_recipe_s_prompts_are_the_default(
    make_run: MakeRun, models: type[FakeModels], capsys: Capture
) -> None:
    run = make_run()
    assert main(["compare", "last", "--max-new-tokens", "9"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "> Why is the sky blue?",
        "base (3 tokens, 1.2 s, cut)            | tuned (3 tokens, 1.2 s, cut)",
        "-" * 38 + " | " + "-" * 38,
        "base: Why is the sky blue? 9           | tuned: Why is the sky blue? 9",
        "",
    ]
    assert captured.err == "Loading the base model\n"
    (kept,) = load_comparisons(run)
    assert kept["messages"] == [{"role": "user", "content": "Why is the sky blue?"}]
    assert kept["answers"]["tuned"]["text"] == "tuned: Why is the sky blue? 9"
    assert models.closed == 1


def test_compare_as_json(make_run: MakeRun, models: type[FakeModels], capsys: Capture) -> None:
    run = make_run()
    options = ["--prompt", "One", "--prompt", "Two", "--temperature", "0.5", "--seed", "7"]
    assert main(["compare", run.id, *options, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["run"] == run.id
    assert (shown["sampling"]["temperature"], shown["sampling"]["seed"]) == (0.5, 7)
    assert [comparison["prompt"] for comparison in shown["comparisons"]] == ["One", "Two"]
    assert shown["comparisons"][1]["answers"]["base"] == {
        "text": "base: Two 160",
        "tokens": 3,
        "seconds": 1.2,
        "finish": "length",
    }


def test_a_prompts_file_is_one_batch_and_goes_on_where_it_stopped(
    make_run: MakeRun, models: type[FakeModels], capsys: Capture, tmp_path: Path
) -> None:
    run = make_run()
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("First one\n\n  \nSecond one\nThird\x07 one\n")
    models.stop_after = 1
    assert main(["compare", "last", "--prompts", str(prompts)]) == 1
    assert capsys.readouterr().err.endswith(f"{run.id}: it died. Again.\n")
    models.stop_after = 1000
    assert main(["compare", "last", "--prompts", str(prompts), "--system", ""]) == 0
    captured = capsys.readouterr()
    assert [asked[0] for asked in models.asked][1] == ["First one", "Second one"]
    assert "1 of 3 were there already; --again asks all anew." in captured.err
    assert "Weights: base 3fa9c1d2; tuned 3fa9c1d2 (max |delta logit| 4.2)" in captured.err
    assert "2 of 2 prompts answered" in captured.err
    assert [line for line in captured.out.splitlines() if line.startswith(">")] == [
        "> First one", "> Second one", "> Third one",
    ]  # fmt: skip
    kept = load_comparisons(run)
    assert [record["messages"][0]["content"] for record in kept] == [
        "Third\x07 one", "Second one", "First one",
    ]  # fmt: skip
    assert {record["batch"] for record in kept} == {"prompts"}
    assert main(["compare", "last", "--prompts", str(prompts)]) == 0
    assert len(models.asked) == 2
    assert main(["compare", "last", "--prompts", str(prompts), "--again"]) == 0
    assert len(models.asked[-1][0]) == 3


def test_a_set_with_several_answers_and_a_system_prompt(
    make_run: MakeRun, models: type[FakeModels], capsys: Capture, tmp_path: Path
) -> None:
    run = make_run()
    rows = [{"prompt": "a", "id": "x", "category": "c"}, {"turns": ["b", "then"]}]
    prompts = tmp_path / "mine.jsonl"
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["--answers", "2", "--temperature", "0.5", "--system", "Be brief.", "--json"]
    assert main(["compare", "last", "--prompts", str(prompts), *options]) == 0
    captured = capsys.readouterr()
    shown = json.loads(captured.out)["comparisons"]
    assert [(one["prompt"], one["index"]) for one in shown] == [
        ("a", 0), ("a", 1), ("b", 0), ("b", 1),
    ]  # fmt: skip
    assert [asked[1].seed for asked in models.asked] == [42, 43]
    assert "1 prompts have several turns: only the first is asked." in captured.err
    kept = load_comparisons(run)
    assert kept[0]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert {(record["prompt_id"], record["category"]) for record in kept} >= {("x", "c")}
    assert [record["seed"] for record in kept] == [42, 42, 43, 43]


def test_other_weights_or_sampling_are_another_batch(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(b"one")
    side = Side("tuned", "tuned", folder=folder)
    monkeypatch.setattr("workbench.cli.compare_batch.find_side", lambda run, spec: side)
    run = make_run()
    first = batch_name(run, "set", How(Sampling()))
    assert first == batch_name(run, "set", How(Sampling()))
    assert first.startswith("set ")
    assert first != batch_name(run, "set", How(Sampling(seed=1)))
    weights.write_bytes(b"two")
    assert first != batch_name(run, "set", How(Sampling()))


def test_the_first_difference_and_the_change_are_told(
    make_run: MakeRun, models: type[FakeModels], capsys: Capture
) -> None:
    make_run()
    assert main(["compare", "last", "--prompt", "analysed"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].split("|")[1].strip() == "tuned: »analysed 160"
    assert lines[4] == (
        "tuned: differs from token 2 on (»), 67% of tokens changed, mean |log-ratio| 1.07"
    )
    assert main(["compare", "last", "--prompt", "analysed", "--shade"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].split("|")[1].strip() == "tuned: »[--analysed] [+++160]"
    assert lines[5].startswith("[+word] likelier for tuned than for base")
    assert main(["compare", "last", "--prompt", "analysed", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["comparisons"][0]["answers"]["tuned"]
    assert answer["changed_share"] == pytest.approx(2 / 3)
    assert "pieces" not in answer


def test_several_answers_need_a_temperature(
    make_run: MakeRun, models: type[FakeModels], capsys: Capture
) -> None:
    make_run()
    assert main(["compare", "last", "--prompt", "a", "--answers", "2"]) == 2
    assert "Add --temperature 0.8" in capsys.readouterr().err
    options = ["--answers", "2", "--temperature", "1", "--top-p", "0.9", "--top-k", "5"]
    assert main(["compare", "last", "--prompt", "a", *options]) == 0
    assert "> a  (answer 2 of 2)" in capsys.readouterr().out
    assert models.asked[-1][3] == 2
    assert (models.asked[-1][1].top_p, models.asked[-1][1].top_k) == (0.9, 5)


def test_a_side_that_is_not_there_is_bad_usage(
    make_run: MakeRun, models: type[FakeModels], capsys: Capture
) -> None:
    make_run()
    assert main(["compare", "last", "--prompt", "a", "--sides", "base,dpo:3"]) == 2
    assert "the run has no weights for dpo:3" in capsys.readouterr().err


def test_prompts_that_cannot_be_read(
    make_run: MakeRun, models: type[FakeModels], capsys: Capture, tmp_path: Path
) -> None:
    make_run()
    missing, latin, empty = (tmp_path / name for name in ("missing", "latin", "empty"))
    latin.write_bytes(b"caf\xe9\n")
    empty.write_text("\n")
    for path, message in [
        (missing, "there is no such prompt set"),
        (latin, "is no UTF-8 text. Save it as UTF-8."),
        (empty, "holds no prompt."),
    ]:
        assert main(["compare", "last", "--prompts", str(path)]) == 2
        assert capsys.readouterr().err.startswith(f"{path}: {message}")


def test_a_failure_is_one_line_and_the_process_is_closed(
    make_run: MakeRun, models: type[FakeModels], capsys: Capture
) -> None:
    run = make_run()
    assert main(["compare", "last", "--prompt", "Fine", "--prompt", "fail"]) == 1
    captured = capsys.readouterr()
    assert captured.err.endswith(f"{run.id}: no adapter. Train.\n")
    assert "base: Fine 160" in captured.out
    assert len(load_comparisons(run)) == 1
    assert models.closed == 1


def test_leaving_early_closes_the_process(make_run: MakeRun, models: type[FakeModels]) -> None:
    said: list[Any] = []
    answers = ask(make_run(), ["One", "Two"], Sampling(), say=said.append)
    assert next(answers)["prompt"] == "One"
    answers.close()
    assert models.closed == 1


def test_the_error_is_a_problem(make_run: MakeRun, models: type[FakeModels]) -> None:
    with pytest.raises(ProblemError, match="no adapter"):
        list(ask(make_run(), ["fail"], Sampling(), say=print))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--temperature", "-1"], "'-1' is not a number of 0 or more"),
        (["--temperature", "nan"], "'nan' is not a number of 0 or more"),
        (["--answers", "17"], "'17' is above 16"),
        (["--top-p", "1.5"], "'1.5' is above 1"),
        (["--top-p", "0"], "'0' is not above 0"),
        (["--top-k", "-1"], "'-1' is not a whole number of 0 or more"),
        (["--repetition-penalty", "inf"], "'inf' is not a number of 0 or more"),
        (["--max-new-tokens", "1.5"], "'1.5' is not a whole number above 0"),
        (["--prompt", "a", "--prompts", "b"], "not allowed with argument --prompt"),
    ],
)
def test_bad_options_are_bad_usage(options: list[str], message: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["compare", "last", *options])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "option", [("--seed", "-1"), ("--seed", str(2**63)), ("--max-new-tokens", "4097")]
)
def test_a_request_that_no_model_takes_is_bad_usage(
    option: tuple[str, str], capsys: Capture
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["compare", "last", *option])
    assert option[0] in capsys.readouterr().err


def test_a_prompts_file_without_end_is_refused(make_run: MakeRun, capsys: Capture) -> None:
    run = make_run()
    assert main(["compare", run.id, "--prompts", "/dev/zero"]) == 2
    assert capsys.readouterr().err.startswith("/dev/zero: there is no such prompt set")
