"""The STX Driver service as an incubator: what every incubator promises, with every fault, and a process that ends."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from incubator_rig import PACE
from liconic_service_rig import GO, ServiceLab

from drivers import liconic_service
from drivers import liconic_service_words as words
from drivers.ports import FetchPlate, Report, Status, StorePlate
from nextplate.errors import DeviceError, SettingsError
from sim.wire.faults import Fault, WireFault
from sim.wire.hotel import Jam

pytestmark = [
    pytest.mark.usefixtures("no_power_cuts", "brisk_sockets"),
    # pyserial 3.5 leaves a socket that its peer has reset to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]
COMMANDS = {"store": StorePlate("P1"), "fetch": FetchPlate("P1")}
PATIENT = replace(PACE, handling_s=2.5, connect_s=1.5)


@pytest.fixture(params=sorted(COMMANDS))
def verb(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def lab(verb: str, tmp_path: Path) -> Iterator[ServiceLab]:
    lab = ServiceLab(tmp_path, pace=PATIENT)
    if verb == "store":
        lab.put_on_station("P1")
    else:
        lab.shelve("P1")
    yield lab
    lab.close()


def run(lab: ServiceLab, verb: str) -> Report:
    lab.device.submit(COMMANDS[verb], "k")
    return lab.finish("k")


def believe(lab: ServiceLab, verb: str, report: Report) -> None:
    """Hold a report against the truth."""
    place, at_first = lab.where("P1"), "station" if verb == "store" else "slot 1"
    assert lab.moves() <= 1
    assert not lab.hotel.violations
    if report.status is Status.DONE:
        assert place == (f"slot {report.result['slot']}" if verb == "store" else "station")
    elif "nothing moved" in report.message:
        assert (place, lab.moves()) == (at_first, 0)
    else:
        assert "look" in report.message
    contents = lab.inventory.contents()
    for slot, plate in contents.slots.items():
        assert slot in contents.doubts or lab.where(plate) == f"slot {slot}"


def test_a_plate_goes_once_however_often_its_key_is_submitted(lab: ServiceLab, verb: str):
    report = run(lab, verb)
    assert report.status is Status.DONE, report
    believe(lab, verb, report)
    lab.restart()
    lab.device.submit(COMMANDS[verb], "k")
    assert lab.device.poll("k") == lab.device.lookup("k") == report
    assert lab.moves() == 1


@pytest.mark.parametrize("kind", list(WireFault))
def test_a_fault_on_the_move(lab: ServiceLab, verb: str, kind: WireFault):
    lab.server.faults.add(Fault(kind, 1, match=GO, data=b"1\r\n", wait_s=0.12))
    report = run(lab, verb)
    believe(lab, verb, report)
    if kind in (WireFault.LOST_REPLY, WireFault.GARBLED_REPLY, WireFault.CUT_REPLY, WireFault.LATE_REPLY):
        assert report.status is Status.DONE, "the sensors tell that it moved, whatever the answer was"


@pytest.mark.parametrize("nth", [2, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 10))])
@pytest.mark.parametrize("kind", list(WireFault))
def test_a_fault_on_any_call(lab: ServiceLab, verb: str, kind: WireFault, nth: int):
    lab.server.faults.add(Fault(kind, nth, data=b"1\r\n", wait_s=0.12))
    believe(lab, verb, run(lab, verb))


@pytest.mark.parametrize("jam", list(Jam))
def test_a_jam_is_somebodys_to_look_at(lab: ServiceLab, verb: str, jam: Jam):
    lab.hotel.jam = jam
    report = run(lab, verb)
    assert report.status in (Status.UNKNOWN, Status.FAILED)
    believe(lab, verb, report)


def test_a_service_without_contact_and_an_open_door(lab: ServiceLab, verb: str):
    lab.emulator.is_lost = True
    assert "no contact" in run(lab, verb).message
    lab.emulator.is_lost, lab.hotel.is_door_open = False, True
    lab.device.submit(COMMANDS[verb], "again")
    assert "door is open" in lab.finish("again").message
    assert lab.moves() == 0


def test_a_process_that_ends_on_the_way_leaves_the_plate_to_the_next(lab: ServiceLab, verb: str):
    lab.time.run_at(0.0)
    lab.device.submit(COMMANDS[verb], "k")
    while not lab.hotel.is_moving:
        time.sleep(0.002)
    n_frames = len(lab.server.frames)
    lab.restart()
    lab.device.poll("k")
    while len(lab.server.frames) < n_frames + 4:
        time.sleep(0.002)  # until it has looked: what moves then was not moved by a person
    lab.time.run_at(1000.0)
    report = lab.finish("k")
    assert report.status is Status.DONE, report
    believe(lab, verb, report)


def test_10_000_mutated_replies_pass_for_nothing_else():
    rng = np.random.default_rng(5)
    good = ("1", "1;1", "23", "-1", "36.9;94.0;4.98;0.0", "255", "0")
    right = {
        words.stand: lambda r: r.isdecimal() and int(r) < 256,
        lambda r: words.succeeded(r, "q"): lambda r: r in ("1", "1;1"),
        words.climate: lambda r: len(r.split(";")) == 4,
    }
    for n in range(10_000):
        chars = list(good[int(rng.integers(len(good)))])
        at = int(rng.integers(len(chars) + 1))
        chars[at : at + int(rng.integers(2))] = [chr(int(rng.integers(0x20, 0x7F) if n % 3 else rng.integers(1024)))]
        reply = "".join(chars)
        for parse, is_right in right.items():
            try:
                parse(reply)
            except DeviceError:
                continue
            assert is_right(reply), reply


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("imager", {}, "is for an incubator"),
        ("incubator", {"port": "/dev/x", "cassettes": 1, "levels": 1}, "should be socket://"),
        ("incubator", {"port": "socket://a:1", "levels": 1}, "'cassettes' is missing"),
        ("incubator", {"port": "socket://a:1", "cassettes": 1, "levels": 1, "id": "A,B"}, "should be the letters"),
    ],
)
def test_options_are_checked(kind: str, options: dict[str, object], expected: str, tmp_path: Path):
    with pytest.raises(SettingsError, match=re.escape(expected)):
        liconic_service.make(kind, options, tmp_path)
