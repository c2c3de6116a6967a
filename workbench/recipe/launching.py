"""How the processes of a run are started: the recipe's wish, and accelerate's config from it.

The keys are those of `accelerate launch`, at the top of the recipe. A run has one launch config for
all its stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.base.problems import Problem, ProblemError
from workbench.recipe.launch_files import PRESETS, ZERO_FILE, read_launch_file, zero_file
from workbench.recipe.launch_options import FLAGS, has_effect, place_of, plain
from workbench.recipe.recipe import Recipe
from workbench.recipe.schema import load_schema

LAUNCH_KEYS = (
    *("num_processes", "accelerate_config", "num_machines", "machine_rank"),
    *("main_process_ip", "main_process_port"),
)
"""The options that a person sets most; the others are handed on as they are."""
DEFAULT_PORT = 29500
"""Accelerate's own, for several machines, where any free one cannot be agreed on."""
ONE_PROCESS = ("", "single_gpu")
NO, DATA_PARALLEL, SHARDED, ZERO = "NO", "MULTI_GPU", "FSDP", "DEEPSPEED"


@dataclass(frozen=True)
class LaunchWish:
    """What a recipe asks of the launch.

    Attributes:
        num_processes: Of all machines together, None where the recipe does not say.
        accelerate_config: A name of TRL's, a path as typed, or empty.
        num_machines: 1 for this machine alone.
        machine_rank: Number of this machine, from 0.
        main_process_ip: Address or name of the machine of rank 0, empty for one machine.
        main_process_port: Its port; 0 for any free one.
        options: Accelerate's other options by name, without those that mean nothing here.
    """

    num_processes: int | None = None
    accelerate_config: str = ""
    num_machines: int = 1
    machine_rank: int = 0
    main_process_ip: str = ""
    main_process_port: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def is_one_process(self) -> bool:
        """Whether nothing asks for a launcher: one process, started as it is."""
        return (
            self.num_processes in (None, 1)
            and self.num_machines == 1
            and self.accelerate_config in ONE_PROCESS
            and not self.options
        )


def launch_wish(recipe: Recipe) -> LaunchWish:
    """What a recipe asks of the launch, a config file that it names included.

    Values of a wrong kind and files that cannot be read are left out; `check` names them.
    """
    data = recipe.data
    name = _config_name(data)
    said = {**_numbers_of_file(name, recipe.path.parent), **_given(data)}
    known = load_schema().launch
    return LaunchWish(
        num_processes=_whole(said.get("num_processes")),
        accelerate_config=name,
        num_machines=_whole(said.get("num_machines")) or 1,
        machine_rank=_whole(said.get("machine_rank")) or 0,
        main_process_ip=str(said.get("main_process_ip") or ""),
        main_process_port=_whole(said.get("main_process_port")) or 0,
        options={
            key: value
            for key, value in _given(data).items()
            if key in known and has_effect(key) and value != known[key].default
        },
    )


def _given(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}


def _numbers_of_file(name: str, recipe_folder: Path) -> dict[str, Any]:
    """What a person's config file says of processes and machines; TRL's own are examples."""
    if not name or name in PRESETS:
        return {}
    try:
        content = read_launch_file(name, recipe_folder)
    except ProblemError:
        return {}
    found = {key: content.get(key) for key in LAUNCH_KEYS if key != "accelerate_config"}
    processes = _whole(found["num_processes"])
    if processes is None or processes < 1:
        # Accelerate writes -1 where it shall be told later.
        found["num_processes"] = 1 if content["distributed_type"] == NO else None
    return _given(found)


def launch_kind(recipe: Recipe) -> str:
    """`MULTI_GPU`, `FSDP` or `DEEPSPEED`: how the processes share the work."""
    wish = launch_wish(recipe)
    try:
        content = read_launch_file(wish.accelerate_config or "multi_gpu", recipe.path.parent)
    except ProblemError:
        content = {}
    return _distributed(wish, str(content.get("distributed_type")))


def launch_values(recipe: Recipe) -> dict[str, Any]:
    """The recipe's launch keys as typed, in its order."""
    known = load_schema().launch
    return {key: value for key, value in recipe.data.items() if key in known}


def launch_record(recipe: Recipe, processes: int) -> dict[str, Any]:
    """What a checkpoint remembers of the launch: all that the numbers after it depend on.

    Args:
        processes: How many train together.

    Returns:
        `num_processes`, `accelerate_config` by the name of TRL's config that shares the work in the
        same way (`multi_gpu` shares nothing but the rows), and `mixed_precision`.
    """
    precision = launch_wish(recipe).options.get("mixed_precision")
    return {
        "num_processes": processes,
        "accelerate_config": way_of_sharing(recipe),
        "mixed_precision": str(precision or "no"),
    }


def way_of_sharing(recipe: Recipe) -> str:
    """The name of TRL's config that divides among processes what this recipe divides."""
    kind, wish = launch_kind(recipe), launch_wish(recipe)
    if kind == DATA_PARALLEL:
        return "multi_gpu"
    section, key, prefix = "fsdp_config", "fsdp_version", "fsdp"
    if kind == ZERO:
        section, key, prefix = "deepspeed_config", "zero_stage", "zero"
    try:
        content = read_launch_file(wish.accelerate_config or "multi_gpu", recipe.path.parent)
    except ProblemError:
        content = {}
    inner = content.get(section)
    said = inner.get(key) if isinstance(inner, dict) else None
    known = load_schema().launch.get(key)
    default = known.default if known else None
    return f"{prefix}{wish.options.get(key) or said or default or 2}"


