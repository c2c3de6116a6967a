"""What is made of each shape goes through TRL's own preparation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from format_cases import CASES, Case
from format_files import FOLDER, TABLE, map_all, read_rows
from tiny_model import make_tokenizer

from workbench.data.formats.model import Wish
from workbench.data.formats.texts import implicit_split, split_pair

pytestmark = pytest.mark.model

TOOL_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + (message['content'] or '') }}"
    "{% if message.tool_calls %}{{ message.tool_calls | tojson }}{% endif %}"
    "{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    made: Any = make_tokenizer()
    made.chat_template = TOOL_TEMPLATE
    return made


def prepared(made: list[dict[str, Any]], stage: str, tokenizer: Any, folder: Path) -> Any:
    """The rows after the trainer's own `_prepare_dataset`, without a model."""
    from datasets import Dataset
    from trl import DPOConfig, SFTConfig

    from workbench.worker.deep_data import tokenise
    from workbench.worker.stage_config import StageConfig

    def rows() -> Iterator[dict[str, Any]]:
        yield from made

    config = (DPOConfig if stage == "dpo" else SFTConfig)(
        output_dir=str(folder / "out"), use_cpu=True, bf16=False, report_to="none"
    )
    data = Dataset.from_generator(rows, cache_dir=str(folder / "cache"))
    none: Any = None
    return tokenise(StageConfig(stage, none, config, none, none), data, tokenizer)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_trl_takes_what_is_made(case: Case, tokenizer: Any, tmp_path: Path) -> None:
    found, made, _ = map_all(case.rows, case.wish)
    ready = prepared(made, found.stage, tokenizer, tmp_path)
    assert len(ready) == len(made)
    for row, before in zip(ready, made, strict=True):
        if found.stage == "dpo":
            check_pair(row, before, tokenizer)


def check_pair(row: dict[str, Any], before: dict[str, Any], tokenizer: Any) -> None:
    """The tokens hold the prompt that we say it is, and both answers."""
    prompt, chosen, rejected = split_pair(before)
    texts = [tokenizer.decode(row[f"{part}_ids"]) for part in ("prompt", "chosen", "rejected")]
    for part, text in zip((prompt, chosen, rejected), texts, strict=True):
        for said in [part] if isinstance(part, str) else [m["content"] for m in part]:
            assert (said or "") in text
    if isinstance(prompt, str):
        assert texts[0] == prompt


@pytest.mark.skipif(not FOLDER.is_dir(), reason="shared/data/formats is not beside the repository")
@pytest.mark.parametrize(
    ("file", "wish"),
    [
        *((expected.file, Wish()) for expected in TABLE if expected.stage),
        ("hh_rlhf_implicit.jsonl", Wish("hh_rlhf")),
        ("conv_explicit.csv", Wish("pair_columns")),
    ],
    ids=lambda value: value if isinstance(value, str) else value.data_format,
)
def test_trl_takes_the_real_files(file: str, wish: Wish, tokenizer: Any, tmp_path: Path) -> None:
    found, made, _ = map_all(read_rows(file), wish)
    ready = prepared(made, found.stage, tokenizer, tmp_path)
    assert len(ready) == len(made)
    if found.stage == "dpo":
        assert all(row["chosen_ids"] and row["rejected_ids"] for row in ready)


@pytest.mark.parametrize(
    ("chosen", "rejected"),
    [
        ("The sky is blue.", "The sky is black."),
        ("The sky is blue.", "The sky was black."),
        ("same", "same"),
        ("same", "same and more"),
        ("x", "y"),
        ("x ", "y "),
        ([{"a": 1}, {"b": 1}], [{"a": 1}, {"b": 2}]),
        ([{"a": 1}], [{"a": 1}]),
    ],
)
def test_the_split_is_trls(chosen: Any, rejected: Any) -> None:
    from trl.data_utils import extract_prompt

    split = extract_prompt({"chosen": chosen, "rejected": rejected})
    at = implicit_split(chosen, rejected)
    assert (chosen[:at], chosen[at:], rejected[at:]) == tuple(split.values())


@pytest.mark.skipif(not FOLDER.is_dir(), reason="shared/data/formats is not beside the repository")
def test_the_split_of_real_transcripts_is_trls() -> None:
    from trl.data_utils import extract_prompt

    for row in read_rows("hh_rlhf_implicit.jsonl.gz"):
        split = extract_prompt(row)
        assert split_pair(row) == (split["prompt"], split["chosen"], split["rejected"])


def test_tools_reach_the_template(tokenizer: Any, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "OpenAI")
    (made,) = map_all(case.rows)[1]
    tokenizer.chat_template = "{{ tools | tojson }}" + TOOL_TEMPLATE
    try:
        (row,) = prepared([made], "dpo", tokenizer, tmp_path)
    finally:
        tokenizer.chat_template = TOOL_TEMPLATE
    text = tokenizer.decode(row["prompt_ids"])
    assert text.startswith(json.dumps(json.loads(made["tools"])))
