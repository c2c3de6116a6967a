"""The dialog that fits a setting: its choices, a checklist, or room for a long text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.recipe.guide import LOSSES
from workbench.recipe.yaml_edit import REMOVE
from workbench.recipe.yaml_file import Path as KeyPath
from workbench.tui.dialogs.pick import PickDialog
from workbench.tui.draft import value_at
from workbench.tui.form import Setting
from workbench.tui.render import join, plain
from workbench.tui.setting_help import choice_lines
from workbench.tui.typed import from_text

if TYPE_CHECKING:
    from workbench.tui.screens.editor import EditorScreen

ALL_LINEAR = "all-linear"
OR_FILE = "accelerate_config"
"""The setting that takes one of its choices, or a file."""


def pick(screen: EditorScreen, row: Setting) -> bool:
    """Show the dialog of a setting; whether it has one."""
    if row.kind == "choice":
        _choose(screen, row)
    elif row.kind == "losses":
        _choose_losses(screen, row)
    elif row.kind == "modules":
        _choose_modules(screen, row)
    elif row.kind == "long":
        _write_long(screen, row)
    else:
        return False
    return True


def _choose(screen: EditorScreen, row: Setting) -> None:
    options = choice_lines(row)
    if row.key == OR_FILE:
        options.append(join(plain("a file ...  "), plain("of `accelerate config`", style="$muted")))
    index = row.choices.index(row.effective) if row.effective in row.choices else 0
    dialog = PickDialog(plain(row.key), options, index)

    def chosen(index: int | None) -> None:
        if index is not None and index >= len(row.choices):
            screen.form.edit()
        elif index is not None:
            screen.change({row.path: row.choices[index]}, row.path)

    screen.app.push_screen(dialog, chosen)


def _choose_losses(screen: EditorScreen, row: Setting) -> None:
    from workbench.tui.dialogs.checklist import ChecklistDialog

    recipe = screen.draft.now.recipe
    weights_path: KeyPath = (*row.path[:-1], "loss_weights")
    weights = value_at(recipe, weights_path) or value_at(recipe, weights_path[-1:])
    names = [str(name) for name in _as_list(row.effective)]
    usable = isinstance(weights, list) and len(weights) == len(names)
    given = [w if isinstance(w, int | float) else 1.0 for w in weights] if usable else []
    chosen = dict(zip(names, given or [1.0] * len(names), strict=True))
    items = [(name, LOSSES.get(name, "")) for name in row.choices]
    dialog = ChecklistDialog("Losses of DPO, added up", items, chosen, weighted=True)

    def taken(answer: dict[str, float] | None) -> None:
        if answer is None or answer == chosen:
            return
        changes: dict[KeyPath, Any] = {row.path: list(answer)}
        plain_sum = len(answer) == 1 or set(answer.values()) == {1.0}
        if not plain_sum:
            changes[weights_path] = list(answer.values())
        elif value_at(recipe, weights_path) is not None:
            changes[weights_path] = REMOVE
        screen.change(changes, row.path)

    screen.app.push_screen(dialog, taken)


def _choose_modules(screen: EditorScreen, row: Setting) -> None:
    from workbench.tui.dialogs.checklist import ChecklistDialog

    chosen = {str(name): 1.0 for name in _as_list(row.effective)}
    modules = target_modules(screen)
    items = [(ALL_LINEAR, "every linear layer but the head"), *((name, "") for name in modules)]
    dialog = ChecklistDialog("Modules that LoRA adapts", items, chosen, alone=ALL_LINEAR)

    def taken(answer: dict[str, float] | None) -> None:
        if answer is not None and list(answer) != list(chosen):
            screen.change({row.path: list(answer)}, row.path)

    screen.app.push_screen(dialog, taken)


def target_modules(screen: EditorScreen) -> tuple[str, ...]:
    """Names of the model's linear modules, as far as this machine knows the model."""
    from workbench.recipe.base_model import model_config, model_location
    from workbench.recipe.weights import module_names, module_shapes

    recipe = screen.draft.now.recipe
    if recipe is None:
        return ()
    place = recipe.path.parent, screen.bench.services.paths.models
    folder = model_location(recipe.model, *place)
    return (module_names(folder) if folder else ()) or tuple(
        module_shapes(model_config(recipe.model, *place) or {})
    )


def _write_long(screen: EditorScreen, row: Setting) -> None:
    from workbench.tui.dialogs.text import TextDialog

    is_list = row.type_name == "lines"
    text = "\n".join(str(item) for item in _as_list(row.value)) if is_list else row.shown
    title = f"{row.label}, one a line" if is_list else row.label

    def taken(answer: str | None) -> None:
        if answer is not None and answer != text:
            value = from_text(row.type_name, answer)
            screen.change({row.path: value}, row.path)

    screen.app.push_screen(TextDialog(title, text), taken)


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
