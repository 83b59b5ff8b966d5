"""The physical lab on disk: what stands where, what is in every well, what every device remembers.

The lab does not die with the controller, so all of it lives in ``lab/sim/world.db`` (SQLite, WAL, every commit
synced). Whatever happens to the process, the file holds the world as of the last whole transaction.
Times are whole milliseconds since the epoch, UTC.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import RLock
from typing import Any

from nextplate.errors import DataError, DiskFull
from sim.settings import SimSettings

FORMAT = "1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SCHEMA = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE plates(barcode TEXT PRIMARY KEY, kind TEXT NOT NULL, labware TEXT NOT NULL, place TEXT NOT NULL,
  prefill_nl INTEGER NOT NULL, warm_ms INTEGER NOT NULL DEFAULT 0, warm_since_ms INTEGER) WITHOUT ROWID;
CREATE INDEX plates_by_place ON plates(place);
CREATE TABLE wells(plate TEXT, well TEXT, volume_nl INTEGER NOT NULL, dosed_ms INTEGER, dosed_warm_ms INTEGER,
  is_contaminated INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(plate, well)) WITHOUT ROWID;
CREATE TABLE contents(plate TEXT, well TEXT, compound_id TEXT, amount_pmol REAL NOT NULL,
  PRIMARY KEY(plate, well, compound_id)) WITHOUT ROWID;
CREATE TABLE tips_used(rack TEXT, tip TEXT, PRIMARY KEY(rack, tip)) WITHOUT ROWID;
CREATE TABLE compounds(compound_id TEXT PRIMARY KEY, smiles TEXT, role TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE truth(compound_id TEXT PRIMARY KEY, pec50 REAL, efficacy REAL, hill REAL, tox_pec50 REAL) WITHOUT ROWID;
CREATE TABLE commands(seq INTEGER PRIMARY KEY, device TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL,
  times TEXT NOT NULL, faults TEXT NOT NULL, n_done INTEGER NOT NULL, next_ms INTEGER NOT NULL,
  ready_ms INTEGER NOT NULL, status TEXT NOT NULL, result TEXT NOT NULL, message TEXT NOT NULL, UNIQUE(device, key));
CREATE INDEX commands_running ON commands(next_ms, seq) WHERE status = 'running';
CREATE TABLE attempts(device TEXT, key TEXT, n INTEGER NOT NULL, PRIMARY KEY(device, key)) WITHOUT ROWID;
CREATE TABLE injected(seq INTEGER PRIMARY KEY, device TEXT NOT NULL, kind TEXT NOT NULL);
CREATE TABLE handler_log(seq INTEGER PRIMARY KEY, time TEXT, key TEXT, transfer_id INTEGER, source_plate TEXT,
  source_well TEXT, destination_plate TEXT, destination_well TEXT, asked_nl INTEGER, moved_nl INTEGER,
  spilled_nl INTEGER, tip_rack TEXT, tip_well TEXT, note TEXT);
CREATE TABLE mover_log(seq INTEGER PRIMARY KEY, time TEXT, key TEXT, barcode TEXT, source TEXT, target TEXT, note TEXT);
CREATE TABLE incubator_log(seq INTEGER PRIMARY KEY, time TEXT, key TEXT, barcode TEXT, action TEXT, slot TEXT);
CREATE TABLE imager_log(seq INTEGER PRIMARY KEY, time TEXT, key TEXT, barcode TEXT, well TEXT, images INTEGER,
  note TEXT);
"""
_ADDED_LATER = """
CREATE TABLE IF NOT EXISTS fixed(plate TEXT, well TEXT, compound_id TEXT, dose_um REAL, fixed_ms INTEGER NOT NULL,
  warm_ms INTEGER NOT NULL,  PRIMARY KEY(plate, well, compound_id)) WITHOUT ROWID
"""
"""Cells that were fixed: when, how long they had been warm, and the dose they had until then.

A world made by an earlier version holds none.
"""


def to_ms(when: datetime) -> int:
    """Return whole milliseconds since the epoch, rounded up so that a wait never ends early.

    Raises:
        ValueError: the time has no time zone.
    """
    if when.tzinfo is None:
        raise ValueError(f"{when} has no time zone; every time in nextplate is UTC")
    return -((_EPOCH - when) // timedelta(milliseconds=1))


def from_ms(ms: int) -> datetime:
    """Return the UTC time of a count of milliseconds."""
    return _EPOCH + timedelta(milliseconds=ms)


class World:
    """The file, its transactions and the world's time. One per process; threads share it under ``lock``."""

    def __init__(self, lab_folder: Path, settings: SimSettings) -> None:
        self.lab_folder = lab_folder
        self.settings = settings
        self.lock = RLock()
        folder = lab_folder / "sim"
        folder.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(folder / "world.db", isolation_level=None, timeout=30, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._make_or_check()

    def close(self) -> None:
        """Close the file; the world stays."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Apply everything inside, or nothing.

        Raises:
            DiskFull: the world cannot be written; nothing was.
        """
        with self.lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
                    raise DiskFull(
                        f"no room left for {self.lab_folder / 'sim'}; free some space and start again"
                    ) from error
                raise

    def run(self, sql: str, values: Sequence[Any] = ()) -> None:
        """Execute one writing statement."""
        with self.lock:
            self._db.execute(sql, values)

    def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Execute one writing statement for many rows."""
        with self.lock:
            self._db.executemany(sql, rows)

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return all rows of a query."""
        with self.lock:
            return self._db.execute(sql, values).fetchall()

    def row(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        """Return the first row of a query, None when there is none."""
        with self.lock:
            found: sqlite3.Row | None = self._db.execute(sql, values).fetchone()
            return found

    def meta(self, name: str) -> str | None:
        """Return a named value of the world, None when it was never set."""
        row = self.row("SELECT value FROM meta WHERE name = ?", (name,))
        return None if row is None else str(row["value"])

    def set_meta(self, name: str, value: object) -> None:
        """Set a named value of the world."""
        self.run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, str(value)))

    def now_ms(self) -> int:
        """Return the world's time."""
        return int(self.meta("now_ms") or 0)

    def _make_or_check(self) -> None:
        with self.transaction():
            if self.row("SELECT 1 FROM sqlite_master WHERE name = 'meta'") is None:
                self._make()
            self.run(_ADDED_LATER)
        self._check()

    def _make(self) -> None:
        # executescript would commit the transaction under our feet
        for statement in filter(str.strip, _SCHEMA.split(";")):
            self.run(statement)
        start = to_ms(self.settings.start)
        first = {"format": FORMAT, "seed": self.settings.seed, "now_ms": start, "target_ms": start, "blank_plates": 0}
        for name, value in first.items():
            self.set_meta(name, value)

    def _check(self) -> None:
        found, seed = self.meta("format"), self.meta("seed")
        where = self.lab_folder / "sim" / "world.db"
        if found != FORMAT:
            raise DataError(f"{where} has format {found}, this nextplate writes {FORMAT}; start a new lab folder")
        if seed != str(self.settings.seed):
            raise DataError(
                f"{where} was made with seed {seed}, not {self.settings.seed}; use that seed or a new lab folder"
            )
