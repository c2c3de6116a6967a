"""Guides to the processes that train together."""

from __future__ import annotations

from workbench.recipe.guide.entry import section

PROCESSES = section(
    "Distributed",
    (
        *("num_processes", "Processes", "processes", "one for each GPU"),
        "How many train together on all machines, each on a GPU and on rows of its own. A step "
        "learns from that many times the rows: lower the accumulation to match. Unset is one, or "
        "all GPUs with a config.",
    ),
    (
        *("accelerate_config", "Way of sharing", "", "unset, or fsdp2 for models too large"),
        "What the processes divide among them: multi_gpu only the rows, fsdp and zero also the "
        "model and its optimizer, which saves memory and costs time on the bus. Or a file of "
        "`accelerate config`.",
    ),
    (
        *("num_machines", "Machines", "machines", "1"),
        "How many machines train together. `run RECIPE --hosts a,b` starts the others over ssh "
        "and says so by itself; set it to start each of them by hand.",
    ),
    (
        *("machine_rank", "Number of this machine", "from 0", "0"),
        "Which of the machines this is, where each is started by hand. Machine 0 keeps the run.",
    ),
    (
        *("main_process_ip", "Address of machine 0", "", "unset"),
        "Where the machines meet: an address or a name of machine 0 that all of them reach. One "
        "machine needs none.",
    ),
    (
        *("main_process_port", "Port of machine 0", "", "unset, or 29500"),
        "The port there, the same on all machines and open between them. Unset is any free one on "
        "one machine, 29500 on several.",
    ),
)
"""How a run is shared among devices and machines."""
