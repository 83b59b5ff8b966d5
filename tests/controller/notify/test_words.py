"""What a message says, and that nothing in a name or a device's message can become a header, a tag or a link."""

from datetime import timedelta
from pathlib import Path

import pytest
from controller_fakes import FakeLab
from hypothesis import given
from hypothesis import strategies as st
from notify_lab import Diary, at
from notify_rules import ESCALATION, KEY, rules

from controller.faults import ANSWERS
from controller.notify.matters import Desk, hear
from controller.notify.plain import SMS_LENGTH, plain, sms
from controller.notify.rules import due, following
from controller.notify.words import House, compose
from controller.settings import ApprovalSection, Settings
from controller.state import fold

HOUSE = House("lab1", Path("/labs/night shift"))


def night(question: str = "stopped after 12 transfers: tip clogged", barcode: str = "NP-0001") -> Diary:
    diary = Diary().begin()
    diary.compute(0, "first.r0.layout", "layout", barcode=barcode).end(0, "first.r0.layout", summary={})
    moves = [[barcode, "stack/new", "handler/C3"]]
    diary.operate(1, "first.r0.deck-0", "deck-0", moves=moves).end(2, "first.r0.deck-0", moved=[barcode])
    diary.operate(3, KEY, "run-0").add(4, "attempt", key=KEY, message="no reply").add(5, "accepted", key=KEY)
    return diary.end(9, KEY, "failed", transfers=[]).fault(10, KEY, question, ("accept", "lose-plate", "abort"))


def write(diary: Diary, minute: float, kind: str, step: int = 0):
    desk = hear(Desk(), diary.events)
    given_rules = rules(ESCALATION)
    (one,) = [d for d in due(desk, at(minute), given_rules) if (d.matter.kind, d.step) == (kind, step)]
    return compose(one, fold(diary.events), HOUSE, following(one, given_rules)), one


def test_a_fault_says_what_where_what_is_known_and_what_to_type():
    content, one = write(night(), 11, "fault")
    assert content.title == f"nextplate lab1: fault at plate NP-0001: {KEY}"
    body = content.body
    assert "What happened: stopped after 12 transfers: tip clogged" in body
    assert "When: 2026-01-05 22:10 UTC" in body
    assert "Where: plate NP-0001, handler/C3, round 1" in body
    assert "run-0 was given to liquid-handler at 2026-01-05 22:03 UTC" in body
    assert "the device was seen to have it at 2026-01-05 22:05 UTC" in body
    for choice in ("accept", "lose-plate", "abort"):
        assert f"  {choice}: {ANSWERS[choice]}\n" in body
        assert f"nextplate answer {KEY} {choice} --lab '/labs/night shift'" in body
    assert "If nobody answers: phone at 2026-01-05 22:25 UTC." in body
    assert f"message {one.id}" in body
    assert f"journal event {one.matter.seq}" in body


def test_a_later_step_says_how_long_nobody_has_answered():
    content, _ = write(night(), 30, "fault", 1)
    assert "If nobody answers: phone, boss at 2026-01-05 22:55 UTC." in content.body
    assert content.title.startswith("nextplate lab1: still unanswered after 15 min: fault at plate")
    assert content.short.startswith("lab1: still unanswered after 15 min")


def test_an_sms_holds_the_fault_the_command_and_the_number():
    content, one = write(night("first.r0.run-0: " + "tip clogged in D7, " * 30), 11, "fault")
    assert len(content.short) <= SMS_LENGTH
    assert content.short.isascii()
    assert content.short.endswith(f"Type: nextplate answer {KEY} accept/lose-plate/abort ({one.id})")


def test_a_nights_end_has_the_plates_figures_and_its_picture():
    diary = night().answer(12, KEY, "accept").compute(13, "first.r0.normalise", "normalise")
    summary = {"passed": False, "reasons": ["Z' 0.10 below 0.30"], "z_prime": 0.1, "n_hits": 3, "n_flagged": 7}
    diary.end(14, "first.r0.normalise", summary=summary)
    content, _ = write(diary, 15, "night-done")
    assert content.title == "nextplate lab1: night done, round 1 FAILED its quality control"
    assert "Z' 0.10, hits 3, wells flagged 7" in content.body
    assert "Why: Z' 0.10 below 0.30" in content.body
    assert content.plate == "NP-0001"


