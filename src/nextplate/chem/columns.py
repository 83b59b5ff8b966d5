"""Find the structure and id columns of a compound table, with or without a header."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rdkit import Chem, rdBase

from nextplate.chem.delimited import Delimited, Record
from nextplate.errors import DataError

SMILES_NAMES = (
    "smiles",
    "canonical_smiles",
    "isomeric_smiles",
    "smiles_string",
    "structure_smiles",
    "smi",
    "structure",
    "canonicalsmiles",
    "molecule",
    "mol",
)
ID_NAMES = (
    "compound_id",
    "compoundid",
    "id",
    "regid",
    "reg_id",
    "compound",
    "cmpd_id",
    "cpd_id",
    "mol_id",
    "molecule_id",
    "vendor_id",
    "catalog_id",
    "catalog_number",
    "catalogue_number",
    "idnumber",
    "id_number",
    "name",
    "compound_name",
    "title",
)
_FEWEST_PARSED = 5


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a table keeps what is needed."""

    smiles: int
    """0-based column."""
    compound_id: int | None
    """None: the table has no such column."""
    has_header: bool
    names: tuple[str, ...]
    """The header's cells, or 'column 1', 'column 2', ... where there is none."""


def find_columns(table: Delimited, smiles_column: str | None, id_column: str | None) -> Columns:
    """Find the columns by the given names, else by the usual ones, else (no header at all) by what parses.

    Raises:
        DataError: a named column is not there, or no column can be recognised as SMILES.
    """
    header = table.records[0].cells
    smiles = _named(table.path, header, smiles_column, "smiles_column", SMILES_NAMES)
    if smiles is None:
        return _headless(table, id_column)
    found = _named(table.path, header, id_column, "id_column", ID_NAMES)
    return Columns(smiles, None if found == smiles else found, True, header)


def usual_id(header: Sequence[str]) -> str | None:
    """Return the column that is called as compounds' names usually are; None where none or several might be."""
    at = _named(Path(), header, None, "id_column", ID_NAMES)
    return None if at is None else header[at]


def column_index(path: Path, header: Sequence[str], name: str, option: str) -> int:
    """Find a column by its exact name, or else by its name in other letter case.

    Raises:
        DataError: no such column, or several.
    """
    hits = [i for i, cell in enumerate(header) if cell == name]
    hits = hits or [i for i, cell in enumerate(header) if _plain(cell) == _plain(name)]
    if len(hits) != 1:
        what = "there is no column" if not hits else f"{len(hits)} columns are called"
        raise DataError(f"{path}: {what} {name!r} ({option}); the columns are: {_listed(header)}")
    return hits[0]


def _named(path: Path, header: Sequence[str], name: str | None, option: str, usual: Sequence[str]) -> int | None:
    if name is not None:
        return column_index(path, header, name, option)
    plain = [_plain(cell) for cell in header]
    for candidate in usual:
        if candidate in plain:
            return plain.index(candidate)
    ending = "smiles" if "smiles" in usual else "id"
    close = [i for i, cell in enumerate(plain) if cell.endswith(ending) or cell.startswith("smiles_")]
    return close[0] if len(close) == 1 else None


def _plain(cell: str) -> str:
    return re.sub(r"[\s.\-]+", "_", cell.strip().lower())


def _listed(header: Sequence[str]) -> str:
    shown = ", ".join(repr(cell) for cell in header[:20])
    return shown + (f" and {len(header) - 20} more" if len(header) > 20 else "")


def _headless(table: Delimited, id_column: str | None) -> Columns:
    first = table.records[0].cells
    smiles = [i for i in range(len(first)) if _parses(table.records[:_FEWEST_PARSED], i)]
    others = [i for i in range(len(first)) if i not in smiles]
    if len(smiles) != 1 or len(others) > 1 or id_column is not None:
        raise DataError(
            f"{table.path}: line {table.records[0].line}: no column is called smiles; the columns are: "
            f"{_listed(first)}. Name the column of structures (--smiles), or give the file a header line"
        )
    names = tuple(f"column {i + 1}" for i in range(len(first)))
    return Columns(smiles[0], others[0] if others else None, False, names)


def _parses(records: Sequence[Record], column: int) -> bool:
    """Say whether every cell is SMILES of two atoms or more (so that a header called C or ID is not)."""
    with rdBase.BlockLogs():
        mols = [Chem.MolFromSmiles(r.cells[column]) if column < len(r.cells) else None for r in records]
    return all(mol is not None and mol.GetNumAtoms() > 1 for mol in mols)
