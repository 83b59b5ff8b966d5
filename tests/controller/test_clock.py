"""The wall clock waits, and never into the past."""

import time
from datetime import UTC, timedelta

from controller.clock import WallClock


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
