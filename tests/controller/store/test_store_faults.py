"""A locked database, a full disk, a killed process: one clear error, and nothing half-written."""

import os
import random
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from controller.store import NewEvent, RowWrite, engine, glance, open_store, read_journal
from controller.store.address import file_fault
from controller.store.store import Store
from nextplate.errors import DiskFull, LabBusy, StoreAway, StoreError

ROOT = Path(__file__).parents[3]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(text: str = "") -> NewEvent:
    return NewEvent("outcome", NOON, "first", {"text": text})


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (engine, glance):
        monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.2)


def test_a_writer_that_holds_the_database_is_named(impatient, database_url: str):
    with open_store(database_url, create=True) as store:
        other = create_engine(database_url, isolation_level="AUTOCOMMIT" if store.address.is_file else None)
        with other.connect() as holder:
            holder.exec_driver_sql("BEGIN IMMEDIATE" if store.address.is_file else "LOCK TABLE journal")
            start = time.monotonic()
            with pytest.raises(LabBusy, match=r"is locked: another process .*run the same command again"):
                store.append([event()])
            assert time.monotonic() - start < 60
            holder.exec_driver_sql("ROLLBACK")
        other.dispose()
        assert store.append([event()])[0].seq == 1


def test_status_answers_while_another_process_writes(impatient, tmp_path: Path):
    path = tmp_path / "nextplate.db"
    with open_store(path, create=True) as store:
        store.append([event()])
        with closing(sqlite3.connect(path, isolation_level=None)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            assert len(read_journal(path)) == 1
            assert store.head().seq == 1
            with open_store(path) as reader:
                assert reader.stock_now() == []
            holder.execute("ROLLBACK")


def test_a_database_that_may_not_grow_keeps_what_it_had(tmp_path: Path):
    with open_store(tmp_path / "nextplate.db", create=True) as store:
        store.append([event()])
        with store._engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 3}")
        with pytest.raises(
            DiskFull, match=f"free some space at {tmp_path} and run the same command again; nothing was"
        ):
            store.append([event("x" * 100_000)], [RowWrite("libraries", [{"library": "l", "n_compounds": 1}])])
        assert store.verify().seq == 1
        assert store.select("libraries") == []
        with store._engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count={2**30}")
        assert store.append([event("x" * 100_000)])[0].seq == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can only be mounted as root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_is_said_and_the_same_command_works_after_room_was_made(small_disk: Path):
    path = small_disk / "nextplate.db"
    with open_store(path, create=True) as store:
        store.append([event("first")])
        ballast = small_disk / "ballast"
        _fill(ballast)
        with pytest.raises(DiskFull, match="free some space"):
            store.append([event("x" * 200_000)])
        assert store.verify().seq == 1
        with open_store(path) as again:
            assert again.head().seq == 1
        ballast.unlink()
        store.append([event("x" * 200_000)], expected_seq=1)
        assert store.verify().seq == 2
    with open_store(path) as store:
        assert store.verify().seq == 2


def test_a_lab_on_a_full_disk_is_made_once_there_is_room(small_disk: Path):
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2 * 1024 * 1024 - 20 * 4096))
    with pytest.raises(DiskFull):
        open_store(small_disk / "nextplate.db", create=True)
    ballast.unlink()
    with open_store(small_disk / "nextplate.db", create=True) as store:
        assert store.append([event()])[0].seq == 1


