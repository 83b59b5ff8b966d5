"""Shakers for the contract suite: the in-process sim, and each driver on its emulator's pty or socket.

Time is the emulator's for driver and device alike: it stands, and moves on when the driver waits (its pauses, and the
ticks in which nothing comes). So a minute of shaking takes no minute, and a loaded machine shakes no plate longer.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import acme_shaker
from acme_orbit import AcmeOrbit

from drivers import bioshake, inheco_link
from drivers.inheco_link import Link
from drivers.inheco_shaker import InhecoShaker
from drivers.inheco_unit import Unit
from drivers.ports import Device, Move, MovePlates, Report, ShakePlate, Status
from drivers.shaker import ShakerMachine
from drivers.shaker_handler import ShakerHandler, ShakerPace
from drivers.shaker_trail import TrailFile
from drivers.wire import TICK_S, Line, LineSettings, Wire, line_at
from drivers.wire_log import WireLog
from drivers.worker import LOOKUP_WAIT_S, WorkerDevice
from drivers.worker_memory import Memory
from sim.wire.bioshake import BioShake3000
from sim.wire.faults import Fault, FaultScript
from sim.wire.inheco import IncubatorShaker
from sim.wire.rotor import Phase, RotorPhysics
from sim.wire.server import WireServer
from sim.wire.time import EmulatedTime
from tests.sim.rig import do, finish, open_lab

REPLY_S = 0.16
"""Eight ticks, in the wall's time too."""
PACE = ShakerPace(poll_s=0.5, patience_s=2.0, stop_s=15.0, connect_s=10.0, tolerance_s=3.0)
SHAKE = ShakePlate("P1", 600, 12)
WALL_S = 40.0
"""After so long of the wall's time every command has ended."""


class PassingTime(threading.Event):
    """What the worker waits on: waiting lets the emulated time pass, unless that stands."""

    def __init__(self, clock: EmulatedTime, go: str = "") -> None:
        super().__init__()
        self._clock, self._go = clock, go
        self.is_frozen = False
        self._is_started = self._freezes_then = False

    def wrote(self, data: bytes) -> None:
        """Hear what the driver writes."""
        if self._go and re.search(self._go, data.decode("latin-1")):
            self._is_started = True
            self.is_frozen = self.is_frozen or self._freezes_then

    def freeze(self, is_frozen: bool) -> None:
        """Stand, or pass."""
        self._freezes_then, self.is_frozen = False, is_frozen

    def pass_until_started(self) -> None:
        """Pass until the frame that starts the rotor is written."""
        self._freezes_then = True
        self.is_frozen = False
        if self._is_started:  # looked at last: it may be written meanwhile
            self.is_frozen = True

    def wait(self, timeout: float | None = None) -> bool:
        if not self.is_frozen:
            # a wait of less than a clock can tell takes some time all the same
            self._clock.skip(max(timeout or 0.0, 1e-6))
        return super().wait(0.0005 if not self.is_frozen else 0.005)


class TickingLine:
    """A port on which a tick in which nothing came is one of the emulated time too, unless that stands."""

    def __init__(self, line: Line, clock: EmulatedTime, passing: PassingTime) -> None:
        self.__dict__.update(_line=line, _clock=clock, _passing=passing)

    def __getattr__(self, name: str) -> object:
        return getattr(self._line, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._line, name, value)

    def read(self, size: int = 1) -> bytes:
        data: bytes = self._line.read(size)
        if not data and not self._passing.is_frozen:
            self._clock.skip(TICK_S)
        return data

    def write(self, data: bytes) -> int | None:
        self._passing.wrote(data)
        n: int | None = self._line.write(data)
        return n

    def close(self) -> None:
        self._line.close()


class ShakerLab(Protocol):
    """A shaker by what physically is."""

    device: Device

    def put(self, barcode: str) -> None: ...
    def shaken_s(self) -> float: ...
    def starts(self) -> int: ...
    def finish(self, key: str) -> Report: ...
    def restart(self) -> None: ...
    def close(self) -> None: ...


