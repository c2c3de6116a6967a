"""Real files of many shapes, and what each comes to: a table that is tested and printed.

`python -m tests.data.formats.format_files` prints it from the files.
"""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.data.formats.mapping import map_row
from workbench.data.formats.model import Recognised, UnusableRowError, Wish
from workbench.data.formats.recognise import recognise

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "formats"


@dataclass(frozen=True)
class Expected:
    """What a file comes to."""

    file: str
    shape: str
    stage: str
    rows: int
    out: int
    as_is: bool = False
    unusable: int = 0


# The figures were counted by other means than the code under test: see test_format_files.py.
TABLE = (
    Expected("alpaca_sft.json", "alpaca", "sft", 50, 50),
    Expected("alpaca_with_text.json", "text", "sft", 50, 50, as_is=True),
    Expected("conv_alpaca_ranking.json", "alpaca_pairs", "dpo", 50, 50),
    Expected("conv_conversational.parquet", "explicit", "dpo", 50, 50, as_is=True),
    Expected("conv_explicit.csv", "explicit", "dpo", 50, 50, as_is=True),
    Expected("conv_explicit.parquet", "explicit", "dpo", 50, 50, as_is=True),
    Expected("conv_explicit.tsv", "explicit", "dpo", 50, 50, as_is=True),
    Expected("conv_ultrafeedback_binarized_style.parquet", "ultrafeedback", "dpo", 50, 50),
    Expected("conv_wrapped_object.json", "explicit", "dpo", 50, 50, as_is=True),
    Expected("glaive_toolcall_sharegpt.json", "sharegpt", "sft", 30, 30),
    Expected("gsm8k_model_solutions.jsonl", "checked_solutions", "dpo", 40, 70),
    Expected("gsm8k_qa.jsonl", "question_answer", "sft", 50, 50),
    Expected("hh_rlhf_implicit.jsonl", "hh_rlhf", "dpo", 30, 30, as_is=True),
    Expected("hh_rlhf_implicit.jsonl.gz", "hh_rlhf", "dpo", 50, 50, as_is=True),
    Expected("identity_alpaca_templated.json", "alpaca", "sft", 30, 30),
    Expected("llamafactory_dpo_sharegpt.json", "sharegpt_pairs", "dpo", 50, 50),
    Expected("llamafactory_kto_messages.json", "unpaired", "", 40, 0, unusable=40),
    Expected("llamafactory_v1_dpo.jsonl", "pair_columns", "dpo", 10, 10),
    Expected("llamafactory_v1_sft.jsonl", "messages", "sft", 40, 40),
    Expected("llmbar_pairwise_label.json", "pairwise_label", "dpo", 50, 50),
    Expected("mt_bench_questions.jsonl", "prompts", "", 80, 0, unusable=80),
    Expected("oasst_trees.jsonl", "answer_tree", "dpo", 20, 141),
    Expected("pandalm_human_votes.json", "pairwise_votes", "dpo", 50, 47, unusable=3),
    Expected("self_instruct_seed_tasks.jsonl", "instances", "sft", 50, 50),
    Expected("sharegpt_multiturn.json", "sharegpt", "sft", 50, 50),
    Expected("ultrafeedback_explicit_standard.jsonl", "explicit", "dpo", 50, 50, as_is=True),
    Expected("ultrafeedback_label_flip_30.jsonl", "explicit", "dpo", 50, 50, as_is=True),
)
NO_DATA = "lfs_pointer_hh_helpful_test.jsonl.gz"
"""The pointer of a file that was never fetched: no rows, so no shape; the reader refuses it."""


def read_rows(name: str) -> list[dict[str, Any]]:
    """All rows of one of the files."""
    path = FOLDER / name
    if path.suffix == ".parquet":
        from pyarrow import parquet

        return list(parquet.read_table(path).to_pylist())
    if path.suffix in (".csv", ".tsv"):
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    if path.suffix != ".json":
        return [json.loads(line) for line in text.splitlines()]
    document = json.loads(text)
    return list(document if isinstance(document, list) else document["data"])


def map_all(
    rows: list[dict[str, Any]], wish: Wish | None = None
) -> tuple[Recognised, list[dict[str, Any]], list[str]]:
    """The shape of rows, the rows for TRL, and why some are unusable."""
    found = recognise(rows, wish)
    mapped: list[dict[str, Any]] = []
    reasons: list[str] = []
    for row in rows:
        try:
            mapped += map_row(found, row, wish)
        except UnusableRowError as error:
            reasons.append(str(error))
    return found, mapped, reasons


def main() -> None:
    """Print the table as Markdown."""
    print(
        "| file | shape | stage | confidence | as it is | rows in | pairs or rows out | unusable |"
    )
    print(
        "|------|-------|-------|------------|----------|---------|-------------------|----------|"
    )
    for expected in TABLE:
        rows = read_rows(expected.file)
        found, mapped, reasons = map_all(rows)
        unusable = f"{len(reasons)}: {max(set(reasons), key=reasons.count)}" if reasons else "0"
        as_is = "yes" if found.as_is else "no"
        figures = f"{found.confidence:.2f} | {as_is} | {len(rows)} | {len(mapped)} | {unusable}"
        print(f"| {expected.file} | {found.shape} | {found.stage or 'none'} | {figures} |")
    print(f"| {NO_DATA} | no rows | none | | | 0 | 0 | a git-lfs pointer, no data |")


if __name__ == "__main__":
    main()
