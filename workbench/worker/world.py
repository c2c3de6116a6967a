"""The processes that train together: which of them this one is, and how they agree.

A launcher (torchrun below `accelerate launch`) tells each process its place in its environment.
What all must decide alike, such as the step at which a run stops, goes through a small group of
gloo, which leaves the GPUs' own queues alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from workbench.run.hosts.orders import OWN_HOST_VARIABLE

SPREADING = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")
PATIENCE = timedelta(days=7)
"""Nobody waits so long: a lost process ends the run from outside, by its launcher."""


class World:
    """One process of `size`, which count from 0.

    Attributes:
        rank: Its number among all.
        local_rank: Its number on its machine.
        size: How many there are.
        launched: Whether a launcher has started it, if only as a world of one.
        own_host: Whether this machine has a run directory of its own.
        spreads_weights: Whether the launcher asks for FSDP or DeepSpeed.
    """

    def __init__(
        self,
        rank: int = 0,
        size: int = 1,
        local_rank: int = 0,
        *,
        launched: bool = False,
        own_host: bool = False,
        spreads_weights: bool = False,
    ) -> None:
        self.rank = rank
        self.size = size
        self.local_rank = local_rank
        self.launched = launched
        self.own_host = own_host
        self.spreads_weights = spreads_weights
        self._group: Any = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> World:
        """As torchrun has told this process; a world of one without a launcher."""
        given = os.environ if environ is None else environ

        def number(name: str, default: int) -> int:
            text = given.get(name, "")
            return int(text) if text.isdecimal() else default

        return cls(
            number("RANK", 0),
            number("WORLD_SIZE", 1),
            number("LOCAL_RANK", 0),
            launched="RANK" in given,
            own_host=given.get(OWN_HOST_VARIABLE) == "1",
            spreads_weights=any(given.get(name, "").lower() == "true" for name in SPREADING),
        )

    @property
    def is_shared(self) -> bool:
        """Whether several processes train together."""
        return self.size > 1

    @property
    def writes(self) -> bool:
        """Whether this process writes the run directory's record, metrics and samples."""
        return self.rank == 0 or (self.own_host and self.local_rank == 0)

    def ask(self, flag: bool) -> Callable[[], bool]:
        """Begin to find out whether any process says yes; the answer waits for the slowest.

        All processes must call it, in the same order. torch.distributed must have been started.
        """
        answer = self._most(int(flag))
        return lambda: bool(answer())

    def any(self, flag: bool) -> bool:
        """Whether any process says yes; see `ask`."""
        return self.ask(flag)()

    def most(self, value: int) -> int:
        """The largest whole number that a process has; see `ask`."""
        return self._most(value)()

    def _most(self, value: int) -> Callable[[], int]:
        if not self.is_shared:
            return lambda: value
        import torch
        from torch import distributed

        largest = torch.tensor([value])
        work = distributed.all_reduce(
            largest, op=distributed.ReduceOp.MAX, group=self._gloo(), async_op=True
        )

        def answer() -> int:
            work.wait()
            return int(largest.item())

        return answer

    def share(self, value: Any) -> Any:
        """Rank 0's value, in every process; anything that can be pickled."""
        if not self.is_shared:
            return value
        from torch import distributed

        box = [value]
        distributed.broadcast_object_list(box, src=0, group=self._gloo())
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, in the order of their ranks; anything that can be pickled."""
        if not self.is_shared:
            return [value]
        from torch import distributed

        found = [None] * self.size
        distributed.all_gather_object(found, value, group=self._gloo())
        return found

    def wait(self) -> None:
        """Go on when all have come here."""
        self.any(False)

    def _gloo(self) -> Any:
        if self._group is None:
            from torch import distributed

            self._group = distributed.new_group(backend="gloo", timeout=PATIENCE)
        return self._group

    def leave(self) -> None:
        """Take this process out of its groups, where it is in any."""
        if not self.launched:
            return
        from torch import distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()
