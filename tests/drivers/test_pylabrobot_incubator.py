"""The incubator bridge on PyLabRobot's own chatterbox, and on backends that fail, hang or die where they are told."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pylabrobot_rig import finish
from small_lab import environment

from drivers import pylabrobot
from drivers.inventory import Inventory
from drivers.ports import FetchPlate, Report, ShakePlate, Status, StorePlate
from drivers.pylabrobot_incubator import PlrIncubator, make, racks_of, sites_of
from drivers.worker import WorkerDevice
from drivers.worker_memory import Memory
from nextplate.errors import NeedsOperator, SettingsError
from sim.wire.cytomat import CytomatEmulator
from sim.wire.hotel import Jam
from sim.wire.liconic import LiconicStx
from sim.wire.server import WireServer
from sim.wire.time import EmulatedTime

storage = pytest.importorskip("pylabrobot.storage", reason="the extra pylabrobot is not installed")
RACKS = ["cytomat_rack_69mm_7", "cytomat_rack_95mm_5"]
N_SLOTS = 12


class Failing:
    """Where plates really are, and the operation at which the machine fails."""

    def __init__(self, at: str = "", how: str = "error") -> None:
        self.at, self.how, self.log = at, how, list[str]()
        self.is_built = True

    def backend(self) -> Any:
        spy = self

        class Backend(storage.IncubatorChatterboxBackend):  # type: ignore[name-defined,misc]
            async def setup(self) -> None:
                await spy.note("setup", "setup")

            async def stop(self) -> None:
                spy.log.append("stop")

            async def fetch_plate_to_loading_tray(self, plate: Any, **named: Any) -> None:
                await spy.note("fetch", f"fetch {plate.name} from {plate.parent.name}")

            async def take_in_plate(self, plate: Any, site: Any, **named: Any) -> None:
                await spy.note("store", f"store {plate.name} at {site.name}")

        if not self.is_built:
            raise ValueError("Unsupported Cytomat model: 'C9000'")
        return Backend()

    async def note(self, what: str, said: str) -> None:
        self.log.append(said)
        if what != self.at:
            return
        if self.how == "hang":
            await asyncio.sleep(60)
        raise RuntimeError("firmware error 99")

    def moves(self) -> list[str]:
        return [x for x in self.log if x.startswith(("fetch", "store"))]


@pytest.fixture
def devices() -> Iterator[list[WorkerDevice]]:
    opened: list[WorkerDevice] = []
    yield opened
    for device in opened:
        device.close()


def inventory_of(folder: Path) -> Inventory:
    return Inventory(folder / "memory" / "inventory.json", N_SLOTS)


def opened(folder: Path, machine: Failing, devices: list[WorkerDevice], handling_s: float = 20.0) -> WorkerDevice:
    memory = Memory(folder / "memory")
    memory.prepare()
    inventory_of(folder).prepare()
    incubator = PlrIncubator(
        machine.backend, lambda: racks_of(RACKS), inventory_of(folder), memory.place / "motions", handling_s=handling_s
    )
    devices.append(WorkerDevice(incubator, memory))
    return devices[-1]


def run(device: WorkerDevice, command: Any, key: str = "k") -> Report:
    device.submit(command, key)
    return finish(device, key)


def test_plates_go_in_and_come_out_once_and_each_from_its_site(tmp_path: Path, devices: list[WorkerDevice]) -> None:
    machine = Failing()
    device = opened(tmp_path, machine, devices)
    assert run(device, StorePlate("P1"), "a") == Report(Status.DONE, {"slot": "1"})
    assert run(device, StorePlate("P2"), "b") == Report(Status.DONE, {"slot": "2"})
    assert run(device, FetchPlate("P1"), "c") == Report(Status.DONE)
    assert run(device, StorePlate("P2"), "b") == Report(Status.DONE, {"slot": "2"})
    again = opened(tmp_path, machine, devices)
    assert run(again, StorePlate("P3"), "d").result == {"slot": "1"}
    assert machine.moves() == [
        "store P1 at rack-0-1", "store P2 at rack-0-2", "fetch P1 from rack-0-1", "store P3 at rack-0-1",
    ]  # fmt: skip
    assert machine.log.count("setup") == machine.log.count("stop") == 4
    assert inventory_of(tmp_path).contents().slots == {1: "P3", 2: "P2"}
    assert again.inspect()["plates"] == {"1": "P3", "2": "P2"}


def test_slots_go_through_the_racks_in_order() -> None:
    sites = sites_of(racks_of(RACKS))
    assert len(sites) == N_SLOTS
    assert (sites[0].name, sites[7].name) == ("rack-0-1", "rack-1-1")


@pytest.mark.parametrize("how", ["error", "hang"])
@pytest.mark.parametrize("verb", ["store", "fetch"])
def test_a_motion_that_failed_is_unknown_and_not_repeated(
    tmp_path: Path, devices: list[WorkerDevice], verb: str, how: str
) -> None:
    machine = Failing()
    device = opened(tmp_path, machine, devices, handling_s=0.5 if how == "hang" else 20.0)
    if verb == "fetch":
        assert run(device, StorePlate("P1"), "in").status is Status.DONE
    machine.at, machine.how = verb, how
    command = StorePlate("P1") if verb == "store" else FetchPlate("P1")
    report = run(device, command)
    assert report.status is Status.UNKNOWN
    assert "look where plate P1 is" in report.message
    assert inventory_of(tmp_path).contents().doubts == {1: "P1"}
    machine.at = ""
    n = len(machine.moves())
    assert run(opened(tmp_path, machine, devices), command) == report
    later = run(device, FetchPlate("P1"), "later")
    assert later.status is Status.FAILED
    assert "nobody knows whether plate P1 is in slot 1" in later.message
    assert run(device, StorePlate("P2"), "other").result == {"slot": "2"}, "not into a slot in doubt"
    assert len(machine.moves()) == n + 1


@pytest.mark.parametrize("how", ["setup", "model"])
def test_a_machine_that_does_not_start_moved_no_plate(tmp_path: Path, devices: list[WorkerDevice], how: str) -> None:
    machine = Failing("setup")
    machine.is_built = how == "setup"
    report = run(opened(tmp_path, machine, devices), StorePlate("P1"))
    assert report.status is Status.FAILED
    assert "it was not asked to move plate P1" in report.message
    assert machine.moves() == []
    assert inventory_of(tmp_path).contents().doubts == {}
    assert machine.log == (["setup", "stop"] if how == "setup" else [])


def test_what_pylabrobot_refuses_by_itself_moved_nothing(tmp_path: Path, devices: list[WorkerDevice]) -> None:
    """A plate too high for its site: the package says no before the backend is asked."""
    machine = Failing()
    device = opened(tmp_path, machine, devices)
    device._machine._plate_mm = 80.0  # type: ignore[attr-defined]
    report = run(device, StorePlate("P1"))
    assert report.status is Status.FAILED
    assert report.message.endswith("nothing moved")
    assert machine.moves() == []
    assert inventory_of(tmp_path).contents().doubts == {}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (FetchPlate("P9"), "P9 is not in the incubator"),
        (StorePlate("P1"), "P1 is in slot 1 already"),
        (StorePlate(" "), "needs a barcode"),
    ],
)
def test_what_is_not_possible_moves_nothing(
    tmp_path: Path, devices: list[WorkerDevice], command: Any, said: str
) -> None:
    machine = Failing()
    device = opened(tmp_path, machine, devices)
    assert run(device, StorePlate("P1"), "in").status is Status.DONE
    report = run(device, command)
    assert report.status is Status.FAILED
    assert said in report.message
    assert report.message.endswith("nothing moved")
    assert len(machine.moves()) == 1
    with pytest.raises(NeedsOperator, match="does not take"):
        device.submit(ShakePlate("P1", 600, 5), "shake")


def test_a_full_incubator_says_so(tmp_path: Path, devices: list[WorkerDevice]) -> None:
    device = opened(tmp_path, Failing(), devices)
    for slot in range(1, N_SLOTS + 1):
        inventory_of(tmp_path).confirm(slot, f"P{slot}")
    assert "the incubator is full; X stays outside" in run(device, StorePlate("X")).message


def test_a_process_that_ends_in_the_middle_leaves_the_plate_unknown(
    tmp_path: Path, devices: list[WorkerDevice]
) -> None:
    machine = Failing("store", "hang")
    device = opened(tmp_path, machine, devices)
    device.submit(StorePlate("P1"), "k")
    end = time.monotonic() + 60
    while not machine.moves():
        assert time.monotonic() < end
        time.sleep(0.005)
    device.close()
    report = opened(tmp_path, Failing(), devices).lookup("k")
    assert report.status is Status.UNKNOWN
    assert "killed while it moved the plate" in report.message


@pytest.mark.parametrize("verb", ["store", "fetch"])
@pytest.mark.parametrize("step", ["planned", "doubted", "begun", "ended", "confirmed"])
def test_killed_at_any_step_nothing_is_guessed_and_nothing_repeated(
    tmp_path: Path, devices: list[WorkerDevice], verb: str, step: str
) -> None:
    """A new process on the files as each step of a motion leaves them."""
    steps = ["planned", "doubted", "begun", "ended", "confirmed"]
    memory, inventory = Memory(tmp_path / "memory"), inventory_of(tmp_path)
    memory.prepare()
    inventory.prepare()
    command: Any = StorePlate("P1") if verb == "store" else FetchPlate("P1")
    inside, outside = (None, "P1") if verb == "store" else ("P1", None)
    inventory.confirm(1, inside)
    memory.ask("k", command)
    memory.begin("k", {"ticket": "t", "slot": 1})
    at = steps.index(step)
    if at >= 1:
        inventory.doubt(1, "P1")
    lines = ['["begun", 1]\n', '["done", 1, 0]\n'][: max(0, min(at, 3) - 1)]
    (memory.place / "motions").mkdir()
    if lines:
        (memory.place / "motions" / "t.jsonl").write_text("".join(lines))
    if at == 4:
        inventory.confirm(1, outside)
    machine = Failing()
    report = opened(tmp_path, machine, devices).lookup("k")
    expected = [Status.NOT_FOUND, Status.NOT_FOUND, Status.UNKNOWN, Status.DONE, Status.DONE][at]
    assert report.status is expected
    contents = inventory.contents()
    if expected is Status.UNKNOWN:
        assert contents.doubts == {1: "P1"}
    else:
        assert contents.doubts == {}
        assert contents.slots.get(1) == (inside if expected is Status.NOT_FOUND else outside)
    assert machine.log == []


def test_a_full_disk_is_told(tmp_path: Path, devices: list[WorkerDevice], monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the motion nothing moves; after it, what cannot be written down is a person's."""
    from drivers.pylabrobot_trail import Trail

    def full(self: Trail, *_: int) -> None:
        raise OSError(28, "No space left on device")

    machine = Failing()
    device = opened(tmp_path, machine, devices)
    with monkeypatch.context() as patched:
        patched.setattr(Trail, "begin", full)
        report = run(device, StorePlate("P1"), "a")
    assert report.status is Status.FAILED
    assert report.message.endswith("nothing moved")
    assert machine.moves() == []
    monkeypatch.setattr(Trail, "end", full)
    report = run(device, StorePlate("P1"), "b")
    assert report.status is Status.UNKNOWN
    assert "could not be written down" in report.message


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backend": "os.system"}, "should be one of chatterbox"),
        ({"backend": "cytomat", "port": "/dev/x"}, "'model' is missing for backend 'cytomat'"),
        ({"port": "/dev/x"}, "'port' is no option for backend 'chatterbox'"),
        ({"racks": []}, "option racks is empty"),
        ({"racks": ["os_rack_1"]}, "no rack 'os_rack_1'"),
        ({"racks": ["cytomat_rack_1mm_1"]}, "no rack 'cytomat_rack_1mm_1'"),
        ({"racks": [7]}, "no rack 7"),
        ({"handling_s": 0.0}, "handling_s = 0.0 should be above 0"),
        ({"slots": 3}, "'slots' is no option"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make("incubator", {"backend": "chatterbox", "racks": RACKS, **options}, tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize("kind", ["imager", "washer"])
def test_the_entry_point_knows_its_kinds(tmp_path: Path, kind: str) -> None:
    with pytest.raises(SettingsError, match=f"a liquid-handler, an incubator or a shaker, not for a {kind}"):
        pylabrobot.make(kind, {}, tmp_path)


@pytest.mark.parametrize(("kind", "missing"), [("liquid-handler", "deck"), ("incubator", "racks")])
def test_the_entry_point_leads_to_each_kind(tmp_path: Path, kind: str, missing: str) -> None:
    with pytest.raises(SettingsError, match=f"option '{missing}' is missing"):
        pylabrobot.make(kind, {"backend": "chatterbox"}, tmp_path)


@pytest.mark.parametrize("rack", ["cytomat_rack_69mm_7", "liconic_rack_17mm_22"])
def test_the_chatterbox_of_the_package_runs(tmp_path: Path, devices: list[WorkerDevice], rack: str) -> None:
    device = pylabrobot.make("incubator", {"backend": "chatterbox", "racks": [rack]}, tmp_path)
    assert isinstance(device, WorkerDevice)
    devices.append(device)
    assert run(device, StorePlate("P1"), "in").result == {"slot": "1"}
    assert run(device, FetchPlate("P1"), "out").status is Status.DONE


def test_every_backend_that_can_be_named_is_there(tmp_path: Path) -> None:
    from drivers.pylabrobot_incubator import BACKENDS, backend_of

    said = {"cytomat": {"model": "C6000", "port": "/dev/x"}, "heraeus-cytomat": {"port": "/dev/x"}}
    said["liconic"] = {"model": "STX44_IC", "port": "/dev/x"}
    for name in BACKENDS:
        backend = backend_of({"backend": name, **said.get(name, {})}, BACKENDS)()
        assert isinstance(backend, storage.IncubatorBackend)


WIRED: dict[str, tuple[Any, dict[str, Any]]] = {
    "cytomat": (
        lambda clock: CytomatEmulator(clock, false_busy=0.0), {"model": "C6000", "racks": ["cytomat_rack_69mm_7"]},
    ),
    "liconic": (
        lambda clock: LiconicStx(clock, levels=22), {"model": "STX44_IC", "racks": ["liconic_rack_17mm_22"]},
    ),
}  # fmt: skip


@pytest.mark.long  # the package's own deadlines are of the wall, which a loaded machine does not keep
@pytest.mark.filterwarnings("ignore:.*racks need to be configured:UserWarning")
@pytest.mark.parametrize("backend", sorted(WIRED))
def test_the_backends_of_the_package_move_plates(backend: str, tmp_path: Path, devices: list[WorkerDevice]) -> None:
    """PyLabRobot's own words on the wires of our emulators, and a plate that sticks."""
    make_emulator, said = WIRED[backend]
    emulator = make_emulator(EmulatedTime(100.0))
    emulator.hotel.put_on_station("P1")
    with WireServer(emulator, tmp_path) as server:
        options = {"backend": backend, "port": str(server.pty_path.resolve()), "handling_s": 20.0, **said}
        device = pylabrobot.make("incubator", options, tmp_path / "lab")
        assert isinstance(device, WorkerDevice)
        devices.append(device)
        assert run(device, StorePlate("P1"), "in") == Report(Status.DONE, {"slot": "1"})
        assert emulator.hotel.slots == {1: "P1"}
        assert not emulator.hotel.violations
        if backend == "liconic":
            return  # it sets a parity, which a pty takes but once
        assert run(device, FetchPlate("P1"), "out") == Report(Status.DONE)
        assert emulator.hotel.station == "P1"
        emulator.hotel.jam = Jam.STALL
        device._machine._handling_s = 3.0  # type: ignore[attr-defined]
        report = run(device, StorePlate("P1"), "stuck")
        assert report.status is Status.UNKNOWN
        assert "look where plate P1 is" in report.message
        assert emulator.hotel.moves() == 2
        assert not emulator.hotel.violations


KILLED = """
import sys
from pathlib import Path
from drivers import pylabrobot
from drivers.ports import StorePlate
said = {"backend": "cytomat", "model": "C6000", "port": sys.argv[1], "racks": ["cytomat_rack_69mm_7"]}
pylabrobot.make("incubator", said, Path(sys.argv[2])).submit(StorePlate("P1"), "k")
sys.stdin.read()
"""
"""A process that stores a plate over PyLabRobot, until it is killed."""


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:.*racks need to be configured:UserWarning")
def test_killed_in_motion_on_the_wire_the_plate_is_a_persons_and_moved_once(
    tmp_path: Path, devices: list[WorkerDevice]
) -> None:
    emulator = CytomatEmulator(EmulatedTime(5.0), false_busy=0.0)
    emulator.hotel.put_on_station("P1")
    with WireServer(emulator, tmp_path) as server:
        port = str(server.pty_path.resolve())
        words = [sys.executable, "-c", KILLED, port, str(tmp_path / "lab")]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment())
        end = time.monotonic() + 120.0
        while not any(frame.startswith(b"mv:") for frame in server.frames):
            assert time.monotonic() < end
            time.sleep(0.005)
        process.kill()
        process.communicate()
        options = {"backend": "cytomat", "model": "C6000", "port": port, "racks": ["cytomat_rack_69mm_7"]}
        device = pylabrobot.make("incubator", options, tmp_path / "lab")
        assert isinstance(device, WorkerDevice)
        devices.append(device)
        report = finish(device, "k")
        assert report.status is Status.UNKNOWN
        assert "killed while it moved the plate; look where plate P1 is" in report.message
        emulator.time.skip(60.0)
        inventory = Inventory(tmp_path / "lab" / "logs" / "devices" / "incubator" / "inventory.json", 7)
        assert inventory.contents().doubts == {1: "P1"}
        inventory.confirm(1, "P1")  # a person looked: it went in by itself
        assert run(device, FetchPlate("P1"), "out") == Report(Status.DONE)
        assert [(act.what, act.place) for act in emulator.hotel.log] == [
            ("pick", "station"), ("put", "slot 1"), ("pick", "slot 1"), ("put", "station"),
        ]  # fmt: skip
        assert not emulator.hotel.violations
