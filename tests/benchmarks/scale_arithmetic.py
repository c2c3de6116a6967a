"""What changes at 70B and at 1,000 GPUs: the arithmetic, and what of it can be measured here.

Not a test. `python tests/benchmarks/scale_arithmetic.py [--plan] [--check] [--processes N]`

`--plan` prints the figures of the plan in workbench/README.md. `--check` takes the same formulas
down to two random Llamas, counts bytes on the loopback device, in files and in shards, counts
floating-point operations with torch's own counter, and prints foretold / measured. Bytes are only
this program's own where it may make a network namespace (root); otherwise others' count too.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

RANK = 16
FP32, BF16 = 4, 2
ADAM = 8
"""Bytes of Adam's two fp32 moments for each trained weight."""
RECORD_BYTES = 24
"""Of the head of a row in the file of the reference (`worker/reference_scores.py`)."""
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Shape:
    """A model of Llama's kind, whose head is a matrix of its own."""

    name: str
    layers: int
    width: int
    inner: int
    heads: int
    kv_heads: int
    vocabulary: int

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of a layer's linear modules."""
        side = self.kv_heads * self.width // self.heads
        up, narrow = (self.width, self.inner), (self.width, side)
        square = (self.width, self.width)
        sizes = (square, narrow, narrow, square, up, up, up[::-1])
        return dict(zip(LINEAR, sizes, strict=True))

    @property
    def layer(self) -> int:
        """Weights of a layer, with its two norms."""
        return sum(a * b for a, b in self.linear.values()) + 2 * self.width

    @property
    def weights(self) -> int:
        """All weights."""
        return self.layers * self.layer + 2 * self.vocabulary * self.width + self.width

    @property
    def multiplied(self) -> int:
        """The weights that each token is multiplied with: all but embeddings and norms."""
        inner = sum(a * b for a, b in self.linear.values())
        return self.layers * inner + self.vocabulary * self.width

    def adapter(self, rank: int = RANK) -> int:
        """Weights of a LoRA adapter on all linear modules of the layers: r (in + out) each."""
        return self.layers * sum(rank * (a + b) for a, b in self.linear.values())


def forward_flops(shape: Shape, rows: int, length: int, rank: int = 0) -> float:
    """2 for each weight and token, and 4 * length * width a layer and token for attention.

    torch counts the whole square of attention, of which a causal kernel computes half.
    """
    tokens = rows * length
    weights = shape.multiplied + (shape.adapter(rank) if rank else 0)
    return tokens * (2.0 * weights + 4.0 * length * shape.width * shape.layers)


def backward_flops(shape: Shape, rows: int, length: int, rank: int = 0) -> float:
    """Twice the forward pass; with a frozen base its weights' gradients are left out.

    The inputs of the first layer's q, k and v need no gradient, since embeddings are not trained.
    """
    tokens = rows * length
    attention = 8.0 * length * shape.width * shape.layers
    if not rank:
        return tokens * (4.0 * shape.multiplied + attention)
    first = sum(a * b + rank * a for a, b in (shape.linear[n] for n in LINEAR[:3]))
    trained = 4.0 * shape.adapter(rank)
    return tokens * (2.0 * (shape.multiplied - first) + trained + attention)


def gathered(weights: int, width: int, devices: int) -> float:
    """Bytes that a device receives to have all weights of which it keeps a part."""
    return width * weights * (devices - 1) / devices


def reduced(weights: int, width: int, devices: int) -> float:
    """Bytes that a device sends for the sum of everybody's gradients over a ring.

    Twice what a gathering takes: a reduce-scatter, then an all-gather (Patarasu and Yuan 2009,
    "Bandwidth optimal all-reduce algorithms for clusters of workstations").
    """
    return 2 * gathered(weights, width, devices)


LLAMA_8B = Shape("8B", 32, 4096, 14336, 32, 8, 128256)
LLAMA_70B = Shape("70B", 80, 8192, 28672, 64, 8, 128256)
SMALL = Shape("small", 2, 128, 352, 4, 2, 1024)
LARGER = Shape("larger", 4, 256, 704, 8, 4, 2048)
FLOPS = 400e12
"""What an H100 does of a training in bf16: 40 % of its 989e12 (data sheet, dense)."""
NVLINK, NETWORK = 450e9, 50e9
"""Bytes a second and direction: NVLink 4 of a GPU (data sheet: 900e9 both ways), and one 400 Gb/s
network card for each GPU."""
GPUS_A_HOST = 8
TOKENS, PASSES = 8192, 4
"""Tokens of a device and step; its passes: reference, forward, forward again for the backward pass
(gradient checkpointing), backward."""
ROWS, LENGTH = 2, 32
"""Of a measured batch."""


