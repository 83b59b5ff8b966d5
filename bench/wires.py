"""Incubators on their emulators' wires: what becomes of a command when any frame goes wrong in any way."""

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.table import Figure
from drivers import cytomat, liconic
from drivers.incubator import IncubatorMachine
from drivers.incubator_handler import Pace
from drivers.inventory import Inventory
from drivers.ports import FetchPlate, Report, Status, StorePlate
from drivers.wire import Wire
from drivers.worker import WorkerDevice
from drivers.worker_memory import Memory
from sim.wire.cytomat import CytomatEmulator
from sim.wire.faults import Fault, WireFault
from sim.wire.liconic import LiconicStx
from sim.wire.server import WireServer
from sim.wire.time import EmulatedTime

COMMAND = "python -m bench.run wires"
FRAMES = range(1, 40, 3)
PACE = Pace(handling_s=10.0, poll_s=0.004, patience_s=0.08, connect_s=5.0)
FORGED = {"liconic": b"1\r\n", "cytomat": b"bs 82\r\n"}


@dataclass(slots=True)
class Tally:
    """What became of the commands."""

    ends: Counter[str] = field(default_factory=Counter)
    n_wrong: int = 0
    longest_s: float = 0.0
    polls_s: list[float] = field(default_factory=list)


def figures() -> list[Figure]:
    """Play every fault on every third frame of a store and a fetch, on both incubators."""
    return [_figure(driver) for driver in ("liconic", "cytomat")]


def _figure(driver: str) -> Figure:
    tally = Tally()
    for kind in WireFault:
        for nth in FRAMES:
            for verb in ("store", "fetch"):
                _play(
                    driver, verb, Fault(kind, nth, data=FORGED[driver] if kind is WireFault.UNSOLICITED else b""), tally
                )
    n = sum(tally.ends.values())
    ends = ", ".join(f"{count} {name}" for name, count in tally.ends.most_common())
    polls = sorted(tally.polls_s)
    measured = (
        f"{tally.n_wrong} of {n} wrong ({ends}); longest {tally.longest_s:.1f} s, "
        f"poll {1000 * polls[len(polls) // 2]:.2f} ms (99% {1000 * polls[int(0.99 * len(polls))]:.2f} ms)"
    )
    what = f"{driver} on a pty: a success that is none, a plate moved twice, a false 'nothing moved'"
    return Figure(what, measured, f"0; every command ends in {PACE.handling_s + PACE.connect_s:.0f} s", COMMAND)


def _play(driver: str, verb: str, fault: Fault, tally: Tally) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for server, device in _lab(driver, Path(folder)):
            hotel = server.emulator.hotel  # type: ignore[attr-defined]
            hotel.put_on_station("P1")
            if verb == "fetch":
                _run(device, StorePlate("P1"), "first", Tally())
                hotel.log.clear()
            server.faults.add(fault)
            report = _run(device, StorePlate("P1") if verb == "store" else FetchPlate("P1"), "k", tally)
            tally.ends[report.status.value] += 1
            tally.n_wrong += _is_wrong(hotel, verb, report)


def _lab(driver: str, folder: Path) -> Iterator[tuple[WireServer, WorkerDevice]]:
    clock = EmulatedTime(1000.0)
    emulator: Any = LiconicStx(clock) if driver == "liconic" else CytomatEmulator(clock)
    with WireServer(emulator, folder) as server:
        is_liconic = driver == "liconic"
        wire = Wire(str(server.pty_path), liconic.SETTINGS if is_liconic else cytomat.SETTINGS)
        handler: Any = (
            liconic.Liconic(wire, liconic.Shape(3, 4, 17.0), reply_s=0.12, break_s=0.001)
            if is_liconic
            else cytomat.Cytomat(wire, 12, reply_s=0.12, again_s=0.002)
        )
        memory, inventory = Memory(folder / "memory"), Inventory(folder / "memory" / "inventory.json", 12)
        memory.prepare()
        inventory.prepare()
        device = WorkerDevice(IncubatorMachine(handler, inventory, PACE), memory)
        yield server, device
        device.close()


def _run(device: WorkerDevice, command: Any, key: str, tally: Tally) -> Report:
    began = time.monotonic()
    device.submit(command, key)
    while True:
        polled = time.monotonic()
        report = device.poll(key)
        tally.polls_s.append(time.monotonic() - polled)
        if report.status is not Status.RUNNING:
            tally.longest_s = max(tally.longest_s, time.monotonic() - began)
            return report
        time.sleep(0.005)


def _is_wrong(hotel: Any, verb: str, report: Report) -> bool:
    hotel.advance()
    is_inside, n_moves = "P1" in hotel.slots.values(), hotel.moves()
    is_done = n_moves == 1 and is_inside == (verb == "store")
    if report.status is Status.DONE:
        return not is_done
    if "nothing moved" in report.message:
        return n_moves != 0 or is_inside == (verb == "store")
    return n_moves > 1 or bool(hotel.violations)
