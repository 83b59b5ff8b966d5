"""Look at a plate folder without leaving it."""

import errno
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from nextplate.errors import DataError

WRITING_SUFFIXES = frozenset({".tmp", ".part", ".partial", ".filepart", ".crdownload"})
"""What copying programs and microscopes append to a file that is not finished."""

_SPECIAL = re.compile(r"[\\/:]|^\.|^\s|\s$")
"""What a plain file name does not hold; anything else is looked at closely."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder; hidden ones (macOS writes ._A01.tif beside A01.tif) are never listed."""

    folder: Path
    name: str
    is_folder: bool
    is_outside: bool
    """True for a link that leads out of the plate's folder."""

    @property
    def path(self) -> Path:
        """Folder and name; made when asked for, as a plate holds many thousand names."""
        return self.folder / self.name

    @property
    def suffix(self) -> str:
        """The extension in lower case, with its dot; '' without one."""
        return os.path.splitext(self.name)[1].lower()  # noqa: PTH122 - a Path for every name costs seconds a plate


def scan(folder: Path, root: Path) -> list[Entry]:
    """List a folder by name, with one system call for all of it; links are checked against `root`."""
    with os.scandir(folder) as found:
        rows = [_entry(folder, e, root) for e in found if not e.name.startswith(".")]
    return sorted(rows, key=lambda e: e.name)


def _entry(folder: Path, entry: "os.DirEntry[str]", root: Path) -> Entry:
    is_outside = entry.is_symlink() and not is_inside(Path(entry.path), root)
    try:
        return Entry(folder, entry.name, entry.is_dir(), is_outside)
    except OSError as error:
        if error.errno != errno.ELOOP:  # a link in a circle; anything else is the drive's
            raise
        return Entry(folder, entry.name, is_folder=False, is_outside=True)


def is_inside(path: Path, root: Path) -> bool:
    """Say whether a path, links followed, lies in a folder."""
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (RuntimeError, OSError):  # a link in a circle leads nowhere
        return False


def has_unfinished(entries: Iterable[Entry]) -> bool:
    """Say whether a file carries a suffix of one that is still being written."""
    return any(e.suffix in WRITING_SUFFIXES for e in entries)


def find_folder(folder: Path, name: str) -> Path | None:
    """Return the subfolder of this name in any case of letters; None when there is none."""
    found = [e for e in scan(folder, folder) if e.is_folder and not e.is_outside and e.name.lower() == name.lower()]
    return found[0].path if found else None


def find_file(folder: Path, root: Path, name: str) -> Path | None:
    """Return the file of this name in any case of letters; None when there is none or it is a link out."""
    found = [e for e in scan(folder, root) if not e.is_folder and not e.is_outside and e.name.lower() == name.lower()]
    return found[0].path if found else None


def one_plate(names: Iterable[str], wanted: str | None, folder: Path) -> str:
    """Return the plate to read where a folder may hold several.

    Raises:
        DataError: several plates and none wanted, or the wanted one is not there.
    """
    held = sorted(set(names))
    if wanted is not None and wanted not in held:
        raise DataError(f"{folder} holds no plate {wanted!r}; it holds {', '.join(held[:5]) or 'none'}")
    if wanted is None and len(held) > 1:
        raise DataError(
            f"{folder} holds {len(held)} plates ({', '.join(held[:5])}); say which one, as in plate={held[0]!r}"
        )
    return wanted if wanted is not None else held[0] if held else folder.name


@dataclass(frozen=True, slots=True)
class Shelf:
    """Finds the files that an index names; every folder is listed once."""

    root: Path
    """Nothing outside is ever returned."""
    base: Path
    """What names are relative to."""
    _seen: dict[Path, dict[str, bool]] = field(default_factory=dict)

    def find(self, name: str) -> tuple[Path, str]:
        """Return (path, '') or (path, the reason why it cannot be used)."""
        if name and not _SPECIAL.search(name):
            return self._here(self.base, name, name)
        clean = name.strip().replace("\\", "/")
        parts = PurePosixPath(clean).parts
        path = self.base.joinpath(*parts) if parts else self.base
        if not parts or ":" in clean or PureWindowsPath(name).is_absolute() or clean.startswith("/") or ".." in parts:
            return path, f"unreadable: the name {name[:80]!r} leads out of the plate's folder"
        return self._here(path.parent, parts[-1], clean)

    def _here(self, folder: Path, name: str, spelled: str) -> tuple[Path, str]:
        held = self._names(folder)
        if name not in held:
            return folder / name, f"no image file: {spelled} is in the index and not on the disk"
        reason = f"unreadable: {name}: a link out of the plate's folder" if held[name] else ""
        return folder / name, reason

    def _names(self, folder: Path) -> dict[str, bool]:
        if folder not in self._seen:
            is_here = folder.is_dir() and is_inside(folder, self.root)
            self._seen[folder] = {e.name: e.is_outside for e in scan(folder, self.root)} if is_here else {}
        return self._seen[folder]