def plan() -> None:
    """The figures of the plan."""
    for shape in (LLAMA_8B, LLAMA_70B):
        print_memory(shape)
        print_time(shape)
    print("\nfrom so many tokens a device on a pass computes longer than its gathering takes:")
    for name, speed in (("NVLink", NVLINK), ("one network card", NETWORK)):
        print(f"  {name}: {FLOPS / speed:,.0f}")


def print_memory(shape: Shape) -> None:
    """What lies on a device and on the disk."""
    weights, adapter = BF16 * shape.weights / 1e9, shape.adapter() / 1e9
    print(f"\n{shape.name}: {shape.weights / 1e9:.2f}e9 weights, {weights:.0f} GB")
    print(f"  adapter r {RANK}: {1e3 * adapter:.0f}e6 weights, {FP32 * adapter:.2f} GB in fp32")
    state = FP32 + ADAM
    print(f"  checkpoint with Adam: {state * adapter:.2f} GB")
    print(f"  of a whole model: {(BF16 + state) * shape.weights / 1e9:.0f} GB")
    # Two layers at a time (the next one comes meanwhile), or embeddings and head together.
    largest = BF16 * max(2 * shape.vocabulary * shape.width, 2 * shape.layer) / 1e9
    for devices in (8, 64, 1000):
        part = (weights + (state + FP32) * adapter) / devices
        print(f"  {devices:>4} devices: {part:6.2f} GB each + {largest:.1f} GB gathered at once")
    kept = BF16 * TOKENS * shape.width * shape.layers / 1e9
    print(f"  inputs of the layers, {TOKENS} tokens: {kept:.1f} GB")


def print_time(shape: Shape) -> None:
    """Seconds of computing and of gathering, for a pass of a device's tokens."""
    one = 2 * shape.multiplied * TOKENS / FLOPS
    print(f"  a pass: {one:.2f} s; a step: {PASSES * one:.1f} s, without reference {3 * one:.1f} s")
    speed = TOKENS / one
    print(f"  {speed / PASSES:,.0f} tokens/s a device, without reference {speed / 3:,.0f}")
    weights = BF16 * shape.weights
    for name, seconds in (
        ("within a host", weights * (GPUS_A_HOST - 1) / GPUS_A_HOST / NVLINK),
        ("over hosts, by all cards of each", weights / (GPUS_A_HOST * NETWORK)),
        ("over hosts, by one card", weights / NETWORK),
    ):
        most = one / max(one, seconds)
        print(
            f"  gathering {name}: {seconds:.2f} s a pass, {seconds / one:.0%}, at most {most:.2f}"
        )
    sent = reduced(shape.adapter(), FP32, 1000)
    print(f"  gradients of the adapter: {sent / 1e9:.2f} GB a step, {1e3 * sent / NETWORK:.0f} ms")


def check(arguments: argparse.Namespace) -> None:
    """Foretold and measured, side by side."""
    rows: list[tuple[str, float, float, str]] = []
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for shape in (SMALL, LARGER):
            found[shape.name] = told = child("one", shape, 1, folder)
            told |= child("shared", shape, arguments.processes, folder)
            rows += compared(shape, told, arguments.processes)
        rows.append(memory_row(found))
        rows += file_rows(Path(folder))
    print(f"{'what':<52} {'foretold':>12} {'measured':>12} {'ratio':>6}")
    for name, foretold, measured, unit in rows:
        print(f"{name:<52} {foretold:>12.5g} {measured:>12.5g} {measured / foretold:>6.3f} {unit}")
    agree = 1e3 * found["small"]["agree_seconds"]
    print(f"\nagreement of {arguments.processes} processes: {agree:.2f} ms")
    for shape in (SMALL, LARGER):
        seconds, sent = found[shape.name]["sum_seconds"], FP32 * shape.adapter() / 1e6
        speed = f"{1e3 * seconds:.1f} ms, {sent / seconds:.0f} MB/s"
        print(f"{shape.name}: sum of {sent:.2f} MB of gradients {speed}")
    rank_files(Path(tempfile.mkdtemp()))


