"""A process killed at any moment of a command, and a new one on the same files: the plate moves once.

The process "dies" in its thread: from a chosen moment on, nothing it does reaches the wire or the disk. The moments
are before and after every write to the wire, before every read, and before and after every file.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from incubator_rig import WIRED, WireLab

from drivers import inventory as inventory_module
from drivers import key_files
from drivers import worker_memory as memory_module
from drivers.ports import FetchPlate, Report, Status, StorePlate
from drivers.wire import Line, LineSettings, line_at
from nextplate.errors import Transient
from sim.wire.liconic import LiconicStx
from sim.wire.server import WireServer
from sim.wire.time import EmulatedTime

pytestmark = pytest.mark.usefixtures("no_power_cuts")
COMMANDS = {"store": StorePlate("P1"), "fetch": FetchPlate("P1")}


class Killed(BaseException):
    """The process is no more."""


class Fuse:
    """Counts moments; at the chosen one, and ever after, the process is dead."""

    def __init__(self) -> None:
        self.n_moments, self.at = 0, -1

    def burn(self) -> None:
        self.n_moments += 1
        if 0 < self.at <= self.n_moments:
            raise Killed


class FusedLine:
    """A port of a process that may die."""

    def __init__(self, line: Line, fuse: Fuse) -> None:
        self.__dict__.update(_line=line, _fuse=fuse)

    def __getattr__(self, name: str) -> object:
        return getattr(self._line, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._line, name, value)

    def write(self, data: bytes) -> int | None:
        self._fuse.burn()
        n = self._line.write(data)
        self._fuse.burn()
        return n

    def read(self, size: int = 1) -> bytes:
        data = self._line.read(size)
        if data:
            self._fuse.burn()
        return data

    def close(self) -> None:
        self._line.close()


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fuse]:
    fuse = Fuse()

    def write(path: Path, content: bytes) -> None:
        fuse.burn()
        key_files.write_whole(path, content)
        fuse.burn()

    monkeypatch.setattr(memory_module, "write_whole", write)
    monkeypatch.setattr(inventory_module, "write_whole", write)
    yield fuse
    fuse.at = -1


def killed_at(moment: int, fuse: Fuse, folder: Path, driver: str, verb: str) -> WireLab:
    """Open a lab, begin the command and kill the process at a moment; 0: never."""

    def open_line(port: str, settings: LineSettings) -> Line:
        return FusedLine(line_at(port, settings), fuse)  # type: ignore[return-value]

    lab = WireLab(folder, driver)
    if verb == "store":
        lab.put_on_station("P1")
    else:
        lab.stored("P1")
        lab.clear_station()
    lab.device.close()  # type: ignore[attr-defined]
    lab.open(open_line)
    fuse.n_moments, fuse.at = 0, moment
    try:
        lab.device.submit(COMMANDS[verb], "k")
        lab.finish("k")
    except Killed:
        pass
    return lab


def taken_up_again(lab: WireLab, fuse: Fuse, verb: str) -> Report:
    """Do what the controller's loop does after a restart."""
    lab.wire.close()  # the system does that for a dead process
    fuse.at = -1
    lab.open()
    if lab.device.lookup("k").status is Status.NOT_FOUND:
        for _ in range(100):
            try:
                lab.device.submit(COMMANDS[verb], "k")
                break
            except Transient:
                lab.device.lookup("k")
    return lab.finish("k")


def moments(n_all: int, n: int, share: int) -> list[int]:
    """Choose moments: one in `share`, beginning with the nth."""
    return list(range(1 + n, n_all + 2, share))


