"""All that the numbers of one measured plate say: responses, quality, dose-response, hits, and what cannot be said.

Nothing here fails because a plate is poor. What cannot be computed is absent, and `reasons` says why in words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from nextplate.assay.b_score import b_scores
from nextplate.assay.control_quality import ControlQc, control_quality
from nextplate.assay.effects import Confounding, PositionEffect, confounding, position_effects
from nextplate.assay.endpoint import NC_RATIO, Endpoint, Method, endpoint_of
from nextplate.assay.hit_calls import HitCalls, HitRates, hit_calls
from nextplate.assay.measured_layout import MeasuredLayout, MeasuredWell
from nextplate.assay.params import AssayParams
from nextplate.assay.plate_doses import dose_order, plate_dose_responses
from nextplate.assay.quality import PlateQc
from nextplate.assay.replicate_agreement import ReplicateAgreement, replicate_agreement
from nextplate.assay.responses import Scaled, scaled
from nextplate.assay.spatial import Bools, inactive
from nextplate.assay.statistics import Values, v_factor
from nextplate.errors import DataError
from nextplate.plate import Role, parse_well


@dataclass(frozen=True, slots=True)
class PlateAnalysis:
    """One plate, analysed."""

    endpoint: Endpoint
    responses: pl.DataFrame
    """One row per occupied well in plate order: plate, well, role, compound_id (of a control: its series), replicate,
    dose, dose_unit, dose_um, raw_activity, activity, activity_z, p and q of the hit call, b_score, viability, flags,
    is_good (can be trusted), is_used (is_good on a plate that passed), is_hit, is_toxic, then the layout's further
    columns."""
    quality: PlateQc
    """As the loop judges plates."""
    controls: ControlQc
    """All control wells together."""
    series: Mapping[str, ControlQc]
    """Of each series that has controls of its own."""
    v_factors: Mapping[str, float | None]
    """V-factor of each series' doses and controls (see `statistics.v_factor`)."""
    replicates: ReplicateAgreement
    effects: tuple[PositionEffect, ...]
    confounding: tuple[Confounding, ...]
    dose_order: str | None
    """'row' or 'column' where doses stand in its order."""
    doses: pl.DataFrame
    """One row per compound with doses (see `plate_dose_responses`)."""
    dose_column: str
    """The column of `responses` that was fitted: activity, or raw_activity where there is no scale."""
    hits: HitRates | None
    reasons: tuple[str, ...]
    """What could not be computed, or must be known to read the numbers; first why the plate failed."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values: the quality's keys and the controls' on top, the rest below names of its own."""
        body = self.quality.to_json() | self.controls.to_json() | {"passed": self.quality.passed}
        return {
            **body,
            "reasons": list(self.reasons),
            "endpoint": asdict(self.endpoint),
            "series": {
                name: {**found.to_json(), "v_factor": self.v_factors[name]} for name, found in self.series.items()
            },
            "replicates": self.replicates.to_json(),
            "position_effects": [asdict(e) for e in self.effects],
            "confounding": [asdict(c) for c in self.confounding],
            "dose_response": self.doses.to_dicts(),
            "hits": None if self.hits is None else asdict(self.hits),
        }


def analyse_plate(
    wells: pl.DataFrame, layout: MeasuredLayout, params: AssayParams, readout: Endpoint | str = NC_RATIO
) -> PlateAnalysis:
    """Analyse the measured wells of one plate.

    Args:
        wells: one row per well: plate, well, n_fields, n_cells, flags, and the readout's column.
        layout: who sat where. A plate whose measured wells are none of its wells is an error; single ones are told.
        params: when the plate passes, and what a hit is.
        readout: the response, or the name of its column (its scale is then told by `endpoint_of`).

    Raises:
        DataError: the table holds several plates or none, lacks a column, has a well twice, or shares no well with
            the layout.
    """
    endpoint = endpoint_of(readout) if isinstance(readout, str) else readout
    plate = _plate_of(wells)
    layout = layout.covering(wells["well"].to_list())
    notes = _compared(wells, layout, plate)
    warned = _confounded(layout)
    order = dose_order(layout)
    # Where place and content cannot be told apart, an edge effect must not be taken out: it may be the effect itself.
    safe = replace(params, corrects_edge=params.corrects_edge and order is None and not warned)
    found = scaled(wells, layout.plan(plate), safe, endpoint)
    rows = _with_layout(found, layout)
    column = "activity" if found.scale.unit is not None else "raw_activity"
    calls, unhit = _hits(found, rows, params)
    scores, unscored = _b_scores(found, order)
    effects, untested = _effects(found, order)
    by_series = {name: _series(found, rows, name) for name in layout.series}
    controls = control_quality(found.scale.positive, found.scale.negative, endpoint)
    return PlateAnalysis(
        endpoint=endpoint,
        responses=_ordered(rows, calls, scores),
        quality=found.quality,
        controls=controls,
        series={name: qc for name, (qc, _) in by_series.items()},
        v_factors={name: v for name, (_, v) in by_series.items()},
        replicates=_replicates(rows, column),
        effects=effects,
        confounding=warned,
        dose_order=order,
        doses=plate_dose_responses(rows, layout, column),
        dose_column=column,
        hits=calls.rates if calls else None,
        reasons=(
            *_reasons(found, (*controls.reasons, *notes, unhit, unscored, untested), column),
            *(w.message for w in warned),
        ),
    )


