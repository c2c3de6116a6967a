"""Why a job waits, in plain words."""

from __future__ import annotations

from workbench.base.text import clean

REASONS = {
    "None": "the scheduler has not looked at it yet",
    "Priority": "others of a higher priority come first",
    "Resources": "it waits for nodes to become free",
    "BeginTime": "its time to begin has not come; a requeued job waits about two minutes",
    "Dependency": "it waits for another job to end",
    "DependencyNeverSatisfied": "the job that it waits for can never end as it should",
    "JobHeldUser": "you hold it; `scontrol release` lets it go",
    "JobHeldAdmin": "an administrator holds it",
    "JobHoldMaxRequeue": "it was requeued too often, and is held",
    "JobLaunchFailure": "it could not be started on its node",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition starts no jobs at present",
    "PartitionConfig": "it asks for more than its partition gives, in time, nodes or processors",
    "PartitionNodeLimit": "it asks for more nodes than its partition gives, or they are down",
    "PartitionTimeLimit": "it asks for more time than its partition gives",
    "ReqNodeNotAvail": "a node that it asks for is down, drained or reserved",
    "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions": (
        "the nodes that it needs are down, drained or reserved"
    ),
    "NodeDown": "a node that it needs is down",
    "Reservation": "it waits for its reservation",
    "ReservationDeleted": "its reservation is gone",
    "BadConstraints": "no node has all that it asks for",
    "Licenses": "it waits for a license",
    "InvalidAccount": "its account does not exist",
    "InvalidQOS": "its quality of service does not exist",
    "AccountNotAllowed": "its account may not use this partition",
    "QOSNotAllowed": "its quality of service may not be used with this account or partition",
    "Cleaning": "what is left of its last attempt is still being ended",
    "Prolog": "its nodes are being prepared",
    "Resv": "it waits for its reservation",
    "QOSMaxJobsPerUserLimit": "you have as many jobs at work as your quality of service allows",
    "QOSMaxSubmitJobPerUserLimit": "you have as many jobs in the queue as you may",
    "MaxJobsPerAccount": "the account has as many jobs at work as it may",
}
GROUPS = (
    ("QOSGrp", "all users of its quality of service together are at their limit"),
    ("QOSMax", "it asks for more than its quality of service allows a user or a job"),
    ("QOSMin", "it asks for less than its quality of service demands"),
    ("AssocGrp", "all users of its account together are at their limit"),
    ("AssocMax", "you are at the limit of your account"),
    ("Max", "you are at a limit of your account"),
    ("Nodes required", "the nodes that it needs are down, drained or reserved"),
)
"""Beginnings of reasons, and what all of them have in common."""


def reason_words(reason: str) -> str:
    """Slurm's reason with what it means: `Priority: others of a higher priority come first`."""
    shown = clean(reason, newlines=False).strip().strip("()")
    name = shown.partition(",")[0]
    known = REASONS.get(shown) or REASONS.get(name)
    meaning = known or next((words for head, words in GROUPS if name.startswith(head)), "")
    if name.startswith("Nodes required"):
        return meaning
    return f"{shown}: {meaning}" if meaning else shown
