"""The wall clock waits, and never into the past; the night's clock goes on whoever sets the wall's."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from controller.clock import LONGEST_SLEEP, SteadyClock, WallClock

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, YEAR = timedelta(hours=1), timedelta(days=365)


def test_it_waits_until_the_time_has_come():
    clock = WallClock()
    when = clock.now() + timedelta(milliseconds=80)
    clock.wait_until(when)
    assert when <= clock.now() < when + timedelta(seconds=5)
    assert clock.now().tzinfo is UTC


def test_a_time_that_has_passed_is_not_waited_for():
    clock, before = WallClock(), time.monotonic()
    clock.wait_until(clock.now() - timedelta(days=1))
    assert time.monotonic() - before < 5


class Machine:
    """Its wall clock, its count, and how long it slept."""

    def __init__(self) -> None:
        self.wall, self.count_s, self.slept_s = NOON, 7.0, list[float]()
        self.clock = SteadyClock(lambda: self.wall, lambda: self.count_s, self.slept_s.append)
        self.clock.now()

    def goes_on(self, seconds: float) -> datetime:
        self.wall += timedelta(seconds=seconds)
        self.count_s += seconds
        return self.clock.now() - NOON


MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(("step", "told"), [
    (timedelta(0), MINUTE), (-HOUR, MINUTE), (-YEAR, MINUTE), (YEAR, MINUTE), (HOUR, HOUR + MINUTE),
    (LONGEST_SLEEP, LONGEST_SLEEP + MINUTE), (-timedelta(milliseconds=1), MINUTE),
])  # fmt: skip
def test_a_clock_that_is_set_changes_no_order_and_no_length(step, told):
    machine = Machine()
    machine.wall += step
    assert machine.goes_on(60) == told
    machine.clock.wait_until(NOON + told + HOUR)
    assert machine.slept_s == [3600]
    machine.wall -= step
    assert machine.goes_on(60) == told + MINUTE, "set right again"
    if step <= timedelta(0) or step > LONGEST_SLEEP:
        machine.wall += HOUR
        assert machine.goes_on(0) == told + MINUTE + HOUR, "the wall is followed again"


def test_small_steps_never_add_up():
    machine = Machine()
    for _ in range(1000):
        machine.wall -= timedelta(milliseconds=3)
        machine.goes_on(0.0101)
    assert machine.goes_on(0) == timedelta(seconds=10.1)


@pytest.mark.parametrize(("last", "begins"), [
    (NOON - HOUR, NOON), (NOON + HOUR, NOON + HOUR), (NOON + YEAR, NOON),
])  # fmt: skip
def test_a_process_begins_no_earlier_than_the_journal_ends_unless_that_is_absurd(last, begins):
    machine = Machine()
    machine.clock.begin_after(last)
    assert machine.goes_on(60) == begins - NOON + MINUTE
