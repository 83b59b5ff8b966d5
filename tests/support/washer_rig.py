"""Washers and dispensers for the contract suites: the in-process sims, and each driver on its emulator's pty or socket.

All of them tell what physically happened to the plate, so that a driver's word can be held against it. A driver joins
by an entry in WIRED: how to make its emulator, and its handler on a wire.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from drivers import bluewasher, el406
from drivers.ports import Device, DispensePlate, Move, MovePlates, Report, Status, WashPlate
from drivers.program_handler import Pace, ProgramHandler
from drivers.program_machine import ProgramMachine
from drivers.program_trace import Trace
from drivers.wire import Line, LineSettings, Wire, line_at
from drivers.wire_log import WireLog
from drivers.worker import LOOKUP_WAIT_S, WorkerDevice
from drivers.worker_memory import Memory
from sim.wire.bluewasher import BlueWasherEmulator
from sim.wire.el406 import El406
from sim.wire.faults import Fault, FaultScript
from sim.wire.server import WireServer
from sim.wire.time import EmulatedTime
from sim.wire.voice import Voice
from tests.sim.rig import do, finish, open_lab

SPEED = 400.0
"""A step of 20 s of the device's takes 50 ms."""
STEP_S = 20.0
FAST = 1e6
"""So many times faster a device is taken to be, lest one that is hurried looks stopped by hand."""
REPLY_S = 0.12
PACE = Pace(program_s=15.0, poll_s=0.004, patience_s=0.1, connect_s=8.0)
"""Ample, so that a loaded test machine is no fault of the device."""
BRISK = replace(PACE, program_s=1.0, connect_s=1.5)
"""For what is sure not to end."""
MOST_S = PACE.program_s + PACE.connect_s + 1.0

EL406_PROGRAMS = {
    "good": 'plate = 96\n[[step]]\ndo = "wash"\ncycles = 2\nvolume_ul = 80\n[[step]]\ndo = "shake"\nsoak_s = 5\n',
    "single": 'plate = 96\n[[step]]\ndo = "wash"\ncycles = 2\nvolume_ul = 80\n',
    "fill": 'plate = 96\n[[step]]\ndo = "syringe"\nvolume_ul = 80\n[[step]]\ndo = "shake"\nshake_s = 5\n',
    "single-fill": 'plate = 96\n[[step]]\ndo = "syringe"\nvolume_ul = 80\n',
    # more than the bottle holds
    "stops": 'plate = 96\n[[step]]\ndo = "dispense"\nvolume_ul = 3000\n',
    "other-plate": 'plate = 384\n[[step]]\ndo = "dispense"\nvolume_ul = 50\n',
}


BLUE_PROGRAMS = {
    "good": "# two cycles\nEMPTY\nFILL 80\nEMPTY\nFILL 80\nSPIN 5\n",
    "stops": "FILL 3000\n",
    "wrong": "EMPTY\nSING\n",
}


class Flaky:
    """A port of which every fifth opening fails, as a BlueWasher's does."""

    def __init__(self) -> None:
        self._n = 0

    def open(self, port: str, settings: LineSettings) -> Line:
        self._n += 1
        if self._n % 5 == 0:
            raise OSError(5, "Input/output error", port)
        return line_at(port, settings)


FLAKY = Flaky()


class WetLab(Protocol):
    """A washer or dispenser and its surroundings, by what physically is."""

    device: Device

    def put_plate(self, barcode: str) -> None: ...
    def good(self) -> Any:
        """Return a command that works."""

    def acts(self) -> tuple[int, int]:
        """Return how often wells were emptied and filled."""

    def finish(self, key: str) -> Report: ...
    def restart(self) -> None:
        """Open it again, as a new process does."""

    def close(self) -> None: ...


