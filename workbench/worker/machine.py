"""What this machine has, and a stage's config fitted to it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
import re
import resource
import subprocess
import sys
import warnings
from collections.abc import Iterator, MutableMapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import yaml

from workbench.base.files import write_atomic
from workbench.recipe.estimate import memory_of
from workbench.recipe.memory import KEEP_SHARE, Room
from workbench.run.memory_advice import architecture_of

PACKAGES = ("trl", "transformers", "peft", "torch", "datasets", "accelerate", "bitsandbytes")
GIGABYTE = 1024**3
BF16 = "bfloat16"
LAUNCHER_VARIABLES = ("LOCAL_RANK", "WORLD_SIZE")
QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TQDM_DISABLE": "1",
    # Idle threads of torch spin by default: two processes on the same cores, a training and an
    # answering one, then take six times as long. A short spin costs neither of them much.
    "GOMP_SPINCOUNT": "5000",
}


def prepare_environment(environ: MutableMapping[str, str], *, several: bool = False) -> str:
    """Set what the libraries read when they are imported; call it before torch is.

    Args:
        several: Whether several processes train, which share the visible GPUs out.

    Returns:
        A sentence about a decision that the user should know of, or an empty text.
    """
    for name, value in QUIET.items():
        environ.setdefault(name, value)
    # Reading a file with torch must never run what is pickled in it.
    environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    return "" if several else choose_gpu(environ)


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Import libraries without the garbage collector, which looks at all they make again and again.

    That takes a fifth of the time of importing torch and TRL. What is imported stays for good, so
    the collector never looks at it later either.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next tensors instead of giving it back to the system.

    A training step frees and asks for the same hundreds of MB; pages that are given back have to be
    zeroed and mapped anew, which took a fifth of a step of a small model on a CPU. Other C
    libraries have no such setting.

    Returns:
        Whether the setting was taken.
    """
    trim_threshold, mmap_max = -1, -4
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # Nothing by mmap, which is unmapped when it is freed; and a trim threshold of -1 is none.
    return bool(mallopt(mmap_max, 0)) and bool(mallopt(trim_threshold, -1))


