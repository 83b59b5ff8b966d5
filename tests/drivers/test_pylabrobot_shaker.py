"""The shaker bridge on PyLabRobot's own chatterboxes, and on backends that fail, hang or die where they are told."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pylabrobot_rig import finish

from drivers import pylabrobot
from drivers.deadline import Deadline
from drivers.ports import Report, ShakePlate, Status, StorePlate
from drivers.pylabrobot_loop import Loop
from drivers.pylabrobot_shaker import BACKENDS, PlrShaker, make
from drivers.shaker_trail import Trail, TrailFile
from drivers.wire import Wire
from drivers.worker import WorkerDevice
from drivers.worker_memory import Memory
from nextplate.errors import NeedsOperator, SettingsError
from sim.wire.bioshake import BioShake3000
from sim.wire.server import WireServer
from sim.wire.time import EmulatedTime
from sim.wire.voice import Voice

shaking = pytest.importorskip("pylabrobot.shaking", reason="the extra pylabrobot is not installed")
SHAKE = ShakePlate("P1", 600, 1)


class Failing:
    """What the rotor really does, and the order at which the machine fails."""

    def __init__(self, at: str = "", how: str = "error", times: int = 1000, *, has_clamp: bool = True) -> None:
        self.at, self.how, self.times, self.has_clamp, self.log = at, how, times, has_clamp, list[str]()
        self.turning_since: float | None = None
        self.shaken_s = 0.0

    def backend(self) -> Any:
        spy = self

        class Backend(shaking.ShakerChatterboxBackend):  # type: ignore[name-defined,misc]
            async def setup(self) -> None:
                await spy.note("setup")

            async def stop(self) -> None:
                spy.log.append("let go")

            async def start_shaking(self, speed: float) -> None:
                spy.turning_since = time.monotonic()  # it turns, whatever it says
                await spy.note(f"start {speed}")

            async def stop_shaking(self) -> None:
                await spy.note("stop")
                if spy.turning_since is not None:
                    spy.shaken_s += time.monotonic() - spy.turning_since
                    spy.turning_since = None

            @property
            def supports_locking(self) -> bool:
                return spy.has_clamp

            async def lock_plate(self) -> None:
                await spy.note("lock")

            async def unlock_plate(self) -> None:
                assert spy.turning_since is None, "the clamp was opened while it turned"
                await spy.note("unlock")

        return Backend()

    async def note(self, what: str) -> None:
        self.log.append(what)
        if not self.at or not what.startswith(self.at) or self.times <= 0:
            return
        self.times -= 1
        if self.how == "hang":
            await asyncio.sleep(60)
        raise RuntimeError("firmware error 99")

    def starts(self) -> int:
        return sum(x.startswith("start") for x in self.log)


@pytest.fixture
def devices() -> Iterator[list[WorkerDevice]]:
    opened: list[WorkerDevice] = []
    yield opened
    for device in opened:
        device.close()


def opened(folder: Path, machine: Failing, devices: list[WorkerDevice], boot: str = "b") -> WorkerDevice:
    memory = Memory(folder / "memory")
    memory.prepare()
    trail = TrailFile(memory.place / "rotor.json", lambda: boot)
    shaker = PlrShaker(
        machine.backend,
        trail,
        memory.place / "shakes",
        setup_s=1.0,
        order_s=0.5,
        stop_s=1.5,
        tolerance_s=0.6,
        fastest_rpm=3000,
    )
    devices.append(WorkerDevice(shaker, memory))
    return devices[-1]


def run(device: WorkerDevice, command: Any = SHAKE, key: str = "k") -> Report:
    device.submit(command, key)
    return finish(device, key)


@pytest.mark.parametrize("has_clamp", [True, False])
def test_a_plate_is_shaken_once_and_as_long_as_it_says(
    tmp_path: Path, devices: list[WorkerDevice], has_clamp: bool
) -> None:
    machine = Failing(has_clamp=has_clamp)
    device = opened(tmp_path, machine, devices)
    report = run(device)
    assert report == Report(Status.DONE, {"shaken_s": 1})
    assert run(opened(tmp_path, machine, devices)) == report
    clamp = (["lock"], ["unlock"]) if has_clamp else ([], [])
    assert machine.log == ["setup", *clamp[0], "start 600", "stop", *clamp[1], "let go"]
    assert machine.shaken_s == pytest.approx(1.0, abs=0.5)


@pytest.mark.parametrize(
    ("at", "status", "said"),
    [
        ("setup", Status.FAILED, "the machine does not start"),
        ("lock", Status.FAILED, "the clamp does not close"),
        ("start", Status.UNKNOWN, "shaken for at most"),
        ("stop", Status.UNKNOWN, "switch the shaker off"),
        ("unlock", Status.FAILED, "the clamp does not open"),
    ],
)
@pytest.mark.parametrize("how", ["error", "hang"])
def test_an_order_that_fails_is_told(
    tmp_path: Path, devices: list[WorkerDevice], at: str, status: Status, said: str, how: str
) -> None:
    machine = Failing(at, how)
    report = run(opened(tmp_path, machine, devices))
    assert report.status is status, report
    assert said in report.message
    assert machine.starts() <= 1
    if at in ("setup", "lock"):
        assert report.result == {"shaken_s": 0}
        assert machine.starts() == 0
    if at == "unlock":
        assert report.result == {"shaken_s": 1}
    if status is Status.UNKNOWN:
        assert "look at the shaker" in report.message
    assert machine.turning_since is None or at == "stop", "a rotor turns on"
    assert machine.log[-1] == "let go"


def test_a_stop_that_was_not_confirmed_at_once_is_given_again(tmp_path: Path, devices: list[WorkerDevice]) -> None:
    machine = Failing("stop", times=1)
    report = run(opened(tmp_path, machine, devices))
    assert machine.log.count("stop") == 2
    assert machine.turning_since is None
    assert report.status in (Status.DONE, Status.FAILED)
    assert report.result["shaken_s"] == pytest.approx(machine.shaken_s, abs=0.6)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (ShakePlate("P1", 600, 0), "not for 0; nothing moved"),
        (ShakePlate("P1", 600, 10**9), "not for 1000000000; nothing moved"),
        (ShakePlate("P1", 0, 5), "not at 0; nothing moved"),
        (ShakePlate("P1", 9999, 5), "not at 9999; nothing moved"),
    ],
)
def test_what_it_cannot_do_turns_nothing(
    tmp_path: Path, devices: list[WorkerDevice], command: ShakePlate, said: str
) -> None:
    machine = Failing()
    device = opened(tmp_path, machine, devices)
    report = run(device, command)
    assert (report.status, report.result) == (Status.FAILED, {"shaken_s": 0})
    assert said in report.message
    assert machine.log == []
    with pytest.raises(NeedsOperator, match="does not take"):
        device.submit(StorePlate("P1"), "other")
    assert device.inspect()["stops by itself"].startswith("no")


def test_a_process_that_ends_in_the_middle_leaves_it_to_the_next_which_stops_the_rotor(
    tmp_path: Path, devices: list[WorkerDevice]
) -> None:
    machine = Failing()
    device = opened(tmp_path, machine, devices)
    device.submit(ShakePlate("P1", 600, 60), "k")
    end = time.monotonic() + 60
    while not (tmp_path / "memory" / "rotor.json").exists() or not machine.starts():
        assert time.monotonic() < end
        time.sleep(0.005)
    device.close()
    assert machine.turning_since is not None
    again = opened(tmp_path, machine, devices)
    assert again.lookup("k").status is not Status.NOT_FOUND
    report = finish(again)
    assert report.status is Status.UNKNOWN
    assert "it was told to stop; plate P1 was shaken for at most" in report.message
    assert machine.turning_since is None
    assert machine.starts() == 1


@pytest.mark.parametrize("step", ["planned", "trailed", "begun", "ended"])
@pytest.mark.parametrize("boot", ["b", "another"])
def test_killed_at_any_step_nothing_is_guessed_and_nothing_repeated(
    tmp_path: Path, devices: list[WorkerDevice], step: str, boot: str
) -> None:
    """A new process on the files as each step of a shake leaves them."""
    at = ["planned", "trailed", "begun", "ended"].index(step)
    memory = Memory(tmp_path / "memory")
    memory.prepare()
    memory.ask("k", SHAKE)
    memory.begin("k", {"ticket": "t", "refused": ""})
    if at >= 1:
        TrailFile(memory.place / "rotor.json", lambda: "b").write(Trail("t", "b", time.monotonic() - 5.0))
    (memory.place / "shakes").mkdir()
    lines = ['["begun", 1]\n', '["done", 1, 1020]\n'][: max(0, at - 1)]
    if lines:
        (memory.place / "shakes" / "t.jsonl").write_text("".join(lines))
    machine = Failing()
    device = opened(tmp_path, machine, devices, boot)
    found = device.lookup("k")
    report = found if found.status is not Status.RUNNING else finish(device)
    assert report.status is [Status.NOT_FOUND, Status.NOT_FOUND, Status.UNKNOWN, Status.FAILED][at]
    if step == "begun":
        assert ("at most 5 s" if boot == "b" else "nobody knows how long") in report.message
        assert machine.log == ["setup", "stop", "unlock", "let go"]
    else:
        assert machine.log == []
    if step == "ended":
        assert report.result == {"shaken_s": 1}
        assert "killed before it let the plate go" in report.message


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backend": "hamilton"}, "should be one of chatterbox"),
        ({"backend": "bioshake"}, "'port' is missing for backend 'bioshake'"),
        ({"stop_s": -1.0}, "stop_s = -1.0 should be above 0"),
        ({"model": "x"}, "'model' is no option"),
        ({"ramp_s": 3}, "'ramp_s' is no option for backend 'chatterbox'"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make("shaker", {"backend": "chatterbox", **options}, tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize("backend", ["chatterbox", "heater-shaker-chatterbox"])
def test_the_chatterboxes_of_the_package_run(tmp_path: Path, devices: list[WorkerDevice], backend: str) -> None:
    device = pylabrobot.make("shaker", {"backend": backend}, tmp_path)
    assert isinstance(device, WorkerDevice)
    devices.append(device)
    assert run(device) == Report(Status.DONE, {"shaken_s": 1})


def test_every_backend_that_can_be_named_is_there() -> None:
    from drivers.pylabrobot_incubator import backend_of

    for name in BACKENDS:
        options = {"port": "/dev/x"} if name == "bioshake" else {}
        assert isinstance(backend_of({"backend": name, **options}, BACKENDS)(), shaking.ShakerBackend)


def test_a_port_that_another_program_has_is_not_touched_and_ours_is_nobody_elses(
    tmp_path: Path, devices: list[WorkerDevice]
) -> None:
    """PyLabRobot itself opens a port whoever has it, and reads the other program's answers away."""
    emulator = BioShake3000(EmulatedTime())
    with WireServer(emulator, tmp_path) as server:
        port = str(server.pty_path)
        other = Wire(port)
        other.open()
        bridge = pylabrobot.make("shaker", {"backend": "bioshake", "port": port}, tmp_path / "lab")
        assert isinstance(bridge, WorkerDevice)
        devices.append(bridge)
        report = run(bridge)
        assert report.status is Status.FAILED
        assert f"port {port} is in use by another program (two controllers on one port?)" in report.message
        assert "the rotor was not started" in report.message
        assert server.frames == []
        other.close()
        ours = Loop()
        machine = SimpleNamespace(backend=SimpleNamespace(io=SimpleNamespace(port=port)), setup=asyncio.Event().wait)
        with pytest.raises(NeedsOperator, match="TimeoutError"):
            ours.start(machine, Deadline.after(0.1))
        with pytest.raises(NeedsOperator, match="two controllers on one port"):
            other.open()
        ours.let_go(machine, Deadline.after(1.0))
        ours.close()
        other.open()
        other.close()


