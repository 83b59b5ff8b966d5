"""The lab at a glance: ten lines from the journal, once or live in a terminal."""

import json
import os
import pty
import re
import select
import signal
import sys
import time
from pathlib import Path

import pytest
from controller_fakes import FakeLab
from journal_lab import typed, write_lab

from controller.glimpse import glimpse, ten_lines
from controller.settings import ApprovalSection, Settings
from controller.state import fold
from controller.store import Head, NewEvent, open_store

HAND = Settings(approval=ApprovalSection(policy="hand"))


def lines(lab: FakeLab, n: int | None = None) -> dict[str, str]:
    events = lab.journal.events[:n]
    told = ten_lines(glimpse(fold(events), Head(len(events), "0" * 64), events[-1].time))
    return {line[:9].strip(): line[9:] for line in told}


def test_at_every_event_of_a_night_the_lab_is_told_in_ten_lines():
    lab = FakeLab(rounds=2)
    lab.begin("second", beside=True)
    lab.begin("third", beside=True, policy="hand")
    lab.run()
    for n in range(1, len(lab.journal.events) + 1):
        assert len(lines(lab, n)) <= 10


def test_what_runs_says_since_when_and_what_is_usual():
    lab = FakeLab(rounds=2)
    lab.run()
    taken = [e for e in lab.journal.events if e.kind == "accepted"]
    at = next(e.seq for e in taken if e.payload["key"] == "first.r1.acquire")
    said = lines(lab, at)
    assert re.search(r"^imager acquire NP-0002 since 01-\d\d \d\d:\d\d, usually 7 min$", said["runs"])
    assert "imager at first.r1.acquire" in said["devices"]
    assert "imager acquire done (first.r1.acquire)" in said["next"]
    assert said["plates"] == "NP-0002 at imager"
    assert (
        said["result"]
        == "first, round 1: plate NP-0000 passed, Z' not determined, 0 wells flagged, 1 hits of 4 compounds"
    )


def test_who_is_waited_for_is_named_with_what_to_type():
    lab = FakeLab(settings=HAND)
    lab.begin("second", beside=True)
    lab.device.unknown.add("second.r0.run-0")
    lab.run()
    said = lines(lab)
    assert "second for a person: nextplate answer second.r0.run-0 done|not-done|write-off|abort" in said["waits"]
    assert "first.r0" not in said["waits"], "it was replaced by one beside it"
    assert said["faults"].startswith("second.r0.run-0: memory lost; nobody can tell")
    assert "NOBODY KNOWS" in said["runs"]


def test_a_plate_in_the_incubator_says_when_it_comes_out():
    lab = FakeLab(rounds=1)
    lab.run()
    stored = next(e.seq for e in lab.journal.events if e.kind == "outcome" and e.payload["key"].endswith(".store"))
    assert lines(lab, stored)["next"].endswith("fetch (first.r0.fetch)")
    assert lines(lab, stored)["next"].startswith("01-06 ")


def test_status_says_it_in_ten_lines_or_in_full(tmp_path: Path):
    fake = FakeLab(settings=HAND)
    fake.run()
    lab = write_lab(tmp_path / "lab", fake)
    short, full = typed(lab, "status"), typed(lab, "status", "--full")
    assert len(short.out.splitlines()) <= 10
    assert "waits    first for a person: nextplate approve 1" in short.out
    assert "nextplate approve 1   or   nextplate reject 1" in full.out
    body = json.loads(typed(lab, "status", "--json").out)
    assert body["glimpse"]["waits"][0]["for"] == "a person"
    assert typed(lab, "watch", "--once").out.splitlines() == short.out.splitlines()


def test_watch_folds_only_what_is_new_and_a_changed_journal_ends_it(tmp_path: Path):
    from controller.cli.showing import lab_database
    from controller.cli.watch import _View
    from nextplate.errors import JournalBroken

    fake = FakeLab(rounds=1)
    fake.run()
    lab = write_lab(tmp_path / "lab", fake)
    view = _View.of(lab_database(lab))
    assert view.look()
    assert not view.look()
    assert view.state.digest() == fold(fake.journal.events).digest()
    with open_store(lab_database(lab)) as store:
        store.append([NewEvent("decision", fake.clock.now(), "first", {"what": "pause", "by": "ann"})])
    assert view.look()
    assert view.state.campaigns["first"].is_paused
    view.head = view.head._replace(seq=view.head.seq - 1)
    with pytest.raises(JournalBroken, match="it was changed"):
        view.look()


def read_until(terminal: int, word: bytes | None, wait_s: float = 120.0) -> bytes:
    """Read what a terminal shows until a word, or until nobody writes to it any more."""
    seen, until = b"", time.monotonic() + wait_s
    while (word is None or word not in seen) and time.monotonic() < until:
        if select.select([terminal], [], [], 1.0)[0]:
            try:
                seen += os.read(terminal, 65536)
            except OSError:  # the other side is closed
                break
    return seen


@pytest.mark.parametrize(("key", "columns"), [(b"q", 80), (b"\x03", 34)])
def test_watch_draws_on_a_terminal_and_a_key_ends_it(tmp_path: Path, key: bytes, columns: int):
    fake = FakeLab(settings=HAND)
    fake.run()
    lab = write_lab(tmp_path / "lab", fake)
    size = {"COLUMNS": str(columns), "LINES": "30", "TERM": "xterm-256color", "NO_COLOR": "1"}
    environment = {**os.environ, **size, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", "from controller.cli import main; main()", "watch", "--lab", str(lab)]
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(sys.executable, command, environment)
    try:
        seen = read_until(terminal, b"ends the watching")
        os.write(terminal, key)
        seen += read_until(terminal, None)
    finally:
        os.kill(child, signal.SIGKILL)  # a zombie until it is waited for
        _, ended = os.waitpid(child, 0)
        os.close(terminal)
    assert os.waitstatus_to_exitcode(ended) == 0
    # the cursor's moves between two pictures stand for a new line
    shown = seen.decode(errors="replace").replace("\x1b[H", "\n")  # the next drawing begins at the top
    picture = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert "waits" in picture
    drawn = picture.replace("^C", "").replace("\r", "").splitlines()
    assert [line for line in drawn if len(line) > columns] == []
    assert not re.search(rb"\x1b\[3[0-7]m", seen), "NO_COLOR means no colour"


def test_a_suspended_device_is_named_with_its_reading_and_who_waits_for_it():
    lab = FakeLab(rounds=1)
    lab.run()
    cleared = next(e.seq for e in lab.journal.events if e.kind == "outcome" and e.payload["key"] == "first.r0.clear")
    told = {"device": "incubator", "reading": "temperature_c", "value": 41.5, "band": [36.0, 38.0]}
    del lab.journal.events[cleared:]
    event = NewEvent("device.suspended", lab.clock.now(), None, told)
    lab.journal.append([event], expected_seq=len(lab.journal.events))
    said = lines(lab)
    assert said["devices"].startswith("SUSPENDED incubator: temperature_c is 41.5, allowed 36 to 38; ")
    assert said["waits"] == "first, because the incubator is suspended; it goes on by itself"
