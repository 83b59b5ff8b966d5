"""What every barcode reader promises, the simulated one and each driver on its emulator's wire, with every fault.

Whatever happens: the command ends, and a code that is told is the one that stood there.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from barcode_rig import LABS, WIRED, ReaderLab, WireReaderLab

from drivers.barcode_scanner import SerialScanner
from drivers.deadline import Deadline
from drivers.ports import ReadBarcode, Report, Status
from drivers.wire import Wire
from nextplate.errors import NeedsOperator, Transient
from sim.wire.faults import Fault, WireFault

pytestmark = pytest.mark.usefixtures("no_power_cuts")
LATER = [pytest.param(n, marks=pytest.mark.long) for n in range(1, 8) if n != 3]


@pytest.fixture(params=sorted(LABS))
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ReaderLab]:
    lab = LABS[request.param](tmp_path)
    yield lab
    lab.close()


@pytest.fixture(params=sorted(WIRED))
def driver(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def wired(driver: str, tmp_path: Path) -> Iterator[WireReaderLab]:
    lab = WireReaderLab(tmp_path, driver)
    lab.show("P1")
    yield lab
    lab.close()


@pytest.fixture
def brisk(driver: str, tmp_path: Path) -> Iterator[WireReaderLab]:
    """A reader that gives up soon."""
    lab = WireReaderLab(tmp_path, driver, read_s=0.4)
    yield lab
    lab.close()


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 60.0
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.002)


def say(lab: WireReaderLab, data: bytes) -> None:
    """Let the reader say something by itself, and wait until it lies on the wire."""
    n_sent = len(lab.server.sent)
    lab.server.say(data)
    until(lambda: len(lab.server.sent) > n_sent)


def read(lab: ReaderLab, expected: str = "", key: str = "k") -> Report:
    lab.device.submit(ReadBarcode(expected), key)
    return lab.finish(key)


def test_what_stands_there_is_read(lab: ReaderLab):
    lab.show("P1")
    assert replace(read(lab), ended_at=None) == Report(Status.DONE, {"barcode": "P1"})
    assert replace(read(lab, "P1", "again"), ended_at=None) == Report(Status.DONE, {"barcode": "P1"})


def test_another_plate_is_a_failure_that_tells_what_was_read(lab: ReaderLab):
    lab.show("P1")
    report = read(lab, "P2")
    assert (report.status, report.result) == (Status.FAILED, {"barcode": "P1"})
    assert "read P1, not P2" in report.message


def test_a_key_reads_once_however_often_it_is_submitted(lab: ReaderLab):
    lab.show("P1")
    for _ in range(3):
        lab.device.submit(ReadBarcode(), "k")
    report, n_reads = lab.finish("k"), lab.reads()
    lab.restart()
    lab.device.submit(ReadBarcode(), "k")
    assert lab.device.poll("k") == lab.device.lookup("k") == report
    assert lab.reads() == n_reads


def test_what_it_never_had_is_not_found_and_what_is_no_command_is_refused(lab: ReaderLab):
    assert lab.device.poll("nobody").status is lab.device.lookup("nobody").status is Status.NOT_FOUND
    with pytest.raises(NeedsOperator, match="does not take"):
        lab.device.submit("make coffee", "k")


def test_nothing_in_front_of_it_is_a_failure_without_a_barcode(brisk: WireReaderLab):
    report = read(brisk, "P1")
    assert (report.status, report.result) == (Status.FAILED, {})
    assert report.message.startswith("nothing was read: ")


def test_a_code_read_before_the_command_does_not_count(wired: WireReaderLab):
    read(wired)
    for ghost in (b"GHOST\r", b"P9\rP8\r", b"\x00\xff\r", b"GHO"):
        say(wired, ghost)
        assert read(wired, key=f"after {ghost!r}") == Report(Status.DONE, {"barcode": "P1"})


def test_two_labels_are_told_and_not_chosen_from(wired: WireReaderLab):
    wired.show("P1", "P2")
    report = read(wired, "P1")
    assert (report.status, report.result) == (Status.FAILED, {})
    assert "more than one code: P1, P2" in report.message


@pytest.mark.parametrize("kind", list(WireFault))
@pytest.mark.parametrize("nth", [1, 2])
def test_a_fault_on_the_frame_that_reads(wired: WireReaderLab, driver: str, kind: WireFault, nth: int):
    data = b"P7\r" if kind is WireFault.UNSOLICITED else b""
    wired.server.faults.add(Fault(kind, nth, match=WIRED[driver].go, data=data, wait_s=0.2))
    report = read(wired, "P1")
    assert report == Report(Status.DONE, {"barcode": "P1"}), report


@pytest.mark.parametrize("nth", [3, *LATER])
@pytest.mark.parametrize("kind", list(WireFault))
def test_a_fault_on_any_frame(wired: WireReaderLab, kind: WireFault, nth: int):
    wired.server.faults.add(Fault(kind, nth, data=b"P7\r" if kind is WireFault.UNSOLICITED else b"", wait_s=0.2))
    assert read(wired, "P1").result == {"barcode": "P1"}


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 20))])
def test_a_wire_on_which_every_fifth_frame_goes_wrong(wired: WireReaderLab, seed: int):
    wired.server.faults.seed = seed
    kinds = [kind for kind in WireFault if kind is not WireFault.PORT_GONE]
    for n in range(40):
        wired.server.faults.add(Fault(kinds[(7 * n + seed) % len(kinds)], 5 * n + 1 + seed, data=b"P7\r", wait_s=0.2))
    report = read(wired)
    assert report.result in ({"barcode": "P1"}, {})


def test_noise_alone_is_no_code(brisk: WireReaderLab):
    brisk.show("P1")
    brisk.server.faults.add(Fault(WireFault.GARBLED_REPLY, times=1000, data=b"\x80\x01?\r"))
    assert read(brisk).result == {}


def test_a_keyence_whose_motor_is_off_reads_nothing(tmp_path: Path):
    lab = WireReaderLab(tmp_path, "keyence")
    lab.show("P1")
    lab.emulator.is_motor_on = False
    assert lab.device.inspect(2.0)["motor"] == "off"  # type: ignore[attr-defined]
    report = read(lab)
    assert report.status is Status.FAILED
    assert "answers NG; is a label in front of it, and its motor on?" in report.message
    until(lambda: not lab.emulator.is_beam_on)
    lab.close()


class Listening(SerialScanner):
    """A scanner without a trigger, that tells from when on it listens."""

    def __init__(self, wire: Wire, quiet_s: float) -> None:
        super().__init__(wire, pattern="P[0-9]+", settle_s=0.05, quiet_s=quiet_s)
        self.listens = threading.Event()

    def _heard(self, first_by: Deadline, until: Deadline) -> list[str]:
        self.listens.set()
        return super()._heard(first_by, until)


def listening(folder: Path, read_s: float, quiet_s: float = 0.02) -> tuple[WireReaderLab, Listening]:
    lab = WireReaderLab(folder, "scanner", read_s=read_s)
    lab.device.close()  # type: ignore[attr-defined]
    scanners: list[Listening] = []
    lab.open(lambda wire: scanners.append(Listening(wire, quiet_s)) or scanners[0])  # type: ignore[func-returns-value]
    return lab, scanners[0]


@pytest.mark.parametrize(
    ("said", "result"),
    [
        ([b"P1\r"], {"barcode": "P1"}),
        ([b"P", b"1\r"], {"barcode": "P1"}),
        ([b"\xfe\x00\r", b"P1\r\n", b"P1\r\n"], {"barcode": "P1"}),
        ([b"P1\rP2\r"], {}),
        ([b"Q1\r"], {}),
        ([b"P1"], {}),
        ([b"\xff" * 2000], {}),
        ([], {}),
    ],
)  # fmt: skip
def test_a_scanner_that_speaks_by_itself_is_listened_to(tmp_path: Path, said: list[bytes], result: object):
    lab, scanner = listening(tmp_path, read_s=30.0 if result else 1.0)
    lab.device.submit(ReadBarcode("P1"), "k")
    assert scanner.listens.wait(60.0)
    for piece in said:
        say(lab, piece)
    assert lab.finish("k").result == result
    lab.close()


def test_the_tail_of_a_code_that_came_before_is_no_code(tmp_path: Path):
    lab, scanner = listening(tmp_path, read_s=30.0, quiet_s=0.5)
    lab.device.inspect(20.0)  # type: ignore[attr-defined]
    say(lab, b"PREFIX")
    lab.device.submit(ReadBarcode(), "k")
    say(lab, b"P12\r")
    assert scanner.listens.wait(60.0)
    say(lab, b"P1\r")
    assert lab.finish("k").result == {"barcode": "P1"}
    lab.close()


@pytest.mark.parametrize("via", ["pty", "socket"])
def test_two_controllers_on_one_port(driver: str, via: str, tmp_path: Path):
    lab = WireReaderLab(tmp_path, driver, via, read_s=0.5)
    lab.wire.open()
    other, lab.folder = lab.device, tmp_path / "other"
    lab.folder.mkdir()
    lab.open()
    assert "is in use by another program" in read(lab).message
    other.close()  # type: ignore[attr-defined]
    lab.close()


def test_a_read_that_a_killed_process_left_may_be_done_again(wired: WireReaderLab):
    from drivers.worker_memory import Memory

    memory = Memory(wired.folder / "memory")
    memory.ask("k", ReadBarcode("P1"))
    memory.begin("k", {})
    assert wired.device.lookup("k").status is Status.NOT_FOUND
    assert read(wired, "P1").status is Status.DONE
    wired.device.submit(ReadBarcode(), "one")
    with pytest.raises(Transient, match="busy"):
        wired.device.submit(ReadBarcode(), "two")
    wired.finish("one")
