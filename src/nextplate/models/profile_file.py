"""Read image profiles from a file: a table of compounds, or of wells as ``nextplate profiles`` writes it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.errors import DataError
from nextplate.profiles import Profiles, Values

ID, WELL, ROLE = "compound_id", "well", "role"
_OF_WELLS = frozenset(("plate", WELL, ROLE, ID, "dose", "dose_um", "dose_unit", "treatment"))
"""Columns that say which well a row is of, and nothing of its cells."""
COUNT_NAMES = (
    "n_cells", "cell_count", "cells_count", "count_cells", "cells_number", "number_of_cells", "n_nuclei",
    "nuclei_count", "count_nuclei", "nuclei_number", "image_count_cells", "image_count_nuclei",
    "metadata_cell_count", "metadata_object_count",
)  # fmt: skip
"""What a column of cell counts is usually called, whatever the letter case."""
NO_COUNT = (
    "no cell-count baseline stands beside these results: no column of the image profiles is called like a cell count "
    "({}); name the column that is one"
)
_MISSING = frozenset(("", "na", "n/a", "nan", "none", "null"))
_SHOWN = 9


@dataclass(frozen=True, slots=True)
class ReadProfiles:
    """What a file of profiles holds."""

    profiles: Profiles
    notes: tuple[str, ...]
    """What was made of it: wells merged, no cell count found."""


@dataclass(frozen=True, slots=True)
class _Table:
    header: tuple[str, ...]
    columns: Mapping[str, Sequence[Any]]
    rows: Sequence[str]
    """Where each row stands, e.g. 'line 3'."""


def read_profiles(path: Path, *, count_column: str | None = None) -> ReadProfiles:
    """Read a Parquet file or a delimited text file with a column compound_id and columns of numbers.

    A file with a column ``well`` holds wells: of each compound the median over its wells is taken, wells of another
    role than sample are left out. Any other file has one row per compound. Empty values are unknown.

    Args:
        path: a file.
        count_column: the column that is the cell count; None: one with a usual name (COUNT_NAMES), if there is one.

    Raises:
        DataError: it cannot be read, a compound is there twice, a column holds text or nothing, a value is infinite, or
            there is no such count column; with line, column and the fix.
    """
    table = _read(path)
    if ID not in table.columns:
        raise DataError(f"{path}: there is no column {ID!r}; the columns are: {_listed(table.header)}")
    names = [name for name in table.header if name not in _OF_WELLS]
    if not names:
        raise DataError(f"{path}: there is no column of numbers beside {', '.join(table.header)}; add the profiles")
    rows = _samples(path, table)
    values = np.stack([_numbers(path, table, name, rows) for name in names], axis=1)
    ids = [str(table.columns[ID][row]).strip() for row in rows]
    unique, merged, notes = _one_each(path, table, ids, values, rows)
    counts = _counts(path, names, count_column)
    if not counts:
        notes += [NO_COUNT.format(_listed(names))]
    return ReadProfiles(Profiles(unique, merged, tuple(names), counts), tuple(notes))


def told_overlap(path: Path, profiles: Profiles, compound_ids: Collection[str], where: str) -> str:
    """Say how many compounds have a profile, and how many profiles are of compounds that are not there.

    Args:
        path: of the profiles, for the message.
        profiles: of compounds.
        compound_ids: of the library.
        where: what the compounds are in, e.g. 'the library'.

    Raises:
        DataError: no compound has a profile.
    """
    known = set(compound_ids)
    n_seen = sum(name in known for name in profiles.compound_ids)
    if n_seen == 0:
        here, there = _few(profiles.compound_ids), _few(tuple(compound_ids))
        raise DataError(
            f"{path}: none of its {len(profiles.compound_ids)} compounds is in {where}: here {here}, there {there}; "
            "name the same compounds alike in both"
        )
    strangers = len(profiles.compound_ids) - n_seen
    others = f"; {strangers} profiles are of compounds that are not there, and were left aside" if strangers else ""
    return f"image profiles: {n_seen} of {len(known)} compounds in {where} have one{others}"


def _read(path: Path) -> _Table:
    with_problem = f"{path}: cannot be read as a table of image profiles"
    if not path.is_file():
        raise DataError(f"{path}: there is no such file of image profiles; write it with: nextplate profiles FOLDER...")
    if path.suffix.lower() in (".parquet", ".pq"):
        import polars as pl

        try:
            frame = pl.read_parquet(path)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{with_problem} ({str(error).splitlines()[0]}); write it again") from error
        columns = {name: frame[name].to_list() for name in frame.columns}
        return _Table(tuple(frame.columns), columns, [f"row {i + 1}" for i in range(len(frame))])
    return _read_text(path)


def _read_text(path: Path) -> _Table:
    # Loaded only here: it needs the chemistry.
    from nextplate.chem.delimited import read_delimited

    first, *records = read_delimited(path).records
    header = first.cells
    twice = [name for i, name in enumerate(header) if name in header[:i]]
    if twice:
        raise DataError(f"{path}: line {first.line}: two columns are called {twice[0]!r}; give each its own name")
    if ragged := [r for r in records if len(r.cells) != len(header)]:
        r = ragged[0]
        raise DataError(f"{path}: line {r.line}: {len(r.cells)} cells under {len(header)} columns; correct the line")
    columns = {name: [r.cells[i] for r in records] for i, name in enumerate(header)}
    return _Table(header, columns, [f"line {r.line}" for r in records])


def _samples(path: Path, table: _Table) -> list[int]:
    """List the rows that are of compounds of the library."""
    every = range(len(table.rows))
    roles = table.columns.get(ROLE)
    rows = [i for i in every if roles is None or str(roles[i]).strip().lower() == "sample"]
    for i in rows:
        if table.columns[ID][i] in (None, "") or not str(table.columns[ID][i]).strip():
            raise DataError(f"{path}: {table.rows[i]}: column {ID!r} is empty; name the compound, or leave the row out")
    if not rows:
        raise DataError(f"{path}: holds no profile of a compound; give one row per compound")
    return rows


def _numbers(path: Path, table: _Table, name: str, rows: Sequence[int]) -> npt.NDArray[np.float64]:
    """Read a column; where it is not all numbers, say in which line."""
    given = table.columns[name]
    out = np.array([_number(path, table.rows[i], name, given[i]) for i in rows], dtype=np.float64)
    if np.isnan(out).all():
        raise DataError(f"{path}: column {name!r} holds no number; leave the column out")
    return out


def _number(path: Path, where: str, name: str, cell: Any) -> float:
    if cell is None or (isinstance(cell, str) and cell.strip().lower() in _MISSING):
        return float("nan")
    try:
        value = float(cell)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{path}: {where}, column {name!r}: {cell!r} is not a number; correct it, or leave the column out"
        ) from error
    if abs(value) > float(np.finfo(np.float32).max):
        what = "infinite" if np.isinf(value) else "too large"
        raise DataError(f"{path}: {where}, column {name!r}: {cell!r} is {what}; leave it empty or correct it")
    return value


def _one_each(
    path: Path, table: _Table, ids: list[str], values: npt.NDArray[np.float64], rows: Sequence[int]
) -> tuple[tuple[str, ...], Values, list[str]]:
    """Bring wells to one row per compound; in a table of compounds none may occur twice."""
    of: dict[str, list[int]] = {}
    for at, name in enumerate(ids):
        of.setdefault(name, []).append(at)
    if WELL not in table.columns:
        if again := next((at for at in of.values() if len(at) > 1), None):
            first, second = (table.rows[rows[i]] for i in again[:2])
            raise DataError(
                f"{path}: {first} and {second} are both of compound {ids[again[0]]!r}; give one row per compound (its "
                f"median), or a column {WELL!r} where rows are wells"
            )
        return tuple(ids), values.astype(np.float32), []
    merged = np.stack([_median(values[at]) for at in of.values()])
    note = f"image profiles: {len(ids)} wells of {len(of)} compounds, of each the median over its wells"
    doses = next((table.columns[name] for name in ("dose", "dose_um") if name in table.columns), None)
    at_several = 0 if doses is None else sum(len({doses[rows[i]] for i in at}) > 1 for at in of.values())
    return tuple(of), merged.astype(np.float32), [note + (f", {at_several} at several doses" if at_several else "")]


def _median(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the median over rows of what is known, NaN where nothing is."""
    out = np.full(values.shape[1], np.nan)
    known = np.isfinite(values).any(axis=0)
    out[known] = np.nanmedian(values[:, known], axis=0)
    return out


def _counts(path: Path, names: Sequence[str], wanted: str | None) -> tuple[str, ...]:
    if wanted is not None:
        if wanted not in names:
            raise DataError(f"{path}: there is no column {wanted!r} to be the cell count; there are: {_listed(names)}")
        return (wanted,)
    plain = {name.strip().lower().replace(" ", "_").replace(".", "_"): name for name in names}
    return next(((plain[usual],) for usual in COUNT_NAMES if usual in plain), ())


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(map(repr, names[:_SHOWN])) + (f" and {more} more" if more > 0 else "")


def _few(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:2])) + (" .." if len(names) > 2 else "")