def compared(
    shape: Shape, told: dict[str, float], devices: int
) -> list[tuple[str, float, float, str]]:
    """The rows of one model."""
    name, weights, adapter = shape.name, shape.weights, shape.adapter()
    layers = shape.layers * (shape.layer + shape.adapter() // shape.layers)
    rows, length = ROWS, LENGTH
    everybody = weights + adapter
    return [
        (f"{name}: weights", weights, told["weights"], ""),
        (f"{name}: weights of the adapter", adapter, told["adapter"], ""),
        (f"{name}: file of the adapter, 4 B each", FP32 * adapter, told["adapter_bytes"], "B"),
        (f"{name}: Adam's states, 8 B each", ADAM * adapter, told["optimizer_bytes"], "B"),
        (f"{name}: forward, adapter", forward_flops(shape, rows, length, RANK),
         told["adapter_forward"], "FLOP"),
        (f"{name}: backward, adapter", backward_flops(shape, rows, length, RANK),
         told["adapter_backward"], "FLOP"),
        (f"{name}: forward, whole", forward_flops(shape, rows, length),
         told["whole_forward"], "FLOP"),
        (f"{name}: backward, whole", backward_flops(shape, rows, length),
         told["whole_backward"], "FLOP"),
        (f"{name}: DDP, adapter, bytes of all a step", devices * reduced(adapter, FP32, devices),
         told["ddp_bytes"], "B"),
        (f"{name}: FSDP2, bytes of all, reference", devices * gathered(everybody, FP32, devices),
         told["reference_bytes"], "B"),
        (f"{name}: FSDP2, bytes of all, forward", devices * gathered(layers, FP32, devices),
         told["forward_bytes"], "B"),
        (f"{name}: FSDP2, bytes of all, backward",
         # gloo has no reduce-scatter: it sums for all, and each keeps its part.
         devices * (gathered(layers, FP32, devices) + reduced(adapter, FP32, devices)),
         told["backward_bytes"], "B"),
        (f"{name}: FSDP2, bytes of the weights of each", FP32 * everybody / devices,
         told["shard_bytes"], "B"),
    ]  # fmt: skip


def memory_row(found: dict[str, dict[str, float]]) -> tuple[str, float, float, str]:
    """What the larger model takes more; what the libraries take is the same."""
    more = FP32 * (LARGER.weights - SMALL.weights)
    measured = found["larger"]["rss"] - found["small"]["rss"]
    return ("memory of a process, larger less small, 4 B a weight", more, measured, "B")


def file_rows(folder: Path) -> list[tuple[str, float, float, str]]:
    """The file of the reference, by its rows."""
    import torch

    from workbench.worker.reference_scores import ReferenceScores, row_key

    scores, tokens = ReferenceScores(folder / "scores"), (7, 50, 200)
    for count in tokens:
        scores.put(row_key(torch.arange(count), torch.arange(count)), torch.zeros(count))
    scores.save()
    foretold = sum(RECORD_BYTES + FP32 * count for count in tokens)
    measured = (folder / "scores").stat().st_size
    return [("reference, 24 B a row and 4 B a scored token", foretold, measured, "B")]


def rank_files(folder: Path) -> None:
    """How long the records of many processes take on this disk."""
    from workbench.run.directory import RunDirectory
    from workbench.run.ranks import RankRecord, forget_ranks, read_ranks, write_rank

    run = RunDirectory(folder)
    forget_ranks(run)
    began = time.perf_counter()
    for rank in range(1000):
        write_rank(run, RankRecord(rank, "host", heartbeat=1.0))
    wrote = time.perf_counter()
    read_ranks(run)
    read = time.perf_counter()
    shutil.rmtree(folder)
    print(f"1,000 records of ranks: {wrote - began:.2f} s to write, {read - wrote:.2f} s to read")


def child(kind: str, shape: Shape, processes: int, folder: str) -> dict[str, float]:
    """What a measuring process says; several of them have a network of their own if possible."""
    output = Path(folder) / f"{kind}-{shape.name}.json"
    script = [str(Path(__file__).resolve()), "--measure", kind, "--shape", shape.name]
    command = [sys.executable, *script, "--output", str(output)]
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
        command[1:1] = [*launcher, "--master-port", "29517"]
    if processes > 1 and os.geteuid() == 0 and shutil.which("unshare"):
        command = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run(command, env=environment, check=True, timeout=600, stderr=subprocess.DEVNULL)
    told: dict[str, float] = json.loads(output.read_text())
    return told


def make_model(shape: Shape, *, adapter: bool) -> Any:
    """A random model in fp32."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        attn_implementation="eager",
        use_cache=False,
    )
    model = LlamaForCausalLM(config)
    lora = LoraConfig(r=RANK, target_modules=list(LINEAR), task_type="CAUSAL_LM")
    return get_peft_model(model, lora) if adapter else model


def loss_of(model: Any, shape: Shape) -> Any:
    import torch

    tokens = torch.randint(0, shape.vocabulary, (ROWS, LENGTH))
    return model(input_ids=tokens).logits.sum()


def measure_one(shape: Shape, folder: Path) -> dict[str, float]:
    """Of one process: weights, files, operations, memory."""
    import psutil
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    told: dict[str, float] = {}
    for kind, adapter in (("whole", False), ("adapter", True)):
        model = make_model(shape, adapter=adapter)
        if not adapter:
            told["weights"] = sum(one.numel() for one in model.parameters())
            told["rss"] = psutil.Process().memory_info().rss
        with FlopCounterMode(display=False) as counter:
            loss = loss_of(model, shape)
        told[f"{kind}_forward"] = counter.get_total_flops()
        with FlopCounterMode(display=False) as counter:
            loss.backward()
        told[f"{kind}_backward"] = counter.get_total_flops()
    trained = [one for one in model.parameters() if one.requires_grad]
    told["adapter"] = sum(one.numel() for one in trained)
    optimizer = torch.optim.AdamW(trained)
    optimizer.step()
    model.save_pretrained(folder / "saved")
    torch.save(optimizer.state_dict(), folder / "optimizer.pt")
    told["adapter_bytes"] = (folder / "saved" / "adapter_model.safetensors").stat().st_size
    told["optimizer_bytes"] = (folder / "optimizer.pt").stat().st_size
    return told


class Wire:
    """Bytes that all processes together have sent, from one moment to the next."""

    def __init__(self) -> None:
        self._before = self._now()

    @staticmethod
    def _now() -> int:
        from torch import distributed

        distributed.barrier()
        lines = Path("/proc/net/dev").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.strip().startswith("lo:"))

    def take(self) -> int:
        """Since the last take; a barrier's own bytes are some hundred."""
        before, self._before = self._before, self._now()
        return self._before - before


def measure_shared(shape: Shape) -> dict[str, float]:
    """Of several processes: what goes over the wire, by DDP and by FSDP2."""
    import torch
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.nn.parallel import DistributedDataParallel

    distributed.init_process_group("gloo")
    told: dict[str, float] = {}
    model = DistributedDataParallel(make_model(shape, adapter=True))
    wire = Wire()
    for _ in range(3):  # DDP sorts its buckets in the first step
        loss = loss_of(model, shape)
        wire.take()
        loss.backward()
        told["ddp_bytes"] = wire.take()
    sent = torch.zeros(shape.adapter())
    told["sum_seconds"] = _seconds(lambda: distributed.all_reduce(sent), 10)
    told["agree_seconds"] = _seconds(lambda: distributed.all_reduce(torch.zeros(1)), 50)
    model = make_model(shape, adapter=True)
    mesh = init_device_mesh("cpu", (distributed.get_world_size(),))
    for layer in model.base_model.model.model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    told["shard_bytes"] = sum(FP32 * one.to_local().numel() for one in model.parameters())
    wire.take()
    with torch.no_grad(), model.disable_adapter():
        loss_of(model, shape)
    told["reference_bytes"] = wire.take()
    loss = loss_of(model, shape)
    told["forward_bytes"] = wire.take()
    loss.backward()
    told["backward_bytes"] = wire.take()
    return told


def _seconds(call: Any, times: int) -> float:
    import statistics

    spent = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def measure(arguments: argparse.Namespace) -> None:
    """One measuring process."""
    shape = next(one for one in (SMALL, LARGER) if one.name == arguments.shape)
    output = Path(arguments.output)
    if arguments.measure == "one":
        told = measure_one(shape, output.parent)
    else:
        told = measure_shared(shape)
    if os.environ.get("RANK", "0") == "0":
        output.write_text(json.dumps(told))
    sys.stdout.flush()
    # Threads of gloo that still wait when the interpreter ends would abort the process.
    os._exit(0)


def main() -> int:
    """Print what is asked for; both without a word."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plan", action="store_true", help="the figures of the plan")
    parser.add_argument("--check", action="store_true", help="foretold and measured")
    parser.add_argument("--processes", type=int, default=2, help="that share a model")
    for name in ("--measure", "--shape", "--output"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments)
    if arguments.plan or not arguments.check:
        plan()
    if arguments.check or not arguments.plan:
        check(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
