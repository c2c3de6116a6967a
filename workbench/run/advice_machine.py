"""Known causes that lie in the machine: memory, disk, limits, GPU, several processes."""

from __future__ import annotations

import re

from workbench.base.problems import Problem
from workbench.run.advice_rows import Facts, Found, Row, problem, row
from workbench.run.memory_advice import Step, oom_steps

FULL_DISK_BYTES = 50 * 1024**2
WHILE = {
    "optimizer": " at the optimizer's step",
    "reference": " while the reference's scores were computed",
    "loading": " while the model was loaded",
    "evaluation": " while evaluating",
    "generation": " while answering prompts",
}
TRIED = re.compile(r"Tried to allocate (\d[\d.]{0,12} \w{1,8})")
RESERVED = re.compile(r"(\d[\d.]{0,12}) GiB is reserved by PyTorch but unallocated")
OTHERS = re.compile(r"Process \d{1,10} has (\d[\d.]{0,12} \w{1,8}) memory in use")
MORE = "Lower max_length or load_in_4bit: true help further."
UNKNOWN = (
    "Halve per_device_train_batch_size and double gradient_accumulation_steps, set "
    "gradient_checkpointing: true, lower max_length, or take a smaller model_name_or_path."
)
FRAGMENTED_GIB = 1.0


def memory_steps(facts: Facts, *, on_gpu: bool) -> list[Step]:
    """The changes that would help, best first; empty where the config is not known."""
    if not facts.config:
        return []
    return oom_steps(facts.config, facts.stage, facts.phase or "training", on_gpu=on_gpu)


def memory_hint(facts: Facts, *, on_gpu: bool) -> str:
    """The first two of them as a next step."""
    steps = memory_steps(facts, on_gpu=on_gpu)
    if not steps:
        return UNKNOWN
    first = steps[0].sentence[0].upper() + steps[0].sentence[1:]
    return f"{first}. If that is not enough, {steps[1].sentence}." if steps[1:] else f"{first}."


def gpu_memory(found: Found, facts: Facts) -> Problem:
    """The GPU is full, perhaps of others' work, perhaps in pieces."""
    text = found.string
    tried, held, spare = TRIED.search(text), OTHERS.search(text), RESERVED.search(text)
    what = f"the GPU's memory is full{WHILE.get(facts.phase, '')}"
    if tried:
        what += f" (it asked for {tried.group(1)} more)"
    hint = memory_hint(facts, on_gpu=True)
    if held:
        what += f"; another process holds {held.group(1)} of it"
        hint = f"See `nvidia-smi`: end what else runs there, or choose another GPU. {hint}"
    elif spare and float(spare.group(1).rstrip(".") or 0) >= FRAGMENTED_GIB:
        pieces = "Start the run with PYTORCH_ALLOC_CONF=expandable_segments:True, since "
        hint = f"{pieces}{spare.group(1)} GiB of it are free in pieces. {hint}"
    return problem(what, memory_key(facts), hint)


def host_memory(_found: Found, facts: Facts) -> Problem:
    """The machine is full."""
    what = f"this machine's memory is full{WHILE.get(facts.phase, '')}"
    return problem(what, memory_key(facts), memory_hint(facts, on_gpu=False))


def memory_key(facts: Facts) -> str:
    """The setting that asked for the memory."""
    keys = {
        "loading": "model_name_or_path",
        "evaluation": "per_device_eval_batch_size",
        "generation": "probe_prompts",
        "reference": "precompute_ref_batch_size",
    }
    return keys.get(facts.phase, "per_device_train_batch_size")


def full_disk(_found: Found, facts: Facts) -> Problem:
    """No space."""
    hint = "Free some space (save_total_limit keeps fewer checkpoints), then resume the run."
    return problem("the disk is full", str(facts.folder or ""), hint)


def broken_write(found: Found, facts: Facts) -> Problem:
    """What torch says when a file could not be written whole: never the reason."""
    if facts.free_bytes is not None and facts.free_bytes < FULL_DISK_BYTES:
        return full_disk(found, facts)
    what = "a checkpoint could not be written whole: the disk, a quota or a file size limit is full"
    hint = "Look at `df -h`, `quota` and `ulimit -f`; save_total_limit keeps fewer checkpoints."
    return problem(what, str(facts.folder or ""), hint)


