"""The notifier beside a loop: killed between send and mark, held off by another, never a burden to the loop."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from notify_lab import Diary
from notify_servers import Hook
from small_lab import environment, nextplate

from controller.lab import Lab, init_lab, open_lab
from controller.notify.happenings import teller, telling
from controller.notify.notifier import LOCK, LabNow, Mute, Notifier, alone, make_post, notifying
from controller.store import NewEvent, open_store, read_untold
from nextplate.errors import StoreError

KEY = "first.r0.run-0"
REAL = "".join(
    f'[[device]]\nname = "{kind}"\nkind = "{kind}"\ndriver = "folder"\noptions = {{ exchange = "exchange" }}\n{robot}'
    for kind, robot in {"liquid-handler": 'robot = "flex"\n', "plate-mover": "", "incubator": "", "imager": ""}.items()
)


@pytest.fixture
def hook():
    server = Hook()
    yield server
    server.stop()


def make_lab(folder: Path, url: str, more: str = "") -> Lab:
    init_lab(folder)
    table = (
        f'[notifications]\nsettle_s = 0\n{more}[notifications.channels]\nhook = {{ url = "{url}", deadline_s = 60 }}\n'
    )
    tell = "[notifications.tell]\nnight-started = []\n"
    (folder / "lab.toml").write_text(f"{table}{tell}{REAL}")
    return open_lab(folder)


def write(lab: Lab, now: datetime, *kinds: str) -> None:
    """Let a campaign begin and come to a fault."""
    diary = Diary().begin().operate(0, KEY, "run-0").fault(1, KEY, "clogged")
    wanted = [e for e in diary.events if not kinds or e.kind in kinds]
    with open_store(lab.database) as store:
        store.append([NewEvent(e.kind, now, e.campaign, e.payload) for e in wanted])


def wait_for(is_so, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def start(lab: Lab) -> "subprocess.Popen[str]":
    script = Path(__file__).parents[2] / "support" / "notifying_process.py"
    process = subprocess.Popen(
        [sys.executable, str(script), str(lab.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def finish(process: "subprocess.Popen[str]") -> None:
    process.communicate(timeout=120)


def test_killed_between_send_and_mark_the_receiver_can_tell_the_repetition(hook, tmp_path):
    lab = make_lab(tmp_path / "lab", hook.url)
    write(lab, datetime.now(UTC))
    hook.wait_s = 60
    process = start(lab)
    wait_for(lambda: hook.n_asked == 1)  # it is with the receiver, and not marked
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    (row,) = read_untold(lab.database)
    assert row["state"] == "sending"
    hook.wait_s = 0
    hook.gone.set()
    wait_for(lambda: len(hook.ids) == 1)
    finish(start(lab))
    assert [number for number, _ in hook.ids] == [hook.ids[0][0]] * 2
    assert [attempt for _, attempt in hook.ids] == ["1", "2"]
    assert f"you may have had message {hook.ids[0][0]} already" in hook.posts[1]["message"]
    assert read_untold(lab.database) == ()
    finish(start(lab))
    assert len(hook.ids) == 2, "what was marked is not sent again"


def test_a_fault_of_a_process_that_was_killed_before_it_could_tell_is_told_by_the_next(hook, tmp_path):
    lab = make_lab(tmp_path / "lab", hook.url)
    write(lab, datetime.now(UTC) - timedelta(hours=30))
    finish(start(lab))
    assert len(hook.posts) == 1
    assert "What happened: clogged" in hook.posts[0]["message"]


def test_of_two_notifiers_on_one_lab_one_tells(hook, tmp_path):
    lab = make_lab(tmp_path / "lab", hook.url)
    with open_store(lab.database) as store, notifying(lab, store) as first, notifying(lab, store) as other:
        write(lab, datetime.now(UTC))
        first.hear()
        other.hear()
        wait_for(lambda: len(hook.ids) == 1)
    assert len(hook.ids) == 1
    assert read_untold(lab.database) == ()


def test_events_are_taken_at_once_with_a_dead_server_and_the_end_is_not_held_up(tmp_path):
    lab = make_lab(tmp_path / "lab", "json://127.0.0.1:9/x")
    with open_store(lab.database) as store, notifying(lab, store) as speaker:
        write(lab, datetime.now(UTC))
        started = time.perf_counter()
        for _ in range(1000):
            speaker.hear()
        assert time.perf_counter() - started < 10, "1000 times a server that is asked would be minutes"
        wait_for(lambda: any(r["error"] for r in read_untold(lab.database)))
        closing = time.monotonic()
    assert time.monotonic() - closing < 20
    status = json.loads(nextplate("status", "--lab", lab.folder, "--json"))
    assert status["untold"]["hook"]["waiting"] == 1
    assert "refused" in status["untold"]["hook"]["error"]
    assert "untold   1 messages to hook" in nextplate("status", "--lab", lab.folder)


def test_notify_send_sends_what_waits_and_show_tells_it(hook, tmp_path):
    lab = make_lab(tmp_path / "lab", hook.url)
    write(lab, datetime.now(UTC))
    hook.statuses = [500]
    assert "1 not sent" in nextplate("notify", "send", "--lab", lab.folder, code=1)
    assert json.loads(nextplate("notify", "send", "--lab", lab.folder, "--json")) == {"busy": False, "waiting": 0}
    assert len(hook.ids) == 1
    (shown,) = json.loads(nextplate("notify", "show", "--lab", lab.folder, "--json"))["messages"]
    assert (shown["state"], shown["kind"], shown["id"]) == ("sent", "fault", hook.ids[0][0])
    assert hook.ids[0][0] in nextplate("notify", "show", "--lab", lab.folder)
    with alone(lab.folder / LOCK):
        assert "another process" in nextplate("notify", "send", "--lab", lab.folder)


def test_sent_messages_leave_the_journal_as_it_is(hook, tmp_path):
    lab = make_lab(tmp_path / "lab", hook.url)
    write(lab, datetime(2026, 1, 5, tzinfo=UTC))
    with open_store(lab.database) as store:
        before = store.head()
    finish(start(lab))
    with open_store(lab.database) as store:
        assert store.verify(before) == before
    assert len(hook.ids) == 1


def test_a_lab_without_channels_starts_nothing(tmp_path):
    init_lab(tmp_path / "lab")
    lab = open_lab(tmp_path / "lab")
    with open_store(lab.database) as store, notifying(lab, store) as speaker:
        speaker.hear()
        speaker.say("fault", datetime.now(UTC), "nobody hears this")
    assert not (lab.folder / LOCK).exists()


class Broken:
    """A table and journal that say no, or burst."""

    def __init__(self, error: Exception) -> None:
        self.error, self.n_asked = error, 0

    def events(self, after_seq=0):
        self.n_asked += 1
        raise self.error

    def select(self, *_):
        raise self.error

    keep_notices = select


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreError("the database is gone"), "notifications: the database is gone"),
        (RuntimeError("a bug"), "notifications have stopped, the night goes on: RuntimeError: a bug"),
    ],
)
def test_what_goes_wrong_with_it_is_told_once_and_ends_nothing(tmp_path, error, said):
    lab = make_lab(tmp_path / "lab", "json://127.0.0.1:9/x")
    told: list[str] = []
    now = LabNow(is_virtual=False, wall=lambda: datetime.now(UTC), monotonic=time.monotonic)
    notifier = Notifier(make_post(lab, Broken(error)), lab.folder / LOCK, now, told.append, close_s=0.5)
    notifier.start()
    wait_for(lambda: bool(told))
    notifier.hear()
    notifier.close()
    assert told == [said]


@pytest.mark.parametrize("is_virtual", [False, True])
def test_the_labs_time_never_runs_before_its_last_event(is_virtual):
    wall, tick = datetime(2026, 1, 5, tzinfo=UTC), [0.0]
    now = LabNow(is_virtual=is_virtual, wall=lambda: wall, monotonic=lambda: tick[0])
    assert now.at(None) == wall
    later = wall + timedelta(hours=1)  # the clock was set back by an hour
    assert now.at(later) == later
    tick[0] = 90.0
    assert now.at(later) == later + timedelta(seconds=90)
    earlier = wall - timedelta(days=400)
    assert now.at(earlier) == (earlier if is_virtual else wall)


def test_what_is_in_no_journal_is_told_too_and_kept_until_it_is(hook, tmp_path):
    lab = make_lab(tmp_path / "lab", hook.url)
    hook.statuses = [500]
    when = datetime(2026, 1, 5, 3, tzinfo=UTC)
    with open_store(lab.database) as store, notifying(lab, store) as speaker:
        speaker.say("fault", when, "the night was given up after 5 crashes; look at logs/nightly")
        wait_for(lambda: hook.n_asked == 1)
    assert [r["state"] for r in read_untold(lab.database)] == ["waiting"]
    finish(start(lab))
    assert len(hook.posts) == 1
    assert "the night was given up after 5 crashes" in hook.posts[0]["title"]
    assert "When: 2026-01-05 03:00 UTC" in hook.posts[0]["message"]


def test_the_next_notifier_takes_over_when_the_first_is_gone(hook, tmp_path, monkeypatch):
    monkeypatch.setattr("controller.notify.notifier._TROUBLE_S", 0.2)
    lab = make_lab(tmp_path / "lab", hook.url)
    keeper = start(lab)
    with open_store(lab.database) as store, notifying(lab, store):
        keeper.send_signal(signal.SIGKILL)
        keeper.communicate(timeout=30)
        write(lab, datetime.now(UTC))
        wait_for(lambda: len(hook.ids) == 1)


def test_of_a_services_happenings_only_the_grave_ones_are_told():
    @dataclass
    class Happening:
        kind: str
        time: datetime = datetime(2026, 1, 5, tzinfo=UTC)
        message: str = "words"

    said = []

    class Listener(Mute):
        def say(self, kind, when, text):
            said.append((kind, text))

    tell = teller(Listener())
    for kind in ("service-started", "night-over", "a word of next year", *GRAVE):
        tell(Happening(kind))
    assert said == [(kind, "words") for kind in GRAVE.values()]


GRAVE = {
    "refused": "fault", "given-up": "fault", "clock-question": "fault", "not-kept": "fault", "wanting": "fault",
    "left-out": "fault",
    "hang": "stall", "crash": "restarted", "failed": "restarted", "stop-forced": "restarted",
}  # fmt: skip


def test_a_service_tells_while_its_database_is_gone_and_of_the_journal_when_it_is_back(hook, tmp_path, monkeypatch):
    monkeypatch.setattr("controller.notify.notifier._TROUBLE_S", 0.2)
    lab = make_lab(tmp_path / "lab", hook.url)
    write(lab, datetime.now(UTC))
    database, away = lab.folder / "nextplate.db", tmp_path / "away.db"
    database.rename(away)
    told: list[str] = []

    @dataclass
    class Refused:
        kind: str = "refused"
        time: datetime = datetime(2026, 1, 5, tzinfo=UTC)
        message: str = "there is no database"

    with telling(lab, told.append) as tell:
        tell(Refused())
        wait_for(lambda: len(hook.posts) == 1)
        assert "there is no database" in hook.posts[0]["title"]
        assert len(told) == 1
        away.rename(database)
        wait_for(lambda: len(hook.posts) == 2)
    assert "clogged" in hook.posts[1]["message"]
    assert read_untold(lab.database) == ()
    finish(start(lab))
    assert len(hook.posts) == 2
