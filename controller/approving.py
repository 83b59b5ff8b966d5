"""Approval: a planned round is summed up, held against the policy of lab.toml, and let go or put before a person.

Whatever is let go is named by the digest of its picks, transfers and files, and only that is pipetted
(controller.recipe.order): neither a policy nor a person can approve one thing and set off another.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from controller.actions import Note
from controller.durations import drawn_s, usually_s
from controller.recipe import Plan, activity_of, barcode_of, chain, stops
from controller.state import LabState
from controller.timing import IMAGE, Closed, foreseen, kept_out
from nextplate.schedule.durations import FEWEST

JSON = Mapping[str, Any]
_DRAWS = 200
_ENDS = (0.05, 0.5, 0.95)


def approval_word(
    state: LabState, now: datetime, plan: Plan, plans: Sequence[Plan], number: int, closed: Closed = ()
) -> Note:
    """Return the policy's approval of a round, or the proposal that puts it before a person.

    Args:
        state: with the plan's campaign in focus, its round planned and proven.
        now: UTC.
        plan: the campaign's.
        plans: of all campaigns that share the lab.
        number: of the round, counting from 0.
        closed: when robots may not move.
    """
    summary = summed_up(state, now, plan, plans, number, closed)
    policy = plan.section("approval")
    held = list(beyond(summary, policy)) if policy["policy"] == "auto" else ["every round waits for a person"]
    if why := kept_out(state, now, plans or (plan,), summary["plate"], closed):
        held.append(why)
    what = {"round": number, "digest": summary["digest"], "summary": summary}
    if held:
        question = f"round {number + 1}: {in_one_line(summary)}; held: {'; '.join(held)}"
        return Note("proposal", {**what, "question": question, "held": held})
    reason = f"{_work_text(summary)}; inside the limits of lab.toml; protocol proven"
    return Note("decision", {**what, "what": "approve", "by": "policy", "reason": reason})


def summed_up(
    state: LabState, now: datetime, plan: Plan, plans: Sequence[Plan], number: int, closed: Closed = ()
) -> dict[str, Any]:
    """Return the summary of a planned round: what the step ``propose`` found, with its end, cost and expected hits."""
    proposed, picked = state.outcome("propose", number), state.outcome("pick", number)
    if proposed is None or picked is None:
        raise LookupError(f"round {number} is not planned")
    figures = proposed.result["summary"]
    return {
        **figures,
        "plate": barcode_of(state, plan, number),
        "folder": proposed.result["folder"],
        "hits": _hits(picked.result["summary"]),
        "cost": cost_of(figures, plan.settings.get("cost")),
        "end": _end(state, now, plan, plans, number, closed),
    }


def _hits(picked: JSON) -> dict[str, Any] | None:
    """Tell the hits that the belief expects on the plate, with their interval; None: there is no belief."""
    outlook = picked.get("outlook")
    names = ("expected", "low", "high", "level")
    return {name: outlook["next_yield"][name] for name in names} if outlook else None


def cost_of(figures: JSON, prices: JSON | None) -> dict[str, Any] | None:
    """Add up a round by the prices of lab.toml; None: there are none, and the cost is unknown."""
    if not prices:
        return None
    amounts = {
        "per_plate": 1,
        "per_compound": figures["n_compounds"],
        "per_well": figures["n_wells"],
        "per_tip": figures["n_tips"],
        "per_stock_ul": figures["drawn_nl"] / 1000,
    }
    total = sum(prices[name] * amount for name, amount in amounts.items())
    return {"total": round(total, 2), "currency": prices["currency"]}


def _end(
    state: LabState, now: datetime, plan: Plan, plans: Sequence[Plan], number: int, closed: Closed
) -> dict[str, Any]:
    """Tell when the plate's last image is taken if it is let go now: 5th percentile, median, 95th.

    The median is the schedule's of everything under way; the spread is that of this plate's own durations, drawn as
    they were seen. Waiting for others that are late is not in it.
    """
    # Loaded only here: deciding anything else needs no random numbers.
    import numpy as np

    work = list(_activities(state, plan, number))
    rng = np.random.default_rng([plan.seed, number])
    draws = [sum(drawn_s(state.took_s, name, rng) for name in work) for _ in range(_DRAWS)]
    usual = sum(usually_s(state.took_s, name) for name in work)
    planned = _planned_s(state, now, plans or (plan,), barcode_of(state, plan, number), closed)
    middle = planned if planned is not None else usual + sum(stop.stay.total_seconds() for stop in stops(plan))
    off = {f"p{round(100 * q):02d}": float(np.quantile(draws, q)) - float(np.median(draws)) for q in _ENDS}
    times = {name: (now + timedelta(seconds=round(middle + s))).isoformat() for name, s in off.items()}
    seen = [len(state.took_s.get(name, ())) for name in set(work)]
    return {**times, "n_seen": min(seen), "hours": round((middle + off["p95"]) / 3600, 2)}


def _activities(state: LabState, plan: Plan, number: int) -> Iterator[str]:
    """Yield what devices do for a round's plate until its last image is taken."""
    tasks = chain(state, plan, number)
    for task in tasks[tasks.index("deck-0") : tasks.index("unstage")]:
        yield activity_of(plan, task)


