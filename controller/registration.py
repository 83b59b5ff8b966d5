"""Library, stock and tips into a lab: from a file that a vendor sent to features on disk and rows in the store."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.app import lab_time
from controller.carefile import care_row, read_care
from controller.files import full_disk_named
from controller.intake import Added, add_library, add_stock, read_stock
from controller.lab import Lab
from controller.snapshots import LIBRARIES, library_folder
from controller.state import fold
from controller.store import NewEvent, RowWrite
from nextplate.errors import DataError

if TYPE_CHECKING:
    from controller.store.store import Store
    from nextplate.chem.library import Issue
    from nextplate.compound import Features

    Taken = tuple[Features, tuple[Issue, ...], str]
    """Features, issues, and what was wrong with the features that were there before."""

Progress = Callable[[int, int], None]
TIP_RACKS: Mapping[str, str] = {"flex": "opentrons_flex_96_tiprack_50ul", "ot2": "opentrons_96_tiprack_20ul"}
"""Tip racks that fit the default pipette of each robot."""

LARGE_BYTES = 16 << 20
"""Library files above this are streamed."""


@dataclass(frozen=True, slots=True)
class LibraryAdded:
    """A library that was taken in."""

    added: Added
    features: "Features"
    issues: tuple["Issue", ...]
    """Rows left out, structures that occur twice; of a large library the latter as one count."""
    mended: str = ""
    """What was wrong with the features on disk of a library that was there already, and was made again; '': nothing."""

    @property
    def n_compounds(self) -> int:
        """How many compounds it holds."""
        return len(self.features.compound_ids)

    @property
    def n_skipped(self) -> int:
        """How many rows were left out as unusable."""
        from nextplate.chem.library import BAD_ROW

        return sum(issue.kind in BAD_ROW for issue in self.issues)


def register_library(
    lab: Lab,
    store: "Store",
    path: Path,
    *,
    smiles_column: str | None = None,
    id_column: str | None = None,
    skip_bad: bool = False,
    with_alerts: bool = True,
    encoding: str = "utf-8",
    progress: Progress | None = None,
) -> LibraryAdded:
    """Read, standardise and featurise a library and register it; of the same library again only damage is mended.

    A file above 16 MB (some 300,000 compounds) is streamed: read and featurised in one pass, a few thousand rows in
    memory at a time. Killed in between, the same call goes on from the last checkpoint.

    Args:
        lab: which takes it.
        store: its database.
        path: CSV, TSV or .smi.
        smiles_column: header of the structures; None finds the usual names.
        id_column: header of the compound ids; None finds the usual names.
        skip_bad: leave out unusable rows and list them; False refuses the file.
        with_alerts: False leaves scaffolds and alerts out, which takes half the time; the file is then streamed.
        encoding: for a file without byte-order mark.
        progress: called with (rows done, rows in all).

    Raises:
        DataError: the file cannot be used; nothing is kept.
        DiskFull: no room for the features; nothing is kept.
    """
    how = {"smiles_column": smiles_column, "id_column": id_column, "skip_bad": skip_bad, "encoding": encoding}
    with full_disk_named(lab.folder / LIBRARIES):
        if _is_large(path) or not with_alerts:
            features, issues, damage = _streamed(lab, path, how, with_alerts, progress)
        else:
            features, issues, damage = _read(lab, path, how, progress)
    now = lab_time(lab)
    added = add_library(store, features, name=path.name, now=now)
    return LibraryAdded(added, features, issues, "" if added.is_new else damage)


def _is_large(path: Path) -> bool:
    """Tell by the size, whether it is there to be read or not; a gzipped table unpacks to some four times as much."""
    size = path.stat().st_size if path.is_file() else 0
    return size * (4 if path.suffix == ".gz" else 1) > LARGE_BYTES


def _read(lab: Lab, path: Path, how: Mapping[str, Any], progress: Progress | None) -> "Taken":
    from nextplate.chem.folder import library_digest
    from nextplate.chem.library import featurise, read_library

    file = read_library(path, progress=progress, **how)
    digest = library_digest((row.compound_id, row.smiles) for row in file.rows)
    folder = lab.folder / library_folder(digest)
    damage = _damage(folder)
    return featurise(file.rows, folder, progress=progress), file.issues, damage


def _damage(folder: Path) -> str:
    """Say what is wrong with the features in a folder, '' when nothing is."""
    from nextplate.chem.folder import ADD_AGAIN, load_features

    if not folder.exists():
        return f"{folder}: is missing"
    try:
        load_features(folder, recheck=True)
    except DataError as error:
        return str(error).removesuffix(f"; {ADD_AGAIN}")
    return ""


def _streamed(lab: Lab, path: Path, how: Mapping[str, Any], with_alerts: bool, progress: Progress | None) -> "Taken":
    from nextplate.chem.stream import stream_library

    damage: list[str] = []

    def folder_of(digest: str) -> Path:
        folder = lab.folder / library_folder(digest)
        damage.append(_damage(folder))
        return folder

    result = stream_library(
        path,
        folder_of,
        lab.folder / LIBRARIES,
        with_alerts=with_alerts,
        progress=progress,
        **how,
    )
    return result.features, result.issues, damage[-1]


def register_stock(lab: Lab, store: "Store", path: Path) -> Added:
    """Take a stock file in; wells that are there already are left alone.

    Raises:
        DataError: the file cannot be used, or no library knows its compounds; nothing is kept.
    """
    if not store.select("libraries"):
        raise DataError("this lab has no library to check the stock against; add it first: nextplate library add FILE")
    known = {row["compound_id"] for row in store.select("compounds")}
    assay = lab.settings.assay
    controls = (assay.negative_control, assay.positive_control)
    now = lab_time(lab)
    return add_stock(store, read_stock(path), known, controls, now=now)


def register_care(lab: Lab, store: "Store", path: Path) -> int:
    """Take in what people say of source plates; what was said of a plate before is replaced. Return how many.

    Raises:
        DataError: the file cannot be used, or names a plate that is not in stock; nothing is kept.
    """
    care = read_care(path)
    if unknown := sorted(care.keys() - {row["source_plate"] for row in store.select("stock")}):
        raise DataError(f"{path}: no source plate is called {', '.join(unknown[:5])}; see nextplate stock show")
    if not care:
        raise DataError(f"{path} has a header and no rows; write one line per plate")
    rows = [care_row(plate, one) for plate, one in care.items()]
    event = NewEvent("stock.care", lab_time(lab), None, {"plates": rows})
    store.append([event], [RowWrite("plate_care", rows, "upsert")], expected_seq=store.head().seq)
    return len(rows)


def register_tips(lab: Lab, store: "Store", n_racks: int) -> tuple[str, ...]:
    """Register further full tip racks, numbered on from those there are; return their barcodes.

    Raises:
        DataError: the lab's liquid handler has no tips.
    """
    robot = lab.settings.device_of("liquid-handler").robot or "flex"
    if robot not in TIP_RACKS:
        raise DataError(f"robot = {robot!r} in lab.toml has no tips: nothing was added")
    first = len(store.tip_racks_now())
    barcodes = tuple(f"TIPS-{first + n + 1:04d}" for n in range(n_racks))
    rows = [
        {"barcode": barcode, "labware": TIP_RACKS[robot], "position": first + n} for n, barcode in enumerate(barcodes)
    ]
    now = lab_time(lab)
    event = NewEvent("tips.added", now, None, {"racks": list(barcodes), "labware": TIP_RACKS[robot]})
    store.append([event], [RowWrite("tip_racks", rows)], expected_seq=store.head().seq)
    return barcodes


def register_spares(lab: Lab, store: "Store", n_plates: int) -> tuple[str, ...]:
    """Register further empty plates for dilutions, numbered on from those there are; return their barcodes.

    Raises:
        DataError: lab.toml names no labware for them, or a source plate or tip rack has such a barcode already.
    """
    kind = lab.settings.deck.dilution
    if not kind:
        raise DataError("lab.toml says nothing of dilutions: name the plates' labware there, [deck] dilution = NAME")
    head = store.head()
    first = len(fold(store.events()).spares)
    barcodes = tuple(f"DIL-{first + n + 1:04d}" for n in range(n_plates))
    taken = {row["source_plate"] for row in store.select("stock")} | {r.barcode for r in store.tip_racks_now()}
    if clashes := [barcode for barcode in barcodes if barcode in taken]:
        raise DataError(f"a plate called {clashes[0]} is in the lab already; give that one another barcode")
    event = NewEvent("spares.added", lab_time(lab), None, {"plates": list(barcodes), "labware": kind})
    store.append([event], expected_seq=head.seq)
    return barcodes
