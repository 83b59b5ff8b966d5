"""Numbers in words: how the page and the printout write them."""

from collections.abc import Sequence
from datetime import timedelta

from controller.report import estimates
from controller.report.model import Campaign, Estimate, RoundView

UNKNOWN = "not determined"


def number(value: float | None, digits: int = 2) -> str:
    """Write a number with so many decimals, thousands parted by a comma."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """Write a share in percent."""
    return UNKNOWN if value is None else f"{100 * value:.{digits}f} %"


def span(estimate: Estimate, digits: int = 2, scale: float = 1.0) -> str:
    """Write the ends of an estimate; empty where it has none."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return ""
    return f"{scale * estimate.low:,.{digits}f} to {scale * estimate.high:,.{digits}f}"


def with_span(estimate: Estimate, digits: int = 2) -> str:
    """Write an estimate with its ends."""
    ends = span(estimate, digits)
    return number(estimate.value, digits) + (f" ({ends})" if ends else "")


def share_with_span(estimate: Estimate, digits: int = 1) -> str:
    """Write a share in percent with its ends."""
    ends = span(estimate, digits, 100)
    return percent(estimate.value, digits) + (f" ({ends} %)" if ends else "")


def lab_time(campaign: Campaign) -> str:
    """Write how long a campaign took in the lab."""
    length: timedelta = campaign.ended - campaign.started
    hours = length.total_seconds() / 3600
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} h"


def coverage_of(view: RoundView, confidence: float) -> Estimate:
    """Return the coverage of all picked compounds of a round at the campaign's confidence."""
    return pooled_coverage((view,), confidence)


def pooled_coverage(rounds: Sequence[RoundView], confidence: float) -> Estimate:
    """Count over rounds how many measured responses lay inside the intervals promised for them."""
    rows = [c for r in rounds for c in r.coverage if c.group == "all" and abs(c.nominal - confidence) < 1e-9]
    found = [c.empirical for c in rows]
    counts = [(round(e.value * e.n), e.n) for e in found if e.value is not None and e.n]
    if not counts:
        cold = all(r.round == 0 for r in rounds)
        return estimates.unknown("the first plate is picked without a belief" if cold else "nothing to compare yet")
    return estimates.share_over_groups(counts)


def headline(campaign: Campaign) -> str:
    """Say the result in one sentence, with its uncertainty."""
    curve = campaign.curve
    if not curve.points:
        return f"No plate has been measured yet: {campaign.state}."
    last = curve.points[-1]
    n_rounds = len(curve.points)
    rounds = "one round" if n_rounds == 1 else f"{n_rounds} rounds"
    tested = f"{last.n_tested:,} of {campaign.n_library:,} compounds ({percent(last.n_tested / campaign.n_library)})"
    begun = f"In {rounds} the campaign tested {tested} and called {counted(last.n_called, 'hit')}"
    return f"{begun}; {_compared(campaign)}."


def counted(n: int, noun: str) -> str:
    """Write a count with its noun."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _compared(campaign: Campaign) -> str:
    curve, last = campaign.curve, campaign.curve.points[-1]
    if last.n_true is None:
        return _compared_with_lot(campaign)
    times = f"{number(curve.enrichment_true.value, 1)} times (95 %: {span(curve.enrichment_true, 1)})"
    random = f"{times} as many as random choice would have met ({number(last.random.value, 1)})"
    searched = f"similarity search would have met {number(last.similarity.value, 1)} ({span(last.similarity, 1)})"
    return f"by the hidden truth {last.n_true} of the tested compounds are hits, {random}; {searched}"


def _compared_with_lot(campaign: Campaign) -> str:
    curve = campaign.curve
    lot = f"{share_with_span(curve.by_lot)} of the compounds chosen by lot were called hits"
    if curve.by_model.value is None:
        return f"{lot}, and none has been chosen by a belief yet"
    model = f"{share_with_span(curve.by_model)} of those chosen by the belief"
    ratio = curve.enrichment_called
    times = f"{with_span(ratio, 1)} times as many" if ratio.value is not None else f"no ratio: {ratio.why}"
    return f"{lot}, against {model}: {times} (95 % intervals)"
