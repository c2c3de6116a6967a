"""`doctor`: what this machine has, what is missing, what to do. Never imports torch."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import re
import shutil
import stat
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.base.paths import Paths
from workbench.base.text import pad
from workbench.cli.output import one_line, print_json, size
from workbench.run.devices import CPU, visible_slots
from workbench.run.gpu_use import owners
from workbench.run.gpus import NOT_INSTALLED, NVIDIA, Gpu, GpuView, look
from workbench.run.machine.host import core_count, disk_room, memory_room
from workbench.run.machine.text import celsius, watts

DISTRIBUTION = "dpo-workbench"
STACK = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "textual", "plotext")
OPTIONAL = {
    "bitsandbytes": "needed by QLoRA recipes (load_in_4bit)",
    "deepspeed": "needed by accelerate_config: zero1, zero2 and zero3",
}
MINIMUM_MEMORY_BYTES = 3e9
MINIMUM_DISK_BYTES = 5e9
MINIMUM_COLUMNS, MINIMUM_LINES = 80, 24
GPU_SECONDS = 20.0
"""A driver that keeps no GPU awake takes a second or two for each."""
MOUNTS = Path("/proc/mounts")
NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "lustre", "beegfs", "gpfs")


@dataclass(frozen=True)
class Finding:
    """One line of the report; a warning says what to do in `next_step`."""

    name: str
    state: str
    value: str
    next_step: str = ""


def doctor(arguments: argparse.Namespace, paths: Paths) -> int:
    """Print every finding. Warnings do not fail: what is missing may not be needed."""
    findings = examine(paths)
    if arguments.json:
        print_json([asdict(finding) for finding in findings])
        return 0
    for finding in findings:
        line = f"{finding.state:<8} {pad(finding.name, 14)} {one_line(finding.value)}"
        print(line.rstrip())
        if finding.next_step:
            print(f"{'':<9}{finding.next_step}")
    return 0


def examine(paths: Paths) -> list[Finding]:
    """All findings of this machine."""
    devices = look(GPU_SECONDS)
    return [
        _ok("dpo-workbench", f"{_version(DISTRIBUTION) or 'not installed as a package'}"),
        _ok("python", f"{platform.python_version()} ({sys.executable})"),
        _ok("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        *(_package(name) for name in STACK),
        *(_optional(name, use) for name, use in OPTIONAL.items()),
        *_gpu_findings(devices),
        _torch_build(devices),
        _ok("cpu", f"{core_count():g} of {os.cpu_count()} cores usable"),
        _memory(),
        _disk("runs", paths.runs),
        _disk("model cache", paths.models),
        _private(paths.runs),
        _lingering(),
        _hub(),
        _terminal(),
        _ok("network", "only needed to download a model or data set that is not here yet"),
    ]


def _ok(name: str, value: str) -> Finding:
    return Finding(name, "ok", value)


def _warning(name: str, value: str, next_step: str) -> Finding:
    return Finding(name, "warning", value, next_step)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _wanted(name: str) -> str:
    """The range that this package declares for another, such as ">=5.3.2,<6"; "" for none."""
    try:
        declared = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return ""
    for requirement in declared:
        match = re.match(rf"{re.escape(name)}\s*\(?([<>=!~][^;)]*)", requirement)
        if match and "extra" not in requirement:
            return match[1].strip()
    return ""


def fits(version: str, wanted: str) -> bool:
    """Whether a version lies in a range of `>=` and `<` bounds; other bounds are not judged."""
    release = _release(version)
    for bound in filter(None, wanted.split(",")):
        match = re.fullmatch(r"\s*(>=|<)\s*([\d.]+)\s*", bound)
        if match and (release >= _release(match[2])) != (match[1] == ">="):
            return False
    return True


def _release(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", version)
    parts = [int(part) for part in match[0].split(".")] if match else []
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def _package(name: str) -> Finding:
    version, wanted = _version(name), _wanted(name)
    if version and fits(version, wanted):
        return _ok(name, version)
    install = f"Install it: {sys.executable} -m pip install '{name}{wanted}'"
    if version:
        return _warning(name, f"{version}, tested is {wanted}", install)
    return _warning(name, "not installed", install)


def _optional(name: str, use: str) -> Finding:
    version = _version(name)
    return _ok(name, version or f"not installed; {use}")


def _gpu_findings(view: GpuView) -> list[Finding]:
    if view.gpus:
        return [*(_gpu(gpu, view.driver) for gpu in view.gpus), *_silent(view)]
    value = f"none seen: {view.reason}"
    if view.reason == NOT_INSTALLED and _has_gpu(view):
        return _silent(view)
    step = "Training runs on the CPU: the quickstart recipe is made for that."
    return [_warning("gpu", value, step)]


def _silent(view: GpuView) -> list[Finding]:
    """NVIDIA's GPUs that are there and nobody can ask."""
    if not view.reason:
        return []
    value = f"no GPU data: {view.reason}"
    if view.reason == NOT_INSTALLED:
        step = f"To see who uses it: {sys.executable} -m pip install nvidia-ml-py"
        return [_warning("gpu", value, step)]
    return [_warning("gpu", value, "Look at nvidia-smi and dmesg; it may need a restart.")]


