"""Wells to responses: scaled to the plate's own controls, judged, called."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from nextplate.assay.control import ControlScale, Occupied, assemble, control_scale, corrected, joined, position_effect
from nextplate.assay.endpoint import NC_RATIO, Endpoint, Method
from nextplate.assay.params import AssayParams
from nextplate.assay.quality import PlateQc
from nextplate.assay.spatial import Bools
from nextplate.assay.statistics import Values
from nextplate.assay.verdict import plate_failures, plate_quality
from nextplate.plate import Layout, Role

_SCHEMA: dict[str, pl.DataType] = {
    "plate": pl.String(),
    "well": pl.String(),
    "role": pl.String(),
    "compound_id": pl.String(),
    "replicate": pl.Int32(),
    "dose_um": pl.Float64(),
    "raw_activity": pl.Float64(),
    "activity": pl.Float64(),
    "activity_z": pl.Float64(),
    "viability": pl.Float64(),
    "flags": pl.String(),
    "is_used": pl.Boolean(),
    "is_hit": pl.Boolean(),
    "is_toxic": pl.Boolean(),
}


def normalise(
    wells: pl.DataFrame, layout: Layout, params: AssayParams, endpoint: Endpoint = NC_RATIO
) -> tuple[pl.DataFrame, PlateQc]:
    """Turn the measured wells of one plate into responses and judge the plate.

    activity = (x - median_negative) / (median_positive - median_negative), x = the endpoint's number of the well:
    percent of control on medians (Malo et al. 2006, doi 10.1038/nbt1186); by the method robust-z it is activity_z.
    activity_z = (x - median_negative) / (1.4826 MAD of the negatives), counted towards the endpoint's direction.
    viability = cells per field over the negatives' median. Wells which imaging flags are kept with is_used False.
    Where a plate fails, every is_used is False. Empty wells are left out. A hit by robust z needs params.hit_z only,
    as params.hit_threshold is a share of the controls' window.

    Returns:
        (one row per occupied well in layout order; the plate's quality).

    Raises:
        DataError: a column is missing, a well occurs twice, or the wells are another plate's.
    """
    found = scaled(wells, layout, params, endpoint)
    return found.rows, found.quality


@dataclass(frozen=True, slots=True)
class Scaled:
    """A plate on its controls' scale, with what led there."""

    plate: Occupied
    values: Values
    """Raw scale after the correction of position effects, shape (n,), also of wells that are not good."""
    scale: ControlScale
    rows: pl.DataFrame
    """One row per occupied well, as `normalise` returns them."""
    quality: PlateQc


def scaled(wells: pl.DataFrame, layout: Layout, params: AssayParams, endpoint: Endpoint) -> Scaled:
    """Do what `normalise` does and keep what it went through.

    Raises:
        DataError: as `normalise`.
    """
    plate = assemble(wells, layout, endpoint)
    effect = position_effect(plate)
    values, correction = corrected(plate, effect, params)
    scale = control_scale(plate, values, params)
    failures = plate_failures(plate, scale, params)
    rows = _rows(plate, values, scale, params, is_passed=not failures or params.accepts_failed)
    return Scaled(plate, values, scale, rows, plate_quality(plate, rows, scale, effect, correction, failures, params))


def _rows(
    plate: Occupied, values: Values, scale: ControlScale, params: AssayParams, *, is_passed: bool
) -> pl.DataFrame:
    n = len(plate.wells)
    activity, z = _activity(values, scale)
    viability = plate.cells / scale.cells if scale.cells else np.full(n, np.nan)
    is_used = plate.is_good & np.isfinite(activity) & is_passed
    is_sample = plate.role(Role.SAMPLE)
    is_hit = is_sample & is_used & _is_called(activity, z, viability, params, plate.endpoint.method)
    code = "no-control" if scale.is_scarce else ""
    return pl.DataFrame(
        {
            "plate": [plate.layout.barcode] * n,
            "well": plate.names(),
            "role": [str(w.role) for w in plate.wells],
            "compound_id": [w.compound_id if w.role is Role.SAMPLE else None for w in plate.wells],
            "replicate": [w.replicate for w in plate.wells],
            "dose_um": [w.dose_um for w in plate.wells],
            "raw_activity": plate.measured,
            "activity": activity,
            "activity_z": z,
            "viability": viability,
            "flags": [joined(f, code) for f in plate.flags],
            "is_used": is_used,
            "is_hit": is_hit,
            "is_toxic": is_sample & plate.is_counted & is_passed & (viability < params.min_viability),
        },
        schema=_SCHEMA,
    ).with_columns(pl.col("raw_activity", "activity", "activity_z", "viability").fill_nan(None))


def _activity(values: Values, scale: ControlScale) -> tuple[Values, Values]:
    """Return (activity, activity_z), both NaN where the scale does not give them."""
    nothing = np.full(values.shape, np.nan)
    unit = scale.unit
    if unit is None or scale.negative_median is None:
        return nothing, nothing
    above = values - scale.negative_median
    z = above * scale.sign / scale.negative_sd if scale.negative_sd else nothing
    return above / unit, np.asarray(z)


def _is_called(activity: Values, z: Values, viability: Values, params: AssayParams, method: Method) -> Bools:
    # NaN compares False: what is not known is no hit.
    is_strong = activity >= params.hit_threshold if method is Method.CONTROLS else z >= params.hit_z
    return np.asarray(is_strong & (z >= params.hit_z) & (viability >= params.min_viability))
