"""What the app imports before its first frame, and what that costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tui_fakes import make_paths, make_run

FORBIDDEN = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "accelerate",
    "numpy",
    "pandas",
    "multiprocessing",
    "plotext",
    "pydantic",
)
PROGRAM = """
import json, os, sys
from pathlib import Path
from workbench.base.paths import Paths
from workbench.tui.app import WorkbenchApp
from workbench.tui.screens.recipes import RecipesScreen

root = Path(sys.argv[1])
app = WorkbenchApp(Paths(root / "data", root / "config", root / "cache"), cwd=root)
found = {}

def painted(screen):
    times = os.times()
    found["cpu"] = times.user + times.system
    found["modules"] = sorted({name.partition(".")[0] for name in sys.modules})
    app.set_timer(0.05, listed)
    RecipesScreen.action_read = read
    read(screen)

# The screen begins to read the recipes when its first frame is out.
read, RecipesScreen.action_read = RecipesScreen.action_read, painted

def listed():
    screen = app.screen
    if getattr(screen, "entry", None) is None or not app.runs_known:
        app.set_timer(0.05, listed)
        return
    found["later"] = sorted({name.partition(".")[0] for name in sys.modules})
    app.exit(0)

app.run(headless=True, size=(80, 24))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """CPU seconds and modules of a process at its first frame and once all lists are filled."""
    root = tmp_path_factory.mktemp("home")
    make_run(make_paths(root))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(root)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path(__file__).parent,
    )
    result: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


@pytest.mark.parametrize("moment", ["modules", "later"])
def test_nothing_heavy_is_imported(start: dict[str, object], moment: str) -> None:
    modules = start[moment]
    assert isinstance(modules, list)
    assert "textual" in modules
    heavy = [name for name in FORBIDDEN if name in modules]
    assert not heavy


def test_the_first_frame_needs_little(start: dict[str, object]) -> None:
    # Printed, not asserted: a shared machine's clock must not fail a build.
    print(f"first frame after {start['cpu']:.2f} s of CPU time")
    assert isinstance(start["modules"], list)
    assert "yaml" not in start["modules"]
    assert "psutil" not in start["modules"]