def _gpu(gpu: Gpu, driver: str) -> Finding:
    name = f"gpu {gpu.index}" if gpu.kind == NVIDIA else gpu.key
    if gpu.total_bytes is None:
        value = f"{gpu.name or 'unknown'}, no GPU data: {gpu.trouble}"
        return _warning(name, value, "Look at nvidia-smi and dmesg; it may need a restart.")
    facts = [gpu.name or "unknown", size(gpu.total_bytes)]
    if gpu.free_bytes is not None:
        facts.append(f"{size(gpu.free_bytes)} free")
    if gpu.load_percent is not None:
        facts.append(f"load {gpu.load_percent} %")
    facts += [fact for fact in (celsius(gpu), watts(gpu)) if fact]
    if gpu.processes:
        facts.append(f"used by {owners(gpu.processes)}")
    if driver and gpu.kind == NVIDIA:
        facts.append(f"driver {driver}")
    return _ok(name, ", ".join(facts))


def _has_gpu(view: GpuView) -> bool:
    """Whether there is a GPU of NVIDIA's: what is said of torch's build is about those."""
    return any(gpu.kind == NVIDIA for gpu in view.gpus) or visible_slots({}) != [CPU]


def _torch_build(view: GpuView) -> Finding:
    version = _version("torch")
    if "+cpu" in version and _has_gpu(view):
        step = "Install the CUDA build, see https://pytorch.org/get-started/locally/"
        return _warning("torch build", "for CPUs only, but there is a GPU", step)
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if _has_gpu(view) and hidden is not None and hidden.strip() in ("", "-1"):
        step = "Unset CUDA_VISIBLE_DEVICES to train on the GPU."
        return _warning("torch build", "CUDA_VISIBLE_DEVICES hides every GPU", step)
    return _ok("torch build", "for CPUs" if "+cpu" in version else "for GPUs and CPUs")


def _memory() -> Finding:
    memory = memory_room()
    if memory is None:
        return _ok("memory", "not known")
    value = f"{size(memory.total)}, {size(memory.free)} free"
    if memory.free < MINIMUM_MEMORY_BYTES:
        return _warning("memory", value, "Close other programs: the quickstart takes about 3 GB.")
    return _ok("memory", value)


def _disk(name: str, folder: Path) -> Finding:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    room = disk_room(folder)
    free = room.free if room else 0
    value = f"{folder}, {size(free)} free"
    if not os.access(existing, os.W_OK):
        step = "Make it writable, or set DPO_WORKBENCH_HOME to a folder of yours."
        return _warning(name, f"{folder} cannot be written", step)
    if free < MINIMUM_DISK_BYTES:
        step = "Free some space (dpo-workbench rm RUN), or set DPO_WORKBENCH_HOME elsewhere."
        return _warning(name, value, step)
    return _ok(name, value)


