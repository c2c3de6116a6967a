from __future__ import annotations

import pytest
from lint_rows import PAIRS, by_rule, chats, findings, pairs, said, user

CLEAN_ORDERS = (
    [*user("a"), *said("b"), *user("c")],
    [{"role": "system", "content": "s"}, *user("a")],
    [*user("a"), *said("x"), {"role": "tool", "content": "1"}, *said("y"), *user("z")],
)


def test_clean_pairs_have_no_finding() -> None:
    assert len(PAIRS) >= 60
    assert [(one.row, one.rule, one.detail) for one in findings(pairs())] == []


def test_clean_conversations_have_no_finding() -> None:
    assert [(one.row, one.rule, one.detail) for one in findings(chats(), "sft")] == []


def test_clean_pairs_beside_other_held_out_rows() -> None:
    held = [{"prompt": f"other {n}", "chosen": "a", "rejected": "b"} for n in range(5)]
    assert (
        findings(pairs(), held=[*held, {"prompt": " ", "chosen": "2+2=4", "rejected": "c"}]) == []
    )


@pytest.mark.parametrize("turns", CLEAN_ORDERS)
def test_turns_in_order(turns: list[dict[str, str]]) -> None:
    row = {"prompt": turns, "chosen": said("an answer"), "rejected": said("other words")}
    assert "role_order" not in by_rule(findings([row]))
