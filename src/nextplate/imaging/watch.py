"""Which plate folders are whole, and which are still being written, and why.

A plate folder is whole when nothing that should be there is absent: its format says that it has ended (the HTD's
EndFile, a closed Harmony index, the mrf's EndTime ..) or the wells that must be there are known some other way; every
image of every well, field, channel and step is there and not empty; and no file carries the suffix or the name of
one that is being copied. An end mark alone is not believed, because a copy brings it in any order. What a look
cannot show is whether a file still grows: that needs two looks with the same `Inventory` and time between them.
"""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nextplate.errors import DataError, SettingsError
from nextplate.imaging.listing import Listing
from nextplate.imaging.pixels import damage_of
from nextplate.imaging.reader import READERS, list_planes
from nextplate.imaging.readers.files import WRITING_SUFFIXES
from nextplate.imaging.readers.pattern import compile_pattern
from nextplate.plate import parse_well

State = Literal["whole", "writing", "unreadable", "empty"]
"""'whole': as far as one look can tell. 'unreadable': no reader takes it, or its description is broken or half
written. 'empty': holds no file."""

TAKEN = ".taken.json"
"""Suffix of the record beside a readout of how it was when it was taken; `check_taken` reads it."""
_CLUTTER = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
"""What desktops leave in folders that people look at."""
_COPYING = re.compile(r"^\..+\.[A-Za-z0-9]{6}$|^\.(?!_).+\.(tmp|part|partial)$")
"""Hidden names of files being copied: rsync's, and those written beside and renamed."""
_MAX_DEPTH = 12
_N_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Due:
    """What a whole readout holds, for formats that do not say it themselves."""

    wells: frozenset[str] | None = None
    """None: what the format says; a plate of a format that does not say it is then never called whole."""
    n_fields: int | None = None
    """Fields of every well; None: what the format says, else as many as the fullest well has."""
    n_channels: int | None = None
    """Channels of every field; None: what the format says, else those seen."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What lies in a folder, by names, sizes and times, so that two looks can be compared."""

    n_files: int
    n_bytes: int
    oldest_ns: int
    """Time of the oldest file as its file system tells it, in nanoseconds since 1970; 0 without files."""
    newest_ns: int
    digest: str
    """sha256 over every file's path below the folder, size and time."""


@dataclass(frozen=True, slots=True)
class Stand:
    """How one plate folder stands at one look."""

    folder: Path
    state: State
    reasons: tuple[str, ...]
    """Why it is not whole; empty when it is."""
    plate: str | None
    """As the format names it; None when it cannot be read."""
    reader: str | None
    n_images: int
    """Planes listed, every step and time point."""
    inventory: Inventory
    doubts: tuple[str, ...] = ()
    """What was ordered and is nowhere on the plate: never taken, or a copy that has not come so far. A whole plate may
    have doubts; it deserves a longer wait."""
    is_ended: bool | None = None
    """Whether the format's end mark is there; None: the format has none."""


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    """Path below the folder, written with '/'."""
    n_bytes: int
    time_ns: int


def take_inventory(folder: Path) -> Inventory:
    """List every file below a folder with its size and time; links that lead out are told by name only.

    Raises:
        OSError: the folder, or something in it, cannot be read or went away meanwhile.
    """
    return _inventory(_files(folder))


def inspect_plate(
    folder: Path,
    due: Due | None = None,
    *,
    reader: str | None = None,
    pattern: str | None = None,
    is_thorough: bool = False,
) -> Stand:
    """Tell how a plate folder stands.

    Args:
        folder: the plate's folder.
        due: what it must hold where its format does not say.
        reader: as `open_readout`.
        pattern: as `open_readout`.
        is_thorough: also look into the header of every image for one that is cut short.

    Raises:
        OSError: the folder cannot be read, or went away meanwhile.
        SettingsError: the pattern cannot be used, or there is no such reader.
    """
    _check_way(reader, pattern)
    files = _files(folder)
    inventory = _inventory(files)
    if not files:
        return Stand(folder, "empty", ("it holds no file yet",), None, None, 0, inventory)
    copying = [f.name for f in files if _is_copying(f.name)]
    try:
        listing = list_planes(folder, reader=reader, pattern=pattern)
    except DataError as error:
        folder.stat()  # a share that went away is no plate that cannot be read
        said = _copying(copying)
        return Stand(folder, "writing" if said else "unreadable", (*said, str(error)), None, None, 0, inventory)
    reasons = [*_copying(copying), *_lacking(listing, due or Due()), *_hollow(listing, folder, files)]
    if is_thorough and not reasons:
        reasons += _damaged(listing)
    return Stand(
        folder=folder,
        state="writing" if reasons else "whole",
        reasons=tuple(reasons),
        plate=listing.plate,
        reader=listing.reader,
        n_images=len(listing.planes),
        inventory=inventory,
        doubts=tuple(_doubts(listing)),
        is_ended=listing.is_ended,
    )


