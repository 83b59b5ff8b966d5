"""Rehearsals of a night: many with drawn durations, and one for each device that fails."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from controller.app import lab_time
from controller.executor import LocalExecutor
from controller.lab import Lab
from controller.loop import Rim
from controller.nightly.windows import Windows, windows_of
from controller.oversight import OverseenLoop
from controller.preflight.stage import JumpingClock, MemoryJournal, Player, Remembering
from controller.readiness import not_ready
from controller.recipe import Plan, barcode_of, current, margins, plan_of, stand_in, stops
from controller.reservations import reserved
from controller.sensing import sensor_text
from controller.settings import Settings
from controller.snapshots import resolve
from controller.state import LabState, fold
from controller.store import Event, NewEvent
from controller.timing import Closed

if TYPE_CHECKING:
    from controller.store.store import Store

_TAIL = ("unstage", "measure", "normalise", "admit", "evaluate")
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class NightRun:
    """One rehearsal."""

    imaged: Mapping[str, datetime]
    """Plates that were imaged, and when they were done."""
    margins_min: Mapping[str, float]
    """Of plates with a tolerance: minutes left when imaging began; negative: too late."""
    faults: tuple[str, ...]
    """Questions that a person would be asked."""
    held: Mapping[str, str]
    """Rounds that wait for approval, each with what is asked."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What the rehearsals say of tonight."""

    now: datetime
    blocked: Mapping[str, str]
    """Campaigns that cannot start, and why: what to fill, add or change."""
    runs: tuple[NightRun, ...]
    without: Mapping[str, NightRun]
    """By device: the night in which it alone fails from the beginning."""
    paused: tuple[str, ...]
    """Campaigns that somebody paused."""
    to_load: Mapping[str, Sequence[str]]
    """By what it is (source, tips, intermediate, destination): barcodes that the night takes."""
    suspended: tuple[str, ...] = ()
    """Devices of which a sensor is out of its band, as the journal last heard."""


def preflight(lab: Lab, store: "Store", n_runs: int, seed: int, progress: Progress) -> Foreseen:
    """Rehearse tonight.

    Args:
        lab: its settings and campaigns.
        store: its database, read only.
        n_runs: rehearsals with drawn durations.
        seed: of the draws.
        progress: told of every rehearsal.

    Raises:
        JournalBroken: the journal was changed.
    """
    store.verify()
    now, before = lab_time(lab), fold(store.events())
    blocked, ready = _ready(lab, store, before, now)
    state = _with_new(before, ready, now)
    plans = [plan_of(state.focused(settings.campaign.name)) for settings in ready]
    if not plans:
        return Foreseen(now, blocked, (), {}, (), {})
    devices = _devices(plans)
    executor = LocalExecutor(lab.folder, n_workers=2)
    stage = _Stage(lab, store, plans, state, now, Remembering(executor))
    try:
        runs = []
        for n in range(n_runs):
            runs.append(stage.rehearse(np.random.default_rng([seed, n])))
            progress(n + 1, n_runs + len(devices))
        without = {}
        for n, device in enumerate(devices):
            without[device] = stage.rehearse(np.random.default_rng([seed, 0]), broken=device)
            progress(n_runs + n + 1, n_runs + len(devices))
        paused = tuple(plan.name for plan in plans if state.focused(plan.name).is_paused)
        out = tuple(sensor_text(told) for readings in before.suspended.values() for told in readings.values())
        return Foreseen(now, blocked, tuple(runs), without, paused, stage.to_load, out)
    finally:
        executor.close()


def _devices(plans: Sequence[Plan]) -> tuple[str, ...]:
    """List the kinds of device that the campaigns use."""
    used = ("liquid-handler", "plate-mover", *(stop.device for plan in plans for stop in stops(plan)))
    return tuple(dict.fromkeys(used))


def _ready(lab: Lab, store: "Store", state: LabState, now: datetime) -> tuple[dict[str, str], list[Settings]]:
    """Tell which campaigns lack something, and which the night will run; those over are neither.

    One that is under way goes on whatever it lacks, and stands in the others' way.
    """
    going = [s for s in lab.campaigns if not _is_over(state, s)]
    lacking = not_ready(going, store, state.library, lab.folder, now.date)
    ready = [s for s in going if s.campaign.name not in lacking or s.campaign.name in state.campaigns]
    return {name: str(why) for name, why in lacking.items()}, ready


def _is_over(state: LabState, settings: Settings) -> bool:
    campaign = state.campaigns.get(settings.campaign.name)
    return campaign is not None and campaign.is_over


def _with_new(state: LabState, ready: Sequence[Settings], now: datetime) -> LabState:
    """Begin in thought the campaigns that the night would begin."""
    events = []
    for settings in ready:
        wanted = settings.campaign
        if wanted.name not in state.campaigns:
            payload = {"name": wanted.name, "seed": wanted.seed, "rounds": wanted.rounds}
            payload |= {"library": state.library or "", "settings": settings.journal_body()}
            events.append(NewEvent("campaign.started", now, wanted.name, payload))
    # a sensor that is out of its band now is told apart, and taken to be back when the night begins
    return replace(fold(events, state), suspended={}, suspended_since={})