SENSED = {"device": "incubator", "reading": "temperature_c", "value": 41.5, "band": [36.0, 38.0]}
CHANGED = {"digest": "a" * 64, "began": "b" * 64, "differs": ["plate.n_confirm"], "mistake": ""}
STRANGER = {
    "fault": KEY, "key": KEY, "kind": "stranger", "question": "deck/C2 is taken by plate X", "choices": ["replan"],
}  # fmt: skip


def test_an_approval_says_what_waits_and_what_to_type():
    diary = Diary().begin().add(1, "proposal", round=0, question="round 1: 40 compounds on plate NP-0001")
    content, _ = write(diary, 2, "approval-wanted")
    assert "40 compounds on plate NP-0001" in content.body
    assert "nextplate approve 1 --lab" in content.body
    assert "nextplate reject 1 --lab" in content.body


def test_an_approval_says_what_is_asked_for_with_its_digest():
    fake = FakeLab(settings=Settings(approval=ApprovalSection(max_new_scaffolds=2)))
    fake.run()
    asked = next(e.payload for e in fake.journal.events if e.kind == "proposal")
    content, _ = write(Diary().begin().add(1, "proposal", **asked), 2, "approval-wanted")
    assert "Held: new scaffolds 3, at most 2 allowed (max new scaffolds)" in content.body.replace("_", " ")
    assert "SRC-0: 20 ul out of 4 wells; least is left in A01: 5 ul" in content.body
    assert "nextplate approve 1 --digest first.r0.propose --lab" in content.body


@pytest.mark.parametrize(
    ("event", "facts", "words"),
    [
        (
            "device.suspended",
            SENSED,
            "goes on by itself: incubator: temperature c is 41.5, allowed 36 to 38",
        ),
        ("device.resumed", {**SENSED, "value": 37.0}, "goes on: incubator: temperature c is 37, allowed 36 to 38"),
        ("settings.changed", CHANGED, "lab.toml was changed (plate.n confirm); this night goes on with the settings"),
        ("fault", STRANGER, "deck/C2 is taken by plate X"),
    ],
)
def test_what_nobody_has_to_answer_is_told_all_the_same(event, facts, words):
    diary = Diary().begin().operate(1, KEY, "deck-0").add(2, event, **facts)
    content, _ = write(diary, 3, "notice")
    assert words in content.body.replace("_", " ")
    assert "Nobody has to answer." in content.body


def test_a_restart_says_what_was_in_flight():
    diary = Diary().begin().operate(1, KEY, "run-0").add(2, "controller.started")
    content, _ = write(diary, 3, "restarted")
    assert "with 1 actions in flight" in content.body


EVIL = [
    "NP-0001\r\nBcc: everybody@example.org",
    "NP\nSubject: you are fired",
    "<script>alert(1)</script>",
    "<a href='http://evil.example'>NP</a>",
    "&lt;b&gt;NP",
    "[NP](http://evil.example)",
    "**NP** `rm -rf` # NP ~~x~~ | y",
    "<!channel> @everyone",
    "\u202eTXT.exe\u200b\x00\x1b[31m",
    "_NP_ __NP__",
]


@pytest.mark.parametrize("name", EVIL)
@pytest.mark.parametrize("where", ["question", "barcode"])
def test_nothing_of_a_name_is_mark_up(name, where):
    content, _ = write(night(**{where: name}), 11, "fault")
    for text in (content.title, content.body, content.short):
        assert not set(text) & set("<>`*[]#&\\|~@\r\x00\x1b\u202e\u200b")
        assert "://" not in text
    assert "\n" not in content.title
    assert not [line for line in content.body.splitlines() if line.lower().startswith(("bcc:", "subject:"))]


@given(st.text(max_size=300))
def test_plain_text_is_one_line_and_stays_as_it_is_the_second_time(text):
    said = plain(text, 100)
    assert len(said) <= 100
    assert said == said.strip()
    assert said.splitlines() in ([said], [])
    assert not set(said) & set("<>`*[]#&\\|~@")


@given(st.text(max_size=300), st.text(max_size=400), st.text(max_size=60))
def test_an_sms_is_never_longer_than_one(head, middle, tail):
    said = sms(head, middle, tail)
    assert len(said) <= SMS_LENGTH
    assert said.isascii()
    assert said.isprintable()


@pytest.mark.parametrize("name", ["NP-0001", "my_first_lab.r1.run-0", "first.r12.deck-3.2"])
def test_names_that_people_type_stay_what_they_are(name):
    assert plain(name) == name


def test_ids_are_the_same_for_ever():
    _, one = write(night(), 11, "fault")
    _, again = write(night(), 400, "fault")
    assert one.id == again.id
    assert timedelta(0) == again.at - one.at
