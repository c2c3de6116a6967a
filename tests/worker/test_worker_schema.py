"""The snapshot of TRL's fields is what the installed TRL has."""

from __future__ import annotations

import enum
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Union

import pytest

from workbench.recipe import schema as recipe_schema
from workbench.worker import schema_dump

SNAPSHOT = Path(recipe_schema.__file__).with_name("schema.json")


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
    for package in ("trl", "transformers"):
        if snapshot["versions"][package] != version(package):
            pytest.skip(f"the snapshot was made with another {package}")
    assert schema_dump.schema()["fields"] == snapshot["fields"]
    loss = next(f for f in snapshot["fields"]["dpo"] if f["name"] == "loss_type")
    assert len(loss["choices"]) == 15
