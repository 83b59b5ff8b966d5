"""Incubators for the contract suite: the in-process sim, and each driver on its emulator's pty or socket.

All of them tell the truth about what stands where, so that a driver's word can be held against it. A driver joins by
an entry in WIRED: how to make its emulator, and its handler on a wire.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from drivers import cytomat, inheco_link, liconic
from drivers.incubator import IncubatorMachine
from drivers.incubator_handler import Handler, Pace
from drivers.inheco_incubator import InhecoIncubator
from drivers.inheco_link import Link
from drivers.inheco_unit import Unit
from drivers.inventory import Inventory
from drivers.ports import Device, Move, MovePlates, Report, Status, StorePlate
from drivers.wire import Line, LineSettings, Wire, line_at
from drivers.wire_log import WireLog
from drivers.worker import LOOKUP_WAIT_S, WorkerDevice
from drivers.worker_memory import Memory
from sim.wire.cytomat import CytomatEmulator
from sim.wire.faults import Fault, FaultScript
from sim.wire.inheco import IncubatorShaker
from sim.wire.liconic import LiconicStx
from sim.wire.server import WireServer
from sim.wire.time import EmulatedTime
from tests.sim.rig import do, finish, open_lab

SPEED = 1000.0
PACE = Pace(handling_s=10.0, poll_s=0.004, patience_s=0.08, connect_s=5.0)
"""Ample, so that a loaded test machine is no fault of the device."""
REPLY_S = 0.12
BRISK = replace(PACE, handling_s=0.6, connect_s=0.8)
"""For what is sure not to end."""
MOST_S = PACE.handling_s + PACE.connect_s + 1.0
"""After so long every command has ended, or is told to hang."""


class IncubatorLab(Protocol):
    """An incubator and its surroundings, by what physically is."""

    device: Device

    def put_on_station(self, barcode: str) -> None: ...
    def clear_station(self) -> None: ...
    def where(self, barcode: str) -> str:
        """station, slot N, shovel, or nowhere."""

    def moves(self) -> int: ...
    def finish(self, key: str) -> Report: ...
    def restart(self) -> None:
        """Open it again, as a new process does."""

    def close(self) -> None: ...


class SimIncubatorLab:
    """The incubator of the in-process simulation."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lab = open_lab(folder / "lab")
        self.device: Device = self._lab.incubator

    def put_on_station(self, barcode: str) -> None:
        do(self._lab, self._lab.mover, MovePlates((Move(barcode, "stack/new", "incubator"),)), f"put-{barcode}")

    def clear_station(self) -> None:
        for barcode in ("P1", "P2"):
            if self.where(barcode) == "station":
                self._lab.place_by_hand(barcode, "stack/done")

    def where(self, barcode: str) -> str:
        place = self._lab.where(barcode) or "nowhere"
        if place.startswith("incubator/"):
            return f"slot {int(place.split('/')[1])}"
        return "station" if place == "incubator" else "nowhere"

    def moves(self) -> int:
        return len(self._lab.log("incubator"))

    def finish(self, key: str) -> Report:
        return finish(self._lab, self.device, key)

    def restart(self) -> None:
        self._lab.close()
        self._lab = open_lab(self._folder / "lab")
        self.device = self._lab.incubator

    def close(self) -> None:
        self._lab.close()


@dataclass(frozen=True)
class Wired:
    """A driver and the emulator that it is proven on."""

    emulator: Callable[[EmulatedTime], Any]
    handler: Callable[[Wire], Handler]
    settings: LineSettings
    go: str
    """Regular expression of the frames that start a motion."""
    is_drawer: bool = False
    """One slot, which is its own transfer station."""


def blind_liconic(wire: Wire) -> Handler:
    """Return the driver of one that cannot tell whether a plate is on its shovel."""
    return liconic.Liconic(wire, liconic.Shape(3, 4, 17.0, has_shovel_sensor=False), reply_s=REPLY_S, break_s=0.001)


WIRED: Mapping[str, Wired] = {
    "liconic": Wired(
        LiconicStx,
        lambda wire: liconic.Liconic(wire, liconic.Shape(3, 4, 17.0), reply_s=REPLY_S, break_s=0.001),
        liconic.SETTINGS,
        "ST 190[45]",
    ),
    "cytomat": Wired(
        CytomatEmulator,
        lambda wire: cytomat.Cytomat(wire, 12, reply_s=REPLY_S, again_s=0.002),
        cytomat.SETTINGS,
        "mv:(st|ts)",
    ),
    "inheco": Wired(
        lambda clock: IncubatorShaker(clock, handling_s=20.0),
        lambda wire: InhecoIncubator(Unit(Link(wire, dip=2, unit=0, reply_s=REPLY_S)), 37.0),
        inheco_link.SETTINGS,
        "A[OC]D",
        is_drawer=True,
    ),
}


