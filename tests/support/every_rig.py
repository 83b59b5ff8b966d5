"""The rigs of every driver of this repository and of the simulation (tests/contract/test_device_ports.py)."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from device_rig import Port, Rig
from lab_software import LabSoftware, small_answers
from omero_rig import port_rigs as omero_rigs
from opentrons_rig import opentrons_rigs
from port_rigs import port_rigs
from standing import Spoiled
from watched_lab import OrderedMicroscope, WatchedLab
from worklist_rig import worklist_rigs

from drivers.folder import make
from drivers.ports import (
    AcquirePlate,
    DispensePlate,
    FetchPlate,
    Move,
    MovePlates,
    ReadBarcode,
    ShakePlate,
    Status,
    StorePlate,
    WashPlate,
)
from sim.lab import FaultKind, SimLab
from tests.sim.rig import do, open_lab, set_up, transfers, write_protocol


def _open_sim(prepare: Callable[[SimLab], None], name: str, folder: Path) -> Port:
    lab = open_lab(folder / "lab")
    prepare(lab)
    device = getattr(lab, name)

    def pass_time(share: float) -> None:
        running = [r for key in ("k", "other", "new") if (r := device.poll(key)).status is Status.RUNNING]
        ends = [r.ready_at for r in running if r.ready_at]
        now = lab.clock.now()
        lab.clock.wait_until(now + (ends[0] - now) * share if ends else now + timedelta(hours=1))

    return Port(
        device,
        effects=lambda: len(lab.log(name)),
        work=lambda: pass_time(1.0),
        begin=lambda: pass_time(0.5),
        close=lab.close,
        faults={kind: partial(lab.break_device, name, FaultKind(kind)) for kind in SIM_FAULTS},
        repair=lambda: lab.repair_device(name),
        clock=lab.clock,
    )


SIM_FAULTS = frozenset({"reply-lost", "refused", "offline"})


def _sim(prepare: Callable[[SimLab], None], works: Any, fails: Any, keys: frozenset[str], name: str) -> Rig:
    return Rig(partial(_open_sim, prepare, name), works, fails, keys, SIM_FAULTS, has_clock=True)


def _open_folder(kind: str, folder: Path) -> Port:
    lab = folder / "lab"
    device = make(kind, {"exchange": "exchange"}, lab)
    software = LabSoftware(lab / "exchange", small_answers(lab))
    requests = lab / "exchange" / "requests"
    spoiled = Spoiled(requests, lab / "exchange" / "unmounted", requests / ".k.json.tmp")
    return Port(
        device,
        effects=software.effects,
        work=lambda: _ignore(software.work()),
        begin=software.begin,
        close=lambda: None,
        faults=spoiled.faults(),
        repair=spoiled.repair,
    )


def _open_watched(folder: Path) -> Port:
    folder.mkdir(parents=True, exist_ok=True)
    orders, memory = folder / "orders", folder / "lab" / "logs" / "watched-folder"
    orders.mkdir(exist_ok=True)
    lab = WatchedLab(folder / "lab", orders=str(orders))
    microscope, away = OrderedMicroscope(lab.share, orders), folder / "unmounted"

    def work() -> None:
        microscope.work()
        lab.seconds += 3600.0

    def unmount(*places: Path) -> None:
        away.mkdir()
        for n, place in enumerate(places):
            place.rename(away / f"{n}-{place.name}")

    def repair() -> None:
        for path in sorted(away.glob("*")) if away.exists() else ():
            path.rename(lab.share if path.name.endswith("share") else memory)

    return Port(
        lab.device,
        effects=microscope.effects,
        work=work,
        begin=microscope.begin,
        close=lambda: None,
        faults={"refused": partial(unmount, lab.share), "offline": lambda: unmount(lab.share, memory)},
        repair=repair,
    )


def _ignore(_value: object) -> None:
    pass


def _folder(kind: str, works: Any, fails: Any, keys: frozenset[str]) -> Rig:
    return Rig(partial(_open_folder, kind), works, fails, keys, frozenset({"refused", "offline"}), driver="folder")


def _nothing(lab: SimLab) -> None:
    pass


def _plate_at(place: str) -> Callable[[SimLab], None]:
    def prepare(lab: SimLab) -> None:
        do(lab, lab.mover, MovePlates((Move("P1", "stack/new", place),)), "prepare")

    return prepare


def _stored(lab: SimLab) -> None:
    _plate_at("incubator")(lab)
    do(lab, lab.incubator, StorePlate("P1"), "prepare")


def _load_that_works(folder: Path) -> Any:
    return write_protocol(folder, transfers(12))


def _load_that_fails(folder: Path) -> Any:
    # The tip of the first transfer again, after another one: it is not on any more.
    return write_protocol(folder, transfers(2) + transfers(1))


def _moves_that_work(folder: Path) -> Any:
    return MovePlates((Move("P1", "stack/new", "deck/A1"), Move("P1", "deck/A1", "imager")))


def _moves_that_fail(folder: Path) -> Any:
    return MovePlates((Move("P1", "stack/new", "deck/A1"), Move("P1", "imager", "deck/A2")))


def _plate(command: Callable[[str], Any], barcode: str) -> Callable[[Path], Any]:
    return lambda folder: command(barcode)


TRANSFERS, MOVED, SLOT, READOUT = (frozenset(k) for k in (["transfers"], ["moved"], ["slot"], ["folder", "images"]))
NOTHING: frozenset[str] = frozenset()
LOADS = (_load_that_works, _load_that_fails, TRANSFERS)
MOVES = (_moves_that_work, _moves_that_fail, MOVED)
STORES = (_plate(StorePlate, "P1"), _plate(StorePlate, "P2"), SLOT)
FETCHES = (_plate(FetchPlate, "P1"), _plate(FetchPlate, "P2"), NOTHING)
ACQUIRES = (_plate(AcquirePlate, "P1"), _plate(AcquirePlate, "P2"), READOUT)
WASHES = (lambda _: WashPlate("P1", "wash-2x80ul"), lambda _: WashPlate("P2", "wash-2x80ul"), frozenset({"program"}))
DISPENSES = (lambda _: DispensePlate("P1", "dispense-20ul"), lambda _: DispensePlate("P2", "dispense-20ul"), WASHES[2])
SHAKES = (lambda _: ShakePlate("P1", 600, 5), lambda _: ShakePlate("P2", 600, 5), frozenset({"shaken_s"}))
READS = (lambda _: ReadBarcode("P1"), lambda _: ReadBarcode("P2"), frozenset({"barcode"}))
OURS: Mapping[str, Rig] = {
    "sim-handler": _sim(set_up, *LOADS, "handler"),
    "sim-mover": _sim(_nothing, *MOVES, "mover"),
    "sim-incubator-store": _sim(_plate_at("incubator"), *STORES, "incubator"),
    "sim-incubator-fetch": _sim(_stored, *FETCHES, "incubator"),
    "sim-imager": _sim(_plate_at("imager"), *ACQUIRES, "imager"),
    "folder-handler": _folder("liquid-handler", *LOADS),
    "folder-mover": _folder("plate-mover", *MOVES),
    "folder-incubator-store": _folder("incubator", *STORES),
    "folder-incubator-fetch": _folder("incubator", *FETCHES),
    "folder-imager": _folder("imager", *ACQUIRES),
    "watched-folder": Rig(_open_watched, *ACQUIRES, frozenset({"refused", "offline"}), driver="watched-folder"),
    "sim-washer": _sim(_plate_at("washer"), *WASHES, "washer"),
    "sim-dispenser": _sim(_plate_at("dispenser"), *DISPENSES, "dispenser"),
    "sim-shaker": _sim(_plate_at("shaker"), *SHAKES, "shaker"),
    "sim-barcode-reader": _sim(_plate_at("reader"), *READS, "barcode_reader"),
    **port_rigs(),
    **omero_rigs(),
    **{name: replace(rig, driver="opentrons") for name, rig in opentrons_rigs().items()},
    **{name: replace(rig, driver="worklist-folder") for name, rig in worklist_rigs().items()},
}
