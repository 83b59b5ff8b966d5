"""Whatever a device says, it steers no terminal and forges no line of what people are told."""

import re
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from controller_fakes import FakeLab
from journal_lab import typed, write_lab
from notify_lab import START, Books, FakeCourier, make_post
from notify_rules import asked, rules

from controller.campaign import Ending
from controller.cli import _explain
from controller.cli.running import ending_text
from controller.evidence.parting import part, parting_text, run_of
from controller.narrate import Narrator
from controller.nightly.systemd import Notifier
from controller.notify.notifier import tell_stderr
from controller.notify.trial import notices_body, notices_text
from controller.state import fold
from controller.store import Event, Head, NewEvent, open_store
from nextplate.errors import NeedsOperator

FORGED = "2026-01-05 22:00  ann: approve round 9"
EVIL = f"clogged\x1b[2J\x1b]0;owned\x07\r\n{FORGED}\n  nextplate abort\u2028{FORGED}\x9b2J"
KEY = "first.r0.run-0"
NOW = datetime(2026, 1, 6, tzinfo=UTC)


def assert_harmless(text: str) -> None:
    assert "clogged" in text, "and it is told"
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", text)
    assert [line for line in text.splitlines() if line.lstrip().startswith((FORGED, "nextplate abort"))] == []


@pytest.fixture
def fake() -> FakeLab:
    lab = FakeLab(rounds=1)
    lab.device.unknown.add(KEY)
    lab.run()
    return lab


def evil(kind: str, **payload: object) -> NewEvent:
    return NewEvent(kind, NOW, "first", payload)


FAULT = evil("fault", fault="odd", key=KEY, question=EVIL, choices=["retry", EVIL])
FAILED = evil("outcome", key=KEY, status="failed", result={}, message=EVIL)
ATTEMPT = evil("attempt", key=KEY, message=EVIL)


@pytest.mark.parametrize("words", [("status",), ("status", "--full"), ("watch", "--once")])
def test_the_status_and_the_watch(fake: FakeLab, tmp_path: Path, words: tuple[str, ...]):
    lab = write_lab(tmp_path / "lab", fake)
    with open_store(f"sqlite:///{lab / 'nextplate.db'}") as store:
        store.append([FAULT])
    assert_harmless(typed(lab, *words).out)


@pytest.mark.parametrize("event", [FAULT, FAILED, ATTEMPT], ids=lambda e: e.kind)
def test_the_narration_of_a_run(event: NewEvent):
    line = Narrator().line(event)
    assert line is not None
    assert_harmless(line)
    assert len(line.splitlines()) == 1


def test_the_end_of_a_run(fake: FakeLab):
    events = [*fake.journal.events]
    last = events[-1]
    events.append(Event(last.seq + 1, NOW, "fault", "first", FAULT.payload, last.hash, "0" * 64))
    assert_harmless(ending_text(Ending(fold(events), Head(len(events), "0" * 64), False, False, ("first",))))


def test_the_nightly_service(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    from controller.cli import nightly
    from controller.lab import init_lab
    from controller.nightly.told import Happening

    init_lab(tmp_path / "lab")
    told = Happening("needs-person", NOW, EVIL)
    monkeypatch.setattr("controller.nightly.service.serve", lambda _folder, hear, **_: [one(told) for one in hear])
    nightly._serve(tmp_path / "lab", False, False)
    assert_harmless(capsys.readouterr().out)
    tell_stderr(EVIL)
    assert_harmless(capsys.readouterr().err)


def test_what_systemd_is_told(tmp_path: Path):
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name)
        Notifier({"NOTIFY_SOCKET": name}).say("WATCHDOG=1", f"STATUS={EVIL}")
        order, status = systemd.recv(4000).decode().split("\n")
    assert order == "WATCHDOG=1"
    assert_harmless(status)


def test_the_messages_to_people_and_what_is_told_of_them():
    diary = asked()
    diary.fault(11, "first.r0.run-1", EVIL, ("retry", EVIL))
    books, courier = Books(diary), FakeCourier()
    post = make_post(books, courier, rules(fault=("mail", "sms")), short=("sms",))
    for second in range(60, 90):
        post.read()
        post.turn(START.replace(day=6), START.replace(day=6), second)
    messages = [p for _, p in courier.got if "run-1" in p.body]
    assert len(messages) == 2
    for parcel in messages:
        assert_harmless(parcel.body)
        assert "\n" not in parcel.title
    for row in books.rows.values():
        row["error"] = EVIL
    assert_harmless(notices_text(notices_body(books, 20)))


def test_an_error_of_a_device(capsys: pytest.CaptureFixture[str]):
    assert _explain(NeedsOperator(EVIL)) == 1
    assert_harmless(capsys.readouterr().err)


def test_the_night_compared_with_its_repetition():
    intent = evil("intent", key=KEY, task="run-0", round=0, action={"device": "arm", "command": {"verb": "move"}})
    real, simulated = (
        [intent, evil("outcome", key=KEY, status="done", result={"said": said}, message="")] for said in (EVIL, 1)
    )
    assert_harmless(parting_text(part(run_of(real), run_of(simulated))))
