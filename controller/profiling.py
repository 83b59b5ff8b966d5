"""nextplate profiles: several measured plates on one scale, on disk and in words."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from controller.analysis import aligned, write_table
from controller.files import write_text
from controller.measured import Measured, open_measured
from controller.steps.data import finite
from nextplate.assay import (
    NC_RATIO,
    AssayParams,
    DriftRow,
    MeasuredPlate,
    PlateProfiles,
    ProfileParams,
    drift,
    endpoint_of,
    normalise,
    profile_plates,
)
from nextplate.errors import DataError

if TYPE_CHECKING:
    from nextplate.assay import GroupPrecision

_SHOWN = 20


def compare_plates(
    folders: Sequence[Path], layout: Path | None, params: ProfileParams, seed: int, readout: str | None = None
) -> tuple[PlateProfiles, tuple[DriftRow, ...]]:
    """Read measured folders and bring their plates on one scale.

    Args:
        folders: of one plate each.
        layout: for all plates, or with a column plate; None: each folder's own.
        params: how to compare.
        seed: of the null distributions.
        readout: the column whose controls tell drift. None: nc_ratio, where all plates have it.

    Raises:
        DataError: a folder is no measured one, a plate has no layout or not the readout asked for, or as
            `profile_plates`.
    """
    plates = [open_measured(f, layout) for f in folders]
    bare = [str(m.folder) for m in plates if m.layout is None]
    if bare:
        raise DataError(f"{bare[0]} has no layout; give one: --layout FILE (with a column plate for several plates)")
    given = [MeasuredPlate(m.plate, m.wells, m.layout) for m in plates if m.layout is not None]
    found = profile_plates(given, params, np.random.default_rng(seed))
    return found, _drift(plates, readout)


def _drift(plates: Sequence[Measured], readout: str | None) -> tuple[DriftRow, ...]:
    """Compare the controls of the readout plate by plate; () where not all plates have it."""
    column = readout or NC_RATIO.column
    without = [m.plate for m in plates if column not in m.wells.columns or not m.wells.schema[column].is_numeric()]
    if without and readout is not None:
        raise DataError(f"--readout {readout}: the wells of plate {without[0]} have no such number")
    if without:
        return ()
    endpoint = endpoint_of(column)
    judged = [normalise(m.wells, m.layout.plan(m.plate), AssayParams(), endpoint)[1] for m in plates if m.layout]
    return drift(judged)


def write_profiles(found: PlateProfiles, drifts: Sequence[DriftRow], out: Path) -> dict[str, Any]:
    """Write profiles.parquet, features.csv, groups.csv, replicates.csv, plates.csv and profiles.json.

    Returns:
        The body of profiles.json.
    """
    write_table(found.wells, out / "profiles.parquet")
    write_table(_features(found), out / "features.csv")
    write_table(_groups(found), out / "groups.csv")
    write_table(_replicates(found), out / "replicates.csv")
    write_table(_plates(found, drifts), out / "plates.csv")
    body = _body(found, drifts) | {"out": str(out)}
    write_text(out / "profiles.json", json.dumps(body, indent=1, sort_keys=True, allow_nan=False) + "\n")
    return body


def _features(found: PlateProfiles) -> pl.DataFrame:
    rows = [(name, True, "") for name in found.selection.kept]
    rows += [(name, False, reason) for name, reason in found.selection.dropped]
    return pl.DataFrame(rows, schema={"feature": pl.String, "is_kept": pl.Boolean, "reason": pl.String}, orient="row")


_PRECISION = ("precision", "chance", "p", "q")


def _groups(found: PlateProfiles) -> pl.DataFrame:
    """One row per group: activity against the negatives, distinctness against all other groups."""
    parts = [_precisions(rows, name) for name, rows in (("active", found.active), ("distinct", found.distinct))]
    return parts[0].join(parts[1], on=["group", "n_wells"], how="full", coalesce=True).sort("group")


def _precisions(rows: Sequence["GroupPrecision"], name: str) -> pl.DataFrame:
    schema: dict[str, Any] = {"group": pl.String, "n_wells": pl.Int64}
    schema |= {f"{name}_{column}": pl.Float64 for column in _PRECISION}
    table = [(r.group, r.n_wells, *(getattr(r, column) for column in _PRECISION)) for r in rows]
    return pl.DataFrame(table, schema=schema, orient="row")


def _replicates(found: PlateProfiles) -> pl.DataFrame:
    r = found.replicates
    names, values = ((), ()) if r is None else (r.groups, r.correlation)
    table = pl.DataFrame(
        {"treatment": pl.Series(names, dtype=pl.String), "correlation": pl.Series(values, dtype=pl.Float64)}
    )
    limit = None if r is None else r.limit
    return table.with_columns(limit=pl.lit(limit, pl.Float64), is_replicating=pl.col("correlation") > limit)


def _plates(found: PlateProfiles, drifts: Sequence[DriftRow]) -> pl.DataFrame:
    by_plate = {d.plate: d.to_json() for d in drifts}
    return pl.DataFrame([asdict(s) | by_plate.get(s.plate, {}) for s in found.shifts], infer_schema_length=None)


def _body(found: PlateProfiles, drifts: Sequence[DriftRow]) -> dict[str, Any]:
    r = found.replicates
    body: dict[str, Any] = finite(
        {
            "plates": [asdict(s) for s in found.shifts],
            "drift": [d.to_json() for d in drifts],
            "wells": len(found.wells),
            "features": len(found.selection.kept),
            "features_dropped": len(found.selection.dropped),
            "is_sphered": found.is_sphered,
            "percent_replicating": None if r is None else r.percent_replicating,
            "treatments": None if r is None else len(r.groups),
            "groups": _groups(found).to_dicts(),
            "reasons": list(found.reasons),
        }
    )
    return body


def profiles_text(found: PlateProfiles, drifts: Sequence[DriftRow]) -> str:
    """Say in a few lines how alike replicates are, which compounds stand out, and which plates drift."""
    how = "sphered on the negatives" if found.is_sphered else "robust z, not sphered"
    n_kept, n_all = len(found.selection.kept), len(found.selection.kept) + len(found.selection.dropped)
    lines = [f"{len(found.shifts)} plates, {len(found.wells)} good wells, {n_kept} of {n_all} features, {how}"]
    r = found.replicates
    if r is not None:
        lines.append(
            f"replicating: {r.percent_replicating:.0f} % of {len(r.groups)} treatments "
            f"(median correlation above {r.limit:.2f}; 5 % by chance)"
        )
    lines += ["", *_plates_text(found, drifts), "", *_groups_text(found)]
    return "\n".join([*lines, *(f"note: {reason}" for reason in found.reasons)])


def _plates_text(found: PlateProfiles, drifts: Sequence[DriftRow]) -> list[str]:
    by_plate = {d.plate: d for d in drifts}
    head = ["plate", "negatives", "samples", "features off by > 3 sd", "farthest feature", "controls of the readout"]
    rows = [head]
    for s in found.shifts:
        share = "" if s.far_share is None else f"{s.far_share:.0%} (median {s.median_shift:.1f} sd)"
        d = by_plate.get(s.plate)
        drifted = "" if d is None else "DRIFT" if d.is_drifting else "steady"
        rows.append([s.plate, str(s.n_negative), str(s.n_samples), share, s.farthest or "", drifted])
    return aligned(rows)


def _groups_text(found: PlateProfiles) -> list[str]:
    rows = [["group", "wells", "mAP against negatives", "q", "mAP against others", "q"]]
    others = {g.group: g for g in found.distinct}
    for g in sorted(found.active, key=lambda g: (g.q, -g.precision))[:_SHOWN]:
        o = others.get(g.group)
        rows.append([g.group, str(g.n_wells), f"{g.precision:.2f} (chance {g.chance:.2f})", f"{g.q:.2g}",
                     f"{o.precision:.2f} (chance {o.chance:.2f})" if o else "", f"{o.q:.2g}" if o else ""])  # fmt: skip
    more = len(found.active) - _SHOWN
    return [*aligned(rows), *([f"and {more} more groups: groups.csv"] if more > 0 else [])]
