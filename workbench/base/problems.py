"""What went wrong, where, and what to do next: the one shape of bad news."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        what: The fault in one sentence, without a full stop at its end being required.
        where: Place of the fault, `file:line:column` or a key or a path; may be empty.
        next_step: What the person does now; may be empty only for warnings that need nothing.
        severity: An error forbids the launch, a warning does not.
    """

    what: str
    where: str = ""
    next_step: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        sentence = self.what if self.what.endswith((".", "?", "!")) else f"{self.what}."
        parts = [f"{self.where}: {sentence}" if self.where else sentence]
        if self.next_step:
            parts.append(self.next_step)
        return " ".join(parts)


class ProblemError(Exception):
    """Bad input or a state that forbids the request; never a bug of ours.

    Attributes:
        problems: One or more problems, in the order in which they should be read.
        exit_code: 1 when a run or check failed, 2 when the command itself was wrong.
    """

    def __init__(self, *problems: Problem, exit_code: int = 1) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
        self.exit_code = exit_code
