"""Hits against compounds tested, beside what chance and similarity search would have found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.report import estimates
from controller.report.model import Curve, CurvePoint, Estimate, RoundView, WellView
from controller.report.plates import is_at_plate_dose
from controller.report.referee import Verdict
from controller.report.source import Source

LOT = ("cold-start", "explore")
MODEL = ("exploit",)
_HYPERGEOMETRIC = "± 2 sd of a hypergeometric draw"


@dataclass(frozen=True, slots=True)
class Tested:
    """A compound on its plate."""

    compound_id: str
    reason: str
    is_usable: bool
    """At least one well gave a response that counts."""
    is_called: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """The compounds of a measured plate, in order of their picks."""

    round: int
    compounds: tuple[Tested, ...]


def batches(source: Source, rounds: Sequence[RoundView]) -> tuple[Batch, ...]:
    """List what every measured plate tested."""
    return tuple(_batch(source, r) for r in rounds if r.plate is not None and r.plate.quality is not None)


def _batch(source: Source, view: RoundView) -> Batch:
    assert view.plate is not None
    wells: dict[str, list[WellView]] = {}
    for well in view.plate.wells:
        if well.compound_id and is_at_plate_dose(source, well):
            wells.setdefault(well.compound_id, []).append(well)
    picks = source.frame("pick", view.round, "picks.parquet")
    ranked = list(picks["compound_id"]) if picks is not None else []
    order = {name: n for n, name in enumerate(ranked)}
    names = sorted(wells, key=lambda name: (order.get(name, len(order)), name))
    counts = view.plate.counts
    return Batch(
        view.round,
        tuple(
            Tested(
                name,
                wells[name][0].reason,
                counts and any(w.is_used for w in wells[name]),
                counts and any(w.is_hit for w in wells[name]),
            )
            for name in names
        ),
    )


def gather_curve(tested: Sequence[Batch], n_library: int, verdict: Verdict) -> Curve:
    """Count hits against compounds tested; a compound tested again counts once."""
    steps, new = _steps(tested)
    by_lot, by_model = _share_of(new, LOT), _share_of(new, MODEL)
    points = _points(tested, steps, by_lot, verdict)
    last = points[-1] if points else None
    n_true = verdict.body["n_true_hits"] if verdict.body else None
    retested = [t for b, later in zip(tested, new, strict=True) for t in b.compounds if t not in later and t.is_usable]
    return Curve(
        points=points,
        steps=tuple(steps),
        has_referee=verdict.body is not None,
        n_true_in_library=n_true,
        origin=_origin(verdict),
        by_lot=by_lot,
        by_model=by_model,
        enrichment_called=estimates.ratio_of_shares(*_counts(new, MODEL), *_counts(new, LOT)),
        enrichment_true=_enrichment_true(last, n_true, n_library, verdict),
        by_reason=_by_reason(tested, new),
        precision=_precision(verdict),
        n_retested=len(retested),
        n_again=sum(t.is_called for t in retested),
    )


def _steps(tested: Sequence[Batch]) -> tuple[list[tuple[int, int]], list[tuple[Tested, ...]]]:
    """Walk through the compounds in order; return (tested, called) after each new one or new call, and the new ones."""
    seen: set[str] = set()
    called: set[str] = set()
    steps, new = [(0, 0)], []
    for batch in tested:
        new.append(tuple(t for t in batch.compounds if t.compound_id not in seen))
        for t in batch.compounds:
            seen.add(t.compound_id)
            called |= {t.compound_id} if t.is_called else set()
            steps.append((len(seen), len(called)))
    return steps, new


def _counts(new: Sequence[Sequence[Tested]], reasons: Sequence[str]) -> tuple[int, int]:
    """Return (called, usable) of the compounds chosen for these reasons."""
    usable = [t for batch in new for t in batch if t.is_usable and t.reason in reasons]
    return sum(t.is_called for t in usable), len(usable)


def _share_of(new: Sequence[Sequence[Tested]], reasons: Sequence[str]) -> Estimate:
    return estimates.share(*_counts(new, reasons))


def _by_reason(tested: Sequence[Batch], new: Sequence[Sequence[Tested]]) -> tuple[tuple[int, str, Estimate], ...]:
    found = []
    for batch, fresh in zip(tested, new, strict=True):
        for reason in (*LOT, *MODEL):
            share = _share_of([fresh], (reason,))
            found += [(batch.round, reason, share)] if share.n else []
    return tuple(found)


def _points(
    tested: Sequence[Batch], steps: Sequence[tuple[int, int]], by_lot: Estimate, verdict: Verdict
) -> tuple[CurvePoint, ...]:
    points, at = [], 0
    for n, batch in enumerate(tested):
        at += len(batch.compounds)
        n_tested, n_called = steps[at]
        told = verdict.body["rounds"][n] if verdict.body else None
        random = _told_random(told) if told else _lot_random(by_lot, n_tested)
        similarity = _told_similarity(told, verdict.body) if told and verdict.body else estimates.unknown(verdict.why)
        n_true = told["n_true_hits"] if told else None
        points.append(CurvePoint(batch.round, n_tested, n_called, n_true, random, similarity))
    return tuple(points)


def _told_random(told: Mapping[str, Any]) -> Estimate:
    mean, sd = told["random_expected"], told["random_sd"]
    return Estimate(mean, max(0.0, mean - 2 * sd), mean + 2 * sd, told["n_tested"], _HYPERGEOMETRIC)


def _lot_random(by_lot: Estimate, n: int) -> Estimate:
    if by_lot.value is None or by_lot.low is None or by_lot.high is None:
        return estimates.unknown("no compound chosen by lot gave a usable response", n)
    return Estimate(by_lot.value * n, by_lot.low * n, by_lot.high * n, n, f"{estimates.WILSON} of the base rate")


def _told_similarity(told: Mapping[str, Any], body: Mapping[str, Any]) -> Estimate:
    mean, sd = told["similarity_mean"], told["similarity_sd"]
    return Estimate(mean, mean - sd, mean + sd, body["n_seeds"], f"± 1 sd of {body['n_seeds']} tie-breaking seeds")


def _enrichment_true(last: CurvePoint | None, n_true: int | None, n_library: int, verdict: Verdict) -> Estimate:
    if last is None or last.n_true is None or n_true is None:
        return estimates.unknown(verdict.why or "no compound has been tested yet")
    return estimates.over_known_share(last.n_true, last.n_tested, n_true / n_library)


def _precision(verdict: Verdict) -> Estimate:
    if verdict.body is None:
        return estimates.unknown(verdict.why)
    told = verdict.body["confusion"]
    return estimates.share(told["n_right"], told["n_called"])


def _origin(verdict: Verdict) -> dict[str, str]:
    if verdict.body is None:
        lot = "the share of hits among compounds chosen by lot (cold start and exploration), times the number tested"
        return {"random": lot, "similarity": f"not available: {verdict.why}"}
    return {k: str(v) for k, v in verdict.body["origin"].items()}
