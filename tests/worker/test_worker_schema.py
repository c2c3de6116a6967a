"""The snapshot of TRL's fields is what the installed TRL has."""

from __future__ import annotations

import enum
import json
from importlib.metadata import version
from typing import Any, Literal, Union

import pytest

from workbench.recipe import snapshot as snapshot_module
from workbench.recipe.check_values import RANGES
from workbench.recipe.checks import SHARED_ADAPTER_KEYS
from workbench.worker import schema_dump

SNAPSHOT = snapshot_module.SHIPPED_SNAPSHOT


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, ("int", False, ())),
        (bool, ("bool", False, ())),
        (float | None, ("float", True, ())),
        (int | str | None, ("str", True, ())),
        (list[str] | str | None, ("list", True, ())),
        (dict[str, Any] | str | None, ("dict", True, ())),
        (Literal["a", "b"], ("str", False, ("a", "b"))),
        (Union[Colour, str], ("str", False, ("red", "blue"))),  # noqa: UP007
    ],
)
def test_kinds(annotation: Any, expected: tuple[str, bool, tuple[str, ...]]) -> None:
    assert schema_dump.field_kind(annotation) == expected


def test_choices_that_stand_in_the_help() -> None:
    text = "Type of loss. Possible values are: `'sigmoid'`, `'sigmoid_norm'`. If several"
    assert schema_dump.help_choices(text) == ("sigmoid", "sigmoid_norm")
    assert schema_dump.help_choices("Possible values depend on the model.") == ()


def test_the_snapshot_is_up_to_date() -> None:
    snapshot = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    dumped = schema_dump.schema()
    fresh = dumped["fields"]
    if all(snapshot["versions"][name] == version(name) for name in snapshot_module.SOURCES):
        assert {**dumped, "versions": 0} == {**snapshot, "versions": 0}
    # Under other versions too, what the checks speak of must still be there and of its kind.
    for stage in ("sft", "dpo"):
        now = {field["name"]: field["kind"] for field in fresh[stage]}
        then = {field["name"]: field["kind"] for field in snapshot["fields"][stage]}
        spoken_of = [name for name in (*RANGES, *SHARED_ADAPTER_KEYS) if name in then]
        assert len(spoken_of) > 20
        assert {name: now.get(name) for name in spoken_of} == {n: then[n] for n in spoken_of}
    loss = next(f for f in fresh["dpo"] if f["name"] == "loss_type")
    assert len(loss["choices"]) == 15
