"""The demo's own printout: rounds, hits beside the baselines, coverage, speed, where the report is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from controller.lab import Lab
from controller.reporting import PAGE

if TYPE_CHECKING:
    from controller.report.model import Campaign, Estimate, RoundView

JSON = Mapping[str, Any]


def campaign_summary(lab: Lab) -> dict[str, Any]:
    """Gather the figures of the latest campaign as JSON values; None stands for what is not determined.

    Raises:
        PlanError: no campaign has been started.
        DataError: a file that the journal names is gone or damaged.
        StoreError: the database cannot be read, or its journal was changed.
    """
    from controller.report import words
    from controller.report.gather import gather

    campaign = gather(lab)
    confidence = campaign.settings["belief"]["confidence"]
    page = lab.folder / "reports" / PAGE
    return {
        "campaign": campaign.name,
        "seed": campaign.seed,
        "state": campaign.state,
        "n_library": campaign.n_library,
        "rounds": [_round(r, confidence) for r in campaign.rounds],
        "hits": _hits(campaign),
        "coverage": {"nominal": confidence, **_estimate(words.pooled_coverage(campaign.rounds, confidence))},
        "images": {
            "n": campaign.speed.n_images,
            "measured_per_s": _estimate(campaign.speed.measured),
            "rendered_per_s": _estimate(campaign.speed.written),
        },
        "seconds": _seconds(campaign.rounds),
        "journal": {"events": campaign.n_events, "hash": campaign.head},
        "report": str(page) if page.is_file() else None,
    }


def _estimate(estimate: "Estimate") -> dict[str, Any]:
    return asdict(estimate)


def _round(view: "RoundView", confidence: float) -> dict[str, Any]:
    from controller.report import words

    quality = view.plate.quality if view.plate else None
    return {
        "round": view.round + 1,
        "plate": view.plate.barcode if view.plate else None,
        "verdict": view.plate.verdict if view.plate else None,
        "reasons": dict(view.reasons),
        "z_prime": _estimate(quality.z_prime) if quality else None,
        "z_prime_robust": _estimate(quality.z_prime_robust) if quality else None,
        "ssmd": _estimate(quality.ssmd) if quality else None,
        "n_flagged": quality.n_flagged if quality else None,
        "n_hits": view.n_called,
        "n_toxic": view.n_toxic,
        "coverage": _estimate(words.coverage_of(view, confidence)),
        "rmse": _estimate(view.rmse_picks),
        "rmse_cross_validation": _estimate(view.rmse_held_out),
        "transfers": view.n_moved,
        "transfers_planned": view.n_planned,
        "deck_loads": view.n_loads,
        "tips": view.n_tips,
        "seconds": dict(view.seconds),
    }


def _hits(campaign: "Campaign") -> dict[str, Any]:
    curve = campaign.curve
    return {
        "points": [asdict(p) for p in curve.points],
        "has_referee": curve.has_referee,
        "true_in_library": curve.n_true_in_library,
        "precision": _estimate(curve.precision),
        "by_lot": _estimate(curve.by_lot),
        "by_model": _estimate(curve.by_model),
        "enrichment_called": _estimate(curve.enrichment_called),
        "enrichment_true": _estimate(curve.enrichment_true),
        "retested": curve.n_retested,
        "called_again": curve.n_again,
    }


def _seconds(rounds: Sequence["RoundView"]) -> dict[str, float]:
    """Sum the computing of each task over the rounds, in the order of a round."""
    found: dict[str, float] = {}
    for view in sorted(rounds, key=lambda r: -len(r.seconds)):
        for task, seconds in view.seconds.items():
            found[task] = round(found.get(task, 0.0) + seconds, 3)
    return found


def summary_text(summary: JSON) -> str:
    """Write the figures for people."""
    plates = [r for r in summary["rounds"] if r["plate"]]
    head = f"campaign {summary['campaign']}, seed {summary['seed']}: {summary['state']}"
    lines = [head, "", *_table([_HEAD, *(_row(r) for r in plates)]), _UNCERTAINTY, "", *_hit_lines(summary), ""]
    nominal = f"{100 * summary['coverage']['nominal']:.0f} % intervals"
    lines += [f"coverage of the {nominal}: {_percent(summary['coverage'])}"]
    images = summary["images"]
    lines += [f"images: {images['n']:,}, measured {_rate(images['measured_per_s'])}"]
    lines += [f"        rendered {_rate(images['rendered_per_s'])}, by the files' own times"]
    seconds = ", ".join(f"{task} {s:.1f}" for task, s in summary["seconds"].items())
    lines += [f"computing, s over all rounds: {seconds}"]
    return "\n".join(lines)


_UNCERTAINTY = (
    "  ±: half the 95 % bootstrap interval (Z', SSMD), standard error (RMSE of new picks); s: seconds of computing"
)
_HEAD = ("round", "plate", "picked", "Z'", "SSMD", "flagged", "hits", "toxic", "coverage", "RMSE", "transfers", "s")


def _row(r: JSON) -> tuple[str, ...]:
    picked = " ".join(f"{n} {reason}" for reason, n in sorted(r["reasons"].items())) or "-"
    inside = r["coverage"]["value"]
    return (
        str(r["round"]),
        r["plate"],
        picked,
        _value(r["z_prime"]),
        _value(r["ssmd"], 1),
        _count(r["n_flagged"]),
        _count(r["n_hits"]),
        _count(r["n_toxic"]),
        "-" if inside is None else f"{100 * inside:.0f} % of {r['coverage']['n']}",
        _value(r["rmse"], 3),
        "-" if r["transfers"] is None else f"{r['transfers']}/{r['transfers_planned']}",
        f"{sum(r['seconds'].values()):.1f}",
    )


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _hit_lines(summary: JSON) -> list[str]:
    hits = summary["hits"]
    if not hits["points"]:
        return ["hits: no plate has been measured yet"]
    last = hits["points"][-1]
    random, similarity, times = last["random"], last["similarity"], hits["enrichment_true"]
    tested = f"{last['n_tested']:,} of {summary['n_library']:,} compounds tested"
    lines = [f"hits called by the assay: {last['n_called']} ({tested})"]
    if hits["retested"]:
        lines[0] += f"; called again when retested: {hits['called_again']} of {hits['retested']}"
    if not hits["has_referee"]:
        return [*lines, *_without_referee(hits)]
    return [
        *lines,
        f"  true hits among the tested   {last['n_true']:>6}   of {hits['true_in_library']} in the library (referee)",
        f"  random choice                {_plain(random):>6}   {_ends(random)}, {random['kind']}",
        f"  similarity search            {_plain(similarity):>6}   {_ends(similarity)}, {similarity['kind']}",
        f"  times random choice          {_plain(times):>6}   {_ends(times)}, {times['kind']}",
        f"  true hits among the called   {_percent(hits['precision'])}",
    ]


def _without_referee(hits: JSON) -> list[str]:
    return [
        f"  called of those chosen by lot         {_percent(hits['by_lot'])}",
        f"  called of those chosen by the belief  {_percent(hits['by_model'])}",
        f"  similarity search                     not determined: {hits['points'][-1]['similarity']['why']}",
    ]


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _value(estimate: JSON | None, digits: int = 2) -> str:
    if estimate is None or estimate["value"] is None:
        return "-"
    ends = (estimate["low"], estimate["high"])
    half = "" if None in ends else f" ± {(ends[1] - ends[0]) / 2:.{digits}f}"
    return f"{estimate['value']:.{digits}f}{half}"


def _plain(estimate: JSON) -> str:
    return "?" if estimate["value"] is None else f"{estimate['value']:.1f}"


def _ends(estimate: JSON) -> str:
    return "" if estimate["low"] is None else f"{estimate['low']:.1f} to {estimate['high']:.1f}"


def _percent(estimate: JSON) -> str:
    if estimate["value"] is None:
        return f"not determined: {estimate['why']}"
    ends = f"{100 * estimate['low']:.1f} to {100 * estimate['high']:.1f} %"
    return f"{100 * estimate['value']:.1f} % ({ends}, {estimate['kind']}, n = {estimate['n']:,})"


def _rate(estimate: JSON) -> str:
    if estimate["value"] is None:
        return f"not determined: {estimate['why']}"
    return f"{estimate['value']:.0f} a second ({estimate['low']:.0f} to {estimate['high']:.0f} over the plates)"
