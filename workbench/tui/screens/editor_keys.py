"""The keys of the editor; the footer shows as many as its width takes, in this order."""

from __future__ import annotations

import functools

from textual.binding import BindingType

from workbench.tui.screens.keys import key

_key = functools.partial(key, "editor")

KEYS: list[BindingType] = [
    _key("enter", "edit", "Edit", "Type or choose the value", shown="enter"),
    _key("ctrl+s", "save", "Save", "Save the recipe", shown="^s"),
    _key("f5,r", "run", "Run", "Save, look the recipe over and start training", shown="f5"),
    _key(
        "slash",
        "search",
        "Find",
        "Leave only settings whose name or help has the words",
        shown="/",
    ),
    _key("u,ctrl+z", "undo", "Undo", "Take the last edit back", shown="u"),
    _key("y", "raw", "YAML", "Edit the recipe as text", shown="y"),
    _key("d", "diff", "Diff", "What differs from the file", shown="d"),
    _key(
        "escape,q",
        "leave",
        "Back",
        "Back to the list; asks when there are unsaved changes",
        shown="esc",
    ),
    _key("f1,question_mark", "app.help", "Help", "", shown="f1"),
    _key("ctrl+y,ctrl+r", "redo", "Redo", "Make the undone edit again"),
    _key("f6", "data", "Data", "Look at the data that the saved file names"),
    _key("space", "turn", "Switch", "Turn a switch over"),
    _key("right", "step(1)", "Next choice", "The next of a setting's choices"),
    _key("left", "step(-1)", "Previous choice", "The previous of a setting's choices"),
    _key("e", "type", "Type", "Type the value, also where enter would show a list"),
    _key(
        "delete",
        "reset",
        "Default",
        "Take the value out of the recipe: the default applies; removes a data set",
    ),
    _key("backspace", "restore", "As in the file", "Give this setting the value that the file has"),
    _key("i", "info", "Info", "All that is known of the setting"),
    _key("c", "deep", "Deep check", "Ask model, tokenizer and data too; takes some seconds"),
    _key("p", "problems", "Problems", "All problems"),
    _key("n", "next_problem", "Next problem", "Go to the next setting that has a problem"),
    _key("f2", "save_as", "Save as", "Save under a new name"),
]
