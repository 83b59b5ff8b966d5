"""A share that hangs: no verb waits for it, nothing is made up, and nothing is written behind anybody's back."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers import in_time
from drivers.folder import FolderDevice
from drivers.in_time import InTime
from drivers.ports import Report, Status, StorePlate
from nextplate.errors import NeedsOperator, Transient

KEY = "k"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_time, "SUBMIT_S", 0.2)


class Share:
    """A call that hangs until the share is back."""

    def __init__(self) -> None:
        self.is_back = threading.Event()
        self.now, self.n_calls = 0.0, 0
        self.files = InTime("the folder x", monotonic=lambda: self.now)

    def hangs(self) -> Report:
        self.n_calls += 1
        self.is_back.wait(100.0)
        return Report(Status.DONE)

    def look(self) -> Report:
        return self.files.report(KEY, self.hangs, 0.05)


@pytest.fixture
def share() -> Iterator[Share]:
    share = Share()
    yield share
    share.is_back.set()


def test_a_running_command_runs_while_its_share_hangs_and_then_nobody_knows(share: Share):
    share.files.submit(KEY, lambda: None)
    assert share.look().status is Status.RUNNING
    share.now = in_time.HANG_S - 1
    assert share.look().status is Status.RUNNING
    share.now = in_time.HANG_S + 1
    report = share.look()
    assert report.status is Status.UNKNOWN
    assert report.message == "the folder x has not answered for 61 s; is its server on, and the share mounted?"
    assert share.n_calls == 1, "one call at a time"
    share.is_back.set()
    end = time.monotonic() + 60.0
    while share.look() != Report(Status.DONE):
        assert time.monotonic() < end
        time.sleep(0.002)


def test_a_key_that_was_never_seen_is_not_made_up(share: Share):
    assert share.look().status is Status.UNKNOWN


def test_what_ended_stays_ended(share: Share):
    assert share.files.report(KEY, lambda: Report(Status.FAILED), 1.0).status is Status.FAILED
    share.now = 1000.0
    assert share.look().status is Status.FAILED


def test_a_hung_look_costs_its_wait_once(share: Share):
    share.look()
    share.now = 5.0
    began = time.monotonic()
    for _ in range(20):
        share.files.report(KEY, share.hangs, 2.0)
    assert time.monotonic() - began < 15.0, "not 20 times 2 s"
    with pytest.raises(Transient, match="command other was not handed over"):
        share.files.submit("other", lambda: None)


def test_what_a_call_raises_is_raised(share: Share):
    def refuses() -> None:
        raise NeedsOperator("no")

    with pytest.raises(NeedsOperator, match="no"):
        share.files.submit(KEY, refuses)
    assert share.files.report("other", lambda: Report(Status.NOT_FOUND), 1.0).status is Status.NOT_FOUND


def exchange_of(folder: Path) -> FolderDevice:
    for name in ("requests", "replies"):
        (folder / "x" / name).mkdir(parents=True)
    return FolderDevice(folder / "x", folder, "incubator")


def test_the_folder_driver_does_not_wait_for_a_reply_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("drivers.folder.POLL_S", 0.1)
    device = exchange_of(tmp_path)
    device.submit(StorePlate("P"), KEY)
    os.mkfifo(fifo := tmp_path / "x" / "replies" / f"{KEY}.json")  # whoever opens it waits for a writer
    began = time.monotonic()
    assert device.poll(KEY).status is Status.RUNNING
    assert time.monotonic() - began < 2.0
    fifo.open("wb").close()


def test_a_request_whose_writing_was_given_up_is_not_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A person may have decided meanwhile that the plate is handled by hand."""
    device, is_back = exchange_of(tmp_path), threading.Event()
    monkeypatch.setattr(device, "_busy_with", lambda: is_back.wait(20.0) and None)
    with pytest.raises(Transient, match="whether command k was handed over, nobody knows yet"):
        device.submit(StorePlate("P"), KEY)
    is_back.set()
    time.sleep(0.2)
    assert list((tmp_path / "x" / "requests").iterdir()) == []
    assert device.lookup(KEY).status is Status.NOT_FOUND
