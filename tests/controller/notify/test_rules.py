"""Which message is due when: pure tables of escalation, quiet hours, settling; and that batches do not matter."""

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notify_lab import Diary, at
from notify_rules import ESCALATION, KEY, MOVES, asked, rules, write

from controller.notify.matters import Desk, forget, hear
from controller.notify.rules import Quiet, Rules, due, messages, rules_of
from controller.settings import MessageKind, NotificationsSection


def told(diary: Diary, minute: float, given: Rules) -> list[tuple[str, int, str]]:
    desk = hear(Desk(), diary.events)
    return [(d.matter.kind, d.step, d.channel) for d in due(desk, at(minute), given)]


def faults(rows):
    return [(step, channel) for kind, step, channel in rows if kind == "fault"]


@pytest.mark.parametrize(
    ("now", "answered", "expected"),
    [
        (9.9, None, []),
        (10, None, [(0, "mail")]),
        (24.9, None, [(0, "mail")]),
        (25, None, [(0, "mail"), (1, "phone")]),
        (54, None, [(0, "mail"), (1, "phone")]),
        (55, None, [(0, "mail"), (1, "phone"), (2, "phone"), (2, "boss")]),
        (9999, None, [(0, "mail"), (1, "phone"), (2, "phone"), (2, "boss")]),
        (9999, 24, [(0, "mail")]),
        (9999, 25, [(0, "mail")]),
        (9999, 26, [(0, "mail"), (1, "phone")]),
        (9999, 56, [(0, "mail"), (1, "phone"), (2, "phone"), (2, "boss")]),
    ],
)
def test_it_goes_further_up_until_somebody_answers(now, answered, expected):
    diary = asked()
    if answered is not None:
        diary.answer(answered, KEY, "accept")
    assert faults(told(diary, now, rules(ESCALATION))) == expected


@pytest.mark.parametrize(
    ("settled", "is_told"),
    [(10, False), (10.1, False), (10.2, True), (None, True)],
    ids=["at once", "6 s", "12 s", "never"],
)
def test_a_question_that_settles_itself_troubles_nobody(settled, is_told):
    diary = asked()
    if settled is not None:
        diary.answer(settled, KEY, "accept", by="policy")
    assert bool(faults(told(diary, 100, rules(settle_s=10)))) is is_told


def _ways():
    yield "answered", lambda d: d.answer(20, KEY)
    yield "the device has it", lambda d: d.add(20, "accepted", key=KEY)
    yield "the device knows", lambda d: d.end(20, KEY, transfers=[])
    yield (
        "finished without it",
        lambda d: d.end(12, KEY, "failed", told_by="ann").add(20, "campaign.finished", name="first", rounds=2),
    )
    yield "aborted", lambda d: d.end(12, KEY, "failed", told_by="ann").decide(20, "abort")
    yield "a new campaign", lambda d: d.end(12, KEY, "failed", told_by="ann").begin(20)


@pytest.mark.parametrize(("name", "settle"), [*_ways()])
def test_what_settles_a_fault(name, settle):
    diary = asked()
    settle(diary)
    assert faults(told(diary, 999, rules(ESCALATION))) == [(0, "mail")], name


def test_an_action_of_unknown_fate_is_still_asked_about_after_an_abort():
    diary = asked().decide(20, "abort")
    assert (1, "phone") in faults(told(diary, 999, rules(ESCALATION)))


def test_a_fault_told_by_a_person_stays_open_till_it_is_answered():
    diary = asked().end(12, KEY, "failed", told_by="ann")
    assert len(faults(told(diary, 999, rules(ESCALATION)))) == 4


def test_a_fault_that_comes_again_is_another_one():
    diary = asked().add(11, "accepted", key=KEY).fault(20, KEY)
    desk = hear(Desk(), diary.events)
    opened = [d for d in due(desk, at(30), rules()) if d.matter.kind == "fault"]
    assert len({d.id for d in opened}) == len(opened) == 2


