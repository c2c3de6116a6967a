"""Outside text that tries to act on the terminal or as markup. Rows 48 and 49."""

from __future__ import annotations

import pytest
from hostile import CORPUS, Hostile, is_inert

from workbench.base.text import clean
from workbench.cli.output import one_line, table

NAMES = [attack.name for attack in CORPUS]


def test_the_corpus_is_large_and_each_marker_its_own() -> None:
    assert len(CORPUS) >= 60
    assert len({attack.marker for attack in CORPUS}) == len(CORPUS)
    assert all(attack.marker in attack.text for attack in CORPUS)


@pytest.mark.parametrize("attack", CORPUS, ids=NAMES)
def test_the_door_lets_the_words_through_and_nothing_else(attack: Hostile) -> None:
    """Rows 48 and 49."""
    for shown in (clean(attack.text), one_line(attack.text)):
        assert is_inert(shown)
        assert attack.marker in shown
    assert "\n" not in one_line(attack.text)
    assert is_inert("\n".join(table(("A", "B"), [(attack.text, attack.name)])))
