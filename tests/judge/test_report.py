"""The report of a run: what it says, and what hostile text cannot do in it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rank_helpers import leave_ranks

from workbench.base.files import append_json, write_atomic
from workbench.base.paths import Paths
from workbench.judge.report.collect import collect
from workbench.judge.report.html import as_html
from workbench.judge.report.markdown import as_markdown
from workbench.judge.report.sections import build
from workbench.judge.report.svg import Chart, Series, draw, ticks
from workbench.judge.report.words import verdict
from workbench.recipe.recipe import Recipe
from workbench.run.directory import RunDirectory, create_run
from workbench.run.record import update_record

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HOSTILE = (
    "</title></style></script><script>document.title='owned'</script>"
    "<img src=x onerror=\"document.title='owned'\"><svg onload=\"document.title='owned'\">"
    "]]> --> \x1b]52;c;cm0=\x07\x1b[2J\u202eevil `code` | pipe |\n```\n# head\n- item "
    "[link](javascript:document.title='owned') http://tracker.example/x.png ' onclick='x"
)


@pytest.fixture
def run(make_recipe: Callable[..., Recipe], paths: Paths) -> RunDirectory:
    """A finished run of one stage with held-out metrics."""
    run = create_run(paths, make_recipe())
    results = {"dpo": {"seconds": 61.0, "steps": 4, "peak_rss_bytes": 2e9, "train_loss": 0.5}}
    update_record(
        run, state="finished", started=100.0, finished=200.0, results=results, title="Short answers"
    )
    append_json(run.metrics, {"time": 1.0, "event": "stage", "stage": "dpo", "max_steps": 4})
    for step in range(1, 5):
        row = {"time": 1.0 + step, "stage": "dpo", "step": step, "loss": 0.7 - step / 10}
        append_json(run.metrics, {**row, "rewards/margins": step / 4})
    row = {"time": 6.0, "stage": "dpo", "step": 4, "eval_loss": 0.4}
    append_json(run.metrics, {**row, "eval_rewards/margins": 0.8, "eval_rewards/accuracies": 0.9})
    trained = '{"eval_rewards/accuracies": 0.9, "eval_rewards/margins": 0.8, "pairs": 40}'
    write_atomic(run.scores, trained)
    return run


def sample(run: RunDirectory, step: int, prompt: str, answer: str) -> None:
    side = "dpo" if step else "base"
    row = {"time": 2.0, "stage": "dpo", "step": step, "side": side, "tokens": 3}
    append_json(run.samples, {**row, "prompt": prompt, "answer": answer})


def compare(run: RunDirectory, prompt: str, base: str, tuned: str, **more: Any) -> None:
    answers = {"tuned": {"text": tuned, "tokens": 3, **more}, "base": {"text": base, "tokens": 3}}
    message = {"role": "user", "content": prompt}
    append_json(run.comparisons, {"messages": [message], "answers": answers, "category": prompt})


def html_of(run: RunDirectory) -> str:
    return as_html(build(collect(run)))


class Tags(HTMLParser):
    """All tags with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def make_hostile(run: RunDirectory) -> None:
    """Fill every file of a run with text that would like to be more."""
    update_record(run, title=HOSTILE, name="x", notes=[HOSTILE], model_source=HOSTILE)
    write_atomic(run.recipe, f"title: x\n# {HOSTILE}\n")
    write_atomic(run.environment, '{"versions": {"<script>": "<script>"}, "platform": "</dd><b>"}')
    for step in (0, 4):
        sample(run, step, HOSTILE, f"{HOSTILE} {step}")
    pieces = [[HOSTILE, 3.0], ["<b>", -3.0]]
    compare(run, HOSTILE, HOSTILE, f"so {HOSTILE}", pieces=pieces, first_difference=0)
    append_json(run.metrics, {"time": 7.0, "stage": "</svg><script>", "step": 9, "loss": 1.0})


