"""A server taken for one process of this machine: a socket serves whoever connects, and a device obeys whoever asks.

A claim is a lock on a small file for each way to call the server: by its name, and by each address that the name
stands for, so that two spellings meet. The files lie in one folder, whatever ``TMPDIR`` says, and every user may lock
them; the system lets go of them when a process ends, however it does. Two machines are not kept apart.
"""

import errno
import fcntl
import hashlib
import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from nextplate.errors import NeedsOperator

FOLDER = Path("/tmp")  # noqa: S108 - shared by all users on purpose; nothing is read from it
_LOOK_UP_S = 2.0
_HERE = "127.0.0.1"


class Claim:
    """A server that is ours until closed."""

    def __init__(self, descriptors: Iterable[int]) -> None:
        self._descriptors = list(descriptors)

    def close(self) -> None:
        """Let others have it."""
        while self._descriptors:
            os.close(self._descriptors.pop())


def claimed(host: str, port: int, taken: Callable[[Path], NeedsOperator], *, folder: Path | None = None) -> Claim:
    """Take a server for this process alone on this machine.

    Args:
        host: Its name or address.
        port: Its TCP port.
        taken: Makes the error when another process has it, of the file that says so.
        folder: Where the lock files are; None: `FOLDER`.

    Raises:
        NeedsOperator: another process has it, or the lock cannot be made.
    """
    found: list[int] = []
    try:
        for name in names_of(host):
            found.append(_locked((folder or FOLDER) / _file_name(name, port), f"{host}:{port}", taken))
    except NeedsOperator:
        Claim(found).close()
        raise
    return Claim(found)


def claimed_line(port: str, taken: Callable[[], NeedsOperator]) -> Claim:
    """Take a serial port for one user alone, by the lock on the port itself that `drivers.wire` and pyserial respect.

    Args:
        port: Its path.
        taken: Makes the error when another has it.

    Raises:
        NeedsOperator: another has it.
    """
    try:
        descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return Claim(())  # whoever opens it tells why it cannot be
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise taken() from error
    return Claim((descriptor,))


def names_of(host: str) -> list[str]:
    """Return every spelling by which a server is claimed: its name and its addresses, in order, each once."""
    name = host.lower().rstrip(".").strip("[]")
    return sorted({_spelled(name), *map(_spelled, _addresses(name))})


def _spelled(name: str) -> str:
    """Return one spelling of an address; this machine's own are one."""
    with suppress(ValueError):
        address = ipaddress.ip_address(name)
        address = getattr(address, "ipv4_mapped", None) or address
        return _HERE if address.is_loopback or address.is_unspecified else str(address)
    return _HERE if name in ("localhost", "") else name


def _addresses(name: str) -> list[str]:
    """Look a name up, for a moment; [] where nobody knows it in time."""
    with suppress(ValueError):
        ipaddress.ip_address(name)
        return []
    found: list[str] = []

    def look() -> None:
        with suppress(OSError, UnicodeError):
            found.extend(str(place[4][0]) for place in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM))

    thread = threading.Thread(target=look, daemon=True, name=f"looks up {name}")
    thread.start()
    thread.join(_LOOK_UP_S)
    return list(found)


def _file_name(name: str, port: int) -> str:
    return f"nextplate-port-{hashlib.sha256(f'{name}:{port}'.encode()).hexdigest()[:16]}.lock"


def _locked(path: Path, where: str, taken: Callable[[Path], NeedsOperator]) -> int:
    try:
        descriptor = _opened(path)
    except OSError as error:
        raise NeedsOperator(
            f"{path}, which keeps other programs from {where}, cannot be opened: {error}; remove it"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise taken(path) from error
    return descriptor


def _opened(path: Path) -> int:
    """Open a lock file for reading, which is enough to lock one that another user has made."""
    with suppress(FileExistsError):
        made = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        os.fchmod(made, 0o644)  # whatever the umask
        return made
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