def _config_name(data: Mapping[str, Any]) -> str:
    """Accelerate's own `config_file` and `multi_gpu` say it, too."""
    name = data.get("accelerate_config") or data.get("config_file")
    return str(name or ("multi_gpu" if data.get("multi_gpu") is True else ""))


def _whole(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == int(value) else None


def process_count(wish: LaunchWish, *, devices: int) -> int:
    """How many processes a run has, on all machines together.

    Args:
        devices: How many devices each machine has; what counts where only a config of TRL's is
            named.
    """
    if wish.num_processes is not None:
        return wish.num_processes
    if wish.is_one_process or (wish.accelerate_config in ONE_PROCESS and wish.num_machines == 1):
        return 1
    return max(devices, 1) * wish.num_machines


def accelerate_settings(
    wish: LaunchWish, *, devices: int, on_cpu: bool, recipe_folder: Path
) -> dict[str, Any]:
    """The content of an accelerate config file: TRL's or the person's, then the recipe's options.

    Precision is the business of a stage's `bf16`, `fp16` and `dtype`, as it is without a launcher:
    TRL's files say bf16, which would switch autocast on where a stage has switched it off.
    So is the accumulation of gradients, which DeepSpeed takes from the stage where no file says it.

    Args:
        devices: How many devices this machine shows.
        on_cpu: Whether the run trains on CPUs.
        recipe_folder: Where a relative path counts from.

    Raises:
        ProblemError: The file cannot be read, or asks for what cannot be done here.
    """
    content = read_launch_file(wish.accelerate_config or "multi_gpu", recipe_folder)
    own_file = bool(wish.accelerate_config) and wish.accelerate_config not in PRESETS
    precision = content.get("mixed_precision") if own_file else None
    settings = {**content, "use_cpu": False, "debug": False}
    # Only fp8 has no key of a stage's that could ask for it.
    settings["mixed_precision"] = "fp8" if precision == "fp8" else "no"
    settings["num_processes"] = process_count(wish, devices=devices)
    settings |= {"num_machines": wish.num_machines, "machine_rank": wish.machine_rank}
    settings |= _meeting_point(wish)
    for key, value in wish.options.items():
        _place(settings, key, value, recipe_folder)
    settings["distributed_type"] = _distributed(wish, str(settings["distributed_type"]))
    _tidy_zero(settings)
    if on_cpu:
        refuse_on_cpu(settings)
    return settings


def _meeting_point(wish: LaunchWish) -> dict[str, Any]:
    """Where the processes find one another: any free port, unless machines must agree on one."""
    default = DEFAULT_PORT if wish.num_machines > 1 else 0
    found: dict[str, Any] = {"main_process_port": wish.main_process_port or default}
    return found | ({"main_process_ip": wish.main_process_ip} if wish.main_process_ip else {})


def _place(settings: dict[str, Any], key: str, value: Any, recipe_folder: Path) -> None:
    section = place_of(key)
    if section is None:
        return
    if key == ZERO_FILE:
        value = zero_file(value, recipe_folder)
    if section:
        inner = settings.get(section)
        settings[section] = {**(inner if isinstance(inner, dict) else {}), key: plain(value)}
    else:
        settings[key] = plain(value)


def _distributed(wish: LaunchWish, named: str) -> str:
    """The kind of training; whatever it is, torchrun starts the processes."""
    if wish.options.get("use_fsdp"):
        return SHARDED
    if wish.options.get("use_deepspeed"):
        return ZERO
    return named if named in (SHARDED, ZERO) else DATA_PARALLEL


def _tidy_zero(settings: dict[str, Any]) -> None:
    zero = settings.get("deepspeed_config")
    if not isinstance(zero, dict):
        return
    zero = {key: value for key, value in zero.items() if key != "gradient_accumulation_steps"}
    # DeepSpeed's own launcher would start the machines by itself.
    settings["deepspeed_config"] = {**zero, "deepspeed_multinode_launcher": "standard"}
    if zero.get(ZERO_FILE) and settings.get("mixed_precision") == "no":
        # Accelerate takes a precision beside DeepSpeed's own file for a contradiction.
        del settings["mixed_precision"]


def refuse_on_cpu(settings: Mapping[str, Any]) -> None:
    """ProblemError for FSDP, in whose place accelerate would train something else."""
    if settings.get("distributed_type") != SHARDED:
        return
    hint = "Use accelerate_config: multi_gpu, which trains on CPUs as well, or a machine with GPUs."
    raise ProblemError(Problem("FSDP trains on GPUs only", "accelerate_config", hint))


def launcher_flags(wish: LaunchWish, *, processes_here: int, cores: int, on_cpu: bool) -> list[str]:
    """Options of `accelerate launch` for which its config file has no place.

    Args:
        processes_here: How many processes this machine starts.
        cores: How many CPU cores they share. On a CPU each gets its part; accelerate would give
            each a single one.
    """
    flags: list[str] = []
    for key, value in wish.options.items():
        if key in FLAGS:
            flags += [f"--{key}", str(value)]
    threads = "num_cpu_threads_per_process"
    if on_cpu and threads not in wish.options:
        flags += [f"--{threads}", str(max(cores // max(processes_here, 1), 1))]
    return flags
