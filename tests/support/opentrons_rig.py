"""An emulated Opentrons and its driver, for the contract suites: the driver's word is held against the robot's log."""

import gc
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from device_rig import Port, Rig
from killing import Fuse
from protocol_lab import SmallLab
from standing import Spoiled

from drivers.deadline import Deadline
from drivers.http_body import Body
from drivers.http_wire import Answer, HttpWire
from drivers.key_files import write_whole
from drivers.opentrons import OpentronsDevice, device_of
from drivers.opentrons_api import HEADERS, OpentronsApi, Pace
from drivers.ports import ProvenFile, Report, RunLoad, Status
from drivers.wire_log import WireLog
from drivers.worker import LOOKUP_WAIT_S
from drivers.worker_memory import Memory
from protocols.model import Protocol, Transfer
from protocols.offsets import Offset
from protocols.render import render, render_for_csv
from protocols.render_csv import steps_csv
from sim.wire.faults import Fault
from sim.wire.http_server import HttpServer
from sim.wire.opentrons import Firmware, OpentronsRobot

MODELS: dict[str, Any] = {"flex": "OT-3 Standard", "ot2": "OT-2 Standard"}
PACE = Pace(
    reply_s=5.0, upload_s=10.0, poll_s=0.01, patience_s=4.0, lost_s=4.0, settle_s=0.04, analysis_s=20.0,
    load_s=30.0, stop_s=10.0,
)  # fmt: skip
"""Ample, so that a loaded test machine is no fault of the robot."""
MOST_S = 60.0


def small_protocol(robot: str, n: int = 2) -> Protocol:
    """Return transfers that the default right pipette of an emulated robot can do."""
    protocol = SmallLab(robot=robot, compounds=tuple(f"C{i}" for i in range(n))).protocol()
    return replace(protocol, mount="right")


def written(protocol: Protocol, folder: Path, text: str = "") -> RunLoad:
    """Write a protocol as the controller does."""
    folder.mkdir(parents=True, exist_ok=True)
    rendered = (text or render(protocol, 0)).encode()
    write_whole(folder / "protocol.json", protocol.to_json().encode())
    write_whole(folder / "load-0.py", rendered)
    sha = hashlib.sha256(rendered).hexdigest()
    return RunLoad(folder / "protocol.json", folder / "load-0.py", protocol.digest, 0, sha)


def written_with_table(protocol: Protocol, folder: Path, offsets: tuple[Offset, ...] = ()) -> RunLoad:
    """Write a protocol as the controller does for a lab of tables and offsets."""
    command = written(protocol, folder, render_for_csv(protocol, offsets=offsets))
    table, measured = steps_csv(protocol, 0).encode(), json.dumps([asdict(offset) for offset in offsets]).encode()
    write_whole(folder / "load-0.csv", table)
    write_whole(folder / "offsets.json", measured)
    files = [
        ProvenFile(name, folder / file, hashlib.sha256(content).hexdigest())
        for name, file, content in (("steps", "load-0.csv", table), ("offsets", "offsets.json", measured))
    ]
    return replace(command, tables=(files[0],), offsets=files[1] if offsets else None)


@cache
def warm_engine() -> None:
    """Load the vendor's engine, which takes seconds of a loaded machine: a robot has it loaded when it answers."""
    for name in (
        "protocol_reader", "protocol_engine.create_protocol_engine", "protocol_engine.commands",
        "protocol_runner.run_orchestrator", "protocol_runner.create_simulating_orchestrator",
        "hardware_control.ot3api", "protocol_api",
    ):  # fmt: skip
        import_module(f"opentrons.{name}")
    gc.collect()
    gc.freeze()  # `OpentronsLab.close` collects garbage, and what is loaded is none


