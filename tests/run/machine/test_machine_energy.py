"""Watt hours from looks whose energy can be counted in one's head."""

from __future__ import annotations

import pytest

from workbench.run.gpus import Gpu
from workbench.run.machine.energy import Energy, EnergyMeter, PowerLook


def look(
    time: float,
    watts: float | None = None,
    joules: float | None = None,
    package: float | None = None,
    begins: bool = False,
) -> PowerLook:
    return PowerLook(time, 10, [Gpu(0, watts=watts, joules=joules)], package, begins)


def total(looks: list[PowerLook], begin: float = 0, end: float = 1e9) -> Energy | None:
    meter = EnergyMeter(begin, end)
    for one in looks:
        meter.add(one)
    return meter.total()


def joules(looks: list[PowerLook], begin: float = 0, end: float = 1e9) -> float:
    energy = total(looks, begin, end)
    assert energy is not None
    return energy.wh * 3600


def test_power_is_added_up_by_trapezoids() -> None:
    looks = [look(0, 100), look(10, 200), look(20, 200)]
    assert joules(looks) == pytest.approx(1500 + 2000)
    # A window's edges cut the straight line.
    assert joules(looks, 5, 10) == pytest.approx((150 + 200) / 2 * 5)
    assert joules(looks, 5, 15) == pytest.approx((150 + 200) / 2 * 5 + 1000)


def test_a_counter_goes_before_power() -> None:
    looks = [look(0, 100, 5000), look(10, 200, 5700)]
    assert joules(looks) == pytest.approx(700)
    assert joules(looks, 5) == pytest.approx(350)
    # One that began anew (the driver was loaded again) does not.
    assert joules([look(0, 100, 5000), look(10, 200, 3)]) == pytest.approx(1500)
    assert joules([look(0, 100, 0), look(10, 200, 1e12)]) == pytest.approx(1500)


def test_a_pause_is_left_out() -> None:
    looks = [look(0, 100), look(10, 100), look(41, 100), look(51, 100)]
    energy = total(looks)
    assert energy is not None
    assert (energy.wh * 3600, energy.seconds) == pytest.approx((2000, 20))
    # Three intervals may be late looks; a new supervisor is a pause, however short.
    assert joules([look(0, 100), look(30, 100)]) == pytest.approx(3000)
    assert joules([look(0, 100), look(10, 100), look(12, 100, begins=True)]) == pytest.approx(1000)


def test_the_end_that_nobody_has_looked_at_yet() -> None:
    looks = [look(0, 100), look(10, 200)]
    assert joules(looks, 0, 14) == pytest.approx(1500 + 4 * 150)
    # Far behind the last look nothing is known.
    assert joules(looks, 0, 21) == pytest.approx(1500)
    # A stage of some seconds has one look alone.
    assert joules([look(0, 100)], 2, 6) == pytest.approx(400)
    assert total([look(0, 100)], 2, 60) is None


def test_several_gpus_and_the_cpu() -> None:
    two = [
        PowerLook(at, 10, [Gpu(0, watts=100), Gpu(1, joules=7.0 * at)], package_joules=3.0 * at)
        for at in (0, 10)
    ]
    energy = total(two)
    assert energy is not None
    assert energy.gpu_wh is not None
    assert energy.cpu_wh is not None
    assert energy.gpu_wh * 3600 == pytest.approx(1070)
    assert energy.cpu_wh * 3600 == pytest.approx(30)
    assert (energy.counted, energy.seconds) == ("GPU and CPU", 10)


def test_a_gpu_that_does_not_tell_makes_the_sum_unknown() -> None:
    assert total([look(0, None, None, 0), look(10, None, None, 50)]) is None
    # One that failed for a moment does not.
    looks = [look(0, 100), look(10, None), look(20, 100), look(30, 100)]
    assert joules(looks) == pytest.approx(1000)
    without = [PowerLook(at, 10, [], 5.0 * at) for at in (0, 10)]
    energy = total(without)
    assert energy is not None
    assert (energy.wh * 3600, energy.counted) == (pytest.approx(50), "CPU")
    assert total([PowerLook(at, 10) for at in (0, 10)]) is None
    assert total([]) is None


def test_looks_out_of_order_count_nothing() -> None:
    assert joules([look(10, 100), look(5, 100), look(15, 100)]) == pytest.approx(1000)
    assert total([look(10, 100), look(10, 100)]) is None
