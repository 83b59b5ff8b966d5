"""A process killed at any moment of a command to the STX Driver service, and a new one on the same files.

As test_incubator_killed.py; but the service has no sensor for the shovel. Killed between the note that a plate is to be
fetched and the frame that fetches it, the next process cannot tell whether it lies there: a person is asked, and
nothing moves. Killed after the frame and before its answer, which this service gives at the motion's end, the next
process asks a person too, unless it comes in time to see the motion.
"""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from incubator_killing import COMMANDS, WRITERS, killed_at, started, taken_up_again
from incubator_rig import WireLab
from killing import Fuse, FusedLine, burning_files
from liconic_service_rig import GO, ServiceLab

from drivers.ports import Report, Status
from drivers.wire import line_at
from sim.wire.call_server import CallServer
from sim.wire.liconic_service import StxService
from sim.wire.time import EmulatedTime

pytestmark = [
    pytest.mark.usefixtures("no_power_cuts", "brisk_sockets"),
    # pyserial 3.5 leaves a socket that its peer has reset to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]
SHARE = 12


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fuse]:
    yield from burning_files(monkeypatch, *WRITERS)


def n_asked(lab: WireLab) -> int:
    return sum(GO.encode() in frame for frame in lab.server.frames)


def believe(lab: WireLab, verb: str, report: Report, expected: Report, moment: int) -> None:
    """Hold a report against the truth: done, or not known and never asked for."""
    contents = lab.inventory.contents()
    assert not lab.hotel.violations, moment
    assert n_asked(lab) <= 1, "one frame moves a plate"
    if report == expected:
        assert lab.moves() == 1, moment
        assert lab.where("P1") == ("slot 1" if verb == "store" else "station")
        assert contents.slots == lab.hotel.slots
        assert not contents.doubts
        return
    assert report.status is Status.UNKNOWN, (moment, report)
    assert (contents.doubts, contents.taken) == ({1: "P1"}, {})
    assert "perhaps a plate on the shovel" in report.message
    assert "look where plate P1 is" in report.message
    was_sent = n_asked(lab)
    assert was_sent or verb == "fetch", "a plate on the station, and nothing sent, is certain"
    assert lab.moves() == was_sent, moment


@pytest.mark.parametrize("part", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, SHARE))])
@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_killed_at_any_moment_a_plate_moves_once_or_is_told_of(verb: str, part: int, tmp_path: Path, fuse: Fuse):
    undisturbed = killed_at(0, fuse, tmp_path / "whole", ServiceLab, verb)
    n_all, expected = fuse.n_moments, undisturbed.device.poll("k")
    undisturbed.close()
    assert expected.status is Status.DONE
    assert n_all > 40
    for moment in range(1 + part, n_all + 2, SHARE):
        lab = killed_at(moment, fuse, tmp_path / f"{moment}", ServiceLab, verb)
        believe(lab, verb, taken_up_again(lab, fuse, verb), expected, moment)
        lab.close()


def test_killed_twice(tmp_path: Path, fuse: Fuse):
    """The process that asks the sensors is killed too."""
    for moment in (25, 36):
        lab = killed_at(moment, fuse, tmp_path / f"{moment}", ServiceLab, "store")
        lab.wire.close()
        lab.open(lambda port, settings: FusedLine(line_at(port, settings), fuse))  # type: ignore[return-value,arg-type]
        fuse.n_moments, fuse.at = 0, 4
        lab.device.lookup("k")
        report = taken_up_again(lab, fuse, "store")
        believe(lab, "store", report, Report(Status.DONE, {"slot": "1"}), moment)
        assert (lab.moves(), n_asked(lab)) == (1, 1)
        lab.close()


@pytest.mark.parametrize("shot_at", ["STX2GetSysStatus", GO])
def test_a_real_process_killed_by_the_system(shot_at: str, tmp_path: Path):
    """kill -9 as soon as a certain command has reached the service; the next process does the rest."""
    clock = EmulatedTime(0.0)
    service = StxService(clock)
    service.hotel.put_on_station("P1")
    server = CallServer(service)
    try:
        first = started(tmp_path / "lab", server.url, "service")
        while not any(frame.startswith(shot_at.encode()) for frame in server.frames):
            assert first.poll() is None
            time.sleep(0.001)
        first.send_signal(signal.SIGKILL)
        first.communicate(timeout=20)
        n_frames, patience = len(server.frames), time.monotonic() + 60.0
        second = started(tmp_path / "lab", server.url, "service")
        while len(server.frames) < n_frames + 4 and time.monotonic() < patience:
            time.sleep(0.001)  # until it has looked: what moves then was not moved by a person
        clock.run_at(100.0)
        out, _ = second.communicate(timeout=30)
    finally:
        server.close()
    assert second.returncode == 0
    assert out.splitlines()[-1].strip() == "end done"
    assert out.startswith("lookup done" if shot_at == GO else "lookup not-found")
    assert service.hotel.slots == {1: "P1"}
    assert (service.hotel.moves(), sum(GO.encode() in frame for frame in server.frames)) == (1, 1)
    assert not service.hotel.violations
