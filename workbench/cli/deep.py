"""`check --deep` and `show --resolved`: what the libraries say of a recipe on this machine."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import yaml

from workbench.base.paths import Paths
from workbench.base.text import clean
from workbench.cli.output import one_line, redrawable
from workbench.recipe.recipe import Recipe
from workbench.run.deep import DeepReport, deep_check, resolve_all
from workbench.run.resolved import Setting, settings_of

LONGEST_VALUE = 44


def look(recipe: Recipe, paths: Paths, trusted_model: str) -> DeepReport:
    """The deeper check, with a word on stderr about what takes time."""
    return deep_check(recipe, paths, trusted_model=trusted_model, say=say)


def say(message: str) -> None:
    """A sentence that only a waiting person needs."""
    if redrawable():
        print(f"{message} ...", file=sys.stderr)


def resolved(
    recipe: Recipe, arguments: argparse.Namespace, paths: Paths
) -> dict[str, list[Setting]]:
    """Per stage every setting as it will be here."""
    report = resolve_all(recipe, paths, trusted_model=recipe.model, say=say)
    names = [setting.partition("=")[0].strip() for setting in arguments.settings]
    return {
        stage: settings_of(recipe, stage, found["values"], found["hardware"], names)
        for stage, found in report.configs.items()
    }


def resolved_lines(title: str, stage: str, settings: list[Setting]) -> list[str]:
    """A stage's settings as YAML, with the origin of what is not TRL's default as comments."""
    lines = [f"# {one_line(title)}: stage {stage}, every setting as it will be here"]
    for setting in settings:
        text = f"{setting.key}: {_as_yaml(setting.value)}"
        lines.append(f"{text:<{LONGEST_VALUE}}  # {setting.origin}" if setting.origin else text)
    return lines


def _as_yaml(value: Any) -> str:
    dumped = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return clean(dumped.removesuffix("\n").removesuffix("\n..."), newlines=False)


def launch_document(recipe: Recipe, settings: dict[str, Any]) -> str:
    """The launch config of all stages as YAML, with the place of what the recipe says."""
    lines = [f"# {one_line(recipe.title)}: the launch of all stages, as accelerate reads it"]
    for key, value in settings.items():
        where = _said(recipe, key)
        text = f"{key}: {_as_yaml(value)}"
        lines.append(f"{text:<{LONGEST_VALUE}}  # {where}" if where else text)
    return "\n".join(lines)


def launch_record(recipe: Recipe, settings: dict[str, Any]) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "stage": "launch",
        "settings": {
            key: {"value": value, "default": None, "from": _said(recipe, key)}
            for key, value in settings.items()
        },
    }


def _said(recipe: Recipe, key: str) -> str:
    return recipe.document.where((key,)) if key in recipe.data else ""


def resolved_record(stage: str, settings: list[Setting]) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "stage": stage,
        "settings": {
            one.key: {"value": one.value, "default": one.default, "from": one.origin}
            for one in settings
        },
    }
