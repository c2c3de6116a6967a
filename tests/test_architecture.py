"""The rules of workbench/README.md that a machine can keep."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "workbench"
FLOORS = {"base": 0, "data": 1, "recipe": 2, "run": 3, "judge": 4, "tui": 5, "worker": 5, "cli": 6}
ONLY_IN = {
    "textual": "tui",
    "plotext": "tui",
    "torch": "worker",
    "transformers": "worker",
    "trl": "worker",
    "peft": "worker",
    "datasets": "worker",
    "accelerate": "worker",
    "numpy": "worker",
    "safetensors": "worker",
    "gguf": "worker",
}
HEAVY = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "numpy", "pandas")
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(file: Path) -> str:
    parts = file.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def imports(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_each_module_keeps_to_its_floor(file: Path) -> None:
    own = room(file)
    for name in imports(file):
        top, *rest = name.split(".")
        if top == "workbench" and rest and rest[0] in FLOORS and own:
            other = rest[0]
            assert other == own or FLOORS[other] < FLOORS[own], f"{own} imports {name}"
        assert ONLY_IN.get(top, own) == own, f"{own} imports {name}"
        assert top != "multiprocessing", "it fails inside a running terminal app"


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_module_is_long(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 500


def test_no_function_is_long() -> None:
    long = []
    for file in MODULES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = ast.get_docstring(node, clean=False) or ""
                lines = (node.end_lineno or 0) - node.lineno + 1 - docstring.count("\n") - 1
                if lines > 45:
                    long.append(f"{file.relative_to(PACKAGE)}:{node.lineno} {node.name} {lines}")
    assert long == []


@pytest.mark.parametrize(
    "target", ["workbench.cli", "workbench.tui.app", "workbench.judge.answers"]
)
def test_front_doors_import_nothing_heavy(target: str) -> None:
    code = f"import sys, {target}; print(*(set({HEAVY!r}) & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == ""


def test_the_command_line_does_not_import_the_terminal_library() -> None:
    code = "import sys, workbench.cli; print('textual' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"


def test_no_relative_or_star_imports() -> None:
    for file in MODULES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0
                assert all(alias.name != "*" for alias in node.names)
