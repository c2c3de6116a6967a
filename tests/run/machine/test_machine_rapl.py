"""The CPU's energy counters, in a folder like the kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.run.machine.rapl import Rapl


def counter(powercap: Path, name: str, kind: str, micro: int | str, most: int = 1000) -> Path:
    folder = powercap / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "name").write_text(f"{kind}\n")
    (folder / "energy_uj").write_text(f"{micro}\n")
    (folder / "max_energy_range_uj").write_text(f"{most}\n")
    return folder


def test_packages_are_added_up_and_their_parts_are_not(tmp_path: Path) -> None:
    counter(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    counter(tmp_path, "intel-rapl:1", "package-1", 1_000_000)
    counter(tmp_path, "intel-rapl:2", "psys", 100)
    counter(tmp_path, "intel-rapl:0:0", "core", 100)
    rapl = Rapl(tmp_path)
    assert rapl.read() == 0
    counter(tmp_path, "intel-rapl:0", "package-0", 7_000_000)
    counter(tmp_path, "intel-rapl:1", "package-1", 1_500_000)
    counter(tmp_path, "intel-rapl:2", "psys", 9_000_000)
    counter(tmp_path, "intel-rapl:0:0", "core", 9_000_000)
    assert rapl.read() == pytest.approx(2.5)


def test_a_counter_that_begins_again(tmp_path: Path) -> None:
    counter(tmp_path, "intel-rapl:0", "package-0", 262_000_000, 262_143_328)
    rapl = Rapl(tmp_path)
    rapl.read()
    counter(tmp_path, "intel-rapl:0", "package-0", 856_672, 262_143_328)
    assert rapl.read() == pytest.approx(1.0)
    # Without a range that fits, what it shows is the least that it can have been.
    counter(tmp_path, "intel-rapl:0", "package-0", 500_000, 3)
    assert rapl.read() == pytest.approx(1.5)


def test_one_that_cannot_be_read_tells_nothing(tmp_path: Path) -> None:
    assert Rapl(tmp_path / "none").read() is None
    counter(tmp_path, "intel-rapl:0", "package-0", 5)
    other = counter(tmp_path, "intel-rapl:1", "package-1", "")
    rapl = Rapl(tmp_path)
    assert rapl.read() is None
    (other / "energy_uj").unlink()
    (other / "energy_uj").mkdir()
    assert rapl.read() is None
    (other / "energy_uj").rmdir()
    (other / "energy_uj").write_text("7")
    assert rapl.read() == 0
