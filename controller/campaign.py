"""Start or resume a campaign and run its loop to the end, to a question, or to Ctrl-C."""

import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from controller.actions import Compute
from controller.app import Hardware, connect, lab_time
from controller.executor import LocalExecutor, Progress
from controller.folding import collector_paused, fold_journal
from controller.lab import Lab
from controller.loop import Loop, Rim
from controller.operators import sort_out
from controller.oversight import OverseenLoop, Overseer
from controller.projections import campaign_row, rows_of
from controller.readiness import not_ready
from controller.recipe import Plan, barcode_of, plan_of
from controller.reservations import NOTHING, reserved
from controller.sensing import SensorWatch
from controller.settings import Settings
from controller.settingswatch import SettingsWatch, settings_digest
from controller.snapshots import resolve
from controller.starting import check_clock, check_stations, stations_of
from controller.state import Campaign, LabState, fold
from controller.store import Event, Head, NewEvent, RowWrite
from controller.timing import always_open
from drivers.ports import Clock
from nextplate.errors import PlanError

if TYPE_CHECKING:
    from controller.store.store import Store

JSON = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who is told what happens, for progress."""

    event: Callable[[Event], None]
    step: Progress | None = None
    note: Callable[[str], None] = lambda _text: None
    """Told at the start of what is in no journal: a campaign that is left out."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended."""

    state: LabState
    """With lab.toml's campaign in focus."""
    head: Head
    """Sequence number and hash of the journal's last event."""
    was_interrupted: bool
    settings_changed: bool
    """A campaign's file says something else than the settings it was started with, which still hold."""
    campaigns: tuple[str, ...]
    """Those that were run."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Campaigns that could not be started, and what each lacks; the others were run without them."""

    @property
    def needs_person(self) -> bool:
        """Tell whether a campaign cannot go on, or did not end well, without a person."""
        return bool(self.left_out) or not all(view.is_finished for view in self.views)

    @property
    def is_over(self) -> bool:
        """Tell whether every campaign came to its end, or was ended."""
        return all(view.is_finished or view.is_aborted for view in self.views)

    @property
    def views(self) -> tuple[LabState, ...]:
        """The state once for each campaign, that one in focus."""
        return tuple(self.state.focused(name) for name in self.campaigns)


def run_campaign(lab: Lab, store: "Store", watcher: Watcher, overseer: Overseer | None = None) -> Ending:
    """Run the campaigns that lab.toml and ``campaigns/`` name until all are over or a person is needed.

    Args:
        lab: the lab, whose lock the caller holds.
        store: its database.
        watcher: who is told.
        overseer: who may stop the loop and hold what is physical; None: nobody.

    Raises:
        PlanError: nothing to start with (no library, no stock), or a campaign was aborted.
        JournalBroken: the journal was changed; nothing is done on the strength of it.
    """
    with collector_paused():
        store.verify()
    if overseer is None and not lab.settings.is_simulated:
        check_clock(lab, store, lab_time(lab))  # an overseer watches it all night, and asks instead
    before = fold_journal(store)
    waiting = [json.loads(row["decision"]) for row in store.waiting_decisions()]
    check_stations(lab, before, waiting)
    lacking = _lacking(lab, store, before)
    for name, why in lacking.items():
        watcher.note(f"campaign {name} is left out until that is mended: {why}")
    campaigns = [settings for settings in lab.campaigns if settings.campaign.name not in lacking]
    hardware = connect(lab)
    executor = LocalExecutor(lab.folder, n_workers=min(2, len(campaigns)), progress=watcher.step)
    try:
        hardware.prepare(store)
        state = _begun(campaigns, store, hardware, before)
        plans = [plan_of(state.focused(settings.campaign.name)) for settings in campaigns]
        loop = _loop(lab, store, hardware, executor, plans, state, watcher, overseer)
        if not all(state.focused(plan.name).is_finished for plan in plans):
            with _stopping_on_signals(loop):
                loop.run()
        changed = any(dict(p.settings) != s.journal_body() for p, s in zip(plans, campaigns, strict=True))
        names = tuple(plan.name for plan in plans)
        return Ending(loop.state.focused(names[0]), store.head(), loop.is_stopping, changed, names, lacking)
    finally:
        executor.close()
        hardware.close()


def _lacking(lab: Lab, store: "Store", state: LabState) -> dict[str, str]:
    """Say of each campaign that is new and cannot be started what it lacks.

    One that is under way finds out in its own steps: its plate in the incubator must not wait for a bottle.

    Raises:
        PlanError, DataError: there is no other to run.
    """
    new = [settings for settings in lab.campaigns if settings.campaign.name not in state.campaigns]
    lacking = not_ready(new, store, state.library, lab.folder, lambda: lab_time(lab).date()) if new else {}
    going_on = [
        s for s in lab.campaigns
        if s.campaign.name not in lacking
        and not (s.campaign.name in state.campaigns and state.campaigns[s.campaign.name].is_over)
    ]  # fmt: skip
    if lacking and not going_on:
        raise next(iter(lacking.values()))
    return {name: str(why) for name, why in lacking.items()}


def _begun(campaigns: Sequence[Settings], store: "Store", hardware: Hardware, state: LabState) -> LabState:
    """Return the state with every campaign that is to run, starting those whose name is new."""
    wanted = {settings.campaign.name: settings for settings in campaigns}
    left = [c.name for c in state.campaigns.values() if not c.is_over and c.name not in wanted]
    if left:
        now = ", ".join(map(repr, wanted))
        raise PlanError(
            f"campaign {left[0]!r} is not over, but lab.toml now names {now}; "
            f"put the old name back, or end it with: nextplate abort"
        )
    for name, settings in wanted.items():
        view = state.focused(name)
        if view.campaign is None:
            state = _start(settings, store, hardware, state)
        elif view.is_aborted and not any(view.campaign.owns(i.key) for i in view.pending()):
            if len(wanted) == 1:
                raise PlanError(f"campaign {name!r} was aborted; give the next one another name in lab.toml")
        else:
            state = _with_adopted(settings, store, hardware, view, view.campaign)
    return state


