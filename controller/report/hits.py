"""Gather the compounds called hits: what was measured, what was believed before, and where it all stands."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from controller.report.chain import gather_chain
from controller.report.model import Estimate, Hit, PickView, PlateView, RoundView, WellView
from controller.report.plates import control_activities, is_at_plate_dose
from controller.report.source import Source
from nextplate.plate import Role

N_CHAINS = 12
"""Top hits that get their id chain, structure and a row of the table."""
_MAD_TO_SD = 1.4826


@dataclass(frozen=True, slots=True)
class _Seen:
    plate: PlateView
    well: WellView


def gather_hits(source: Source, rounds: Sequence[RoundView], smiles: Mapping[str, str]) -> tuple[Hit, ...]:
    """List every compound called a hit on a plate that counts, by mean activity, best first.

    Wells at other doses, of a dose-response series, are left to its curve.
    """
    seen: dict[str, list[_Seen]] = {}
    for view in rounds:
        if view.plate is not None and view.plate.counts:
            for well in view.plate.wells:
                is_known = well.is_used and well.activity is not None
                if well.compound_id and is_known and is_at_plate_dose(source, well):
                    seen.setdefault(well.compound_id, []).append(_Seen(view.plate, well))
    called = {name: wells for name, wells in seen.items() if any(s.well.is_hit for s in wells)}
    ranked = sorted(called, key=lambda name: (-_mean(called[name]), name))
    picks = {view.round: _picks(source, view.round) for view in rounds}
    return tuple(
        _hit(source, name, called[name], smiles.get(name, ""), picks, with_chain=n < N_CHAINS)
        for n, name in enumerate(ranked)
    )


def _hit(
    source: Source,
    name: str,
    seen: Sequence[_Seen],
    smiles: str,
    picks: Mapping[int, Mapping[str, PickView]],
    *,
    with_chain: bool,
) -> Hit:
    best = next(s for s in seen if s.well.is_hit)
    pick = picks[seen[0].plate.round][name]
    viabilities = [s.well.viability for s in seen if s.well.viability is not None]
    chain_pick = picks[best.plate.round][name]
    return Hit(
        compound_id=name,
        smiles=smiles,
        activity=_activity(seen),
        values=tuple((s.plate.barcode, s.well.well, _value(s)) for s in seen),
        viability=float(np.mean(viabilities)) if viabilities else None,
        n_wells=len(seen),
        n_hit_wells=sum(s.well.is_hit for s in seen),
        pick=pick,
        chain=gather_chain(source, best.plate, best.well, chain_pick) if with_chain else (),
    )


def _value(seen: _Seen) -> float:
    return seen.well.activity if seen.well.activity is not None else math.nan


def _mean(seen: Sequence[_Seen]) -> float:
    return float(np.mean([_value(s) for s in seen]))


def _activity(seen: Sequence[_Seen]) -> Estimate:
    """Give the mean of a compound's wells with their sd; of a single well, with the sd of the plate's negatives."""
    values = [_value(s) for s in seen]
    mean, n = _mean(seen), len(values)
    if n > 1:
        sd = float(np.std(values, ddof=1))
        return Estimate(mean, mean - sd, mean + sd, n, f"± sd of {n} wells")
    noise = negative_sd(seen[0].plate)
    if noise is None:
        return Estimate(mean, n=1, why="the plate has too few negative controls to tell the noise")
    return Estimate(mean, mean - noise, mean + noise, 1, "± robust sd of the plate's negatives")


def negative_sd(plate: PlateView) -> float | None:
    """Return the robust sd of a plate's negative controls on the activity scale; None with fewer than 3."""
    values = control_activities(plate.wells, Role.NEGATIVE)
    if len(values) < 3:
        return None
    return float(_MAD_TO_SD * np.median(np.abs(values - np.median(values))))


def _picks(source: Source, r: int) -> dict[str, PickView]:
    frame = source.frame("pick", r, "picks.parquet")
    rows: list[dict[str, Any]] = [] if frame is None else frame.to_dicts()
    numbers = ("score", "mean", "lower", "upper", "p_hit", "nearest_tested")
    return {
        row["compound_id"]: PickView(
            r, n + 1, row["reason"], **{k: _finite(row[k]) for k in numbers}, why=row.get("why")
        )
        for n, row in enumerate(rows)
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
