"""logs/nextplate.jsonl: a line leads to its event, every event has one, and a full disk ends nothing."""

import json
import os
import subprocess
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from controller_fakes import FakeLab
from notify_lab import Diary

from controller.chains import Chains
from controller.eventlog import NAME, EventLog
from controller.follow import Follower
from controller.lab import init_lab, open_lab
from controller.narrate import Narrator
from controller.observed import observed
from controller.store import NewEvent, open_store


def make_log(path: Path, chains: Chains, max_bytes: int = 10**7, keep: int = 3) -> EventLog:
    return EventLog(path, max_bytes, keep, chains.of, lambda: datetime(2026, 1, 1, tzinfo=UTC), Narrator())


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def lab_of(tmp_path: Path, more: str = ""):
    init_lab(tmp_path / "lab")
    with (tmp_path / "lab" / "lab.toml").open("a") as file:
        file.write(more)
    return open_lab(tmp_path / "lab")


def pour(store, hear, events) -> None:
    for event in events:
        (written,) = store.append([NewEvent(event.kind, event.time, event.campaign, event.payload)])
        hear(written)


@pytest.fixture(scope="module")
def campaign():
    lab = FakeLab()
    lab.run()
    return lab.journal.events


def test_a_line_can_be_traced_to_its_event_and_every_event_has_one(campaign, tmp_path):
    lab = lab_of(tmp_path)
    with open_store(lab.database) as store, observed(lab, store) as hear:
        pour(store, hear, campaign)
        journal = {event.seq: event for event in store.events()}
    lines = lines_of(lab.folder / "logs" / NAME)
    assert [line["seq"] for line in lines] == sorted(journal)
    for line in lines:
        event = journal[line["seq"]]
        assert (line["hash"], line["kind"], line["time"]) == (event.hash, event.kind, event.time.isoformat())
    (run,) = [ln for ln in lines if ln["kind"] == "outcome" and ln.get("key") == "first.r1.run-0"]
    chain = {name: run[name] for name in ("campaign", "round", "plate", "task", "key", "device", "status", "level")}
    assert chain == {
        "campaign": "first", "round": 2, "plate": "NP-0002", "task": "run-0", "key": "first.r1.run-0",
        "device": "liquid-handler", "status": "done", "level": "info",
    }  # fmt: skip


def test_a_fault_is_an_error_with_its_question(tmp_path):
    diary = Diary().begin().operate(0, "first.r0.run-0", "run-0").fault(1, "first.r0.run-0", "clogged\nbadly")
    chains = Chains()
    log = make_log(tmp_path / NAME, chains)
    for event in diary.events:
        chains.hear(event)
        log.take(event)
    line = lines_of(tmp_path / NAME)[-1]
    assert (line["level"], line["task"]) == ("error", "run-0")
    assert "clogged\\nbadly" in line["message"], "and in one line where it is told"


def test_what_a_killed_process_did_not_write_the_next_one_adds(campaign, tmp_path):
    lab = lab_of(tmp_path)
    path = lab.folder / "logs" / NAME
    with open_store(lab.database) as store:
        with observed(lab, store) as hear:
            pour(store, hear, campaign[:10])
        pour(store, lambda _event: None, campaign[10:20])  # told to nobody
        with path.open("a") as file:
            file.write('{"seq": 11, "torn')  # the kill came in the middle of a line
        with observed(lab, store) as hear:
            pour(store, hear, campaign[20:22])
    lines = lines_of(path)
    assert [line["seq"] for line in lines] == list(range(1, 23))
    tasks = [line["task"] for line in lines if line["kind"] == "intent"]
    assert all(tasks), "what was begun before the kill is known after it"


def test_two_processes_that_follow_one_journal_write_each_event_once(campaign, tmp_path):
    lab = lab_of(tmp_path)
    with open_store(lab.database) as store, observed(lab, store) as waiting:  # a night that waits for the lab
        pour(store, waiting, campaign[:5])
        with observed(lab, store) as hand:  # nextplate run, by hand
            pour(store, hand, campaign[5:15])
        pour(store, waiting, campaign[15:20])
    assert [line["seq"] for line in lines_of(lab.folder / "logs" / NAME)] == list(range(1, 21))


