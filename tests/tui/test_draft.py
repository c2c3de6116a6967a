"""A recipe while it is edited."""

from __future__ import annotations

from pathlib import Path

import pytest
from tui_fakes import RECIPE

from workbench.base.problems import ProblemError
from workbench.recipe.yaml_edit import REMOVE
from workbench.tui.draft import Draft, difference, value_at

FILE = Path("recipe.yaml")


@pytest.fixture
def draft() -> Draft:
    return Draft(FILE, RECIPE)


def test_edits_undo_and_redo_go_through_the_same_texts(draft: Draft) -> None:
    draft.edit({("lora_r",): 4}, ("lora_r",))
    draft.edit({("dpo", "beta"): 0.5}, ("dpo", "beta"))
    last = draft.now.text
    assert draft.undo() == ("dpo", "beta")
    assert draft.undo() == ("lora_r",)
    assert draft.undo() is None
    assert draft.now.text == RECIPE
    assert [draft.redo(), draft.redo(), draft.redo()] == [("lora_r",), ("dpo", "beta"), None]
    assert draft.now.text == last


def test_an_edit_after_an_undo_forgets_what_was_undone(draft: Draft) -> None:
    draft.edit({("lora_r",): 4})
    draft.undo()
    draft.edit({("lora_r",): 2})
    assert draft.redo() is None
    assert value_at(draft.now.recipe, ("lora_r",)) == 2


def test_an_edit_that_changes_nothing_is_no_version(draft: Draft) -> None:
    assert not draft.edit({("lora_r",): 8})
    assert draft.undo() is None


def test_the_unsaved_settings_are_counted_and_told(draft: Draft) -> None:
    draft.edit({("lora_r",): 4, ("dpo", "beta"): REMOVE})
    assert draft.unsaved_count == 2
    assert draft.is_changed(("dpo", "beta"))
    assert not draft.is_changed(("sft", "learning_rate"))
    draft.rewrite(RECIPE + "# a comment\n")
    assert draft.unsaved_count == 1
    draft.rewrite(RECIPE)
    assert not draft.unsaved


def test_an_edit_that_cannot_be_written_leaves_the_text(draft: Draft) -> None:
    with pytest.raises(ProblemError):
        draft.edit({("title", 3): "x"})
    assert not draft.unsaved


def test_a_text_that_does_not_read_can_be_mended() -> None:
    draft = Draft(FILE, "beta: [0.1\n")
    assert draft.now.recipe is None
    assert "not valid YAML" in str(draft.now.problems[0])
    draft.rewrite("beta: 0.1\n")
    assert draft.now.recipe is not None


def test_what_was_saved_can_be_undone_and_is_then_unsaved(draft: Draft) -> None:
    draft.edit({("lora_r",): 4})
    draft.mark_saved(FILE, draft.now.text)
    assert not draft.unsaved
    draft.undo()
    assert draft.unsaved
    assert draft.now.text == RECIPE


def test_the_difference_of_two_texts_has_no_header() -> None:
    assert difference("a: 1\nb: 2\n", "a: 1\nb: 3\n") == [
        "@@ -1,2 +1,2 @@",
        " a: 1",
        "-b: 2",
        "+b: 3",
    ]
    assert difference("a", "a") == []
