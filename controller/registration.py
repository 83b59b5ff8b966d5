"""Library, stock and tips into a lab: from a file that a vendor sent to features on disk and rows in the store."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from controller.app import lab_time
from controller.files import full_disk_named
from controller.intake import Added, add_library, add_stock, read_stock
from controller.lab import Lab
from controller.snapshots import library_folder
from controller.store import NewEvent, RowWrite
from nextplate.errors import DataError

if TYPE_CHECKING:
    from controller.store.store import Store
    from nextplate.chem.library import LibraryFile

Progress = Callable[[int, int], None]
TIP_RACKS: Mapping[str, str] = {"flex": "opentrons_flex_96_tiprack_50ul", "ot2": "opentrons_96_tiprack_20ul"}
"""Tip racks that fit the default pipette of each robot."""


@dataclass(frozen=True, slots=True)
class LibraryAdded:
    """A library that was taken in."""

    added: Added
    file: "LibraryFile"
    """With its issues: rows left out, structures that occur twice."""


def register_library(
    lab: Lab,
    store: "Store",
    path: Path,
    *,
    smiles_column: str | None = None,
    id_column: str | None = None,
    skip_bad: bool = False,
    encoding: str = "utf-8",
    progress: Progress | None = None,
) -> LibraryAdded:
    """Read, standardise and featurise a library and register it; the same library again changes nothing.

    Raises:
        DataError: the file cannot be used; nothing is kept.
        DiskFull: no room for the features; nothing is kept.
    """
    from nextplate.chem.folder import library_digest
    from nextplate.chem.library import featurise, read_library

    file = read_library(
        path, smiles_column=smiles_column, id_column=id_column, skip_bad=skip_bad, encoding=encoding, progress=progress
    )
    digest = library_digest((row.compound_id, row.smiles) for row in file.rows)
    folder = lab.folder / library_folder(digest)
    with full_disk_named(folder):
        features = featurise(file.rows, folder, progress=progress)
    now = lab_time(lab.folder, lab.settings)
    return LibraryAdded(add_library(store, features, name=path.name, now=now), file)


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
    now = lab_time(lab.folder, lab.settings)
    return add_stock(store, read_stock(path), known, controls, now=now)


def register_tips(lab: Lab, store: "Store", n_racks: int) -> tuple[str, ...]:
    """Register further full tip racks, numbered on from those there are; return their barcodes."""
    robot = lab.settings.device_of("liquid-handler").robot or "flex"
    first = len(store.tip_racks_now())
    barcodes = tuple(f"TIPS-{first + n + 1:04d}" for n in range(n_racks))
    rows = [
        {"barcode": barcode, "labware": TIP_RACKS[robot], "position": first + n} for n, barcode in enumerate(barcodes)
    ]
    now = lab_time(lab.folder, lab.settings)
    event = NewEvent("tips.added", now, None, {"racks": list(barcodes), "labware": TIP_RACKS[robot]})
    store.append([event], [RowWrite("tip_racks", rows)], expected_seq=store.head().seq)
    return barcodes
