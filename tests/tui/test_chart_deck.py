"""Which charts there are, and what zooming, panning, axes and the cursor make of them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from tui_fakes import make_paths, make_run, write_metrics, write_record

from workbench.run.directory import RunDirectory
from workbench.tui.chart_deck import ChartDeck
from workbench.tui.chart_list import catalogue, matching, rows_note
from workbench.tui.joined_stages import ALL_STAGES
from workbench.tui.watching import RunWatcher, Wanted
from workbench.tui.window import ALL, Window


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run with 30 SFT records and 120 DPO steps."""
    return make_run(make_paths(tmp_path))


def deck_of(watcher: RunWatcher, stage: str = "dpo") -> ChartDeck:
    deck = ChartDeck(ascii_only=False)
    deck.take(watcher.look(), stage)
    return deck


def titles(names: set[str], stage: str = "dpo") -> list[str]:
    return [chart.title for chart in catalogue(stage, names)]


def append(run: RunDirectory, *rows: dict[str, object]) -> None:
    with run.metrics.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def test_the_known_charts_come_first_then_every_other_metric() -> None:
    names = {"zeta", "loss", "eval_loss", "logits/chosen", "logits/rejected", "eval_runtime",
             "entropy", "memory/rss_gb", "rewards/accuracies", "mine/a", "eval_mine/a"}  # fmt: skip
    assert titles(names) == [
        "loss",
        "rewards/accuracies",
        "entropy",
        "eval_runtime",
        "zeta",
        "logits/chosen, rejected",
        "memory/rss_gb",
        "mine/a",
    ]
    twin = catalogue("dpo", names)[-1]
    assert [curve.metric for curve in twin.curves] == ["mine/a", "eval_mine/a"]


def test_every_metric_is_in_exactly_one_chart() -> None:
    bases = ("loss", "rewards/chosen", "x/chosen", "x/rejected", "y/rejected", "a", "a/b")
    names = {f"{prefix}{base}" for prefix in ("", "eval_") for base in bases}
    shown = [c.metric for chart in catalogue("dpo", names) for c in chart.curves]
    assert names <= set(shown)
    assert len(shown) == len(set(shown))


def test_before_the_first_value_the_known_charts_stand_there() -> None:
    assert titles(set())[:3] == ["loss", "rewards/margins", "rewards/accuracies"]
    assert titles(set(), "grpo") == ["loss", "learning_rate", "grad_norm"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", 5),
        ("  ", 5),
        ("REW", 2),
        ("rewards/*", 2),
        ("*accurac*", 2),
        ("eval_loss", 1),
        ("none of them", 0),
        ("[", 0),
    ],
)
def test_the_filter_takes_words_and_globs(pattern: str, expected: int) -> None:
    names = {"loss", "eval_loss", "rewards/margins", "rewards/accuracies", "mean_token_accuracy",
             "grad_norm"}  # fmt: skip
    assert len(matching(catalogue("dpo", names), pattern)) == expected


def test_how_many_rows_make_a_point() -> None:
    accuracy = next(c for c in catalogue("dpo", {"rewards/accuracies"}))
    loss = next(c for c in catalogue("dpo", {"loss"}))
    rate = next(c for c in catalogue("dpo", {"learning_rate"}))
    assert rows_note(accuracy, 4, "dpo", wide=False) == (("! 4 pairs a point", "bold $warning"),)
    assert rows_note(accuracy, 8, "dpo", wide=False) == (("8 pairs a point", "$faint"),)
    assert rows_note(loss, 4, "dpo", wide=True) == (("4 pairs a point", "$faint"),)
    assert rows_note(loss, 1, "sft", wide=True) == (("1 row a point", "$faint"),)
    assert rows_note(loss, 4, "dpo", wide=False) == ()
    assert rows_note(rate, 4, "dpo", wide=True) == ()
    assert rows_note(accuracy, None, "dpo", wide=True) == ()


def test_a_window_zooms_pans_and_follows() -> None:
    assert ALL.bounds(0, 100) == (0, 100)
    half = ALL.zoomed(0.5, 0, 100, None)
    assert half.bounds(0, 100) == (50, 100)
    assert half.bounds(0, 120) == (70, 120), "at the right end it follows"
    back = half.panned(-0.5, 0, 100)
    assert back.bounds(0, 100) == (25, 75)
    assert back.bounds(0, 120) == (25, 75), "elsewhere it stays"
    assert back.panned(-5, 0, 100).bounds(0, 100) == (0, 50)
    assert back.panned(5, 0, 100) == Window(50)
    assert back.zoomed(2, 0, 100, None) == ALL
    assert ALL.zoomed(0.5, 0, 100, 20).bounds(0, 100) == (10, 60), "the cursor keeps its place"
    assert back.with_inside(90, 0, 100).bounds(0, 100) == (40, 90)
    assert back.at_start(0, 100).bounds(0, 100) == (0, 50)
    assert back.at_end() == half


def test_zoom_and_pan_are_the_same_for_all_pages(run: RunDirectory) -> None:
    deck = deck_of(RunWatcher(run))
    assert deck.bounds == (1, 120)
    deck.zoom(closer=True)
    deck.zoom(closer=True)
    low, high = deck.bounds
    assert high == 120
    assert high - low == pytest.approx(119 / 4)
    deck.turn(1, 2)
    assert deck.bounds == (low, high)
    view = deck.chart_view()
    assert (view.low, view.high) == (90, 120), "round, as the run is live"
    deck.show_all()
    assert not deck.zoomed


