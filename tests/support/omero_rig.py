"""OMERO for the contract suites: the driver on its emulator over HTTP, and people who image what was asked for."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from device_rig import Port, Rig
from standing import Spoiled

from drivers.http_wire import HttpWire
from drivers.omero import OmeroImager, OmeroPace, imager
from drivers.omero_line import Account, LinePace, OmeroLine
from drivers.omero_plate import Options
from drivers.ports import AcquirePlate, Report, Status
from drivers.wire_log import WireLog
from drivers.worker_memory import Memory
from nextplate.imaging import open_readout
from nextplate.imaging.pixels import read_image
from nextplate.imaging.watch import Due, check_taken, inspect_plate
from sim.wire.http_server import HttpServer
from sim.wire.omero import OmeroEmulator
from sim.wire.omero_store import StoredPlate
from sim.wire.time import EmulatedTime

PACE = OmeroPace(timeout_s=20.0, poll_s=0.004, refused_s=0.02)
LINE = LinePace(reply_s=0.5, patience_s=3.0, again_s=0.004, bytes_per_s=20e6)
DUE = Due(frozenset({"A01", "A02"}), 1, 2)
OPTIONS = Options(due=DUE, settle_s=0.02)
WELLS = ((0, 0), (0, 1))
SHOOT = AcquirePlate("P1")
BRISK = replace(PACE, timeout_s=0.6)


class OmeroLab:
    """One lab, one OMERO; who is asked to image a plate does so once, when that was written down."""

    due: Due | None = DUE

    def __init__(
        self, folder: Path, *, options: Options = OPTIONS, pace: OmeroPace = PACE, line: LinePace = LINE
    ) -> None:
        self.folder, self.lab = folder, folder / "lab"
        self.lab.mkdir(parents=True, exist_ok=True)
        self.options, self.pace, self.line = options, pace, line
        self.emulator = OmeroEmulator(EmulatedTime(100.0))
        self.store = self.emulator.store
        self.server = HttpServer(self.emulator)
        self.password = self.emulator.password
        self.user = "lab"
        self.stage: dict[str, dict[str, Any]] = {}
        self.imaged: list[StoredPlate] = []
        self.open()

    def open(self) -> None:
        self.wire = HttpWire(self.server.url, log=WireLog(self.folder / "wire.log"), is_exclusive=False)
        self.memory = Memory(self.folder / "memory")
        self.memory.prepare()
        (self.memory.place / "words").mkdir(exist_ok=True)
        account = Account(self.user, lambda: self.password) if self.user else None
        line = OmeroLine(self.wire, account, self.line)
        self.device: OmeroImager = imager(line, self.options, self.lab, self.memory, self.pace)

    def put(self, barcode: str, **said: Any) -> None:
        self.stage[barcode] = said

    def shoot(self, key: str) -> None:
        """Image what was asked for, if it is there, once."""
        command, plan = self.memory.command(key, (AcquirePlate,)), self.memory.plan(key)
        if command is None or plan is None or command.barcode not in self.stage:
            return
        said = {"image_s": 1.0, "wells": WELLS, **self.stage.pop(command.barcode)}
        self.imaged.append(self.store.add_plate(said.pop("name", command.barcode), **said))

    def readouts(self) -> Sequence[Path]:
        """Return the readouts that lie in the lab."""
        return sorted(path.parent for path in self.lab.glob("readouts/[!.]*/omero.json"))

    def runs(self) -> int:
        return len(self.readouts())

    def run(self, key: str = "k", barcode: str = "P1") -> Report:
        self.device.submit(AcquirePlate(barcode), key)
        return self.finish(key)

    def finish(self, key: str = "k", wait_s: float = 40.0) -> Report:
        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            self.shoot(key)
            if (report := self.device.poll(key)).status is not Status.RUNNING:
                return report
            time.sleep(0.002)
        raise AssertionError(f"{key} never ends")

    def restart(self) -> None:
        self.device.close()
        self.open()

    def close(self) -> None:
        self.device.close()
        self.server.close()


class Labs:
    """Labs whose OMERO outlives a process, by folder; closed when a test ends."""

    def __init__(self) -> None:
        self._open: dict[Path, OmeroLab] = {}

    def port(self, folder: Path) -> Port:
        """Open a lab; what is opened again is the same OMERO."""
        lab = self._open.get(folder)
        if lab is None:
            lab = self._open[folder] = OmeroLab(folder, pace=replace(PACE, timeout_s=3.0))
            lab.put("P1")
        else:
            lab.open()
        return _port(lab)

    def close(self) -> None:
        for lab in self._open.values():
            lab.close()
        self._open.clear()


LABS_BY_FOLDER = Labs()


def _port(lab: OmeroLab) -> Port:
    memory = lab.memory.place
    spoiled = Spoiled(memory, lab.folder / "away", memory / "asked" / ".k.json.tmp")

    def shoot() -> None:
        end = time.monotonic() + 2.0
        while lab.memory.plan("k") is None and lab.memory.command("k", (AcquirePlate,)) and time.monotonic() < end:
            time.sleep(0.001)
        lab.shoot("k")

    def begin() -> None:
        lab.emulator.time.run_at(0.0)
        shoot()

    def work() -> None:
        shoot()
        lab.emulator.time.run_at(1000.0)
        time.sleep(0.05)

    device = lab.device

    def close() -> None:
        begin()  # what is not begun yet would be NOT_FOUND, and rightly
        device.close()

    return Port(device, lab.runs, work, begin, close, spoiled.faults(begin), spoiled.repair)


def port_rigs() -> dict[str, Rig]:
    """Return the rig of the suite of every port."""
    keys = frozenset({"folder", "images"})
    return {
        "omero": Rig(
            LABS_BY_FOLDER.port,
            lambda _: AcquirePlate("P1"),
            lambda _: AcquirePlate("P2"),
            keys,
            frozenset({"refused", "offline"}),
            driver="omero",
        )
    }


def nothing_outside(lab: OmeroLab) -> None:
    """Hold what lies in the lab's folder against what may."""
    for place, folders, files in os.walk(lab.lab):
        for name in (*folders, *files):
            inside = Path(place, name).relative_to(lab.lab)
            assert not Path(place, name).is_symlink()
            assert inside.parts[0] == "readouts", inside


