"""The same night again, in the simulator: a scratch lab made from the journal and tables of a real one."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.app import connect
from controller.campaign import Ending, Watcher, run_campaign
from controller.evidence.tomltext import toml_text
from controller.files import write_text
from controller.lab import FOLDERS, Lab, locked_store
from controller.settings import Settings
from controller.store import Event, NewEvent, RowWrite
from controller.timing import Closed
from nextplate.errors import DataError, PlanError

if TYPE_CHECKING:
    from controller.store.store import Store

_TABLES = ("libraries", "stock", "plate_care", "tip_racks")
"""What was registered before the campaign; compounds come with their library."""
_REGISTERED = ("library.added", "stock.added", "stock.care", "tips.added", "spares.added")


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A night and its repetition."""

    campaign: str
    real: tuple[Event, ...]
    simulated: tuple[Event, ...]
    was_adopted: bool
    """lab.toml changed while the real campaign ran; the repetition keeps what it began with."""
    not_repeated: tuple[str, ...] = ()
    """What happened in reality and not here, for people."""


def rehearse(lab: Lab, store: "Store", scratch: Path, campaign: str | None = None) -> Rehearsed:
    """Run a campaign again in an empty folder, with its seed and settings and simulated devices.

    What people decided in reality is decided again when the same is asked. It ends when everything that came to an
    end in reality has done so here, or when it cannot go on.

    Args:
        lab: the real lab; nothing of it is changed.
        store: its database.
        scratch: an empty or absent folder.
        campaign: its name; None: the last one.

    Raises:
        DataError: there is no such campaign, or the folder is not empty.
    """
    events = tuple(store.events())
    began = _began(events, campaign)
    real = tuple(e for e in events if e.seq >= began.seq and e.campaign == began.campaign)
    copy = _scratch_lab(lab, scratch, began)
    with locked_store(copy, "nextplate replay-night") as there:
        _register(store, there, [e for e in events if e.seq < began.seq and e.kind in _REGISTERED])
        _set_clock(copy, began.time)
        unsaid = tuple(_run(copy, there, real))
        simulated = tuple(e for e in there.events() if e.campaign == began.campaign)
    was_adopted = any(e.kind == "settings.adopted" for e in real)
    return Rehearsed(str(began.campaign), real, simulated, was_adopted, (*_beside(events, began), *unsaid))


def _beside(events: Sequence[Event], began: Event) -> Iterator[str]:
    """Tell of other campaigns of the lab: the repetition runs one, in a lab as it was filled."""
    others = [e for e in events if e.kind == "intent" and e.campaign != began.campaign]
    before = dict.fromkeys(str(e.campaign) for e in others if e.seq < began.seq)
    last = max((e.seq for e in events if e.campaign == began.campaign), default=began.seq)
    beside = dict.fromkeys(str(e.campaign) for e in others if began.seq < e.seq < last)
    if before:
        yield (
            f"not repeated: what {', '.join(before)} had used before; stock and tips are as full as they were "
            "registered, and places are empty, so other wells may be picked here"
        )
    if beside:
        yield f"not repeated: {', '.join(beside)}, which shared the devices; nothing waits for others here"


def _began(events: Sequence[Event], campaign: str | None) -> Event:
    began = [e for e in events if e.kind == "campaign.started"]
    names = [str(e.campaign) for e in began]
    if not began:
        raise DataError("no campaign has been started in this lab; there is nothing to replay")
    if campaign is not None and campaign not in names:
        raise DataError(f"the journal has no campaign {campaign!r} (it has: {', '.join(names)})")
    return began[names.index(campaign)] if campaign is not None else began[-1]


def _scratch_lab(lab: Lab, scratch: Path, began: Event) -> Lab:
    if scratch.exists() and (not scratch.is_dir() or any(scratch.iterdir())):
        raise DataError(f"{scratch} is not empty; name a new folder")
    settings = _simulated(lab.settings, began.payload)
    for name in FOLDERS:
        (scratch / name).mkdir(parents=True, exist_ok=True)
    library = str(began.payload["library"])[:16]
    if not (lab.folder / "library" / library).is_dir():
        raise DataError(f"{lab.folder / 'library' / library} is missing; add the same library again, then replay")
    shutil.copytree(lab.folder / "library" / library, scratch / "library" / library)
    for named in filter(None, (settings.belief.profiles, settings.deck.offsets)):
        if not (lab.folder / named).is_file():
            raise DataError(f"{lab.folder / named} is missing, which the campaign was planned with; put it back")
        (scratch / named).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(lab.folder / named, scratch / named)
    # Unset keys stay out, so that the journal's settings come out the same again.
    body = settings.model_dump(mode="json", exclude_none=True, exclude={"lab", "nightly"})
    write_text(scratch / "lab.toml", toml_text(body))
    return Lab(scratch.resolve(), settings)


def _simulated(now: Settings, started: Mapping[str, Any]) -> Settings:
    """Make the settings a campaign began with, for a lab of simulated devices."""
    body = json.loads(json.dumps(started["settings"]))
    for device in body["device"]:
        device |= {"driver": "sim", "options": {}}
    body["sim"] = json.loads(now.sim.model_dump_json())
    return Settings.model_validate(body)


