"""The rigs of the drivers on their emulators' wires, for the suite of every port (tests/contract/test_device_ports.py).

Each lab stands still but for `Port.work`, so that a command is RUNNING for as long as a test wants it to be.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import barcode_rig
import bridge_rigs
import incubator_rig
import mover_rig
import shaker_rig
import squid_rig
import washer_rig
from device_rig import Left, Port, Rig
from imager_rig import PACE as IMAGER_PACE
from imager_rig import WireImagerLab
from liconic_service_rig import ServiceLab
from standing import FOLDERS, SOON_S, Folders, Gate, Standing, standing_rig, wait_for

from drivers import barcode_keyence, barcode_scanner
from drivers.ports import (
    AcquirePlate,
    DispensePlate,
    FetchPlate,
    Move,
    MovePlates,
    ReadBarcode,
    ShakePlate,
    StorePlate,
    WashPlate,
)
from sim.wire.imx import Microscope

PATIENT_S = 15.0
"""How long an answer may take of a device that stands still."""


# incubators


def _incubator_lab(driver: str, is_stored: bool, folder: Path) -> incubator_rig.WireLab:
    lab = ServiceLab(folder) if driver == "liconic-service" else incubator_rig.WireLab(folder, driver)
    lab.shelve("P1") if is_stored else lab.put_on_station("P1")
    lab.device.close()  # type: ignore[attr-defined]
    lab.time.run_at(0.0)
    return lab


def _incubator_port(labs: "Folders[incubator_rig.WireLab]", folder: Path) -> Port:
    lab = labs.at(folder)
    lab.open(lookup_wait_s=SOON_S)
    run, stand = partial(lab.time.run_at, incubator_rig.SPEED), partial(lab.time.run_at, 0.0)

    def is_moving() -> bool:
        with lab.emulator.lock:
            return bool(lab.hotel.is_moving)

    return Standing(lab.device, folder / "memory", lab.moves, is_moving, run, stand).port()


INCUBATORS = {
    "liconic": "liconic-stx",
    "cytomat": "cytomat",
    "liconic-service": "liconic-service",
    "inheco": "inheco",
}


def incubator_rigs(drivers: Mapping[str, str] = INCUBATORS) -> dict[str, Rig]:
    """Return the rigs of incubators: names in `incubator_rig.WIRED`, and those of their entry points."""
    rigs = {}
    for short, driver in drivers.items():
        stores, fetches = (FOLDERS.add(partial(_incubator_lab, short, is_stored)) for is_stored in (False, True))
        rigs[f"{short}-store"] = standing_rig(
            partial(_incubator_port, stores), StorePlate("P1"), FetchPlate("P2"), {"slot"}, driver
        )
        rigs[f"{short}-fetch"] = standing_rig(
            partial(_incubator_port, fetches), FetchPlate("P1"), FetchPlate("P2"), set(), driver
        )
    return rigs


# washers and dispensers; programs of one step, so that a process that ends leaves nothing undone


def _wet_lab(driver: str, folder: Path) -> washer_rig.WireLab:
    lab = washer_rig.WireLab(folder, driver)
    lab.put_plate("P1")
    lab.device.close()  # type: ignore[attr-defined]
    lab.time.run_at(0.0)
    return lab


def _wet_port(labs: "Folders[washer_rig.WireLab]", folder: Path) -> Port:
    lab = labs.at(folder)
    lab.open(lookup_wait_s=SOON_S)
    n_before = len(lab.server.frames)

    def is_seen_running() -> bool:
        """A device that cannot tell what it did has to be seen running."""
        return lab.is_running() and len(lab.server.frames) >= n_before + 5

    def go() -> None:
        n_heard = len(lab.server.frames)
        if lab.is_running():
            wait_for(lambda: lab.wire.is_open and len(lab.server.frames) >= n_heard + 5, 2.0)
        lab.time.run_at(washer_rig.SPEED)

    stand = partial(lab.time.run_at, 0.0)
    return Standing(lab.device, folder / "memory", lab.runs, is_seen_running, go, stand).port()


def _washers() -> dict[str, Rig]:
    wash, dispense = partial(WashPlate, "P1"), partial(DispensePlate, "P1")
    programs = {
        "el406": ("biotek-el406", wash("single")),
        "el406-dispenser": ("biotek-el406", dispense("single-fill")),
        "bluewasher": ("bluewasher", wash("good")),
    }
    return {
        name: standing_rig(
            partial(_wet_port, FOLDERS.add(partial(_wet_lab, name))), works, replace(works, program="stops"),
            {"program"}, driver,
        )
        for name, (driver, works) in programs.items()
    }  # fmt: skip


# a plate mover: what a process leaves half-way is told, not gone on with


class _GatedMover(mover_rig.WireMoverLab):
    def __init__(self, folder: Path) -> None:
        self.gate = Gate()
        super().__init__(folder, open_line=self.gate.line, reply_s=PATIENT_S)
        self.device.close()  # type: ignore[attr-defined]


def _mover_port(labs: Folders[_GatedMover], folder: Path) -> Port:
    lab = labs.at(folder)
    gate = lab.gate
    lab.open(gate.line, lookup_wait_s=SOON_S)

    def acts() -> int:
        return lab.picks() + lab.moves()

    set_out = partial(gate.open, until=b"graspplate")
    return Standing(
        lab.device, folder / "memory", acts, lambda: gate.is_shut and lab.picks(), gate.open, gate.shut, set_out
    ).port()


def _movers() -> dict[str, Rig]:
    works, fails = (
        MovePlates((Move(*words),)) for words in (("P1", "stack/new", "incubator"), ("P2", "imager", "deck/A2"))
    )
    labs = FOLDERS.add(_GatedMover)  # of several plates: test_movers, test_mover_faults, test_mover_killed
    return {"pf400": standing_rig(partial(_mover_port, labs), works, fails, {"moved"}, "pf400", Left.TOLD)}


# imagers: a run takes for ever until the lab works

EVER_S = 1e6


def _image_port(device: Any, scope: Microscope, time: Any, runs: Callable[[], int], lock: Any, folder: Path) -> Port:
    def go() -> None:
        with lock:
            scope.run_s = 60.0
            if scope.phase == "RUNNING":
                time.skip(EVER_S)
        time.run_at(1000.0)

    def set_out() -> None:
        with lock:
            scope.run_s = EVER_S
        time.run_at(1000.0)

    n_before = 0 if scope.phase == "RUNNING" else runs()
    return Standing(
        device, folder / "memory", runs, lambda: runs() > n_before, go, partial(time.run_at, 0.0), set_out
    ).port()


def _imx_lab(folder: Path) -> WireImagerLab:
    lab = WireImagerLab(folder, pace=replace(IMAGER_PACE, run_s=30.0))
    lab.put("P1")
    lab.device.close()  # type: ignore[attr-defined]
    lab.time.run_at(0.0)
    return lab


def _imx_port(labs: Folders[WireImagerLab], folder: Path) -> Port:
    lab = labs.at(folder)
    lab.open(lookup_wait_s=SOON_S)
    return _image_port(lab.device, lab.scope, lab.time, lab.runs, lab.emulator.lock, folder)


def _squid_lab(folder: Path) -> squid_rig.SquidLab:
    lab = squid_rig.SquidLab(folder, replace(squid_rig.PACE, run_s=30.0))
    lab.device.close()
    lab.emulator.time.run_at(0.0)
    return lab


def _squid_port(labs: Folders[squid_rig.SquidLab], folder: Path) -> Port:
    lab = labs.at(folder)
    lab.open(lookup_wait_s=SOON_S)
    return _image_port(lab.device, lab.scope, lab.emulator.time, lab.runs, lab.emulator.lock, folder)


def _imagers() -> dict[str, Rig]:
    imx, squids = FOLDERS.add(_imx_lab), FOLDERS.add(_squid_lab)
    shoot, told = AcquirePlate("P1"), {"folder", "images"}

    def camera_fails(folder: Path) -> AcquirePlate:
        imx.at(folder).scope.next_error = 21
        return shoot

    def refuses(folder: Path) -> AcquirePlate:
        squids.at(folder).emulator.refuses_to_acquire = True
        return shoot

    return {
        "imagexpress": standing_rig(partial(_imx_port, imx), shoot, camera_fails, told, "imagexpress"),
        "squid": standing_rig(partial(_squid_port, squids), shoot, refuses, told, "squid"),
    }


# shakers: time is the driver's waiting, and stands from the frame that starts the rotor on


def _shaker_lab(driver: str, folder: Path) -> shaker_rig.WireShakerLab:
    lab = shaker_rig.WireShakerLab(folder, driver)
    lab.put("P1")
    lab.device.close()  # type: ignore[attr-defined]
    return lab


def _shaker_port(labs: "Folders[shaker_rig.WireShakerLab]", folder: Path) -> Port:
    lab = labs.at(folder)
    lab.open(lookup_wait_s=SOON_S)
    lab.freeze()
    return Standing(
        lab.device, folder / "memory", lab.starts, lab.is_turning, partial(lab.freeze, False), lab.freeze, lab.set_out
    ).port()


def _shakers() -> dict[str, Rig]:
    # the example of the guide has no entry point here
    names = {"bioshake": "bioshake", "inheco-shaker": "inheco", "acme": ""}
    fails = ShakePlate("P1", 60_000, 5)
    return {
        name: standing_rig(
            partial(_shaker_port, FOLDERS.add(partial(_shaker_lab, name.removesuffix("-shaker")))),
            shaker_rig.SHAKE,
            fails,
            {"shaken_s"},
            driver,
        )
        for name, driver in names.items()
    }


# barcode readers: nothing moves, so that a read is done again


class _GatedReader(barcode_rig.WireReaderLab):
    def __init__(self, driver: str, folder: Path) -> None:
        self.gate = Gate()
        super().__init__(folder, driver, read_s=30.0)
        self.device.close()  # type: ignore[attr-defined]
        self.show("P1")


def _reader_port(labs: Folders[_GatedReader], reader: Any, folder: Path) -> Port:
    lab = labs.at(folder)
    lab.open(reader, lab.gate.line, PATIENT_S)
    return Standing(lab.device, folder / "memory", lab.reads, lambda: True, lab.gate.open, lab.gate.shut).port()


def _readers() -> dict[str, Rig]:
    made: dict[str, tuple[str, Any]] = {
        "keyence": ("keyence-bl", lambda wire: barcode_keyence.KeyenceBl(wire, reply_s=PATIENT_S)),
        "scanner": (
            "serial-scanner",
            lambda wire: barcode_scanner.SerialScanner(
                wire, trigger="T", settle_s=0.03, quiet_s=0.02, reply_s=PATIENT_S
            ),
        ),
    }
    return {
        name: standing_rig(
            partial(_reader_port, FOLDERS.add(partial(_GatedReader, name)), reader), ReadBarcode("P1"),
            ReadBarcode("P2"), {"barcode"}, driver, Left.AGAIN,
        )
        for name, (driver, reader) in made.items()
    }  # fmt: skip


def port_rigs() -> Mapping[str, Rig]:
    """Return the rigs of every driver on a wire but the Opentrons's."""
    return {
        **incubator_rigs(), **_washers(), **_movers(), **_imagers(), **_shakers(), **_readers(),
        **bridge_rigs.bridge_rigs(),
    }  # fmt: skip
