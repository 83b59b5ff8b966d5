"""Read structures with known values, for replays and benchmarks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from nextplate.chem.columns import column_index
from nextplate.chem.delimited import Record, read_delimited
from nextplate.chem.describe import DESCRIPTOR_NAMES, Encoded, encode, encoded
from nextplate.chem.folder import library_digest
from nextplate.chem.standardise import Standardised, standard_mol
from nextplate.chem.workers import map_chunks
from nextplate.compound import Features
from nextplate.errors import DataError

LARGEST = 1e30
"""Values beyond are no measurements, and their squares leave the range of numbers."""
LEAST_SPAN = 1e-30
"""Values nearer together than this, and not equal, cannot be told apart by their squares."""
_MISSING = frozenset(("", "na", "n/a", "nan", "none", "null", "-"))


@dataclass(frozen=True, slots=True)
class ValuedStructures:
    """Structures with a known value each."""

    features: Features
    """In memory (its folder is '.'); compound ids are 'line 2', 'line 3', ... of the file."""
    values: npt.NDArray[np.float64]
    """Shape (n,): NaN where the file gives none."""
    n_infinite: int
    """Infinite values among those unknown: what no assay measures is read as not measured, and counted."""
    left_out: tuple[str, ...]
    """One text for each row whose structure cannot be used: line and reason."""
    names: tuple[str, ...] = ()
    """Shape (n,): what the file calls the compounds; empty where no column of names was asked for."""


def read_valued(
    path: Path,
    *,
    smiles_column: str,
    value_column: str,
    id_column: str | None = None,
    encoding: str = "utf-8",
    n_jobs: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> ValuedStructures:
    """Read a table of structures and values and featurise it.

    Rows whose structure cannot be used are left out and listed; an empty value (or NA, NaN, null) is unknown.

    Raises:
        DataError: the file cannot be read, a column is missing, a value is not a number or beyond LARGEST, or no row
            is usable; the message names line and column.
    """
    table = read_delimited(path, encoding=encoding)
    header = table.records[0].cells
    smiles_at = column_index(path, header, smiles_column, "smiles column")
    value_at = column_index(path, header, value_column, "value column")
    id_at = None if id_column is None else column_index(path, header, id_column, "id column")
    records = table.records[1:]
    values = [_value(path, record, value_at, header[value_at]) for record in records]
    raws = [_cell(record, smiles_at) for record in records]
    chunks = list(map_chunks(_standard, raws, n_jobs=n_jobs, progress=progress))
    results = [result for chunk in chunks for result in chunk.results]
    left_out = [f"line {r.line}: {s}" for r, s in zip(records, results, strict=True) if isinstance(s, str)]
    usable = [(i, s.smiles) for i, s in enumerate(results) if not isinstance(s, str)]
    if not usable:
        why = f"the first: {left_out[0]}; name another column, or correct it" if left_out else "it has no rows"
        raise DataError(f"{path}: no row holds a usable structure in column {header[smiles_at]!r} ({why})")
    ids = [f"line {records[i].line}" for i, _ in usable]
    features = _in_memory(ids, [smiles for _, smiles in usable], [chunk.encoded for chunk in chunks])
    used = np.array([values[i] for i, _ in usable])
    is_infinite = np.isinf(used)
    used[is_infinite] = np.nan
    _refuse_too_near(path, header[value_at], used)
    names = () if id_at is None else tuple(_cell(records[i], id_at) for i, _ in usable)
    return ValuedStructures(features, used, int(is_infinite.sum()), tuple(left_out), names)


def _cell(record: Record, column: int) -> str:
    return record.cells[column] if column < len(record.cells) else ""


@dataclass(frozen=True, slots=True)
class _Chunk:
    results: list[Standardised | str]
    """For each structure its standard form, or why it has none."""
    encoded: Encoded
    """Of those that have one."""


def _standard(raws: Sequence[str]) -> _Chunk:
    """Standardise and encode, parsing each structure once."""
    results: list[Standardised | str] = []
    mols: list[Chem.Mol] = []
    for raw in raws:
        try:
            mol, standard = standard_mol(raw)
        except DataError as error:
            results.append(str(error))
        else:
            results.append(standard)
            mols.append(mol)
    return _Chunk(results, encoded(mols))


def _value(path: Path, record: Record, column: int, name: str) -> float:
    cell = _cell(record, column)
    if cell.lower() in _MISSING:
        return float("nan")
    where = f"{path}: line {record.line}, column {name!r}"
    try:
        value = float(cell)
    except ValueError as error:
        raise DataError(f"{where}: the value {cell!r} is not a number; empty it or correct it") from error
    if LARGEST < abs(value) < float("inf"):
        raise DataError(f"{where}: the value {cell!r} lies beyond {LARGEST:g}; empty it, correct it or change the unit")
    return value


def _refuse_too_near(path: Path, name: str, values: npt.NDArray[np.float64]) -> None:
    known = values[~np.isnan(values)]
    span = float(np.ptp(known)) if len(known) else 0.0
    if 0 < span < LEAST_SPAN:
        raise DataError(
            f"{path}: column {name!r}: the values lie within {span:.3g} of one another, too near to compute with; "
            "change the unit"
        )


def encode_library(
    compound_ids: Sequence[str],
    smiles: Sequence[str],
    *,
    n_jobs: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Featurise structures in standard form in memory, without scaffolds and alerts and without a folder."""
    return _in_memory(compound_ids, smiles, list(map_chunks(encode, smiles, n_jobs=n_jobs, progress=progress)))


def _in_memory(compound_ids: Sequence[str], smiles: Sequence[str], chunks: Sequence[Encoded]) -> Features:
    return Features(
        Path(),
        library_digest(zip(compound_ids, smiles, strict=True)),
        tuple(compound_ids),
        tuple(smiles),
        np.concatenate([chunk.fingerprints for chunk in chunks]),
        np.concatenate([chunk.descriptors for chunk in chunks]),
        DESCRIPTOR_NAMES,
        np.concatenate([chunk.counts for chunk in chunks]),
        np.concatenate([chunk.pairs for chunk in chunks]),
    )
