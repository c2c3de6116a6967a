"""The health line and the dialog: complete, scrollable, inert."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from textual.containers import VerticalScroll
from textual.widgets import Static
from tui_fakes import HOSTILE

from workbench.run.health import Finding
from workbench.tui.app import WorkbenchApp
from workbench.tui.dialogs.health import HealthDialog
from workbench.tui.health import health_line, health_story

ALARM = Finding(
    rule="likelihood_displacement",
    title="chosen answers get less likely",
    severity="alarm",
    stage="dpo",
    step=40,
    evidence="logps/chosen fell from -95.2 to -131 while rewards/margins rose from 0.02 to 1.4.",
    explanation="The rejected ones only fall faster. What becomes likely stands in no data.",
    key="dpo.learning_rate",
    change="5e-05 -> 1e-05",
)
WARNING = replace(ALARM, rule="slow_data", severity="warning", title="loading data is slow")
HINT = replace(ALARM, rule="no_held_out", severity="hint", title="no held-out data")


@pytest.mark.parametrize(
    ("findings", "sign", "ascii_sign", "text"),
    [
        ((), "✓", "+", "healthy so far"),
        ((HINT,), "✓", "+", "healthy so far, 1 hint"),
        ((WARNING, HINT), "!", "!", "1 warning: loading data is slow (since dpo step 40)"),
        (
            (ALARM, WARNING),
            "✗",
            "x",
            "1 alarm, 1 warning, the worst: chosen answers get less likely (since dpo step 40)",
        ),
    ],
)
def test_one_line_has_a_sign_beside_its_colour(
    findings: tuple[Finding, ...], sign: str, ascii_sign: str, text: str
) -> None:
    assert health_line(findings, 100).plain == f"{sign} {text}"
    assert health_line(findings, 100, ascii_only=True).plain == f"{ascii_sign} {text}"


def test_one_line_fits() -> None:
    assert health_line((ALARM,), 30).cell_length == 30
    assert health_line((), 30, ended=True).plain == "✓ healthy"


def test_the_story_has_reasons_and_a_cure() -> None:
    story = health_story((ALARM, replace(HINT, key="", change="read stacks.log", now=False))).plain
    assert "✗ alarm  chosen answers get less likely  since dpo step 40" in story
    assert ALARM.evidence in story
    assert ALARM.explanation in story
    assert "change  dpo.learning_rate  5e-05 -> 1e-05" in story
    assert "do  read stacks.log" in story
    assert "at dpo step 40" in story


def test_outside_text_is_inert() -> None:
    hostile = replace(ALARM, title=HOSTILE, evidence=HOSTILE, change=HOSTILE, key=HOSTILE)
    for content in (health_line((hostile,), 200), health_story((hostile,))):
        assert "\x1b" not in content.plain
        assert "[/INST]" in content.plain


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_dialog_scrolls_to_its_end(
    make_app: Callable[..., WorkbenchApp], size: tuple[int, int]
) -> None:
    app = make_app()
    findings = [replace(ALARM, title=f"finding {number}") for number in range(9)]
    async with app.run_test(size=size) as pilot:
        app.push_screen(HealthDialog(HOSTILE, findings))
        await pilot.pause()
        assert isinstance(app.screen, HealthDialog)
        scroll = app.screen.query_one(VerticalScroll)
        assert scroll.max_scroll_y > 0
        await pilot.press("end")
        await pilot.pause()
        assert scroll.scroll_y == scroll.max_scroll_y
        assert "finding 8" in str(app.screen.query_one("#story", Static).content)
        await pilot.press("h")
        await pilot.pause()
        assert not isinstance(app.screen, HealthDialog)


async def test_a_healthy_run_has_a_short_dialog_and_is_copied(
    make_app: Callable[..., WorkbenchApp], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app()
    copied: list[str] = []
    monkeypatch.setattr(app, "copy", copied.append)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(HealthDialog("small", (), ended=True))
        await pilot.pause()
        await pilot.press("y", "escape")
        await pilot.pause()
    assert copied == ["Nothing is wrong with the metrics so far."]
