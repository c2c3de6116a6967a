"""`show --diff A B`: what differs between two recipes or runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from workbench.base.paths import Paths
from workbench.cli.output import one_line, print_json
from workbench.cli.settings import know_installed_settings
from workbench.run.differences import Comparison, Side, compare, find_side


def show_diff(paths: Paths, names: list[str], *, as_json: bool) -> int:
    """Print what differs between two recipes or runs, setting by setting."""
    know_installed_settings()
    first, second = (find_side(paths, Path.cwd(), name) for name in names)
    found = compare(first, second)
    if as_json:
        print_json(
            {
                "sides": [_side(side) for side in found.sides],
                "differences": [asdict(one) for one in found.differences],
            }
        )
    else:
        print("\n".join(_lines(found)))
    return 0


def _side(side: Side) -> dict[str, str]:
    return {"name": side.name, "kind": side.kind}


def _lines(found: Comparison) -> list[str]:
    first, second = found.sides
    lines = [f"{_title(first)} -> {_title(second)}"]
    lines += [
        f"{one_line(side.name)} is read as a recipe; {side.other}"
        for side in found.sides
        if side.other
    ]
    group = ""
    for one in found.differences:
        if one.group != group:
            group = one.group
            lines.append(f"{group}:")
        lines.append(f"  {one_line(one)}")
    return lines if found.differences else [*lines, "nothing differs"]


def _title(side: Side) -> str:
    return f"{side.kind} {one_line(side.name)}"