def test_several_processes_have_a_table(run: RunDirectory) -> None:
    assert "ranks" not in as_markdown(build(collect(run)))
    update_record(run, processes=2)
    leave_ranks(run, host="<b>", first=90, steps=25)
    page = as_markdown(build(collect(run)))
    assert "2 ranks, 1240 tok/s, comm 20 %" in page
    assert "at most, by the 20 % of the time in communication" in " ".join(page.split())
    assert "<b>" not in html_of(run).replace("&lt;b&gt;", "")


def test_it_says_what_is_known_and_how_to_know_more(run: RunDirectory) -> None:
    sample(run, 0, "Why?", "It depends on many things.")
    sample(run, 4, "Why?", "It depends on you.")
    compare(run, "Why?", "an old answer", "replaced below")
    compare(run, "Why?", "It depends.", "Because so.", pieces=[["Because", 3.0], [" so.", 0.1]])
    page = html_of(run)
    assert "On 40 held-out pairs" in page
    assert "90&nbsp;% of them (95&nbsp;% interval 77&nbsp;% to 96&nbsp;%)" in page
    assert "Nobody has voted" in page
    assert f"dpo-workbench score {run.id}" in page
    assert "<del> many things.</del>" in page or "many things." in page
    assert '<span class="up d3" title="+3.00">Because</span>' in page
    assert "replaced below" not in page
    assert page.count("<svg") == 3
    assert "Best: dpo step 4" in page
    assert "# A comment that stays." in page


def test_it_says_what_the_time_was_spent_on(run: RunDirectory) -> None:
    spent = {"seconds/forward": 6.0, "seconds/backward": 3.0, "seconds/eval": 1.0, "samples": 8}
    append_json(run.metrics, {"time": 9.0, "stage": "dpo", "step": 5, "loss": 0.2, **spent})
    text = as_markdown(build(collect(run)))
    shown = next(line for line in text.splitlines() if "60 %" in line)
    # In the order of TIME_NAMES: data, forward, backward, optimizer, eval, save, other.
    assert re.findall(r"\d+ %", shown) == ["0 %", "60 %", "30 %", "0 %", "10 %", "0 %", "0 %"]


def test_an_empty_run_still_has_a_report(paths: Paths) -> None:
    run = RunDirectory(paths.runs / "20270101-000000-empty-0000")
    run.path.mkdir(parents=True)
    assert "not known" in html_of(run)
    assert "not known" in as_markdown(build(collect(run)))


def test_damaged_files_cost_their_part_alone(run: RunDirectory) -> None:
    (run.path / "scores").mkdir()
    for number, text in enumerate(("{torn", "[]", '{"sides": ["base", 5], "rewards": "x"}')):
        (run.path / "scores" / f"{number}.json").write_text(text)
    for file in (run.samples, run.comparisons, run.votes):
        file.write_text('{"messages": [5], "answers": {"base": 1}}\nrubbish\n[]\n')
    assert "On 40 held-out pairs" in html_of(run)


def test_a_score_and_what_got_worse(run: RunDirectory) -> None:
    def about(value: float) -> dict[str, float]:
        return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 50}

    rewards = {"accuracy": about(0.8), "margin": about(0.6)}
    score = {
        "sides": ["base", "tuned"],
        "rewards": {"base": rewards, "tuned": rewards},
        "worst": [
            {"prompt": "A lost one", "before": 0.5, "after": -0.5, "change": -1.0},
            {"prompt": "A better one", "before": 0.5, "after": 1.5, "change": 1.0},
        ],
        "answers": {
            "base": {"repetition": about(0.1), "refused": about(0.2)},
            "tuned": {"repetition": about(0.4), "refused": about(0.1)},
        },
        "sft": {"ratio": about(1.3), "perplexity": {"base": 10.0, "tuned": 13.0}},
    }
    (run.path / "scores").mkdir()
    import json

    (run.path / "scores" / "base..tuned.json").write_text(json.dumps(score))
    page = as_markdown(build(collect(run)))
    worse = page[page.index("## What got worse") : page.index("## Answers side")]
    assert "A lost one" in worse
    assert "A better one" not in worse
    assert "1.3 (1.2 to 1.4)" in worse
    assert "repetition" in worse
    assert "refusals" not in worse
    assert "On 50 held-out pairs tuned rates" in page


