"""An incubator over PyLabRobot 0.2.2 (extra ``pylabrobot``); facts/robots.md section 4.

::

    driver = "pylabrobot"
    options = { backend = "cytomat", model = "C6000", port = "/dev/ttyUSB0", racks = ["cytomat_rack_17mm_28"] }

``backend`` is a name of `BACKENDS`, ``racks`` are PyLabRobot's own racks from the first on, by the names of its
functions; never an import path. PyLabRobot has no question for the transfer station, the shovel or a slot, so that what
this driver knows is what it wrote down: the inventory (`drivers.inventory`) and a line before and after each motion.
A motion that failed, hung or was cut off by a crash is UNKNOWN until a person has looked; none is repeated. Whether a
plate stands on the station is for the arm to know and for the device to refuse. Where our own driver exists
(``cytomat``, ``liconic-stx``) it asks the sensors, and is the better one.

Slots are numbered from 1 through the racks in their order. The machine is started for each command, which moves it
(``setup_s``, 300), and let go of afterwards; ``handling_s`` (120) is how long one motion may take, ``plate_mm`` (14.5)
the height of a plate.
"""

import asyncio
import importlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any
from uuid import uuid4

from drivers.deadline import Deadline, Stopped
from drivers.inventory import Contents, Inventory
from drivers.options import checked
from drivers.ports import FetchPlate, Report, Status, StorePlate
from drivers.pylabrobot_loop import Loop, built, require_package
from drivers.pylabrobot_trail import Trail
from drivers.serial_options import memory_of
from drivers.worker import NOTHING_MOVED, WorkerDevice
from drivers.worker_memory import JSON
from nextplate.errors import NeedsOperator, SettingsError

_STORAGE = "pylabrobot.storage"
BACKENDS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "chatterbox": (_STORAGE, "IncubatorChatterboxBackend", ()),
    "cytomat": (f"{_STORAGE}.cytomat", "CytomatBackend", ("model", "port")),
    "heraeus-cytomat": (f"{_STORAGE}.cytomat.heraeus_cytomat_backend", "HeraeusCytomatBackend", ("port",)),
    "liconic": (f"{_STORAGE}.liconic", "ExperimentalLiconicBackend", ("model", "port")),
}
"""Module, class and options of what can be named; chatterbox moves nothing and prints."""
_RACK = re.compile(r"(cytomat|liconic)_rack_[0-9a-z_]+")
_SECONDS = ("handling_s", "setup_s", "plate_mm")
_OPTIONS: Mapping[str, type] = {"model": str, "port": str, **dict.fromkeys(_SECONDS, float)}
MakeBackend = Callable[[], Any]
MakeRacks = Callable[[], Sequence[Any]]


def make(kind: str, options: Mapping[str, Any], lab: Path) -> WorkerDevice:
    """Make the driver of an incubator (drivers.options.Make).

    Raises:
        SettingsError: an option is missing, unknown or wrong, or the extra is not installed.
    """
    said = checked(options, {"backend": str, "racks": list}, _OPTIONS)
    backend = backend_of(said, BACKENDS)
    for name in _SECONDS:
        if name in said and not 0 < said[name] < float("inf"):
            raise SettingsError(f"option {name} = {said[name]!r} should be above 0")
    require_package()
    n_slots, memory = len(sites_of(racks_of(said["racks"]))), memory_of(kind, lab)
    inventory = Inventory(memory.place / "inventory.json", n_slots)
    try:
        if not memory.has_begun:
            inventory.prepare()
    except NeedsOperator as error:
        raise SettingsError(str(error)) from error
    numbers = {name: float(said[name]) for name in _SECONDS if name in said}
    machine = PlrIncubator(
        backend, lambda: racks_of(said["racks"]), inventory, memory.place / "motions", **numbers
    )  # fmt: skip
    return WorkerDevice(machine, memory)


def backend_of(said: Mapping[str, Any], backends: Mapping[str, tuple[str, str, tuple[str, ...]]]) -> MakeBackend:
    """Return what makes the backend that the options name.

    Raises:
        SettingsError: there is none, or it wants other options.
    """
    if said["backend"] not in backends:
        raise SettingsError(f"option backend = {said['backend']!r} should be one of {', '.join(backends)}")
    module, name, wanted = backends[said["backend"]]
    for option in ("model", "port"):
        if (option in said) != (option in wanted):
            problem = "is missing" if option in wanted else "is no option"
            raise SettingsError(f"option {option!r} {problem} for backend {said['backend']!r}")
    return lambda: getattr(importlib.import_module(module), name)(**{option: said[option] for option in wanted})


