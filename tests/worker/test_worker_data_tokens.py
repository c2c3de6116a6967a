"""Token counts and the token X-ray, against TRL's own trainer on the same rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_model import preference_rows, write_tiny_recipe

from workbench.base.problems import ProblemError
from workbench.recipe.recipe import load_recipe, resolve
from workbench.worker.data_hub import MOST_ROWS, open_hub
from workbench.worker.data_rows import DataRows
from workbench.worker.data_tokens import Lengths, Tokens, sequences, slices

pytestmark = pytest.mark.model

SHARED = Path(__file__).parents[3] / "shared" / "data"
PREFERENCES = sorted(SHARED.glob("prefs*.jsonl"))
NEEDS_SHARED = pytest.mark.skipif(not PREFERENCES, reason="needs the data in ../shared")

ROLES = "{% for m in messages %}"
TEMPLATES = {
    "chatml": None,
    "header": ROLES
    + "<|endoftext|><|im_start|>{{ m['role'] }}<|im_end|>\n\n{{ m['content'] | trim }}"
    "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<|endoftext|><|im_start|>assistant"
    "<|im_end|>\n\n{% endif %}",
    "inst": ROLES + "{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% elif m['role'] == 'system' %}<<SYS>>{{ m['content'] }}<</SYS>>"
    "{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}",
    # It renders a prompt alone otherwise than in a conversation: its end is left out.
    "blank": ROLES + "<|{{ m['role'] }}|>\n{{ m['content'] }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n \n{% endif %}",
}


class Made:
    """A data job with a recipe's config, in this process."""

    def __init__(
        self,
        folder: Path,
        model: Path,
        files: list[Path],
        most: int = 128,
        mixture: Sequence[tuple[int, float]] = (),
        stage: str = "dpo",
    ) -> None:
        recipe = load_recipe(
            write_tiny_recipe(folder / "tiny.yaml", model, stages=(stage,)), stage=stage
        )
        self.config = resolve(recipe, stage, output_dir=folder / "out", models=folder)
        self.config |= {"max_length": most, "eval_strategy": "no", "report_to": "none"}
        (folder / f"{stage}.yaml").write_text(json.dumps(self.config))
        self.job: dict[str, Any] = {
            "stage": stage, "files": [str(file) for file in files], "hub": [],
            "mixture": list(mixture), "test_files": [],
            "wish": {}, "model_source": "", "trusted_model": "", "models": str(folder),
        }  # fmt: skip
        self.events: list[dict[str, Any]] = []
        self.rows = DataRows(self.job, folder)
        self.rows.scan(self.emit, lambda: True)
        self.tokens = Tokens(folder, self.job, self.emit)

    def emit(self, event: str, **fields: Any) -> None:
        self.events.append({"event": event, **fields})

    def measured(self) -> dict[str, Any]:
        self.tokens.all_rows(self.rows, 0, self.emit, lambda: True)
        return self.events[-1]


def trained_on(made: Made, model: Path, file: Path, template: str | None) -> Any:
    """TRL's trainer of the same rows, as a script would make it."""
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(model)
    if template:
        tokenizer.chat_template = template
    arguments = made.tokens.config.training
    return DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        args=arguments,
        train_dataset=load_dataset("json", data_files=str(file), split="train"),
        processing_class=tokenizer,
    )


def used(trainer: Any, most: int) -> tuple[int, int]:
    """Rows that TRL's trainer keeps, and those of them that its collator cuts."""
    cut = 0
    for row in trainer.train_dataset:
        batch = trainer.data_collator([row])
        length = int(batch["attention_mask"].sum())
        cut += length < sum(len(row["prompt_ids"]) + len(row[f"{n}_ids"]) for n in SIDES)
        assert batch["input_ids"].shape[1] <= most
    return len(trainer.train_dataset), cut


SIDES = ("chosen", "rejected")


def varied_rows(count: int) -> Iterator[Mapping[str, Any]]:
    """Rows with earlier turns, a system prompt, other scripts and blanks at their ends."""
    extras = ("", " naïve café", " 你好", "\n\nList:\n- one", " 🙂", "  ")
    for number, row in enumerate(preference_rows(count)):
        prompt = list(row["prompt"])
        if number % 3 == 0:
            prompt = [{"role": "system", "content": "Be brief."}, *prompt]
        if number % 4 == 0:
            earlier = [{"role": "assistant", "content": f"Which one, {number}?"}]
            prompt += [*earlier, {"role": "user", "content": "Any." + extras[number % 6]}]
        chosen = [{"role": "assistant", "content": f"Yes {number}.{extras[number % 6]}"}]
        yield {"prompt": prompt, "chosen": chosen, "rejected": row["rejected"]}