def _confounded(layout: MeasuredLayout) -> tuple[Confounding, ...]:
    """Warn of all controls together, then of those of each series."""
    found = list(_confounding(layout, layout.occupied()))
    for name in layout.series:
        own = _confounding(layout, [w for w in layout.occupied() if w.compound_id == name])
        found += [replace(w, message=f"{name}: {w.message}") for w in own]
    return tuple(found)


def _confounding(layout: MeasuredLayout, wells: Sequence[MeasuredWell]) -> tuple[Confounding, ...]:
    return confounding([w.well for w in wells], [w.role for w in wells], layout.plate_format)


def _plate_of(wells: pl.DataFrame) -> str:
    if "plate" not in wells.columns:
        raise DataError("the measured wells lack the column plate")
    names = wells["plate"].unique().to_list()
    if len(names) != 1:
        found = ", ".join(map(str, sorted(names)[:5])) or "none"
        raise DataError(f"the measured wells are of {len(names)} plates ({found}); analyse one at a time")
    return str(names[0])


def _compared(wells: pl.DataFrame, layout: MeasuredLayout, plate: str) -> list[str]:
    """Say which wells only the layout or only the measurement has; refuse a layout of another plate."""
    measured = set(wells["well"].to_list())
    named, occupied = {w.well for w in layout.wells}, {w.well for w in layout.occupied()}
    if not measured & occupied:
        raise DataError(
            f"{layout.source} names none of the {len(measured)} measured wells of plate {plate} as occupied; "
            "give the layout of the plate that was imaged"
        )
    notes = []
    if measured - named:
        notes.append(
            f"measured and not in the layout, so taken as empty: {_listed(measured - named)}; give them a line if not"
        )
    if occupied - measured:
        notes.append(f"in the layout and not measured (flag no-image): {_listed(occupied - measured)}")
    return notes


def _listed(wells: set[str]) -> str:
    names = sorted(wells, key=parse_well)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _with_layout(found: Scaled, layout: MeasuredLayout) -> pl.DataFrame:
    """Put what the layout says in place of what the loop's own layout can hold."""
    table = layout.table()
    rows = found.rows.drop("compound_id", "dose_um").with_columns(is_good=pl.Series(found.plate.is_good))
    ours = {*rows.columns, *_FIRST, *_THEN} - {"compound_id", "dose", "dose_unit", "dose_um"}
    taken = {n: f"layout_{n}" for n in table.columns if n != "well" and n in ours}
    return rows.join(table.rename(taken), on="well", how="left", maintain_order="left")


_FIRST = ("plate", "well", "role", "compound_id", "replicate", "dose", "dose_unit", "dose_um", "raw_activity")
_THEN = ("activity", "activity_z", "p", "q", "b_score", "viability", "flags", "is_good", "is_used", "is_hit")


def _ordered(rows: pl.DataFrame, calls: HitCalls | None, scores: Values | None) -> pl.DataFrame:
    nothing = np.full(len(rows), np.nan)
    p, q = (calls.p, calls.q) if calls else (nothing, nothing)
    added = {"p": p, "q": q, "b_score": nothing if scores is None else scores}
    full = rows.with_columns(**{name: pl.Series(values).fill_nan(None) for name, values in added.items()})
    first = [*_FIRST, *_THEN, "is_toxic"]
    return full.select(*first, pl.exclude(first))


def _treatment(rows: pl.DataFrame) -> list[str | None]:
    columns = rows.select("compound_id", "dose", "dose_unit")
    return [None if c is None else f"{c}@{d}{u or ''}" for c, d, u in columns.iter_rows()]


def _column(rows: pl.DataFrame, name: str) -> Values:
    return np.asarray(rows[name].fill_null(float("nan")).to_numpy(), dtype=np.float64)