def scan_plates(
    folder: Path, due: Due | None = None, *, depth: int = 1, reader: str | None = None, pattern: str | None = None
) -> tuple[Stand, ...]:
    """Tell how every plate folder below a folder stands, in the order of their names.

    Folders down to `depth` levels are looked at; below one that a reader takes nothing more is. A folder that no
    reader takes is told as 'unreadable' unless plates lie below it. What vanishes meanwhile is 'unreadable' too.

    Raises:
        DataError: no such folder, it cannot be read, there is no such reader, or the pattern cannot be used.
    """
    _check_way(reader, pattern)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the folder that plates are written to")
    try:
        return tuple(_scan(folder, due or Due(), depth, reader, pattern))
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error}); is the drive still there?") from error


def changed_since(then: Inventory, now: Inventory) -> str:
    """Say in words how a folder changed between two looks; '' when it did not."""
    if now.digest == then.digest:
        return ""
    if now.n_files != then.n_files:
        return f"it held {then.n_files} files and holds {now.n_files} now"
    if now.n_bytes != then.n_bytes:
        return f"its {then.n_files} files had {then.n_bytes} bytes and have {now.n_bytes} now"
    return f"some of its {now.n_files} files were written anew or renamed"


def check_taken(folder: Path) -> None:
    """Compare a readout with the record of it that was made when it was taken; nothing to do without a record.

    Raises:
        DataError: it changed since: it was taken too early, or somebody changed it; or it or its record cannot be read.
    """
    record = folder.with_name(folder.name + TAKEN)
    try:
        then = Inventory(**json.loads(record.read_bytes())["inventory"])
        change = changed_since(then, take_inventory(folder))
    except FileNotFoundError as error:
        if folder.is_dir() and not record.exists():
            return
        raise DataError(f"{folder} is not there any more ({error}); is the drive still there?") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} or {record} cannot be read ({error}); is the drive still there?") from error
    if change:
        raise DataError(
            f"{folder} changed after it was taken: {change}. Look at what the microscope did; to measure it as it is "
            f"now delete {record} and try again"
        )


def plate_folders(folder: Path, depth: int) -> Iterator[str]:
    """Yield the names of all folders down to `depth` levels, with '/', in order; hidden ones and links are left out.

    Raises:
        OSError: the folder cannot be read.
    """
    for entry in _folders(folder):
        yield entry
        if depth > 1:
            yield from (f"{entry}/{below}" for below in plate_folders(folder / entry, depth - 1))


def _folders(folder: Path) -> list[str]:
    with os.scandir(folder) as found:
        return sorted(e.name for e in found if not e.name.startswith(".") and e.is_dir(follow_symlinks=False))


def _check_way(reader: str | None, pattern: str | None) -> None:
    """Refuse what can read no folder at all; otherwise every plate would be told as unreadable."""
    if pattern is not None:
        compile_pattern(pattern)
    known = [r.name for r in READERS]
    if reader is not None and reader not in known:
        raise SettingsError(f"there is no reader {reader!r}; there are {', '.join(known)}")


def _scan(folder: Path, due: Due, depth: int, reader: str | None, pattern: str | None) -> Iterator[Stand]:
    for name in _folders(folder):
        place = folder / name
        try:
            stand = inspect_plate(place, due, reader=reader, pattern=pattern)
            below = tuple(_scan(place, due, depth - 1, reader, pattern)) if _is_parent(stand, depth) else ()
        except OSError as error:
            reason = f"it cannot be read: {error}"
            yield Stand(place, "unreadable", (reason,), None, None, 0, _inventory(()))
            continue
        if any(s.state != "unreadable" for s in below):
            yield from below
        else:
            yield stand


def _is_parent(stand: Stand, depth: int) -> bool:
    return depth > 1 and stand.reader is None


def _files(folder: Path) -> list[_File]:
    return sorted(_walk(folder, "", 0), key=lambda f: f.name)


def _walk(folder: Path, above: str, depth: int) -> Iterator[_File]:
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        if entry.name.lower() in _CLUTTER or entry.name.startswith("._"):
            continue
        name = f"{above}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            if depth < _MAX_DEPTH:
                yield from _walk(Path(entry.path), f"{name}/", depth + 1)
        else:
            said = entry.stat(follow_symlinks=False)
            yield _File(name, said.st_size, said.st_mtime_ns)


def _inventory(files: Sequence[_File]) -> Inventory:
    digest = hashlib.sha256()
    for f in files:
        digest.update(f"{f.n_bytes} {f.time_ns} {f.name}\0".encode("utf-8", "surrogateescape"))
    times = [f.time_ns for f in files] or [0]
    return Inventory(len(files), sum(f.n_bytes for f in files), min(times), max(times), digest.hexdigest())