def test_a_stall_is_a_fault_by_another_name():
    diary = Diary().begin().operate(0, KEY, "run-0")
    diary.add(5, "fault", fault=KEY, key=KEY, question="slow", choices=["done"], kind="stall")
    assert told(diary, 6, rules(stall=("phone",)))[-1] == ("stall", 0, "phone")
    diary.answer(7, KEY, "done")
    assert not [row for row in told(diary, 99, rules(ESCALATION)) if row[1] > 0]


def test_the_night_begins_with_the_first_robot_and_ends_with_the_judged_plate():
    diary = Diary().begin().compute(0, "first.r0.pick", "pick").end(1, "first.r0.pick")
    assert told(diary, 2, rules()) == []
    diary.operate(3, "first.r0.deck-0", "deck-0").end(4, "first.r0.deck-0", moved=[])
    diary.operate(5, KEY, "run-0").end(6, KEY, transfers=[])
    assert told(diary, 7, rules()) == [("night-started", 0, "mail")]
    diary.compute(8, "first.r0.normalise", "normalise").end(9, "first.r0.normalise", summary={"passed": True})
    assert told(diary, 10, rules())[1:] == [("night-done", 0, "mail")]


def test_a_plate_that_is_given_up_ends_its_night():
    diary = asked().end(12, KEY, "failed", transfers=[]).answer(13, KEY, "lose-plate")
    assert ("night-done", 0, "mail") in told(diary, 20, rules())


def test_only_a_start_amid_work_is_a_restart():
    diary = Diary().begin().add(0, "controller.started")
    assert told(diary, 1, rules()) == []
    diary.operate(2, KEY, "run-0").add(3, "controller.started")
    assert told(diary, 4, rules())[-1] == ("restarted", 0, "mail")


def test_a_round_that_waits_is_announced_until_it_is_decided():
    diary = Diary().begin().add(1, "proposal", round=0, question="40 compounds")
    assert told(diary, 20, rules(ESCALATION)) == [("approval-wanted", 0, "mail"), ("approval-wanted", 1, "phone")]
    diary.decide(10, "approve", round=0)
    assert told(diary, 999, rules(ESCALATION)) == [("approval-wanted", 0, "mail")]


def test_nobody_is_told_of_kinds_without_channels_and_they_go_no_further():
    assert faults(told(asked(), 999, rules(ESCALATION, fault=()))) == []


def test_old_news_is_left_out_but_not_an_open_question():
    diary = asked()
    desk = hear(Desk(), diary.events)
    floor = at(100)
    assert [d.matter.kind for d in due(desk, at(200), rules(), floor)] == ["fault"]
    desk = hear(desk, Diary(list(diary.events)).answer(50, KEY).events[len(diary.events) :])
    assert list(due(desk, at(200), rules(), floor)) == []


def test_what_is_over_is_forgotten_in_the_end_and_open_questions_never():
    diary = asked().compute(11, "first.r0.normalise", "normalise")
    diary.end(12, "first.r0.normalise", summary={"passed": True}).add(60 * 24 * 30, "accepted", key="x")
    assert [m.kind for m in forget(hear(Desk(), diary.events)).matters] == ["fault"]


BERLIN = ZoneInfo("Europe/Berlin")
ALL = frozenset(get_args(MessageKind))


