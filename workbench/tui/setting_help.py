"""What the editor says of the setting under the cursor."""

from __future__ import annotations

from textual.content import Content

from workbench.recipe.guide import CHOICES, LOSSES
from workbench.recipe.schema import OWN_KEYS
from workbench.tui.form import SHARED, Setting
from workbench.tui.render import join, lines, plain
from workbench.tui.typed import to_text


def setting_help(row: Setting) -> Content:
    """Name, type, default, where the value comes from, what it does, TRL's own words."""
    parts = [_head(row), _facts(row)]
    if row.guide and row.guide.effect:
        parts.append(plain(row.guide.effect, style="$foreground"))
    parts += [plain(row.help)] if row.help else []
    return lines(*(part for part in parts if part))


def choice_lines(row: Setting) -> list[Content]:
    """Each choice of a setting on a line, with a few words where there are some."""
    notes = LOSSES if row.kind == "losses" else CHOICES.get(row.key, {})
    width = max((len(choice) for choice in row.choices), default=0) + 2
    return [
        join(plain(choice.ljust(width)), plain(notes.get(choice, ""), style="$muted"))
        for choice in row.choices
    ]


def _head(row: Setting) -> Content:
    stage = "" if row.stage == SHARED else f"{row.stage}."
    name = row.label if row.kind == "add" else f"{stage}{row.key}"
    kind = "" if row.key in OWN_KEYS or row.kind == "add" else f"  {row.type_name}"
    return join(plain(name, style="bold $primary"), (kind, "$muted"))


def _facts(row: Setting) -> Content:
    """`default 0.1 · here from line 40 · usual 0.05 to 0.5`."""
    if row.kind == "add":
        return Content("")
    facts = []
    if row.key not in OWN_KEYS:
        default = to_text(row.fallback) or "none"
        facts.append(f"{'for all stages' if row.inherited else 'default'} {default}")
    if row.origin:
        facts.append(f"here from {row.origin}")
    if row.guide:
        usual = row.guide.usual_in("dpo" if row.stage == SHARED else row.stage)
        facts += [f"unit {row.guide.unit}"] if row.guide.unit else []
        facts += [f"usual {usual}"] if usual else []
    return plain("  ·  ".join(facts), style="$muted")
