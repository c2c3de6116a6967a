"""What becomes of each option of `accelerate launch` that a recipe may name."""

from __future__ import annotations

from typing import Any

FLAGS = ("num_cpu_threads_per_process", "monitor_interval", "rdzv_conf", "role")
"""Options that accelerate takes on its command line only."""
TOP = ("mixed_precision", "enable_cpu_affinity", "rdzv_backend", "same_network")
SECTIONS = {"fsdp_": "fsdp_config", "dynamo_": "dynamo_config", "fp8_": "fp8_config"}
ZERO_OPTIONS = (
    *("deepspeed_config_file", "zero_stage", "offload_optimizer_device", "offload_param_device"),
    *("offload_optimizer_nvme_path", "offload_param_nvme_path", "gradient_clipping"),
    *("zero3_init_flag", "zero3_save_16bit_model", "deepspeed_moe_layer_cls_names"),
)
KINDS = ("use_fsdp", "use_deepspeed")

HARMLESS = {
    "quiet": "what goes wrong is told in any case",
    "tee": "the output of every process is kept in the run directory",
    "log_dir": "the output of every process is kept in the run directory",
    "module": "the run's own program is started",
    "no_python": "the run's own program is started",
    "no_tpu_cluster": "it is for TPUs",
    "tpu_use_sudo": "it is for TPUs",
    "vm": "it is for TPUs",
    "main_training_function": "it is for TPUs",
    "downcast_bf16": "it is for TPUs",
    "deepspeed_multinode_launcher": "the machines are started by --hosts, by Slurm or by you",
}
"""Options without effect here, with the reason."""

_DATA_ONLY = "every process of a run trains on rows of its own"
UNSUPPORTED = {
    "cpu": ("it would start a single process", "Write use_cpu: true, which TRL reads."),
    "tpu": ("a run trains on GPUs or CPUs", "Remove it."),
    "tpu_cluster": ("a run trains on GPUs or CPUs", "Remove it."),
    "gpu_ids": (
        "a run gets its devices when it starts",
        "Remove it; name them at the start: --device cuda:0,cuda:1.",
    ),
    "max_restarts": (
        "a run whose process ends, ends",
        "Remove it; `resume` goes on from the last checkpoint.",
    ),
    "use_parallelism_config": (_DATA_ONLY, "Remove it."),
    "use_megatron_lm": (_DATA_ONLY, "Use accelerate_config: fsdp2 or zero3."),
    "mpirun_hostfile": ("torchrun starts the processes", "Name the machines: --hosts a,b."),
    "deepspeed_hostfile": ("torchrun starts the processes", "Name the machines: --hosts a,b."),
    "deepspeed_exclusion_filter": (
        "a run gets its devices when it starts",
        "Remove it; name them at the start: --device cuda:0,cuda:1.",
    ),
    "deepspeed_inclusion_filter": (
        "a run gets its devices when it starts",
        "Remove it; name them at the start: --device cuda:0,cuda:1.",
    ),
}
"""Options that cannot be obeyed: why, and what to do instead."""
UNSUPPORTED_PREFIXES = ("megatron_lm_", "parallelism_config_")


def place_of(key: str) -> str | None:
    """Section of accelerate's file that holds an option; empty for its top, None for nowhere."""
    if key in TOP:
        return ""
    if key in ZERO_OPTIONS:
        return "deepspeed_config"
    return next((name for prefix, name in SECTIONS.items() if key.startswith(prefix)), None)


def has_effect(key: str) -> bool:
    """Whether an option changes the launch beyond what `LaunchWish` has fields for."""
    return key in (*FLAGS, *KINDS) or place_of(key) is not None


def plain(value: Any) -> Any:
    """A value as the file shall hold it: accelerate takes the text `false` for true."""
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return value
