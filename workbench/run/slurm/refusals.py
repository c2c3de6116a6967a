"""What Slurm's commands complain about, and what to do then."""

from __future__ import annotations

from dataclasses import dataclass

SMALLER = "`sinfo -o '%P %c %m %G %l'` lists processors, memory, GPUs and time of each partition."
DOCTOR = "`scontrol ping` tells whether its controller is there; ask who runs the cluster."


@dataclass(frozen=True)
class Refusal:
    """A kind of complaint.

    Attributes:
        words: What it is told by, in small letters.
        option: The option of sbatch that it is about, where there is only one.
        lists_partitions: Whether the partitions that exist belong into the answer.
    """

    words: str
    what: str
    next_step: str
    option: str = ""
    lists_partitions: bool = False


REFUSALS = (
    Refusal(
        "invalid partition",
        "there is no such partition",
        "Name one with --partition.",
        "partition",
        True,
    ),
    Refusal(
        "no partition specified",
        "the cluster has no default partition",
        "Name one with --partition.",
        lists_partitions=True,
    ),
    Refusal(
        "invalid account",
        "the account is not one of yours here",
        "`sacctmgr show associations user=$USER` lists yours; name one with --account.",
        "account",
    ),
    Refusal(
        "invalid qos",
        "there is no such quality of service for you",
        "`sacctmgr show qos` lists them; name one with --qos.",
        "qos",
    ),
    Refusal("invalid --time", "the time limit cannot be read", "Write --time 2:30:00.", "time"),
    Refusal(
        "time limit is invalid",
        "no time limit is given, or it is beyond the partition's",
        SMALLER,
        "time",
    ),
    Refusal("memory specification", "no node has so much memory", SMALLER, "mem"),
    Refusal("cpu count", "no node has so many processors", SMALLER, "cpus-per-task"),
    Refusal("node count", "there are not so many nodes", SMALLER, "nodes"),
    Refusal(
        "generic resource", "no node has such GPUs, or so many of them", SMALLER, "gpus-per-node"
    ),
    Refusal(
        "invalid feature",
        "no node has such a feature",
        "`sinfo -o '%n %f'` lists them.",
        "constraint",
    ),
    Refusal(
        "reservation",
        "the reservation cannot be used",
        "`scontrol show reservation`.",
        "reservation",
    ),
    Refusal(
        "license", "there is no such license", "`scontrol show licenses` lists them.", "licenses"
    ),
    Refusal(
        "node configuration is not available", "no node has all that the job asks for", SMALLER
    ),
    Refusal("invalid node name", "there is no such node", "`sinfo -N` lists them."),
    Refusal(
        "accounting/qos policy",
        "it is beyond what your account or quality of service allows",
        "Ask for less, or ask who runs the cluster.",
    ),
    Refusal("unrecognized option", "sbatch has no such option", "See man sbatch."),
    Refusal(
        "access/permission denied",
        "the job or partition is not yours to use",
        "Ask its owner, or who runs the cluster.",
    ),
    Refusal(
        "requeue is disabled",
        "the cluster does not let jobs be requeued",
        "Submit it again: dpo-workbench resume RUN.",
    ),
    Refusal("unable to contact", "Slurm's controller does not answer", DOCTOR),
    Refusal("socket timed out", "Slurm's controller does not answer", DOCTOR),
    Refusal("connection refused", "Slurm's controller does not answer", DOCTOR),
    Refusal(
        "configuration source",
        "this machine belongs to no Slurm cluster",
        "Go to a login node, or set SLURM_CONF.",
    ),
    Refusal("munge", "Slurm cannot prove who you are: munge does not answer", DOCTOR),
    Refusal("authentication", "Slurm does not believe who you are", DOCTOR),
)


def find_refusal(words: str) -> Refusal | None:
    """The kind of what a command complained about, None for one that is not known."""
    lower = words.lower()
    return next((one for one in REFUSALS if one.words in lower), None)
