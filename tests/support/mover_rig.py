"""Plate movers for the contract suite: the in-process sim, and each driver on its emulator's pty or socket."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from drivers.pf400 import SETTINGS, Pf400
from drivers.pf400_arm import Arm, ArmPace, ArmWire
from drivers.pf400_hand import HandFile
from drivers.pf400_places import read_taught
from drivers.ports import Device, Move, MovePlates, Report, Status
from drivers.wire import Line, LineSettings, line_at
from drivers.wire_log import WireLog
from drivers.worker import LOOKUP_WAIT_S, WorkerDevice
from drivers.worker_memory import Memory
from sim.wire.faults import Fault, FaultScript, WireFault
from sim.wire.pf400 import ArmPhysics, Pf400Emulator, Spot
from sim.wire.server import WireServer
from sim.wire.time import EmulatedTime
from tests.sim.rig import finish, open_lab

SPEED = 1000.0
PACE = ArmPace(plate_s=12.0, stretch_s=6.0, poll_s=0.002, patience_s=0.06, connect_s=5.0)
"""Ample, so that a loaded test machine is no fault of the device."""
BRISK = replace(PACE, plate_s=1.5, stretch_s=0.8, connect_s=0.8)
"""For what is sure not to end."""
REPLY_S = 0.12
SAFE = (400.0, 0.0, 180.0, -90.0)
SPOTS = {
    "stack/new": Spot((200.0, 40.0, 100.0, -60.0), (260.0, 40.0, 100.0, -60.0)),
    "deck/A2": Spot((150.0, 10.0, 120.0, -30.0), (210.0, 10.0, 120.0, -30.0)),
    "incubator": Spot((300.0, -40.0, 90.0, 20.0), (340.0, -40.0, 90.0, 20.0)),
    "imager": Spot((120.0, -80.0, 110.0, 60.0), (180.0, -80.0, 110.0, 60.0)),
}


def taught_text(spots: Mapping[str, Spot] = SPOTS) -> str:
    """Write the file of taught positions, as its format says."""
    lines = ["format = 1", "plate_width_mm = 85.5", "open_mm = 100.0", f"safe = {list(SAFE)}"]
    for name, spot in spots.items():
        lines += [f'[places."{name}"]', f"at = {list(spot.at)}", f"above = {list(spot.above)}"]
    return "\n".join(lines) + "\n"


class MoverLab(Protocol):
    """A plate mover and its surroundings, by what physically is."""

    device: Device
    homes: Mapping[str, str]

    def where(self, barcode: str) -> str: ...
    def moves(self) -> int: ...
    def finish(self, key: str) -> Report: ...
    def restart(self) -> None: ...
    def close(self) -> None: ...


class SimMoverLab:
    """The mover of the in-process simulation."""

    homes: Mapping[str, str] = {"P1": "stack/new", "P2": "stack/new"}

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lab = open_lab(folder / "lab")
        self.device: Device = self._lab.mover

    def where(self, barcode: str) -> str:
        return self._lab.where(barcode) or ""

    def moves(self) -> int:
        return len(self._lab.log("mover"))

    def finish(self, key: str) -> Report:
        return finish(self._lab, self.device, key)

    def restart(self) -> None:
        self._lab.close()
        self._lab = open_lab(self._folder / "lab")
        self.device = self._lab.mover

    def close(self) -> None:
        self._lab.close()


class WireMoverLab:
    """The PF400's driver and its emulator; P1 stands at stack/new, P2 at deck/A2."""

    homes: Mapping[str, str] = {"P1": "stack/new", "P2": "deck/A2"}
    go = "^(graspplate|releaseplate)"

    def __init__(
        self,
        folder: Path,
        via: str = "pty",
        *,
        pace: ArmPace = PACE,
        open_line: Callable[[str, LineSettings], Line] = line_at,
        reply_s: float = REPLY_S,
    ) -> None:
        self.folder, self._via, self.pace, self._reply_s = folder, via, pace, reply_s
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "places.toml").write_text(taught_text())
        self.time = EmulatedTime(SPEED)
        self.emulator = Pf400Emulator(self.time, SPOTS, SAFE)
        self.physics.plates.update({place: barcode for barcode, place in self.homes.items()})
        self.server = WireServer(self.emulator, folder, faults=FaultScript())
        self.open(open_line)

    @property
    def physics(self) -> ArmPhysics:
        return self.emulator.physics

    @property
    def port(self) -> str:
        return str(self.server.pty_path) if self._via == "pty" else self.server.url

    def open(
        self, open_line: Callable[[str, LineSettings], Line] = line_at, lookup_wait_s: float = LOOKUP_WAIT_S
    ) -> None:
        self.wire = ArmWire(self.port, SETTINGS, log=WireLog(self.folder / "wire.log"), open_line=open_line)
        taught = read_taught(self.folder / "places.toml")
        memory = Memory(self.folder / "memory")
        memory.prepare()
        arm = Arm(self.wire, taught, self.pace, reply_s=self._reply_s)
        machine = Pf400(arm, taught, HandFile(self.folder / "memory" / "hand.json"), self.pace)
        self.device: Device = WorkerDevice(machine, memory, lookup_wait_s=lookup_wait_s)

    def where(self, barcode: str) -> str:
        with self.emulator.lock:
            return self.physics.where(barcode)

    def moves(self) -> int:
        with self.emulator.lock:
            return self.physics.moves()

    def picks(self) -> int:
        with self.emulator.lock:
            return self.physics.picks()

    def finish(self, key: str) -> Report:
        end = time.monotonic() + 40.0
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


LABS: Mapping[str, Callable[[Path], MoverLab]] = {
    "sim": SimMoverLab,
    **{f"pf400-{via}": (lambda folder, via=via: WireMoverLab(folder, via)) for via in ("pty", "socket")},
}


def both(lab: MoverLab) -> MovePlates:
    """Return a command of two moves."""
    return MovePlates((Move("P1", lab.homes["P1"], "incubator"), Move("P2", lab.homes["P2"], "imager")))


def fault(kind: WireFault, nth: int = 1, match: str = "") -> Fault:
    """Return a fault; what comes unasked would pass for the arm at its safe position with a plate."""
    data = b"0 400.000 0.000 180.000 -90.000 85.500\r\n" if kind is WireFault.UNSOLICITED else b""
    return Fault(kind, nth, match=match, data=data)
