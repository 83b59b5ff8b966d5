"""An EL406 that a person stops at its keypad tells of no error: what can be seen of it, and what cannot."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.el406 import make
from drivers.el406_payloads import least_s
from drivers.el406_program import least_s_of, read_program
from drivers.ports import Report, Status, WashPlate
from drivers.worker import WorkerDevice
from sim.wire.el406 import El406
from sim.wire.server import WireServer
from sim.wire.time import EmulatedTime
from sim.wire.voice import Voice

pytestmark = pytest.mark.usefixtures("no_power_cuts")
WASH = 'plate = 96\n[[step]]\ndo = "wash"\ncycles = 3\nvolume_ul = 80\n'


class Lab:
    def __init__(self, folder: Path, long_s: float) -> None:
        (folder / "programs").mkdir()
        (folder / "programs" / "w.toml").write_text(WASH)
        self.emulator = El406(EmulatedTime(1.0), step_s=long_s)
        self.emulator.wet.plate = "P1"
        self.server = WireServer(self.emulator, folder)
        self.voice = Voice(self.emulator, self.server)
        options = {"port": str(self.server.pty_path), "programs": "programs", "poll_s": 0.02, "patience_s": 0.3}
        self.device: WorkerDevice = make("washer", options, folder)

    def until(self, is_so: object) -> None:
        end = time.monotonic() + 60.0
        while not is_so():  # type: ignore[operator]
            assert time.monotonic() < end
            time.sleep(0.01)

    def begin(self) -> None:
        self.device.submit(WashPlate("P1", "w"), "k")
        self.until(lambda: self.emulator.wet.is_running)
        self.until_seen()

    def until_seen(self) -> None:
        """Wait until the driver has seen how the washer stands now: it has asked, heard, and asked again."""
        n_frames = len(self.server.frames)
        self.until(lambda: len(self.server.frames) >= n_frames + 3)

    def press(self, key: str) -> None:
        with self.emulator.lock:
            getattr(self.emulator.wet, key)()

    def report(self) -> Report:
        self.until(lambda: self.device.poll("k").status is not Status.RUNNING)
        return self.device.poll("k")

    def close(self) -> None:
        self.device.close()
        self.voice.close()
        self.server.close()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path, 4.0)
    yield lab
    lab.close()


def test_a_wash_stopped_sooner_than_it_can_be_done_is_a_persons(lab: Lab):
    lab.begin()
    lab.press("stop")
    report = lab.report()
    assert report.status is Status.UNKNOWN
    assert "needs 3 s or more; was it stopped at its keypad?" in report.message
    assert "look at plate P1" in report.message


def test_a_wash_stopped_while_it_was_paused_is_a_persons(lab: Lab):
    lab.begin()
    lab.press("pause")
    time.sleep(3.2)  # it would be long enough
    lab.until_seen()
    lab.press("stop")
    report = lab.report()
    assert report.status is Status.UNKNOWN
    assert "paused when last seen at work" in report.message


def test_one_that_was_paused_and_went_on_is_done(lab: Lab):
    lab.begin()
    lab.press("pause")
    lab.until_seen()
    lab.press("resume")
    assert lab.report() == Report(Status.DONE, {"program": "w"})


def test_how_long_a_step_takes_at_least(tmp_path: Path):
    (tmp_path / "w.toml").write_text(
        WASH + "shake_s = 5\nsoak_s = 7\naspirate_delay_ms = 500\nfinal_delay_ms = 250\n"
        '[[step]]\ndo = "raw"\ncommand = "A3"\ndata = "04 00"\n[[step]]\ndo = "dispense"\nvolume_ul = 80\n'
    )
    program = read_program(tmp_path, "w", may_empty=True)
    assert [least_s_of(program, n) for n in range(3)] == [16.75, 0.0, 0.0]
    assert least_s({"shake_s": 2, "soak_s": 3}) == 5.0
