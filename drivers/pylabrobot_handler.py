"""A liquid handler over PyLabRobot 0.2.2 (extra ``pylabrobot``); facts/robots.md section 4.

::

    driver = "pylabrobot"
    options = { backend = "hamilton-star", deck = "deck.json" }

``backend`` is a name of `BACKENDS`, never an import path. ``deck`` is a file that PyLabRobot wrote (``deck.save``), in
the lab; its plates and tip racks bear the names of our deck slots, and it has a trash for tips. Loads are single
transfers with tips, done one by one: each is written down before it begins and after it ended, so that after a crash
it is known which one was under way, and none is done twice. PyLabRobot's tracking of tips and volumes is on (it is
global to the process): a source well is taken to hold what the load draws from it, which the ledger has proven, and
any other well to be empty, so what is caught is a load that differs from itself, not a full destination.

``transfer_s`` is how long one transfer may take (60), ``setup_s`` the start of the machine (120), which may move it.
"""

import asyncio
import functools
import importlib
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from drivers.deadline import Deadline, Stopped
from drivers.options import checked
from drivers.ports import Report, RunLoad, Status
from drivers.pylabrobot_loop import Loop, require_package
from drivers.pylabrobot_trail import Trail
from drivers.serial_options import memory_of
from drivers.worker import NOTHING_MOVED, WorkerDevice
from drivers.worker_memory import JSON
from nextplate.errors import DataError, NeedsOperator, SettingsError
from protocols.labware import vendor_well
from protocols.model import DeckLoad, Protocol, Transfer

BACKENDS: Mapping[str, str] = {
    "chatterbox": "LiquidHandlerChatterboxBackend",
    "hamilton-star": "STARBackend",
    "hamilton-vantage": "VantageBackend",
    "tecan-evo": "EVOBackend",
}
"""Classes of pylabrobot.liquid_handling.backends that can be named; chatterbox moves nothing and prints."""
_MODULE = "pylabrobot.liquid_handling.backends"
MakeBackend = Callable[[], Any]


def make(kind: str, options: Mapping[str, Any], lab: Path) -> WorkerDevice:
    """Make the driver of a liquid handler (drivers.options.Make).

    Raises:
        SettingsError: an option is missing, unknown or wrong, or the extra is not installed.
    """
    if kind != "liquid-handler":
        raise SettingsError(f"driver 'pylabrobot' is for a liquid-handler, not for a {kind}")
    said = checked(options, {"backend": str, "deck": str}, {"transfer_s": float, "setup_s": float})
    if said["backend"] not in BACKENDS:
        raise SettingsError(f"option backend = {said['backend']!r} should be one of {', '.join(BACKENDS)}")
    for name in ("transfer_s", "setup_s"):
        if name in said and not 0 < said[name] < float("inf"):
            raise SettingsError(f"option {name} = {said[name]!r} should be above 0")
    deck = lab / said["deck"]
    if not deck.is_file():
        raise SettingsError(f"option deck: there is no file {deck}; write it with PyLabRobot's deck.save")
    require_package()
    memory = memory_of(kind, lab)
    pace = {"transfer_s": said.get("transfer_s", 60.0), "setup_s": said.get("setup_s", 120.0)}
    machine = PlrHandler(lambda: _backend(said["backend"]), deck, memory.place / "loads", **pace)
    return WorkerDevice(machine, memory)


def _backend(name: str) -> Any:
    return getattr(importlib.import_module(_MODULE), BACKENDS[name])()