MEMORY_ROWS = (
    Row(
        "gpu memory",
        re.compile(r"CUDA out of memory|\bOutOfMemoryError\b|HIP out of memory"),
        gpu_memory,
    ),
    Row(
        "gpu memory at a library",
        re.compile(r"CUBLAS_STATUS_ALLOC_FAILED|CUDA error: out of memory|CUDNN_STATUS_ALLOC_FAI"),
        gpu_memory,
    ),
    row(
        "shared memory",
        r"insufficient shared memory|out of shared memory"
        r"|unable to (?:open|mmap|allocate|resize)[^\n]{0,80}shared memory",
        "/dev/shm is too small for the data loader's processes",
        "dataloader_num_workers",
        "Set dataloader_num_workers: 0, or start the container with `--shm-size=8g`.",
    ),
    row(
        "data loader killed",
        r"DataLoader worker \(pid(?:\(s\))? [\d, ]{1,80}\) "
        r"(?:is killed by signal: (?P<signal>\w{1,20})|exited unexpectedly)",
        "a process of the data loader ended: {signal}",
        "dataloader_num_workers",
        "Set dataloader_num_workers: 0: the error then shows itself, and less memory is used.",
    ),
    Row(
        "machine memory",
        re.compile(
            r"\bMemoryError\b|DefaultCPUAllocator: |annot allocate memory|can't allocate memory"
            r"|std::bad_alloc|ArrowMemoryError"
        ),
        host_memory,
    ),
)

DISK_ROWS = (
    row(
        "quota",
        r"Disk quota exceeded|\[Errno 122\]|\(os error 122\)",
        "your disk quota is used up",
        "{folder}",
        "Free some space (see `quota`; save_total_limit keeps fewer checkpoints), then resume.",
    ),
    Row(
        "disk full",
        re.compile(r"No space left on device|\[Errno 28\]|\(os error 28\)|\bENOSPC\b"),
        full_disk,
    ),
    row(
        "file size limit",
        r"File too large|\[Errno 27\]|\(os error 27\)",
        "a file grew past the size limit of this shell or disk",
        "{folder}",
        "Start the run from a shell with `ulimit -f unlimited`.",
    ),
    Row(
        "broken write",
        re.compile(
            r"basic_ios::clear: iostream error|PytorchStreamWriter failed|\. unexpected pos"
        ),
        broken_write,
    ),
    row(
        "read-only disk",
        r"Read-only file system(?:: '(?P<path>[^'\n]{1,300})')?",
        "a file system is read-only: {path}",
        "{folder}",
        "Set DPO_WORKBENCH_HOME to a folder that can be written; `mount` shows what is read-only.",
    ),
    row(
        "permission",
        r"(?:PermissionError|Permission denied)(?:[^\n']{0,120}'(?P<path>[^'\n]{1,300})')?",
        "this user may not open a file: {path}",
        "{path}",
        "Check who owns it with `ls -l`, and its folder.",
    ),
    row(
        "open files",
        r"Too many open files|received 0 items of ancdata",
        "too many files are open at once",
        "dataloader_num_workers",
        "Start the run from a shell with `ulimit -n 65536`, or set dataloader_num_workers: 0.",
    ),
    row(
        "processes",
        r"can't start new thread|pthread_create failed|Resource temporarily unavailable",
        "this user may start no more processes or threads",
        "dataloader_num_workers",
        "Look at `ulimit -u`, set dataloader_num_workers: 0 and OMP_NUM_THREADS in `env:`.",
    ),
)