class OpentronsLab:
    """One robot, one lab, and perhaps several processes one after another."""

    def __init__(
        self,
        folder: Path,
        robot: str = "flex",
        *,
        firmware: Firmware | None = None,
        pace: Pace = PACE,
        n: int = 2,
        faults: tuple[Fault, ...] = (),
    ) -> None:
        warm_engine()
        self.folder, self.name, self.pace = folder, robot, pace
        self.robot = OpentronsRobot(MODELS[robot], firmware=firmware)
        self.server = HttpServer(self.robot)
        self.server.__enter__()
        self.server.faults.add(*faults)
        self.protocol = small_protocol(robot, n)
        self.command = written(self.protocol, folder / "protocol")
        self.open()

    def open(
        self, wire: type[HttpWire] = HttpWire, *, lookup_wait_s: float = LOOKUP_WAIT_S, **more: Any
    ) -> OpentronsDevice:
        """Begin a process."""
        log = WireLog(self.folder / "wire.log")
        self.wire = wire(self.server.url, headers=HEADERS, log=log, **more)
        memory = Memory(self.folder / "memory")
        memory.prepare()
        self.device = device_of(OpentronsApi(self.wire, self.pace), memory, self.name, lookup_wait_s=lookup_wait_s)
        return self.device

    def run(self, key: str = "k", command: RunLoad | None = None) -> Report:
        """Hand over a load and wait for its end."""
        self.device.submit(command or self.command, key)
        return self.finish(key)

    def finish(self, key: str = "k") -> Report:
        end = time.monotonic() + MOST_S
        while time.monotonic() < end:
            if (report := self.device.poll(key)).status is not Status.RUNNING:
                return report
            time.sleep(0.003)
        raise AssertionError(f"{key} never ends")

    def wait(self, is_so: Any) -> None:
        end = time.monotonic() + MOST_S
        while not is_so():
            assert time.monotonic() < end
            time.sleep(0.003)

    def restart(self) -> None:
        """End the process as one does that is told to, and begin another."""
        self.device.close()
        self.open()

    def close(self) -> None:
        self.device.close()
        self.server.close()
        self.robot.close()
        gc.collect()  # here, where the vendor's leavings are forgiven, and not in the next test

    @property
    def n_plays(self) -> int:
        return int(self.robot.log.n_plays())

    def given(self) -> list[tuple[str, str, int]]:
        """Return slot, well and nanolitres of every dispense that physically happened."""
        acts = [act for act in self.robot.log.acts if act.what == "dispense"]
        return [(act.slot, act.well, round(act.volume_ul * 1000)) for act in acts]

    def planned(self, *, until: int | None = None) -> list[tuple[str, str, int]]:
        slots = {item.barcode: item.slot for item in self.protocol.loads[0].deck}
        return [_place(t, slots) for t in self.protocol.transfers[:until]]

    def whole(self) -> list[list[int]]:
        return [[t.transfer_id, t.volume_nl] for t in self.protocol.transfers]

    def assert_done_once(self, report: Report) -> None:
        assert report.status is Status.DONE, report
        assert report.result == {"transfers": self.whole()}
        assert self.n_plays == 1
        assert self.given() == self.planned()

    def assert_honest(self, report: Report) -> None:
        """Whatever was told is what happened; nothing happened twice."""
        assert self.n_plays <= 1
        assert self.given() == self.planned(until=len(self.given())), "each transfer once, in order"
        if report.status is Status.DONE:
            self.assert_done_once(report)
        elif report.status is Status.FAILED:
            told = [pair for pair in report.result.get("transfers", []) if pair[1]]
            assert len(self.given()) - len(told) in (0, 1), (report, self.given())
            assert told == self.whole()[: len(told)]
            assert "nothing moved" not in report.message or not self.given()
        else:
            assert report.status is Status.UNKNOWN
            assert report.message


def _place(t: Transfer, slots: dict[str, str]) -> tuple[str, str, int]:
    return slots[t.destination_plate], f"{t.destination_well[0]}{int(t.destination_well[1:])}", t.volume_nl


# for the suite of every port, tests/contract/test_device_ports.py

_HELD_S = 0.4
"""A command of the robot takes so long while the lab stands still."""
_MISSING = 10
"""Tip that is missing; loads that work end before it."""


class OpentronsLabs:
    """Labs whose robots outlive a process, by folder; closed when a test ends."""

    def __init__(self) -> None:
        self._open: dict[Path, OpentronsLab] = {}

    def port(self, robot: str, folder: Path) -> Port:
        """Open a lab's robot; it stands still but for `Port.work`."""
        lab = self._open.get(folder)
        if lab is None:
            lab = self._open[folder] = OpentronsLab(folder, robot)
            lab.device.close()
            lab.robot.mechanics.tips_to_miss = {_MISSING} if robot == "flex" else set()
        lab.robot.mechanics.command_s = _HELD_S
        lab.open(lookup_wait_s=0.1)
        return _port(lab)

    def close(self) -> None:
        for lab in self._open.values():
            lab.close()
        self._open.clear()


def _port(lab: OpentronsLab) -> Port:
    device, memory = lab.device, lab.folder / "memory"
    spoiled = Spoiled(memory, lab.folder / "away", memory / "asked" / ".k.json.tmp")

    def is_running() -> bool:
        return any(device.poll(key).status is Status.RUNNING for key in ("k", "other", "new"))

    def begin() -> None:
        lab.wait(lambda: lab.n_plays or not is_running())

    def work() -> None:
        lab.robot.mechanics.command_s = 0.0
        lab.wait(lambda: not is_running())
        lab.robot.mechanics.command_s = _HELD_S

    def close() -> None:
        begin()  # what is not begun yet would be NOT_FOUND, and rightly
        device.close()

    return Port(device, lambda: len(lab.robot.log.acts), work, begin, close, spoiled.faults(begin), spoiled.repair)


OPENTRONS_BY_FOLDER = OpentronsLabs()


def opentrons_rigs() -> Mapping[str, Rig]:
    """Return the rigs of the Flex."""
    return {
        "opentrons-flex": Rig(
            lambda folder: OPENTRONS_BY_FOLDER.port("flex", folder),
            lambda folder: written(small_protocol("flex"), folder / "works"),
            lambda folder: written(small_protocol("flex", 10), folder / "fails"),
            frozenset({"transfers"}),
            frozenset({"refused", "offline"}),
        )
    }


class FusedWire(HttpWire):
    """The wire of a process that may die before a request, or after it was acted on."""

    def __init__(self, url: str, *, fuse: Fuse, **more: Any) -> None:
        super().__init__(url, **more)
        self._fuse = fuse

    def request(
        self, method: str, target: str, until: Deadline, body: Body | None = None, headers: Any = None
    ) -> Answer:
        self._fuse.burn()
        answer = super().request(method, target, until, body, headers)
        self._fuse.burn()
        return answer
