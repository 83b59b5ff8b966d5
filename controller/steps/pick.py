"""pick: calibrated predictions, stock and what was tested -> the compounds of the next plate, each with its reason."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import polars as pl

from controller.step import Progress
from controller.steps.data import (
    generator,
    left_out,
    open_library,
    predicted_in_full,
    prediction_of,
    tested_responses,
    write_json,
    write_picks,
)
from controller.steps.foresight import cold_rounds, read_met, yields
from controller.steps.retest import confirm, series
from controller.steps.scoring import score_all, under_viability
from controller.steps.stocked import Usable, source_plates, transfers_left, usable_wells
from nextplate.acquisition import choose_batch, cold_start
from nextplate.acquisition.clusters import scaffold_clusters
from nextplate.acquisition.drawn import Scored
from nextplate.acquisition.reasons import explain_all
from nextplate.acquisition.stopping import Yield, outlook
from nextplate.chem.kernel import max_tanimoto
from nextplate.compound import Features
from nextplate.errors import PlanError
from nextplate.prediction import BY_LOT, Pick

_NOTHING_KNOWN = 0.5
"""What calibrate gives as P(hit) where no label calibrates."""


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, _progress: Progress) -> dict[str, Any]:
    """Write picks.parquet and unavailable.json (why compounds could not be picked, with counts)."""
    features = open_library(inputs["library"])
    tested = tested_responses(inputs)
    wells = usable_wells(inputs["stock"], params, params["dose_um"])
    in_stock = transfers_left(wells, params)
    curves, notes = series(tested, inputs["stock"], params)
    confirmed = confirm(tested, in_stock, params, [p.compound_id for p in curves])
    again = (*confirmed, *curves)
    done = {*tested["compound_id"], *params["excluded"]}
    available = np.array([i in in_stock and i not in done for i in features.compound_ids])
    unavailable = {
        "tested": sum(i in done for i in features.compound_ids),
        "no stock well that gives the dose": sum(i not in in_stock for i in features.compound_ids),
    }
    if not (available.any() or again):
        counts = ", ".join(f"{n} {why}" for why, n in unavailable.items())
        is_used_up = unavailable["tested"] == len(features.compound_ids)
        fix = "the library is used up: answer abort" if is_used_up else "add stock and answer retry, or abort"
        raise PlanError(f"no compound can be picked ({counts}); {fix}")
    n_wells = params["n_wells"] - sum(p.n_wells for p in again)
    frame = pl.read_parquet(inputs["predictions"]) if "predictions" in inputs else None
    new = _new(inputs, params, features, frame, available, tested, wells, n_wells)
    picks, told = (*again, *new.picks), new.notes
    if (n_empty := params["n_wells"] - sum(p.n_wells for p in picks)) > 0:
        told = (*told, f"{n_empty} of {params['n_wells']} wells stay empty: only {len(picks)} compounds can be picked")
    write_picks(picks, out / "picks.parquet", _why(picks, new, inputs["library"], features, {*tested["compound_id"]}))
    write_json(unavailable, out / "unavailable.json")
    return {
        "n_compounds": len(picks),
        "compounds": [p.compound_id for p in picks],
        "reasons": dict(Counter(p.reason for p in picks)),
        "n_available": int(available.sum()),
        "unavailable": unavailable,
        "notes": [*notes, *told, *left_out(inputs["stock"])],
        "outlook": _outlook(
            _left(frame, {*tested["compound_id"]}), new.picks, *_earlier(inputs, frame, tested, params)
        ),
    }


@dataclass(frozen=True, slots=True)
class _Left:
    """What is not tested."""

    p_hit: npt.NDArray[np.float64]
    """Shape (n,): as it was calibrated; about hits (is_hit) whatever the endpoints, as its history is."""
    notes: tuple[str, ...] = ()


def _left(frame: pl.DataFrame | None, tested: set[str]) -> _Left | None:
    """Take the untested compounds; None where there is no belief, or nothing calibrates: P(hit) is a half for all.

    Of compounds that were only screened P(hit) means nothing: the lot that was predicted in full stands for them.
    """
    if frame is None or (frame["p_hit"] == _NOTHING_KNOWN).all():
        return None
    in_full, by_lot = predicted_in_full(frame), predicted_in_full(frame, "by_lot")
    is_left = np.array([name not in tested for name in frame["compound_id"]])
    p, screened = frame["p_hit"].to_numpy(), is_left & ~in_full
    if not screened.any():
        return _Left(p[is_left])
    mean = _mean_outside(p[is_left & in_full & ~by_lot], p[is_left & by_lot], float(by_lot.mean()))
    note = (
        f"hits left: {int(screened.sum()):,} compounds were only screened; they count as the "
        f"{int((is_left & by_lot).sum()):,} drawn by lot and predicted in full do, less what of these is among the "
        f"best: P(hit) {mean:.2g} each"
    )
    return _Left(np.where(in_full, p, mean)[is_left], (note,))


def _mean_outside(best: npt.NDArray[np.float64], lot: npt.NDArray[np.float64], share: float) -> float:
    """Estimate the mean P(hit) of compounds outside the best that passed a screen, from an even draw of them all.

    Which of the lot passed is not kept; as an even draw it holds its share of the best, and their P(hit) is known
    from the best that it does not hold. 0 where nothing was drawn.

    Args:
        best: of those that passed and are not in the lot.
        lot: of the lot.
        share: of the library in the lot.
    """
    odds = share / (1 - share) if share < 1 else 0.0
    n = len(lot) - odds * len(best)
    if not len(lot) or n < 1:
        return float(lot.mean()) if len(lot) else 0.0
    # Compounds outside the best are no better than all together.
    return float(np.clip((lot.sum() - odds * best.sum()) / n, 0.0, lot.mean()))


def _outlook(
    left: _Left | None, new: Sequence[Pick], history: Sequence[Yield] = (), by_lot: Sequence[Yield] = ()
) -> dict[str, Any] | None:
    """Estimate the hits left and the next plate's yield, each with a 90 % interval.

    Earlier plates tell how far P(hit) was right: history of the next plate, by_lot of what is left.
    """
    if left is None or not new:
        return None
    found = outlook(left.p_hit, [pick.p_hit for pick in new], history, by_lot)
    return asdict(replace(found, notes=(*found.notes, *left.notes)))


def _earlier(
    inputs: Mapping[str, Path], frame: pl.DataFrame | None, tested: pl.DataFrame, params: Mapping[str, Any]
) -> tuple[tuple[Yield, ...], tuple[Yield, ...]]:
    """Tell what earlier plates (inputs ``met-ROUND``) promised and gave: each, and all compounds drawn by lot."""
    met = read_met(inputs)
    by_lot = () if frame is None else _by_lot(cold_rounds(inputs), met, frame, tested)
    return yields(met, params["hit_threshold"]), by_lot


def _by_lot(
    cold: Sequence[int], met: Mapping[int, pl.DataFrame], frame: pl.DataFrame, tested: pl.DataFrame
) -> tuple[Yield, ...]:
    """Tell what compounds drawn by lot promised, out of fold, and gave: first plates, and explore picks since."""
    lots = [table.filter(pl.col("reason") == BY_LOT)["compound_id"] for table in met.values()]
    # Without a plate that counts there is no column of rounds.
    first = [tested.filter(pl.col("round").is_in(cold))["compound_id"]] if len(tested) else []
    names = {name for lot in (*first, *lots) for name in lot}
    if not names or "p_hit_unseen" not in frame.columns:
        return ()
    unseen = frame.filter(pl.col("compound_id").is_in(names) & pl.col("p_hit_unseen").is_finite())
    hits = tested.group_by("compound_id").agg(pl.col("is_hit").any())
    both = unseen.select("compound_id", "p_hit_unseen").join(hits, on="compound_id", maintain_order="left")
    return (Yield(float(both["p_hit_unseen"].sum()), int(both["is_hit"].sum())),) if len(both) else ()


@dataclass(frozen=True, slots=True)
class _New:
    """Compounds picked for the first time."""

    picks: tuple[Pick, ...]
    notes: tuple[str, ...]
    """What the rule and the batch had to do otherwise."""
    score_name: str
    """Of what they were scored by."""
    unscored: frozenset[str] = frozenset()
    """Those of them that the rule has no score for."""


def _new(
    inputs: Mapping[str, Path],
    params: Mapping[str, Any],
    features: Features,
    frame: pl.DataFrame | None,
    available: npt.NDArray[np.bool_],
    tested: pl.DataFrame,
    wells: Usable,
    n_wells: int,
) -> _New:
    """Choose the new compounds, by the predictions where there are any."""
    if not available.any():
        return _New((), (), params["rule"])
    rng = generator(params)
    if frame is None:
        in_stock = transfers_left(wells, params)
        return _New(_first(features, available, in_stock, n_wells, params["n_confirm"], rng), (), params["rule"])
    prediction = under_viability(prediction_of(frame, 0.0), inputs)
    # All of a library predicted in one stage.
    in_full, lot = predicted_in_full(frame), predicted_in_full(frame, "by_lot")
    ranked = available & in_full
    share, n_possible = _exploration_share(params, n_wells), min(n_wells, int(available.sum()))
    n_by_score = n_possible - round(share * n_possible)
    found = score_all(inputs, params, prediction, ranked if ranked.any() else available, tested, rng, n_by_score)
    seen = set(tested["compound_id"])
    rows = [n for n, i in enumerate(features.compound_ids) if i in seen]
    batch = choose_batch(
        found.scores,
        prediction,
        features,
        available=available,
        n_picks=n_wells,
        rng=rng,
        exploration_share=share,
        diversity_weight=params["diversity_weight"],
        tested_fingerprints=np.asarray(features.fingerprints[rows]),
        exploit_from=in_full if found.among is None else in_full & found.among,
        explore_from=lot,
        **_batch_limits(wells, params, features),
    )
    picks, unscored = _by_rule(batch.picks, found, features)
    return _New(picks, (*found.notes, *batch.notes), found.name, unscored)


def _by_rule(picks: Sequence[Pick], found: Scored, features: Features) -> tuple[tuple[Pick, ...], frozenset[str]]:
    """Take the score from picks that the rule has none for, and name them."""
    if found.by_rule is None:
        return tuple(picks), frozenset()
    picked = {pick.compound_id for pick in picks}
    without = zip(features.compound_ids, ~found.by_rule, strict=True)
    unscored = frozenset(name for name, has_none in without if has_none and name in picked)
    return tuple(replace(p, score=float("nan")) if p.compound_id in unscored else p for p in picks), unscored


def _exploration_share(params: Mapping[str, Any], n_wells: int) -> float:
    """Give the share of new compounds by lot; a budget names their wells, and what others left go by score."""
    if (budget := params.get("budget")) is None:
        return float(params["exploration_share"])
    return min(1.0, float(budget["wells"].get("explore", 0)) / max(n_wells, 1))


def _why(picks: Sequence[Pick], new: _New, library: Path, features: Features, seen: set[str]) -> tuple[str, ...]:
    """Say of every pick why it was chosen."""
    chosen = {pick.compound_id for pick in picks}
    rows = [n for n, i in enumerate(features.compound_ids) if i in chosen]
    others = [n for n, i in enumerate(features.compound_ids) if i in seen]
    ids = features.compound_ids
    _, at = max_tanimoto(np.asarray(features.fingerprints[rows]), np.asarray(features.fingerprints[others]))
    table = pl.scan_parquet(library / "compounds.parquet").filter(pl.col("compound_id").is_in(chosen))
    known = table.select("compound_id", "scaffold", "alerts").collect().to_dicts()
    return explain_all(
        picks,
        rule=new.score_name,
        unscored=new.unscored,
        nearest={ids[row]: ids[others[n]] for row, n in zip(rows, at, strict=True) if n >= 0},
        scaffolds={row["compound_id"]: row["scaffold"] for row in known if row["scaffold"] is not None},
        alerts={row["compound_id"]: (row["alerts"],) for row in known if row["alerts"]},
    )


class _BatchLimits(TypedDict, total=False):
    """What choose_batch is asked beside the scores."""

    diversity: str
    clusters: npt.NDArray[np.intp]
    cap_per_cluster: int
    plate_of: npt.NDArray[np.intp]
    plate_cost: float


def _batch_limits(wells: Usable, params: Mapping[str, Any], features: Features) -> _BatchLimits:
    """Read scaffolds and source plates where the settings ask for them; older campaigns' settings never do."""
    limits: _BatchLimits = {"diversity": params.get("diversity", "penalty")}
    if cap := params.get("cap_per_scaffold", 0):
        table = pl.read_parquet(features.folder / "compounds.parquet", columns=["scaffold"])
        limits |= {"clusters": scaffold_clusters(table["scaffold"].to_list()), "cap_per_cluster": cap}
    if cost := params.get("source_plate_cost", 0.0):
        limits |= {"plate_of": source_plates(wells, features.compound_ids), "plate_cost": cost}
    return limits


def _first(
    features: Features,
    available: npt.NDArray[np.bool_],
    in_stock: Mapping[str, int],
    n_wells: int,
    n_twice: int,
    rng: np.random.Generator,
) -> tuple[Pick, ...]:
    """Fill the first plate; some compounds of which there is enough get two wells: that tells the assay's noise."""
    picks = cold_start(features, available, n_wells - n_twice, rng)
    twice = {p.compound_id for p in [p for p in picks if in_stock[p.compound_id] > 1][:n_twice]}
    return tuple(replace(p, n_wells=2) if p.compound_id in twice else p for p in picks)