def _is_copying(name: str) -> bool:
    base = name.rpartition("/")[2]
    return os.path.splitext(base)[1].lower() in WRITING_SUFFIXES or bool(_COPYING.match(base))  # noqa: PTH122


def _copying(names: Sequence[str]) -> list[str]:
    return [f"{len(names)} files are being written: {_some(names)}"] if names else []


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_N_SHOWN]) + (" .." if len(names) > _N_SHOWN else "")


def _lacking(listing: Listing, due: Due) -> list[str]:
    """Say what should be there and is not."""
    if not listing.planes:
        return ["no image is there yet"]
    reasons = []
    if listing.is_ended is False:
        reasons.append("the microscope has not written its end mark yet")
    wells = due.wells if due.wells is not None else listing.wells
    if wells is None and listing.is_ended is None:
        reasons.append("its format does not say which wells were to be imaged; say it, as in wells = 96")
    return [*reasons, *_gaps(listing, due, wells or frozenset()), *_steps(listing), *_refused(listing)]


def _gaps(listing: Listing, due: Due, wells: frozenset[str]) -> list[str]:
    have = {(p.well, p.field, p.channel) for p in listing.planes}
    seen_channels = {p.channel for p in listing.planes}
    told = _told(listing)
    # A channel that the description names and no well has was never taken: known of real ImageXpress plates.
    channels = [c for c in listing.channels if c in seen_channels or listing.is_ended is None]
    fields = listing.fields if listing.fields is not None else tuple(sorted({p.field for p in listing.planes}))
    due_wells = sorted(wells | {p.well for p in listing.planes}, key=parse_well)
    absent = [
        f"{w} field {f} {c}"
        for w in due_wells
        for f in fields
        for c in channels
        if (w, f, c) not in have and not _is_told(told, w, f, c)
    ]
    reasons = [f"{len(absent)} images are not there: {_some(absent)}"] if absent else []
    if due.n_fields is not None and len(fields) < due.n_fields:
        reasons.append(f"{len(fields)} of {due.n_fields} fields are there")
    if due.n_channels is not None and len(channels) < due.n_channels:
        reasons.append(f"{len(channels)} of {due.n_channels} channels are there")
    return reasons


def _doubts(listing: Listing) -> Iterator[str]:
    seen = {p.channel for p in listing.planes}
    never = [c for c in listing.channels if c not in seen]
    if never:
        yield f"no image at all of {', '.join(never)}, which was to be imaged"
    steps = len({p.z for p in listing.planes if p.z})
    times = len({p.t for p in listing.planes}) if listing.planes else 0
    if listing.n_steps is not None and steps < listing.n_steps:
        yield f"{steps} of {listing.n_steps} z-steps are there"
    if listing.n_times is not None and times < listing.n_times:
        yield f"{times} of {listing.n_times} time points are there"


_Told = set[tuple[str, int | None, str | None]]


def _told(listing: Listing) -> _Told:
    """Return what the microscope itself says it could not image: that is never going to come."""
    return {(m.well, m.field, m.channel) for m in listing.refused if m.reason.startswith("microscope-error")}


def _is_told(told: _Told, well: str, field: int, channel: str) -> bool:
    return bool(told & {(well, field, channel), (well, field, None), (well, None, channel), (well, None, None)})


def _steps(listing: Listing) -> list[str]:
    """Say which fields have fewer steps and time points than others of their channel."""
    counts = Counter((p.channel, p.well, p.field) for p in listing.planes)
    fullest: dict[str, int] = {}
    for (channel, _, _), n in counts.items():
        fullest[channel] = max(n, fullest.get(channel, 0))
    told = _told(listing)
    short = [
        f"{w} field {f} {c} has {n} of {fullest[c]}"
        for (c, w, f), n in sorted(counts.items())
        if n < fullest[c] and not _is_told(told, w, f, c)
    ]
    return [f"{len(short)} fields have fewer steps than others: {_some(short)}"] if short else []


def _refused(listing: Listing) -> list[str]:
    lost = [f"{m.well}: {m.reason}" for m in listing.refused if not m.reason.startswith("microscope-error")]
    return [f"{len(lost)} images cannot be used: {_some(lost)}"] if lost else []


def _hollow(listing: Listing, folder: Path, files: Iterable[_File]) -> list[str]:
    sizes = {f.name: f.n_bytes for f in files}
    named = {p.path.relative_to(folder).as_posix() for p in listing.planes if p.path.is_relative_to(folder)}
    hollow = sorted(name for name in named if sizes.get(name) == 0)
    return [f"{len(hollow)} images are still empty: {_some(hollow)}"] if hollow else []


def _damaged(listing: Listing) -> list[str]:
    pages: Mapping[Path, int] = {p.path: p.page for p in listing.planes}
    damaged = [reason for path, page in sorted(pages.items()) if (reason := damage_of(path, page))]
    return [f"{len(damaged)} images cannot be read, or not yet: {_some(damaged)}"] if damaged else []
