"""Tell an event in one line, for people who watch."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from controller.sensing import sensor_text
from controller.settingswatch import changed_text
from controller.state import EventLike
from controller.told_beside import beside_text
from protocols.sentences import plain

JSON = Mapping[str, Any]
_WELLS_SHOWN = 5


class Narrator:
    """Turns events into lines; remembers which task a key belongs to."""

    def __init__(self) -> None:
        self._tasks: dict[str, tuple[str, int]] = {}
        self._rounds: dict[str | None, int] = {}

    def line(self, event: EventLike) -> str | None:
        """Return the line of an event; None for events nobody needs to hear of."""
        p = event.payload
        if event.kind == "campaign.started":
            self._rounds[event.campaign] = p["rounds"]
        if event.kind == "intent":
            self._tasks[p["key"]] = (p["task"], p["round"])
            return None
        if event.kind == "outcome":
            task, number = self._tasks.get(p["key"]) or _named_by(p["key"])
            said = _outcome(task, p)
            name = "closing" if self._rounds.get(event.campaign) == number else f"round {number + 1}"
            return said and _stamp(event.time, f"{self._of(event)}{name}  {said}")
        told = _TOLD.get(event.kind)
        return _stamp(event.time, f"{self._of(event)}{told(p)}") if told else None

    def _of(self, event: EventLike) -> str:
        """Name the campaign where there are several."""
        return f"{event.campaign}  " if event.campaign and len(self._rounds) > 1 else ""


def _named_by(key: str) -> tuple[str, int]:
    """Read task and round out of a key that was announced before this process began."""
    found = re.search(r"\.r(\d+)\.([a-z]+(?:-\d+)?)(?:\.\d+)?$", key)
    return (found[2], int(found[1])) if found else (key, 0)


def _stamp(time: datetime, text: str) -> str:
    """Write the line; a device's words in it can neither begin another nor steer a terminal."""
    return f"{time:%Y-%m-%d %H:%M}  {plain(text)}"


def _outcome(task: str, p: JSON) -> str | None:
    if p["status"] != "done":
        return f"{task} failed: {p['message']}"
    kind, _, number = task.partition("-")
    said = _OUTCOMES.get(kind)
    return said(p["result"], int(number or 0)) if said else None


def _fit(r: JSON, _n: int) -> str:
    s = r["summary"]
    rmse = f"{_num(s['rmse'])} +- {_num(s['rmse_error'])}"
    return f"belief fitted on {s['n_compounds']} compounds, {s['n_hits']} hits; cross-validated RMSE {rmse}"


def _calibrate(r: JSON, _n: int) -> str | None:
    shut = [gate["told"] for gate in r["summary"].get("gates", ()) if not gate["is_passed"]]
    return f"belief NOT deployed: {'; '.join(shut)}" if shut else None


def _pick(r: JSON, _n: int) -> str:
    s = r["summary"]
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(s["reasons"].items()))
    told = [f"picked {s['n_compounds']} compounds ({reasons})", *s.get("notes", ())]
    if s.get("outlook"):
        told += [s["outlook"]["reason"], *s["outlook"]["notes"]]
    return "; ".join(told)


def _compile(r: JSON, _n: int) -> str:
    s = r["summary"]
    diluted = f", dilutions made in {', '.join(s['dilution_plates'])}" if s.get("dilution_plates") else ""
    return f"compiled {s['n_transfers']} transfers in {len(s['loads'])} deck loads{diluted}"


def _check(r: JSON, _n: int) -> str:
    s = r["summary"]
    return f"proven: {s['n_proven']} of {s['n_transfers']} transfers as planned, ledger sound"


def _propose(r: JSON, _n: int) -> str:
    s = r["summary"]
    return f"proposed as {s['digest'][:16]}: {s['n_new_scaffolds']} new scaffolds, {s['drawn_nl'] / 1000:.6g} ul"


