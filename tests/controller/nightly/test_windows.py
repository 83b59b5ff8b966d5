"""Hours in which robots may move, and starts, over days without an hour and days with an hour twice."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from controller.nightly.starts import Starts
from controller.nightly.windows import Start, Windows, parse_start, parse_window, windows_of

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = timedelta(hours=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(("span", "when", "is_open"), [
    ("20:00-06:00", "2026-01-05 19:59", False), ("20:00-06:00", "2026-01-05 20:00", True),
    ("20:00-06:00", "2026-01-06 05:59", True), ("20:00-06:00", "2026-01-06 06:00", False),
    ("09:00-17:30", "2026-01-06 17:29", True), ("09:00-17:30", "2026-01-06 17:30", False),
    ("00:00-24:00", "2026-01-06 23:59", True),
])  # fmt: skip
def test_a_window_holds_its_begin_and_not_its_end(span: str, when: str, is_open: bool):
    assert windows_of((span,), "UTC").is_open(at(when)) is is_open


@pytest.mark.parametrize(("now", "opens"), [
    ("2026-01-05 12:00", "2026-01-05 19:00"),  # winter: 20:00 is 19:00 UTC
    ("2026-07-05 12:00", "2026-07-05 18:00"),  # summer
    ("2026-03-29 12:00", "2026-03-29 18:00"),  # the day that loses an hour
    ("2026-10-25 12:00", "2026-10-25 19:00"),  # the day that has one twice
    ("2026-01-05 22:00:30", "2026-01-05 22:00:30"),  # open already
])  # fmt: skip
def test_it_opens_by_the_wall_clock_on_both_sides_of_summer_time(now: str, opens: str):
    assert windows_of(("20:00-06:00",), "Europe/Berlin").opens(at(now)) == at(opens)


def test_without_windows_robots_may_always_move():
    assert windows_of((), "UTC").opens(at("2026-01-05 12:34:56")) == at("2026-01-05 12:34:56")


def test_a_window_in_the_hour_that_does_not_exist_opens_when_the_clock_has_jumped_over_its_begin():
    assert windows_of(("02:30-04:00",), "Europe/Berlin").opens(at("2026-03-29 00:00")) == at("2026-03-29 01:00")


SPANS = st.tuples(st.integers(0, 1439), st.integers(1, 1440)).filter(lambda s: s[0] != s[1])
TIMES = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SPANS, TIMES, st.sampled_from(["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "UTC"]))
def test_the_opening_is_open_and_nothing_before_it_is(span, now, zone):
    windows = Windows(ZoneInfo(zone), (span,))
    opens = windows.opens(now)
    assert windows.is_open(opens)
    assert opens >= now
    if opens > now:
        assert not any(windows.is_open(now + k * timedelta(minutes=1)) for k in range((opens - now) // (HOUR / 60)))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SPANS, TIMES, st.sampled_from(["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "UTC"]))
@example((1320, 360), at("2026-03-28 12:10"), "Europe/Berlin")
@example((150, 170), at("2026-10-24 20:00"), "Europe/Berlin")
def test_what_is_closed_is_exactly_what_is_not_open(span, now, zone):
    windows = Windows(ZoneInfo(zone), (span,))
    closed = windows.closed(now, days=2)
    assert all(a < b for a, b in closed)
    assert all(before[1] < after[0] for before, after in pairwise(closed))
    for k in range(0, 2 * 1440, 7):
        when = now + timedelta(minutes=k)
        assert windows.is_open(when) != any(a <= when < b for a, b in closed)


def test_without_windows_nothing_is_closed():
    assert windows_of((), "UTC").closed(at("2026-01-05 12:34")) == ()


@pytest.mark.parametrize("text", ["20:00", "20:00-20:00", "25:00-06:00", "20:00-06:61", "20-6", "24:00-06:00", ""])
def test_what_is_no_window_is_refused(text: str):
    with pytest.raises(ValueError, match=r"write HH:MM|no such time|empty"):
        parse_window(text)


@pytest.mark.parametrize(("text", "start"), [
    ("20:00", Start("*", 20, 0)), ("mon-fri 07:05", Start("mon-fri", 7, 5)), ("Sat,Sun 09:30", Start("sat,sun", 9, 30)),
])  # fmt: skip
def test_starts_are_read(text: str, start: Start):
    assert parse_start(text) == start


@pytest.mark.parametrize("text", ["24:00", "8:00", "fri-mon 20:00", "someday 20:00", "20:60", "mon"])
def test_what_is_no_start_is_refused(text: str):
    with pytest.raises(ValueError, match="write"):
        parse_start(text)


def starts(*texts: str, zone: str = "Europe/Berlin") -> Starts:
    return Starts(ZoneInfo(zone), tuple(map(parse_start, texts)))


@pytest.mark.parametrize(("start", "first", "last", "expected"), [
    ("20:00", "2026-03-28", "2026-03-31", ["2026-03-28 19:00", "2026-03-29 18:00", "2026-03-30 18:00"]),
    ("20:00", "2026-10-24", "2026-10-27", ["2026-10-24 18:00", "2026-10-25 19:00", "2026-10-26 19:00"]),
    ("02:30", "2026-03-28", "2026-03-30", ["2026-03-28 01:30", "2026-03-29 01:30"]),  # 02:30 is not: once all the same
    ("02:30", "2026-10-24", "2026-10-27", ["2026-10-24 00:30", "2026-10-25 00:30", "2026-10-26 01:30"]),  # is twice
    ("mon-fri 20:00", "2026-01-09", "2026-01-13", ["2026-01-09 19:00", "2026-01-12 19:00"]),
])  # fmt: skip
def test_each_night_starts_once_over_a_change_of_time(start, first, last, expected):
    assert starts(start).between(at(first), at(last)) == list(map(at, expected))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cut=st.floats(0, 1))
def test_asking_in_two_parts_finds_each_start_once(cut: float):
    first, last = at("2026-10-23"), at("2026-10-28")
    middle = first + cut * (last - first)
    asked = starts("02:30", "20:00")
    assert asked.between(first, middle) + asked.between(middle, last) == asked.between(first, last)


MISFIRE = HOUR


@pytest.mark.parametrize(("handled", "now", "due"), [
    (None, "2026-01-05 18:59:59", None),
    (None, "2026-01-05 19:00", "2026-01-05 19:00"),
    (None, "2026-01-05 19:59", "2026-01-05 19:00"),  # the machine was off: made up for
    (None, "2026-01-05 20:00:01", None),  # too late
    ("2026-01-05 19:00", "2026-01-05 19:30", None),  # acted upon
    ("2026-01-05 19:00", "2026-01-05 18:30", None),  # the clock was set back
    ("2026-01-05 19:00", "2026-01-05 19:10", None),  # and comes by once more
    ("2026-01-05 19:00", "2026-01-06 19:00", "2026-01-06 19:00"),
    ("2026-01-01 19:00", "2026-01-06 19:30", "2026-01-06 19:00"),  # of five missed, one
])  # fmt: skip
def test_what_is_due(handled, now, due):
    found = starts("20:00").due(at(handled) if handled else None, at(now), MISFIRE)
    assert found == (at(due) if due else None)


def test_the_next_start_is_told():
    assert starts("mon-fri 20:00").following(at("2026-01-09 19:30")) == at("2026-01-12 19:00")