def racks_of(names: Sequence[Any]) -> Sequence[Any]:
    """Make PyLabRobot's racks, in order.

    Raises:
        SettingsError: there is none, or not of that name.
    """
    if not names:
        raise SettingsError("option racks is empty; name the racks, as in ['cytomat_rack_17mm_28']")
    racks = []
    for n, name in enumerate(names):
        found = _RACK.fullmatch(name) if isinstance(name, str) else None
        module = importlib.import_module(f"{_STORAGE}.{found[1]}.racks") if found else None
        if module is None or not hasattr(module, name):
            raise SettingsError(f"option racks: PyLabRobot has no rack {name!r} (it is like 'cytomat_rack_17mm_28')")
        racks.append(getattr(module, name)(name=f"rack-{n}"))
    return racks


def sites_of(racks: Sequence[Any]) -> list[Any]:
    """Return every site; slot 1 is the first."""
    return [site for rack in racks for _, site in sorted(rack.sites.items())]


class PlrIncubator:
    """PyLabRobot's Incubator as a machine (drivers.worker.Machine), in an event loop of the worker's thread."""

    name = "incubator"
    takes: tuple[type, ...] = (StorePlate, FetchPlate)

    def __init__(
        self,
        backend: MakeBackend,
        racks: MakeRacks,
        inventory: Inventory,
        folder: Path,
        *,
        handling_s: float = 120.0,
        setup_s: float = 300.0,
        plate_mm: float = 14.5,
    ) -> None:
        self._make_backend, self._make_racks, self._inventory, self._folder = backend, racks, inventory, folder
        self._handling_s, self._setup_s, self._plate_mm = handling_s, setup_s, plate_mm
        self._loop = Loop()
        self._is_sent = False
        """The backend was asked to move the plate; False: PyLabRobot refused it before."""

    def time_s(self, command: Any) -> float:  # noqa: ARG002
        """Return the time to start the machine and to move a plate."""
        return self._setup_s + self._handling_s

    def prepare(self, command: StorePlate | FetchPlate, until: Deadline) -> JSON:  # noqa: ARG002
        """Choose the slot by what was written down; nothing moves.

        Raises:
            NeedsOperator: it is not possible.
        """
        contents, barcode = self._inventory.contents(), command.barcode
        if not barcode.strip():
            raise NeedsOperator(f"a plate needs a barcode to be known by, not {barcode!a}")
        if (slot := contents.doubt_of(barcode)) is not None:
            raise NeedsOperator(
                f"nobody knows whether plate {barcode} is in slot {slot}; look, and correct {self._inventory.path}"
            )
        if (slot := contents.slot_of(barcode)) is None and isinstance(command, FetchPlate):
            raise NeedsOperator(f"plate {barcode} is not in the incubator, says {self._inventory.path}")
        if isinstance(command, StorePlate):
            if slot is not None:
                raise NeedsOperator(f"plate {barcode} is in slot {slot} already, says {self._inventory.path}")
            if (slot := contents.free_slot(self._inventory.n_slots)) is None:
                raise NeedsOperator(f"the incubator is full; {barcode} stays outside")
        return {"ticket": uuid4().hex, "slot": slot}

    def perform(self, command: StorePlate | FetchPlate, plan: JSON, until: Deadline) -> Report:
        """Start the machine and move the plate, once."""
        slot, incubator = int(plan["slot"]), None
        try:
            incubator = built(self._incubator)
            self._loop.start(incubator, until.within(self._setup_s))
            self._stock(incubator, command)
        except NeedsOperator as error:
            if incubator is not None:
                self._loop.let_go(incubator, until)
            return Report(Status.FAILED, {}, f"{error}; it was not asked to move plate {command.barcode}")
        try:
            return self._moved(incubator, command, slot, self._trail(plan), until)
        finally:
            self._loop.let_go(incubator, until)

    def after_crash(self, command: StorePlate | FetchPlate, plan: JSON, until: Deadline) -> Report:  # noqa: ARG002
        """Tell from what was written down how far a killed process came; move nothing.

        Raises:
            NeedsOperator: the trail or the inventory is not as it was written.
        """
        slot, barcode = int(plan["slot"]), command.barcode
        done, under_way = self._trail(plan).read()
        if under_way is not None:
            return self._unknown(barcode, slot, "the process was killed while it moved the plate")
        is_inside = isinstance(command, StorePlate) == bool(done)
        if done or self._inventory.contents().doubts.get(slot) == barcode:
            self._inventory.confirm(slot, barcode if is_inside else None)
        return _done(command, slot) if done else Report(Status.NOT_FOUND)

    def inspect(self, until: Deadline) -> JSON:  # noqa: ARG002
        """Return what was written down; the machine is not asked, since to start it moves it.

        Raises:
            NeedsOperator: the inventory cannot be read.
        """
        contents = self._inventory.contents()
        return {
            "device": f"PyLabRobot, {len(self._make_racks())} racks; not asked, as that would move it",
            "slots": self._inventory.n_slots,
            "plates": {str(slot): plate for slot, plate in contents.slots.items()},
            "in doubt": {str(slot): plate for slot, plate in contents.doubts.items()},
        }

    def close(self) -> None:
        """Let go of the loop; the machine stays as it stands."""
        self._loop.close()

    def _trail(self, plan: JSON) -> Trail:
        return Trail(self._folder / f"{plan['ticket']}.jsonl")

    def _incubator(self) -> Any:
        backend = self._make_backend()
        for name in ("fetch_plate_to_loading_tray", "take_in_plate"):
            setattr(backend, name, self._watched(getattr(backend, name)))
        resources = importlib.import_module("pylabrobot.resources")
        return importlib.import_module(_STORAGE).Incubator(
            backend=backend, name="incubator", size_x=0, size_y=0, size_z=0, racks=list(self._make_racks()),
            loading_tray_location=resources.Coordinate(0, 0, 0),
        )  # fmt: skip

    def _watched(self, act: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @wraps(act)
        async def asked(*arguments: Any, **named: Any) -> Any:
            self._is_sent = True
            return await act(*arguments, **named)

        return asked

    def _stock(self, incubator: Any, command: StorePlate | FetchPlate) -> None:
        """Put the plates where the inventory says that they are, as PyLabRobot knows nothing of earlier commands.

        Raises:
            NeedsOperator: they do not fit.
        """
        contents, sites = self._inventory.contents(), sites_of(incubator.racks)
        try:
            for slot, barcode in contents.slots.items():
                sites[slot - 1].assign_child_resource(self._plate(barcode))
            if isinstance(command, StorePlate):
                incubator.loading_tray.assign_child_resource(self._plate(command.barcode))
        except Exception as error:  # whatever a strange rack makes the package raise
            raise NeedsOperator(f"PyLabRobot cannot hold what {self._inventory.path} says: {error!r}") from error

    def _plate(self, barcode: str) -> Any:
        resources = importlib.import_module("pylabrobot.resources")
        wells = resources.create_ordered_items_2d(
            resources.Well, num_items_x=1, num_items_y=1, dx=0, dy=0, dz=0, item_dx=9, item_dy=9, size_x=7, size_y=7,
            size_z=self._plate_mm,
        )  # fmt: skip
        return resources.Plate(barcode, 127.76, 85.48, self._plate_mm, ordered_items=wells)  # it wants one well

    def _moved(
        self, incubator: Any, command: StorePlate | FetchPlate, slot: int, trail: Trail, until: Deadline
    ) -> Report:
        barcode, before = command.barcode, self._inventory.contents()
        try:
            self._inventory.doubt(slot, barcode)
            trail.begin(slot)
        except (NeedsOperator, OSError) as error:
            return self._undone(before, slot, str(error))
        self._is_sent = False
        try:
            self._loop.run(self._motion(incubator, command, slot), until.within(self._handling_s))
        except Stopped:
            raise
        except (Exception, asyncio.CancelledError) as error:
            if self._is_sent:
                return self._unknown(barcode, slot, repr(error))
            return self._undone(before, slot, repr(error))
        try:
            trail.end(slot, 0)
            self._inventory.confirm(slot, barcode if isinstance(command, StorePlate) else None)
        except (NeedsOperator, OSError) as error:
            return self._unknown(barcode, slot, f"the plate was moved, and that could not be written down: {error}")
        return _done(command, slot)

    def _motion(self, incubator: Any, command: StorePlate | FetchPlate, slot: int) -> Awaitable[Any]:
        if isinstance(command, FetchPlate):
            motion: Awaitable[Any] = incubator.fetch_plate_to_loading_tray(command.barcode)
        else:
            motion = incubator.take_in_plate(sites_of(incubator.racks)[slot - 1])
        return motion

    def _undone(self, before: Contents, slot: int, why: str) -> Report:
        """Nothing was asked of the machine: write the inventory as it was."""
        try:
            self._inventory.confirm(slot, before.slots.get(slot))
        except NeedsOperator as error:
            why = f"{why}; {error}"
        return Report(Status.FAILED, {}, f"{why}; {NOTHING_MOVED}")

    def _unknown(self, barcode: str, slot: int, why: str) -> Report:
        look = f"look where plate {barcode} is, and write it into {self._inventory.path} (slot {slot} is in doubt)"
        return Report(Status.UNKNOWN, {}, f"{why}; {look}")


def _done(command: StorePlate | FetchPlate, slot: int) -> Report:
    return Report(Status.DONE, {"slot": str(slot)} if isinstance(command, StorePlate) else {})
