"""A recipe while it is edited: one text, with every earlier and undone one at hand."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.recipe.recipe import Recipe, load_recipe
from workbench.recipe.schema import STAGES
from workbench.recipe.yaml_edit import edit
from workbench.recipe.yaml_file import Path as KeyPath


@dataclass(frozen=True)
class Version:
    """One state of the text.

    Attributes:
        recipe: None where the text does not read as a recipe.
        problems: Why it does not.
        about: The setting that the edit which led here was about; empty for more than one.
    """

    text: str
    recipe: Recipe | None
    problems: tuple[Problem, ...] = ()
    about: KeyPath = ()


class Draft:
    """The versions of a recipe's text since it was opened.

    Args:
        file: The recipe's file, from whose folder relative paths count.
        text: What it holds.
    """

    def __init__(self, file: Path, text: str) -> None:
        self.file = file
        self._versions = [self._version(text)]
        self._index = 0
        self.saved = self.now

    @property
    def now(self) -> Version:
        """The present version."""
        return self._versions[self._index]

    @property
    def unsaved(self) -> bool:
        """Whether the file holds another text."""
        return self.now.text != self.saved.text

    @property
    def unsaved_count(self) -> int:
        """Settings that differ from the file's; comments and order count as one."""
        if self.now.recipe is None or self.saved.recipe is None:
            return int(self.unsaved)
        here, there = dict(_leaves(self.now.recipe)), dict(_leaves(self.saved.recipe))
        differing = [
            path
            for path in {**here, **there}
            if path not in here or path not in there or not _same(here[path], there[path])
        ]
        return len(differing) or int(self.unsaved)

    def is_changed(self, path: KeyPath) -> bool:
        """Whether a value differs from the one in the file."""
        return not _same(value_at(self.now.recipe, path), value_at(self.saved.recipe, path))

    def edit(self, changes: Mapping[KeyPath, Any], about: KeyPath = ()) -> bool:
        """Write changes into the text; see `yaml_edit.edit`.

        Returns:
            Whether the text is another one now.

        Raises:
            ProblemError: They cannot be written.
        """
        return self.rewrite(edit(self.now.text, changes), about)

    def rewrite(self, text: str, about: KeyPath = ()) -> bool:
        """Take another text, whatever it holds; whether it is another one."""
        if text == self.now.text:
            return False
        del self._versions[self._index + 1 :]
        self._versions.append(self._version(text, about))
        self._index += 1
        return True

    def undo(self) -> KeyPath | None:
        """Go back by one version; what the undone edit was about, None where there is none."""
        if not self._index:
            return None
        about = self.now.about
        self._index -= 1
        return about

    def redo(self) -> KeyPath | None:
        """Go forth again; what that edit is about, None where nothing was undone."""
        if self._index + 1 == len(self._versions):
            return None
        self._index += 1
        return self.now.about

    def mark_saved(self, file: Path, text: str) -> None:
        """The file holds this text now: the present one, or that with its paths made to fit."""
        self.file = file
        self.rewrite(text)
        # Another folder may give the same words another meaning.
        self._versions[self._index] = self.saved = self._version(text, self.now.about)

    def _version(self, text: str, about: KeyPath = ()) -> Version:
        try:
            return Version(text, load_recipe(self.file, text=text), (), about)
        except ProblemError as error:
            return Version(text, None, error.problems, about)


def value_at(recipe: Recipe | None, path: KeyPath) -> Any:
    """A recipe's own value at a place, None where there is none."""
    value: Any = recipe.data if recipe else None
    for key in path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def difference(old: str, new: str) -> list[str]:
    """The lines of a unified diff of two texts without its header; empty for equal texts."""
    found = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="")
    return list(found)[2:]


def _leaves(recipe: Recipe) -> Iterator[tuple[KeyPath, Any]]:
    """A recipe's settings with their places, those of the stages apart."""
    for key, value in recipe.data.items():
        if key in STAGES and isinstance(value, dict):
            yield from (((key, inner), inner_value) for inner, inner_value in value.items())
        else:
            yield (key,), value


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
