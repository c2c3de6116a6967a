"""What the dialog before a launch says of the data, as far as it is known by then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from textual.content import Content

from workbench.base.problems import Problem
from workbench.tui.data_view import counted, findings_in_words
from workbench.tui.render import join, plain

if TYPE_CHECKING:
    from workbench.tui.checking import Checked
    from workbench.tui.looking import Look

Looks = Mapping[str, "Look"]
"""Looks at the data of a recipe's stages, those whose files are still the same."""


def data_line(checked: Checked, looks: Looks) -> Content:
    """`data sft 64 rows · dpo 334 pairs, 2 findings (1 error)   d looks`."""
    told = [_stage(stage, sums.rows, looks.get(stage)) for stage, sums in checked.totals]
    known = [words for words in told if words] or ["not known yet"]
    return join(("data ", "$muted"), plain(" · ".join(known)), ("   d looks", "$primary"))


def _stage(stage: str, rows: int | None, look: Look | None) -> str:
    if look is not None and look.report:
        return f"{stage} {counted(look.pairs, 'pair')}, {findings_in_words(look)}"
    return f"{stage} {counted(rows, 'row')}" if rows is not None else ""


def nothing_left(checked: Checked, looks: Looks) -> list[Problem]:
    """Why a stage would train on nothing, for each stage that would."""
    found = []
    for stage, sums in checked.totals:
        look = looks.get(stage)
        tokens = look.tokens if look is not None else {}
        if look is not None and look.pairs == 0:
            what = f"no row of the {stage} data can be trained on"
        elif tokens.get("exact") and tokens.get("kept") == 0:
            what = f"TRL would drop every row of the {stage} data at max_length"
        elif sums.rows == 0:
            what = f"the {stage} data have no row"
        else:
            continue
        found.append(Problem(f"{what}: it would train zero steps", "", "Press d to see why."))
    return found
