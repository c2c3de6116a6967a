"""votes: results, export, a recipe, and a sitting typed in a plain terminal."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from vote_helpers import HOSTILE, keep_answers, prompts, ready_sitting, vote

from workbench.base.paths import Paths
from workbench.cli import main
from workbench.judge.answers import Sampling
from workbench.judge.comparisons import load_comparisons
from workbench.judge.sittings import list_sittings, new_sitting
from workbench.judge.votes import load_votes
from workbench.recipe.recipe import load_recipe
from workbench.run.directory import RunDirectory
from workbench.run.sides import Side
from workbench.run.worker_events import Event

Capture = pytest.CaptureFixture[str]
MakeRun = Callable[..., RunDirectory]


class FakeModels:
    """Answers a batch at once, in reverse order."""

    batches: list[int] = []
    closed = 0

    def __init__(self, run: RunDirectory, on_event: Callable[[Event], None]) -> None:
        self.on_event = on_event

    def batch(
        self,
        prompts: Sequence[Sequence[Mapping[str, str]]],
        sampling: Sampling,
        sides: Sequence[str],
    ) -> int:
        FakeModels.batches.append(len(prompts))
        request = len(FakeModels.batches)
        self.on_event({"event": "loading", "message": "Loading\x07 the base model"})
        for number, messages in reversed(list(enumerate(prompts))):
            text = messages[-1]["content"]
            if text == "fail":
                self.on_event({"event": "error", "id": request, "what": "no adapter"})
                return request
            for side in sides:
                answer = {"text": "same" if text == "same" else f"{side}: {text}", "tokens": 2}
                self.on_event(
                    {"event": "answer", "id": request, "side": side, "prompt": number, **answer}
                )
        self.on_event({"event": "done", "id": request})
        return request

    def close(self) -> None:
        FakeModels.closed += 1


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeModels]]:
    monkeypatch.setattr("workbench.cli.vote_sitting.AnswerProcess", FakeModels)
    monkeypatch.setattr(FakeModels, "batches", [])
    monkeypatch.setattr(FakeModels, "closed", 0)

    def sides(paths: Paths, run: RunDirectory, texts: Sequence[str]) -> list[Side]:
        return [Side(text, text) for text in texts]

    monkeypatch.setattr("workbench.cli.vote_sitting.parse_sides", sides)
    return FakeModels


@pytest.fixture
def type_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


@pytest.fixture
def trained(make_run: MakeRun) -> RunDirectory:
    """A run with an adapter that a recipe can go on from."""
    run = make_run(name="short")
    folder = run.output("dpo")
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text('{"r": 8}')
    (folder / "adapter_model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    return run


def test_no_votes_yet(make_run: MakeRun, capsys: Capture) -> None:
    run = make_run()
    assert main(["votes", "show", "last"]) == 0
    assert capsys.readouterr().out == (
        f"No votes yet.\nCast some: dpo-workbench votes cast {run.id}\n"
    )
    with pytest.raises(SystemExit) as caught:
        main(["votes"])
    assert caught.value.code == 2


def test_results_as_a_table_and_as_json(make_run: MakeRun, capsys: Capture) -> None:
    run = make_run()
    sitting = ready_sitting(run, 4)
    for item, outcome in enumerate(("tuned", "tuned", "base", "tie")):
        vote(run, sitting, item, outcome)
    vote(run, sitting, 0, "tuned", "bob")
    assert main(["votes", "show", "last", "--by-voter"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == (
        "tuned against base: win rate 70 % (95 % interval 27 % to 94 %) "
        "of 5 votes on 4 comparisons."
    )
    assert shown[1] == (
        "Not told apart yet; about 21 more votes on other prompts at this rate would do."
    )
    assert [" ".join(line.split()) for line in shown[2:8]] == [
        "won lost tie both bad skip win rate 95 % interval",
        "all 3 1 1 0 0 70 % 27 % to 94 %",
        "by ada 2 1 1 0 0 62 % 22 % to 91 %",
        "by bob 1 0 0 0 0 100 % 21 % to 100 %",
        "kind 0 2 1 0 0 0 67 % 16 % to 95 %",
        "kind 1 1 0 1 0 0 75 % 20 % to 97 %",
    ]
    assert "2 voters agree on 100 % of the 1 comparison that" in shown[-1]
    assert main(["votes", "show", "last", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["run"] == run.id
    assert found["pairs"][0]["win_rate"] == pytest.approx(0.7)


def test_hostile_names_are_inert(make_run: MakeRun, capsys: Capture) -> None:
    run = make_run()
    sitting = new_sitting(run, ("base", "tuned"), prompts(2, HOSTILE), prompt_set=HOSTILE)
    keep_answers(run, sitting, base=HOSTILE)
    vote(run, sitting, 0, "base", HOSTILE)
    assert main(["votes", "show", "last", "--by-voter"]) == 0
    assert main(["votes", "export", "last", "x.jsonl", "--voter", "\x1b[31mnobody"]) == 2
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert "by [/INST]" in captured.out
    assert "nobody: has not voted on this run. Voters: [/INST]" in captured.err


def test_export(make_run: MakeRun, capsys: Capture) -> None:
    run = make_run()
    sitting = ready_sitting(run, 3)
    for item, outcome in enumerate(("tuned", "tie", "base")):
        vote(run, sitting, item, outcome)
    assert main(["votes", "export", "last", "pairs.jsonl"]) == 0
    assert capsys.readouterr().out == (
        "pairs.jsonl: 2 preference pairs. Left out: 1 tie or both bad.\n"
    )
    rows = [json.loads(line) for line in Path("pairs.jsonl").read_text().splitlines()]
    assert [row["chosen"][0]["content"] for row in rows] == [
        "Yes.",
        "It depends on many things, as ever.",
    ]
    assert main(["votes", "export", "last", "pairs.jsonl"]) == 1
    assert "exists already" in capsys.readouterr().err
    assert main(["votes", "export", "last", "pairs.jsonl", "--force"]) == 0


def test_a_recipe_that_trains_on_the_votes(
    trained: RunDirectory, paths: Paths, capsys: Capture
) -> None:
    sitting = ready_sitting(trained, 3, base="Base {n}.", tuned="Tuned {n}.")
    vote(trained, sitting, 0, "tuned")
    assert main(["votes", "train", "last"]) == 1
    assert "too little to train on: 1 preference pair." in capsys.readouterr().err
    vote(trained, sitting, 1, "base")
    assert main(["votes", "train", "last"]) == 0
    captured = capsys.readouterr()
    assert f"Start it: dpo-workbench run short-votes --from {trained.id}\n" in captured.out
    assert "warning: 2 pairs are less than one batch of 6" in captured.err
    recipe = load_recipe(paths.recipes / "short-votes.yaml")
    assert recipe.stages == ("dpo",)
    data = Path(recipe.get("datasets", "dpo")[0]["data_files"])
    assert data == paths.recipes / "short-votes.jsonl"
    assert len(data.read_text().splitlines()) == 2
    assert recipe.get("beta", "dpo") == 0.1
    assert recipe.title == "Short answers, trained on votes"
    assert main(["check", "short-votes"]) == 0
    assert main(["votes", "train", "last"]) == 1
    assert main(["votes", "train", "last", "--force"]) == 0
    assert main(["votes", "train", "last", "--name", "round-2", "--voter", "ada"]) == 0
    assert main(["votes", "train", "last", "--name", "../up"]) == 1
    assert not (paths.config / "up.jsonl").exists()


def test_votes_without_an_adapter_to_go_on_from(make_run: MakeRun, capsys: Capture) -> None:
    run = make_run()
    sitting = ready_sitting(run, 2, base="Base {n}.", tuned="Tuned {n}.")
    for item in (0, 1):
        vote(run, sitting, item, "tuned")
    assert main(["votes", "train", "last"]) == 1
    assert "has no adapter" in capsys.readouterr().err


def test_a_typed_sitting_with_undo_and_going_on(
    make_run: MakeRun, models: type[FakeModels], type_in: Callable[[str], None], capsys: Capture
) -> None:
    run = make_run()
    Path("set.txt").write_text("\n".join(f"Question {n}" for n in range(6)))
    command = ["votes", "cast", "last", "--prompts", "set.txt", "--voter", "ada"]
    type_in("l\nx\nr\nu\nt\nq\n")
    assert main(command) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("Loading the base model\n")
    assert "[1 of 6] > Question" in captured.out
    shown = captured.out.split("The same command goes on.")[0]
    panes = [line for line in shown.splitlines() if line.startswith("left")]
    assert panes
    assert all(line.split() == ["left", "|", "right"] for line in panes)
    assert [vote.choice for vote in load_votes(run)] == ["left", "tie"]
    assert models.batches[:2] == [1, 4]
    assert models.closed == 1
    assert {one["batch"] for one in load_comparisons(run)} == {"vote-set-base-tuned"}
    type_in("b\ns\n1\n2\n")
    assert main([*command, "--reveal"]) == 0
    captured = capsys.readouterr()
    assert "2 of 6 done" in captured.out
    assert "left was" in captured.out
    assert "of 5 votes" in captured.out
    assert len(load_votes(run)) == 6
    assert len(list_sittings(run)) == 1
    type_in("")
    assert main([*command, "--new", "--number", "2"]) == 0
    assert len(list_sittings(run)) == 2


def test_equal_answers_are_told_and_left_to_the_person(
    make_run: MakeRun, models: type[FakeModels], type_in: Callable[[str], None], capsys: Capture
) -> None:
    run = make_run()
    Path("set.txt").write_text("same")
    type_in("t\n")
    assert main(["votes", "cast", "last", "--prompts", "set.txt"]) == 0
    assert "Both answers are the same text" in capsys.readouterr().out
    assert [vote.choice for vote in load_votes(run)] == ["tie"]


def test_a_sitting_that_cannot_be(
    make_run: MakeRun, models: type[FakeModels], type_in: Callable[[str], None], capsys: Capture
) -> None:
    make_run()
    type_in("")
    Path("set.txt").write_text("fail")
    for options, what in (
        (["--prompts", "set.txt"], "no adapter"),
        (["--prompts", "none"], "there is no such prompt set"),
        (["--kept"], "no comparison of base and tuned is kept"),
        (["--sides", "base,sft,dpo"], "a vote is on two sides"),
    ):
        assert main(["votes", "cast", "last", *options]) in (1, 2)
        assert what in capsys.readouterr().err
