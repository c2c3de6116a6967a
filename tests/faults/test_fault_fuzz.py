"""Anything that a file may hold, thrown at its readers.

A few seconds with the other tests. For longer:
`python tests/faults/test_fault_fuzz.py SECONDS`, which prints what was tried.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.base.files import append_json
from workbench.base.paths import Paths, is_safe_name, safe_name
from workbench.base.problems import ProblemError
from workbench.base.tail import LineTail, parse_json_objects, read_jsonl
from workbench.base.text import clean
from workbench.cli.history import runs
from workbench.cli.runs import print_summary, status
from workbench.recipe.recipe import SHIPPED, Recipe, load_recipe, resolve
from workbench.recipe.yaml_edit import REMOVE, edit
from workbench.recipe.yaml_file import parse
from workbench.run.directory import RunDirectory, list_runs
from workbench.run.launch import describe_error
from workbench.run.metrics import MetricsReader
from workbench.run.record import read_record
from workbench.tui.board import RunBoard
from workbench.tui.chart_deck import ChartDeck
from workbench.tui.chart_picture import sketch
from workbench.tui.charts import failure, headline, progress, strip
from workbench.tui.checking import check_text
from workbench.tui.form import settings as form_settings
from workbench.tui.run_rows import cells, story
from workbench.tui.watching import RunView, RunWatcher

DEEP = __name__ == "__main__"
NOW = 1.8e9
TRIED: Counter[str] = Counter()
RECIPES = [path.read_text(encoding="utf-8") for path in sorted(SHIPPED.glob("*.yaml"))]
TOKENS = [
    *(
        "\t",
        "\x00",
        "\ufeff",
        "\r\n",
        "\n",
        "&a ",
        "*a",
        "<<: *a",
        "!!python/object/apply:os.x ",
    ),
    *("!!float ", "!!int x", "!!timestamp 1", "!!binary =", "? ", "- ", ": ", "{", "}", "[", "]"),
    *("|", ">", "'", '"', "%YAML 9.9", "---\n", "...\n", "#", "~", "null", ".nan", "-.inf"),
    *("1e999", "0o17", "1:30:00", "2026-13-45", "9" * 400, "sft:\n", "dpo:\n", "beta: "),
    *("datasets: ", "env: ", "peft_config", "é😀", "\u2028", "\x85", "\ud800", "=", "!"),
    *("loss_type: [a, b]\n", "max_steps: .inf\n", "num_train_epochs: 1e300\n", "lora_r: -1\n"),
    *("lora_target_modules: {a: 1}\n", "per_device_train_batch_size: [1]\n"),
    *("model_name_or_path: ", "x" * 300, "**y", "~nobody/z", "data_files: ", '"\\0"', "../" * 9),
    *("test_split_size: x\n", "probe_prompts: 5\n", "datasets: [5]\n", "dataset_name: []\n"),
]


def fuzzed(examples: int, **strategies: Any) -> Callable[[Callable[..., None]], Any]:
    """A property with few examples among the tests, and many in a run of its own."""

    def wrap(test: Callable[..., None]) -> Any:
        def counted(**values: Any) -> None:
            TRIED[test.__name__] += 1
            test(**values)

        counted.__name__, counted.__doc__ = test.__name__, test.__doc__
        checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
        limits = settings(
            max_examples=20 * examples if DEEP else examples,
            deadline=None,
            suppress_health_check=checks,
            database=None if DEEP else settings().database,
        )
        return limits(given(**strategies)(counted))

    return wrap


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A shipped recipe with a few cuts, copies and foreign pieces."""
    text = draw(st.sampled_from(RECIPES))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 40)))
        piece = draw(st.sampled_from([*TOKENS, text[start:end], ""]) | st.text(max_size=8))
        kept = draw(st.booleans())
        text = text[:start] + piece + text[start if kept else end :]
    return text


PLACES = Paths.from_environment({"DPO_WORKBENCH_HOME": "/nonexistent"})
recipe_texts = mutated() | st.text(max_size=200) | st.lists(st.sampled_from(TOKENS)).map("".join)


def use(recipe: Recipe) -> None:
    """All that the command line and the app do with a recipe before a launch."""
    check_text(recipe.path, recipe.text, PLACES)
    form_settings(recipe)
    assert all(isinstance(text, str) for text in (recipe.title, recipe.description, recipe.model))
    assert isinstance(recipe.probe_prompts, tuple)
    for stage in recipe.stages:
        with contextlib.suppress(ProblemError):
            config = resolve(recipe, stage, output_dir=Path("/out"), models=PLACES.models)
            yaml.safe_dump(config, allow_unicode=True)


