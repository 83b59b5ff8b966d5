"""One controller per lab: a lock that dies with its process.

``lab/.lock`` is held by ``flock``, which the kernel releases however the process ends, kill -9 included; its
text only tells others who holds it. A lab on PostgreSQL could be driven from two machines, so there a session
advisory lock is held besides.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

from controller.store.address import disk_full, parse_address
from nextplate.errors import LabBusy, StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection

_NAME = ".lock"
_INBOX = ".inbox.lock"
"""Of whoever posts a decision: it is judged and posted with nobody else's in between."""
_SERVICE = ".nightly.lock"
"""Of the unattended service, which holds the lab itself only while a night is at work."""
_CLASS = 0x6E70  # "np": the first key of nextplate's advisory locks; the second is the schema's


@contextmanager
def lab_lock(lab: Path, command: str, url: str | Path | None = None) -> Iterator[None]:
    """Hold a lab folder, and its database if that is a server, while the block runs.

    Args:
        lab: the lab folder.
        command: what the operator typed, e.g. ``nextplate run``; shown to whoever has to wait.
        url: the lab's database.

    Raises:
        LabBusy: another process holds it; names it.
        DiskFull: there is no room for the lock's text.
        StoreError: the folder is absent or not writable.
    """
    with ExitStack() as stack:
        stack.enter_context(_folder_lock(lab, command))
        if url is not None and not parse_address(url).is_file:
            stack.enter_context(_server_lock(str(url), command))
        yield


@contextmanager
def inbox_lock(lab: Path) -> Iterator[None]:
    """Be the only one on this machine who decides something while the block runs; waits for another who does."""
    with (lab / _INBOX).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def service_lock(lab: Path, command: str) -> Iterator[None]:
    """Be the lab's one unattended service while the block runs.

    Raises:
        LabBusy: another process is; names it.
        StoreError: the folder is absent or not writable.
    """
    with _folder_lock(lab, command, _SERVICE):
        yield


def lab_holder(lab: Path) -> str | None:
    """Say who works on a lab, e.g. ``process 1234 (nextplate run)``; None when nobody does."""
    try:
        with (lab / _NAME).open() as file:
            return None if _try_flock(file, shared=True) else _holder(file)
    except FileNotFoundError:
        return None


@contextmanager
def _folder_lock(lab: Path, command: str, name: str = _NAME) -> Iterator[None]:
    try:
        # Never removed afterwards: a second process may already wait on this very file.
        file = (lab / name).open("a+")
    except OSError as error:
        raise StoreError(
            f"cannot lock {lab}: {error.strerror}; check that the lab folder exists and is yours"
        ) from error
    with file:
        if not _flock_soon(file):
            raise LabBusy(f"{_holder(file)} works on {lab}; wait for it to end or stop it")
        _sign(file, lab, command)
        # A worker made by fork would share the lock and could outlive this process.
        os.register_at_fork(after_in_child=file.close)
        yield


def _flock_soon(file: IO[str]) -> bool:
    # lab_holder takes a shared lock for an instant, and a killed process needs one to be gone.
    for _ in range(10):
        if _try_flock(file):
            return True
        time.sleep(0.03)
    return False


def _try_flock(file: IO[str], *, shared: bool = False) -> bool:
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(file: IO[str], lab: Path, command: str) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        file.truncate(0)
        json.dump({"pid": os.getpid(), "command": command, "since": since, "host": socket.gethostname()}, file)
        file.flush()
    except OSError as error:
        raise disk_full(lab) from error


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        body = json.loads(file.read())
        return f"process {body['pid']} ({body['command']}, since {body['since']} on {body['host']})"
    except (ValueError, KeyError, TypeError):
        return "another process"  # it holds the lock and has not signed yet


@contextmanager
def _server_lock(url: str, command: str) -> Iterator[None]:
    from sqlalchemy import func, select

    from controller.store.engine import make_engine, translated

    address = parse_address(url)
    engine = make_engine(address)
    key = (_CLASS, func.hashtext(func.current_schema()))
    name = f"{command} (process {os.getpid()} on {socket.gethostname()})"
    try:
        # The session must stay open as long as the lock; autocommit, so that it is not "idle in transaction".
        with translated(address), engine.connect() as session:
            session = session.execution_options(isolation_level="AUTOCOMMIT")
            session.execute(select(func.set_config("application_name", name[:63], False)))
            if not session.scalar(select(func.pg_try_advisory_lock(*key))):
                raise LabBusy(f"{_server_holder(session)} works on {address.shown}; wait for it to end or stop it")
            yield
    finally:
        engine.dispose()


def _server_holder(session: "Connection") -> str:
    from sqlalchemy import BigInteger, cast, column, func, select, table

    locks = table("pg_locks", *map(column, ("pid", "locktype", "classid", "objid", "granted")))
    activity = table("pg_stat_activity", *map(column, ("pid", "datname", "application_name")))
    # pg_locks shows the second key as an unsigned number.
    objid = cast(func.hashtext(func.current_schema()), BigInteger).op("&")(0xFFFFFFFF)
    query = (
        select(activity.c.application_name)
        .join_from(activity, locks, activity.c.pid == locks.c.pid)
        .where(locks.c.locktype == "advisory", locks.c.granted, activity.c.datname == func.current_database())
        .where(cast(locks.c.classid, BigInteger) == _CLASS, cast(locks.c.objid, BigInteger) == objid)
    )
    return session.scalar(query) or "another session"
