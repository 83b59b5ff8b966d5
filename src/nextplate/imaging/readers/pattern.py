r"""Plates of any other naming, through a regular expression with named groups.

``pattern = '(?P<plate>.+)/(?P<well>[A-P]\d\d)-(?P<field>\d)-(?P<channel>\w+)\.tif'`` is matched
against the whole path of every file below the plate's folder, written with ``/``. Groups: ``well``, or ``row`` and
``column``; and, where the names say them, ``plate``, ``field``, ``channel``, ``z`` and ``t``.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nextplate.errors import DataError, SettingsError
from nextplate.imaging.listing import Listing, Plane
from nextplate.imaging.readers.files import Entry, has_unfinished, one_plate, scan
from nextplate.plate import parse_well, well_name
from nextplate.readout import Missing

GROUPS = ("plate", "well", "row", "column", "field", "channel", "z", "t")
_MAX_DEPTH = 6


def compile_pattern(text: str) -> re.Pattern[str]:
    """Compile a pattern, as lab.toml or a caller gives it.

    Raises:
        SettingsError: no regular expression, unknown groups, or no group that names the well.
    """
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise SettingsError(f"pattern {text!r} is no regular expression: {error}") from error
    groups = set(pattern.groupindex)
    if unknown := sorted(groups - set(GROUPS)):
        raise SettingsError(f"pattern names the groups {', '.join(unknown)}; known are {', '.join(GROUPS)}")
    if "well" not in groups and not {"row", "column"} <= groups:
        raise SettingsError(f"pattern {text!r} has no group (?P<well>...), nor (?P<row>...) and (?P<column>...)")
    return pattern


@dataclass(frozen=True, slots=True)
class PatternReader:
    """Reads names by a pattern; channels are in the order of their names."""

    pattern: re.Pattern[str]
    name: str = "pattern"
    looks_for: str = "names that fit the pattern"

    def detect(self, folder: Path) -> bool:
        """Say whether any file fits."""
        return any(self._match(entry, folder) for entry in _files(folder, folder))

    def read(self, folder: Path, plate: str | None = None) -> Listing:
        """List every file that fits.

        Raises:
            DataError: no file fits; a group holds no well or number; several plates and none chosen.
        """
        files = list(_files(folder, folder))
        matches = [(entry, match) for entry in files if (match := self._match(entry, folder))]
        if not matches:
            seen = ", ".join(e.path.relative_to(folder).as_posix() for e in files[:3]) or "none"
            raise DataError(f"no file below {folder} fits the pattern {self.pattern.pattern!r}; files: {seen}")
        chosen = one_plate((_plate(m, folder) for _, m in matches), plate, folder)
        ours = [(entry, match) for entry, match in matches if _plate(match, folder) == chosen]
        planes = tuple(_plane(entry, match) for entry, match in ours)
        inside = tuple(p for p, (entry, _) in zip(planes, ours, strict=True) if not entry.is_outside)
        is_writing = has_unfinished(files)
        return Listing(
            reader=self.name,
            plate=chosen,
            channels=tuple(sorted({p.channel for p in planes})),
            planes=inside,
            refused=_refused(zip(planes, ours, strict=True)),
            is_complete=not is_writing,
            is_writing=is_writing,
            notes=_strangers(files, {entry.path for entry, _ in matches}, folder),
        )

    def _match(self, entry: Entry, folder: Path) -> re.Match[str] | None:
        return self.pattern.fullmatch(entry.path.relative_to(folder).as_posix())


def _strangers(files: Iterable[Entry], known: set[Path], folder: Path) -> tuple[str, ...]:
    """Say how many images have names that do not fit."""
    strange = [e.path for e in files if e.suffix in (".tif", ".tiff") and e.path not in known]
    if not strange:
        return ()
    return (f"{len(strange)} TIFF files do not fit the pattern, first {strange[0].relative_to(folder).as_posix()}",)


def _files(folder: Path, root: Path, depth: int = 0) -> Iterator[Entry]:
    for entry in scan(folder, root):
        if not entry.is_folder:
            yield entry
        elif depth < _MAX_DEPTH and not entry.path.is_symlink():
            yield from _files(entry.path, root, depth + 1)


def _plate(match: re.Match[str], folder: Path) -> str:
    return match.groupdict().get("plate") or folder.name


def _plane(entry: Entry, match: re.Match[str]) -> Plane:
    groups = match.groupdict()
    spelled = groups.get("well") or f"{groups.get('row') or ''}{groups.get('column') or ''}"
    try:
        well = well_name(*parse_well(spelled))
    except DataError as error:
        raise DataError(f"{entry.path.name}: the pattern takes {spelled!r} for the well: {error}") from error
    numbers = {key: _number(entry, key, groups.get(key)) for key in ("field", "z", "t")}
    field = numbers["field"]
    return Plane(
        well, 1 if field is None else field, groups.get("channel") or "image", entry.path, numbers["z"], numbers["t"]
    )


def _number(entry: Entry, key: str, text: str | None) -> int | None:
    if text is None or text == "":
        return None
    if not text.isdecimal():
        raise DataError(f"{entry.path.name}: the pattern takes {text!r} for {key}, a whole number is needed")
    return int(text)


def _refused(rows: Iterable[tuple[Plane, tuple[Entry, re.Match[str]]]]) -> tuple[Missing, ...]:
    return tuple(
        Missing(p.well, p.field, p.channel, f"unreadable: {p.path.name}: a link out of the plate's folder")
        for p, (entry, _) in rows
        if entry.is_outside
    )
