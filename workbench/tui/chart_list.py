"""Which charts a stage has: the ones that matter most, then one for each other metric."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

STYLES = ("$primary", "$accent", "$success", "$secondary")
EVAL = "eval_"
PAIR = ("/chosen", "/rejected")
# Metrics that are means over the rows of a log window; the others are no matter of how many.
AVERAGED = ("loss", "entropy", "mean_token_accuracy", "rewards/", "logps/", "logits/", "lengths/")
FEW_ROWS = 8


@dataclass(frozen=True)
class Curve:
    """One curve of a chart: `sign` is a letter that stands on it, see `plot.Series`."""

    label: str
    metric: str
    joined: bool = True
    sign: str = ""


@dataclass(frozen=True)
class Chart:
    """One chart: its title and its curves."""

    title: str
    curves: tuple[Curve, ...]

    @property
    def averaged(self) -> bool:
        """Whether its points are means over few or many rows."""
        return self.curves[0].metric.removeprefix(EVAL).startswith(AVERAGED)

    @property
    def accuracy(self) -> bool:
        """Whether it shows shares of rows, which a few rows cannot tell."""
        return "accurac" in self.title


def _with_eval(metric: str) -> Chart:
    return Chart(metric, (Curve("train", metric), Curve("eval", EVAL + metric, joined=False)))


def _pair(prefix: str) -> Chart:
    """Chosen and rejected in one chart: what counts is how they part."""
    chosen, rejected = (prefix + end for end in PAIR)
    return Chart(
        f"{prefix}/chosen, rejected",
        (
            Curve("chosen", chosen, sign="c"),
            Curve("rejected", rejected, sign="r"),
            Curve("eval chosen", EVAL + chosen, joined=False),
            Curve("eval rejected", EVAL + rejected, joined=False),
        ),
    )


def _alone(metric: str) -> Chart:
    return Chart(metric, (Curve("train", metric),))


CHARTS: dict[str, tuple[Chart, ...]] = {
    "dpo": (
        _with_eval("loss"),
        _with_eval("rewards/margins"),
        _with_eval("rewards/accuracies"),
        _pair("rewards"),
        _alone("learning_rate"),
        _alone("grad_norm"),
        _pair("logps"),
        _pair("lengths"),
    ),
    "sft": (
        _with_eval("loss"),
        _with_eval("mean_token_accuracy"),
        _alone("learning_rate"),
        _alone("grad_norm"),
    ),
}
FIRST = (_with_eval("loss"), _alone("learning_rate"), _alone("grad_norm"))


def catalogue(stage: str, names: Collection[str]) -> tuple[Chart, ...]:
    """All charts of a stage.

    Args:
        stage: Its name; a stage that is not known has those that every training has.
        names: The metrics that it has logged. While there are none, the known charts are named.
    """
    known = CHARTS.get(stage, FIRST)
    if not names:
        return known
    there = frozenset(names)
    first = tuple(chart for chart in known if any(c.metric in there for c in chart.curves))
    shown = {curve.metric for chart in first for curve in chart.curves}
    return first + tuple(_others(there - shown))


def _others(names: Collection[str]) -> Iterable[Chart]:
    """A chart for each name, with its twin; the plain names first, then prefix by prefix."""
    done: set[str] = set()
    bases = {name.removeprefix(EVAL) for name in names}
    for base in sorted(bases, key=lambda base: ("/" in base, base)):
        if base in done:
            continue
        prefix = base.rpartition("/")[0]
        if base.endswith(PAIR) and all(prefix + end in bases for end in PAIR):
            done |= {prefix + end for end in PAIR}
            yield _pair(prefix)
        elif base not in names:
            yield Chart(EVAL + base, (Curve("eval", EVAL + base),))
        else:
            yield _with_eval(base) if EVAL + base in names else _alone(base)


def matching(charts: Iterable[Chart], pattern: str) -> tuple[Chart, ...]:
    """The charts with a metric whose name has the pattern in it, or fits it where it is a glob."""
    wanted = pattern.strip().lower()
    if not wanted:
        return tuple(charts)
    glob = any(sign in wanted for sign in "*?[")

    def fits(name: str) -> bool:
        return fnmatchcase(name.lower(), wanted) if glob else wanted in name.lower()

    return tuple(
        chart for chart in charts if any(fits(name) for name in (chart.title, *_names(chart)))
    )


def _names(chart: Chart) -> Iterable[str]:
    return (curve.metric for curve in chart.curves)


def rows_note(
    chart: Chart, rows: float | None, stage: str, *, wide: bool
) -> tuple[tuple[str, str], ...]:
    """How many rows each point is a mean of, as runs of (text, style).

    A share of fewer than `FEW_ROWS` rows says next to nothing, which is a warning. Without room
    only accuracies tell it.
    """
    if rows is None or rows < 1 or not chart.averaged or not (wide or chart.accuracy):
        return ()
    word = "pair" if stage == "dpo" else "row"
    text = f"{rows:.0f} {word}{'' if round(rows) == 1 else 's'} a point"
    if chart.accuracy and rows < FEW_ROWS:
        return ((f"! {text}", "bold $warning"),)
    return ((text, "$faint"),)
