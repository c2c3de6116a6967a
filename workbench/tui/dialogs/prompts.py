"""What to ask: past comparisons and the prompt library, searched by typing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from workbench.base.problems import ProblemError
from workbench.tui.comparing import Past
from workbench.tui.dialogs.base import Dialog
from workbench.tui.dialogs.prompt_form import ImportDialog, PromptForm, Written
from workbench.tui.prompt_library import (
    OWN_SET,
    Chosen,
    Entry,
    Section,
    import_prompts,
    matching,
    past_section,
    read_sections,
    with_prompt,
)
from workbench.tui.render import plain
from workbench.tui.widgets.row_table import Rows
from workbench.tui.widgets.steady_input import SteadyInput

if TYPE_CHECKING:
    from workbench.run.directory import RunDirectory

KEYS = "enter takes · tab lists · f2 change · f4 add · f5 import · f8 delete"


@dataclass
class SectionsRead(Message):
    """The library as it stands on disk; `go_to` is the set to show then."""

    sections: list[Section]
    go_to: str = ""


@dataclass
class Refused(Message):
    """Something could not be saved or read."""

    what: str


class PromptsDialog(Dialog[Chosen]):
    """Answers with a past comparison or a prompt of the library.

    Args:
        run: Whose recipe names prompts too.
        past: What was asked of the run, oldest first.
        present: The prompt on the screen, which can be added to a set.
    """

    DEFAULT_CSS = """
    PromptsDialog > #frame { width: 96%; max-width: 120; height: 92%; padding: 0 1; }
    PromptsDialog #lists { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    PromptsDialog Rows { height: 1fr; max-height: 100%; margin-top: 1; }
    PromptsDialog #said { height: auto; color: $warning; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "turn(1)", "Next list", show=False, id="prompts.next", priority=True),
        Binding("shift+tab", "turn(-1)", "List before", show=False, id="prompts.before",
                priority=True),
        Binding("up", "move('cursor_up')", "Up", show=False, id="prompts.up"),
        Binding("down", "move('cursor_down')", "Down", show=False, id="prompts.down"),
        Binding("pageup", "move('page_up')", "Page up", show=False, id="prompts.page-up"),
        Binding("pagedown", "move('page_down')", "Page down", show=False, id="prompts.page-down"),
        Binding("f2", "change", "Change", show=False, id="prompts.change"),
        Binding("f4", "add", "Add", show=False, id="prompts.add"),
        Binding("f5", "import", "Import", show=False, id="prompts.import"),
        Binding("f8", "delete", "Delete", show=False, id="prompts.delete"),
    ]  # fmt: skip

    def __init__(self, run: RunDirectory, past: Sequence[Past], present: str) -> None:
        super().__init__("Prompts")
        self._run = run
        self._past = past
        self._present = present
        self._sections: list[Section] = []
        self._at = 0
        self._entries: list[Entry] = []

    def compose_body(self) -> ComposeResult:
        """Lists, search, entries."""
        yield Static("", id="lists", markup=False)
        yield SteadyInput(placeholder="type to search", id="find")
        yield Rows(markup=False)
        yield Static("", id="said", markup=False)

    def on_mount(self) -> None:
        """The past is known already; the library is read."""
        self.query_one("#frame").border_subtitle = KEYS
        self._sections = [past_section(self._past, self.bench.services.clock())]
        self.query_one(Input).focus()
        self._show()
        self._work(lambda: "")

    def _work(self, change: Callable[[], str]) -> None:
        """Do something in a thread, then read the library again; it returns the set to go to."""
        paths, run = self.bench.services.paths, self._run

        def work() -> None:
            try:
                go_to = change()
            except ProblemError as error:
                self.post_message(Refused(str(error)))
            else:
                self.post_message(SectionsRead(read_sections(paths, run), go_to))

        self.run_worker(work, thread=True, exit_on_error=False, group="prompts")

    @on(SectionsRead)
    def _sections_read(self, event: SectionsRead) -> None:
        event.stop()
        self._sections[1:] = event.sections
        names = [section.name for section in self._sections]
        own = [at for at, one in enumerate(self._sections) if one.name == event.go_to and one.own]
        if own or event.go_to in names:
            self._at = own[0] if own else names.index(event.go_to)
        elif not self._past and self._at == 0 and len(names) > 1:
            self._at = 1
        self._at = min(self._at, len(names) - 1)
        self._show()

    @on(Refused)
    def _refused(self, event: Refused) -> None:
        event.stop()
        self._say(event.what)

    def _say(self, text: str) -> None:
        self.query_one("#said", Static).update(plain(text, newlines=False))

    @property
    def _section(self) -> Section:
        return self._sections[self._at]

    def _show(self) -> None:
        names = []
        for number, section in enumerate(self._sections):
            here = number == self._at
            label = plain(f" {section.name} {len(section.entries)} ", newlines=False)
            names.append(Content.styled(label.plain, "reverse bold" if here else "$muted"))
        self.query_one("#lists", Static).update(Content(" ").join(names))
        self._entries = matching(self._section, self.query_one(Input).value)
        rows = self.query_one(Rows)
        rows.clear_options()
        rows.add_options(Option(entry.line) for entry in self._entries)
        rows.highlighted = 0 if self._entries else None
        nothing = "" if self._section.entries else "Nothing here yet."
        self._say(self._section.fault or nothing)

    @on(Input.Changed, "#find")
    def _searched(self) -> None:
        self._show()

    def action_turn(self, by: int) -> None:
        """Show the next list."""
        self._at = (self._at + by) % len(self._sections)
        self._show()

    def action_move(self, how: str) -> None:
        """Move the cursor of the list while the search has the focus."""
        getattr(self.query_one(Rows), f"action_{how}")()

    def _entry(self) -> Entry | None:
        index = self.query_one(Rows).highlighted
        return self._entries[index] if index is not None and index < len(self._entries) else None

    @on(Input.Submitted, "#find")
    def _take(self) -> None:
        entry = self._entry()
        if entry is not None:
            self.dismiss(entry.chosen)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._entries[event.option_index].chosen)

    def _own_set(self) -> str:
        return self._section.name if self._section.own else OWN_SET

    def action_add(self) -> None:
        """Add the prompt on the screen, or a new one, to a set of the user's."""
        entry = self._entry()
        past = entry.chosen.past if entry is not None else None
        text = past.prompt if past is not None else self._present
        self._write("Add a prompt", None, Written(text, "", self._own_set()))

    def action_change(self) -> None:
        """Change the text or category of a prompt; a shipped one is copied into an own set."""
        entry = self._entry()
        prompt = entry.chosen.prompt if entry is not None else None
        if prompt is None:
            self._say("Past comparisons stay as they are; f4 adds their prompt to a set.")
            return
        self._write(
            "Change a prompt", prompt, Written(prompt.text, prompt.category, self._own_set())
        )

    def _write(self, title: str, old: object, begin: Written) -> None:
        from workbench.judge.prompts import Prompt

        changed = old if isinstance(old, Prompt) else None

        def written(result: Written | None) -> None:
            if result is not None:
                self._work(lambda: self._save(changed, result))

        self.app.push_screen(PromptForm(title, begin), written)

    def _save(self, old: object, new: Written) -> str:
        from workbench.judge.prompts import Prompt, save_prompts

        sets = {section.name: section for section in self._sections if section.own}
        prompts = sets[new.set_name].prompts if new.set_name in sets else []
        changed = old if isinstance(old, Prompt) else None
        after = with_prompt(prompts, changed, new.text, new.category)
        save_prompts(self.bench.services.paths, new.set_name, after)
        return new.set_name

    def action_delete(self) -> None:
        """Take a prompt out of a set of the user's."""
        entry = self._entry()
        section = self._section
        if entry is None or not section.own:
            self._say("Only prompts of your own sets can be deleted.")
            return
        rest = [prompt for prompt in section.prompts if prompt is not entry.chosen.prompt]

        def delete() -> str:
            from workbench.judge.prompts import save_prompts

            if rest:
                save_prompts(self.bench.services.paths, section.name, rest)
            elif section.source is not None:
                section.source.path.unlink(missing_ok=True)
            return section.name

        self._work(delete)

    def action_import(self) -> None:
        """Copy the prompts of a file into a set of the user's."""

        def answered(path: Path | None) -> None:
            if path is not None:
                self._work(lambda: import_prompts(self.bench.services.paths, path))

        self.app.push_screen(ImportDialog(self.bench.services.cwd), answered)
