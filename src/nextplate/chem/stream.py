"""Featurise a library of any length in one pass: read, standardise, describe and write a chunk at a time.

``library.read_library`` and ``featurise`` hold the rows of a screening library and say everything about them; this
is for the millions of a make-on-demand library. Each structure is parsed once. Structures that occur twice are
counted, not listed.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import polars as pl
from rdkit import Chem, rdBase

from nextplate.chem.columns import find_columns
from nextplate.chem.delimited import Record, stream_delimited
from nextplate.chem.describe import Encoded, described, encoded
from nextplate.chem.folder import load_features, sound_features
from nextplate.chem.library import Issue, Progress, column_of_ids, missing_cell, refuse_bad_rows, repeated_ids
from nextplate.chem.standardise import standard_mol
from nextplate.chem.workers import FEWEST_FOR_WORKERS, map_stream
from nextplate.chem.writer import FeatureWriter, TextRow, writing
from nextplate.compound import Features
from nextplate.errors import DataError

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Streamed:
    """A library featurised in one pass."""

    features: Features
    n_rows: int
    """Rows read, usable or not."""
    issues: tuple[Issue, ...]
    """Rows left out, in line order; then, with line 0, how many structures occur twice."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    rows: tuple[TextRow, ...]
    encoded: Encoded
    issues: tuple[Issue, ...]


def stream_library(
    path: Path,
    folder_of: Callable[[str], Path],
    parent: Path,
    *,
    smiles_column: str | None = None,
    id_column: str | None = None,
    skip_bad: bool = False,
    with_alerts: bool = True,
    encoding: str = "utf-8",
    n_jobs: int = 2,
    progress: Progress | None = None,
) -> Streamed:
    """Read a library and write its feature folder, holding a few chunks of it at a time.

    Killed in between, the next call with the same file and options goes on from the last checkpoint.

    Args:
        path: CSV, TSV or .smi, as for ``read_library``.
        folder_of: names the feature folder, inside ``parent``, for the library's digest (known at the end).
        parent: folder in which the feature folder will be; must be writable.
        smiles_column: header of the structures; None finds the usual names.
        id_column: header of the compound ids; None finds the usual names.
        skip_bad: leave out rows without usable structure or id and list them; False refuses the file.
        with_alerts: compute scaffolds and alerts too; False leaves them null, and takes half the time.
        encoding: for a file without byte-order mark.
        n_jobs: worker processes.
        progress: called with (rows done, lines of the file).

    Raises:
        DataError: as ``read_library``.
        DiskFull: no room; nothing is left behind.
    """
    source, n_lines = _source(path)
    with stream_delimited(path, encoding=encoding) as (head, records):
        columns = find_columns(head, smiles_column, id_column)
        id_at = column_of_ids(path, columns)
        options = f"{source} {columns.smiles} {id_at} {skip_bad} {with_alerts} {encoding}"
        n_workers = n_jobs if n_lines >= FEWEST_FOR_WORKERS else 1
        work = partial(_prepare, smiles_at=columns.smiles, id_at=id_at, with_alerts=with_alerts)
        with writing(parent, hashlib.sha256(options.encode()).hexdigest()[:32]) as writer:
            rows = islice(records, int(columns.has_header) + writer.n_read, None)
            for chunk, prepared in map_stream(work, _chunks(rows), n_jobs=n_workers):
                if not skip_bad:
                    refuse_bad_rows(path, prepared.issues)
                writer.notes.extend([issue.line, issue.kind, issue.text] for issue in prepared.issues)
                writer.append(prepared.rows, prepared.encoded, len(chunk))
                if progress is not None:
                    progress(writer.n_read, n_lines)
            return _finished(path, writer, folder_of)


def _finished(path: Path, writer: FeatureWriter, folder_of: Callable[[str], Path]) -> Streamed:
    if writer.n == 0:
        raise DataError(f"{path}: none of its {writer.n_read} rows holds a usable compound")
    writer.checkpoint()
    _refuse_repeated_ids(path, writer)
    folder = folder_of(writer.digest)
    existing = sound_features(folder, writer.digest)
    if existing is None:
        writer.finish(folder)
    else:
        writer.abandon()
    features = existing or load_features(folder)
    issues = [Issue(*note) for note in writer.notes]
    return Streamed(features, writer.n_read, (*issues, *_same_structures(folder)))


def _same_structures(folder: Path) -> list[Issue]:
    """Count the compounds whose structure an earlier one has, and name the first."""
    table = pl.read_parquet(folder / "compounds.parquet", columns=["compound_id", "smiles"])
    again = table.filter(~table["smiles"].is_first_distinct())
    if again.is_empty():
        return []
    name, smiles = again.row(0)
    first = table.filter(pl.col("smiles") == smiles).row(0)[0]
    text = f"{len(again)} compounds have the structure of an earlier one; the first: {name} has that of {first}"
    return [Issue(0, "same-structure", text)]


def _source(path: Path) -> tuple[str, int]:
    """Give the sha256 of the file as it lies there and its number of lines (of the packed bytes if gzipped)."""
    sha, n_lines = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                sha.update(block)
                n_lines += block.count(b"\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    return sha.hexdigest(), n_lines


def _chunks(records: Iterator[Record]) -> Iterator[Sequence[Record]]:
    while chunk := list(islice(records, _CHUNK)):
        yield chunk


def _prepare(records: Sequence[Record], *, smiles_at: int, id_at: int, with_alerts: bool) -> _Prepared:
    rows: list[TextRow] = []
    mols: list[Chem.Mol] = []
    issues: list[Issue] = []
    for record in records:
        result = _standard(record, smiles_at, id_at)
        if isinstance(result, Issue):
            issues.append(result)
        else:
            mol, row = result
            mols.append(mol)
            rows.append(row)
    with rdBase.BlockLogs():
        numbers = described(mols, [row.smiles for row in rows]) if with_alerts else encoded(mols)
    return _Prepared(tuple(rows), numbers, tuple(issues))


def _standard(record: Record, smiles_at: int, id_at: int) -> tuple[Chem.Mol, TextRow] | Issue:
    problem = missing_cell(record.cells, smiles_at, id_at)
    if problem is not None:
        return Issue(record.line, *problem)
    compound_id, raw = record.cells[id_at], record.cells[smiles_at]
    try:
        mol, standard = standard_mol(raw)
    except DataError as error:
        return Issue(record.line, "bad-smiles", f"{compound_id}: {error}")
    return mol, TextRow(compound_id, standard.smiles, raw, standard.change)


def _refuse_repeated_ids(path: Path, writer: FeatureWriter) -> None:
    ids = writer.column("compound_id")
    if ids.n_unique() < len(ids):
        counts = ids.filter(ids.is_duplicated()).value_counts(sort=True).sort("count", "compound_id", descending=True)
        raise DataError(repeated_ids(path, [f"{name} ({n} times)" for name, n in counts.iter_rows()]))
