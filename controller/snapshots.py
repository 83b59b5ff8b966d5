"""What a step reads of the database: frozen into files named by their content, so that its key says what it saw."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from controller.actions import OFFSETS, PROFILES, Compute
from controller.files import write_bytes
from controller.reservations import NOTHING, Reserved
from nextplate.errors import PlanError
from protocols.stock import unusable_plates

if TYPE_CHECKING:
    from controller.store.store import Store

LIBRARIES = "library"
"""Folder of the lab that holds the feature folders."""


def resolve(
    lab: Path, store: "Store", library: str, action: Compute, today: date, spoken_for: Reserved = NOTHING
) -> Compute:
    """Replace @library, @stock, @tips, @profiles and @offsets in a step's inputs by paths of files that hold them now.

    Args:
        lab: its folder.
        store: its database.
        library: digest.
        action: a step.
        today: by which plates keep or have expired (UTC).
        spoken_for: liquid and tips that other campaigns are going to draw; the step does not see them.

    Raises:
        PlanError: an input this version does not know.
    """
    inputs = {n: _resolved(lab, store, library, p, today, spoken_for) for n, p in action.inputs.items()}
    return replace(action, inputs=inputs)


def library_folder(digest: str) -> str:
    """Name the feature folder of a library, relative to the lab."""
    return f"{LIBRARIES}/{digest[:16]}"


def _resolved(lab: Path, store: "Store", library: str, path: str, today: date, spoken_for: Reserved) -> str:
    match path:
        case "@library":
            return library_folder(library)
        case "@stock":
            return _keep(lab, "stock", "parquet", _stock(store, today, spoken_for))
        case "@tips":
            return _keep(lab, "tips", "json", _tips(store, spoken_for))
        case _ if path.startswith(PROFILES):
            return _file(lab, "profiles", path.removeprefix(PROFILES), "csv")
        case _ if path.startswith(OFFSETS):
            return _file(lab, "offsets", path.removeprefix(OFFSETS), "json")
        case _ if path.startswith("@"):
            raise PlanError(f"no snapshot is called {path}")
    return path


def _file(lab: Path, name: str, given: str, suffix: str) -> str:
    """Freeze a file of the operator's; its name ends as the operator's does, else as said."""
    file = lab / given
    # What is not there fails the step: a fault that a person can answer, where an error here ends the loop.
    return _keep(lab, name, file.suffix[1:] or suffix, file.read_bytes()) if file.is_file() else given


def _keep(lab: Path, name: str, suffix: str, content: bytes) -> str:
    path = f"protocols/snapshots/{name}-{hashlib.sha256(content).hexdigest()[:16]}.{suffix}"
    if not (lab / path).exists():
        write_bytes(lab / path, content)
    return path


def _stock(store: "Store", today: date, spoken_for: Reserved) -> bytes:
    """Write the source wells; where somebody spoke of plates, also what of them may not be used, and why."""
    import polars as pl

    out = io.BytesIO()
    schema: Mapping[str, type[pl.DataType]] = {
        "source_plate": pl.String,
        "source_well": pl.String,
        "compound_id": pl.String,
        "volume_nl": pl.Int64,
        "concentration_um": pl.Float64,
        "labware": pl.String,
    }
    planned = spoken_for.volumes_nl
    left = [
        well._replace(volume_nl=well.volume_nl - planned.get((well.source_plate, well.source_well), 0))
        for well in store.stock_now()
    ]
    frame = pl.DataFrame(left, schema=dict(schema), orient="row")
    if care := store.plate_care():
        why = unusable_plates(care, today)
        thaws = {plate: one.n_thaws for plate, one in care.items()}
        most = {plate: one.max_thaws for plate, one in care.items()}
        plate = pl.col("source_plate")
        frame = frame.with_columns(
            unusable=plate.replace_strict(why, default="", return_dtype=pl.String),
            n_thaws=plate.replace_strict(thaws, default=0, return_dtype=pl.Int64),
            max_thaws=plate.replace_strict(most, default=None, return_dtype=pl.Int64),
        )
    frame.write_parquet(out)
    return out.getvalue()


def _tips(store: "Store", spoken_for: Reserved) -> bytes:
    taken = {rack: {well for r, well in spoken_for.tips if r == rack} for rack, _ in spoken_for.tips}
    racks = [
        {"barcode": r.barcode, "labware": r.labware, "free_wells": _free({*r.used, *taken.get(r.barcode, ())})}
        for r in store.tip_racks_now()
    ]
    return json.dumps([r for r in racks if r["free_wells"]], sort_keys=True).encode()


def _free(used: set[str]) -> list[str]:
    """List a 96-rack's full positions down the columns, the order in which a robot empties it."""
    wells = (f"{chr(65 + row)}{column + 1:02d}" for column in range(12) for row in range(8))
    return [w for w in wells if w not in used]