def _with_adopted(
    settings: Settings, store: "Store", hardware: Hardware, state: LabState, campaign: Campaign
) -> LabState:
    """Adopt from lab.toml what may change while a campaign runs: policies, the prover, how plates are read.

    What decides which liquid goes where stays as the campaign began.
    """
    now = settings.journal_body()
    assay = {**campaign.settings["assay"], **{k: now["assay"][k] for k in _ADOPTED_OF_ASSAY}}
    began = {k: v for k, v in campaign.settings.items() if k not in _ADOPTED}
    adopted = {**began, **{k: now[k] for k in _ADOPTED if k in now}, "assay": assay}
    if adopted == campaign.settings or campaign.is_finished:
        return state
    event = NewEvent("settings.adopted", hardware.clock.now(), campaign.name, {"settings": adopted})
    return fold(store.append([event], expected_seq=store.head().seq), state)


_ADOPTED = ("approval", "cost", "faults", "proof", "readout")
_ADOPTED_OF_ASSAY = ("dna_channel", "reporter_channel")


def _start(settings: Settings, store: "Store", hardware: Hardware, state: LabState) -> LabState:
    wanted, body, now = settings.campaign, settings.journal_body(), hardware.clock.now()
    if store.select("campaigns", {"campaign": wanted.name}):
        raise PlanError(f"campaign {wanted.name!r} was run before; give the new one its own name in lab.toml")
    library = state.library or ""
    payload = {"name": wanted.name, "seed": wanted.seed, "rounds": wanted.rounds}
    payload |= {"library": library, "settings": body}
    row = campaign_row(wanted.name, wanted.seed, wanted.rounds, library, body, now.isoformat())
    event = NewEvent("campaign.started", now, wanted.name, payload)
    return fold(store.append([event], [row], expected_seq=store.head().seq), state)


def _loop(
    lab: Lab,
    store: "Store",
    hardware: Hardware,
    executor: LocalExecutor,
    plans: Sequence[Plan],
    state: LabState,
    watcher: Watcher,
    overseer: Overseer | None,
) -> Loop:
    clock, section = hardware.clock, lab.settings.sensors
    sensors = SensorWatch(
        {str(kind): bands for kind, bands in section.bands.items()}, hardware.devices, timedelta(seconds=section.look_s)
    )
    settings = SettingsWatch(lab)
    rim = Rim(
        resolve=lambda view, action: _resolve(lab, store, hardware, plans, view, action),
        rows=lambda *told: rows_of(lab.folder, *told),
        inbox=lambda current: _news(store, hardware, current, clock, sensors, settings),
        watch=watcher.event,
        wakes=lambda current, is_idle: sensors.wakes(current, clock.now(), is_idle=is_idle),
    )
    make = Loop if overseer is None else partial(OverseenLoop, overseer=overseer)
    return make(
        lab=lab.folder,
        plans=plans,
        journal=store,
        clock=clock,
        executor=executor,
        devices=hardware.devices,
        rim=rim,
        state=state,
        head=store.head().seq,
        closed=overseer.closed if overseer else always_open,
        facts={"settings": settings_digest(lab.campaigns), "stations": stations_of(lab.settings)},
    )


def _resolve(
    lab: Lab, store: "Store", hardware: Hardware, plans: Sequence[Plan], view: LabState, action: Compute
) -> Compute:
    library = view.campaign.library if view.campaign else ""
    draws = {"@stock", "@tips"} & set(action.inputs.values())
    spoken_for = reserved(lab.folder, view, plans) if draws else NOTHING
    return resolve(lab.folder, store, library, action, hardware.clock.now().date(), spoken_for)


def _news(
    store: "Store",
    hardware: Hardware,
    state: LabState,
    clock: Clock,
    sensors: SensorWatch,
    settings: SettingsWatch,
) -> tuple[Sequence[tuple[str, str | None, JSON]], Sequence[RowWrite]]:
    """Return what operators decided, and what of sensors and settings has changed."""
    decisions, taken = _inbox(store, hardware, state)
    return (*decisions, *sensors.news(state, clock.now()), *settings.news()), taken


def _inbox(
    store: "Store", hardware: Hardware, state: LabState
) -> tuple[Sequence[tuple[str, str | None, JSON]], Sequence[RowWrite]]:
    waiting = store.waiting_decisions()
    taken = [RowWrite("inbox", [row], mode="upsert", event=n) for n, row in enumerate(waiting)]
    decisions = sort_out(state, [json.loads(row["decision"]) for row in waiting])
    for kind, name, decision in decisions:
        if kind == "decision" and decision["what"] == "carried":
            moves = {"moves": [[decision["plate"], "", decision["place"]]]}
            hardware.lend_hand(moves, "done", decision["plate"], ())
        if kind == "decision" and decision["what"] == "answer":
            view = state.focused(name) if name else state
            intent = view.intents[view.faults[decision["fault"]].key]
            plate = barcode_of(view, plan_of(view), intent.round)
            arrived = decision.get("arrived", ())
            hardware.lend_hand(intent.action.get("command", {}), decision["choice"], plate, arrived)
    return decisions, taken


@contextmanager
def _stopping_on_signals(loop: Loop) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the loop after the present scan; a second Ctrl-C ends it at once."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        if loop.is_stopping:
            raise KeyboardInterrupt
        loop.is_stopping = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