class SimWetLab:
    """The washer or dispenser of the in-process simulation."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder, self._kind = folder, kind
        self._lab = open_lab(folder / "lab")
        self.device: Device = getattr(self._lab, kind)

    def put_plate(self, barcode: str) -> None:
        do(self._lab, self._lab.mover, MovePlates((Move(barcode, "stack/new", self._kind),)), f"put-{barcode}")

    def good(self) -> Any:
        return WashPlate("P1", "wash-2x80ul") if self._kind == "washer" else DispensePlate("P1", "dispense-20ul")

    def acts(self) -> tuple[int, int]:
        said = [row["action"] for row in self._lab.log(self._kind)]
        return said.count("empty"), said.count("fill")

    def finish(self, key: str) -> Report:
        return finish(self._lab, self.device, key)

    def restart(self) -> None:
        self._lab.close()
        self._lab = open_lab(self._folder / "lab")
        self.device = getattr(self._lab, self._kind)

    def close(self) -> None:
        self._lab.close()


@dataclass(frozen=True)
class Wired:
    """A driver and the emulator that it is proven on."""

    kind: str
    emulator: Callable[[EmulatedTime], Any]
    handler: Callable[[Wire, Path, Pace], ProgramHandler]
    settings: LineSettings
    go: str
    """Regular expression of the frames that start a step of the good program."""
    program: str
    acts: tuple[int, int]
    """What the good program does: wells emptied, wells filled."""
    n_steps: int
    programs: Mapping[str, str]
    """Files, by name."""
    open_line: Callable[[str, LineSettings], Line] = line_at


WIRED: Mapping[str, Wired] = {
    "el406": Wired(
        "washer",
        lambda time: El406(time, step_s=STEP_S),
        lambda wire, folder, pace: el406.El406(wire, folder, pace, reply_s=REPLY_S, speed=FAST),
        el406.SETTINGS,
        "^\x01\x02[\xa4\xa3]\x00",
        "good",
        (3, 2),
        2,
        {f"{name}.toml": text for name, text in EL406_PROGRAMS.items()},
    ),
    "el406-dispenser": Wired(
        "dispenser",
        lambda time: El406(time, step_s=STEP_S),
        lambda wire, folder, pace: el406.El406(wire, folder, pace, may_empty=False, reply_s=REPLY_S, speed=FAST),
        el406.SETTINGS,
        "^\x01\x02[\xa1\xa3]\x00",
        "fill",
        (0, 1),
        2,
        {f"{name}.toml": text for name, text in EL406_PROGRAMS.items()},
    ),
    "bluewasher": Wired(
        "washer",
        lambda time: BlueWasherEmulator(time, step_s=STEP_S),
        lambda wire, folder, pace: bluewasher.BlueWasher(wire, folder, pace, 99, reply_s=REPLY_S, gap_s=0.001),
        bluewasher.SETTINGS,
        r"^\$runprog ",
        "good",
        (2, 2),
        1,
        {f"{name}.txt": text for name, text in BLUE_PROGRAMS.items()},
        lambda port, settings: FLAKY.open(port, settings),
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
        pace: Pace = PACE,
    ) -> None:
        self._folder, self.wired, self._via, self._pace = folder, WIRED[driver], via, pace
        self.programs = folder / "programs"
        self.programs.mkdir(parents=True, exist_ok=True)
        for name, text in self.wired.programs.items():
            (self.programs / name).write_text(text)
        self.time = EmulatedTime(SPEED)
        self.emulator = self.wired.emulator(self.time)
        self.wet = self.emulator.wet
        self.wet.bottle_ul = 200_000.0
        self.server = WireServer(self.emulator, folder, faults=FaultScript(list(faults)))
        self._voice = Voice(self.emulator, self.server)
        self.open()

    @property
    def port(self) -> str:
        return str(self.server.pty_path) if self._via == "pty" else self.server.url

    @property
    def log_path(self) -> Path:
        return self._folder / "wire.log"

    @property
    def trace_path(self) -> Path:
        return self._folder / "memory" / "trace.json"

    def open(
        self,
        open_line: Callable[[str, LineSettings], Line] | None = None,
        lookup_wait_s: float = LOOKUP_WAIT_S,
    ) -> None:
        line = open_line or self.wired.open_line
        self.wire = Wire(self.port, self.wired.settings, log=WireLog(self.log_path), open_line=line)
        self.handler = self.wired.handler(self.wire, self.programs, self._pace)
        memory = Memory(self._folder / "memory")
        memory.prepare()
        machine = ProgramMachine(self.wired.kind, self.handler, Trace(self.trace_path), self._pace)
        self.device: Device = WorkerDevice(machine, memory, lookup_wait_s=lookup_wait_s)

    def put_plate(self, barcode: str) -> None:
        with self.emulator.lock:
            self.wet.plate = barcode

    def command(self, program: str, barcode: str = "P1") -> Any:
        return (WashPlate if self.wired.kind == "washer" else DispensePlate)(barcode, program)

    def good(self) -> Any:
        return self.command(self.wired.program)

    def acts(self) -> tuple[int, int]:
        with self.emulator.lock:
            return self.wet.count("empty"), self.wet.count("fill")

    def runs(self) -> int:
        with self.emulator.lock:
            return int(self.wet.runs())

    def is_running(self) -> bool:
        with self.emulator.lock:
            return bool(self.wet.is_running)

    def finish(self, key: str) -> Report:
        end = time.monotonic() + MOST_S + 60.0
        while time.monotonic() < end:
            if (report := self.device.poll(key)).status is not Status.RUNNING:
                return report
            time.sleep(0.002)
        raise AssertionError(f"{key} never ends")

    def rest(self) -> None:
        """Wait until the device stands still."""
        wait_until(lambda: not self.is_running())

    def restart(self) -> None:
        self.device.close()  # type: ignore[attr-defined]
        self.open()

    def close(self) -> None:
        self.device.close()  # type: ignore[attr-defined]
        self._voice.close()
        self.server.close()


LABS: Mapping[str, Callable[[Path], WetLab]] = {
    "sim-washer": lambda folder: SimWetLab(folder, "washer"),
    "sim-dispenser": lambda folder: SimWetLab(folder, "dispenser"),
    **{
        f"{driver}-{via}": (lambda folder, driver=driver, via=via: WireLab(folder, driver, via))
        for driver in WIRED
        for via in ("pty", "socket")
    },
}


def wait_until(is_so: Callable[[], object], within_s: float = 60.0) -> None:
    end = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.002)


def quietly(act: Callable[[], object]) -> None:
    with contextlib.suppress(OSError):
        act()
