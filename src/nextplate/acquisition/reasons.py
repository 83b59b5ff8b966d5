"""Why was this compound picked: one plain English line per pick.

    CPD-4: exploit (288 of 320 picks), 3rd of the batch, ucb score 0.912; predicted 0.75 (90% interval 0.31 to 1.2),
    P(hit) 62%; nearest tested CPD-17, similarity 0.54; scaffold c1ccccc1; alerts PAINS: quinone

What is not known is left out, never guessed.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from math import isfinite

from nextplate.prediction import BY_LOT, Pick

_RETESTED = frozenset(("confirm", "dose-response"))
"""Reasons for picking what was measured before."""

_MEANS = {
    "cold-start": "first plate, drawn by lot among unlike structures",
    "exploit": "exploit",
    "explore": "explore, drawn by lot to keep the calibration honest",
    "confirm": "confirm, a hit seen in one well only",
    "dose-response": "dose-response, a hit without a curve",
}


def explain(
    pick: Pick,
    *,
    rank: int | None = None,
    n_picks: int | None = None,
    rule: str | None = None,
    n_of_reason: int | None = None,
    is_scored: bool = True,
    confidence: float | None = None,
    nearest: str | None = None,
    scaffold: str | None = None,
    cluster: str | None = None,
    alerts: Sequence[str] = (),
) -> str:
    """Say in one line why a compound was picked; None (and NaN in the pick): not known, left out.

    Args:
        pick: as chosen.
        rank: from 1, of the pick in the batch.
        n_picks: of the batch.
        rule: acquisition rule that scored it.
        n_of_reason: picks of the batch with the same reason: its share of the budget.
        is_scored: False: the rule compares joint draws, and of this compound there are none.
        confidence: nominal coverage of the interval.
        nearest: compound_id of the nearest compound tested before.
        scaffold: Murcko scaffold, SMILES; "" for a compound without rings.
        cluster: its name, where the batch was spread over clusters.
        alerts: structural alerts, by name.
    """
    parts = (
        _place(pick, rank, n_picks, n_of_reason) + _score(pick, rule, is_scored=is_scored),
        _believed(pick, confidence),
        _nearest(pick, nearest),
        _kin(scaffold, cluster),
        f"alerts {', '.join(alerts)}" if alerts else "",
        _wells(pick),
    )
    return f"{pick.compound_id}: " + "; ".join(part for part in parts if part)


def explain_all(
    picks: Sequence[Pick],
    *,
    rule: str | None = None,
    unscored: Collection[str] = (),
    confidence: float | None = None,
    nearest: Mapping[str, str] | None = None,
    scaffolds: Mapping[str, str] | None = None,
    alerts: Mapping[str, Sequence[str]] | None = None,
) -> tuple[str, ...]:
    """Explain every pick of a batch, in its order; the mappings are by compound_id and may have gaps.

    Of ``unscored`` compounds there are no joint draws, so that the rule has no score for them.
    """
    shares = Counter(pick.reason for pick in picks)
    return tuple(
        explain(
            pick,
            rank=n + 1,
            n_picks=len(picks),
            rule=rule,
            n_of_reason=shares[pick.reason],
            is_scored=pick.compound_id not in unscored,
            confidence=confidence,
            nearest=(nearest or {}).get(pick.compound_id),
            scaffold=(scaffolds or {}).get(pick.compound_id),
            alerts=(alerts or {}).get(pick.compound_id, ()),
        )
        for n, pick in enumerate(picks)
    )


def _place(pick: Pick, rank: int | None, n_picks: int | None, n_of_reason: int | None) -> str:
    share = "" if n_of_reason is None or n_picks is None else f" ({n_of_reason} of {n_picks} picks)"
    text = _MEANS.get(pick.reason, pick.reason) + share
    return text if rank is None else f"{text}, {ordinal(rank)} of the batch"


def _score(pick: Pick, rule: str | None, *, is_scored: bool) -> str:
    if pick.reason in _RETESTED:
        return ""
    name = f"{rule} " if rule else ""
    if not is_scored:
        instead = "" if pick.reason == BY_LOT else ": ranked by the prediction"
        return f", no {name}score, as it has no joint draws{instead}"
    return f", {name}score {pick.score:.3g}" if isfinite(pick.score) else ""


def _believed(pick: Pick, confidence: float | None) -> str:
    if not isfinite(pick.mean):
        return ""
    text = f"{'measured' if pick.reason in _RETESTED else 'predicted'} {pick.mean:.3g}"
    if isfinite(pick.lower) and isfinite(pick.upper):
        level = "" if confidence is None else f"{confidence:.0%} interval "
        text += f" ({level}{pick.lower:.3g} to {pick.upper:.3g})"
    return text + (f", P(hit) {pick.p_hit:.0%}" if isfinite(pick.p_hit) else "")


def _nearest(pick: Pick, nearest: str | None) -> str:
    if not isfinite(pick.nearest_tested) or pick.reason in _RETESTED:
        return ""
    return f"nearest tested {f'{nearest}, ' if nearest else ''}similarity {pick.nearest_tested:.2f}"


def _kin(scaffold: str | None, cluster: str | None) -> str:
    known = "" if scaffold is None else f"scaffold {scaffold}" if scaffold else "no ring"
    return ", ".join(part for part in (known, f"cluster {cluster}" if cluster else "") if part)


def _wells(pick: Pick) -> str:
    if pick.doses_um:
        return f"{pick.n_wells} wells: {', '.join(f'{dose:g}' for dose in pick.doses_um)} uM"
    return f"{pick.n_wells} wells" if pick.n_wells > 1 else ""


def ordinal(n: int) -> str:
    """Write 1st, 2nd, 3rd, 4th, 11th ..."""
    ending = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"
