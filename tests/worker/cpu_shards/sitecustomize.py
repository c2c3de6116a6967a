"""Put this folder on PYTHONPATH, and accelerate shards weights on a CPU where FSDP is asked for.

accelerate 1.15 takes FSDP_* for GPUs only: on a CPU it trains plain DDP without a word.
"""

from __future__ import annotations

import os
from typing import Any


def let_a_cpu_shard() -> None:
    """Let accelerate's choice between DDP and FSDP on a CPU be that on a GPU."""
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    usual = AcceleratorState.__init__

    def init(self: Any, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
        usual(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if self.distributed_type == DistributedType.MULTI_CPU and fsdp_plugin is not None:
            self.distributed_type = DistributedType.FSDP
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP
            self.fsdp_plugin = fsdp_plugin
            if self._mixed_precision != "no":
                fsdp_plugin.set_mixed_precision(self._mixed_precision)

    AcceleratorState.__init__ = init


if os.environ.get("ACCELERATE_USE_FSDP") == "true" and "RANK" in os.environ:
    let_a_cpu_shard()