@fuzzed(150, text=recipe_texts)
def test_any_text_is_a_recipe_or_a_problem(text: str) -> None:
    """Row 7."""
    try:
        recipe = load_recipe(Path("/nonexistent/a/x.yaml"), text=text)
    except ProblemError:
        return
    use(recipe)


@fuzzed(60, data=st.binary(max_size=300))
def test_any_bytes_are_a_recipe_or_a_problem(data: bytes) -> None:
    """Row 7."""
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        Path(file.name).write_bytes(data)
        with contextlib.suppress(ProblemError):
            use(load_recipe(Path(file.name)))


paths_in_recipe = st.sampled_from(
    [("beta",), ("title",), ("dpo", "beta"), ("sft", "datasets"), ("env",), ("new key",), ("",)]
)
yaml_values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=12)
    | st.lists(st.text(max_size=4), max_size=3)
    | st.dictionaries(st.text(max_size=4), st.integers(), max_size=2)
    | st.just(REMOVE)
)


@fuzzed(100, text=recipe_texts, path=paths_in_recipe, value=yaml_values)
def test_an_edit_of_any_text_works_or_is_refused(
    text: str, path: tuple[str, ...], value: Any
) -> None:
    try:
        changed = edit(text, {path: value})
    except ProblemError:
        return
    assert parse(changed, "").problems == []


@fuzzed(100, text=st.text(max_size=120) | st.sampled_from(["..", "/", "../../x", "-", "\x1b[2J"]))
def test_any_name_stays_in_its_folder(text: str) -> None:
    """Row 11."""
    name = safe_name(text)
    assert is_safe_name(name)
    assert (Path("/root") / name).resolve().parent == Path("/root")
    if is_safe_name(text):
        assert Path(text).name == text


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.integers(10**300, 10**320),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
rows = st.fixed_dictionaries(
    {"stage": st.sampled_from(["sft", "dpo", "", "x"]), "step": st.integers(0, 12)},
    optional={
        "loss": json_values,
        "eval_loss": st.floats(),
        "time": json_values,
        "rewards/margins": st.integers(),
        "non_finite": json_values,
        "tokens_per_second": st.floats(),
        "memory/rss_gb": st.floats(),
    },
)
events = st.fixed_dictionaries(
    {"event": st.sampled_from(["stage", "resume", "progress", "checkpoint", "end"]) | json_values},
    optional={"stage": st.sampled_from(["sft", "dpo"]) | json_values, "step": json_values},
)
lines = (
    (rows | events | json_values).map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=60)
    | st.sampled_from(
        [b"{}{}", b"{", b"\x00" * 50, b"\xef\xbb\xbf{}", b"[" * 2000, b'{"a":' * 2000]
    )
)


def state(reader: MetricsReader) -> Any:
    curves = {(s, n): reader.points(n, s) for s in reader.stages() for n in reader.names()}
    kept = (list(reader.recent), list(reader.events), list(reader.faults), reader.latest)
    return repr((reader.stages(), reader.names(), curves, list(reader.events), kept))


@fuzzed(
    80,
    content=st.lists(lines, max_size=12).map(b"\n".join),
    cuts=st.lists(st.integers(0, 600), max_size=5),
)
def test_metrics_read_while_they_grow_are_those_read_at_once(
    content: bytes, cuts: list[int]
) -> None:
    """Row 28."""
    content += b"\n"
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory(Path(folder))
        growing, watcher = MetricsReader(run), RunWatcher(run)
        done = 0
        for cut in [*sorted(min(cut, len(content)) for cut in cuts), len(content)]:
            with run.metrics.open("ab") as file:
                file.write(content[done:cut])
            done = cut
            growing.read_all()
            show(watcher.look())
        whole = MetricsReader(run)
        whole.read_all()
        assert state(growing) == state(whole)
        assert len(read_jsonl(run.metrics)) >= len(whole.recent)


def show(view: RunView) -> None:
    """All that the monitor and the list make of a run."""
    row = view.row
    for content in (headline(view, row.stage), progress(view, NOW, 80), strip(view), failure(row)):
        assert clean(content.plain) == content.plain
    for cell in (*cells(row, NOW, True), story(row, NOW)):
        assert clean(cell.plain) == cell.plain
    deck = ChartDeck(ascii_only=False)
    for stage in view.points:
        deck.take(view, stage)
        for chart in deck.charts:
            sketch(deck.series(chart), deck.chart_view(), 40, 8)