def test_a_live_run_stays_at_its_right_edge_while_zoomed(run: RunDirectory) -> None:
    watcher = RunWatcher(run)
    deck = deck_of(watcher)
    deck.zoom(closer=True)
    width = deck.bounds[1] - deck.bounds[0]
    write_metrics(run, 150, first=121)
    deck.take(watcher.look(), "dpo")
    assert deck.bounds == (150 - width, 150)
    deck.pan(-1)
    before = deck.bounds
    write_metrics(run, 160, first=151)
    deck.take(watcher.look(), "dpo")
    assert deck.bounds == before


def test_the_cursor_goes_from_point_to_point(run: RunDirectory) -> None:
    deck = deck_of(RunWatcher(run))
    deck.turn_cursor()
    assert deck.cursor == 120
    deck.move_cursor(-1)
    deck.move_cursor(-10)
    assert deck.cursor == 109
    deck.zoom(closer=True)
    deck.move_cursor(-100)
    assert deck.cursor == 9
    assert deck.bounds[0] <= 9 <= deck.bounds[1], "the window comes along"
    deck.go_to_edge(last=True)
    assert deck.cursor == 120
    deck.turn_cursor()
    assert deck.cursor is None


def test_the_x_axis_counts_epochs_tokens_and_time(run: RunDirectory) -> None:
    write_record(run, state="finished")
    append(run, *({"stage": "dpo", "step": s, "num_tokens": s * 1000.0} for s in (1, 120)))
    watcher = RunWatcher(run)
    deck = deck_of(watcher)
    deck.zoom(closer=True)
    low = deck.bounds[0]
    seen = {}
    for _ in range(4):
        watcher.wanted = deck.wanted(2)
        deck.take(watcher.look(), "dpo")
        view = deck.chart_view()
        seen[view.x_label] = (view.low, view.high, deck.series(deck.charts[0])[0].points[-1][0])
        deck.next_axis()
    assert seen["step"] == (low, 120, 120)
    assert seen["epoch"] == pytest.approx((low / 100, 1.2, 1.2))
    assert seen["tokens"] == pytest.approx((low * 1000, 120_000, 120_000))
    assert seen["time"] == pytest.approx((low, 120, 120))


def test_an_axis_that_was_not_logged_is_told_and_steps_are_shown(run: RunDirectory) -> None:
    watcher = RunWatcher(run)
    deck = deck_of(watcher)
    deck.axis = "tokens"
    watcher.wanted = deck.wanted(2)
    deck.take(watcher.look(), "dpo")
    assert deck.unlogged
    assert deck.chart_view().x_label == "step"
    assert "did not log" in deck.words(2)


def test_a_zoomed_long_run_shows_every_point_of_its_window(tmp_path: Path) -> None:
    run = make_run(make_paths(tmp_path), step=1)
    append(run, *({"stage": "dpo", "step": s, "loss": math.sin(s)} for s in range(2, 9001)))
    watcher = RunWatcher(run)
    while (view := watcher.look()).more:
        pass
    deck = ChartDeck(ascii_only=False)
    deck.take(view, "dpo")
    thinned = deck.series(deck.charts[0])[0].points
    assert len(thinned) < 3000
    for _ in range(5):
        deck.zoom(closer=True)
    watcher.wanted = deck.wanted(1)
    assert watcher.wanted.high == math.inf
    deck.take(watcher.look(), "dpo")
    low, high = deck.bounds
    steps = [x for x, _ in deck.series(deck.charts[0])[0].points if low <= x <= high]
    assert steps == list(range(math.ceil(low), 9001))


def test_detail_of_other_steps_is_not_taken_for_the_window(run: RunDirectory) -> None:
    watcher = RunWatcher(run)
    deck = deck_of(watcher)
    watcher.wanted = Wanted("step", "dpo", 100, 110, frozenset(["loss"]))
    deck.take(watcher.look(), "dpo")
    assert len(deck.series(deck.charts[0])[0].points) == 120


def test_marks_of_a_run_reach_the_axis(run: RunDirectory) -> None:
    append(
        run,
        {"event": "checkpoint", "stage": "dpo", "step": 60, "path": "x", "time": 1.0},
        {"event": "end", "state": "stopped", "time": 2.0},
    )
    deck = deck_of(RunWatcher(run))
    kinds = {mark.kind: mark.x for mark in deck.chart_view().marks}
    assert kinds["checkpoint"] == 60
    assert kinds["stop"] == 120
    assert "■ stopped" in deck.marks_legend()


def test_all_stages_stand_in_a_row_with_their_border(run: RunDirectory) -> None:
    watcher = RunWatcher(run)
    deck = deck_of(watcher, ALL_STAGES)
    assert deck.range == (2, 180)
    border = next(mark for mark in deck.chart_view().marks if mark.kind == "stage")
    assert (border.x, border.label) == (60, "dpo")
    loss = deck.series(deck.charts[0])[0].points
    assert len(loss) == 150
    assert [x for x, _ in loss] == sorted(x for x, _ in loss)
    deck.axis = "time"
    watcher.wanted = deck.wanted(1)
    deck.take(watcher.look(), ALL_STAGES)
    # SFT took 60 seconds by its records, DPO 120; the edge of a live run is the next round value.
    assert deck.series(deck.charts[0])[0].points[-1][0] == pytest.approx(180)
    assert deck.chart_view().high == 180


def test_one_chart_large_and_back_to_its_page(run: RunDirectory) -> None:
    deck = deck_of(RunWatcher(run))
    deck.choose(3, 2)
    assert (deck.first, deck.chosen) == (2, 1)
    deck.enlarge(2)
    assert [chart.title for chart in deck.page(1)] == ["rewards/chosen, rejected"]
    deck.turn(1, 1)
    deck.enlarge(2)
    assert (deck.first, deck.chosen) == (4, 0)
    deck.turn(-3, 2)
    assert deck.first == len(deck.charts) // 2 * 2 - 2 + len(deck.charts) % 2 * 2
