"""The lab at a glance, from the journal alone: what runs, what waits and for whom, what comes next, in ten lines."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from controller.durations import GUESSES_S
from controller.floor import why_wait
from controller.recipe import (
    BELIEF,
    PLANNING,
    Plan,
    activity_of,
    current,
    judged_task,
    not_before,
    plan_of,
    running_plans,
    stops,
)
from controller.sensing import sensor_text
from controller.state import Intent, LabState
from controller.status import round_line, round_row, state_word
from controller.store.journal import Head
from nextplate.schedule.durations import usual_s

JSON = Mapping[str, Any]
DEVICES = ("liquid-handler", "plate-mover", "incubator", "imager")
"""Shown in every lab; those of the bench where a campaign uses them."""
_SHOWN = 3
_AT_HOME = ("hotel/", "tips/", "waste", "stack/done")


def glimpse(state: LabState, head: Head, now: datetime | None) -> dict[str, Any]:
    """Return the lab at a glance as JSON values.

    Args:
        state: of the lab.
        head: of the journal.
        now: the time of the last event; None: nothing has happened.
    """
    plans = running_plans(state)
    busy = {i.action["device"]: i for i in state.pending() if i.activity}
    used = (*DEVICES, *(stop.device for plan in plans for stop in stops(plan)), *busy)
    return {
        "time": now.isoformat() if now else None,
        "journal": {"seq": head.seq, "hash": head.hash},
        "campaigns": [_campaign(state.focused(name)) for name in _shown(state)],
        "runs": [_running(state, intent) for intent in state.pending()],
        "waits": [w for plan in plans for w in _waiting(state.focused(plan.name), plan, plans)],
        "next": sorted((n for plan in plans for n in _coming(state, plan)), key=lambda n: str(n["at"])),
        "devices": {kind: busy[kind].key if kind in busy else None for kind in dict.fromkeys(used)},
        "suspended": [told for readings in state.suspended.values() for told in readings.values()],
        "strangers": dict(state.strangers),
        "faults": [
            {"fault": f.fault, "kind": f.kind, "question": f.question, "choices": list(f.choices)}
            for f in state.open_faults()
        ],
        "plates": {b: p for b, p in sorted(state.places.items()) if not p.startswith(_AT_HOME)},
        "last_night": _last_night(state),
    }


def _shown(state: LabState) -> list[str]:
    """Name the campaigns that go on, or the one that was looked at last."""
    going_on = [name for name, c in state.campaigns.items() if not c.is_over]
    return going_on or ([state.focus] if state.focus else [])


def _campaign(state: LabState) -> dict[str, Any]:
    campaign = state.campaign
    place = current(state, plan_of(state)) if campaign and not campaign.is_over else None
    return {
        "campaign": state.focus,
        "state": state_word(state),
        "round": place[0] + 1 if place else None,
        "rounds": campaign.rounds if campaign else None,
        "task": place[1] if place else None,
    }


def _running(state: LabState, intent: Intent) -> dict[str, Any]:
    since = max(intent.time, state.accepted.get(intent.key, intent.time))
    usual_s = _usual_s(state, intent.activity) if intent.activity else None
    ends = since + timedelta(seconds=usual_s) if usual_s is not None else None
    plates = [move[0] for move in intent.action.get("command", {}).get("moves", ())]
    return {
        "key": intent.key,
        "what": intent.activity or f"computing {intent.task}",
        "plates": plates or [p for p in (intent.action.get("command", {}).get("barcode"),) if p],
        "since": since.isoformat(),
        "usual_s": usual_s,
        "ends": ends.isoformat(timespec="seconds") if ends else None,
        "in_doubt": state.doubted(intent.key),
    }


def _usual_s(state: LabState, activity: str) -> float | None:
    return usual_s(state.took_s.get(activity, ())) or GUESSES_S.get(activity)


def _waiting(state: LabState, plan: Plan, plans: Sequence[Plan]) -> Iterator[dict[str, Any]]:
    """Tell for whom or what a campaign waits, and what to type where it is a person."""
    which = f" --campaign {plan.name}" if len(plans) > 1 else ""
    for number in state.open_proposals():
        yield _wait(plan, "a person", f"nextplate approve {number + 1}{which} (look: --show)")
    for fault in state.own_faults():
        yield _wait(plan, "a person", f"nextplate answer {fault.fault} {'|'.join(fault.choices)}")
    if state.is_paused:
        yield _wait(plan, "a person", f"nextplate resume{which}")
    place = current(state, plan)
    if place and (why := why_wait(state, plan, plans, place[1])):
        yield _wait(plan, why, "")
    if place and (device := _device_of(plan, place[1])) in state.suspended:
        yield _wait(plan, f"the {device} is suspended; it goes on by itself", "")


def _device_of(plan: Plan, task: str) -> str | None:
    """Name the device that a task is given to; None: it is computed, or decided."""
    computed = (*BELIEF, *PLANNING, "measure", "normalise", "admit", "evaluate")
    return None if task in computed else activity_of(plan, task).partition(" ")[0]


def _wait(plan: Plan, whom: str, command: str) -> dict[str, Any]:
    return {"campaign": plan.name, "for": whom, "command": command}


def _coming(state: LabState, plan: Plan) -> Iterator[dict[str, Any]]:
    """Tell what a campaign's plate does next, and when."""
    view = state.focused(plan.name)
    for intent in view.pending():
        if view.owner(intent.key) == plan.name and intent.activity and not view.doubted(intent.key):
            yield {"at": _running(view, intent)["ends"], "what": f"{intent.activity} done", "key": intent.key}
    place = current(view, plan)
    if place and (when := not_before(view, plan, place[1], place[0])):
        yield {"at": when.isoformat(timespec="seconds"), "what": place[1], "key": view.latest_key(place[1], place[0])}


