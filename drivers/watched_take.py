"""Bring a readout into the lab: as a link, or as a copy that is whole and verified or not there at all."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from drivers.key_files import file_name, write_whole
from nextplate.imaging.readers.files import is_inside
from nextplate.imaging.watch import TAKEN, Inventory, take_inventory

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")
_CHUNK = 1 << 20
_ORIGIN = ".from"
"""Suffix of the file beside a copy that says what it is a copy of."""


class SourceChanged(Exception):
    """What was to be taken changed meanwhile; it is looked at again."""


@dataclass(frozen=True, slots=True)
class Arriving:
    """A plate folder that is to be brought in."""

    source: Path
    inventory: Inventory
    """As it was judged; anything else is not brought in."""
    barcode: str
    is_copied: bool

    @property
    def origin(self) -> str:
        """Say what it is, to know it again in a copy."""
        return json.dumps({"source": str(self.source.absolute()), "digest": self.inventory.digest})


def bring_in(readout: Arriving, lab: Path, alive: Callable[[], None]) -> str:
    """Bring a plate folder into the lab and return its path relative to the lab; done twice it is there once.

    A folder that lies in the lab stays where it is. Where the lab's file system has no links the absolute path of the
    source is returned. `alive` is called now and then while copying.

    Raises:
        OSError: no room, no rights, or the share is gone; nothing half-made stays under the final name.
        SourceChanged: the source is not what was judged, or changed while it was copied.
    """
    source = readout.source
    if take_inventory(source).digest != readout.inventory.digest:
        raise SourceChanged(f"{source} changed after it was judged")
    if not readout.is_copied and source.resolve().is_relative_to(lab.resolve()):
        target = lab / source.resolve().relative_to(lab.resolve())
    else:
        (lab / "readouts").mkdir(exist_ok=True)
        target = _free_name(lab / "readouts", readout)
        if readout.is_copied:
            _copy_whole(readout, target, alive)
        elif not _linked(source, target):
            return str(source.absolute())
    _write_record(target, readout)
    return target.relative_to(lab).as_posix()


def plain_name(barcode: str) -> str:
    """Spell a barcode as a folder name: as it is where that is safe."""
    return barcode if _PLAIN.fullmatch(barcode) else file_name(barcode)


def _free_name(readouts: Path, readout: Arriving) -> Path:
    """Return the name that this readout has already, else the first free one: NP-1, NP-1_2 .."""
    plain, n = plain_name(readout.barcode), 1
    while True:
        target = readouts / (plain if n == 1 else f"{plain}_{n}")
        if not os.path.lexists(target) or _is_ours(target, readout):
            return target
        n += 1


def _is_ours(target: Path, readout: Arriving) -> bool:
    if readout.is_copied:
        record = target.with_name(target.name + _ORIGIN)
        return record.is_file() and record.read_text(encoding="utf-8") == readout.origin
    return target.is_symlink() and target.readlink() == readout.source.absolute()


def _linked(source: Path, target: Path) -> bool:
    if target.is_symlink():
        return True
    try:
        target.symlink_to(source.absolute(), target_is_directory=True)
    except (OSError, NotImplementedError):
        return False
    return True


def _copy_whole(readout: Arriving, target: Path, alive: Callable[[], None]) -> None:
    if target.is_dir():
        return  # a process before this one ended between copy and record
    scratch = target.with_name(f".{target.name}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        _copy_tree(readout.source, readout.source, scratch, alive)
        if take_inventory(readout.source).digest != readout.inventory.digest:
            raise SourceChanged(f"{readout.source} changed while it was copied")
        write_whole(target.with_name(target.name + _ORIGIN), readout.origin.encode())
        scratch.replace(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _copy_tree(root: Path, source: Path, target: Path, alive: Callable[[], None]) -> None:
    target.mkdir()
    for entry in sorted(source.iterdir()):
        alive()
        if entry.is_dir() and not entry.is_symlink():
            _copy_tree(root, entry, target / entry.name, alive)
        elif entry.is_file() and is_inside(entry, root):
            _copy_file(entry, target / entry.name)


def _copy_file(source: Path, target: Path) -> None:
    """Copy one file with its time, to the disk, and read it back.

    Raises:
        OSError: what was read back is not what was written.
    """
    digest = hashlib.sha256()
    with source.open("rb") as reading, target.open("wb") as writing:
        while chunk := reading.read(_CHUNK):
            digest.update(chunk)
            writing.write(chunk)
        writing.flush()
        os.fsync(writing.fileno())
    shutil.copystat(source, target)
    with target.open("rb") as again:
        if hashlib.file_digest(again, "sha256").digest() != digest.digest():
            raise OSError(f"{target} does not hold what was copied into it; is the disk well?")


def _write_record(target: Path, readout: Arriving) -> None:
    # Of what is only linked the record says how it was judged: what came in this moment is a change like any other.
    inventory = take_inventory(target) if readout.is_copied else readout.inventory
    record = {"source": str(readout.source.absolute()), "inventory": asdict(inventory)}
    write_whole(target.with_name(target.name + TAKEN), json.dumps(record, indent=1).encode())