def test_an_emulated_bioshake_hears_nothing_until_it_has_told_of_its_start_and_some_seconds_more() -> None:
    emulator = BioShake3000(EmulatedTime(0.0))
    said, silent_s = list(emulator.answer(b"resetDevice\r")), []
    for _ in range(60):
        emulator.time.skip(0.5)
        said += (news := emulator.unasked())
        if news:
            silent_s.append(emulator.time.now_s())
        if not emulator.answer(b"getShakeState\r"):
            deaf_s = emulator.time.now_s()
    assert (said[0], said[-1]) == (b"BioShake 3000-T elm\r\n", b"Initialization complete\r\n")
    assert max(b - a for a, b in zip([0.0, *silent_s], silent_s, strict=False)) < 2.0
    assert silent_s[-1] == 20.0
    assert deaf_s == 23.5
    assert emulator.answer(b"shakeGoHome\r") == [b"ok\r\n"]


@pytest.mark.long  # the package's own deadlines are of the wall, which a loaded machine does not keep
def test_the_backend_of_the_package_shakes_a_bioshake(tmp_path: Path, devices: list[WorkerDevice]) -> None:
    """PyLabRobot's own words on the wire of our emulator, at normal speed; its least ramp is one second."""
    emulator = BioShake3000(EmulatedTime())
    emulator.physics.put("P1")
    with WireServer(emulator, tmp_path) as server, closing(Voice(emulator, server)):
        options = {"backend": "bioshake", "port": str(server.pty_path.resolve()), "ramp_s": 2, "tolerance_s": 4.0}
        device = pylabrobot.make("shaker", options, tmp_path / "lab")
        assert isinstance(device, WorkerDevice)
        devices.append(device)
        report = run(device, ShakePlate("P1", 600, 2))
        assert report == Report(Status.DONE, {"shaken_s": 2})
        with emulator.lock:
            assert [shake.speed_rpm for shake in emulator.physics.shakes] == [600]
            assert not emulator.physics.is_clamped
            assert not emulator.physics.violations
