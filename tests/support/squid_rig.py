"""The Squid's driver and its emulator over HTTP, for the contract suites."""

import time
from pathlib import Path

from drivers import squid
from drivers.http_wire import HttpWire
from drivers.imager_readout import Readouts
from drivers.ports import AcquirePlate, Report, Status
from drivers.watched_options import read_options
from drivers.worker import LOOKUP_WAIT_S, WorkerDevice
from drivers.worker_memory import Memory
from sim.wire.http_server import HttpServer
from sim.wire.squid import SquidEmulator
from sim.wire.time import EmulatedTime

PACE = squid.SquidPace(run_s=10.0, stage_s=3.0, folder_s=5.0, poll_s=0.004, patience_s=0.25, connect_s=3.0)
SHOOT = AcquirePlate("P1")


class SquidLab:
    """The driver and its emulator; a run takes 0.1 s of the wall's time."""

    def __init__(self, folder: Path, pace: squid.SquidPace = PACE) -> None:
        self.folder, self.lab, self.share, self.pace = folder, folder / "lab", folder / "share", pace
        for place in (self.lab, self.share):
            place.mkdir(parents=True)
        self.emulator = SquidEmulator(EmulatedTime(600.0), self.share)
        self.scope = self.emulator.scope
        self.scope.plate = "P1"
        self.server = HttpServer(self.emulator)
        self.open()

    def open(self, lookup_wait_s: float = LOOKUP_WAIT_S) -> None:
        memory = Memory(self.folder / "memory")
        memory.prepare()
        readouts = Readouts(read_options({"watch": str(self.share), "settle_s": 0.02}, self.lab), self.lab, 0.004)
        self.wire = HttpWire(self.server.url)
        line = squid.SquidLine(self.wire, "squid", self.pace, 0.5)
        machine = squid.Squid(line, ("cells.json", "screen"), readouts, memory.place / "run.json", self.pace)
        self.device = WorkerDevice(machine, memory, lookup_wait_s=lookup_wait_s)

    def runs(self) -> int:
        with self.emulator.lock:
            return len(self.scope.log)

    def run(self, key: str = "k") -> Report:
        self.device.submit(SHOOT, key)
        return self.finish(key)

    def finish(self, key: str = "k") -> Report:
        end = time.monotonic() + 40.0
        while time.monotonic() < end:
            if (report := self.device.poll(key)).status is not Status.RUNNING:
                return report
            time.sleep(0.002)
        raise AssertionError(f"{key} never ends")

    def close(self) -> None:
        self.device.close()
        self.server.close()