def test_no_claim_stands_without_its_interval() -> None:
    first, second = verdict(None, {}, ())
    assert "not known" in first
    assert "not known" in second


def test_hostile_text_is_inert_in_the_file(run: RunDirectory) -> None:
    make_hostile(run)
    page = html_of(run)
    tags = Tags(page).found
    names = {tag for tag, _ in tags}
    assert not names & {"script", "img", "iframe", "link", "object", "base", "form", "b"}
    assert all(not name.startswith("on") for _, known in tags for name in known)
    links = [known["href"] for tag, known in tags if tag == "a"]
    assert all(re.fullmatch("#[a-z]+", link or "") for link in links)
    assert not any(name in ("src", "xlink:href") for _, known in tags for name in known)
    assert "\x1b" not in page
    assert "\u202e" not in page
    policy = [k["content"] for t, k in tags if t == "meta" and "http-equiv" in k]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert "url(" not in page
    assert "@import" not in page


def test_hostile_text_is_inert_in_markdown(run: RunDirectory) -> None:
    make_hostile(run)
    page = as_markdown(build(collect(run)))
    assert "\x1b" not in page
    assert "\u202e" not in page
    open_fence = ""
    for line in page.splitlines():
        fence = re.match("`{3,}", line)
        if fence and (not open_fence or line == open_fence):
            open_fence = "" if open_fence else fence[0]
        elif not open_fence:
            assert "<script" not in line
            assert "<img" not in line
            assert not re.search(r"(?<!\\)`code", line)
            assert not re.search(r"(?<!\\)\]\(", line)
            assert "http://" not in line
            assert not re.match("# head|- item", line)
    assert open_fence == ""


def test_tables_of_markdown_are_aligned(run: RunDirectory) -> None:
    page = as_markdown(build(collect(run)))
    block: list[int] = []
    for line in [*page.splitlines(), ""]:
        if line.startswith("|"):
            block.append(len(line))
        else:
            assert len(set(block)) <= 1
            block = []


def test_curves_of_any_kind_are_drawn() -> None:
    flat = draw(Chart("Flat", [Series("a", ((1, 0.0), (2, 0.0)))]))
    assert "<polyline" in flat
    assert "<circle" in draw(Chart("One", [Series("a", ((5, 2.0),), held_out=True)]))
    huge = draw(Chart("Huge", [Series("a", ((1, -1.7e308), (2, 1.7e308)))]))
    assert "nan" not in huge
    assert draw(Chart("None", [])) == ""
    assert ticks(0.0, 1.0) == [0.0, 0.5, 1.0] or len(ticks(0.0, 1.0)) >= 3


@pytest.fixture
def browser() -> str:
    """A browser of the Chromium family."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    return found


def test_a_browser_runs_nothing_and_asks_nobody(
    run: RunDirectory, browser: str, tmp_path: Path
) -> None:
    make_hostile(run)
    file = run.path / "report.html"
    log = tmp_path / "net.json"
    write_atomic(file, html_of(run))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-extensions"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={log}"]
    command += ["--disable-background-networking", "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    shown = done.stdout
    tags = Tags(shown).found
    assert ("main", {}) in tags
    assert "script" not in {tag for tag, _ in tags}
    title = re.search("<title>(.*?)</title>", shown, re.DOTALL)
    assert title is not None
    assert title[1] != "owned"
    assert "tracker.example" not in log.read_text(encoding="utf-8", errors="replace")


def test_health_has_its_section(run: RunDirectory) -> None:
    document = build(collect(run))
    assert "Healthy. " in as_markdown(document)
    for step in range(5, 31):
        row = {"time": 10.0 + step, "stage": "dpo", "step": step, "loss": 0.693, "samples": 16}
        row |= {"logps/chosen": -50.0 - step % 7, "logps/rejected": -50.0 - step % 7}
        append_json(run.metrics, {**row, "rewards/margins": 0.0, "rewards/accuracies": 0.0})
    document = build(collect(run))
    for text in (as_html(document), as_markdown(document)):
        assert "Health" in text
        assert "hosen and rejected are the same text" in text
        assert "map chosen and rejected to two different columns" in text
        assert "their gradients cancel" in text
