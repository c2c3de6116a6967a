"""Print all rules between settings as a table: ``python tests/recipe/rule_table.py``.

The recipes are the test cases' own, and what a rule says is asked of the rule.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from rule_cases import CASES, said, stage_of, write_surroundings

HEAD = ("| rule | what it says | fires on | silent on |", "|------|------|------|------|")


def table(folder: Path) -> list[str]:
    """The lines of the table, in Markdown.

    Args:
        folder: An empty one, for what the recipes name.
    """
    write_surroundings(folder)
    return [*HEAD, *(_line(rule, folder) for rule in CASES)]


def _line(rule: str, folder: Path) -> str:
    broken, _, right = CASES[rule]
    found = said(rule, folder, broken, stage_of(rule))
    cells = (rule, " ".join(found).replace("|", "\\|"), _code(broken), _code(right))
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    return "; ".join(f"`{line.strip()}`" for line in text.strip().split("\n"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        sys.stdout.write("\n".join([*table(Path(place)), ""]))