@pytest.mark.parametrize(
    ("name", "text", "kind", "words"),
    [
        ("SQLITE_BUSY", "database is locked", LabBusy, "is locked"),
        ("SQLITE_BUSY_SNAPSHOT", "database is locked", LabBusy, "is locked"),
        ("SQLITE_FULL", "database or disk is full", DiskFull, "free some space"),
        ("SQLITE_NOTADB", "file is not a database", StoreError, "damaged or not a database"),
        ("SQLITE_CORRUPT", "database disk image is malformed", StoreError, "put back your last copy"),
        ("SQLITE_READONLY", "attempt to write a readonly database", StoreError, "is yours"),
        ("SQLITE_IOERR_WRITE", "disk I/O error", StoreError, "disk I/O error"),
        ("", "something else", StoreError, "something else"),
    ],
)
def test_every_fault_of_a_file_has_words(tmp_path: Path, name, text, kind, words):
    fault = file_fault(tmp_path / "nextplate.db", name, text)
    assert type(fault) is kind
    assert words in str(fault)
    assert str(tmp_path) in str(fault)


WRITER = textwrap.dedent("""
    import sys
    from datetime import UTC, datetime
    from controller.store import NewEvent, RowWrite, open_store
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with open_store(sys.argv[1]) as store:
        while True:
            seq = store.head().seq
            key = f"run-{seq}"
            moves = [{"key": key, "transfer_id": n, "plate": "S1", "well": "A01", "delta_nl": -n} for n in (1, 2, 3)]
            used = [{"rack": "T1", "well": f"{seq}", "key": key}]
            intent = NewEvent("intent", noon, "first", {"key": key, "padding": "x" * 5000})
            outcome = NewEvent("outcome", noon, "first", {"key": key})
            rows = [RowWrite("stock_movements", moves, event=1), RowWrite("tips_used", used, event=1)]
            store.append([intent, outcome], rows, expected_seq=seq)
            print("written", flush=True)
""")


def test_killing_a_writer_leaves_events_and_rows_in_step(store: Store, database_url: str):
    well = {
        "source_plate": "S1", "source_well": "A01", "compound_id": "C1", "initial_volume_nl": 10**9,
        "concentration_um": 1.0, "labware": "l", "file_digest": "d",
    }  # fmt: skip
    rack = {"barcode": "T1", "labware": "l", "position": 0}
    store.append([event()], [RowWrite("stock", [well]), RowWrite("tip_racks", [rack])])
    rng, before = random.Random(5), 1
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    for _ in range(6):
        command = [sys.executable, "-c", WRITER, database_url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"written\n"
            time.sleep(rng.uniform(0.03, 0.2))
            writer.kill()
        seq = store.verify().seq
        assert seq > before, "the writer wrote something"
        before = seq
        _check_in_step(store)


def _check_in_step(store: Store) -> None:
    outcomes = {e.seq: e.payload["key"] for e in store.events(1) if e.kind == "outcome"}
    intents = {e.seq + 1: e.payload["key"] for e in store.events(1) if e.kind == "intent"}
    assert outcomes == intents
    moves = store.select("stock_movements")
    assert sorted((m["seq"], m["key"], m["transfer_id"]) for m in moves) == sorted(
        (seq, key, n) for seq, key in outcomes.items() for n in (1, 2, 3)
    )
    assert {t["seq"]: t["key"] for t in store.select("tips_used")} == outcomes
    assert store.stock_now()[0].volume_nl == 10**9 - 6 * len(outcomes)


@pytest.mark.postgres
def test_a_restarted_server_is_found_again(cluster):
    with open_store(cluster.new_database(), create=True) as store:
        store.append([event()])
        killer = create_engine(store.address.url)
        with killer.connect() as session:
            session.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'nextplate' AND pid <> pg_backend_pid()"
            )
        killer.dispose()
        assert store.append([event()], expected_seq=1)[0].seq == 2


@pytest.mark.postgres
def test_a_server_that_is_gone_is_no_broken_journal_and_loses_nothing(cluster):
    with open_store(cluster.new_database(), create=True) as store:
        store.append([event()])
        cluster.stop()
        try:
            for use in (lambda: store.append([event()]), store.verify, store.head):
                with pytest.raises(StoreAway, match="cannot reach postgresql"):
                    use()
        finally:
            cluster.start()
        assert store.append([event()], expected_seq=1)[0].seq == 2
        assert store.verify().seq == 2
