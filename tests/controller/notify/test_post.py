"""The post room: exactly once per channel and step whatever happens, at least once under one id when it is killed."""

import json
from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from notify_lab import START, Books, Diary, FakeCourier, FakeSending, at, make_post
from notify_rules import ESCALATION, KEY, MOVES, asked, rules, write

from controller.notify.courier import Sent
from controller.notify.matters import Desk, hear
from controller.notify.rules import due
from nextplate.errors import StoreError

ALWAYS = rules(ESCALATION)


def turn(post, minute: float) -> None:
    """One look of the notifier; the wall and the monotonic clock agree with the lab's."""
    post.read()
    post.turn(at(minute), at(minute), minute * 60)


def settle(post, minute: float) -> None:
    for n in range(40):
        turn(post, minute + n * 20)


@given(
    moves=MOVES,
    steps=st.lists(st.sampled_from(["grow", "turn", "restart", "break", "mend"]), max_size=40),
    seed=st.integers(0, 5),
)
@settings(max_examples=120)
def test_every_fault_is_told_once_per_channel_and_step_whatever_the_interleaving(moves, steps, seed):
    diary = write(moves)
    books, courier = Books(diary, n_visible=1), FakeCourier()
    post = make_post(books, courier, ALWAYS)
    for step in steps:
        seen = diary.events[books.n_visible - 1].time
        minute = (seen - START).total_seconds() / 60
        match step:
            case "grow":
                books.n_visible = min(len(diary.events), books.n_visible + 1 + seed)
            case "turn":
                turn(post, minute)
            case "restart":  # as Notifier.close ends: nothing is under way
                turn(post, minute)
                while not post.is_resting(minute * 60):
                    turn(post, minute)
                post = make_post(books, courier, ALWAYS)
            case "break":
                courier.broken = {"phone": "no signal"}
            case "mend":
                courier.broken = {}
    books.n_visible, courier.broken = None, {}
    end = (diary.events[-1].time - START).total_seconds() / 60 + 60
    settle(post, end)
    expected = {d.id for d in due(hear(Desk(), diary.events), at(end + 40 * 20), ALWAYS)}
    assert Counter(courier.ids()) == dict.fromkeys(expected, 1)
    assert {row["state"] for row in books.rows.values()} <= {"sent"}
    assert post.is_idle


class Died(BaseException):
    """The process is no more."""


class DyingBooks(Books):
    """A table whose n-th write is the last thing the process does, before or after it."""

    left: int = -1
    is_written: bool = False

    def keep_notices(self, rows):
        self.left -= 1
        if self.left == 0 and not self.is_written:
            raise Died
        super().keep_notices(rows)
        if self.left == 0:
            raise Died


@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("n", range(1, 12))
def test_killed_at_every_write_nothing_is_lost_and_a_repetition_can_be_told(n, is_written):
    diary = asked()
    books, courier = DyingBooks(diary), FakeCourier()
    books.left, books.is_written = n, is_written
    post = make_post(books, courier, ALWAYS)
    minute, deaths = 12.0, 0
    for _ in range(40):
        minute += 2
        try:
            turn(post, minute)
        except Died:
            deaths += 1
            post = make_post(books, courier, ALWAYS)
    expected = {d.id for d in due(hear(Desk(), diary.events), at(minute), ALWAYS)}
    got = Counter(courier.ids())
    assert set(got) == expected, "nothing is lost, and no id was made anew"
    n_lanes = 3
    assert sum(got.values()) - len(got) <= deaths * n_lanes, "only what was under way when it died"
    repeated = [p for _, p in courier.got if p.attempt > 1]
    assert all(f"you may have had message {p.id} already" in p.body for p in repeated)
    attempts = Counter((p.id, p.attempt) for _, p in courier.got)
    assert set(attempts.values()) == {1}, "each try has its own number"
    assert {row["state"] for row in books.rows.values()} == {"sent"}


