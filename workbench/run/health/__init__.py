"""The DPO doctor: rules on the stream of a run's metrics.

`examine_run` reads a run directory, `Doctor` follows one that grows, `examine` is pure.
"""

from workbench.run.health.doctor import Doctor, examine_run
from workbench.run.health.examine import RunHistory, examine
from workbench.run.health.finding import Finding, summary_line
from workbench.run.health.stage import Answer, StageHistory

__all__ = [
    "Answer",
    "Doctor",
    "Finding",
    "RunHistory",
    "StageHistory",
    "examine",
    "examine_run",
    "summary_line",
]
