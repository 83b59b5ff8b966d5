"""What a step reads of the database: frozen into files named by their content, so that its key says what it saw."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from controller.actions import PROFILES, Compute
from controller.files import write_bytes
from nextplate.errors import DataError, PlanError

if TYPE_CHECKING:
    from controller.store.store import Store

LIBRARIES = "library"
"""Folder of the lab that holds the feature folders."""


def resolve(lab: Path, store: "Store", library: str, action: Compute) -> Compute:
    """Replace @library, @stock, @tips and @profiles in a step's inputs by paths of files that hold them now.

    Raises:
        PlanError: an input this version does not know.
        DataError: the file of image profiles is not there.
    """
    return replace(action, inputs={n: _resolved(lab, store, library, p) for n, p in action.inputs.items()})


def library_folder(digest: str) -> str:
    """Name the feature folder of a library, relative to the lab."""
    return f"{LIBRARIES}/{digest[:16]}"


def _resolved(lab: Path, store: "Store", library: str, path: str) -> str:
    match path:
        case "@library":
            return library_folder(library)
        case "@stock":
            return _keep(lab, "stock", "parquet", _stock(store))
        case "@tips":
            return _keep(lab, "tips", "json", _tips(store))
        case _ if path.startswith(PROFILES):
            file = lab / path.removeprefix(PROFILES)
            return _keep(lab, "profiles", file.suffix.removeprefix(".") or "csv", _content(file))
        case _ if path.startswith("@"):
            raise PlanError(f"no snapshot is called {path}")
    return path


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(
            f"{file}: the image profiles that lab.toml names cannot be read ({error.strerror}); put the file back"
        ) from error


def _keep(lab: Path, name: str, suffix: str, content: bytes) -> str:
    path = f"protocols/snapshots/{name}-{hashlib.sha256(content).hexdigest()[:16]}.{suffix}"
    if not (lab / path).exists():
        write_bytes(lab / path, content)
    return path


def _stock(store: "Store") -> bytes:
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
    pl.DataFrame(list(store.stock_now()), schema=dict(schema), orient="row").write_parquet(out)
    return out.getvalue()


def _tips(store: "Store") -> bytes:
    racks = [
        {"barcode": r.barcode, "labware": r.labware, "free_wells": _free(set(r.used))} for r in store.tip_racks_now()
    ]
    return json.dumps([r for r in racks if r["free_wells"]], sort_keys=True).encode()


def _free(used: set[str]) -> list[str]:
    """List a 96-rack's full positions down the columns, the order in which a robot empties it."""
    wells = (f"{chr(65 + row)}{column + 1:02d}" for column in range(12) for row in range(8))
    return [w for w in wells if w not in used]
