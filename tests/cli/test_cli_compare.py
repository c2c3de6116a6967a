"""compare: prompts in, both models' answers out, with a process that loads no model."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from workbench.base.problems import ProblemError
from workbench.cli import main
from workbench.cli.compare import ask
from workbench.judge.answers import Event, Sampling
from workbench.judge.comparisons import load_comparisons
from workbench.run.directory import RunDirectory

Capture = pytest.CaptureFixture[str]
MakeRun = Callable[..., RunDirectory]


class FakeModels:
    """Answers at once: the side's name, the prompt, and the limit."""

    closed = 0

    def __init__(self, run: RunDirectory, on_event: Callable[[Event], None]) -> None:
        self.on_event = on_event

    def generate(
        self, messages: Sequence[Mapping[str, str]], sampling: Sampling, sides: Sequence[str]
    ) -> int:
        prompt = messages[-1]["content"]
        if prompt == "fail":
            self.on_event({"event": "error", "id": 1, "what": "no adapter", "next_step": "Train."})
            return 1
        self.on_event({"event": "loading", "message": "Loading\x07 the base model"})
        self.on_event({"event": "answer", "id": 0, "side": "base", "text": "of an older request"})
        for side in reversed(sides):
            text = f"{side}: {prompt} {sampling.max_new_tokens}"
            answer = {"text": text, "tokens": 3, "seconds": 1.2, "finish": "length"}
            self.on_event({"event": "answer", "id": 1, "side": side, **answer})
        self.on_event({"event": "done", "id": 1})
        return 1

    def close(self) -> None:
        FakeModels.closed += 1


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> type[FakeModels]:
    monkeypatch.setattr("workbench.cli.compare.AnswerProcess", FakeModels)
    monkeypatch.setattr(FakeModels, "closed", 0)
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


def test_prompts_from_a_file(
    make_run: MakeRun, models: type[FakeModels], capsys: Capture, tmp_path: Path
) -> None:
    run = make_run()
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("First one\n\n  \nSecond one\n")
    assert main(["compare", "last", "--prompts", str(prompts)]) == 0
    assert [kept["messages"][0]["content"] for kept in load_comparisons(run)] == [
        "First one",
        "Second one",
    ]


def test_prompts_that_cannot_be_read(
    make_run: MakeRun, models: type[FakeModels], capsys: Capture, tmp_path: Path
) -> None:
    make_run()
    missing, latin, empty = (tmp_path / name for name in ("missing", "latin", "empty"))
    latin.write_bytes(b"caf\xe9\n")
    empty.write_text("\n")
    for path, message in [
        (missing, "cannot be read: No such file or directory. Check the path."),
        (latin, "is no UTF-8 text. Write one prompt a line, in UTF-8."),
        (empty, 'there is no prompt to answer. Give one: --prompt "Hello!"'),
    ]:
        assert main(["compare", "last", "--prompts", str(path)]) == 2
        assert capsys.readouterr().err == f"{path}: {message}\n"


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
    assert capsys.readouterr().err.startswith("/dev/zero: is larger than 1 MB.")