def _planned_s(state: LabState, now: datetime, plans: Sequence[Plan], plate: str, closed: Closed) -> float | None:
    """Return in how many seconds the schedule has a plate imaged; None: nobody can schedule it now."""
    placed = foreseen(state, now, plans, closed).of(plate)
    return next((float(p.end_s) for p in placed if p.stage == IMAGE), None)


def beyond(summary: JSON, policy: JSON) -> Iterator[str]:
    """Say which limits of the policy a round is beyond; what is not known is inside of none."""
    for name, word, unit in _MOST:
        most, value = policy.get(name), _value(summary, name)
        if most is not None and (value is None or value > most):
            yield f"{word} {_said(value)}{unit}, at most {most:g}{unit} allowed ({name})"
    least, hits = policy.get("min_expected_hits"), summary["hits"]
    if least is not None and (hits is None or hits["expected"] < least):
        yield f"new hits expected {_said(hits and hits['expected'])}, at least {least:g} wanted (min_expected_hits)"
    if (latest := policy.get("latest_finish")) is not None:
        limit, end = datetime.fromisoformat(latest), datetime.fromisoformat(summary["end"]["p95"])
        if end > limit:
            yield f"may end at {end:%Y-%m-%d %H:%M} UTC, allowed until {limit:%Y-%m-%d %H:%M %Z} (latest_finish)"


_MOST = (
    ("max_compounds", "compounds", ""),
    ("max_new_scaffolds", "new scaffolds", ""),
    ("max_volume_ul", "volume drawn", " ul"),
    ("max_cost", "cost", ""),
    ("max_hours", "hours to the last image", " h"),
)


def _value(summary: JSON, name: str) -> float | None:
    values: Mapping[str, float | None] = {
        "max_compounds": summary["n_compounds"],
        "max_new_scaffolds": summary["n_new_scaffolds"],
        "max_volume_ul": summary["drawn_nl"] / 1000,
        "max_cost": summary["cost"]["total"] if summary["cost"] else None,
        "max_hours": summary["end"]["hours"],
    }
    return values[name]


def _said(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.6g}"


def in_one_line(summary: JSON) -> str:
    """Say the summary of a round in one line, for the journal, messages and status."""
    return "; ".join(
        (
            _work_text(summary),
            f"new hits expected {hits_text(summary['hits'])}",
            f"ends {end_text(summary['end'])}",
            f"cost {cost_text(summary['cost'])}",
        )
    )


def _work_text(summary: JSON) -> str:
    """Say what is pipetted: the same in a night that was disturbed and in one that was not."""
    return (
        f"{summary['n_compounds']} compounds ({summary['n_new_scaffolds']} new scaffolds), "
        f"{summary['drawn_nl'] / 1000:.6g} ul from {len(summary['sources'])} source plates in "
        f"{summary['n_loads']} deck loads"
    )


def end_text(end: JSON) -> str:
    """Say when the last image is taken, how sure that is, and whence it is known."""
    low, middle, high = (datetime.fromisoformat(end[name]) for name in ("p05", "p50", "p95"))
    far = "%H:%M" if low.date() == middle.date() == high.date() else "%m-%d %H:%M"
    known = f"seen {end['n_seen']} times here" if end["n_seen"] else "guessed"
    known += ", the spread is guessed" if 0 < end["n_seen"] < FEWEST else ""
    return f"{middle:%Y-%m-%d %H:%M} UTC (9 times in 10 {low:{far}} to {high:{far}}; {known})"


def cost_text(cost: JSON | None) -> str:
    """Say what a round costs by the prices of lab.toml."""
    return "unknown (no [cost] in lab.toml)" if cost is None else f"{cost['total']:.2f} {cost['currency']}"


def hits_text(hits: JSON | None) -> str:
    """Say how many hits the belief expects, and how sure it is."""
    if hits is None:
        return "unknown (no belief yet)"
    return f"{hits['expected']:.1f} ({100 * hits['level']:.0f} % interval {hits['low']} to {hits['high']})"


def in_full(summary: JSON) -> list[str]:
    """Say the summary of a round line by line."""
    reasons = ", ".join(f"{n} {reason}" for reason, n in summary["reasons"].items())
    named = [f"{smiles} ({n})" for smiles, n in summary["new_scaffolds"]]
    more = summary["n_new_scaffolds"] - len(named)
    return [
        f"plate {summary['plate']}, digest {summary['digest'][:16]}",
        f"compounds: {summary['n_compounds']} by rule {summary['rule']} ({reasons}), {summary['n_wells']} wells",
        f"new scaffolds: {summary['n_new_scaffolds']} of {summary['n_scaffolds']}"
        + (f": {', '.join(named)}{f' and {more} more' if more else ''}" if named else ""),
        f"new hits expected: {hits_text(summary['hits'])}",
        f"liquid: {summary['drawn_nl'] / 1000:.6g} ul, {summary['n_tips']} tips, {summary['n_loads']} deck loads",
        *(_source_line(source) for source in summary["sources"]),
        f"last image: {end_text(summary['end'])}, if it is let go at once",
        f"cost: {cost_text(summary['cost'])}",
        f"every pick and why, every well: {summary['folder']}/proposal.json",
    ]


def _source_line(source: JSON) -> str:
    return (
        f"  {source['plate']}: {source['drawn_nl'] / 1000:.6g} ul out of {source['n_wells']} wells; least is left in "
        f"{source['least_left_well']}: {source['least_left_nl'] / 1000:.6g} ul"
    )