def _replicates(rows: pl.DataFrame, column: str) -> ReplicateAgreement:
    samples = rows.filter(
        (pl.col("role") == str(Role.SAMPLE)) & pl.col("is_good") & pl.col("compound_id").is_not_null()
    )
    return replicate_agreement(_column(samples, column), [t or "" for t in _treatment(samples)])


def _series(found: Scaled, rows: pl.DataFrame, name: str) -> tuple[ControlQc, float | None]:
    """Judge the controls of one series, and its doses with them."""
    mine = np.asarray((rows["compound_id"] == name).fill_null(value=False).to_numpy()) & found.plate.is_good
    positive, negative = (found.values[mine & found.plate.role(r)] for r in (Role.POSITIVE, Role.NEGATIVE))
    dose = _column(rows, "dose")
    is_sample = mine & found.plate.role(Role.SAMPLE)
    groups = [found.values[is_sample & (dose == d)] for d in np.unique(dose[is_sample & np.isfinite(dose)])]
    groups += [g for g in (positive, negative) if len(g)]
    return control_quality(positive, negative, found.plate.endpoint), v_factor(groups) if groups else None


def _hits(found: Scaled, rows: pl.DataFrame, params: AssayParams) -> tuple[HitCalls | None, str]:
    """Call hits as the responses do, with their error rates; None and the reason where it cannot be done."""
    if not (found.quality.passed or params.accepts_failed):
        return None, "no hits are called: the plate failed"
    plate, activity = found.plate, _column(rows, "activity")
    used = np.asarray(rows["is_used"].to_numpy())
    viability = _column(rows, "viability")
    samples = used & plate.role(Role.SAMPLE) & (viability >= params.min_viability)
    if not samples.any():
        return None, "no hits are called: there is no good sample well"
    noise = found.quality.noise_negative
    share = params.hit_threshold / noise if noise and plate.endpoint.method is Method.CONTROLS else 0.0
    try:
        calls = hit_calls(
            activity,
            used & plate.role(Role.NEGATIVE),
            samples,
            compound=_treatment(rows),
            z_threshold=max(params.hit_z, share),
        )
    except DataError as error:
        return None, f"no error rates of hits: {error}"
    return calls, ""


def _b_scores(found: Scaled, order: str | None) -> tuple[Values | None, str]:
    """Return B-scores, counted towards an effect, where they may be trusted; else None and the reason."""
    if order is not None:
        return None, f"no B-scores: the doses stand in the order of the {order}s and would be taken out with them"
    plate, shape = found.plate, found.plate.layout.plate_format
    grid, control = np.full((1, shape.n_rows, shape.n_columns), np.nan), np.zeros((1, shape.n_rows, shape.n_columns))
    places = [parse_well(w) for w in plate.names()]
    rows, columns = (np.array([p[i] for p in places], dtype=np.int64) for i in (0, 1))
    grid[0, rows, columns] = plate.raw
    control[0, rows, columns] = ~plate.role(Role.SAMPLE)
    scored = b_scores(grid, control.astype(np.bool_))
    if scored.obstacles[0]:
        return None, f"no B-scores: {'; '.join(scored.obstacles[0][:3])}"
    return np.asarray(found.scale.sign * scored.scores[0, rows, columns]), ""


def _effects(found: Scaled, order: str | None) -> tuple[tuple[PositionEffect, ...], str]:
    """Test places on wells that should read alike: negatives, and samples that do nothing unless doses are in order."""
    plate = found.plate
    negatives = plate.is_good & plate.role(Role.NEGATIVE)
    samples = plate.is_good & plate.role(Role.SAMPLE)
    tested: Bools = negatives if order else inactive(plate.raw, negatives | samples)
    effects = position_effects(plate.raw, plate.names(), plate.layout.plate_format, tested)
    why = f"position effects are those of the negatives alone: the doses stand in the order of the {order}s"
    return effects, why if order else ""


def _reasons(found: Scaled, notes: Sequence[str], column: str) -> tuple[str, ...]:
    said = [*found.quality.reasons, *notes]
    if column != "activity":
        said.append("dose-response curves are of the raw numbers: there is no activity scale")
    window = found.scale.window
    if window and window * found.scale.sign < 0:
        said.append(
            f"the positive controls move {found.plate.endpoint.column} against the declared direction: "
            "hits are counted in that direction, activity towards the positive controls"
        )
    if not found.quality.passed and found.scale.unit is not None:
        said.append("the plate failed: its dose-response curves are fitted all the same, to its good wells")
    return tuple(dict.fromkeys(s for s in said if s))
