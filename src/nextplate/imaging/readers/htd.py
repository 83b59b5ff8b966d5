"""Read a MetaXpress .HTD file: what the microscope was told to image."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nextplate.errors import DataError
from nextplate.plate import well_name


@dataclass(frozen=True, slots=True)
class Htd:
    """The part of a .HTD file which says what images to expect."""

    path: Path
    wells: tuple[str, ...]
    """Selected wells, row by row."""
    fields: tuple[int, ...]
    """1-based numbers of the selected sites, counted row by row over the whole site grid."""
    waves: Mapping[int, str]
    """Channel name by wave number, collected waves only."""
    n_steps: int | None
    """Steps of the z-stack; None without a stack."""
    n_times: int | None
    """Time points; None when the file does not say."""
    is_ended: bool
    """False when the closing EndFile line is not there yet."""


def read_htd(path: Path) -> Htd:
    """Parse a .HTD file; its Description may hold any bytes, so it is decoded as latin-1.

    Raises:
        DataError: a key that says what was imaged is absent or is not what it should be.
    """
    lines = path.read_text(encoding="latin-1").splitlines()
    entries = {row[0].strip(): (n, row[1:]) for n, row in _rows(lines) if row}
    if "HTSInfoFile" not in entries:
        raise DataError(f"{path}: not a MetaXpress HTD file, the line HTSInfoFile is missing")
    table = _Table(path, entries)
    wells = tuple(
        well_name(r, c)
        for r in range(table.number("YWells"))
        for c, is_on in enumerate(table.flags(f"WellsSelection{r + 1}", table.number("XWells")))
        if is_on
    )
    return Htd(
        path=path,
        wells=wells,
        fields=_fields(table),
        waves=_waves(table),
        n_steps=table.count("ZSteps") if table.is_on("ZSeries") else None,
        n_times=table.count("TimePoints"),
        is_ended="EndFile" in entries,
    )


def _rows(lines: list[str]) -> list[tuple[int, list[str]]]:
    # Line by line: an unbalanced quote in the Description must not swallow the rest of the file.
    return [(n, next(csv.reader([line], skipinitialspace=True), [])) for n, line in enumerate(lines, 1)]


@dataclass(frozen=True, slots=True)
class _Table:
    path: Path
    entries: Mapping[str, tuple[int, list[str]]]

    def values(self, key: str) -> tuple[int, list[str]]:
        if key not in self.entries:
            raise DataError(f"{self.path}: the line {key} is missing; was the file cut short?")
        return self.entries[key]

    def number(self, key: str) -> int:
        line, values = self.values(key)
        text = values[0].strip() if values else ""
        if not text.isdigit() or not 1 <= int(text) <= 99:
            raise DataError(f"{self.path} line {line}: {key} is {text[:40]!r}, a number from 1 to 99 is needed")
        return int(text)

    def count(self, key: str) -> int | None:
        """Return a number that may be absent, 0 or too long to be believed: None then."""
        values = self.entries.get(key, (0, []))[1]
        text = values[0].strip() if values else ""
        return int(text) if text.isdecimal() and len(text) < 6 and int(text) else None

    def flags(self, key: str, n: int) -> list[bool]:
        line, values = self.values(key)
        words = [v.strip().upper() for v in values]
        if len(words) != n or any(w not in ("TRUE", "FALSE") for w in words):
            raise DataError(f"{self.path} line {line}: {key} needs {n} times TRUE or FALSE, found {str(values)[:80]}")
        return [w == "TRUE" for w in words]

    def is_on(self, key: str) -> bool:
        return key in self.entries and self.flags(key, 1)[0]


def _fields(table: _Table) -> tuple[int, ...]:
    if not table.is_on("Sites"):
        return (1,)
    columns = table.number("XSites")
    grid = [table.flags(f"SiteSelection{r + 1}", columns) for r in range(table.number("YSites"))]
    return tuple(i + 1 for i, is_on in enumerate(f for row in grid for f in row) if is_on)


def _waves(table: _Table) -> dict[int, str]:
    n_waves = table.number("NWavelengths") if "NWavelengths" in table.entries else 1
    names: dict[int, str] = {}
    for wave in range(1, n_waves + 1):
        collect = table.entries.get(f"WaveCollect{wave}", (0, ["1"]))[1]
        if collect and collect[0].strip() == "0":
            continue
        found = table.entries.get(f"WaveName{wave}", (0, []))[1]
        name = found[0].strip() if found and found[0].strip() else f"w{wave}"
        names[wave] = f"{name} (w{wave})" if name in names.values() else name
    return names