def write(file: Path, rows: Any) -> Path:
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return file


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_tokens_are_those_of_the_trainer(name: str, tiny: Path, tmp_path: Path) -> None:
    """Four chat templates, 208 rows each, whole: prompt, chosen and rejected ids are equal."""
    file = write(tmp_path / "prefs.jsonl", varied_rows(208))
    made = Made(tmp_path, tiny, [file], 512)
    if TEMPLATES[name]:
        made.tokens.tokenizer.chat_template = TEMPLATES[name]
    trainer = trained_on(made, tiny, file, TEMPLATES[name])
    assert len(trainer.train_dataset) == 208
    for number, row in enumerate(trainer.train_dataset, 1):
        xray = made.tokens.xray(made.rows, number, 0)
        for part in ("prompt", "chosen", "rejected"):
            ids = [piece["id"] for piece in xray["pieces"][part]]
            assert ids == row[f"{part}_ids"], (number, part)
    assert ("prompt_not_prefix" in made.measured()["findings"]) == (name == "blank")


@NEEDS_SHARED
@pytest.mark.parametrize("most", [48, 128, 300])
@pytest.mark.parametrize("file", PREFERENCES, ids=lambda file: file.stem)
def test_kept_and_cut_are_what_the_trainer_uses(
    file: Path, most: int, tiny: Path, tmp_path: Path
) -> None:
    made = Made(tmp_path, tiny, [file], most)
    found = made.measured()
    trainer = trained_on(made, tiny, file, None)
    assert (found["kept"], found["truncated"]) == used(trainer, most)
    assert found["kept"] + found["dropped"] == made.rows.pairs
    assert found["findings"].get("prompt_too_long", 0) == found["dropped"]
    assert found["findings"].get("answer_truncated", 0) == found["truncated"]


def test_lengths_are_counted_by_hand() -> None:
    lengths = Lengths("dpo", 10, keeps_start=True)
    for prompt, chosen, rejected in ((4, 3, 6), (4, 9, 2), (10, 1, 1), (2, 2, 2)):
        lengths.see({"prompt": [0] * prompt, "chosen": [0] * chosen, "rejected": [0] * rejected})
    assert (lengths.kept, lengths.dropped, lengths.truncated) == (3, 1, 1)
    assert lengths.whole() == [10, 13, 11, 4]
    assert lengths.parts()["prompt"] == {"p50": 4, "p95": 10, "p99": 10, "max": 10, "mean": 5.0}
    # Sequences of 7+10, 10+6 and 4+4 tokens; in batches of two: 4 of 10, then 2 of 4.
    padding = lengths.padding(2)
    assert (padding["real"], padding["padded"]) == (41, 48)
    assert padding["waste"] == pytest.approx(1 - 41 / 48, abs=1e-4)
    histogram = lengths.histogram()
    assert sum(histogram["prompt"]) == sum(histogram["chosen"]) == 4
    assert "95 %" in lengths.advice()[0]


def test_a_cut_from_the_front_drops_nothing() -> None:
    lengths = Lengths("dpo", 10, keeps_start=False)
    lengths.see({"prompt": [0] * 12, "chosen": [0], "rejected": [0]})
    assert (lengths.kept, lengths.dropped, lengths.truncated) == (1, 0, 1)


def test_the_xray_shows_letters_of_several_tokens_once(tiny: Path, tmp_path: Path) -> None:
    row = {"prompt": "Say 你好 🙂 ", "chosen": "你好", "rejected": "no"}
    file = write(tmp_path / "prefs.jsonl", [row])
    made = Made(tmp_path, tiny, [file])
    xray = made.tokens.xray(made.rows, 1, 0)
    pieces = xray["pieces"]
    assert "".join(piece["text"] for piece in pieces["prompt"]) == row["prompt"]
    assert [piece["text"] for piece in pieces["chosen"]][-1] == "<|im_end|>"
    assert [piece["special"] for piece in pieces["rejected"]][-1] is True
    assert xray["first_difference"] == 0
    assert xray["scored"]["chosen"] == [True] * len(pieces["chosen"])


def test_sft_rows_have_one_answer() -> None:
    row = {"input_ids": [1, 2, 3, 4], "labels": [-100, -100, 3, 4]}
    found = sequences(row)
    assert (found["prompt"], found["chosen"]) == ([1, 2], [3, 4])
    assert found["scored"] == {"chosen": [True, True]}


def test_no_recipe_no_tokens(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="Name a recipe"):
        Tokens(tmp_path, {"stage": "dpo", "model_source": ""}, SimpleNamespace())


def test_slices() -> None:
    assert list(slices(range(5), 2)) == [[0, 1], [2, 3], [4]]


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def pair(number: int, **more: str) -> dict[str, Any]:
    said = {"prompt": f"What is {number}?", "chosen": f"It is {number}.", "rejected": "No idea."}
    said |= more
    sides = {name: [turn("assistant", said[name])] for name in SIDES}
    return {"prompt": [turn("user", said["prompt"])], **sides}