def give_back_memory() -> None:
    """Give back what is free but still held, of the GPU and, with glibc, of the host."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def choose_gpu(environ: MutableMapping[str, str]) -> str:
    """Keep one GPU where several are visible and one process trains, without a launcher.

    TRL refuses to train one process on several GPUs.
    """
    if any(name in environ for name in LAUNCHER_VARIABLES):
        return ""
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        devices = sorted(p.name[6:] for p in Path("/dev").glob("nvidia[0-9]*"))
        devices = [name for name in devices if name.isdigit()]
    else:
        devices = [name.strip() for name in visible.split(",") if name.strip()]
    if len(devices) < 2:
        return ""
    chosen = devices[0] if visible is not None else "0"
    environ["CUDA_VISIBLE_DEVICES"] = chosen
    return (
        f"{len(devices)} GPUs are visible; the run uses the first (CUDA_VISIBLE_DEVICES={chosen}). "
        f"num_processes: {len(devices)} in the recipe would use all of them."
    )


def fit_config(
    path: Path, *, has_cuda: bool, bf16_works: bool = True, free_bytes: int = 0
) -> list[str]:
    """Add to a stage's config what fits this machine, and save it.

    TRL's default of bf16 mixed precision needs a GPU that has it; without one the config asks for
    the CPU. LoRA trains beside frozen weights, which lose nothing in bf16 where autocast would
    round them anyway, and it recomputes activations only where memory asks for it. A value of the
    recipe stays. `trl sft --config` and `trl dpo --config` then take the file as it is.

    Args:
        bf16_works: Whether the GPU, or the CPU without one, multiplies bf16 in hardware.
        free_bytes: Memory for the run; 0 where that is not known.

    Returns:
        One sentence per change.
    """
    text = path.read_text(encoding="utf-8")
    given = yaml.safe_load(text)
    notes = []
    config = dict(given)
    for change, reason in (
        _for_device(given, has_cuda, bf16_works),
        _for_lora(given, bf16_works),
    ):
        config |= change
        notes += _note(path, change, reason)
    room = Room(free_bytes, has_cuda, bf16_works)
    change, reason = _for_memory(config, path.stem, room)
    config |= change
    notes += _note(path, change, reason)
    if notes:
        comments = "".join(line for line in text.splitlines(True) if line.startswith("#"))
        body = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)
        write_atomic(path, comments + body)
    return notes


def _note(path: Path, change: dict[str, Any], reason: str) -> list[str]:
    values = ", ".join(f"{name}: {str(value).lower()}" for name, value in change.items())
    return [f"{path.name}: {values}, because {reason}."] if change else []


def _for_device(
    config: dict[str, Any], has_cuda: bool, bf16_works: bool
) -> tuple[dict[str, Any], str]:
    changes: dict[str, Any] = {}
    if not has_cuda and "use_cpu" not in config:
        changes["use_cpu"] = True
    if "bf16" not in config and not config.get("fp16") and not (has_cuda and bf16_works):
        changes["bf16"] = False
    return changes, "no GPU is visible" if not has_cuda else "this GPU has no bf16"


def _for_lora(config: dict[str, Any], bf16_works: bool) -> tuple[dict[str, Any], str]:
    open_choice = "bf16" not in config and not config.get("fp16") and _trains_lora(config)
    if not open_choice or not bf16_works or config.get("dtype", BF16) != BF16:
        return {}, ""
    change = {} if "dtype" in config else {"dtype": BF16}
    return {**change, "bf16": False}, "LoRA trains in fp32 beside frozen weights in bf16"


def _for_memory(config: dict[str, Any], stage: str, room: Room) -> tuple[dict[str, Any], str]:
    shape = architecture_of(config.get("model_name_or_path"))
    if "gradient_checkpointing" in config or not shape or not _trains_lora(config):
        return {}, ""
    change = {"gradient_checkpointing": False}
    needed = memory_of({**config, **change}, stage, shape, room)
    if needed is None or needed > KEEP_SHARE * (room.free_bytes or 0):
        return {}, ""
    return change, f"the memory suffices without (about {needed / 1e9:.1f} GB)"


def _trains_lora(config: dict[str, Any]) -> bool:
    quantized = config.get("load_in_4bit") or config.get("load_in_8bit")
    return bool(config.get("use_peft")) and not quantized


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 in hardware; elsewhere fp32 is faster."""
    import torch

    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in tests)


def free_bytes() -> int:
    """Memory that a run could take now: of the GPU, or of the host without one."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    return int(psutil.virtual_memory().available)


def rss_bytes() -> int:
    """Resident memory of this process now."""
    return int(psutil.Process().memory_info().rss)


def reset_peaks() -> None:
    """Begin a new count of the memory peaks, where the system allows it."""
    import torch

    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return
    finally:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()


def peak_rss_bytes() -> int:
    """Peak of resident memory since the last reset, or of the whole process."""
    try:
        status = Path("/proc/self/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
    except OSError:
        found = None
    if found:
        return int(found.group(1)) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak_gpu_bytes() -> int:
    """Peak of GPU memory that torch had allocated since the last reset; 0 without a GPU."""
    import torch

    return int(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else 0


def memory_metrics() -> dict[str, float]:
    """Memory in use, in GB (2**30), as metrics."""
    import torch

    values = {"memory/rss_gb": rss_bytes() / GIGABYTE}
    if torch.cuda.is_available():
        values["memory/gpu_gb"] = torch.cuda.memory_allocated() / GIGABYTE
    return values


def describe(recipe_path: str) -> dict[str, Any]:
    """Versions, hardware and the git state of the recipe's folder, for environment.json."""
    import torch

    gpus = [
        {
            "name": torch.cuda.get_device_name(index),
            "memory_bytes": torch.cuda.get_device_properties(index).total_memory,
        }
        for index in range(torch.cuda.device_count())
    ]
    return {
        "versions": versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": int(psutil.virtual_memory().total),
        "gpus": gpus,
        "git": git_state(Path(recipe_path).parent) if recipe_path else {},
    }


def versions() -> dict[str, str]:
    """The libraries that numbers depend on, as they are installed."""
    return {name: found for name in PACKAGES if (found := _version(name))}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def git_state(folder: Path) -> dict[str, Any]:
    """Commit of the repository that a folder lies in, and whether tracked files differ from it."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "changed": bool(changed)}


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
