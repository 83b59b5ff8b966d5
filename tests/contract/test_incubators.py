"""What every incubator promises, the simulated one and each driver on its emulator's wire.

Held against the truth of the lab: a plate is where the device says, and it moved once.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from incubator_rig import LABS, PACE, IncubatorLab, WireLab

from drivers.ports import FetchPlate, Status, StorePlate
from nextplate.errors import NeedsOperator, Transient

pytestmark = pytest.mark.usefixtures("no_power_cuts")


def has_many_slots(lab: IncubatorLab) -> None:
    """Skip a test for a drawer, which holds one plate; tests/contract/test_inheco.py has its own."""
    if isinstance(lab, WireLab) and lab.wired.is_drawer:
        pytest.skip("it has one slot")


WIRES = [name for name in LABS if name != "sim"]


@pytest.fixture(params=sorted(LABS))
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[IncubatorLab]:
    lab = LABS[request.param](tmp_path)
    yield lab
    lab.close()


@pytest.fixture(params=sorted(WIRES))
def wired(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WireLab]:
    lab = LABS[request.param](tmp_path)
    assert isinstance(lab, WireLab)
    yield lab
    lab.close()
    assert not lab.hotel.violations


def test_a_plate_goes_in_and_comes_out_once(lab: IncubatorLab):
    lab.put_on_station("P1")
    lab.device.submit(StorePlate("P1"), "in")
    report = lab.finish("in")
    assert report.status is Status.DONE
    assert lab.where("P1") == f"slot {int(report.result['slot'])}"
    lab.device.submit(FetchPlate("P1"), "out")
    report = lab.finish("out")
    assert report.status is Status.DONE
    assert not report.result
    assert lab.where("P1") == "station"
    assert lab.moves() == 2


def test_two_plates_do_not_share_a_slot(lab: IncubatorLab):
    has_many_slots(lab)
    for barcode in ("P1", "P2"):
        lab.put_on_station(barcode)
        lab.device.submit(StorePlate(barcode), barcode)
        assert lab.finish(barcode).status is Status.DONE
    assert len({lab.where("P1"), lab.where("P2")}) == 2
    lab.device.submit(FetchPlate("P2"), "out")
    assert lab.finish("out").status is Status.DONE
    assert lab.where("P2") == "station"
    assert lab.where("P1").startswith("slot")


def test_a_key_moves_once_however_often_it_is_submitted(lab: IncubatorLab):
    lab.put_on_station("P1")
    for _ in range(3):
        lab.device.submit(StorePlate("P1"), "in")
    report = lab.finish("in")
    lab.restart()
    lab.device.submit(StorePlate("P1"), "in")
    assert lab.device.poll("in") == lab.device.lookup("in") == report
    assert lab.moves() == 1


@pytest.mark.parametrize(
    ("arrange", "command", "expected"),
    [
        (lambda lab: None, StorePlate("P1"), "station"),
        (lambda lab: None, FetchPlate("P1"), "not in the incubator"),
        (lambda lab: _stored_and_other_on_station(lab), FetchPlate("P1"), "occupied"),
    ],
    ids=["no-plate", "not-inside", "station-occupied"],
)
def test_what_is_not_possible_fails_and_moves_nothing(
    lab: IncubatorLab, arrange: Callable[[IncubatorLab], None], command: object, expected: str
):
    if expected == "occupied":
        has_many_slots(lab)
    arrange(lab)
    before, place = lab.moves(), lab.where("P1")
    lab.device.submit(command, "k")
    report = lab.finish("k")
    assert report.status is Status.FAILED
    assert expected in report.message
    assert lab.moves() == before
    assert lab.where("P1") == place


def _stored_and_other_on_station(lab: IncubatorLab) -> None:
    lab.put_on_station("P1")
    lab.device.submit(StorePlate("P1"), "in")
    assert lab.finish("in").status is Status.DONE
    lab.put_on_station("P2")


def test_a_device_busy_with_one_command_takes_no_other(lab: IncubatorLab):
    lab.put_on_station("P1")
    lab.device.submit(StorePlate("P1"), "in")
    with pytest.raises(Transient, match="busy"):
        lab.device.submit(FetchPlate("P2"), "other")
    assert lab.device.lookup("other").status is Status.NOT_FOUND
    assert lab.finish("in").status is Status.DONE


def test_what_it_never_had_is_not_found_and_what_is_no_command_is_refused(lab: IncubatorLab):
    assert lab.device.poll("nobody").status is lab.device.lookup("nobody").status is Status.NOT_FOUND
    with pytest.raises(NeedsOperator, match="does not take"):
        lab.device.submit("make coffee", "k")
    assert lab.device.lookup("k").status is Status.NOT_FOUND


def test_no_verb_waits_for_the_device(wired: WireLab):
    wired.time.run_at(0.0)
    wired.put_on_station("P1")
    for verb in (
        lambda: wired.device.submit(StorePlate("P1"), "in"),
        lambda: wired.device.poll("in"),
        lambda: wired.device.lookup("in"),
    ):
        began = time.monotonic()
        verb()
        assert time.monotonic() - began < 5.0  # the device stands still for good
    assert wired.device.poll("in").status is Status.RUNNING
    wired.time.run_at(1000.0)
    assert wired.finish("in").status is Status.DONE


def test_the_inventory_agrees_with_the_shelves(wired: WireLab):
    has_many_slots(wired)
    wired.stored("P1").stored("P2")
    contents = wired.inventory.contents()
    assert contents.slots == wired.hotel.slots
    assert not contents.doubts
    wired.device.submit(FetchPlate("P1"), "out")
    assert wired.finish("out").status is Status.DONE
    assert wired.inventory.contents().slots == wired.hotel.slots


def test_a_look_at_the_device_tells_sensors_climate_and_contents_and_moves_nothing(wired: WireLab):
    wired.stored("P1")
    seen = wired.device.inspect(2.0)  # type: ignore[attr-defined]
    assert seen["device"]
    assert seen["sensors"]["is_ready"]
    assert not seen["sensors"]["has_station_plate"]
    assert seen["climate"]["temperature_c"] == 36.9
    assert seen["climate"]["temperature_set_c"] == 37.0
    assert seen["climate"].get("humidity_percent") == (None if wired.wired.is_drawer else 94.0)
    assert seen["plates"] == {"1": "P1"}
    assert wired.moves() == 0


def test_every_byte_is_in_the_log_and_the_log_plays_the_device(wired: WireLab, tmp_path: Path):
    wired.stored("P1")
    wired.device.close()  # type: ignore[attr-defined]
    text = wired.log_path.read_text()
    sent = b"".join(bytes.fromhex(line.split(" | ")[0].split(" > ")[1]) for line in text.splitlines() if " > " in line)
    assert sent == b"".join(wired.server.frames)
    again = _Replayed(wired, tmp_path / "again")
    again.device.submit(StorePlate("P1"), "again")
    assert again.finish("again") == wired.device.poll("prepare-P1")
    again.device.close()  # type: ignore[attr-defined]


class _Replayed(WireLab):
    """The same driver with a fresh memory on the log of another lab, and no device at all."""

    def __init__(self, of: WireLab, folder: Path) -> None:
        self._folder, self._of, self._pace = folder, of, PACE
        self.wired, self.hotel = of.wired, of.hotel
        folder.mkdir()
        self.open()

    @property
    def port(self) -> str:
        return f"replay://{self._of.log_path}"