def with_a_plate(folder: Path) -> Iterator[OmeroLab]:
    """Open a lab in which P1 waits to be imaged, and close it."""
    lab = OmeroLab(folder)
    lab.put("P1")
    yield lab
    lab.close()


def opened(folder: Path, **said: Any) -> OmeroLab:
    """Open a lab for a test that awaits no plate for long."""
    return OmeroLab(folder, **{"pace": BRISK, **said})


def believe(lab: OmeroLab, report: Report) -> None:
    """Hold a report, and all that lies in the lab, against the truth."""
    assert not lab.emulator.violations
    assert {r.method for r in lab.server.requests if not r.path.endswith("/login/")} <= {"GET"}
    assert lab.runs() <= 1
    for folder in lab.readouts():
        identical(lab, folder)
    if report.status is Status.DONE:
        folder = lab.lab / report.result["folder"]
        stand = inspect_plate(folder, lab.due, is_thorough=True)
        assert (stand.state, stand.plate, stand.n_images) == ("whole", "P1", report.result["images"]), stand.reasons
        assert lab.runs() == 1
        check_taken(folder)
    elif report.status is Status.FAILED:
        assert report.result == {"folder": "readouts/P1", "images": 0} or "nothing moved" in report.message
        assert lab.runs() == 0
    nothing_outside(lab)


def identical(lab: OmeroLab, folder: Path) -> None:
    """Hold every pixel that a reader gives against what was imaged."""
    plate = lab.imaged[-1] if lab.imaged else next(iter(lab.store.plates.values()))
    readout = open_readout(folder)
    stacks = {
        (f"{chr(65 + well.row)}{well.column + 1:02d}", n): image
        for well in plate.wells
        for n, image in enumerate(well.images, 1)
    }
    assert len(readout.images) == sum(len(image.channels) for image in stacks.values())
    for found in readout.images:
        truth = stacks[found.well, found.field]
        c = truth.channels.index(found.channel)
        assert np.array_equal(read_image(found), truth.stack[0, c, 0])
