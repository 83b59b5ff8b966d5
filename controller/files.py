"""Writing files so that they are whole or absent."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from nextplate.errors import DiskFull

_FULL = (errno.ENOSPC, errno.EDQUOT)
_MAX_NAME = 100


@contextmanager
def full_disk_named(where: Path) -> Iterator[None]:
    """Turn "no space left" into the one error that says where and what to do.

    Raises:
        DiskFull: instead of OSError with ENOSPC or EDQUOT; every other error passes.
    """
    try:
        yield
    except Exception as error:
        if not is_full(error):
            raise
        message = (
            f"the disk is full while writing {where}; free some space and run the same command again: nothing was lost"
        )
        raise DiskFull(message) from error


def is_full(error: BaseException) -> bool:
    """Tell whether an error means a full disk; some libraries say so only in words."""
    return getattr(error, "errno", None) in _FULL or "No space left on device" in str(error)


def write_text(path: Path, text: str) -> None:
    """Write a text file that is whole or absent, and on the disk when this returns."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file that is whole or absent, and on the disk when this returns.

    Raises:
        DiskFull: no room; nothing is left behind.
    """
    with atomic_file(path) as handle:
        handle.write(content)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a long file for writing that is there whole when the block ends well, and not at all otherwise.

    Raises:
        DiskFull: no room; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with full_disk_named(path):
        try:
            with scratch.open("w+b") as handle:
                yield handle
                handle.flush()
                os.fsync(handle.fileno())
            scratch.replace(path)
            sync_entry(path)
        finally:
            scratch.unlink(missing_ok=True)


def safe_name(name: str) -> str:
    """Spell a plate's or column's name as the name of one file or folder: nothing in it leads elsewhere.

    Two names may become one; who writes there has to look whose it is.
    """
    plain = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
    return plain.lstrip(".")[:_MAX_NAME] or "_"


def sync_folder(folder: Path) -> None:
    """Force a folder's files and its entries to the disk."""
    for path in (*sorted(p for p in folder.iterdir() if p.is_file()), folder):
        _sync(path)


def sync_entry(path: Path) -> None:
    """Force the name of a file or folder to the disk: a rename outlives a power cut only when its folder is synced."""
    _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
