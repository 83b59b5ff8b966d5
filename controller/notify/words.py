"""The text of a message: what happened, where, what is known, what each answer does, what to type."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from controller.approving import in_full
from controller.faults import ANSWERS
from controller.narrate import notice_text
from controller.notify.matters import Matter
from controller.notify.plain import plain, sms
from controller.notify.rules import Due
from controller.recipe import barcode_of, plan_of
from controller.state import LabState

JSON = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Content:
    """A message as it is kept until it is sent."""

    title: str
    body: str
    short: str
    """For an SMS."""
    plate: str | None = None
    """Whose picture goes with it."""

    def as_json(self) -> dict[str, Any]:
        """Return the form the table keeps."""
        return {"title": self.title, "body": self.body, "short": self.short, "plate": self.plate}


@dataclass(frozen=True, slots=True)
class House:
    """Which lab writes."""

    name: str
    folder: Path


@dataclass(frozen=True, slots=True)
class _Told:
    """The parts of a text."""

    what: str
    """For the title."""
    lines: tuple[str, ...]
    short: str
    tail: str = ""
    """What to type, for an SMS."""
    plate: str | None = None


Next = tuple[datetime, tuple[str, ...]]
"""When a question goes further up, and to which channels."""


def compose(due: Due, state: LabState, house: House, following: Next | None = None) -> Content:
    """Write a message, with what the lab's state tells beside the matter, and who hears of it next."""
    told = _TELL[due.matter.kind](due.matter, state, house)
    waited = _waited(due)
    title = f"nextplate {house.name}: {waited}{told.what}"
    lines = [waited.strip(), *told.lines] if waited else [*told.lines]
    lines += [f"\nIf nobody answers: {', '.join(following[1])} at {_when(following[0])}."] if following else []
    lines += ["", f"lab {house.name}, {plain(house.folder)}; journal event {due.matter.seq}; message {due.id}"]
    short = sms(f"{house.name}: {waited}{told.what}.", told.short, f"{told.tail} ({due.id})".strip())
    return Content(plain(title, 200), "\n".join(lines), short, told.plate)


def repeated(content: JSON, attempt: int, settled: str) -> tuple[str, str]:
    """Return body and short text as they are sent now: a later try may be a repetition, and the matter settled."""
    body, short = content["body"], content["short"]
    if settled:
        body = f"Settled since: {plain(settled)}.\n\n{body}"
        short = sms("SETTLED.", short, "")
    if attempt > 1:
        body += f"\nThis is try {attempt}: you may have had message {content['id']} already."
    return body, short


def _waited(due: Due) -> str:
    if not due.step:
        return ""
    minutes = round((due.at - due.matter.opened_at).total_seconds() / 60)
    return f"still unanswered after {minutes} min: "


