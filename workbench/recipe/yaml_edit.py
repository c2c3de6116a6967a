"""Changing single values of a YAML text; every other character stays as it was.

Comments are never lost: one inside a value that is written anew, or beside a key that is deleted,
moves to a line of its own above.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeGuard

import yaml

from workbench.base.problems import Problem, ProblemError
from workbench.recipe.yaml_file import Path, parse

REMOVE = object()
"""Value of a change that deletes the key."""

_PLAIN = re.compile(r"[A-Za-z_./~][A-Za-z0-9_./+-]*(?: [A-Za-z0-9_./+-]+)*")
_COMMENT = re.compile(r"(?:^|(?<=\s))#[^\r\n]*", re.MULTILINE)
_SECTION_INDENT = "  "


def edit(text: str, changes: Mapping[Path, Any]) -> str:
    """Apply changes to a YAML text.

    Args:
        text: A YAML mapping. Comments, order, quotes and blank lines survive.
        changes: New value by path, `("beta",)`, `("dpo", "beta")` or `("datasets", 0, "split")`; a
            missing key is added, as is the item behind a list's last; `REMOVE` deletes. New lists
            and mappings are written in flow style.

    Raises:
        ProblemError: The text is not valid, or an edit would not read back as asked.
    """
    document = parse(text, "recipe")
    if document.problems:
        raise ProblemError(*document.problems)
    expected = copy.deepcopy(document.data)
    comments = Counter(comment for _, comment in _comments(text, document.root))
    keys = ", ".join(".".join(map(str, path)) for path in changes)
    refusal = Problem(f"cannot change {keys} in place", "recipe", "Edit the file in a text editor.")
    for path, value in changes.items():
        try:
            text = _apply(text, path, value)
            _change_data(expected, path, value)
        except (ValueError, LookupError, TypeError):
            # A form of YAML without the sign that is looked for, such as `? key`, or no such item.
            raise ProblemError(refusal) from None
    result = parse(text, "recipe")
    if result.problems or result.data != expected:
        raise ProblemError(refusal)
    if comments - Counter(comment for _, comment in _comments(text, result.root)):
        raise ProblemError(refusal)
    return text


def rename(text: str, path: Path, new: str) -> str:
    """Give a key of a YAML text another name; its place, value and comments stay.

    Raises:
        ProblemError: There is no such key, or one of the new name, or it would not read back.
    """
    document = parse(text, "recipe")
    parent: Any = document.root
    expected: Any = copy.deepcopy(document.data)
    refusal = Problem(
        f"cannot rename {'.'.join(map(str, path))} in place", "recipe", "Edit the file."
    )
    holder = expected
    for key in path[:-1]:
        entry = _find(parent, key) if isinstance(parent, yaml.MappingNode) else None
        parent, holder = (entry.value if entry else None), holder.get(key) or {}
    entry = _find(parent, path[-1]) if isinstance(parent, yaml.MappingNode) else None
    if entry is None or entry.key is None or new in holder:
        raise ProblemError(refusal)
    renamed = {new if key == path[-1] else key: value for key, value in holder.items()}
    holder.clear()
    holder.update(renamed)
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    body = text.removeprefix(bom)
    start, end = int(entry.key.start_mark.index), int(entry.key.end_mark.index)
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


def _change_data(data: Any, path: Path, value: Any) -> None:
    """The change as it should read back, made in a parsed value."""
    for key, following in pairwise(path):
        if isinstance(data, dict) and not isinstance(data.get(key), dict | list):
            data[key] = [] if isinstance(following, int) else {}
        data = data[key]
    key = path[-1]
    if value is REMOVE:
        if isinstance(data, dict):
            data.pop(key, None)
        elif int(key) < len(data):
            del data[int(key)]
        return
    read = parse(f"k: {dump(value)}", "").data["k"]
    if isinstance(data, list) and key == len(data):
        data.append(read)
    else:
        data[key] = read


@dataclass(frozen=True)
class _Entry:
    """A value with its key; an item of a list has none."""

    key: yaml.Node | None
    value: yaml.Node

    @property
    def start(self) -> int:
        """Where the key begins, or the item behind its dash."""
        return int((self.key or self.value).start_mark.index)


def _apply(text: str, path: Path, value: Any) -> str:
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix("\ufeff")
    parent: Any = parse(text, "recipe").root
    for depth, key in enumerate(path[:-1]):
        entry = _find(parent, key)
        if entry is None or not isinstance(entry.value, yaml.CollectionNode):
            return bom + _set_whole(text, parent, entry, path[depth:], value, top=depth == 0)
        if entry.value.flow_style:
            merged = _plain(entry.value)
            _change_data(merged, path[depth + 1 :], value)
            return bom + _replace(text, entry, merged)
        parent = entry.value
    entry = _find(parent, path[-1])
    if value is REMOVE:
        return bom + (text if entry is None else _remove(text, parent, entry))
    if entry is not None:
        return bom + _replace(text, entry, value)
    return bom + _insert(text, parent, path[-1], value, top=len(path) == 1)


def _set_whole(
    text: str, parent: Any, entry: _Entry | None, path: Path, value: Any, *, top: bool
) -> str:
    """Make the missing or scalar section `path[0]` a collection that holds the new value."""
    if value is REMOVE:
        return text
    nested: Any = [] if isinstance(path[1], int) else {}
    _change_data(nested, path[1:], value)
    if entry is not None:
        return _replace(text, entry, nested)
    if not top or isinstance(nested, list):
        return _insert(text, parent, path[0], nested, top=top)
    eol = _eol(text)
    body = "".join(f"{_SECTION_INDENT}{dump(key)}: {dump(v)}{eol}" for key, v in nested.items())
    line_end = "" if text.endswith("\n") or not text else eol
    return f"{text}{line_end}{path[0]}:{eol}{body}"


def _find(parent: yaml.CollectionNode, key: str | int) -> _Entry | None:
    if isinstance(parent, yaml.SequenceNode):
        if not isinstance(key, int) or key > len(parent.value):
            raise LookupError(key)
        return _Entry(None, parent.value[key]) if key < len(parent.value) else None
    for key_node, value_node in parent.value:
        if isinstance(key_node, yaml.ScalarNode) and str(key_node.value) == key:
            return _Entry(key_node, value_node)
    return None


def _plain(node: yaml.Node) -> Any:
    """A node's data, read as a recipe is."""
    if isinstance(node, yaml.MappingNode):
        # Merge keys and the like need the whole document's rules.
        return {str(key.value): _plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    alone = parse(f"k: {yaml.serialize(node)}", "")
    return alone.data.get("k")


def _end(node: yaml.Node) -> int:
    """Index after the last character of a value (a block's own end mark lies further on)."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _value_end(text: str, entry: _Entry) -> int:
    start, end = entry.start, _end(entry.value)
    return start + len(text[start:end].rstrip())


def _replace(text: str, entry: _Entry, value: Any) -> str:
    old = entry.value
    if _in_lines(old) and old.value and isinstance(value, list) and value:
        return _replace_items(text, old, value)
    begin = text.index(":", entry.key.end_mark.index) + 1 if entry.key else entry.start
    end = max(_value_end(text, entry), begin)
    comments = list(_comments(text, old, begin, end))
    tail = ""
    rest = text[end : _line_end(text, end)]
    if comments and entry.key and "\n" not in text[begin : comments[0][0]] and "#" not in rest:
        # What stands behind the key itself stays there.
        tail = f"  {comments.pop(0)[1]}"
    between = text[begin : old.start_mark.index]
    space = between if between and not between.strip(" ") else " "
    written = f"{space}{dump(value)}" if entry.key else dump(value)
    indent = _indent(text, entry.start)
    text = f"{text[:begin]}{written}{tail}{text[end:]}"
    return _comment_above(text, entry.start, indent, [comment for _, comment in comments])


def _in_lines(node: yaml.Node) -> TypeGuard[yaml.SequenceNode]:
    return isinstance(node, yaml.SequenceNode) and not node.flow_style


def _replace_items(text: str, node: yaml.SequenceNode, value: list[Any]) -> str:
    """Write a list of one item per line anew, the lines of the items that stay untouched."""
    old = [dump(_plain(item)) for item in node.value]
    new = [dump(item) for item in value]
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for kind, low, high, new_low, new_high in reversed(matcher.get_opcodes()):
        if kind == "equal":
            continue
        common = min(high - low, new_high - new_low)
        for index in reversed(range(low + common, high)):
            text = _remove(text, node, _Entry(None, node.value[index]))
        before = low + common - 1
        for item in reversed(value[new_low + common : new_high]):
            text = _insert_item(text, node, before, item)
        for offset in reversed(range(common)):
            text = _replace(text, _Entry(None, node.value[low + offset]), value[new_low + offset])
    return text


def _insert_item(text: str, node: yaml.SequenceNode, before: int, item: Any) -> str:
    """Add an item behind the one of an index, -1 for the list's beginning."""
    line = f"{' ' * node.start_mark.column}- {dump(item)}"
    if before < 0:
        # The first dash may stand behind another one: the lines of `- - a` are left alone.
        start = int(node.start_mark.index)
        line_start = _line_start(text, start)
        if text[line_start:start].strip():
            raise ValueError("a list that begins within a line")
        return f"{text[:line_start]}{line}{_eol(text)}{text[line_start:]}"
    end = _line_end(text, _value_end(text, _Entry(None, node.value[before])))
    return f"{text[:end]}{_eol(text)}{line}{text[end:]}"


def _insert(text: str, parent: Any, key: str | int, value: Any, *, top: bool) -> str:
    """Add a key behind the last sibling that is not a section of its own, or an item at the end."""
    if isinstance(parent, yaml.SequenceNode):
        return _insert_item(text, parent, len(parent.value) - 1, value)
    if parent.flow_style or not parent.value:
        merged = {**_plain(parent), key: value}
        return text[: parent.start_mark.index] + dump(merged) + text[parent.end_mark.index :]
    entries = [_Entry(*pair) for pair in parent.value]
    siblings = [entry for entry in entries if not top or _is_setting(entry)]
    line = f"{' ' * parent.start_mark.column}{dump(key)}: {dump(value)}"
    last = siblings[-1] if siblings else entries[0]
    if not siblings or _ends_with_text(text, last.value):
        line_start = _line_start(text, last.start)
        return f"{text[:line_start]}{line}{_eol(text)}{text[line_start:]}"
    end = _line_end(text, _value_end(text, last))
    return f"{text[:end]}{_eol(text)}{line}{text[end:]}"


def _ends_with_text(text: str, value: yaml.Node) -> bool:
    """Whether a block of text is the last thing: a line break behind it would belong to it."""
    return getattr(value, "style", None) in ("|", ">") and text[_end(value) :] == ""


def _is_setting(entry: _Entry) -> bool:
    name = entry.key.value if entry.key else ""
    return not isinstance(entry.value, yaml.MappingNode) and name != "probe_prompts"


def _remove(text: str, parent: Any, entry: _Entry) -> str:
    if parent.flow_style or len(parent.value) == 1:
        remaining: Any = [] if isinstance(parent, yaml.SequenceNode) else {}
        if isinstance(parent, yaml.MappingNode) and entry.key is not None:
            remaining = {k: v for k, v in _plain(parent).items() if k != entry.key.value}
        return _replace(text, _Entry(None, parent), remaining)
    start = _line_start(text, entry.start)
    end = _next_line(text, _value_end(text, entry))
    if (
        text[start : entry.start].strip(" \t-") == ""
        and entry.key
        and "-" in text[start : entry.start]
    ):
        # The first key of a list's item: the next one moves up behind the dash.
        start = entry.start
        end = int(parent.value[1][0].start_mark.index)
    kept = [comment for _, comment in _comments(text, entry.value, entry.start, end, entry.key)]
    indent = _indent(text, entry.start)
    return _comment_above(text[:start] + text[end:], start, indent, kept)


def _indent(text: str, index: int) -> str:
    line = text[_line_start(text, index) : _line_end(text, index)]
    return line[: len(line) - len(line.lstrip(" "))]


def _comment_above(text: str, index: int, indent: str, comments: list[str]) -> str:
    """Put comments on lines of their own above the line of an index."""
    start = _line_start(text, index)
    added = "".join(f"{indent}{comment}{_eol(text)}" for comment in comments)
    if added and start == len(text) and text and not text.endswith("\n"):
        added = _eol(text) + added
    return text[:start] + added + text[start:]


def _comments(
    text: str,
    node: yaml.Node | None,
    start: int = 0,
    end: int | None = None,
    key: yaml.Node | None = None,
) -> Iterator[tuple[int, str]]:
    """Place and text of each comment in a part of a text.

    Args:
        node: The value that lies in that part; what is inside its scalars is no comment.
        key: Its key, likewise.
    """
    end = len(text) if end is None else end
    shift = 1 if text.startswith("\ufeff") else 0
    for scalar in sorted(_scalars(node, key), key=lambda found: found.start_mark.index):
        low, high = scalar.start_mark.index + shift, scalar.end_mark.index + shift
        if scalar.style in ("|", ">"):
            low = _line_end(text, low)  # its first line is a header, which may have a comment
        if high > start and low < end:
            yield from _found(text, start, min(low, end))
            start = max(start, high)
    yield from _found(text, start, end)


def _found(text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    for match in _COMMENT.finditer(text, start, max(start, end)):
        yield match.start(), match.group().rstrip()


def _scalars(*nodes: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    """All scalars below some nodes, each once, whatever aliases repeat them."""
    waiting, seen = [node for node in nodes if node is not None], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            yield node
        elif isinstance(node, yaml.MappingNode):
            waiting += [part for pair in node.value for part in pair]
        else:
            waiting += node.value


def _eol(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _line_start(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def _line_end(text: str, index: int) -> int:
    """Where a line ends, in front of its break."""
    end = text.find("\n", index)
    if end < 0:
        return len(text)
    return end - 1 if text[max(end - 1, index) : end] == "\r" else end


def _next_line(text: str, index: int) -> int:
    return text.find("\n", index) + 1 or len(text)
