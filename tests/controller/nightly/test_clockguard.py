"""A clock is believed unless it is wrong by more than a lab can bear; then a person is asked."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.nightly.clockguard import ClockGuard, ClockWord, boot_question, read_word, write_word

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
YEAR = 365 * DAY


@pytest.mark.parametrize(("now", "last", "question"), [
    (NOON, None, None),
    (NOON, NOON - HOUR, None),
    (NOON, NOON + HOUR, None),  # set back an hour
    (NOON, NOON + YEAR, "but the lab was at work at 2027-03-01"),
    (NOON, NOON - YEAR, "365 days after the lab was last at work"),
    (NOON, NOON - 100 * DAY, None),  # a long holiday
    (datetime(1970, 1, 1, tzinfo=UTC), None, "never set"),
])  # fmt: skip
def test_at_the_start_a_clock_is_compared_with_the_journal(now, last, question):
    found = boot_question(now, last, 9, ClockWord(), DAY)
    assert (found is None) == (question is None)
    assert question is None or question in str(found)
    assert found is None or "nextplate nightly --clock-is-right" in found


def test_a_persons_word_outweighs_the_events_before_it():
    word = ClockWord(None, NOON, seq=9)
    assert boot_question(NOON + HOUR, NOON + YEAR, 9, word, DAY) is None
    assert boot_question(NOON + HOUR, NOON + YEAR, 10, word, DAY) is not None
    assert boot_question(NOON - YEAR, None, 0, word, DAY) is not None


@pytest.fixture
def guard(tmp_path: Path) -> ClockGuard:
    return ClockGuard(tmp_path / "clock.json", DAY, NOON, 100.0)


@pytest.mark.parametrize("step", [-HOUR, HOUR, timedelta(0), timedelta(seconds=1), -23 * HOUR])
def test_an_hour_back_or_forth_is_borne(guard: ClockGuard, step: timedelta):
    assert guard.check(NOON + step + timedelta(seconds=5), 105.0) is None
    assert guard.check(NOON + step + timedelta(seconds=6), 106.0) is None
    assert guard.step_s(NOON + step + timedelta(seconds=7), 107.0) == pytest.approx(0)


@pytest.mark.parametrize(("step", "way"), [(YEAR, "forward by 365.0 days"), (-YEAR, "back by 365.0 days")])
def test_a_year_is_asked_about_until_the_clock_is_right_again(guard: ClockGuard, step: timedelta, way: str):
    for s in (5, 6, 500):
        assert way in str(guard.check(NOON + step + timedelta(seconds=s), 100.0 + s))
    assert guard.check(NOON + timedelta(seconds=600), 700.0) is None


def test_a_persons_word_is_heard_while_it_runs(guard: ClockGuard, tmp_path: Path):
    guard.boot = "asked at the start"
    there = NOON + YEAR
    assert guard.check(there + timedelta(seconds=5), 105.0)
    write_word(tmp_path / "clock.json", ClockWord(None, there, 3))
    assert guard.check(there + timedelta(seconds=6), 106.0) is None
    assert guard.check(there + timedelta(seconds=7), 107.0) is None


def test_the_keepers_question_holds_the_night_too(guard: ClockGuard, tmp_path: Path):
    write_word(tmp_path / "clock.json", ClockWord("wrong?", None, 0))
    assert guard.check(NOON, 100.0) is None
    assert guard.doubts(NOON, 100.0) == "wrong?"
    write_word(tmp_path / "clock.json", ClockWord(None, None, 0))
    assert guard.doubts(NOON, 100.0) is None


def test_a_damaged_word_is_no_word(tmp_path: Path):
    path = tmp_path / "clock.json"
    for text in ("", "{", "[]", '{"question": null}', '{"question": null, "confirmed": "x", "seq": 0}'):
        path.write_text(text)
        assert read_word(path) == ClockWord()