def _register(store: "Store", there: "Store", events: Sequence[Event]) -> None:
    """Write what was registered, event by event, with the rows that followed from each."""
    rows = {table: store.select(table) for table in _TABLES}
    for event in events:
        writes = list(_rows_of(store, rows, event.seq))
        there.append([NewEvent(event.kind, event.time, event.campaign, event.payload)], writes)


def _rows_of(store: "Store", rows: Mapping[str, Sequence[Mapping[str, Any]]], seq: int) -> Iterator[RowWrite]:
    for table in _TABLES:
        mine = [{k: v for k, v in row.items() if k != "seq"} for row in rows[table] if row["seq"] == seq]
        if mine:
            yield RowWrite(table, mine)
        if table == "libraries":
            for library in mine:
                yield RowWrite("compounds", store.compounds(library["library"]))


def _set_clock(lab: Lab, when: datetime) -> None:
    hardware = connect(lab)
    try:
        hardware.clock.wait_until(when)
    finally:
        hardware.close()


_ASKED = ("approve", "reject", "answer")
"""What people say only when they are asked; all else they may say at any time."""


def _run(lab: Lab, store: "Store", real: Sequence[Event]) -> Iterator[str]:
    """Run the repetition; yield afterwards what people said in reality and not here."""
    people = [e for e in real if e.kind == "decision" and e.payload["by"] != "policy"]
    said = [e.payload for e in people if e.payload["what"] in _ASKED]
    owed = {e.payload["key"] for e in real if e.kind == "outcome"}
    is_to_the_end = any(e.kind == "campaign.finished" for e in real)
    follower = _Follower(owed, is_to_the_end, list(_unasked(real)), store.post_decision)
    _follow(lab, store, follower, said)
    for word in (*said, *(word for _, word in follower.later)):
        about = word.get("fault") or (f"round {word['round'] + 1}" if "round" in word else "")
        what = " ".join(filter(None, (word["what"], about, word.get("choice", ""))))
        yield f"not repeated: {what}, said by {word['by']}; it did not come to that here"


def _unasked(real: Sequence[Event]) -> Iterator[tuple[str | None, Mapping[str, Any]]]:
    """Yield what people said of themselves, each with the outcome after which they did; None: before any."""
    after = None
    for event in real:
        if event.kind == "outcome":
            after = event.payload["key"]
        elif event.kind == "decision" and event.payload["by"] != "policy" and event.payload["what"] not in _ASKED:
            yield after, event.payload


def _follow(lab: Lab, store: "Store", follower: "_Follower", said: list[Mapping[str, Any]]) -> None:
    while True:
        try:
            ending = run_campaign(lab, store, Watcher(follower.heard), follower)
        except PlanError:
            return  # aborted, as in reality
        if ending.state.is_paused and follower.say_next("resume"):
            continue
        word = _word_for(ending, said)
        if ending.was_interrupted or ending.state.is_finished or word is None:
            return
        store.post_decision(json.dumps(_about_now(ending, word), sort_keys=True))
        said.remove(word)


def _word_for(ending: Ending, said: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return what people said in reality when they were asked the same."""
    rounds = set(ending.state.open_proposals())
    faults = {f.fault: f.choices for f in ending.state.open_faults()}
    for word in said:
        if word["what"] in ("approve", "reject") and word["round"] in rounds:
            return word
        if word["what"] == "answer" and word["choice"] in faults.get(word["fault"], ()):
            return word
    return None


def _about_now(ending: Ending, word: Mapping[str, Any]) -> Mapping[str, Any]:
    """Let a word about a round mean what is proposed here: journals of before there were digests name none."""
    if word["what"] not in ("approve", "reject"):
        return word
    return {**word, "digest": ending.state.proposals[word["round"]].digest}


@dataclass(slots=True)
class _Follower:
    """Ends the repetition where reality ended (controller.oversight.Overseer)."""

    owed: set[str]
    """Keys that came to an end in reality, and not yet here."""
    is_to_the_end: bool
    """Reality reached the end of the campaign."""
    later: list[tuple[str | None, Mapping[str, Any]]]
    """What people will say of themselves, each with the outcome after which they do."""
    post: Callable[[str], object]
    """Say something to the loop."""
    ended: set[str | None] = field(default_factory=lambda: {None})
    """Keys that have come to an end here."""

    def heard(self, event: Event) -> None:
        """Hear an event of the repetition."""
        if event.kind == "outcome":
            self.owed.discard(event.payload["key"])
            self.ended.add(event.payload["key"])

    def scanned(self) -> bool:
        """Say what is due; stop when nothing is owed any more."""
        is_saying = bool(self.later) and self.later[0][0] in self.ended and self.say_next()
        return not (is_saying or self.owed or self.is_to_the_end)

    def say_next(self, what: str = "") -> bool:
        """Say what comes next, if it is what is asked for; tell whether it was said."""
        if not self.later or (what and self.later[0][1]["what"] != what):
            return False
        self.post(json.dumps(self.later.pop(0)[1], sort_keys=True))
        return True

    def opens(self, _now: datetime) -> None:
        """Hold nothing: the robots are simulated."""

    def closed(self, _now: datetime) -> Closed:
        """Close nothing, likewise."""
        return ()
