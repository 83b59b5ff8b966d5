"""The same night again, in the simulator: a scratch lab made from the journal and tables of a real one."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
        _run(copy, there, real)
        simulated = tuple(e for e in there.events() if e.campaign == began.campaign)
    return Rehearsed(str(began.campaign), real, simulated, any(e.kind == "settings.adopted" for e in real))


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
    if (profiles := settings.belief.profiles) and (lab.folder / profiles).is_file():
        (scratch / profiles).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(lab.folder / profiles, scratch / profiles)
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


def _run(lab: Lab, store: "Store", real: Sequence[Event]) -> None:
    said = [e.payload for e in real if e.kind == "decision" and e.payload["by"] != "policy"]
    owed = {e.payload["key"] for e in real if e.kind == "outcome"}
    follower = _Follower(owed, any(e.kind == "campaign.finished" for e in real))
    while True:
        try:
            ending = run_campaign(lab, store, Watcher(follower.heard), follower)
        except PlanError:
            return  # aborted, as in reality
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

    def heard(self, event: Event) -> None:
        """Hear an event of the repetition."""
        if event.kind == "outcome":
            self.owed.discard(event.payload["key"])

    def scanned(self) -> bool:
        """Stop when nothing is owed any more."""
        return not (self.owed or self.is_to_the_end)

    def opens(self, _now: datetime) -> None:
        """Hold nothing: the robots are simulated."""

    def closed(self, _now: datetime) -> Closed:
        """Close nothing, likewise."""
        return ()
