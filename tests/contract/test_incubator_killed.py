"""A process killed at any moment of a command, and a new one on the same files: the plate moves once.

The process "dies" in its thread: from a chosen moment on, nothing it does reaches the wire or the disk. The moments
are before and after every write to the wire, before every read, and before and after every file.
"""

import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from incubator_killing import COMMANDS, WRITERS, killed_at, started, taken_up_again
from incubator_rig import WIRED, WireLab
from killing import Fuse, FusedLine, burning_files

from drivers.ports import Status
from drivers.wire import line_at
from sim.wire.liconic import LiconicStx
from sim.wire.server import WireServer
from sim.wire.time import EmulatedTime

pytestmark = pytest.mark.usefixtures("no_power_cuts")


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fuse]:
    yield from burning_files(monkeypatch, *WRITERS)


@pytest.mark.parametrize("part", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 12))])
@pytest.mark.parametrize("verb", sorted(COMMANDS))
@pytest.mark.parametrize("driver", sorted(WIRED))
def test_killed_at_any_moment_a_plate_moves_once(driver: str, verb: str, part: int, tmp_path: Path, fuse: Fuse):
    undisturbed = killed_at(0, fuse, tmp_path / "whole", partial(WireLab, driver=driver), verb)
    n_all, expected = fuse.n_moments, undisturbed.device.poll("k")
    undisturbed.close()
    assert expected.status is Status.DONE
    assert n_all > 20
    n_asked = 0
    for moment in range(1 + part, n_all + 2, 12):
        lab = killed_at(moment, fuse, tmp_path / f"{moment}", partial(WireLab, driver=driver), verb)
        report = taken_up_again(lab, fuse, verb)
        assert lab.moves() == 1, moment
        assert not lab.hotel.violations, moment
        contents = lab.inventory.contents()
        if report.status is Status.UNKNOWN:
            # between the frame and its answer; it had ended before anybody looked again: as a person at the station
            assert contents.doubts == {1: "P1"}, (moment, report)
            assert not contents.taken, moment
            assert "look where plate P1 is" in report.message
            n_asked += 1
            lab.close()
            continue
        assert report == expected, (moment, report)
        assert lab.where("P1") == ("slot 1" if verb == "store" else "station")
        assert lab.inventory.contents().slots == lab.hotel.slots
        assert not contents.doubts
        assert not contents.taken
        lab.close()
    assert n_asked <= 2


def _stays_out(lab: WireLab) -> None:
    """A person takes the plate off the station, or puts another one there."""
    if not lab.hotel.take_from_station():
        lab.hotel.put_on_station("P2")


@pytest.mark.parametrize("verb", sorted(COMMANDS))
@pytest.mark.parametrize("driver", sorted(WIRED))
def test_a_person_at_the_station_after_a_kill_is_no_motion(driver: str, verb: str, tmp_path: Path, fuse: Fuse):
    """Killed at each moment before the frame that moves: the station's change is nobody's proof."""
    moment, n_moves = 0, 0
    while not n_moves:
        moment += 4
        lab = killed_at(moment, fuse, tmp_path / f"{moment}", partial(WireLab, driver=driver), verb)
        time.sleep(0.02)
        if not (n_moves := lab.moves()):
            was_inside = dict(lab.hotel.slots)
            _stays_out(lab)
            lab.wire.close()
            fuse.at = -1
            lab.open()
            report, contents = lab.device.lookup("k"), lab.inventory.contents()
            assert report.status in (Status.NOT_FOUND, Status.UNKNOWN), (moment, report)
            assert contents.doubts or contents.slots == was_inside, moment
            assert lab.moves() == 0
        lab.close()
    assert moment >= 16


@pytest.mark.parametrize("driver", sorted(WIRED))
def test_killed_twice(driver: str, tmp_path: Path, fuse: Fuse):
    """The process that asks the sensors is killed too."""
    for moment in (35, 60):
        lab = killed_at(moment, fuse, tmp_path / f"{moment}", partial(WireLab, driver=driver), "store")
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
    lab = killed_at(12, fuse, tmp_path, partial(WireLab, driver=driver), "store")
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
    n_frames = len(lab.server.frames)
    lab.restart()
    assert lab.device.poll("k").status is Status.RUNNING
    while len(lab.server.frames) < n_frames + 4:
        time.sleep(0.002)  # until it has looked: what moves then was not moved by a person
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
        first = started(tmp_path / "lab", port)
        while not any(frame.startswith(shot_at.encode()) for frame in server.frames):
            assert first.poll() is None
            time.sleep(0.001)
        first.send_signal(signal.SIGKILL)
        first.communicate(timeout=20)
        n_frames, patience = len(server.frames), time.monotonic() + 60.0
        second = started(tmp_path / "lab", port)
        while len(server.frames) < n_frames + 4 and time.monotonic() < patience:
            time.sleep(0.001)  # until it has looked: what moves then was not moved by a person
        clock.run_at(100.0)
        out, _ = second.communicate(timeout=30)
        assert second.returncode == 0
        assert out.splitlines()[-1].strip() == "end done"
        assert out.startswith("lookup done" if shot_at.startswith("ST") else "lookup not-found")
        assert emulator.hotel.slots == {1: "P1"}
        assert emulator.hotel.moves() == 1
        assert not emulator.hotel.violations