def rows_by_rule(made: Made) -> dict[str, list[int]]:
    rules = made.measured()["rules"]
    return {name: rule["rows"] for name, rule in rules.items()}


def test_planted_rows_are_found_and_clean_ones_are_not(tiny: Path, tmp_path: Path) -> None:
    rows = [pair(number) for number in range(12)]
    clean = Made(tmp_path, tiny, [write(tmp_path / "clean.jsonl", rows)])
    assert rows_by_rule(clean) == {}
    rows[2] = pair(2, prompt="why " * 200)
    rows[5] = pair(5, chosen="so " * 200)
    rows[6] = pair(6, rejected="so " * 200)
    rows[9] = pair(9, chosen="It is nine.<|im_end|>\n<|im_end|>")
    rows[10] = pair(10, rejected="No.<|im_end|><|im_end|>")
    made = Made(tmp_path, tiny, [write(tmp_path / "prefs.jsonl", rows)])
    assert rows_by_rule(made) == {
        "prompt_too_long": [3],
        "answer_truncated": [6, 7],
        "doubled_special_token": [10, 11],
    }
    said = made.rows.whole(6)["findings"]
    lost = next(one["detail"] for one in said if one["rule"] == "answer_truncated")
    tokens = made.tokens.xray(made.rows, 6, 0)
    over = len(tokens["pieces"]["prompt"]) + len(tokens["pieces"]["chosen"]) - 128
    assert lost == f"chosen loses {over} of {len(tokens['pieces']['chosen'])} tokens"
    assert tokens["cut"] == {"chosen": 128, "rejected": None}


def test_a_template_without_an_end_token_is_found(tiny: Path, tmp_path: Path) -> None:
    made = Made(tmp_path, tiny, [write(tmp_path / "p.jsonl", [pair(n) for n in range(3)])])
    made.tokens.tokenizer.chat_template = ROLES + "{{ m['content'] }}\n{% endfor %}"
    assert rows_by_rule(made)["missing_eos"] == [1, 2, 3]


def test_texts_whose_tokens_merge_over_the_border(tiny: Path, tmp_path: Path) -> None:
    rows = [{"prompt": f"{n}:", "chosen": " part of", "rejected": " no"} for n in range(4)]
    rows[2] = {"prompt": "2: ", "chosen": "part of", "rejected": "no"}
    made = Made(tmp_path, tiny, [write(tmp_path / "p.jsonl", rows)])
    assert rows_by_rule(made) == {"prompt_not_prefix": [3]}


def test_the_fractions_of_a_mixture_are_those_of_trl(tiny: Path, tmp_path: Path) -> None:
    """Of 30 and 50 rows 1 : 3 takes the first 17 and 50, as `trl.get_dataset` does."""
    from trl import DatasetMixtureConfig, get_dataset
    from trl.scripts.utils import DatasetConfig

    files = [
        write(tmp_path / f"{count}.jsonl", [pair(number) for number in range(count)])
        for count in (30, 50)
    ]
    made = Made(tmp_path, tiny, files, mixture=[(0, 0.25), (1, 0.75)])
    entries = [
        DatasetConfig(path="json", data_files=str(file), fraction=share)
        for file, share in zip(files, (0.25, 0.75), strict=True)
    ]
    taken = get_dataset(DatasetMixtureConfig(datasets=entries))["train"]
    assert [row for _, row in made.rows.mapped()] == list(taken)
    assert made.rows.shares() == {0: 17, 1: 50}
    assert made.measured()["measured"] == 67


def test_of_a_hub_data_set_the_first_rows_are_streamed(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", [pair(number) for number in range(MOST_ROWS + 50)])
    source = open_hub({"path": str(tmp_path)})
    rows = list(source.rows())
    assert [row.number for row in rows] == list(range(1, MOST_ROWS + 1))
    assert source.at(7).values == pair(6)
    assert source.notes == [f"only the first {MOST_ROWS} rows were looked at"]
    with pytest.raises(ProblemError, match="no-such-folder"):
        open_hub({"path": str(tmp_path / "no-such-folder")})


def test_sft_rows_whose_answer_is_cut_off(tiny: Path, tmp_path: Path) -> None:
    rows = [{"prompt": one["prompt"], "completion": one["chosen"]} for one in map(pair, range(8))]
    rows[4]["prompt"] = [turn("user", "why " * 200)]
    rows[6]["completion"] = [turn("assistant", "so " * 200)]
    made = Made(tmp_path, tiny, [write(tmp_path / "sft.jsonl", rows)], stage="sft")
    assert rows_by_rule(made) == {"no_answer_left": [5], "answer_truncated": [7]}
    found = made.measured()
    assert (found["kept"], found["dropped"], found["truncated"]) == (7, 1, 1)
    xray = made.tokens.xray(made.rows, 1, 0)
    assert xray["pieces"].keys() == {"prompt", "chosen"}
    assert sum(xray["scored"]["chosen"]) == len(xray["pieces"]["chosen"])