@pytest.mark.parametrize(
    ("start", "end", "zone", "when", "expected"),
    [
        ("22:00", "06:00", UTC, "2026-01-05T21:59", "2026-01-05T21:59"),
        ("22:00", "06:00", UTC, "2026-01-05T22:00", "2026-01-06T06:00"),
        ("22:00", "06:00", UTC, "2026-01-06T05:59", "2026-01-06T06:00"),
        ("22:00", "06:00", UTC, "2026-01-06T06:00", "2026-01-06T06:00"),
        ("08:00", "18:00", UTC, "2026-01-06T12:00", "2026-01-06T18:00"),
        ("08:00", "18:00", UTC, "2026-01-06T18:00", "2026-01-06T18:00"),
        ("22:00", "06:00", BERLIN, "2026-01-05T21:30", "2026-01-06T05:00"),
        ("22:00", "06:00", BERLIN, "2026-07-05T21:30", "2026-07-06T04:00"),
        ("22:00", "02:30", BERLIN, "2026-03-28T23:00", "2026-03-29T01:30"),  # 02:30 does not exist that night
        ("22:00", "02:30", BERLIN, "2026-10-24T22:00", "2026-10-25T00:30"),  # and here it comes twice: the first
        ("22:00", "02:30", BERLIN, "2026-10-25T00:45", "2026-10-25T00:45"),  # 02:45, for the first time: over
        ("22:00", "02:30", BERLIN, "2026-10-25T01:10", "2026-10-25T01:10"),  # 02:10, again: they are over still
        ("02:30", "06:00", BERLIN, "2026-10-25T01:10", "2026-10-25T05:00"),  # and here they have begun
        ("02:00", "02:30", BERLIN, "2026-10-25T00:10", "2026-10-25T00:30"),
        ("02:00", "02:30", BERLIN, "2026-10-25T01:10", "2026-10-25T01:10"),
    ],
)
def test_quiet_hours_end_when_the_clock_on_the_wall_says_so(start, end, zone, when, expected):
    zone = ZoneInfo("UTC") if zone is UTC else zone
    quiet = Quiet(time.fromisoformat(start), time.fromisoformat(end), zone, ALL)
    moment = datetime.fromisoformat(when).replace(tzinfo=UTC)
    assert quiet.after(moment, "fault") == datetime.fromisoformat(expected).replace(tzinfo=UTC)
    assert Quiet(quiet.start, quiet.end, zone, frozenset()).after(moment, "fault") == moment


@given(
    minute=st.integers(0, 3 * 24 * 60), start=st.integers(0, 1439), end=st.integers(0, 1439),
    day=st.sampled_from(["2026-03-28", "2026-10-24"]),
)  # fmt: skip
def test_quiet_hours_never_send_a_message_back_in_time_and_end_once(minute, start, end, day):
    clock = [time(n // 60, n % 60) for n in (start, end)]
    quiet = Quiet(clock[0], clock[1], BERLIN, ALL)
    when = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(minutes=minute)
    until = quiet.after(when, "fault")
    assert when <= until <= when + timedelta(hours=25)
    assert quiet.after(until, "fault") == until or start == end


def test_settings_become_rules():
    body = {
        "channels": {"mail": "json://localhost", "phone": "json://localhost"},
        "tell": {"restarted": []},
        "escalation": [{"after_min": 15, "to": ["phone"]}],
        "quiet": {"start": "08:00", "end": "18:00", "zone": "Europe/Berlin"},
    }
    made = rules_of(NotificationsSection.model_validate(body))
    assert (made.tell["fault"], made.tell["restarted"]) == (("mail", "phone"), ())
    assert made.steps == ((timedelta(minutes=15), ("phone",)),)
    assert made.quiet is not None
    assert made.quiet.kinds == {"night-started", "night-done", "restarted"}


@given(moves=MOVES, cuts=st.lists(st.integers(0, 60), max_size=6), late=st.integers(0, 90))
def test_messages_do_not_depend_on_how_the_journal_is_read(moves, cuts, late):
    events = write(moves).events
    now = events[-1].time + timedelta(minutes=late)
    given_rules = rules(ESCALATION, settle_s=10)
    _, at_once = messages(Desk(), events, now, given_rules)
    desk, seen = Desk(), ()
    edges = [0, *sorted(c for c in cuts if c < len(events)), len(events)]
    for a, b in pairwise(edges):
        desk, seen = messages(desk, events[a:b], now, given_rules)
    assert [d.id for d in seen] == [d.id for d in at_once]
    assert len({d.id for d in at_once}) == len(at_once)