class PlrHandler:
    """PyLabRobot's LiquidHandler as a machine (drivers.worker.Machine), in an event loop of the worker's thread."""

    name = "liquid-handler"
    takes: tuple[type, ...] = (RunLoad,)

    def __init__(
        self, backend: MakeBackend, deck: Path, folder: Path, *, transfer_s: float = 60.0, setup_s: float = 120.0
    ) -> None:
        self._make_backend, self._deck, self._folder = backend, deck, folder
        self._transfer_s, self._setup_s = transfer_s, setup_s
        self._loop = Loop()
        self._handler: Any = None
        self._is_sent = False
        """The backend was asked for the operation under way; False: PyLabRobot refused it before."""

    def time_s(self, command: RunLoad) -> float:
        """Return the time for every transfer of the load, and to start the machine."""
        try:
            return self._setup_s + self._transfer_s * len(_load(command).steps)
        except NeedsOperator:
            return self._setup_s  # prepare will say it

    def prepare(self, command: RunLoad, until: Deadline) -> JSON:  # noqa: ARG002
        """See that the load is one that this driver can do, and that the deck has it all; nothing moves.

        Raises:
            NeedsOperator: it is not, or the deck has not.
        """
        places = self._places(_load(command), self._read_deck())
        return {"ticket": uuid4().hex, "places": len(places)}

    def perform(self, command: RunLoad, plan: JSON, until: Deadline) -> Report:
        """Do the transfers one by one, each once.

        Raises:
            DeviceError: the machine cannot be started.
        """
        load = _load(command)
        try:
            return self._performed(load, Trail(self._folder / f"{plan['ticket']}.jsonl"), until)
        finally:
            self._let_go(until)

    def _performed(self, load: DeckLoad, trail: Trail, until: Deadline) -> Report:
        done, places = list[tuple[int, int]](), self._start(load, until)
        for n, transfer in enumerate(_transfers(load)):
            try:
                trail.begin(transfer.transfer_id)
            except OSError as error:
                return _failed(done, f"{error}; {_named(transfer)} was not begun")
            following = load.steps[n + 1] if n + 1 < len(load.steps) else None
            report = self._transfer(transfer, following, load.steps[n - 1] if n else None, places, done, until)
            if report is not None:
                return report
            done.append((transfer.transfer_id, transfer.volume_nl))
            try:
                trail.end(*done[-1])
            except OSError as error:
                return _failed(done, f"{error}; nothing after {_named(transfer)} was begun")
        return Report(Status.DONE, _result(done))

    def after_crash(self, command: RunLoad, plan: JSON, until: Deadline) -> Report:  # noqa: ARG002
        """Tell from the trail how far a killed process came; move nothing.

        Raises:
            NeedsOperator: the trail is not as it was written, or not of this load.
        """
        done, under_way = Trail(self._folder / f"{plan['ticket']}.jsonl").read()
        transfers = _transfers(_load(command))
        began = [number for number, _ in done] + ([] if under_way is None else [under_way])
        if began != [t.transfer_id for t in transfers[: len(began)]]:
            raise NeedsOperator("the trail is not of this load; look at the deck")
        if not began:
            return Report(Status.NOT_FOUND)
        if under_way is not None:
            return _unknown(done, transfers[len(done)], "the process was killed")
        if len(done) < len(transfers):
            return _failed(done, f"the process was killed before {_named(transfers[len(done)])}; a tip may be on")
        return Report(Status.DONE, _result(done))

    def inspect(self, until: Deadline) -> JSON:  # noqa: ARG002
        """Return what the deck file says; the machine is not asked, since to start it may move it.

        Raises:
            NeedsOperator: the deck file cannot be read.
        """
        deck = self._read_deck()
        return {"deck": type(deck).__name__, "on it": ", ".join(child.name for child in deck.children)}

    def close(self) -> None:
        """Let go of the loop; the machine stays as it stands."""
        self._loop.close()

    def _start(self, load: DeckLoad, until: Deadline) -> dict[tuple[str, str], Any]:
        """Start the machine with a deck as the load finds it; return its wells and tips."""
        resources = importlib.import_module("pylabrobot.resources")
        resources.set_tip_tracking(True)
        resources.set_volume_tracking(True)
        deck = self._read_deck()
        places = self._places(load, deck)
        _fill(load, places)
        backend = self._make_backend()
        for name in ("pick_up_tips", "aspirate", "dispense", "drop_tips"):
            setattr(backend, name, self._watched(getattr(backend, name)))
        handling = importlib.import_module("pylabrobot.liquid_handling")
        self._handler = handling.LiquidHandler(backend=backend, deck=deck)
        self._loop.start(self._handler, until.within(self._setup_s))
        return places

    def _let_go(self, until: Deadline) -> None:
        """Let go of the machine's port, so that the next load, or another program, can take it."""
        handler, self._handler = self._handler, None
        if handler is not None:
            self._loop.let_go(handler, until)

    def _watched(self, act: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(act)
        async def asked(*arguments: Any, **named: Any) -> Any:
            self._is_sent = True
            return await act(*arguments, **named)

        return asked

    def _transfer(
        self,
        transfer: Transfer,
        following: Any,
        before: Any,
        places: Mapping[tuple[str, str], Any],
        done: list[tuple[int, int]],
        until: Deadline,
    ) -> Report | None:
        """Do one transfer; None: it is done."""
        handler, volume_ul = self._handler, transfer.volume_nl / 1000
        tip = (transfer.tip_rack, transfer.tip_well)
        source = places[transfer.source_plate, transfer.source_well]
        target = places[transfer.destination_plate, transfer.destination_well]
        moves_liquid = False
        self._is_sent = False
        until = until.within(self._transfer_s)
        try:
            if before is None or (before.tip_rack, before.tip_well) != tip:
                self._loop.run(handler.pick_up_tips([places[tip]], use_channels=[0]), until)
            self._is_sent, moves_liquid = False, True
            self._loop.run(handler.aspirate([source], vols=[volume_ul], use_channels=[0]), until)
            self._is_sent = True  # from here on a refusal leaves liquid in the tip
            self._loop.run(handler.dispense([target], vols=[volume_ul], use_channels=[0]), until)
            if following is None or (following.tip_rack, following.tip_well) != tip:
                self._loop.run(handler.discard_tips(use_channels=[0]), until)
        except Stopped:
            raise
        except (Exception, asyncio.CancelledError) as error:
            if moves_liquid and self._is_sent:
                return _unknown(done, transfer, repr(error))
            return _failed(done, f"{error!r}; {_named(transfer)} moved no liquid; a tip may be on")
        return None

    def _read_deck(self) -> Any:
        resources = importlib.import_module("pylabrobot.resources")
        try:
            return resources.Resource.deserialize(json.loads(self._deck.read_text(encoding="utf-8")))
        except Exception as error:  # whatever a strange file makes the package raise
            raise NeedsOperator(f"{self._deck} is no deck of PyLabRobot: {error!r}; {NOTHING_MOVED}") from error

    def _places(self, load: DeckLoad, deck: Any) -> dict[tuple[str, str], Any]:
        """Return every well and tip of the load, by barcode and well."""
        slots = {item.barcode: item.slot for item in load.deck}
        try:
            deck.get_trash_area()
        except Exception as error:  # as above
            raise NeedsOperator(f"{self._deck} has no trash for tips: {error}; {NOTHING_MOVED}") from error
        wanted = {place for t in _transfers(load) for place in _used(t)}
        return {place: self._place(deck, slots, *place) for place in sorted(wanted)}

    def _place(self, deck: Any, slots: Mapping[str, str], barcode: str, well: str) -> Any:
        if barcode not in slots:
            raise NeedsOperator(f"{barcode} is not on the deck of the load")
        try:
            return deck.get_resource(slots[barcode]).get_item(vendor_well(well))
        except Exception as error:
            raise NeedsOperator(f"{self._deck} has no {well} in slot {slots[barcode]} ({barcode}): {error}") from error


def _fill(load: DeckLoad, places: Mapping[tuple[str, str], Any]) -> None:
    """Set each well to what the load draws from it, and put every tip that it takes where it takes it."""
    drawn = dict[tuple[str, str], float]()
    for transfer in _transfers(load):
        place = (transfer.source_plate, transfer.source_well)
        drawn[place] = drawn.get(place, 0.0) + transfer.volume_nl / 1000
    for rack in {id(r): r for r in (places[t.tip_rack, t.tip_well].parent for t in _transfers(load))}.values():
        rack.fill()
    try:
        for place, volume_ul in drawn.items():
            places[place].tracker.set_volume(volume_ul)
    except Exception as error:
        raise NeedsOperator(f"the load draws more than {place} holds: {error}; {NOTHING_MOVED}") from error


def _load(command: RunLoad) -> DeckLoad:
    """Read the load, and see that it is single transfers with tips.

    Raises:
        NeedsOperator: it cannot be read, is another protocol, or asks for what this driver does not do.
    """
    try:
        protocol = Protocol.from_json(command.protocol_path.read_text(encoding="utf-8"))
        load = next(load for load in protocol.loads if load.index == command.load)
    except (OSError, ValueError, DataError) as error:
        raise NeedsOperator(f"{command.protocol_path} cannot be read: {error}") from error
    except StopIteration:
        raise NeedsOperator(f"{command.protocol_path} has no load {command.load}") from None
    if protocol.digest != command.protocol_digest:
        raise NeedsOperator(f"{command.protocol_path} was changed after it was proven")
    for step in load.steps:
        if not (isinstance(step, Transfer) and step.stroke == 0 and step.tip_rack):
            raise NeedsOperator(f"driver 'pylabrobot' does single transfers with tips only, not {step}")
    return load


def _transfers(load: DeckLoad) -> tuple[Transfer, ...]:
    return load.transfers


def _used(transfer: Transfer) -> tuple[tuple[str, str], ...]:
    return (
        (transfer.source_plate, transfer.source_well),
        (transfer.destination_plate, transfer.destination_well),
        (transfer.tip_rack, transfer.tip_well),
    )


def _named(t: Transfer) -> str:
    return (
        f"transfer {t.transfer_id} ({t.source_plate} {t.source_well} to {t.destination_plate} {t.destination_well}, "
        f"{t.volume_nl} nL)"
    )


def _result(done: list[tuple[int, int]]) -> dict[str, Any]:
    return {"transfers": [list(entry) for entry in done]}


def _failed(done: list[tuple[int, int]], message: str) -> Report:
    return Report(Status.FAILED, _result(done), message)


def _unknown(done: list[tuple[int, int]], transfer: Transfer, why: str) -> Report:
    message = f"{why}; whether {_named(transfer)} was done is not known, and it is not repeated; look at the deck"
    return Report(Status.UNKNOWN, _result(done), message)