class WireLab:
    """A driver and its emulator on a pty or a socket."""

    def __init__(
        self,
        folder: Path,
        driver: str,
        via: str = "pty",
        *,
        faults: tuple[Fault, ...] = (),
        open_line: Callable[[str, LineSettings], Line] = line_at,
        pace: Pace = PACE,
    ) -> None:
        self._pace = pace
        self._folder, self.wired, self._via = folder, WIRED[driver], via
        folder.mkdir(parents=True, exist_ok=True)
        self.time = EmulatedTime(SPEED)
        self.emulator = self.wired.emulator(self.time)
        self.hotel = self.emulator.hotel
        self.server = WireServer(self.emulator, folder, faults=FaultScript(list(faults)))
        self.open(open_line)

    @property
    def port(self) -> str:
        return str(self.server.pty_path) if self._via == "pty" else self.server.url

    @property
    def log_path(self) -> Path:
        return self._folder / "wire.log"

    @property
    def inventory(self) -> Inventory:
        return Inventory(self._folder / "memory" / "inventory.json", self.hotel.n_slots)

    def open(
        self, open_line: Callable[[str, LineSettings], Line] = line_at, lookup_wait_s: float = LOOKUP_WAIT_S
    ) -> None:
        self.wire = Wire(self.port, self.wired.settings, log=WireLog(self.log_path), open_line=open_line)
        handler = self.wired.handler(self.wire)
        memory = Memory(self._folder / "memory")
        memory.prepare()
        if not memory.has_begun:
            self.inventory.prepare()
        machine = IncubatorMachine(handler, self.inventory, self._pace)
        self.device: Device = WorkerDevice(machine, memory, lookup_wait_s=lookup_wait_s)

    def put_on_station(self, barcode: str) -> None:
        with self.emulator.lock:
            self.hotel.put_on_station(barcode)

    def clear_station(self) -> None:
        with self.emulator.lock:
            self.hotel.take_from_station()

    def where(self, barcode: str) -> str:
        with self.emulator.lock:
            self.hotel.advance()
            for slot, plate in self.hotel.slots.items():
                if plate == barcode:
                    return f"slot {slot}"
            return {self.hotel.station: "station", self.hotel.shovel: "shovel"}.get(barcode, "nowhere")

    def moves(self) -> int:
        with self.emulator.lock:
            return int(self.hotel.moves())

    def finish(self, key: str) -> Report:
        end = time.monotonic() + MOST_S + 60.0
        while time.monotonic() < end:
            if (report := self.device.poll(key)).status is not Status.RUNNING:
                return report
            time.sleep(0.002)
        raise AssertionError(f"{key} never ends")

    def restart(self) -> None:
        self.device.close()  # type: ignore[attr-defined]
        self.open()

    def close(self) -> None:
        self.device.close()  # type: ignore[attr-defined]
        self.server.close()

    def shelve(self, barcode: str = "P1") -> None:
        """Have a plate inside as one that was stored long ago: in the first slot, and in the inventory."""
        with self.emulator.lock:
            if self.wired.is_drawer:
                self.hotel.put_on_station(barcode)
                self.hotel.rotor.clamp()  # closed by hand
            else:
                self.hotel.slots[1] = barcode
        self.inventory.confirm(1, barcode)

    def stored(self, barcode: str = "P1") -> "WireLab":
        """Store a plate, and take that out of every count."""
        self.put_on_station(barcode)
        self.device.submit(StorePlate(barcode), f"prepare-{barcode}")
        assert self.finish(f"prepare-{barcode}").status is Status.DONE
        with self.emulator.lock:
            self.hotel.log.clear()
        return self


LABS: Mapping[str, Callable[[Path], IncubatorLab]] = {
    "sim": SimIncubatorLab,
    **{
        f"{driver}-{via}": (lambda folder, driver=driver, via=via: WireLab(folder, driver, via))
        for driver in WIRED
        for via in ("pty", "socket")
    },
}