def _run(r: JSON, n: int) -> str:
    short = r.get("short", ())
    wells = ", ".join([*dict.fromkeys(well for well, *_ in short)][:_WELLS_SHOWN])
    more = ", .." if len(short) > _WELLS_SHOWN else ""
    told = f", {len(short)} short: {wells}{more}" if short else ""
    return f"pipetted deck load {n + 1}: {len(r.get('transfers', ()))} transfers{told}"


def _treat(r: JSON, n: int) -> str:
    if "program" in r:
        return f"step {n + 1} of the assay done: program {r['program']}"
    if "shaken_s" in r:
        return f"step {n + 1} of the assay done: shaken for {r['shaken_s']:g} s"
    return f"step {n + 1} of the assay done" + (f": read {r['barcode']}" if "barcode" in r else "")


def _acquire(r: JSON, _n: int) -> str:
    return f"imaged: {r['images']} images in {r['folder']}"


def _normalise(r: JSON, _n: int) -> str:
    s = r["summary"]
    verdict = "passes" if s["passed"] else "FAILS"
    z = f"Z' {with_interval(s, 'z_prime')}, SSMD {with_interval(s, 'ssmd')}"
    return (
        f"plate {s['plate']} {verdict}: {z}, {s['n_flagged']} wells flagged; {s['n_hits']} hits of {s['n_compounds']}"
    )


def _evaluate(r: JSON, _n: int) -> str | None:
    s = r["summary"]
    if s["n"] == 0:
        return None
    low, high = (round(100 * s[end]) for end in ("low", "high"))
    held = f"{100 * s['confidence']:.0f}% intervals held {s['n_inside']} of {s['n']}"
    told = f"{held} measured responses of picked compounds (95 % interval {low} to {high} %)"
    return f"{told}; {beside_text(s['beside'], 'on the plate')}" if "beside" in s else told


def with_interval(quality: JSON, name: str) -> str:
    """Write a number of a plate with its 95 % bootstrap interval."""
    if quality[name] is None:
        return "not determined"
    interval = quality["intervals"].get(name)
    return f"{quality[name]:.2f} " + (f"({interval[0]:.2f} to {interval[1]:.2f})" if interval else "(no interval)")


def _num(value: float | None) -> str:
    return "not determined" if value is None else f"{value:.2f}"


def _about(decision: JSON) -> str:
    said: str = decision.get("reason", "") or decision.get("choice", "")
    return f"to the belief of round {decision['round'] + 1} {said}" if decision["what"] == "rollback" else said


_OUTCOMES: Mapping[str, Callable[[JSON, int], str | None]] = {
    "fit": _fit,
    "calibrate": _calibrate,
    "pick": _pick,
    "compile": _compile,
    "check": _check,
    "propose": _propose,
    "run": _run,
    "treat": _treat,
    "acquire": _acquire,
    "normalise": _normalise,
    "evaluate": _evaluate,
}


def notice_text(kind: str, payload: JSON) -> str:
    """Say what people are to know and nobody has to answer."""
    return _TOLD[kind](payload)


_TOLD: Mapping[str, Callable[[JSON], str]] = {
    "campaign.started": lambda p: f"campaign {p['name']} starts: {p['rounds']} rounds, seed {p['seed']}",
    "settings.adopted": lambda _p: "changes in lab.toml adopted: approval, cost, faults, proof, channel names",
    "campaign.finished": lambda p: f"campaign {p['name']} is finished",
    "proposal": lambda p: f"WAITS FOR APPROVAL: {p['question']}",
    "settings.changed": changed_text,
    "device.suspended": lambda p: f"SUSPENDED, goes on by itself: {sensor_text(p)}",
    "device.resumed": lambda p: f"goes on: {sensor_text(p)}",
    "fault": lambda p: f"NEEDS A PERSON: {p['question']} ({' | '.join(p['choices'])})",
    "attempt": lambda p: f"{p['key']} not handed over: {p['message']}",
    "decision": lambda p: f"{p['by']}: {p['what']} {_about(p)}".rstrip(),
    "decision.refused": lambda p: f"{p['by']}: {p['what']} refused: {p['why']}",
}
