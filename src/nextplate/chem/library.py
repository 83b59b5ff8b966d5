"""Read a vendor's library and keep what the models need of it in a folder.

``read_library`` is strict: a file with something wrong in it is refused with the lines named, unless the caller
says to leave bad rows out, and then each of them is reported. ``featurise`` writes the folder in one move, so a
crash leaves either the whole folder or nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nextplate.chem.columns import Columns, find_columns
from nextplate.chem.delimited import Delimited, read_delimited
from nextplate.chem.describe import describe
from nextplate.chem.folder import library_digest, load_features, sound_features
from nextplate.chem.standardise import standardise_all
from nextplate.chem.workers import map_chunks
from nextplate.chem.writer import TextRow, writing
from nextplate.compound import Features
from nextplate.errors import DataError

__all__ = ["Issue", "LibraryFile", "LibraryRow", "featurise", "load_features", "read_library"]

Progress = Callable[[int, int], None]
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class LibraryRow:
    """One usable row of a library file."""

    line: int
    """1-based line of the file."""
    compound_id: str
    raw_smiles: str
    """As the vendor wrote it."""
    smiles: str
    """Standardised."""
    change: str
    """What standardisation changed; '' when nothing."""


@dataclass(frozen=True, slots=True)
class Issue:
    """Something the person who sent the file should know."""

    line: int
    """1-based; 0 for the file as a whole."""
    kind: str
    """bad-smiles, no-smiles, no-id, short-row (such rows are left out), same-structure, no-header, cut-off."""
    text: str


@dataclass(frozen=True, slots=True)
class LibraryFile:
    """A library file as read."""

    path: Path
    rows: tuple[LibraryRow, ...]
    issues: tuple[Issue, ...]
    """In line order."""

    @property
    def n_skipped(self) -> int:
        """How many rows were left out as unusable."""
        return sum(issue.kind in BAD_ROW for issue in self.issues)


BAD_ROW = frozenset(("bad-smiles", "no-smiles", "no-id", "short-row"))


@dataclass(frozen=True, slots=True)
class _Raw:
    line: int
    compound_id: str
    smiles: str


def read_library(
    path: Path,
    *,
    smiles_column: str | None = None,
    id_column: str | None = None,
    max_rows: int | None = None,
    skip_bad: bool = False,
    encoding: str = "utf-8",
    n_jobs: int = 2,
    progress: Progress | None = None,
) -> LibraryFile:
    """Read, check and standardise a library of compounds.

    Args:
        path: CSV, TSV or .smi; byte-order mark, Windows line ends, quotes, gzip, ',' ';' or tab as they come.
        smiles_column: header of the structures; None finds the usual names.
        id_column: header of the compound ids; None finds the usual names.
        max_rows: read only so many rows, and say so in the issues; None reads all.
        skip_bad: leave out rows without usable structure or id and report each; False refuses the file.
        encoding: for a file without byte-order mark.
        n_jobs: worker processes.
        progress: called with (rows done, rows in all).

    Raises:
        DataError: the file cannot be read, lacks a column, holds no rows, gives one id twice, or (unless
            skip_bad) holds unusable rows. The message names the first lines, how many there are, and the fix.
    """
    table = read_delimited(path, encoding=encoding)
    columns = find_columns(table, smiles_column, id_column)
    raws, issues = _raw_rows(table, columns, max_rows)
    _refuse_repeated_ids(path, raws)
    rows, bad = _standardised(raws, n_jobs, progress)
    issues = sorted([*issues, *bad, *_same_structures(rows)], key=lambda issue: issue.line)
    if not skip_bad:
        refuse_bad_rows(path, issues)
    if not rows:
        raise DataError(f"{path}: none of its rows holds a usable compound; first: {issues[0].text}")
    return LibraryFile(path, tuple(rows), tuple(issues))


def _raw_rows(table: Delimited, columns: Columns, max_rows: int | None) -> tuple[list[_Raw], list[Issue]]:
    id_at = column_of_ids(table.path, columns)
    records = table.records[int(columns.has_header) :]
    if not records:
        raise DataError(f"{table.path}: the file holds a header and 0 rows; send one line per compound")
    issues = [] if columns.has_header else [_no_header(columns)]
    if max_rows is not None and len(records) > max_rows:
        issues.append(Issue(0, "cut-off", f"only the first {max_rows} of {len(records)} rows were read"))
        records = records[:max_rows]
    raws: list[_Raw] = []
    for record in records:
        problem = missing_cell(record.cells, columns.smiles, id_at)
        if problem is None:
            raws.append(_Raw(record.line, record.cells[id_at], record.cells[columns.smiles]))
        else:
            issues.append(Issue(record.line, *problem))
    return raws, issues


def column_of_ids(path: Path, columns: Columns) -> int:
    """Give the 0-based column of compound ids.

    Raises:
        DataError: the table has none.
    """
    if columns.compound_id is None:
        raise DataError(
            f"{path}: no column of compound ids was found; the columns are: {', '.join(columns.names)}. "
            "Name it (--id): the ids are what the stock list and the results refer to"
        )
    return columns.compound_id


def _no_header(columns: Columns) -> Issue:
    where = f"structures in {columns.names[columns.smiles]}, ids in the other"
    return Issue(0, "no-header", f"the file has no header line; read with {where}")


def missing_cell(cells: Sequence[str], smiles: int, compound_id: int) -> tuple[str, str] | None:
    """Give kind and text of the issue of a row that lacks its structure or id; None when it has both."""
    if len(cells) <= max(smiles, compound_id):
        return "short-row", f"only {len(cells)} cells"
    if not cells[compound_id]:
        return "no-id", "no compound id"
    if not cells[compound_id].isprintable():
        return "no-id", f"the compound id {cells[compound_id]!r} holds characters that cannot be printed"
    return None if cells[smiles] else ("no-smiles", f"{cells[compound_id]} has no structure")


def _refuse_repeated_ids(path: Path, raws: Sequence[_Raw]) -> None:
    lines: dict[str, list[int]] = defaultdict(list)
    for raw in raws:
        lines[raw.compound_id].append(raw.line)
    repeated = [f"{name} (lines {', '.join(map(str, at[:_SHOWN]))})" for name, at in lines.items() if len(at) > 1]
    if repeated:
        raise DataError(repeated_ids(path, repeated))


def repeated_ids(path: Path, repeated: Sequence[str]) -> str:
    """Say that ids occur more than once; each text names one and where."""
    return (
        f"{path}: {_counted(repeated, 'compound id occurs', 'compound ids occur')} more than once: "
        f"{_first(repeated)}. Keep one row per id; the same compound in two wells belongs in the stock list"
    )


def refuse_bad_rows(path: Path, issues: Sequence[Issue]) -> None:
    """Raise DataError naming the first unusable rows, if there are any."""
    bad = [f"line {issue.line}: {issue.text}" for issue in issues if issue.kind in BAD_ROW]
    if bad:
        raise DataError(
            f"{path}: {_counted(bad, 'row cannot', 'rows cannot')} be used: {_first(bad)}. Correct the file, "
            "or leave such rows out (--skip-bad), and each will be reported"
        )


def _counted(things: Sequence[str], one: str, many: str) -> str:
    return f"{len(things)} {one if len(things) == 1 else many}"


def _first(things: Sequence[str]) -> str:
    more = f"; and {len(things) - _SHOWN} more" if len(things) > _SHOWN else ""
    return "; ".join(things[:_SHOWN]) + more


def _standardised(raws: Sequence[_Raw], n_jobs: int, progress: Progress | None) -> tuple[list[LibraryRow], list[Issue]]:
    rows: list[LibraryRow] = []
    bad: list[Issue] = []
    chunks = map_chunks(standardise_all, [raw.smiles for raw in raws], n_jobs=n_jobs, progress=progress)
    results = (result for chunk in chunks for result in chunk)
    for raw, result in zip(raws, results, strict=True):
        if isinstance(result, str):
            bad.append(Issue(raw.line, "bad-smiles", f"{raw.compound_id}: {result}"))
        else:
            rows.append(LibraryRow(raw.line, raw.compound_id, raw.smiles, result.smiles, result.change))
    return rows, bad


def _same_structures(rows: Sequence[LibraryRow]) -> list[Issue]:
    by_smiles: dict[str, list[LibraryRow]] = defaultdict(list)
    for row in rows:
        by_smiles[row.smiles].append(row)
    return [
        Issue(row.line, "same-structure", f"{row.compound_id} has the structure of {same[0].compound_id}")
        for same in by_smiles.values()
        for row in same[1:]
    ]


def featurise(
    rows: Sequence[LibraryRow], folder: Path, *, n_jobs: int = 2, progress: Progress | None = None
) -> Features:
    """Compute fingerprints, descriptors, scaffolds and alerts of a library and write them to a folder.

    The folder appears complete or not at all, and is written chunk by chunk: killed in between, the next call goes
    on from the last checkpoint. A sound folder of the same library is used as it is; a damaged one is replaced.

    Args:
        rows: of ``read_library``; each compound_id once.
        folder: usually named by the library's digest; its parent must be writable.
        n_jobs: worker processes.
        progress: called with (compounds done, compounds in all).

    Raises:
        DataError: there are no rows, or the folder holds another library.
        DiskFull: no room; nothing is left behind.
    """
    if not rows:
        raise DataError(f"{folder}: a library of 0 compounds cannot be featurised")
    digest = library_digest((row.compound_id, row.smiles) for row in rows)
    if (existing := sound_features(folder, digest)) is not None:
        return existing
    with writing(folder.parent, f"{folder.name}-{digest[:16]}") as writer:
        left = rows[writer.n_read :]
        report = _from(writer.n_read, len(rows), progress)
        at = 0
        for described in map_chunks(describe, [row.smiles for row in left], n_jobs=n_jobs, progress=report):
            chunk = left[at : at + len(described.scaffolds)]
            texts = [TextRow(row.compound_id, row.smiles, row.raw_smiles, row.change) for row in chunk]
            writer.append(texts, described, len(chunk))
            at += len(chunk)
        writer.finish(folder)
    return load_features(folder)


def _from(n_before: int, n_all: int, progress: Progress | None) -> Progress | None:
    """Count on from where an earlier run was cut off."""
    if progress is None:
        return None
    return lambda n_done, _: progress(n_before + n_done, n_all)
