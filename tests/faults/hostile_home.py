"""A user's folders in which every text that came from outside is hostile."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import asdict
from pathlib import Path

from hostile import CORPUS, Hostile

from workbench.base.paths import Paths
from workbench.run.directory import RunDirectory
from workbench.run.record import RunRecord

HOST_OF_NOBODY = "elsewhere"
CREATED = 1_790_000_000.0
NEWEST = "20270101-000000-newest-ffff"
NO_YAML = re.compile("[^\t\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def marked(attack: Hostile) -> str:
    """The text behind its own marker, so that a narrow column shows the marker at least."""
    return f"{attack.marker} {attack.text}"


def make_hostile_home(root: Path) -> Paths:
    """Recipes, runs, logs, metrics and answers; returns the folders."""
    paths = Paths.from_environment({"DPO_WORKBENCH_HOME": str(root)})
    paths.runs.mkdir(parents=True, mode=0o700)
    paths.recipes.mkdir(parents=True)
    for number, attack in enumerate(CORPUS):
        write_recipe(paths.recipes / f"a{number:03}.yaml", attack)
        with contextlib.suppress(OSError, UnicodeError):
            write_recipe(paths.recipes / f"b{attack.as_file_name}.yaml", attack)
        write_run(paths, f"20260101-{number:06}-x-{number:04}", attack)
    write_newest(paths)
    return paths


def write_recipe(path: Path, attack: Hostile) -> None:
    """A recipe whose texts, keys and comments are hostile as far as YAML carries them."""
    value = attack.as_yaml
    text = (
        f'title: "{attack.marker} {value[1:]}\n'
        f"description: {value}\n"
        f"# needs: {NO_YAML.sub('', attack.one_line)}\n"
        f"model_name_or_path: {value}\n"
        f"dataset_name: {value}\n"
        f"run_name: {value}\n"
        f"loss_type: {value}\n"
        f"{value[:200]}: 1\n"
        f"probe_prompts: [{value}]\n"
    )
    if attack.marker.endswith("3"):
        # As it is: most of these are no YAML, and the problem quotes the text.
        text = f"title: {attack.text}\n"
    path.write_bytes(text.encode("utf-8", "surrogateescape" if "\udcff" in text else "replace"))


def write_run(paths: Paths, run_id: str, attack: Hostile) -> None:
    """A failed run that speaks hostile words wherever a record has room for them."""
    run = RunDirectory(paths.runs / run_id)
    run.path.mkdir(mode=0o700)
    text = attack.text
    record = RunRecord(
        id=run_id,
        name=marked(attack),
        title=text,
        recipe_path=f"/x/{text}",
        state="failed",
        stages=["dpo"],
        stage="dpo",
        step=3,
        max_steps=9,
        model_source=text,
        host=text,
        parent=text,
        created=CREATED,
        started=CREATED,
        finished=CREATED + 60,
        exit_code=1,
        error={"what": marked(attack), "where": text, "next_step": text},
        evidence=[text],
        notes=[text],
    )
    write(run.record, json.dumps(asdict(record)))
    write(run.log, f"{text}\n")


def write_newest(paths: Paths) -> None:
    """A finished run with all of the corpus in its log, its metrics and its answers."""
    run = RunDirectory(paths.runs / NEWEST)
    run.path.mkdir(mode=0o700)
    record = RunRecord(
        id=NEWEST,
        name="newest",
        title="newest",
        state="finished",
        stages=["dpo"],
        stage="dpo",
        step=9,
        max_steps=9,
        model_source="m",
        host=HOST_OF_NOBODY,
        created=CREATED,
        started=CREATED,
        finished=CREATED + 60,
        exit_code=0,
        notes=[attack.text for attack in CORPUS],
    )
    write(run.record, json.dumps(asdict(record)))
    write(run.log, "".join(f"{marked(attack)}\n" for attack in CORPUS))
    rows: list[dict[str, object]] = [
        {"time": CREATED, "event": "progress", "message": attack.text} for attack in CORPUS
    ]
    values = {attack.text: 0.5 for attack in CORPUS}
    rows += [
        {"time": CREATED + n, "stage": "dpo", "step": n, "loss": 0.5, **values} for n in range(9)
    ]
    rows[-1]["non_finite"] = [attack.text for attack in CORPUS]
    write(run.metrics, "".join(json.dumps(row) + "\n" for row in rows))
    asked = [
        {
            "time": CREATED + number,
            "messages": [{"role": "user", "content": marked(attack)}],
            "answers": {
                side: {"text": marked(attack), "tokens": 3, "seconds": 1.0, "finish": attack.text}
                for side in ("base", "tuned")
            },
        }
        for number, attack in enumerate(CORPUS)
    ]
    write(run.comparisons, "".join(json.dumps(row) + "\n" for row in asked))
    write(run.recipe, "title: newest\nmodel_name_or_path: m\nbeta: 0.1\n")


def write(path: Path, text: str) -> None:
    """Write a text, whatever letters it has."""
    escaped = any("\udc80" <= letter <= "\udcff" for letter in text)
    data = text.encode("utf-8", "surrogatepass" if not escaped else "replace")
    path.write_bytes(data)
    path.chmod(0o600)
