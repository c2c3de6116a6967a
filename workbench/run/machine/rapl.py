"""What the CPU has drawn, by the counters of its packages (Linux power capping, intel-rapl).

AMD's processors are there under the same name. A package is a whole socket with all that runs on
it, without the memory's own modules. Most kernels let only root read the counters.
"""

from __future__ import annotations

import re
from pathlib import Path

from workbench.run.kernel_files import entries_of, number_of, text_of

POWERCAP = Path("/sys/class/powercap")
MICRO = 1e-6


class Rapl:
    """Follows the counters, which begin again at 0 after some minutes or hours.

    Args:
        powercap: Where the kernel lists them.
    """

    def __init__(self, powercap: Path = POWERCAP) -> None:
        # Names with two numbers are parts of a package; "psys" is the whole board.
        self._packages = [
            folder
            for folder in entries_of(powercap)
            if re.fullmatch(r"intel-rapl:\d+", folder.name)
            and text_of(folder / "name").startswith("package")
        ]
        self._last: dict[Path, int] = {}
        self._joules = 0.0

    def read(self) -> float | None:
        """Joules of all packages since the first reading; None where one cannot be read.

        Call it more often than a counter goes round: at 400 W that takes 160 seconds or more.
        """
        if not self._packages:
            return None
        now = {folder: number_of(folder / "energy_uj") for folder in self._packages}
        known = {folder: value for folder, value in now.items() if value is not None}
        if len(known) < len(self._packages):
            return None
        for folder, value in known.items():
            self._joules += MICRO * self._risen(folder, value)
        self._last = known
        return self._joules

    def _risen(self, folder: Path, value: int) -> int:
        last = self._last.get(folder, value)
        if value >= last:
            return value - last
        most = number_of(folder / "max_energy_range_uj")
        return value + most - last if most is not None and most >= last else value
