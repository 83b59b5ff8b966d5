"""Start or resume a campaign and run its loop to the end, to a question, or to Ctrl-C."""

import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from controller.app import Hardware, connect, lab_time
from controller.executor import LocalExecutor, Progress
from controller.lab import Lab
from controller.loop import Loop, Rim
from controller.operators import sort_out
from controller.projections import campaign_row, rows_of
from controller.readiness import check_ready
from controller.recipe import Plan, barcode_of, plan_of
from controller.snapshots import resolve
from controller.state import Campaign, LabState, fold
from controller.store import Event, Head, NewEvent, RowWrite
from nextplate.errors import PlanError
from protocols.stock import unusable_plates

if TYPE_CHECKING:
    from controller.store.store import Store

JSON = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who is told what happens, for progress."""

    event: Callable[[Event], None]
    step: Progress | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended."""

    state: LabState
    head: Head
    """Sequence number and hash of the journal's last event."""
    was_interrupted: bool
    settings_changed: bool
    """lab.toml says something else than the settings the campaign was started with, which still hold."""

    @property
    def needs_person(self) -> bool:
        """Tell whether the campaign cannot go on, or did not end well, without a person."""
        return not self.state.is_finished


def run_campaign(lab: Lab, store: "Store", watcher: Watcher) -> Ending:
    """Run the campaign that lab.toml names until it is over or a person is needed.

    Raises:
        PlanError: nothing to start with (no library, no stock), or the campaign was aborted.
        JournalBroken: the journal was changed; nothing is done on the strength of it.
    """
    store.verify()
    before = fold(store.events())
    if not (before.is_finished and before.campaign and before.campaign.name == lab.settings.campaign.name):
        check_ready(lab.settings, store, before.library, lab.folder, _unusable(lab, store))
    hardware = connect(lab.folder, lab.settings)
    executor = LocalExecutor(lab.folder, progress=watcher.step)
    try:
        hardware.prepare(store)
        state = _begun(lab, store, hardware, before)
        plan = plan_of(state)
        loop = _loop(lab, store, hardware, executor, plan, state, watcher)
        if not state.is_finished:
            with _stopping_on_signals(loop):
                loop.run()
        changed = dict(plan.settings) != settings_body(lab)
        return Ending(loop.state, store.head(), loop.is_stopping, changed)
    finally:
        executor.close()
        hardware.close()


def settings_body(lab: Lab) -> dict[str, Any]:
    """Return the settings that shape a campaign's decisions, as the journal keeps them."""
    return lab.settings.journal_body()


def _begun(lab: Lab, store: "Store", hardware: Hardware, state: LabState) -> LabState:
    """Return the state of the campaign to run, starting it when its name is new."""
    wanted = lab.settings.campaign
    if state.campaign is not None and state.campaign.name == wanted.name:
        if state.is_aborted and not state.pending():
            raise PlanError(f"campaign {wanted.name!r} was aborted; give the next one another name in lab.toml")
        return _with_adopted(lab, store, hardware, state, state.campaign)
    if state.campaign is not None and not (state.is_finished or state.is_aborted):
        raise PlanError(
            f"campaign {state.campaign.name!r} is not over, but lab.toml now names {wanted.name!r}; "
            f"put the old name back, or end it with: nextplate abort"
        )
    return _start(lab, store, hardware, state)


def _with_adopted(lab: Lab, store: "Store", hardware: Hardware, state: LabState, campaign: Campaign) -> LabState:
    """Adopt from lab.toml what may change while a campaign runs: policies, the prover, how plates are read.

    What decides which liquid goes where stays as the campaign began.
    """
    now = settings_body(lab)
    assay = {**campaign.settings["assay"], **{k: now["assay"][k] for k in _ADOPTED_OF_ASSAY}}
    began = {k: v for k, v in campaign.settings.items() if k not in _ADOPTED}
    settings = {**began, **{k: now[k] for k in _ADOPTED if k in now}, "assay": assay}
    if settings == campaign.settings or state.is_finished:
        return state
    event = NewEvent("settings.adopted", hardware.clock.now(), campaign.name, {"settings": settings})
    return fold(store.append([event], expected_seq=store.head().seq), state)


_ADOPTED = ("approval", "faults", "proof", "readout")
_ADOPTED_OF_ASSAY = ("dna_channel", "reporter_channel")


def _unusable(lab: Lab, store: "Store") -> Mapping[str, str]:
    care = store.plate_care()
    return unusable_plates(care, lab_time(lab.folder, lab.settings).date()) if care else {}


def _start(lab: Lab, store: "Store", hardware: Hardware, state: LabState) -> LabState:
    if store.select("campaigns", {"campaign": lab.settings.campaign.name}):
        raise PlanError(
            f"campaign {lab.settings.campaign.name!r} was run before; give the new one its own name in lab.toml"
        )
    wanted, body, now = lab.settings.campaign, settings_body(lab), hardware.clock.now()
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
    plan: Plan,
    state: LabState,
    watcher: Watcher,
) -> Loop:
    library = state.campaign.library if state.campaign else ""
    rim = Rim(
        resolve=lambda action: resolve(lab.folder, store, library, action, hardware.clock.now().date()),
        rows=lambda *told: rows_of(lab.folder, plan.name, *told),
        inbox=lambda current: _inbox(store, hardware, current),
        watch=watcher.event,
    )
    return Loop(
        lab=lab.folder,
        plan=plan,
        journal=store,
        clock=hardware.clock,
        executor=executor,
        devices=hardware.devices,
        rim=rim,
        state=state,
        head=store.head().seq,
    )


def _inbox(
    store: "Store", hardware: Hardware, state: LabState
) -> tuple[Sequence[tuple[str, JSON]], Sequence[RowWrite]]:
    waiting = store.waiting_decisions()
    taken = [RowWrite("inbox", [row], mode="upsert", event=n) for n, row in enumerate(waiting)]
    decisions = sort_out(state, [json.loads(row["decision"]) for row in waiting])
    for kind, decision in decisions:
        if kind == "decision" and decision["what"] == "answer":
            intent = state.intents[state.faults[decision["fault"]].key]
            plate = barcode_of(state, plan_of(state), intent.round)
            hardware.lend_hand(intent.action.get("command", {}), decision["choice"], plate)
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