@dataclass(frozen=True, slots=True)
class Hours:
    """Holds the rehearsed robots when the night would (controller.oversight.Overseer)."""

    windows: Windows

    def scanned(self) -> bool:
        """Never stop."""
        return False

    def opens(self, now: datetime) -> datetime | None:
        """Tell when robots may move; None: now."""
        opens = self.windows.opens(now)
        return opens if opens > now else None

    def closed(self, now: datetime) -> Closed:
        """List when they may not."""
        return self.windows.closed(now)


@dataclass(slots=True)
class _Stage:
    lab: Lab
    store: "Store"
    plans: Sequence[Plan]
    state: LabState
    now: datetime
    executor: Remembering

    def rehearse(self, rng: np.random.Generator, broken: str = "") -> NightRun:
        """Play the night once."""
        clock = JumpingClock(self.now)
        journal = MemoryJournal(self.store.head().seq)
        players = {d: Player(d, clock, self.state, rng, is_broken=d == broken) for d in _devices(self.plans)}
        others = {unit: d for plan in self.plans for d in _devices(self.plans) if (unit := stand_in(plan, d))}
        players |= {unit: Player(d, clock, self.state, rng) for unit, d in others.items()}
        rim = Rim(
            resolve=self._resolve,
            rows=lambda _campaign, _status, _intent, result, _message: ((), result),
            inbox=self._inbox,
            watch=_nothing,
        )
        section = self.lab.settings.nightly
        hours = Hours(windows_of(section.move, section.time_zone))
        loop = OverseenLoop(
            self.lab.folder, self.plans, journal, clock, self.executor, players, rim, self.state, journal.seq,
            closed=hours.closed, overseer=hours,
        )  # fmt: skip
        loop.run()
        return self._told(loop.state)

    @property
    def to_load(self) -> dict[str, list[str]]:
        """Tell which plates and racks the planned loads take, by their role."""
        wanted: dict[str, dict[str, None]] = {}
        compiled = [report.result for key, report in self.executor.done.items() if ".compile" in key]
        for result in (*(_not_begun(self.state.focused(plan.name), plan) for plan in self.plans), *compiled):
            for load in result.get("summary", {}).get("loads", ()):
                for _slot, barcode, role in load["deck"]:
                    wanted.setdefault(role, {})[barcode] = None
        return {role: list(barcodes) for role, barcodes in wanted.items()}

    def _resolve(self, view: LabState, action: Any) -> Any:
        library = view.campaign.library if view.campaign else ""
        spoken_for = reserved(self.lab.folder, view, self.plans)
        return resolve(self.lab.folder, self.store, library, action, self.now.date(), spoken_for)

    def _inbox(self, state: LabState) -> Any:
        """Let a campaign rest once its plate is imaged: what it measures is not known yet."""
        over = [plan.name for plan in self.plans if _is_imaged(state.focused(plan.name), plan)]
        return [("decision", name, {"what": "pause", "by": "preflight"}) for name in over], ()

    def _told(self, state: LabState) -> NightRun:
        views = [(state.focused(plan.name), plan) for plan in self.plans]
        imaged = {barcode: time for view, plan in views for barcode, time in _imaged(view, plan, self.state)}
        asked = ((view, p, r) for view, p in views for r in view.open_proposals())
        held = {f"{p.name} round {r + 1}": str(view.proposals[r]) for view, p, r in asked}
        faults = tuple(f.question for f in state.open_faults())
        return NightRun(imaged, dict(_margins(views)), faults, held)


def _not_begun(state: LabState, plan: Plan) -> Mapping[str, Any]:
    """Return what was compiled already for a round of which nothing stands on the deck yet."""
    place = current(state, plan)
    compiled = state.outcome("compile", place[0]) if place else None
    is_begun = place is not None and state.latest_key("deck-0", place[0]) in state.intents
    return compiled.result if compiled is not None and not is_begun else {}


def _nothing(_event: Event) -> None:
    return None


def _is_imaged(state: LabState, plan: Plan) -> bool:
    place = current(state, plan)
    return not state.is_paused and place is not None and place[1] in _TAIL[1:]


def _imaged(state: LabState, plan: Plan, before: LabState) -> list[tuple[str, datetime]]:
    """List the plates imaged in the rehearsal, not those of nights before."""
    found = []
    for number in range(plan.rounds):
        key = state.latest_key("unstage", number)
        outcome = state.outcomes.get(key)
        if outcome is not None and outcome.is_done and key not in before.outcomes:
            found.append((barcode_of(state, plan, number), outcome.time))
    return found


def _margins(views: Sequence[tuple[LabState, Plan]]) -> list[tuple[str, float]]:
    found = []
    for state, plan in views:
        place = current(state, plan)
        number = place[0] if place else 0
        left = [] if number >= plan.rounds else list(margins(state, plan, number))
        found += [(barcode_of(state, plan, number), min(left) / timedelta(minutes=1))] if left else []
    return found
