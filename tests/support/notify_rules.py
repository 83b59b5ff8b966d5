"""Rules, and journals of faults, that the tests of messages share."""

from datetime import timedelta
from typing import get_args

from hypothesis import strategies as st
from notify_lab import Diary

from controller.notify.rules import Rules
from controller.settings import MessageKind

KEY = "first.r0.run-0"


def rules(steps=(), settle_s=0.0, quiet=None, **tell) -> Rules:
    kinds = dict.fromkeys(get_args(MessageKind), ("mail",))
    return Rules(kinds | tell, steps, timedelta(seconds=settle_s), quiet)


ESCALATION = ((timedelta(minutes=15), ("phone",)), (timedelta(minutes=45), ("phone", "boss")))


def asked() -> Diary:
    return Diary().begin().operate(0, KEY, "run-0").fault(10, KEY, "clogged", ("accept", "abort"))


MOVES = st.lists(
    st.tuples(st.sampled_from(["fault", "answer", "accepted", "other", "wait"]), st.integers(0, 4)), max_size=40
)


def write(moves) -> Diary:
    """Write a journal in which faults open and close in any order."""
    diary, minute = Diary().begin(), 0.0
    for n in range(5):
        diary.operate(0, f"first.r0.run-{n}", f"run-{n}")
    open_now: set[str] = set()
    for what, number in moves:
        key, minute = f"first.r0.run-{number}", minute + 7
        if what == "fault" and key not in open_now:
            diary.fault(minute, key)
            open_now.add(key)
        elif what in ("answer", "accepted") and key in open_now:
            open_now.discard(key)
            diary.answer(minute, key) if what == "answer" else diary.add(minute, "accepted", key=key)
        elif what == "other":
            diary.add(minute, "attempt", key=key, message="busy")
    return diary
