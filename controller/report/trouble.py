"""What went wrong in a campaign, what was decided, and what was done about it."""

from collections.abc import Mapping
from typing import Any

from controller.report.model import Incident
from controller.report.source import Source
from controller.state import Outcome
from controller.store import Event

JSON = Mapping[str, Any]


def gather_incidents(source: Source) -> tuple[Incident, ...]:
    """List faults, device trouble, decisions, short transfers and image problems, oldest first."""
    told = [found for e in source.events if (found := _from_event(source, e))]
    rounds = range(source.plan.rounds + 1)
    told += [found for r in rounds for found in (*_short(source, r), *_problems(source, r), *_notes(source, r))]
    return tuple(sorted(told, key=lambda incident: incident.time))


def _from_event(source: Source, event: Event) -> Incident | None:
    p = event.payload
    match event.kind:
        case "fault":
            fault = source.state.faults.get(p["fault"])
            answered = fault is not None and fault.answer is not None
            done = f"{fault.by} answered: {fault.answer}" if fault and answered else "nobody has answered yet"
            return Incident(event.time, _round_of(source, p["key"]), "fault", p["question"], done)
        case "attempt":
            done = "handed over again under the same key"
            return Incident(event.time, _round_of(source, p["key"]), "device", f"{p['key']}: {p['message']}", done)
        case "outcome" if p["status"] != "done" and p["key"] not in source.state.faults:
            done = "nothing yet"
            return Incident(event.time, _round_of(source, p["key"]), "failure", f"{p['key']}: {p['message']}", done)
        case "decision" if p["what"] != "answer":
            said = f"{p['by']}: {p['what']}" + (f" round {p['round'] + 1}" if "round" in p else "")
            return Incident(event.time, p.get("round"), "decision", said, p.get("reason", ""))
        case "decision.refused":
            return Incident(event.time, None, "decision", f"{p['by']}: {p['what']}", f"refused: {p['why']}")
    return None


def _round_of(source: Source, key: str) -> int | None:
    intent = source.state.intents.get(key)
    return intent.round if intent else None


def _short(source: Source, r: int) -> list[Incident]:
    """Tell the wells that got less than planned."""
    return [
        Incident(o.time, r, "transfer", f"well {well} got {moved} of {planned} nl ({task})", "flagged and left out")
        for task, o in _outcomes(source, r)
        if task.startswith("run-")
        for well, moved, planned in o.result.get("short", ())
    ]


def _problems(source: Source, r: int) -> list[Incident]:
    """Tell the images that were missing or unusable."""
    rows = source.json("measure", r, "problems.json") or []
    return [
        Incident(o.time, r, "image", f"{_place(p)}: {p['reason']}", "flagged and left out")
        for task, o in _outcomes(source, r)
        if task == "measure"
        for p in rows
    ]


def _place(problem: JSON) -> str:
    parts = (problem["well"], problem["field"] and f"field {problem['field']}", problem["channel"])
    return " ".join(str(p) for p in parts if p)


def _notes(source: Source, r: int) -> list[Incident]:
    """Tell what steps remarked about their own work."""
    return [
        Incident(o.time, r, "note", f"{task}: {note}", "for information")
        for task, o in _outcomes(source, r)
        if task in ("fit", "layout")
        for note in o.result.get("summary", {}).get("notes", ())
    ]


def _outcomes(source: Source, r: int) -> list[tuple[str, Outcome]]:
    return [(task, o) for task in source.tasks(r) if (o := source.outcome(task, r))]
