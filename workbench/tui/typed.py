"""Values as one types them, and what typed text means."""

from __future__ import annotations

import math
from typing import Any

from workbench.recipe.yaml_edit import REMOVE, dump
from workbench.recipe.yaml_file import parse

FILE_KINDS = {
    ".json": "json",
    ".jsonl": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
"""The loader of `datasets` that reads a file, by the file's suffix."""


def to_text(value: Any) -> str:
    """A YAML value as one types it: `5e-5`, `q_proj, v_proj`, `true`, empty for none."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return _float_text(value)
    if isinstance(value, list) and all(_is_simple(item) for item in value):
        return ", ".join(to_text(item) for item in value)
    return dump(value)


def _is_simple(item: Any) -> bool:
    """Whether an item of a list reads back between commas."""
    if isinstance(item, str):
        return bool(item) and item.strip() == item and not set(item) & set(",[]\n")
    return isinstance(item, int | float)


def _float_text(value: float) -> str:
    """`0.1`, `3`, `5e-5`: as short as reads back exactly."""
    text = f"{value:.1e}" if 0 < abs(value) < 0.001 else f"{value:g}"
    if float(text) != value:
        return dump(value)
    mantissa, sign, exponent = text.partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}" if sign else text


def from_text(type_name: str, text: str) -> Any:
    """What a typed text means for a setting of a type, such as `float`.

    Returns:
        A value of that type; the text itself where it is none (the check then says what is wrong
        with it); `REMOVE` for an empty text, which brings the default back.
    """
    text = text.strip()
    if not text:
        return REMOVE
    if type_name == "str":
        return text
    if type_name == "new_set":
        return new_set(text)
    if text[0] in "[{":
        read = parse(f"k: {text}", "")
        if not read.problems and isinstance(read.data.get("k"), list | dict):
            return read.data["k"]
    if type_name == "list":
        return [_scalar(part.strip()) for part in text.strip("[]").split(",") if part.strip()]
    if type_name == "lines":
        return [line.strip() for line in text.split("\n") if line.strip()]
    return _scalar(text)


def new_set(source: str) -> dict[str, Any]:
    """The entry of a mixture for a hub name, a folder, or a data file."""
    suffix = f".{source.rpartition('.')[2].lower()}"
    if suffix in FILE_KINDS:
        return {"path": FILE_KINDS[suffix], "data_files": source}
    return {"path": source}


def _scalar(text: str) -> Any:
    document = parse(f"k: {text}", "")
    value = document.data.get("k")
    simple = not document.problems and isinstance(value, bool | int | float)
    return value if simple else text