def _private(folder: Path) -> Finding:
    """Who else may look into the runs, and whether locks hold there."""
    if not folder.is_dir():
        return _ok("privacy", "the runs folder will be its owner's alone")
    status = folder.stat()
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.geteuid():
        step = "Set DPO_WORKBENCH_HOME to a folder of your own."
        return _warning("privacy", f"{folder} belongs to another user", step)
    if mode & 0o077:
        value = f"others on this machine may look into {folder} (mode {mode:04o})"
        return _warning("privacy", value, f"chmod -R go-rwx {folder}")
    if (kind := file_system(folder)) in NETWORK_FILE_SYSTEMS:
        value = f"{folder} is on a network file system ({kind}), where locks may not hold"
        return _warning("privacy", value, "Use the runs from one machine at a time.")
    return _ok("privacy", "the runs folder is its owner's alone")


def file_system(folder: Path, mounts: Path = MOUNTS) -> str:
    """The kind of file system that holds a folder, such as ext4; empty where unknown."""
    try:
        lines = [line.split() for line in mounts.read_text(errors="replace").splitlines()]
    except OSError:
        return ""
    resolved, best = folder.resolve(), ("", "")
    for fields in lines:
        if len(fields) > 2 and resolved.is_relative_to(fields[1]):
            best = max(best, (fields[1], fields[2]), key=lambda found: len(found[0]))
    return best[1]


def _lingering(root: Path = Path("/")) -> Finding:
    """Whether a logout ends the user's processes, a training among them."""
    kills, user = kills_at_logout(root), os.environ.get("USER", "")
    if not kills or (root / "var/lib/systemd/linger" / (user or "-")).exists():
        return _ok("logout", "a training goes on after it")
    step = "loginctl enable-linger, or start with systemd-run --user --scope dpo-workbench"
    return _warning("logout", "it ends all your processes (KillUserProcesses=yes)", step)


def kills_at_logout(root: Path) -> bool:
    """logind's KillUserProcesses, the last setting of its files winning."""
    files = [root / "etc/systemd/logind.conf"]
    for place in ("usr/lib", "run", "etc"):
        files += sorted((root / place / "systemd/logind.conf.d").glob("*.conf"))
    found = ""
    for file in files:
        try:
            text = file.read_text(errors="replace")
        except OSError:
            continue
        for value in re.findall(r"^\s*KillUserProcesses\s*=\s*(\S+)", text, re.MULTILINE):
            found = value
    return found.lower() in ("yes", "true", "on", "1")


def _hub() -> Finding:
    """Where Hugging Face models are cached; a token is only told as present."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    token = "HF_TOKEN" in os.environ or (home / "token").exists()
    offline = os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
    notes = ["logged in" if token else "no token: gated models cannot be downloaded"]
    if offline:
        notes.append("HF_HUB_OFFLINE is set")
    return _ok("model hub", f"cache {home}, {', '.join(notes)}")


def _terminal() -> Finding:
    if not sys.stdout.isatty():
        return _ok("terminal", "none on stdout: the app needs one, the other commands do not")
    wide, high = shutil.get_terminal_size()
    kind = os.environ.get("TERM", "")
    depth = os.environ.get("COLORTERM") or ("256 colours" if "256color" in kind else "few colours")
    value = f"{wide}x{high}, {kind or 'TERM is not set'}, {depth}, {sys.stdout.encoding}"
    if wide < MINIMUM_COLUMNS or high < MINIMUM_LINES:
        step = f"Make it at least {MINIMUM_COLUMNS}x{MINIMUM_LINES} for the app."
        return _warning("terminal", value, step)
    if "utf" not in sys.stdout.encoding.lower():
        return _warning("terminal", value, "Set LANG to a UTF-8 locale, such as C.UTF-8.")
    if kind in ("", "dumb"):
        return _warning("terminal", value, "Set TERM, for instance to xterm-256color.")
    return _ok("terminal", value)
