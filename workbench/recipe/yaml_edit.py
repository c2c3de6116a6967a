"""Changing single values of a YAML text; every other character stays as it was."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

import yaml

from workbench.base.problems import Problem, ProblemError
from workbench.recipe.yaml_file import parse

REMOVE = object()
"""Value of a change that deletes the key."""

_PLAIN = re.compile(r"[A-Za-z_./~][A-Za-z0-9_./+-]*(?: [A-Za-z0-9_./+-]+)*")
_SECTION_INDENT = "  "

Change = tuple[tuple[str, ...], Any]


def edit(text: str, changes: Mapping[tuple[str, ...], Any]) -> str:
    """Apply changes to a YAML text.

    Args:
        text: A YAML mapping. Comments, order, quotes and blank lines survive.
        changes: New value by key path, `("beta",)` or `("dpo", "beta")`; a missing key is added,
            `REMOVE` deletes one. Lists and mappings are written in flow style.

    Raises:
        ProblemError: The text is not valid, or an edit would not read back as asked.
    """
    document = parse(text, "recipe")
    if document.problems:
        raise ProblemError(*document.problems)
    expected = copy.deepcopy(document.data)
    keys = ", ".join(".".join(path) for path in changes)
    refusal = Problem(f"cannot change {keys} in place", "recipe", "Edit the file in a text editor.")
    for path, value in changes.items():
        try:
            text = _apply(text, path, value)
        except ValueError:  # a form of YAML without the sign that is looked for, such as `? key`
            raise ProblemError(refusal) from None
        _change_mapping(expected, path, value)
    result = parse(text, "recipe")
    if result.problems or result.data != expected:
        raise ProblemError(refusal)
    return text


def rename(text: str, path: tuple[str, ...], new: str) -> str:
    """Give a key of a YAML text another name; its place, value and comments stay.

    Raises:
        ProblemError: There is no such key, or one of the new name, or it would not read back.
    """
    document = parse(text, "recipe")
    parent: Any = document.root
    expected: Any = copy.deepcopy(document.data)
    refusal = Problem(f"cannot rename {'.'.join(path)} in place", "recipe", "Edit the file.")
    holder = expected
    for key in path[:-1]:
        entry = _find(parent, key) if isinstance(parent, yaml.MappingNode) else None
        parent, holder = (entry[1] if entry else None), holder.get(key) or {}
    entry = _find(parent, path[-1]) if isinstance(parent, yaml.MappingNode) else None
    if entry is None or new in holder:
        raise ProblemError(refusal)
    renamed = {new if key == path[-1] else key: value for key, value in holder.items()}
    holder.clear()
    holder.update(renamed)
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    body = text.removeprefix(bom)
    start, end = int(entry[0].start_mark.index), int(entry[0].end_mark.index)
    text = bom + body[:start] + dump(new) + body[end:]
    result = parse(text, "recipe")
    if result.problems or result.data != expected:
        raise ProblemError(refusal)
    return text


def dump(value: Any) -> str:
    """A value as one line of YAML that reads back as the same value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, float):
        return _dump_float(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(dump(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{dump(str(k))}: {dump(v)}" for k, v in value.items()) + "}"
    if isinstance(value, str):
        return _dump_text(value)
    return str(value)


def _dump_float(value: float) -> str:
    """5e-05 as 5.0e-5: the form that every YAML reader takes for a number."""
    text = repr(value)
    if text in ("inf", "-inf", "nan"):
        return text.replace("inf", ".inf").replace("nan", ".nan")
    mantissa, marker, exponent = text.partition("e")
    if not marker:
        return text
    mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
    return f"{mantissa}e{int(exponent):+d}"


def _dump_text(value: str) -> str:
    if _PLAIN.fullmatch(value) and parse(f"k: {value}", "").data.get("k") == value:
        return value
    quoted: str = yaml.safe_dump(value, default_style='"', allow_unicode=True, width=2**30)
    return quoted.strip()


def _change_mapping(data: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        if not isinstance(data.get(key), dict):
            data[key] = {}
        data = data[key]
    if value is REMOVE:
        data.pop(path[-1], None)
    else:
        data[path[-1]] = parse(f"k: {dump(value)}", "").data["k"]


def _apply(text: str, path: tuple[str, ...], value: Any) -> str:
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix("\ufeff")
    root = parse(text, "recipe").root
    parent: Any = root
    for depth, key in enumerate(path[:-1]):
        entry = _find(parent, key)
        if entry is None or not isinstance(entry[1], yaml.MappingNode):
            return bom + _set_whole(text, parent, entry, path[depth:], value, top=depth == 0)
        if entry[1].flow_style:
            merged = _plain(entry[1])
            _change_mapping(merged, path[depth + 1 :], value)
            return bom + _replace(text, entry, merged)
        parent = entry[1]
    entry = _find(parent, path[-1])
    if value is REMOVE:
        return bom + (text if entry is None else _remove(text, parent, entry))
    if entry is not None:
        return bom + _replace(text, entry, value)
    return bom + _insert(text, parent, path[-1], value, top=len(path) == 1)


def _set_whole(
    text: str, parent: Any, entry: Any, path: tuple[str, ...], value: Any, *, top: bool
) -> str:
    """Make the missing or scalar section `path[0]` a mapping that holds the new value."""
    if value is REMOVE:
        return text
    nested: dict[str, Any] = {}
    _change_mapping(nested, path[1:], value)
    if entry is not None:
        return _replace(text, entry, nested)
    if not top:
        return _insert(text, parent, path[0], nested, top=False)
    body = "".join(f"{_SECTION_INDENT}{dump(key)}: {dump(v)}\n" for key, v in nested.items())
    line_end = "" if text.endswith("\n") or not text else "\n"
    return f"{text}{line_end}{path[0]}:\n{body}"


def _find(parent: Any, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    for key_node, value_node in parent.value:
        if isinstance(key_node, yaml.ScalarNode) and str(key_node.value) == key:
            return key_node, value_node
    return None


def _plain(node: yaml.Node) -> Any:
    return yaml.SafeLoader("").construct_document(copy.deepcopy(node))


def _end(node: yaml.Node) -> int:
    """Index after the last character of a value (a block's own end mark lies further on)."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _value_end(text: str, entry: tuple[yaml.Node, yaml.Node]) -> int:
    start, end = entry[0].end_mark.index, _end(entry[1])
    return start + len(text[start:end].rstrip())


def _replace(text: str, entry: tuple[yaml.Node, yaml.Node], value: Any) -> str:
    key_node, value_node = entry
    colon = text.index(":", key_node.end_mark.index) + 1
    start, end = int(value_node.start_mark.index), _value_end(text, entry)
    between = text[colon:start] if start > colon else ""
    if "\n" not in between and "#" not in between:
        space = between or " "
        return text[:colon] + space + dump(value) + text[max(end, colon) :]
    # The old value began on a later line: a comment behind the key stays behind the new value.
    comment = between.split("\n", 1)[0].strip()
    tail = f"  {comment}" if comment.startswith("#") else ""
    return f"{text[:colon]} {dump(value)}{tail}{text[end:]}"


def _insert(text: str, parent: Any, key: str, value: Any, *, top: bool) -> str:
    """Add a key behind the last sibling that is not a section of its own."""
    if parent.flow_style:
        merged = {**_plain(parent), key: value}
        return text[: parent.start_mark.index] + dump(merged) + text[parent.end_mark.index :]
    siblings = [entry for entry in parent.value if _is_setting(entry) or not top]
    indent = " " * parent.value[0][0].start_mark.column
    line = f"{indent}{dump(key)}: {dump(value)}"
    if not siblings:
        start = parent.value[0][0].start_mark.index
        line_start = text.rfind("\n", 0, start) + 1
        return f"{text[:line_start]}{line}\n{text[line_start:]}"
    end = _line_end(text, _value_end(text, siblings[-1]))
    return f"{text[:end]}\n{line}{text[end:]}"


def _is_setting(entry: tuple[yaml.Node, yaml.Node]) -> bool:
    return not isinstance(entry[1], yaml.MappingNode) and entry[0].value != "probe_prompts"


def _remove(text: str, parent: Any, entry: tuple[yaml.Node, yaml.Node]) -> str:
    if parent.flow_style or len(parent.value) == 1:
        remaining = {k: v for k, v in _plain(parent).items() if str(k) != entry[0].value}
        start = parent.start_mark.index
        end = parent.end_mark.index if parent.flow_style else _value_end(text, entry)
        return text[:start] + dump(remaining) + text[end:]
    start = text.rfind("\n", 0, entry[0].start_mark.index) + 1
    end = _line_end(text, _value_end(text, entry))
    return text[:start] + text[min(end + 1, len(text)) :]


def _line_end(text: str, index: int) -> int:
    end = text.find("\n", index)
    return len(text) if end < 0 else end
