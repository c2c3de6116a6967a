"""Values as people read them, and outside text as the screen may show it."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path

from textual.content import Content

from workbench.base.problems import Problem
from workbench.base.text import clean
from workbench.run.states import label

STATE_STYLES = {
    "queued": ("○", "$muted"),
    "starting": ("◌", "$primary"),
    "running": ("●", "$success"),
    "stopping": ("◍", "$warning"),
    "stalled": ("!", "$warning"),
    "finished": ("✓", "$success"),
    "stopped": ("■", "$warning"),
    "failed": ("✗", "$error"),
    "diverged": ("✗", "$error"),
    "out_of_memory": ("✗", "$error"),
    "killed": ("✗", "$error"),
    "lost": ("?", "$error"),
}
_YAML_LINE = re.compile(r"^(\s*(?:- )?)([A-Za-z_][\w./-]*)(:)(?=\s|$)(.*)$")


def plain(text: object, *, newlines: bool = False, style: str = "") -> Content:
    """Outside text, made inert and never read as markup."""
    return Content.styled(clean(str(text), newlines=newlines), style)


def path_text(path: Path, *, style: str = "") -> Content:
    """A path, short where it lies in the home folder."""
    try:
        shown = str(Path("~") / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        shown = str(path)
    return plain(shown, style=style)


def sentence(text: str, *, style: str = "") -> Content:
    """What went wrong as a sentence of its own, with a capital letter."""
    shown = clean(text).strip()
    return Content.styled(shown[:1].upper() + shown[1:], style)


def where_line(where: str) -> Content:
    """The place of a fault, under its sentence."""
    place = path_text(Path(where), style="$muted") if where.startswith("/") else plain(where)
    return join(("at    ", "$muted"), place)


def next_line(step: str) -> Content:
    """What to do now, under the sentence."""
    return join(("next  ", "$muted"), plain(step, style="$primary"))


def join(*parts: str | Content | tuple[str, str]) -> Content:
    """Parts side by side; a tuple is text with its style, plain text is our own wording."""
    return Content.assemble(*parts)


def lines(*parts: Content) -> Content:
    """Parts below each other."""
    return Content("\n").join(parts)


def duration(seconds: float | None) -> str:
    """`00:04:12`, days in front when needed, dashes for what is not known."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return "--:--:--"
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    clock = f"{hour:02}:{minute:02}:{second:02}"
    return f"{days}d {clock}" if days else clock


def ago(moment: float, now: float) -> str:
    """How long ago a Unix time was, in at most eight characters."""
    if moment <= 0:
        return "-"
    seconds = max(0, int(now - moment))
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 86400:
        return f"{seconds // 3600} h"
    if seconds < 14 * 86400:
        return f"{seconds // 86400} d"
    return time.strftime("%d %b", time.localtime(moment))


def number(value: float | None, digits: int = 3) -> str:
    """A measured value in few characters: `0.693`, `12.4`, `4.1e-06`; a dash for none."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf"
    size = abs(value)
    if size == 0:
        return "0"
    if size < 0.001 or size >= 100_000:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    decimals = max(0, digits - max(0, math.floor(math.log10(size)) if size >= 1 else 0))
    return f"{value:.{decimals}f}"


def count(value: float | None) -> str:
    """A large count: `512`, `460 k`, `1.1 B`."""
    if value is None:
        return "?"
    for size, unit in ((1e9, " B"), (1e6, " M"), (1e4, " k")):
        if value >= size:
            scaled = value / (1e3 if unit == " k" else size)
            return f"{scaled:.1f}{unit}" if scaled < 10 else f"{scaled:.0f}{unit}"
    return f"{value:.0f}"


def size(byte_count: float | None) -> str:
    """Bytes in GB or MB (powers of ten, as memory tools print them)."""
    if byte_count is None:
        return "?"
    if byte_count >= 1e9:
        return f"{byte_count / 1e9:.1f} GB"
    return f"{byte_count / 1e6:.0f} MB"


def share(part: float | None, whole: float | None) -> str:
    """A part in percent: `0.34 %`."""
    if not part or not whole:
        return "?"
    percent = 100 * part / whole
    return f"{percent:.2f} %" if percent < 10 else f"{percent:.0f} %"


def state_mark(state: str) -> Content:
    """The sign and name of a run's state; the sign tells it where there is no colour."""
    sign, style = STATE_STYLES.get(state, ("?", "$error"))
    return join((f"{sign} ", style), plain(label(state), style=style))


def stage_mark(stages: tuple[str, ...] | list[str]) -> Content:
    """`sft → dpo`."""
    return plain(" → ".join(stages) or "-")


def problem_line(problem: Problem) -> Content:
    """One problem: sign, place, fault, next step."""
    sign, style = ("✗ ", "$error") if problem.severity == "error" else ("! ", "$warning")
    where = plain(f"{problem.where}: ", style="$muted") if problem.where else Content("")
    sentence = problem.what if problem.what.endswith((".", "?", "!")) else f"{problem.what}."
    step = plain(f" {problem.next_step}", style="$primary") if problem.next_step else Content("")
    return join((sign, style), where, plain(sentence), step)


def yaml_text(text: str) -> Content:
    """YAML with quiet colours for keys and comments."""
    return lines(*(_yaml_line(line) for line in clean(text).split("\n")))


def _yaml_line(line: str) -> Content:
    if line.lstrip().startswith("#"):
        return Content.styled(line, "$faint")
    match = _YAML_LINE.match(line)
    if match is None:
        return Content(line)
    indent, key, colon, rest = match.groups()
    value, mark, comment = rest.partition(" #")
    return join(indent, (key, "$primary"), (colon, "$muted"), value, (mark + comment, "$faint"))