def _last_night(state: LabState) -> dict[str, Any] | None:
    """Return the row of the plate that was judged last; None: none was."""
    judged = (
        (outcome.time, name, number)
        for name, campaign in state.campaigns.items()
        for view in (state.focused(name),)
        for number in range(campaign.rounds)
        if (outcome := view.outcome(judged_task(view, number), number)) and outcome.is_done
    )
    last = max(judged, default=None)
    return None if last is None else {"campaign": last[1], **round_row(state.focused(last[1]), last[2])}


def ten_lines(body: JSON) -> list[str]:
    """Say the lab at a glance in ten lines or fewer; what is long is counted, not listed."""
    lines = [
        f"lab time {_clock(body['time'])}, journal {body['journal']['seq']} events {body['journal']['hash'][:16]}",
        _list("campaign", [_campaign_text(c) for c in body["campaigns"]], "none yet: nextplate run"),
        _list("runs", [_running_text(r) for r in body["runs"]], "nothing"),
        _list("waits", [_waiting_text(w) for w in body["waits"]], "nobody"),
        _list("next", [f"{_clock(n['at'])} {n['what']} ({n['key']})" for n in body["next"]], "nothing with a time"),
        _list("devices", _devices_text(body), "", most=len(DEVICES) + 1),
        _list("faults", [f["question"] for f in body["faults"]], "none", most=1),
        _list("plates", _plates_text(body), "all put away", most=6),
        _list("result", [_result_text(body["last_night"])] if body["last_night"] else [], "no plate is judged yet"),
    ]
    return lines + ([_list("untold", list(map(_untold, body["untold"].items())), "")] if body.get("untold") else [])


def _list(title: str, items: Sequence[str], nothing: str, most: int = _SHOWN) -> str:
    more = f"; and {len(items) - most} more" if len(items) > most else ""
    return f"{title:<9}{'; '.join(items[:most]) or nothing}{more}"


def _campaign_text(c: JSON) -> str:
    at = f", round {c['round']} of {c['rounds']}: {c['task']}" if c["task"] else ""
    return f"{c['campaign']} {c['state']}{at}"


def _plates_text(body: JSON) -> list[str]:
    strangers = [f"{who} AT {place}, NOT REGISTERED" for place, who in body["strangers"].items()]
    return strangers + [f"{barcode} at {place}" for barcode, place in body["plates"].items()]


def _devices_text(body: JSON) -> list[str]:
    devices = body["devices"]
    idle = ", ".join(kind for kind, key in devices.items() if key is None)
    suspended = [f"SUSPENDED {sensor_text(told)}" for told in body["suspended"]]
    busy = [f"{kind} at {key}" for kind, key in devices.items() if key]
    return suspended + busy + ([f"{idle} idle"] if idle else [])


def _running_text(r: JSON) -> str:
    plates = f" {' '.join(r['plates'][:2])}{'..' if len(r['plates']) > 2 else ''}" if r["plates"] else ""
    usual = f", usually {_span(r['usual_s'])}" if r["usual_s"] is not None else ""
    doubt = ", NOBODY KNOWS WHAT BECAME OF IT" if r["in_doubt"] else ""
    return f"{r['what']}{plates} since {_clock(r['since'])}{usual}{doubt}"


def _waiting_text(w: JSON) -> str:
    if not w["command"]:
        return f"{w['campaign']}, because {w['for']}"
    return f"{w['campaign']} for {w['for']}: {w['command']}"


def _result_text(row: JSON) -> str:
    return f"{row['campaign']}, {round_line(row)}"


def _untold(item: tuple[str, JSON]) -> str:
    return f"{item[1]['waiting']} messages to {item[0]}"


def _clock(time: str | None) -> str:
    return f"{datetime.fromisoformat(time):%m-%d %H:%M}" if time else "unknown"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
