"""Barcode readers for the contract suite: the in-process sim, and each driver on its emulator's pty or socket."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from drivers import barcode_keyence, barcode_scanner
from drivers.barcode import BarcodeMachine, CodeReader
from drivers.ports import Device, Move, MovePlates, Report, Status
from drivers.wire import Line, LineSettings, Wire, line_at
from drivers.wire_log import WireLog
from drivers.worker import WorkerDevice
from drivers.worker_memory import Memory
from sim.wire.barcode import KeyenceReader, PlainScanner
from sim.wire.faults import FaultScript
from sim.wire.server import WireServer
from sim.wire.time import EmulatedTime
from tests.sim.rig import do, finish, open_lab

REPLY_S = 0.12
READ_S = 6.0


class ReaderLab(Protocol):
    """A reader by what physically stands in front of it."""

    device: Device

    def show(self, *labels: str) -> None: ...
    def reads(self) -> int: ...
    def finish(self, key: str) -> Report: ...
    def restart(self) -> None: ...
    def close(self) -> None: ...


class SimReaderLab:
    """The reader of the in-process simulation."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lab = open_lab(folder / "lab")
        self.device: Device = self._lab.barcode_reader

    def show(self, *labels: str) -> None:
        for label in labels:
            do(self._lab, self._lab.mover, MovePlates((Move(label, "stack/new", "reader"),)), f"show-{label}")

    def reads(self) -> int:
        return len(self._lab.log("barcode_reader"))

    def finish(self, key: str) -> Report:
        return finish(self._lab, self.device, key)

    def restart(self) -> None:
        self._lab.close()
        self._lab = open_lab(self._folder / "lab")
        self.device = self._lab.barcode_reader

    def close(self) -> None:
        self._lab.close()


@dataclass(frozen=True)
class Wired:
    """A driver and the emulator that it is proven on."""

    emulator: Callable[[EmulatedTime], Any]
    reader: Callable[[Wire], CodeReader]
    settings: LineSettings
    go: str
    """Regular expression of the frame that reads."""


WIRED: Mapping[str, Wired] = {
    "keyence": Wired(
        KeyenceReader,
        lambda wire: barcode_keyence.KeyenceBl(wire, reply_s=REPLY_S),
        barcode_keyence.SETTINGS,
        "LON",
    ),
    "scanner": Wired(
        PlainScanner,
        lambda wire: barcode_scanner.SerialScanner(wire, trigger="T", settle_s=0.03, quiet_s=0.02, reply_s=REPLY_S),
        barcode_scanner.SETTINGS,
        "T",
    ),
}


class WireReaderLab:
    """A driver and its emulator on a pty or a socket."""

    def __init__(self, folder: Path, driver: str, via: str = "pty", read_s: float = READ_S) -> None:
        self.folder, self.wired, self._via, self._read_s = folder, WIRED[driver], via, read_s
        folder.mkdir(parents=True, exist_ok=True)
        self.emulator = self.wired.emulator(EmulatedTime(1.0))
        self.server = WireServer(self.emulator, folder, faults=FaultScript([]))
        self.open()

    @property
    def port(self) -> str:
        return str(self.server.pty_path) if self._via == "pty" else self.server.url

    def open(
        self,
        reader: Callable[[Wire], CodeReader] | None = None,
        open_line: Callable[[str, LineSettings], Line] = line_at,
        connect_s: float = 2.0,
    ) -> None:
        self.wire = Wire(self.port, self.wired.settings, log=WireLog(self.folder / "wire.log"), open_line=open_line)
        memory = Memory(self.folder / "memory")
        memory.prepare()
        machine = BarcodeMachine((reader or self.wired.reader)(self.wire), read_s=self._read_s, connect_s=connect_s)
        self.device: Device = WorkerDevice(machine, memory)

    def show(self, *labels: str) -> None:
        with self.emulator.lock:
            self.emulator.bench.labels = list(labels)

    def reads(self) -> int:
        with self.emulator.lock:
            return len(self.emulator.bench.log)

    def finish(self, key: str) -> Report:
        end = time.monotonic() + 2 * self._read_s + 30.0
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


LABS: Mapping[str, Callable[[Path], ReaderLab]] = {
    "sim": SimReaderLab,
    **{
        f"{driver}-{via}": (lambda folder, driver=driver, via=via: WireReaderLab(folder, driver, via))
        for driver in WIRED
        for via in ("pty", "socket")
    },
}