def _when(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _plate(matter: Matter, state: LabState) -> str | None:
    """Return the assay plate's barcode; None where the matter is of no round, or of an earlier campaign."""
    if state.campaign is None or matter.round is None or matter.campaign not in (None, state.campaign.name):
        return None
    return barcode_of(state, plan_of(state), matter.round)


def _place(plate: str | None, state: LabState) -> str:
    if plate is None:
        return "no plate"
    return f"plate {plain(plate)}, {plain(state.places.get(plate, 'which has not been moved yet'))}"


def _command(house: House, *words: object) -> str:
    """Write what to type. Folder names are the operator's own; in a message they are plain text all the same."""
    return plain(f"nextplate {' '.join(map(str, words))} --lab {shlex.quote(str(house.folder))}")


def _fault(matter: Matter, state: LabState, house: House) -> _Told:
    facts, plate = matter.facts, _plate(matter, state)
    choices = [plain(c, 40) for c in facts["choices"]]
    where = f" at plate {plain(plate, 60)}" if plate else ""
    lines = (
        f"What happened: {plain(facts['question'], 600)}",
        f"When: {_when(matter.opened_at)}",
        f"Where: {_place(plate, state)}" + ("" if matter.round is None else f", round {matter.round + 1}"),
        *(f"Known: {line}" for line in _known(facts["key"], state)),
        "",
        "The answers, what each does, and what to type:",
        *(line for c in choices for line in _answer(c, house, matter.subject)),
    )
    short = plain(facts["question"], 300).removeprefix(f"{matter.subject}: ")
    tail = f"Type: nextplate answer {matter.subject} {'/'.join(choices)}"
    return _Told(f"{matter.kind}{where}: {plain(matter.subject, 80)}", lines, short, tail)


def _answer(choice: str, house: House, fault: str) -> Iterator[str]:
    yield f"  {choice}: {ANSWERS.get(choice, 'see nextplate status')}"
    yield f"      {_command(house, 'answer', fault, choice)}"


def _known(key: str, state: LabState) -> Iterator[str]:
    """Tell what the journal knows of the action asked about."""
    intent = state.intents.get(key)
    if intent is not None:
        by = intent.action.get("device", "the computer")
        yield f"{plain(intent.task)} was given to {plain(by)} at {_when(intent.time)}"
    if attempts := state.attempts.get(key):
        yield f"the hand-over failed {len(attempts)} times, last at {_when(attempts[-1])}"
    if key in state.accepted:
        yield f"the device was seen to have it at {_when(state.accepted[key])}"
    outcome = state.outcomes.get(key)
    if outcome is not None:
        yield f"it ended {plain(outcome.status)} at {_when(outcome.time)}; nothing of it is repeated without an answer"
    elif intent is not None:
        yield "it has no outcome: whether it was done is not known"
    others = [i.key for i in state.pending() if i.key != key]
    if others:
        yield f"{len(others)} other actions are in flight and go on"


def _approval(matter: Matter, state: LabState, house: House) -> _Told:
    number, facts = matter.subject, matter.facts
    which = ("--digest", facts["digest"][:16]) if facts.get("digest") else ()
    which = (*which, "--campaign", matter.campaign) if len(state.campaigns) > 1 and matter.campaign else which
    lines = (
        f"Round {number} is planned and proven, and waits for a person.",
        *(f"Held: {plain(why, 300)}" for why in facts.get("held", ())),
        *(map(plain, in_full(facts["summary"])) if facts.get("summary") else (plain(facts["question"], 800),)),
        f"When: {_when(matter.opened_at)}; {_place(_plate(matter, state), state)}",
        "Nothing of this round is pipetted before somebody answers; the rest of the lab goes on.",
        "",
        f"  approve: the round is pipetted\n      {_command(house, 'approve', number, *which)}",
        f"  reject: nothing of it is pipetted and the campaign ends\n      {_command(house, 'reject', number, *which)}",
    )
    tail = f"Type: nextplate approve/reject {number}"
    return _Told(f"approval wanted for round {number}", lines, plain(facts["question"], 300), tail)


def _night_started(matter: Matter, state: LabState, _house: House) -> _Told:
    plate = _plate(matter, state)
    campaign = plain(matter.campaign or "")
    lines = (
        f"The robots have begun round {matter.subject} of campaign {campaign}: {_place(plate, state)}.",
        f"First action: {plain(matter.facts['task'])}, at {_when(matter.opened_at)}.",
    )
    return _Told(f"night started, round {matter.subject}", lines, f"plate {plain(plate or '?', 40)}")


def _night_done(matter: Matter, state: LabState, house: House) -> _Told:
    if matter.subject == "campaign":
        over = f"Campaign {plain(matter.campaign or '')} is finished."
        return _Told(
            f"campaign {plain(matter.campaign or '', 60)} finished", (over, f"  {_command(house, 'report')}"), ""
        )
    plate = _plate(matter, state)
    if "result" not in matter.facts:
        who = plain(matter.facts.get("by", "?"))
        given_up = f"Plate {plain(plate or '?')} was given up by {who}."
        return _Told(f"round {matter.subject} over, plate given up", (given_up,), plain(plate or ""))
    return _judged(matter, state, house, plate)


def _judged(matter: Matter, state: LabState, house: House, plate: str | None) -> _Told:
    summary = matter.facts["result"].get("summary", {})
    verdict = "passed" if summary.get("passed") else "FAILED its quality control"
    figures = ", ".join(f"{said} {_number(summary[name])}" for name, said in _FIGURES if summary.get(name) is not None)
    lines = (
        f"Plate {plain(plate or '?')} is measured and {verdict}.",
        *([figures] if figures else []),
        *([f"Why: {plain('; '.join(map(str, summary['reasons'])))}"] if summary.get("reasons") else []),
        *(f"Waits for an answer: {plain(f.question)}" for f in state.open_faults()),
        f"  {_command(house, 'status')}",
    )
    return _Told(f"night done, round {matter.subject} {verdict}", lines, figures, "", plate)


_FIGURES = (
    ("z_prime", "Z'"),
    ("n_hits", "hits"),
    ("n_used", "wells used"),
    ("n_flagged", "wells flagged"),
    ("n_toxic", "toxic"),
)


def _number(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else plain(value, 40)


def _notice(matter: Matter, _state: LabState, house: House) -> _Told:
    said = plain(matter.facts.get("question") or notice_text(matter.subject, matter.facts), 600)
    lines = (said, f"When: {_when(matter.opened_at)}", "Nobody has to answer.", f"  {_command(house, 'status')}")
    return _Told(f"notice: {plain(said, 80)}", lines, said)


def _restarted(matter: Matter, state: LabState, house: House) -> _Told:
    lines = (
        f"nextplate took over at {_when(matter.opened_at)} with {matter.subject} actions in flight: the process before "
        "it had ended in the middle of them.",
        "Devices are asked before anything is repeated; what nobody can tell becomes a question.",
        *(f"Waits for an answer: {plain(f.question)}" for f in state.open_faults()),
        f"  {_command(house, 'status')}",
    )
    return _Told("restarted", lines, f"{matter.subject} actions were in flight")


_TELL = {
    "fault": _fault,
    "stall": _fault,
    "approval-wanted": _approval,
    "night-started": _night_started,
    "night-done": _night_done,
    "restarted": _restarted,
    "notice": _notice,
}