@fuzzed(60, writes=st.lists(st.tuples(st.booleans(), st.binary(max_size=80)), max_size=8))
def test_a_tail_of_a_file_that_is_rewritten_ends_with_its_lines(
    writes: list[tuple[bool, bytes]],
) -> None:
    """Row 28: appended to or written anew, the last whole text is what was read last."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "log"
        tail = LineTail(file, limit_bytes=7)
        seen: list[str] = []
        content = b""
        for number, (anew, data) in enumerate(writes):
            # Each text ends with its number, as each of our lines has its own time.
            content = (b"" if anew else content) + data + b"\n%d\n" % number
            file.write_bytes(content)
            tail.more = True
            while tail.more:
                new = tail.read()
                seen = new if tail.restarted else seen + new
        assert seen == content.decode("utf-8", "replace").split("\n")[:-1]


RECORD = {
    "version": 1,
    "state": "running",
    "stages": ["sft", "dpo"],
    "stage": "dpo",
    "step": 3,
    "max_steps": 9,
    "created": 1.0,
    "error": {"what": "x"},
    "results": {"dpo": {"eval": {}, "seconds": 3}},
}
record_changes = st.dictionaries(
    st.sampled_from(
        [
            *("version", "state", "stages", "stage", "step", "max_steps", "created", "started"),
            *("finished", "heartbeat", "error", "results", "notes", "pid", "create_time", "name"),
            *("title", "host", "exit_code", "signal", "evidence", "parent", "device", "saving"),
            *(
                "step_seconds",
                "supervisor_pid",
                "supervisor_create_time",
                "boot_id",
                "model_source",
            ),
        ]
    ),
    json_values
    | st.sampled_from(["running", "finished", "failed", "lost", "stalled", os.uname().nodename])
    | st.dictionaries(st.sampled_from(["dpo", "what", "where", "eval"]), json_values),
    max_size=5,
)


@fuzzed(100, changes=record_changes, cut=st.integers(0, 2000), rubbish=st.binary(max_size=4))
def test_any_record_is_shown(changes: dict[str, Any], cut: int, rubbish: bytes) -> None:
    """Row 58."""
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths.from_environment({"DPO_WORKBENCH_HOME": folder})
        run = RunDirectory(paths.runs / "20260101-000000-x-0001")
        run.path.mkdir(parents=True)
        content = json.dumps({**RECORD, **changes}).encode()
        run.record.write_bytes(content[:cut] + rubbish if cut < len(content) else content)
        assert list_runs(paths) == [run]
        (row,) = RunBoard(paths).read()
        show(RunView(row=row))
        show(RunWatcher(run).look())
        record = read_record(run)
        describe_error(record)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            for json_wanted in (False, True):
                asked = {"where": ["sort:best:loss"], "sort": "", "columns": "beta"}
                runs(argparse.Namespace(json=json_wanted, **asked), paths)
                status(argparse.Namespace(run=run.id, json=json_wanted), paths)
            print_summary(run, record)


@fuzzed(100, value=st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_what_is_appended_is_strict_json(value: dict[str, Any]) -> None:
    """Row 27."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.jsonl"
        file.write_bytes(b'{"torn": ')
        append_json(file, value)
        append_json(file, value)

        def refuse(name: str) -> None:
            raise AssertionError(name)

        torn, *written, rest = file.read_bytes().decode("utf-8", "replace").split("\n")
        assert (torn, rest) == ('{"torn": ', "")
        for line in written:
            json.loads(line, parse_constant=refuse)
        assert len(written) == 2
        assert all(len(parse_json_objects(line)) == 1 for line in written)


def fuzz_for(seconds: float) -> int:
    """Run every property again and again; prints counts and findings, returns their number."""
    tests = {name: value for name, value in globals().items() if name.startswith("test_")}
    failed: Counter[str] = Counter()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for name, test in tests.items():
            try:
                test()
            except Exception:  # noqa: BLE001 - every finding is printed, and the next one looked for
                failed[name] += 1
                traceback.print_exc()
        spent = seconds - (deadline - time.monotonic())
        print(f"{spent:.0f} s: {dict(TRIED)} failed: {dict(failed)}")
        sys.stdout.flush()
    return sum(failed.values())


if __name__ == "__main__":
    raise SystemExit(min(1, fuzz_for(float(sys.argv[1]))))
