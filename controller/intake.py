"""What enters a lab by hand: libraries and stock files. Each is taken in whole, or not at all."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, overload

from controller.stockfile import Issue, StockFile, StockRow, read_stock
from controller.store.journal import NewEvent, RowWrite, canonical_json
from nextplate.compound import Features
from nextplate.errors import DataError

if TYPE_CHECKING:
    from controller.store.store import Store

__all__ = [
    "Added",
    "Issue",
    "StockFile",
    "StockRow",
    "add_library",
    "add_stock",
    "read_stock",
    "refuse",
    "stock_digest",
]

LIBRARY_ADDED = "library.added"
STOCK_ADDED = "stock.added"
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a file that was handed in."""

    digest: str
    """Of its content; the same for another spelling of the same rows."""
    n_added: int
    """Rows written now; 0 when all of it was there already."""
    n_already: int
    """Rows that were there before, saying the same."""

    @property
    def is_new(self) -> bool:
        """Tell whether anything was written."""
        return self.n_added > 0


def add_library(store: "Store", features: Features, *, name: str, now: datetime) -> Added:
    """Register a featurised library; adding the same one again changes nothing.

    Args:
        store: the lab's.
        features: as written by nextplate.chem.library.featurise.
        name: the file's name without its folder, for the journal.
        now: time of the event.

    Raises:
        DataError: the feature folder contradicts itself.
        StoreError: see Store.append.
    """
    n = len(features.compound_ids)
    if store.select("libraries", {"library": features.digest}):
        return Added(features.digest, 0, n)
    rows = _CompoundRows(features, _raw_smiles(features))
    library = {"library": features.digest, "n_compounds": n}
    event = NewEvent(LIBRARY_ADDED, now, None, {**library, "name": name})
    store.append([event], [RowWrite("libraries", [library]), RowWrite("compounds", rows)])
    return Added(features.digest, n, 0)


@dataclass(frozen=True, slots=True)
class _CompoundRows(Sequence[Mapping[str, Any]]):
    """Rows of the compounds table, made when asked for: of a million, a few thousand exist at a time."""

    features: Features
    raw_smiles: Sequence[str]

    def __len__(self) -> int:
        return len(self.raw_smiles)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | list[Mapping[str, Any]]:
        if isinstance(index, int):
            return self[index : index + 1 or None][0]
        texts = (self.features.compound_ids[index], self.features.smiles[index], self.raw_smiles[index])
        rows = range(*index.indices(len(self)))
        return [
            {"library": self.features.digest, "row": i, "compound_id": name, "smiles": smiles, "raw_smiles": raw}
            for i, name, smiles, raw in zip(rows, *texts, strict=True)
        ]


def _raw_smiles(features: Features) -> Sequence[str]:
    from nextplate.chem.texts import TextColumn

    path, n = features.folder / "compounds.parquet", len(features.compound_ids)
    ids, raw = (TextColumn(path, name, n) for name in ("compound_id", "raw_smiles"))
    if len(ids.series()) != n or ids != features.compound_ids:
        raise DataError(f"{path} lists other compounds than the features loaded; delete {features.folder} and add anew")
    return raw


def add_stock(
    store: "Store", stock_file: StockFile, known: Collection[str], controls: Collection[str], *, now: datetime
) -> Added:
    """Take a stock file into the lab; wells that are there already, saying the same, are left alone.

    Args:
        store: the lab's.
        stock_file: as read by read_stock.
        known: every compound id of the library.
        controls: names of the control liquids, from lab.toml.
        now: time of the event.

    Raises:
        DataError: the file has issues, names an unknown compound, or contradicts the stock there is; lists the
            first ten with their lines.
        StoreError: see Store.append.
    """
    # The head is read before the stock: whoever adds stock in between makes the append fail.
    seq = store.head().seq
    there = {(r["source_plate"], r["source_well"]): r for r in store.select("stock")}
    labware = {plate: r["labware"] for (plate, _), r in there.items()}
    issues = [*stock_file.issues, *_unknown(stock_file.rows, known, controls)]
    issues += [i for r in stock_file.rows if (i := _conflict(r, there.get((r.source_plate, r.source_well)), labware))]
    refuse(stock_file.name, issues)
    digest = stock_digest(stock_file.rows)
    new = [r for r in stock_file.rows if (r.source_plate, r.source_well) not in there]
    if new:
        payload = {
            "name": stock_file.name, "digest": digest, "n_wells": len(new),
            "plates": sorted({r.source_plate for r in new}),
        }  # fmt: skip
        rows = [{**row_values(r), "file_digest": digest} for r in new]
        store.append([NewEvent(STOCK_ADDED, now, None, payload)], [RowWrite("stock", rows)], expected_seq=seq)
    return Added(digest, len(new), len(stock_file.rows) - len(new))


def row_values(row: StockRow) -> dict[str, Any]:
    """Return the columns of the stock table that a file gives."""
    return {
        "source_plate": row.source_plate, "source_well": row.source_well, "compound_id": row.compound_id,
        "initial_volume_nl": row.volume_nl, "concentration_um": row.concentration_um, "labware": row.labware,
    }  # fmt: skip


def stock_digest(rows: Iterable[StockRow]) -> str:
    """Return the sha256 of a stock file's content, whatever its column order and line ends."""
    body = sorted((row_values(r) for r in rows), key=lambda r: (r["source_plate"], r["source_well"]))
    return hashlib.sha256(canonical_json(body, "stock").encode()).hexdigest()


def refuse(name: str, issues: Sequence[Issue]) -> None:
    """Raise the first ten issues of a file, by line, and say how many there are; return when there are none.

    Raises:
        DataError: there is an issue.
    """
    if not issues:
        return
    lines = [f"  {name}:{issue.line}: {issue.what}" for issue in sorted(issues, key=lambda i: i.line)[:_SHOWN]]
    more = [f"  .. and {len(issues) - _SHOWN} more"] if len(issues) > _SHOWN else []
    noun = "line" if len(issues) == 1 else "lines"
    head = f"{name}: {len(issues)} {noun} cannot be used; nothing was added. Correct the file and add it again"
    raise DataError("\n".join([head, *lines, *more]))


def _unknown(rows: Iterable[StockRow], known: Collection[str], controls: Collection[str]) -> Iterable[Issue]:
    ids, liquids = frozenset(known), frozenset(controls)
    for row in rows:
        if row.compound_id in liquids:
            continue
        if row.compound_id not in ids:
            names = ", ".join(sorted(liquids)) or "none"
            yield Issue(
                row.line, f"compound {row.compound_id!r} is neither in the library nor a control liquid ({names})"
            )
        elif row.concentration_um == 0:
            yield Issue(row.line, f"concentration of compound {row.compound_id!r} is 0; only a control liquid has none")


def _conflict(row: StockRow, there: dict[str, Any] | None, labware: dict[str, str]) -> Issue | None:
    if (is_on := labware.get(row.source_plate, row.labware)) != row.labware:
        return Issue(row.line, f"plate {row.source_plate} is a {is_on} in the lab, here a {row.labware}")
    if there is None:
        return None
    for column, value in row_values(row).items():
        if there[column] != value:
            place = f"{row.source_plate} {row.source_well}"
            return Issue(
                row.line, f"well {place} is in the lab already with {column} {there[column]!r}, here {value!r}"
            )
    return None
