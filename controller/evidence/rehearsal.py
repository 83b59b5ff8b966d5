"""The same night again, in the simulator: a scratch lab made from the journal and tables of a real one."""

import json
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.app import connect
from controller.campaign import Ending, Watcher, run_campaign
from controller.evidence.tomltext import toml_text
from controller.files import write_text
from controller.lab import FOLDERS, Lab, locked_store
from controller.operators import POLICY
from controller.settings import Settings
from controller.store import Event, NewEvent, RowWrite
from controller.timing import Closed
from nextplate.errors import DataError, PlanError

if TYPE_CHECKING:
    from controller.store.store import Store

_TABLES = ("libraries", "stock", "plate_care", "tip_racks")
"""What was registered before the campaign; compounds come with their library."""
_REGISTERED = ("library.added", "stock.added", "stock.care", "tips.added", "spares.added")


_WHILE = ("pause", "resume", "rollback", "abort", "carried")
"""Words of people that nobody asked for: they are said again after the same action as in reality."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A night and its repetition."""

    campaign: str
    real: tuple[Event, ...]
    simulated: tuple[Event, ...]
    was_adopted: bool
    """lab.toml changed while the real campaign ran; the repetition keeps what it began with."""
    not_repeated: tuple[str, ...]
    """What happened in reality and not here, for people."""


def rehearse(lab: Lab, store: "Store", scratch: Path, campaign: str | None = None) -> Rehearsed:
    """Run a campaign again in an empty folder, with its seed and settings and simulated devices.

    The campaigns before it are run again first: their plates, tips and drawn stock are where it began. What people
    decided in reality is decided again when the same is asked, or after the same action. It ends when everything that
    came to an end in reality has done so here, or when it cannot go on.

    Args:
        lab: the real lab; nothing of it is changed.
        store: its database.
        scratch: an empty or absent folder.
        campaign: its name; None: the last one.

    Raises:
        DataError: there is no such campaign, a file that it needs is gone, or the folder is not empty.
    """
    events = tuple(store.events())
    began = _began(events, campaign)
    if scratch.exists() and (not scratch.is_dir() or any(scratch.iterdir())):
        raise DataError(f"{scratch} is not empty; name a new folder")
    series, told = _series(events, began)
    copy, seq = _scratch_lab(lab, scratch, series[0]), 0
    with locked_store(copy, "nextplate replay-night") as there:
        for start in series:
            copy = _scratch_lab(lab, scratch, start)
            _register(store, there, [e for e in events if seq < e.seq < start.seq and e.kind in _REGISTERED])
            _set_clock(copy, start.time)
            told += _run(copy, there, _of(events, start))
            seq = start.seq
        simulated = tuple(e for e in there.events() if e.campaign == began.campaign)
    real = _of(events, began)
    adopted = any(e.kind == "settings.adopted" for e in real)
    return Rehearsed(str(began.campaign), real, simulated, adopted, tuple(told))


def _of(events: Sequence[Event], start: Event) -> tuple[Event, ...]:
    return tuple(e for e in events if e.seq >= start.seq and e.campaign == start.campaign)


def _series(events: Sequence[Event], began: Event) -> tuple[list[Event], list[str]]:
    """Return the starts of the campaigns to run, one after the other, and what of the journal is none of theirs."""
    last = _of(events, began)[-1].seq
    starts = [e for e in events if e.kind == "campaign.started" and e.seq <= last]
    spans = {e.seq: (e.seq, _of(events, e)[-1].seq) for e in starts}
    mine = spans[began.seq]
    beside = [e for e in starts if e is not began and _overlap(spans[e.seq], mine)]
    series = [e for e in starts if e.seq <= began.seq and e not in beside]
    told = [f"campaign {e.campaign}, which ran beside it" for e in beside]
    late = [e for e in events if mine[0] < e.seq < mine[1] and e.kind in _REGISTERED]
    told += [f"event {e.seq}, {e.kind}: it came while the campaign ran" for e in late]
    told += [
        f"campaigns {one.campaign} and {other.campaign} at the same time: here one follows the other"
        for one, other in combinations(series, 2)
        if _overlap(spans[one.seq], spans[other.seq])
    ]
    return series, told


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and one[1] > other[0]


def _began(events: Sequence[Event], campaign: str | None) -> Event:
    began = [e for e in events if e.kind == "campaign.started"]
    names = [str(e.campaign) for e in began]
    if not began:
        raise DataError("no campaign has been started in this lab; there is nothing to replay")
    if campaign is not None and campaign not in names:
        raise DataError(f"the journal has no campaign {campaign!r} (it has: {', '.join(names)})")
    return began[names.index(campaign)] if campaign is not None else began[-1]


