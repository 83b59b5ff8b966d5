"""Read a journal, and what was not told, without loading SQLAlchemy, for commands that must answer at once."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from controller.store.address import BUSY_TIMEOUT_S, Address, absent, file_fault, parse_address
from controller.store.journal import GENESIS, Event, Head, JournalRow, check_link, unseal
from controller.store.versions import check_revisions

_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"
_REVISIONS = "SELECT version_num FROM alembic_version"
_EVENTS = "SELECT seq, time, kind, campaign, payload, previous_hash, hash FROM journal WHERE seq > ? ORDER BY seq"
_UNTOLD_NAMES = ("channel", "state", "attempts", "error", "due_at")
_UNTOLD = "SELECT channel, state, attempts, error, due_at FROM notices WHERE state <> 'sent' ORDER BY due_at, id"


def read_untold(url: str | Path) -> tuple[dict[str, Any], ...]:
    """Return channel, state, attempts, error and due_at of every message that has not gone out, oldest first.

    Raises:
        StoreError: absent, damaged, locked, of another version, or out of reach.
    """
    address = parse_address(url)
    if address.path is None:
        from controller.store.store import open_store

        with open_store(url) as store:
            rows = store.select("notices", {"state": ["waiting", "sending", "given-up"]}, ("due_at", "id"))
        return tuple({name: row[name] for name in _UNTOLD_NAMES} for row in rows)
    if not address.path.is_file():
        raise absent(address)
    try:
        uri = f"file:{quote(str(address.path.absolute()))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)) as db:
            return tuple(dict(zip(_UNTOLD_NAMES, row, strict=True)) for row in db.execute(_UNTOLD))
    except sqlite3.Error as error:
        raise file_fault(address.path, getattr(error, "sqlite_errorname", ""), str(error)) from error


def read_journal(url: str | Path, after_seq: int = 0) -> tuple[Event, ...]:
    """Return the events after ``after_seq``, as Store.events would, and change nothing.

    Raises:
        JournalBroken: read from the start, and the chain does not hold.
        SchemaMismatch: another schema version, or not a nextplate database.
        LabBusy: another process holds the database.
        StoreError: absent, damaged, or out of reach.
    """
    address = parse_address(url)
    if address.path is not None:
        return tuple(_read_file(address, address.path, after_seq))
    from controller.store.store import open_store

    with open_store(url) as store:
        return tuple(store.events(after_seq))


def _read_file(address: Address, path: Path, after_seq: int) -> Iterator[Event]:
    if not path.is_file():
        raise absent(address)
    try:
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)) as db:
            tables = {name for (name,) in db.execute(_TABLES)}
            revisions = {r for (r,) in db.execute(_REVISIONS)} if "alembic_version" in tables else set()
            check_revisions(address, tables, revisions)
            head = Head(0, GENESIS)
            for row in map(JournalRow._make, db.execute(_EVENTS, (after_seq,))):
                head = check_link(row, head) if after_seq == 0 else head
                yield unseal(row)
    except sqlite3.Error as error:
        raise file_fault(path, getattr(error, "sqlite_errorname", ""), str(error)) from error
