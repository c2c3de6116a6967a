"""What people should know of the settings that matter, beyond TRL's own help.

Facts are those of TRL 1.16, transformers 5.23 and peft 0.21, and of what the workbench makes of
them.
"""

from __future__ import annotations

from workbench.recipe.guide.choices import CHOICES, LOSSES
from workbench.recipe.guide.entry import SECTIONS, Guide
from workbench.recipe.guide.launch import PROCESSES
from workbench.recipe.guide.model import BASICS, LORA
from workbench.recipe.guide.stages import DPO, SFT
from workbench.recipe.guide.training import DATA, EVALUATION, TRAINING

__all__ = ["CHOICES", "GUIDES", "LOSSES", "SECTIONS", "Guide"]

GUIDES: dict[str, Guide] = BASICS | LORA | SFT | DPO | DATA | TRAINING | EVALUATION | PROCESSES
"""By TRL's name of the setting, in the order of the form."""
