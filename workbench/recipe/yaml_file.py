"""Reading YAML with the place of every value, and editing values without touching the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from workbench.base.problems import Problem

Path = tuple[str | int, ...]
SIZE_LIMIT_CHARACTERS = 1_000_000
TOO_DEEP = "the file is nested too deeply or too long for a recipe"
DEPTH_LIMIT = 50
QUOTED = ("'", '"', "|", ">")
NODE_LIMIT = 20_000
COLLECTIONS = ("map", "seq")
SCALARS = ("str", "int", "float", "bool", "null", "timestamp", "binary")
_FLOAT = re.compile(r"[-+]?(?:\d[\d_]*)(?:\.[\d_]*)?[eE][-+]?\d+|[-+]?\.\d+[eE][-+]?\d+")

_ODD_NUMBER = re.compile(r"[-+]?0[0-7_]*[0-7]|[-+]?\d[\d_]*(?::[0-5]?\d)+(?:\.[\d_]*)?")
_TAG_PREFIX = "tag:yaml.org,2002:"
_PLAIN_TAGS = ("!", *(_TAG_PREFIX + kind for kind in (*COLLECTIONS, *SCALARS)))

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Mark:
    """Place in a file, both numbers counted from 1."""

    line: int
    column: int


@dataclass
class Document:
    """A parsed file.

    Attributes:
        data: Plain dicts, lists and scalars; empty when the file could not be read.
        marks: Place of each value; of a mapping's entries also under the path of the key.
        root: The node tree that `workbench.recipe.yaml_edit` works on.
        problems: Everything that is wrong with the file as YAML.
        oddities: Warnings of values that YAML takes for something else than they look like.
    """

    source: str
    data: dict[str, Any] = field(default_factory=dict)
    marks: dict[Path, Mark] = field(default_factory=dict)
    root: yaml.MappingNode | None = None
    problems: list[Problem] = field(default_factory=list)
    oddities: list[Problem] = field(default_factory=list)

    def where(self, path: Path) -> str:
        """`file:line:column` of a value, of its nearest parent that is known, or the file."""
        while path and path not in self.marks:
            path = path[:-1]
        mark = self.marks.get(path)
        return f"{self.source}:{mark.line}:{mark.column}" if mark else self.source


def parse(text: str, source: str) -> Document:
    """Read a YAML mapping; whatever is wrong ends in `problems`, never in an exception.

    Differs from PyYAML where people fall into traps: a key that stands twice is an error, and
    `5e-5` is a float. Only plain data is built (safe loader), the size is limited.
    """
    document = Document(source)
    try:
        _guard(text)
        root = yaml.compose(text.removeprefix("\ufeff"), Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        document.problems.append(_syntax_problem(error, text, source))
        return document
    except yaml.reader.ReaderError as error:
        what = f"the character U+{_code(error.character):04X} is not allowed in YAML"
        where = f"{source}:{_place(text, error.position)}"
        document.problems.append(Problem(what, where, "Save the recipe as plain UTF-8 YAML."))
        return document
    except (yaml.YAMLError, ValueError) as error:
        what = " ".join(str(error).split())
        document.problems.append(Problem(what, source, "Save the recipe as plain UTF-8 YAML."))
        return document
    if root is None:
        document.problems.append(Problem("the file is empty", source, "Copy a shipped recipe."))
    elif not isinstance(root, yaml.MappingNode):
        what = "the file is not a mapping of keys to values"
        document.problems.append(Problem(what, source, "Write lines such as `beta: 0.1`."))
    else:
        document.root = root
        _Builder(document).build()
    return document


class _ForeignTagError(yaml.MarkedYAMLError):
    """A tag that stands for anything else than plain data, such as Python code."""


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, source: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
    if isinstance(error, _ForeignTagError):
        what = f"the tag {error.problem} is refused: a recipe holds plain data only"
        return Problem(what, where, "Remove the tag.")
    line = text.removeprefix("\ufeff").split("\n")[mark.line : mark.line + 1] if mark else []
    if mark and line and line[0][mark.column : mark.column + 1] == "\t":
        what = "this is not valid YAML: a tab stands where only spaces can"
        return Problem(what, where, "Indent with spaces.")
    reason = str(error.problem or error.context)
    if "nesting depth" in reason:  # PyYAML 6.0.4 counts before it hands anything on
        return Problem(TOO_DEEP, where, "Write it flatter.")
    what = f"this is not valid YAML: {reason}"
    return Problem(what, where, "Check quotes, brackets and indentation.")


def _guard(text: str) -> None:
    """Refuse what could exhaust memory or the stack before a tree is built of it."""
    if len(text) > SIZE_LIMIT_CHARACTERS:
        raise ValueError(f"the file has {len(text):,} characters; a recipe has a few thousand")
    depth = 0
    events = yaml.parse(text.removeprefix("\ufeff"), Loader=_Loader)
    for count, event in enumerate(events):
        tag = getattr(event, "tag", None)
        if tag and tag not in _PLAIN_TAGS:
            place: Any = event.start_mark
            raise _ForeignTagError(None, None, tag.replace(_TAG_PREFIX, "!!"), place)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH_LIMIT or count > NODE_LIMIT:
            raise ValueError(TOO_DEEP)


class _Builder:
    """Turns the node tree into data, notes places and duplicate keys."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes = 0

    def build(self) -> None:
        try:
            self.document.data = self._mapping(self.document.root, ())
        except ValueError as error:
            self.document.data = {}
            self.document.problems.append(Problem(str(error), self.document.source))

    def _value(self, node: yaml.Node, path: Path) -> Any:
        # Aliases repeat a node without repeating its text, so only a count stops an alias bomb.
        self.nodes += 1
        if self.nodes > NODE_LIMIT:
            raise ValueError("the file's aliases expand to too many values")
        self.document.marks.setdefault(path, _mark(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: Any, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in _entries(node):
            key = str(key_node.value)
            if key in result:
                self._duplicate(key, key_node, (*path, key))
                continue
            self.document.marks[(*path, key)] = _mark(key_node)
            result[key] = self._value(value_node, (*path, key))
        return result

    def _duplicate(self, key: str, node: yaml.Node, path: Path) -> None:
        first, again = self.document.marks[path], _mark(node)
        self.document.problems.append(
            Problem(
                f"{key} stands twice, first in line {first.line}",
                f"{self.document.source}:{again.line}:{again.column}",
                "Keep one of the two.",
            )
        )

    def _warn_of_number(self, node: yaml.Node, value: object, path: Path) -> None:
        base = "sixty" if ":" in node.value else "eight"
        self.document.oddities.append(
            Problem(
                f"{node.value} is the number {value} in YAML, which counts it in base {base}",
                self.document.where(path),
                f"Write {value} if that is meant.",
                "warning",
            )
        )

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        if node.tag == "tag:yaml.org,2002:str":
            plain = getattr(node, "style", None) not in QUOTED
            return float(node.value) if plain and _FLOAT.fullmatch(node.value) else node.value
        constructor = yaml.SafeLoader("")
        try:
            value = constructor.construct_object(node)
            if isinstance(value, int | float) and _ODD_NUMBER.fullmatch(node.value):
                self._warn_of_number(node, value, path)
            return value
        except (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            # PyYAML trips over `!!float` and `!!timestamp` with nothing behind them.
            told = isinstance(error, yaml.YAMLError | ValueError)
            kind = node.tag.rpartition(":")[2]
            problem = getattr(error, "problem", None) or (str(error) if told else f"no {kind}")
            self.document.problems.append(
                Problem(f"cannot read the value: {problem}", self.document.where(path))
            )
            return None


def _entries(node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """A mapping's own entries, then those that `<<` merges in and it does not have itself."""
    own = {key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)}
    merged: list[tuple[yaml.Node, yaml.Node]] = []
    for key, value in node.value:
        if key.tag != "tag:yaml.org,2002:merge":
            yield key, value
            continue
        sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
        for source in sources:
            if isinstance(source, yaml.MappingNode):
                merged += [entry for entry in _entries(source) if entry[0].value not in own]
                own |= {key.value for key, _ in merged}
    yield from merged


def _mark(node: yaml.Node) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)


def _code(character: str | int) -> int:
    return character if isinstance(character, int) else ord(character)


def _place(text: str, position: int) -> str:
    """`line:column` of a character of a text, both counted from 1."""
    before = text.removeprefix("\ufeff")[:position]
    return f"{before.count(chr(10)) + 1}:{position - (before.rfind(chr(10)) + 1) + 1}"
