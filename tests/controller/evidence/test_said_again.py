"""What people said in a night is said again in its repetition, where it was said; what is not repeated is told."""

import json
from typing import Any

from notify_lab import Diary

from controller.evidence.rehearsal import _beside, _Follower, _unasked


def night() -> Diary:
    diary = Diary().begin().operate(1, "first.r0.deck-0", "deck-0")
    diary.add(2, "decision", what="pause", by="ann").end(3, "first.r0.deck-0")
    diary.add(4, "decision", what="resume", by="ann").add(5, "decision", what="rollback", round=0, by="bob")
    diary.add(6, "decision", what="approve", round=0, by="ann").add(
        7, "decision", what="answer", fault="f", by="policy"
    )
    return diary


def test_what_people_say_of_themselves_stands_after_what_had_happened():
    said = [(after, word["what"]) for after, word in _unasked(night().events)]
    assert said == [(None, "pause"), ("first.r0.deck-0", "resume"), ("first.r0.deck-0", "rollback")]


def test_it_is_said_again_when_it_has_come_to_that_and_in_that_order():
    posted: list[str] = []
    follower = _Follower({"first.r0.deck-0"}, False, list(_unasked(night().events)), posted.append)

    def words() -> list[Any]:
        return [json.loads(word)["what"] for word in posted]

    assert (follower.scanned(), words()) == (False, ["pause"])
    assert (follower.scanned(), words()) == (False, ["pause"]), "what is owed has not come to its end"
    assert not follower.say_next("abort"), "another word than the one that comes next"
    assert follower.say_next("resume"), "a loop that is paused has to be let go"
    for event in night().events:
        follower.heard(event)
    assert (follower.scanned(), words()) == (False, ["pause", "resume", "rollback"]), "taken up before it ends"
    assert follower.scanned(), "nothing is owed and nothing left to say"


def test_other_campaigns_of_the_lab_are_told_of():
    begun = Diary(campaign="past").begin().operate(1, "past.r0.run-0", "run-0")
    diary = Diary(begun.events)
    diary.begin(2).operate(3, "first.r0.run-0", "run-0")
    began = diary.events[2]
    other = Diary(diary.events, "beside").operate(4, "beside.r0.run-0", "run-0")
    Diary(other.events).end(5, "first.r0.run-0")
    used, shared = _beside(diary.events, began)
    assert "what past had used before" in used
    assert "beside, which shared the devices" in shared
    assert list(_beside(night().events, night().events[0])) == []