def test_two_that_write_at_the_same_time_lose_and_double_nothing_also_at_the_seam(campaign, tmp_path):
    path = tmp_path / "logs" / NAME
    logs = [make_log(path, Chains(), max_bytes=3000, keep=99) for _ in range(2)]

    def follow(log):
        for event in campaign:
            log.take(event)

    threads = [threading.Thread(target=follow, args=(log,)) for log in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    names = sorted(path.parent.iterdir(), key=lambda p: -int(p.suffix[1:]) if p.suffix[1:].isdigit() else 0)
    assert len(names) > 2
    assert [line["seq"] for name in names for line in lines_of(name)] == [e.seq for e in campaign]


def test_a_line_longer_than_what_is_read_of_the_end_is_found_and_kept(tmp_path):
    diary = Diary().begin().fault(1, "first.r0.run-0", "x" * 300_000)
    path = tmp_path / NAME
    log = make_log(path, Chains())
    for event in diary.events:
        log.take(event)
    assert make_log(path, Chains()).last_seq() == 2
    assert [line["seq"] for line in lines_of(path)] == [1, 2]
    with path.open("ab") as file:
        file.write(b'{"seq": 3, "message": "' + b"y" * 200_000)  # torn
    assert make_log(path, Chains()).last_seq() == 2
    assert [line["seq"] for line in lines_of(path)] == [1, 2]


def test_a_grown_file_is_put_away_and_only_so_many_are_kept(campaign, tmp_path):
    chains, path = Chains(), tmp_path / "logs" / NAME
    log = make_log(path, chains, max_bytes=2000, keep=2)
    for event in campaign:
        log.take(event)
    assert sorted(p.name for p in path.parent.iterdir()) == [NAME, f"{NAME}.1", f"{NAME}.2"]
    assert all(p.stat().st_size <= 2000 for p in path.parent.iterdir())
    seqs = [ln["seq"] for p in (f"{NAME}.2", f"{NAME}.1", NAME) for ln in lines_of(path.parent / p)]
    assert seqs == list(range(seqs[0], len(campaign) + 1)), "no line is lost at the seam"
    assert make_log(path, chains).last_seq() == len(campaign)
    path.unlink()
    assert make_log(path, chains).last_seq() == lines_of(path.parent / f"{NAME}.1")[-1]["seq"]


def test_a_line_that_a_person_edited_is_passed_over(tmp_path):
    path = tmp_path / NAME
    path.write_text('{"seq": 7}\nhello\n[]\n')
    assert make_log(path, Chains()).last_seq() == 7
    path.write_text("")
    assert make_log(path, Chains()).last_seq() == 0


@pytest.mark.skipif(os.getuid() != 0, reason="a small disk can be mounted by root only")
def test_a_full_disk_is_told_once_and_what_was_missed_is_written_when_there_is_room(campaign, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mount is not allowed here")
    try:
        lab = lab_of(tmp_path)
        (lab.folder / "logs").rmdir()
        (lab.folder / "logs").symlink_to(disk)
        (disk / "ballast").write_bytes(bytes(8192))
        told: list[str] = []
        with open_store(lab.database) as store, observed(lab, store, told.append) as hear:
            pour(store, hear, campaign)
            until = time.monotonic() + 30
            while not (told and (disk / NAME).read_bytes().endswith(b"\n")):
                assert time.monotonic() < until
                time.sleep(0.01)
            n_written = len(lines_of(disk / NAME))
            assert 0 < n_written < len(campaign)
            assert told == [f"logs/{NAME}: the disk is full, logs/{NAME} misses what happens now; the night goes on"]
            assert (disk / NAME).read_bytes().endswith(b"\n"), "no half line is left"
            (disk / "ballast").unlink()
            subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
            (event,) = store.append([NewEvent("tips.added", datetime.now(UTC), None, {})])
            hear(event)
        assert [line["seq"] for line in lines_of(disk / NAME)] == list(range(1, len(campaign) + 2))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_the_loop_does_not_wait_for_a_slow_disk(campaign, tmp_path, monkeypatch):
    is_back, taken = threading.Event(), []

    def take(_log, event):
        is_back.wait(20.0)
        taken.append(event)

    monkeypatch.setattr(EventLog, "take", take)
    lab = lab_of(tmp_path)
    with open_store(lab.database) as store:
        written = [
            event for e in campaign[:20] for event in store.append([NewEvent(e.kind, e.time, e.campaign, e.payload)])
        ]
        with observed(lab, store) as hear:
            for event in written:
                hear(event)
            assert not taken
            is_back.set()
    assert taken == written


def test_a_log_that_cannot_be_read_is_told_and_ends_nothing(tmp_path):
    lab = lab_of(tmp_path)
    (lab.folder / "logs" / NAME).mkdir()
    told: list[str] = []
    with open_store(lab.database) as store, observed(lab, store, told.append) as hear:
        pour(store, hear, Diary().begin().events)
    assert len(told) == 1
    assert "the night goes on" in told[0]


def test_a_bug_in_a_listener_ends_nothing(tmp_path):
    lab = lab_of(tmp_path)
    told: list[str] = []
    with open_store(lab.database) as store, observed(lab, store, told.append) as hear:
        pour(store, hear, Diary().begin().add(1, "intent", key="odd").events)
    assert told == ["the event log and the metrics: KeyError: 'round'; the night goes on"]
    assert [line["seq"] for line in lines_of(lab.folder / "logs" / NAME)] == [1, 2]


def test_an_event_nobody_understands_does_not_stand_in_the_way(campaign):
    class Journal:
        def events(self, after_seq=0):
            yield from campaign[after_seq:]

    seen: list[int] = []

    def take(event):
        if event.seq == 2:
            raise KeyError("odd")
        seen.append(event.seq)

    follower = Follower(Journal(), take, 0)
    follower.hear(campaign[0])
    with pytest.raises(KeyError):
        follower.hear(campaign[1])
    follower.hear(campaign[2])
    assert seen == [1, 3]


def test_a_follower_hands_on_every_event_once(campaign):
    class Journal:
        def events(self, after_seq=0):
            yield from campaign[after_seq:]

    seen: list[int] = []
    follower = Follower(Journal(), lambda event: seen.append(event.seq), 0)
    for n in (0, 4, 4, 2, 9, len(campaign) - 1):
        follower.hear(campaign[n])
    assert seen == list(range(1, len(campaign) + 1))
