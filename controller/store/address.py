"""Where a lab's database is, and what goes wrong there in words for an operator; no SQLAlchemy here."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from nextplate.errors import DiskFull, LabBusy, NextplateError, StoreError

BUSY_TIMEOUT_S = 5.0
"""How long a statement waits for another process before it gives up."""

_FILE = "sqlite:///"
_SERVER = "postgresql+psycopg://"


@dataclass(frozen=True, slots=True)
class Address:
    """A database's address."""

    url: str
    path: Path | None
    """The SQLite file; None on a server."""

    @property
    def is_file(self) -> bool:
        """Tell SQLite from PostgreSQL."""
        return self.path is not None

    @property
    def shown(self) -> str:
        """Name the database without its password."""
        if self.path is not None:
            return str(self.path)
        scheme, _, rest = self.url.partition("://")
        login, at, host = rest.rpartition("@")
        return f"{scheme}://{login.partition(':')[0]}{at}{host}"

    @property
    def lab(self) -> str:
        """Name the lab in a command: the folder of the file, or LAB where only a server is known."""
        return str(self.path.parent) if self.path is not None else "LAB"


def parse_address(url: str | Path) -> Address:
    """Read a path, ``sqlite:///path`` or ``postgresql+psycopg://...``.

    Raises:
        StoreError: another kind of database, or one in memory.
    """
    if isinstance(url, Path):
        return Address(f"{_FILE}{url}", url)
    if url.startswith(_FILE) and url != _FILE and ":memory:" not in url:
        return Address(url, Path(url.removeprefix(_FILE).partition("?")[0]))
    for scheme in (_SERVER, "postgresql://", "postgres://"):
        if url.startswith(scheme):
            return Address(_SERVER + url.removeprefix(scheme), None)
    raise StoreError(
        f"{url!r} is not a database nextplate can use; write sqlite:///path/nextplate.db "
        "or postgresql+psycopg://user@host/name"
    )


def busy(where: str) -> LabBusy:
    """Say that another process holds the database."""
    return LabBusy(
        f"{where} is locked: another process has been writing to it for {BUSY_TIMEOUT_S:.0f} seconds. "
        "Wait for it to end or stop it, then run the same command again; nothing was lost"
    )


def disk_full(path: Path | str) -> DiskFull:
    """Say that the disk is full."""
    return DiskFull(
        f"no space left on the disk: free some space at {path} and run the same command again; nothing was lost"
    )


def file_fault(path: Path, name: str, text: str) -> NextplateError:
    """Put what SQLite says into words.

    Args:
        path: the database file.
        name: SQLite's name of the result code, e.g. SQLITE_BUSY; '' when unknown.
        text: SQLite's message.
    """
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return busy(str(path))
    if name == "SQLITE_FULL" or (name.startswith("SQLITE_IOERR") and _is_full(path)):
        return disk_full(path.parent)
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")) or "decode to UTF-8" in text:
        return StoreError(
            f"{path} is damaged or not a database ({text}); move it away and put back your last copy of "
            f"{path.name} together with its -wal file"
        )
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_IOERR")):
        return StoreError(f"{path} cannot be opened for writing ({text}); check that the folder exists and is yours")
    return StoreError(f"{path}: {text}")


def _is_full(path: Path) -> bool:
    # On a full disk SQLite cannot grow its shared-memory file and calls that an I/O error.
    folder = path.parent
    return folder.exists() and shutil.disk_usage(folder).free < 1 << 20


def absent(address: Address) -> StoreError:
    """Say that there is no database yet."""
    return StoreError(
        f"there is no lab database at {address.shown}; `nextplate init {address.lab}` makes "
        "one, and for a lab that is there already `nextplate db upgrade --lab LAB` does"
    )