@pytest.mark.parametrize("part", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 12))])
@pytest.mark.parametrize("verb", sorted(COMMANDS))
@pytest.mark.parametrize("driver", sorted(WIRED))
def test_killed_at_any_moment_a_plate_moves_once(driver: str, verb: str, part: int, tmp_path: Path, fuse: Fuse):
    undisturbed = killed_at(0, fuse, tmp_path / "whole", driver, verb)
    n_all, expected = fuse.n_moments, undisturbed.device.poll("k")
    undisturbed.close()
    assert expected.status is Status.DONE
    assert n_all > 20
    for moment in moments(n_all, part, 12):
        lab = killed_at(moment, fuse, tmp_path / f"{moment}", driver, verb)
        report = taken_up_again(lab, fuse, verb)
        assert report == expected, (moment, report)
        assert lab.moves() == 1, moment
        assert not lab.hotel.violations, moment
        assert lab.where("P1") == ("slot 1" if verb == "store" else "station")
        assert lab.inventory.contents().slots == lab.hotel.slots
        assert not lab.inventory.contents().doubts
        lab.close()


@pytest.mark.parametrize("driver", sorted(WIRED))
def test_killed_twice(driver: str, tmp_path: Path, fuse: Fuse):
    """The process that asks the sensors is killed too."""
    for moment in (35, 60):
        lab = killed_at(moment, fuse, tmp_path / f"{moment}", driver, "store")
        lab.wire.close()
        lab.open(lambda port, settings: FusedLine(line_at(port, settings), fuse))  # type: ignore[return-value,arg-type]
        fuse.n_moments, fuse.at = 0, 6
        lab.device.lookup("k")
        report = taken_up_again(lab, fuse, "store")
        assert report.status is Status.DONE
        assert lab.moves() == 1
        lab.close()


@pytest.mark.parametrize("driver", sorted(WIRED))
def test_a_worker_that_died_is_told_of(driver: str, tmp_path: Path, fuse: Fuse):
    lab = killed_at(12, fuse, tmp_path, driver, "store")
    report = lab.device.poll("k")
    assert report.status is Status.UNKNOWN
    assert "the worker of the incubator died: Killed()" in report.message
    assert "restart nextplate" in report.message
    lab.close()


def test_a_clean_end_leaves_the_command_to_the_next_process(tmp_path: Path):
    lab = WireLab(tmp_path, "liconic")
    lab.put_on_station("P1")
    lab.time.run_at(0.0)
    lab.device.submit(COMMANDS["store"], "k")
    while not lab.hotel.is_moving:
        time.sleep(0.002)
    lab.restart()
    assert lab.device.poll("k").status is Status.RUNNING
    lab.time.run_at(1000.0)
    assert lab.finish("k").status is Status.DONE
    assert lab.moves() == 1
    lab.close()


@pytest.mark.parametrize(
    ("shot_at", "via"), [("RD 1812", "pty"), ("WR DM5", "socket"), ("ST 1904", "pty"), ("ST 1904", "socket")]
)
def test_a_real_process_killed_by_the_system(shot_at: str, via: str, tmp_path: Path):
    """kill -9 as soon as a certain frame has reached the device; the next process does the rest."""
    clock = EmulatedTime(0.0)
    emulator = LiconicStx(clock)
    emulator.hotel.put_on_station("P1")
    with WireServer(emulator, tmp_path) as server:
        port = str(server.pty_path) if via == "pty" else server.url
        first = _started(tmp_path / "lab", port)
        while not any(frame.startswith(shot_at.encode()) for frame in server.frames):
            assert first.poll() is None
            time.sleep(0.001)
        first.send_signal(signal.SIGKILL)
        first.communicate(timeout=20)
        second = _started(tmp_path / "lab", port)
        time.sleep(0.1)
        clock.run_at(100.0)
        out, _ = second.communicate(timeout=30)
        assert second.returncode == 0
        assert out.splitlines()[-1].strip() == "end done"
        assert out.startswith("lookup done" if shot_at.startswith("ST") else "lookup not-found")
        assert emulator.hotel.slots == {1: "P1"}
        assert emulator.hotel.moves() == 1
        assert not emulator.hotel.violations


def _started(lab: Path, port: str) -> "subprocess.Popen[str]":
    script = Path(__file__).parents[1] / "support" / "incubator_process.py"
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
    arguments = [sys.executable, str(script), str(lab), port, "store", "P1", "k"]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment)