def _scratch_lab(lab: Lab, scratch: Path, began: Event) -> Lab:
    settings = _simulated(lab.settings, began.payload)
    for name in FOLDERS:
        (scratch / name).mkdir(parents=True, exist_ok=True)
    library = str(began.payload["library"])[:16]
    if not (lab.folder / "library" / library).is_dir():
        raise DataError(f"{lab.folder / 'library' / library} is missing; add the same library again, then replay")
    shutil.copytree(lab.folder / "library" / library, scratch / "library" / library, dirs_exist_ok=True)
    for name in filter(None, (settings.belief.profiles, settings.deck.offsets)):
        _copy(lab.folder, scratch, name)
    # Unset keys stay out, so that the journal's settings come out the same again.
    body = settings.model_dump(mode="json", exclude_none=True, exclude={"lab", "nightly"})
    write_text(scratch / "lab.toml", toml_text(body))
    return Lab(scratch.resolve(), settings)


def _copy(lab: Path, scratch: Path, name: str) -> None:
    """Copy a file that the settings name; one outside the lab is read where it is."""
    if not (lab / name).is_file():
        raise DataError(f"{lab / name} is missing, which the campaign's settings name; put it back, then replay")
    target = scratch / name
    if Path(name).is_absolute():
        return
    if ".." in Path(name).parts:
        raise DataError(f"{name}, which the campaign's settings name, lies outside the lab; a replay is within one")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(lab / name, target)


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


def _run(lab: Lab, store: "Store", real: Sequence[Event]) -> list[str]:
    """Run a campaign as far as reality went; return what people said then and not here."""
    said, while_ = _words(real)
    owed = {e.payload["key"] for e in real if e.kind == "outcome"}
    is_to_the_end = any(e.kind == "campaign.finished" for e in real)
    follower = _Follower(owed, is_to_the_end, while_, lambda word: _post(store, word))
    try:
        while True:
            ending = run_campaign(lab, store, Watcher(follower.heard), follower)
            if ending.was_interrupted or ending.state.is_finished or ending.state.is_aborted:
                break
            if ending.state.is_paused and follower.say_next():
                continue
            if (word := _word_for(ending, said)) is None:
                break
            _post(store, _about_now(ending, word))
            said.remove(word)
    except PlanError as error:
        if not ("abort" in _said(real) or "reject" in _said(real)):
            return [f"campaign {real[0].campaign}: {error}"]
    left = [*said, *(word.payload for word in follower.words)]
    return [f"{word['what']} by {word['by']}: the same was not asked here, or came no more" for word in left]


def _said(real: Sequence[Event]) -> list[str]:
    """Return what was decided, in words."""
    return [e.payload.get("choice", e.payload["what"]) for e in real if e.kind == "decision"]


def _words(real: Sequence[Event]) -> tuple[list[Mapping[str, Any]], deque["_Word"]]:
    """Return what people answered, and what they said unasked."""
    said, unasked, last = list[Mapping[str, Any]](), deque["_Word"](), None
    for event in real:
        if event.kind in ("intent", "outcome"):
            last = (event.kind, str(event.payload["key"]))
        elif event.kind == "decision" and event.payload["by"] != POLICY:
            if event.payload["what"] in _WHILE:
                unasked.append(_Word(event.payload, last))
            else:
                said.append(event.payload)
    return said, unasked


def _post(store: "Store", word: Mapping[str, Any]) -> None:
    store.post_decision(json.dumps(word, sort_keys=True))


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


@dataclass(frozen=True, slots=True)
class _Word:
    """What a person said unasked."""

    payload: Mapping[str, Any]
    after: tuple[str, str] | None
    """Kind and key of the last event before it of an action; None: there was none."""


@dataclass(slots=True)
class _Follower:
    """Says what was said, and ends the repetition where reality ended (controller.oversight.Overseer)."""

    owed: set[str]
    """Keys that came to an end in reality, and not yet here."""
    is_to_the_end: bool
    """Reality reached the end of the campaign."""
    words: deque[_Word]
    """What is to be said unasked, in its order."""
    post: Callable[[Mapping[str, Any]], None]
    _seen: set[tuple[str, str] | None] = field(default_factory=lambda: {None})

    def heard(self, event: Event) -> None:
        """Hear an event of the repetition."""
        if event.kind in ("intent", "outcome"):
            self._seen.add((event.kind, event.payload["key"]))
        if event.kind == "outcome":
            self.owed.discard(event.payload["key"])

    def say_next(self) -> bool:
        """Say what comes next, whatever was seen; False: nothing does."""
        if self.words:
            self.post(self.words.popleft().payload)
            return True
        return False

    def scanned(self) -> bool:
        """Say what is due now; stop when nothing is owed any more."""
        while self.words and self.words[0].after in self._seen:
            self.say_next()
        return not (self.owed or self.is_to_the_end)

    def opens(self, _now: datetime) -> None:
        """Hold nothing: the robots are simulated."""

    def closed(self, _now: datetime) -> Closed:
        """Close nothing, likewise."""
        return ()
