"""What runs, what waits and for whom: the state of a lab for people and programs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from controller.floor import why_wait
from controller.recipe import Plan, chain, current, judged_task, plan_of, running_plans
from controller.state import LabState

JSON = Mapping[str, Any]


def status_body(state: LabState, seq: int, head_hash: str, now: datetime | None) -> dict[str, Any]:
    """Tell a lab's state to programs; ``now`` is the time of the last event."""
    campaign = state.campaign
    return {
        "library": state.library,
        "campaign": campaign.name if campaign else None,
        "state": state_word(state),
        "doing": _doing(state),
        "campaigns": campaign_lines(state),
        "time": now.isoformat() if now else None,
        "rounds": [round_row(state, r) for r in range(campaign.rounds)] if campaign else [],
        "in_flight": [{"key": i.key, "since": i.time.isoformat()} for i in state.pending()],
        "faults": [{"fault": f.fault, "question": f.question, "choices": f.choices} for f in state.open_faults()],
        "waiting_for_approval": {str(r + 1): state.proposals[r].question for r in state.open_proposals()},
        "plates": dict(sorted(state.places.items())),
        "starts": state.n_starts,
        "journal_seq": seq,
        "journal_hash": head_hash,
    }


def campaign_lines(state: LabState) -> list[dict[str, Any]]:
    """Tell how the other campaigns stand that are not over, and for whom they wait."""
    plans = running_plans(state)
    others = [plan for plan in plans if plan.name != state.focus]
    return [_campaign_line(state.focused(plan.name), plan, plans) for plan in others]


def _campaign_line(state: LabState, plan: Plan, plans: Sequence[Plan]) -> dict[str, Any]:
    place = current(state, plan)
    waits = why_wait(state, plan, plans, place[1]) if place else None
    return {"campaign": plan.name, "state": state_word(state), "doing": _doing(state), "waits_for": waits}


def untold_body(rows: Sequence[JSON]) -> dict[str, Any]:
    """Tell which messages to people have not gone out, by channel, as `read_untold` gives them."""
    channels: dict[str, dict[str, Any]] = {}
    for row in rows:
        said = channels.setdefault(row["channel"], {"waiting": 0, "given_up": 0, "tries": 0, "since": row["due_at"]})
        said["given_up" if row["state"] == "given-up" else "waiting"] += 1
        said["tries"] = max(said["tries"], row["attempts"])
        said["error"] = row["error"] or said.get("error", "")
    return {"untold": channels}


def state_word(state: LabState) -> str:
    """Say in one word how the campaign stands."""
    if state.campaign is None:
        return "no campaign"
    if state.is_finished:
        return "finished"
    if state.is_aborted:
        return "aborted"
    if state.own_faults() or (len(state.campaigns) == 1 and state.open_faults()):
        return "needs a person"
    if state.open_proposals():
        return "waits for approval"
    return "paused" if state.is_paused else "running"


def _doing(state: LabState) -> str | None:
    if state.campaign is None or state.is_finished or state.is_aborted:
        return None
    place = current(state, plan_of(state))
    return f"round {place[0] + 1}: {place[1]}" if place else None


def round_row(state: LabState, number: int) -> dict[str, Any]:
    """Tell how a round stands; None where it is not so far."""
    tasks = chain(state, plan_of(state), number)
    done = [t for t in tasks if (o := state.outcome(t, number)) and o.is_done]
    judged = state.outcome(judged_task(state, number), number)
    summary = judged.result["summary"] if judged and judged.is_done else {}
    picked = state.outcome("pick", number)
    return {
        "round": number + 1,
        "tasks_done": len(done),
        "compounds": picked.result["summary"]["n_compounds"] if picked and picked.is_done else None,
        "plate": summary.get("plate"),
        "z_prime": summary.get("z_prime"),
        "z_prime_interval": summary.get("intervals", {}).get("z_prime"),
        "passed": summary.get("passed"),
        "hits": summary.get("n_hits"),
        "flagged": summary.get("n_flagged"),
    }


def status_text(body: JSON) -> str:
    """Tell a lab's state to people."""
    if body["campaign"] is None:
        library = (
            f"library {body['library'][:16]}" if body["library"] else "no library yet (nextplate library add FILE)"
        )
        return f"{library}; no campaign yet (nextplate run)"
    lines = [f"campaign {body['campaign']}: {body['state']}" + (f", at {body['doing']}" if body["doing"] else "")]
    for other in body["campaigns"]:
        at = f", at {other['doing']}" if other["doing"] else ""
        waits = f"; {other['waits_for']}" if other["waits_for"] else ""
        lines.append(f"  beside it {other['campaign']}: {other['state']}{at}{waits}")
    lines += [round_line(r) for r in body["rounds"] if r["tasks_done"]]
    lines += [f"in flight: {i['key']} since {i['since']}" for i in body["in_flight"]]
    for fault in body["faults"]:
        lines.append(f"fault {fault['fault']}: {fault['question']}")
        lines += [f"  nextplate answer {fault['fault']} {choice}" for choice in fault["choices"]]
    for number, question in body["waiting_for_approval"].items():
        lines.append(f"{question}\n  nextplate approve {number}   or   nextplate reject {number}")
    lines += [_untold_line(name, said) for name, said in body.get("untold", {}).items()]
    away = {b: p for b, p in body["plates"].items() if not p.startswith(("hotel/", "tips/", "waste"))}
    lines += [f"plate {barcode}: {place}" for barcode, place in away.items()]
    lines.append(f"lab time {body['time']}; journal: {body['journal_seq']} events, {body['journal_hash'][:16]}")
    return "\n".join(lines)


def _untold_line(channel: str, said: JSON) -> str:
    given_up = f", {said['given_up']} given up" if said["given_up"] else ""
    why = f"; last try: {said['error']}" if said["error"] else ""
    return f"messages to {channel}: {said['waiting']} not sent{given_up}, since {said['since']}{why}"


def round_line(r: JSON) -> str:
    """Say how a round stands."""
    if r["plate"] is None:
        return f"round {r['round']}: {r['tasks_done']} tasks done"
    ends = r["z_prime_interval"]
    interval = f" ({ends[0]:.2f} to {ends[1]:.2f})" if ends else " (no interval)"
    z = "not determined" if r["z_prime"] is None else f"{r['z_prime']:.2f}{interval}"
    verdict = "passed" if r["passed"] else "FAILED"
    return (
        f"round {r['round']}: plate {r['plate']} {verdict}, Z' {z}, {r['flagged']} wells flagged, "
        f"{r['hits']} hits of {r['compounds']} compounds"
    )
