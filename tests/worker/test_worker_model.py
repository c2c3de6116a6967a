from __future__ import annotations

from pathlib import Path

import pytest

from workbench.base.problems import ProblemError
from workbench.run.directory import RunDirectory
from workbench.worker.model import read_config


@pytest.mark.parametrize("content", [None, "", "- a\n", "a: [1\n", "beta: 0.1\n"])
def test_a_lost_config_is_named(content: str | None, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    if content is not None:
        run.config("dpo").write_text(content)
    with pytest.raises(ProblemError, match=r"dpo\.yaml: the run's resolved config is gone"):
        read_config(run, "dpo")