GPU_ROWS = (
    row(
        "driver too old",
        r"NVIDIA driver on your system is too old"
        r"|CUDA driver version is insufficient|forward compatibility was attempted",
        "the GPU's driver is too old for this build of torch",
        "`nvidia-smi`",
        "Update the driver, or install the torch build for the CUDA version that `nvidia-smi` "
        "shows; use_cpu: true trains without the GPU.",
    ),
    row(
        "gpu too new or old for torch",
        r"no kernel image is available for execution|is not compatible with the current PyTorch",
        "this build of torch has no code for this GPU",
        "`nvidia-smi`",
        "Install a torch build for this GPU's generation; use_cpu: true trains without it.",
    ),
    row(
        "gpu busy",
        r"CUDA-capable device\(s\) is/are busy or unavailable",
        "the GPU is reserved by another process",
        "CUDA_VISIBLE_DEVICES",
        "See `nvidia-smi` for who uses it, and name another GPU in CUDA_VISIBLE_DEVICES under "
        "`env:`.",
    ),
    row(
        "wrong gpu number",
        r"CUDA error: invalid device ordinal|Invalid device id",
        "the run asks for a GPU that this machine does not have",
        "CUDA_VISIBLE_DEVICES",
        "Correct CUDA_VISIBLE_DEVICES under `env:`; `nvidia-smi -L` lists the GPUs.",
    ),
    row(
        "no gpu",
        r"Found no NVIDIA driver|No CUDA GPUs are available|no CUDA-capable device is detected"
        r"|Torch not compiled with CUDA enabled|deserialize object on a CUDA device",
        "torch finds no GPU here",
        "use_cpu",
        "Set use_cpu: true and bf16: false, or install torch with CUDA and a driver "
        "(`nvidia-smi` must list the GPU).",
    ),
    row(
        "gpu lost",
        r"Unable to determine the device handle for GPU|has fallen off the bus|GPU is lost"
        r"|uncorrectable (?:NVLink |ECC )?error",
        "the GPU has failed or was lost",
        "`nvidia-smi`",
        "Look at `nvidia-smi` and `dmesg`; the machine probably needs a restart. Then resume.",
    ),
    row(
        "token outside the vocabulary",
        r"device-side assert triggered|index out of range in self|indexSelect(?:Large|Small)Index",
        "a token's number lies outside the vocabulary of {model}",
        "model_name_or_path",
        "Take the tokenizer that belongs to model_name_or_path; with use_cpu: true the report "
        "names the line.",
    ),
    row(
        "cublas not ready",
        r"CUBLAS_STATUS_NOT_INITIALIZED|CUDNN_STATUS_NOT_INITIALIZED",
        "a library of the GPU could not start, most often since its memory is nearly used up",
        "per_device_train_batch_size",
        "See `nvidia-smi` for what else uses it; halve per_device_train_batch_size and double "
        "gradient_accumulation_steps.",
    ),
    row(
        "illegal memory access",
        r"illegal memory access|misaligned address|unspecified launch failure",
        "a computation on the GPU touched memory that is not its own",
        "attn_implementation",
        "Set attn_implementation: eager and torch_compile: false, and resume; if it comes back, "
        "update torch and the driver.",
    ),
    row(
        "library of the gpu",
        r"(?P<code>CUBLAS_STATUS_[A-Z_]{1,40}|CUDNN_STATUS_[A-Z_]{1,40})",
        "a library of the GPU failed ({code})",
        "attn_implementation",
        "Set attn_implementation: eager; if it stays, install torch and its nvidia packages anew "
        "with `pip install --force-reinstall torch`.",
    ),
)

PARALLEL_ROWS = (
    row(
        "nccl timeout",
        r"Watchdog caught collective operation timeout|watchdog got stuck for \d{1,9}"
        r"|heartbeat monitor timed out",
        "the processes of the run waited in vain for each other (NCCL timeout)",
        "ddp_timeout",
        "Look above for the process that failed first; if one was only slow, raise ddp_timeout "
        "(seconds, now 1800 unless set).",
    ),
    row(
        "nccl",
        r"NCCL error|ncclUnhandledCudaError|ncclSystemError|ncclInternalError|ncclRemoteError"
        r"|unhandled (?:cuda|system) error",
        "the GPUs could not talk to each other (NCCL)",
        "num_processes",
        "Use one GPU (num_processes: 1), or set NCCL_DEBUG=INFO in the shell and read what NCCL "
        "says.",
    ),
    row(
        "port in use",
        r"\bEADDRINUSE\b|[Aa]ddress already in use",
        "the port over which the processes meet is taken by another run",
        "main_process_port",
        "Wait for the other run, or set main_process_port to another one.",
    ),
    row(
        "the others did not come",
        r"Timed out after \d{1,9} seconds waiting for clients|RendezvousTimeoutError"
        r"|client socket has (?:failed to connect|timed out)",
        "the processes of the run did not find one another",
        "main_process_ip",
        "Look whether the other hosts reach main_process_ip at main_process_port, and whether each "
        "was started with its own machine_rank.",
    ),
    row(
        "another process is gone",
        r"Connection closed by peer \[|recvBytes\(\) failed|Connection reset by peer \[",
        "another process of the run is gone",
        "ranks/",
        "Read the ends of its logs, `tail ranks/*.log` in the run directory; then resume.",
    ),
)

CRASH_ROWS = (
    row(
        "unknown instruction",
        r"Fatal Python error: Illegal instruction",
        "a library uses an instruction that this processor does not have",
        "`lscpu`",
        "Install a build for this processor, such as `pip install torch` for its kind of CPU.",
    ),
    row(
        "segmentation fault",
        r"Fatal Python error: Segmentation fault",
        "a library crashed (segmentation fault)",
        "train.log",
        "Resume; if it comes back, set attn_implementation: eager and dataloader_num_workers: 0, "
        "and update torch with `pip install -U torch`.",
    ),
    row(
        "bus error",
        r"Fatal Python error: Bus error",
        "a file or shared memory vanished under a library (bus error)",
        "/dev/shm",
        "Look at `df -h /dev/shm` and the disk, set dataloader_num_workers: 0, then resume.",
    ),
    row(
        "abort",
        r"Fatal Python error: Aborted|terminate called (?:after throwing|without an active)",
        "a library gave up (abort)",
        "train.log",
        "The line above it in train.log names the reason. Resume; if it comes back, update torch "
        "with `pip install -U torch`.",
    ),
)