class SimShakerLab:
    """The shaker of the in-process simulation."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lab = open_lab(folder / "lab")
        self.device: Device = self._lab.shaker

    def put(self, barcode: str) -> None:
        do(self._lab, self._lab.mover, MovePlates((Move(barcode, "stack/new", "shaker"),)), f"put-{barcode}")

    def shaken_s(self) -> float:
        return float(sum(row["shaken_s"] for row in self._lab.log("shaker")))

    def starts(self) -> int:
        return len(self._lab.log("shaker"))

    def finish(self, key: str) -> Report:
        return finish(self._lab, self.device, key)

    def restart(self) -> None:
        self._lab.close()
        self._lab = open_lab(self._folder / "lab")
        self.device = self._lab.shaker

    def close(self) -> None:
        self._lab.close()


@dataclass(frozen=True)
class Wired:
    """A driver and the emulator that it is proven on."""

    emulator: Callable[[EmulatedTime], Any]
    handler: Callable[[Wire], ShakerHandler]
    settings: LineSettings
    go: str
    """Regular expression of the frames that start the rotor."""
    stop: str
    turning: bytes
    """An answer that would pass for the best."""
    has_timer: bool = True


PLAIN = (
    "shakeOnWithRuntime",
    "getShakeRemainingTime",
    "getShakeState_",
    "setElmLockPos",
    "setElmUnlockPos",
    "getElmState",
)
"""What a small model without run time and clamp lacks."""
WIRED: dict[str, Wired] = {
    "bioshake": Wired(
        BioShake3000,
        lambda wire: bioshake.BioShake(wire, reply_s=REPLY_S),
        bioshake.SETTINGS,
        "^shakeOn",
        "^shakeOff",
        b"3\r\n",
    ),
    "bioshake-plain": Wired(
        lambda clock: BioShake3000(clock, lacks=PLAIN),
        lambda wire: bioshake.BioShake(wire, reply_s=REPLY_S),
        bioshake.SETTINGS,
        "^shakeOn",
        "^shakeOff",
        b"3\r\n",
        has_timer=False,
    ),
    # its drawer is its clamp
    "inheco": Wired(
        lambda clock: IncubatorShaker(clock, handling_s=1.0),
        lambda wire: InhecoShaker(Unit(Link(wire, dip=2, unit=0, reply_s=REPLY_S))),
        inheco_link.SETTINGS,
        "ASEND",
        "ASE0",
        b"\xb20\xb2 `",
        has_timer=False,
    ),
    # the example of the guide, drivers/__init__.py
    "acme": Wired(
        AcmeOrbit,
        lambda wire: acme_shaker.AcmeShaker(wire, reply_s=REPLY_S),
        acme_shaker.SETTINGS,
        "^RUN",
        "^STOP",
        b"STATE still\r\n",
    ),
}


class WireShakerLab:
    """A driver and its emulator on a pty or a socket."""

    def __init__(
        self,
        folder: Path,
        driver: str,
        via: str = "pty",
        *,
        faults: tuple[Fault, ...] = (),
        open_line: Callable[[str, LineSettings], Line] = line_at,
        pace: ShakerPace = PACE,
    ) -> None:
        self.folder, self.wired, self._via, self.pace = folder, WIRED[driver], via, pace
        folder.mkdir(parents=True, exist_ok=True)
        self.time = EmulatedTime(0.0)
        self.boot = "one"
        self.emulator = self.wired.emulator(self.time)
        self.server = WireServer(self.emulator, folder, faults=FaultScript(list(faults)))
        self.open(open_line)

    @property
    def physics(self) -> RotorPhysics:
        physics: RotorPhysics = self.emulator.physics
        return physics

    @property
    def port(self) -> str:
        return str(self.server.pty_path) if self._via == "pty" else self.server.url

    def open(
        self, open_line: Callable[[str, LineSettings], Line] = line_at, lookup_wait_s: float = LOOKUP_WAIT_S
    ) -> None:
        passing = PassingTime(self.time, self.wired.go)

        def opened(port: str, settings: LineSettings) -> Line:
            return TickingLine(open_line(port, settings), self.time, passing)  # type: ignore[return-value]

        self.wire = Wire(self.port, self.wired.settings, log=WireLog(self.folder / "wire.log"), open_line=opened)
        memory = Memory(self.folder / "memory")
        memory.prepare()
        trail = TrailFile(self.folder / "memory" / "rotor.json", lambda: self.boot)
        machine = ShakerMachine(self.wired.handler(self.wire), trail, self.pace)
        device = WorkerDevice(machine, memory, monotonic=self.time.now_s, lookup_wait_s=lookup_wait_s)
        self.passing = device._stop = passing
        self.device: Device = device

    def put(self, barcode: str) -> None:
        with self.emulator.lock:
            self.physics.put(barcode)

    def shaken_s(self) -> float:
        with self.emulator.lock:
            return self.physics.shaken_s()

    def starts(self) -> int:
        with self.emulator.lock:
            return self.physics.starts()

    def is_turning(self) -> bool:
        with self.emulator.lock:
            return self.physics.phase is not Phase.STILL

    def finish(self, key: str) -> Report:
        end = time.monotonic() + WALL_S
        while time.monotonic() < end:
            if (report := self.device.poll(key)).status is not Status.RUNNING:
                return report
            time.sleep(0.002)
        raise AssertionError(f"{key} never ends")

    def freeze(self, is_frozen: bool = True) -> None:
        """Let no time pass for the device, or let it pass again."""
        self.passing.freeze(is_frozen)

    def set_out(self) -> None:
        """Let time pass until the rotor is started, where it was not: a drawer has to close first."""
        if not self.starts():
            self.passing.pass_until_started()

    def restart(self) -> None:
        self.device.close()  # type: ignore[attr-defined]
        self.open()

    def close(self) -> None:
        self.device.close()  # type: ignore[attr-defined]
        self.server.close()


LABS: Mapping[str, Callable[[Path], ShakerLab]] = {
    "sim": SimShakerLab,
    **{
        f"{driver}-{via}": (lambda folder, driver=driver, via=via: WireShakerLab(folder, driver, via))
        for driver in WIRED
        for via in ("pty", "socket")
    },
}