def test_killed_between_send_and_mark_it_is_sent_again_under_its_id():
    books, courier = Books(asked()), FakeCourier(hanging={"mail"})
    post = make_post(books, courier, rules())
    turn(post, 11)  # night-started goes first and hangs
    (row,) = [r for r in books.rows.values() if r["state"] == "sending"]
    courier.hanging.clear()
    post = make_post(books, courier, rules())
    turn(post, 12)
    assert (courier.got[0][1].id, courier.got[0][1].attempt) == (row["id"], 2)
    assert "This is try 2: you may have had message" in courier.got[0][1].body


def test_a_dead_channel_waits_longer_and_longer_and_holds_up_no_other():
    books, courier = Books(asked()), FakeCourier(broken={"mail": "connection refused"})
    post = make_post(books, courier, rules(fault=("mail", "chat")))
    tries = []
    for second in range(0, 900, 5):
        turn(post, 11 + second / 60)
        tries.append(max((row["attempts"] for row in books.rows.values() if row["channel"] == "mail"), default=0))
    changes = [5 * n for n in range(1, len(tries)) if tries[n] != tries[n - 1]]
    gaps = [b - a for a, b in pairwise(changes)]
    assert gaps == sorted(gaps)
    assert gaps[0] < gaps[-1]
    assert [name for name, _ in courier.got] == ["chat"]
    assert {r["error"] for r in books.rows.values() if r["channel"] == "mail" and r["attempts"]} == {
        "connection refused"
    }
    courier.broken.clear()
    settle(post, 60)
    assert sorted(name for name, _ in courier.got) == ["chat", "mail", "mail"]


def test_a_message_that_is_refused_holds_up_none_behind_it_and_is_told_of_once():
    diary = asked()  # night-started, then a fault
    books, courier = Books(diary), FakeCourier(refused="night started")
    post = make_post(books, courier, rules(fault=("mail", "chat")))
    for second in range(0, 300, 5):
        turn(post, 11 + second / 60)
    assert [(name, p.title.split()[2]) for name, p in courier.got] == [
        ("chat", "fault"), ("mail", "fault"), ("mail", "message"),
    ]  # fmt: skip
    post = make_post(books, courier, rules(fault=("mail", "chat")))  # which of the two was refused is known again
    diary.answer(17, KEY).fault(18, KEY)
    for minute in range(20, 60 * 20):
        turn(post, minute)
    (refused,) = [r for r in books.rows.values() if r["kind"] == "night-started" and r["subject"] == "1"]
    assert (refused["state"], refused["error"]) == ("waiting", "552 message too large")
    words = [p for _, p in courier.got if "was refused by channel mail" in p.body]
    assert len(words) == 1
    assert f"message {refused['id']} (night-started)" in words[0].body
    assert len([1 for name, p in courier.got if name == "mail" and "fault" in p.title]) == 2
    courier.refused = None
    settle(post, 60 * 20)
    assert courier.got[-1][1].id == refused["id"]


def test_a_word_about_a_refused_message_that_is_refused_itself_begets_no_other():
    class Picky(FakeCourier):
        def send(self, parcel, channel):
            is_fault = "fault" in parcel.title
            return super().send(parcel, channel) if is_fault else FakeSending(Sent(False, "no"))

    diary = asked()
    books, courier = Books(diary), Picky()
    post = make_post(books, courier, rules())
    for minute in range(11, 60 * 20):
        turn(post, minute)
        if minute % 30 == 0:
            diary.answer(minute, KEY).fault(minute, KEY)
    assert Counter(row["kind"] for row in books.rows.values() if row["kind"] != "fault") == {"night-started": 2}
    assert sum("fault" in p.title for _, p in courier.got) >= 39, "and every fault was told"


