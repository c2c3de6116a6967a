"""Rules on packages that a setting needs, as far as Python finds them.

They are warnings: a recipe may be written on one machine and trained on another. `check --deep`
makes errors of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from workbench.base.problems import Problem
from workbench.recipe.rules.base import RULES, Settings, rule

BITSANDBYTES_OPTIMIZERS = (
    *("adamw_bnb_8bit", "adamw_8bit", "paged_adamw_32bit", "paged_adamw_8bit"),
    *("ademamix", "ademamix_8bit", "paged_ademamix_32bit", "paged_ademamix_8bit"),
    *("lion_32bit", "lion_8bit", "paged_lion_32bit", "paged_lion_8bit"),
    *("rmsprop_bnb", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit"),
)
TRACKERS = {
    "clearml": ("clearml",),
    "codecarbon": ("codecarbon",),
    "comet_ml": ("comet_ml",),
    "dvclive": ("dvclive",),
    "mlflow": ("mlflow",),
    "swanlab": ("swanlab",),
    "tensorboard": ("tensorboard", "tensorboardX"),
    "trackio": ("trackio",),
    "wandb": ("wandb",),
}
"""What `report_to` may name, and the packages of which it needs one."""
ATTENTION = {
    "flash_attention_2": ("flash_attn", "kernels"),
    "flash_attention_3": ("flash_attn_interface", "kernels"),
}
"""transformers takes a kernel of the hub where the package itself is not there."""


@rule(RULES)
def optimizer_without_its_package(s: Settings) -> Iterator[Problem]:
    """Optimizers of 8 bits and paged ones come from bitsandbytes."""
    name = str(s.get("optim"))
    # Whoever loads weights in 4 or 8 bits knows of bitsandbytes, and sees to it.
    if name not in BITSANDBYTES_OPTIMIZERS or s.get("load_in_4bit") or s.get("load_in_8bit"):
        return
    if not s.has_package("bitsandbytes"):
        what = f"optim: {name} needs the package bitsandbytes, which is not installed here"
        yield Problem(what, s.where("optim"), "Set optim: adamw_torch_fused.", "warning")


@rule(RULES)
def attention_without_its_package(s: Settings) -> Iterator[Problem]:
    """Flash attention is a package of its own."""
    name = str(s.get("attn_implementation") or "")
    wanted = ATTENTION.get(name, ())
    if wanted and not any(map(s.has_package, wanted)):
        what = f"attn_implementation: {name} needs the package {wanted[0]}, not installed here"
        hint = "Set attn_implementation: sdpa, which is fast too."
        yield Problem(what, s.where("attn_implementation"), hint, "warning")


@rule(RULES)
def tracker_without_its_package(s: Settings) -> Iterator[Problem]:
    """A tracker that is not installed stops the run before its first step."""
    for name in s.items("report_to"):
        wanted = TRACKERS.get(name, ())
        if wanted and not any(map(s.has_package, wanted)):
            what = f"report_to: {name} needs the package {wanted[0]}, which is not installed here"
            hint = "Set report_to: none; the workbench draws the metrics itself."
            yield Problem(what, s.where("report_to"), hint, "warning")


@rule(RULES)
def kernels_without_their_package(s: Settings) -> Iterator[Problem]:
    """TRL 1.16 takes Liger's layers only, and will no longer do so in TRL 2."""
    if s.get("use_liger_kernel") and not s.has_package("liger_kernel"):
        what = "use_liger_kernel needs the package liger_kernel, which is not installed here"
        yield Problem(what, s.where("use_liger_kernel"), "Delete use_liger_kernel.", "warning")


@rule(RULES)
def compiling_for_each_batch(s: Settings) -> Iterator[Problem]:
    """The workbench's own passes change shape with each batch and are left out then."""
    if s.get("torch_compile") and s.recipe.shared_prefix:
        what = "torch_compile leaves out the workbench's own passes, which are faster"
        hint = "Delete torch_compile, or set shared_prefix: off to say that you mean it."
        yield Problem(what, s.where("torch_compile"), hint, "warning")


def missing_packages(s: Settings) -> Iterator[Problem]:
    """What the rules of this module say of packages alone."""
    for function in (
        optimizer_without_its_package,
        attention_without_its_package,
        tracker_without_its_package,
        kernels_without_their_package,
    ):
        yield from function(s)
