"""SQLAlchemy engines for a lab's database, and its errors in the operator's words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, exc

from controller.store.address import BUSY_TIMEOUT_S, Address, busy, disk_full, file_fault
from nextplate.errors import NextplateError, StoreAway, StoreError

_WRITES = "nextplate_writes"


def make_engine(address: Address) -> Engine:
    """Make an engine; nothing is opened yet.

    Raises:
        StoreError: the driver of the database is not installed.
    """
    try:
        return _file_engine(address) if address.is_file else _server_engine(address)
    except ModuleNotFoundError as error:
        raise StoreError(f"{address.shown} needs {error.name}: pip install 'nextplate[postgres]'") from error
    except exc.ArgumentError as error:
        raise StoreError(f"{address.shown} is not a database address: {error}") from error


def _file_engine(address: Address) -> Engine:
    engine = create_engine(address.url, connect_args={"timeout": BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _prepare_file)
    event.listen(engine, "begin", _begin_file)
    return engine


def _prepare_file(connection: sqlite3.Connection, _record: object) -> None:
    # The driver must not open transactions by itself: it would begin them late, and read-only.
    connection.isolation_level = None
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise StoreError(f"the database is in {mode} mode and cannot change to WAL; put the lab on a local disk")
    # FULL: a committed intent survives a power cut. recursive_triggers: REPLACE fires the delete trigger.
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_file(connection: Connection) -> None:
    # A write transaction takes the lock at once: one that upgrades halfway can only fail.
    is_write = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")


def _server_engine(address: Address) -> Engine:
    timeout_ms = int(BUSY_TIMEOUT_S * 1000)
    connect = {"connect_timeout": 5, "application_name": "nextplate"}
    # A server may restart between two nights: ask before each use whether the session still lives.
    engine = create_engine(address.url, connect_args=connect, pool_pre_ping=True)

    def prepare(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", (f"{timeout_ms}ms",))
            cursor.execute("SELECT set_config('timezone', 'UTC', false)")
        connection.commit()

    event.listen(engine, "connect", prepare)
    return engine


@contextmanager
def reading(engine: Engine, address: Address) -> Iterator[Connection]:
    """Open a read transaction: one moment of the database.

    Raises:
        StoreError, LabBusy, DiskFull: see translate.
    """
    with translated(address), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine, address: Address) -> Iterator[Connection]:
    """Open a write transaction: all of it is kept, or nothing.

    Raises:
        StoreError, LabBusy, DiskFull: see translate.
    """
    writer = engine.execution_options(**{_WRITES: True})
    with translated(address), writer.connect() as connection, connection.begin():
        yield connection


@contextmanager
def translated(address: Address) -> Iterator[None]:
    """Turn the database's errors into nextplate's."""
    try:
        yield
    except exc.DBAPIError as error:
        raise translate(error, address) from error
    except sqlite3.Error as error:  # from the connect listener, which SQLAlchemy does not wrap
        path = address.path
        if path is None:
            raise
        raise file_fault(path, getattr(error, "sqlite_errorname", ""), str(error)) from error


def translate(error: exc.DBAPIError, address: Address) -> NextplateError:
    """Put a database's error into words: LabBusy, DiskFull, StoreAway, or StoreError for everything else."""
    if address.path is not None:
        return file_fault(address.path, getattr(error.orig, "sqlite_errorname", ""), str(error.orig))
    state = getattr(error.orig, "sqlstate", None) or ""
    text = " ".join(str(error.orig).split())
    if state == "55P03":  # lock_not_available
        return busy(address.shown)
    if state == "53100":  # disk_full
        return disk_full(f"the data folder of {address.shown}")
    # No answer at all, a broken connection, a server that is being stopped or is not ready yet.
    if (isinstance(error, exc.OperationalError) and not state) or state.startswith(("08", "57P")):
        return StoreAway(f"cannot reach {address.shown}: {text}; check that the server runs and lets you in")
    return StoreError(f"{address.shown}: {text}")