def test_what_cannot_be_delivered_for_a_day_is_given_up_and_stays_told():
    books, courier = Books(asked()), FakeCourier(broken={"mail": "refused"})
    post = make_post(books, courier, rules())
    for hour in range(30):
        turn(post, 11 + 60 * hour)
        turn(post, 11 + 60 * hour + 0.01)
    assert {(r["state"], r["error"]) for r in books.rows.values()} == {("given-up", "refused")}
    assert post.is_idle
    post = make_post(books, FakeCourier(), rules())
    turn(post, 12 + 60 * 30)
    assert post.is_idle, "and is not begun again by the next process"


def test_a_channel_that_was_taken_out_of_the_settings_is_told_of():
    books, courier = Books(asked()), FakeCourier(broken={"phone": "no"})
    turn(make_post(books, courier, rules(fault=("phone",))), 11)
    turn(make_post(books, courier, rules()), 12)
    (row,) = [r for r in books.rows.values() if r["channel"] == "phone"]
    assert (row["state"], row["error"]) == ("given-up", "channel 'phone' is no longer in lab.toml")


def test_with_the_database_gone_people_are_told_and_the_marks_follow():
    books, courier = Books(asked()), FakeCourier()
    post = make_post(books, courier, rules())
    post.read()
    books.is_down = True
    for n in range(6):
        with pytest.raises(StoreError):
            post.turn(at(11 + n), at(11 + n), 60.0 * (11 + n))
    assert Counter(courier.ids()).most_common(1)[0][1] == 1
    assert len(courier.got) == 2
    assert books.rows == {}
    books.is_down = False
    turn(post, 20)
    assert [r["state"] for r in books.rows.values()] == ["sent", "sent"]


def test_a_message_that_comes_late_says_what_was_answered_since():
    diary = asked()
    books, courier = Books(diary), FakeCourier(broken={"mail": "no"})
    post = make_post(books, courier, rules())
    turn(post, 11)
    diary.answer(30, KEY, "accept")
    courier.broken.clear()
    settle(post, 31)
    body = next(p.body for _, p in courier.got if "fault" in p.title)
    assert body.startswith("Settled since: accept, by ann.")


def test_a_new_lab_hears_no_old_news():
    diary = Diary().begin().operate(0, KEY, "run-0").end(1, KEY).add(2, "campaign.finished", name="first", rounds=2)
    books, courier = Books(diary), FakeCourier()
    turn(make_post(books, courier, rules()), 60 * 24 * 3)
    assert courier.got == []


def test_a_matter_nobody_can_put_into_words_is_told_all_the_same():
    diary = Diary().begin().add(1, "fault", fault="odd", key="odd", question="what", choices=None)
    diary.events[-1].payload["choices"] = ["retry"]
    books, courier = Books(diary), FakeCourier()
    post = make_post(books, courier, rules())
    post.read()
    diary.events[-1].payload.pop("question")
    turn(post, 2)
    ((_, parcel),) = courier.got
    assert "fault odd" in parcel.title
    assert f"message {parcel.id}" in parcel.body


def test_the_table_names_its_event():
    books, courier = Books(asked()), FakeCourier()
    settle(make_post(books, courier, rules()), 11)
    row = next(r for r in books.rows.values() if r["kind"] == "fault")
    assert books.diary.events[row["event_seq"] - 1].payload["fault"] == KEY
    assert json.loads(row["content"])["id"] == row["id"]
    assert timedelta(0) <= at(11) - at(10)


def test_while_the_table_cannot_be_read_nothing_is_taken_for_new():
    books, courier = Books(asked()), FakeCourier()
    settle(make_post(books, courier, rules()), 11)
    n = len(courier.got)

    class HalfGone(Books):
        def select(self, *_):
            raise StoreError("the table cannot be read")

    half = HalfGone(books.diary, books.rows)
    post = make_post(half, courier, rules())
    for minute in range(20, 25):
        with pytest.raises(StoreError):
            post.read()
        post.turn(at(minute), at(minute), 60.0 * minute)
    assert len(courier.got) == n
