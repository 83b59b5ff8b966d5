"""Imagers for the contract suite: the in-process sim, the ImageXpress driver on its emulator's wire, and OMERO."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from omero_rig import OmeroLab

from drivers.imagexpress import SETTINGS, ImagePace, ImageXpress
from drivers.ports import Device, Move, MovePlates, Report, Status
from drivers.watched_options import read_options
from drivers.wire import Line, LineSettings, Wire, line_at
from drivers.wire_log import WireLog
from drivers.worker import LOOKUP_WAIT_S, WorkerDevice
from drivers.worker_memory import Memory
from nextplate.imaging.watch import Due
from sim.wire.faults import FaultScript
from sim.wire.imx import ImxEmulator, Microscope
from sim.wire.server import WireServer
from sim.wire.time import EmulatedTime
from tests.sim.rig import do, finish, open_lab

PACE = ImagePace(run_s=10.0, stage_s=5.0, folder_s=5.0, poll_s=0.004, patience_s=0.1, connect_s=5.0)
BRISK = replace(PACE, run_s=0.6, stage_s=0.5, folder_s=0.5, connect_s=0.6)
REPLY_S = 0.12
SETTLE_S = 0.02


class ImagerLab(Protocol):
    """An imager and its surroundings, by what physically is."""

    device: Device
    lab: Path
    due: Due | None
    """What a whole readout holds; None: its format says it."""

    def put(self, barcode: str) -> None: ...
    def runs(self) -> int: ...
    def finish(self, key: str) -> Report: ...
    def restart(self) -> None: ...
    def close(self) -> None: ...


class SimImagerLab:
    """The imager of the in-process simulation."""

    due: Due | None = None

    def __init__(self, folder: Path) -> None:
        self.lab = folder / "lab"
        self._lab = open_lab(self.lab)
        self.device: Device = self._lab.imager

    def put(self, barcode: str) -> None:
        do(self._lab, self._lab.mover, MovePlates((Move(barcode, "stack/new", "imager"),)), f"put-{barcode}")

    def runs(self) -> int:
        return sum(row["well"] == "A01" for row in self._lab.log("imager"))

    def finish(self, key: str) -> Report:
        return finish(self._lab, self.device, key)

    def restart(self) -> None:
        self._lab.close()
        self._lab = open_lab(self.lab)
        self.device = self._lab.imager

    def close(self) -> None:
        self._lab.close()


class WireImagerLab:
    """The ImageXpress driver and its emulator."""

    due: Due | None = None

    def __init__(self, folder: Path, via: str = "pty", *, pace: ImagePace = PACE) -> None:
        self.folder, self._via, self.pace = folder, via, pace
        self.lab, self.share = folder / "lab", folder / "share"
        for place in (self.lab, self.share):
            place.mkdir(parents=True)
        self.time = EmulatedTime(1000.0)
        self.emulator = ImxEmulator(self.time, self.share)
        self.server = WireServer(self.emulator, folder, faults=FaultScript())
        self.open()

    @property
    def scope(self) -> Microscope:
        return self.emulator.scope

    @property
    def port(self) -> str:
        return str(self.server.pty_path) if self._via == "pty" else self.server.url

    def open(
        self, open_line: Callable[[str, LineSettings], Line] = line_at, lookup_wait_s: float = LOOKUP_WAIT_S
    ) -> None:
        self.wire = Wire(self.port, SETTINGS, log=WireLog(self.folder / "wire.log"), open_line=open_line)
        memory = Memory(self.folder / "memory")
        memory.prepare()
        watch = read_options({"watch": str(self.share), "settle_s": SETTLE_S}, self.lab)
        mark = self.folder / "memory" / "run.json"
        machine = ImageXpress(self.wire, "C:\\cells.hts", watch, self.lab, mark, self.pace, reply_s=REPLY_S)
        self.device: Device = WorkerDevice(machine, memory, lookup_wait_s=lookup_wait_s)

    def put(self, barcode: str) -> None:
        self.scope.plate = barcode

    def runs(self) -> int:
        with self.emulator.lock:
            return sum(act.what == "run" for act in self.scope.log)

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


LABS: Mapping[str, Callable[[Path], ImagerLab]] = {
    "sim": SimImagerLab,
    "omero": OmeroLab,
    **{f"imagexpress-{via}": (lambda folder, via=via: WireImagerLab(folder, via)) for via in ("pty", "socket")},
}
