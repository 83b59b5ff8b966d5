"""Every driver of an incubator with every fault of its wire and of its mechanics.

Whatever happens: the command ends in time, a success is one, "nothing moved" is true, no plate moves twice, and the
inventory says nothing certain that is wrong.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from incubator_rig import BRISK, MOST_S, PACE, WIRED, WireLab, blind_liconic

from drivers.incubator_handler import Pace
from drivers.ports import FetchPlate, Report, Status, StorePlate
from sim.wire.faults import Fault, WireFault
from sim.wire.hotel import Jam
from sim.wire.liconic import LiconicStx

pytestmark = pytest.mark.usefixtures("no_power_cuts")
COMMANDS = {"store": StorePlate("P1"), "fetch": FetchPlate("P1")}
FORGED = {"liconic": b"1\r\n", "cytomat": b"bs 82\r\n", "inheco": b"\xb21\xb2 `"}
"""Answers that would pass for a motion's happy end."""


LATER = [pytest.param(n, marks=pytest.mark.long) for n in range(1, 40) if n != 9]


@pytest.fixture(params=sorted(WIRED))
def driver(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=sorted(COMMANDS))
def verb(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def lab(driver: str, verb: str, tmp_path: Path) -> Iterator[WireLab]:
    lab = ready(tmp_path, driver, verb)
    yield lab
    lab.close()


@pytest.fixture
def brisk(driver: str, verb: str, tmp_path: Path) -> Iterator[WireLab]:
    """A lab in which a command that does not end is given up soon."""
    lab = ready(tmp_path, driver, verb, pace=BRISK)
    yield lab
    lab.close()


def ready(folder: Path, driver: str, verb: str, via: str = "pty", pace: Pace = PACE) -> WireLab:
    """Open a lab in which a command is possible; P1 is on the station or inside."""
    lab = WireLab(folder, driver, via, pace=pace)
    if verb == "store":
        lab.put_on_station("P1")
    else:
        lab.shelve("P1")
    lab.server.frames.clear()
    return lab


def run(lab: WireLab, verb: str, key: str = "k") -> Report:
    began = time.monotonic()
    lab.device.submit(COMMANDS[verb], key)
    report = lab.finish(key)
    assert time.monotonic() - began < MOST_S + 30.0
    return report


def believe(lab: WireLab, verb: str, report: Report) -> None:
    """Hold a report against the truth."""
    place, at_first = lab.where("P1"), "station" if verb == "store" else "slot 1"
    assert lab.moves() <= 1
    assert not lab.hotel.violations
    if report.status is Status.DONE:
        assert place == (f"slot {report.result['slot']}" if verb == "store" else "station")
        assert lab.moves() == 1
    elif "nothing moved" in report.message:
        assert (place, lab.moves()) == (at_first, 0)
    else:
        assert "look" in report.message or (place, lab.moves()) == (at_first, 0)
    contents = lab.inventory.contents()
    for slot, plate in contents.slots.items():
        assert slot in contents.doubts or lab.where(plate) == f"slot {slot}"
    if place.startswith("slot"):
        slot = int(place.split()[1])
        assert slot in contents.doubts or contents.slots.get(slot) == "P1"


def fault(kind: WireFault, nth: int, driver: str, match: str = "") -> Fault:
    data = FORGED[driver] if kind is WireFault.UNSOLICITED else b""
    return Fault(kind, nth, match=match, data=data, wait_s=0.12)


@pytest.mark.parametrize("kind", list(WireFault))
def test_a_fault_on_the_frame_that_moves(lab: WireLab, driver: str, verb: str, kind: WireFault):
    lab.server.faults.add(fault(kind, 1, driver, match=WIRED[driver].go))
    report = run(lab, verb)
    believe(lab, verb, report)
    if kind in (WireFault.LOST_REPLY, WireFault.GARBLED_REPLY, WireFault.CUT_REPLY, WireFault.LATE_REPLY,
                WireFault.UNSOLICITED, WireFault.PORT_GONE):  # fmt: skip
        assert report.status is Status.DONE, "the sensors tell that it moved, whatever the answer was"


@pytest.mark.parametrize("nth", [9, *LATER])
@pytest.mark.parametrize("kind", list(WireFault))
def test_a_fault_on_any_frame(lab: WireLab, driver: str, verb: str, kind: WireFault, nth: int):
    lab.server.faults.add(fault(kind, nth, driver))
    believe(lab, verb, run(lab, verb))


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 20))])
def test_a_wire_on_which_every_fifth_frame_goes_wrong(lab: WireLab, driver: str, verb: str, seed: int):
    lab.server.faults.seed = seed
    kinds = [kind for kind in WireFault if kind is not WireFault.PORT_GONE]
    for n in range(60):
        lab.server.faults.add(fault(kinds[(7 * n + seed) % len(kinds)], 5 * n + 1 + seed, driver))
    believe(lab, verb, run(lab, verb))


@pytest.mark.parametrize("forged", [True, False])
def test_an_answer_that_lies_once_is_not_believed(lab: WireLab, driver: str, verb: str, forged: bool):
    """A single flipped digit says ready, or the plate there; one reading is no proof."""
    lies = {
        "liconic": (b"1\r\n", b"0\r\n", "RD 1(915|813)"),
        "cytomat": (b"bs 82\r\n", b"bs 02\r\n", "ch:bs"),
        "inheco": (b"\xb21\xb2 `", b"\xb20\xb2 `", "R(DS|LW)"),
    }[driver]
    lab.server.faults.add(*(
        Fault(WireFault.GARBLED_REPLY, n, match=lies[2], data=lies[0] if forged else lies[1]) for n in range(5, 60, 5)
    ))  # fmt: skip
    believe(lab, verb, run(lab, verb))


@pytest.mark.parametrize("jam", list(Jam))
def test_a_plate_that_sticks(brisk: WireLab, driver: str, verb: str, jam: Jam):
    lab = brisk
    lab.hotel.jam = jam
    report = run(lab, verb)
    believe(lab, verb, report)
    assert report.status is not Status.DONE
    if jam is Jam.PICK and verb == "store":
        assert report.status is Status.FAILED
        still = "was not taken from the station" if driver == "inheco" else "still stands on the transfer station"
        assert still in report.message
    if jam is not Jam.PICK:
        assert report.status is Status.UNKNOWN
        assert lab.where("P1") == "shovel"
        assert "plate P1" in report.message or "look at the incubator" in report.message


def test_after_a_plate_stuck_nothing_moves_until_somebody_looked(driver: str, verb: str, tmp_path: Path):
    lab = ready(tmp_path, driver, verb, pace=replace(PACE, handling_s=2.0, connect_s=2.0))  # an Inheco takes all of it
    lab.hotel.jam = Jam.PUT
    assert run(lab, verb).status is Status.UNKNOWN
    lab.restart()
    assert lab.device.lookup("k").status is Status.UNKNOWN, "told once, it is a person's"
    for command, key in ((StorePlate("P2"), "other"), (FetchPlate("P1"), "more")):
        lab.device.submit(command, key)
        report = lab.finish(key)
        assert report.status is Status.FAILED
        assert "nothing moved" in report.message
    assert lab.moves() == 0
    lab.close()


def test_a_slot_that_is_not_as_the_inventory_says(lab: WireLab, driver: str, verb: str):
    if driver == "inheco":
        pytest.skip("its sensor sees what is in its one slot; tests/contract/test_inheco.py")
    with lab.emulator.lock:
        if verb == "fetch":
            lab.hotel.slots.clear()
        else:
            lab.hotel.slots[1] = "P2"
    report = run(lab, verb)
    assert report.status in (Status.UNKNOWN, Status.FAILED)
    assert "look" in report.message
    assert "nothing moved" not in report.message or lab.moves() == 0
    assert 1 in lab.inventory.contents().doubts


def test_power_lost_in_the_midst_of_a_motion(brisk: WireLab, driver: str, verb: str):
    """Where the device forgets, the driver sees that it did, and asks a person."""
    lab = brisk
    lab.time.run_at(0.0)
    lab.device.submit(COMMANDS[verb], "k")
    _until(lambda: lab.hotel.is_moving)
    lab.time.skip(10.0)
    lab.emulator.power_cycle()
    lab.time.run_at(1000.0)
    report = lab.finish("k")
    believe(lab, verb, report)
    assert report.status is Status.UNKNOWN
    assert lab.where("P1") == "shovel"


@pytest.mark.parametrize("verb", ["store"])
@pytest.mark.parametrize("driver", ["liconic"])
def test_without_a_sensor_on_the_shovel(driver: str, verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Plates go in and out; a fetch that shows nothing is a person's, as the plate may lie on the shovel."""
    blind = replace(WIRED["liconic"], handler=blind_liconic)
    monkeypatch.setitem(WIRED, "liconic", blind)  # type: ignore[arg-type]
    lab = ready(tmp_path, driver, verb)
    assert run(lab, "store").status is Status.DONE
    assert run(lab, "fetch", "out").status is Status.DONE
    lab.hotel.log.clear()
    assert run(lab, "store", "in").status is Status.DONE
    lab.server.faults.add(Fault(WireFault.LOST_REQUEST, match="ST 1905"))
    assert run(lab, "fetch", "lost").status is Status.UNKNOWN
    lab.close()


def test_a_port_that_stays_away_in_the_midst_of_a_motion(brisk: WireLab, verb: str):
    lab = brisk
    lab.server.faults.add(Fault(WireFault.PORT_GONE, match=lab.wired.go, wait_s=60.0))
    report = run(lab, verb)
    assert report.status is Status.UNKNOWN
    assert "look at the incubator" in report.message
    assert lab.inventory.contents().doubts == {1: "P1"}


def test_a_port_that_is_not_there(brisk: WireLab, verb: str):
    lab = brisk
    lab.server.vanish(60.0)
    _until(lambda: not lab.server.pty_path.exists())
    report = run(lab, verb)
    assert report.status is Status.FAILED
    assert "nothing moved" in report.message


@pytest.mark.parametrize("via", ["pty", "socket"])
def test_two_controllers_on_one_port(driver: str, via: str, tmp_path: Path):
    lab = ready(tmp_path, driver, "store", via)
    lab.wire.open()
    other = lab.device
    lab._folder = tmp_path / "other"
    lab._folder.mkdir()
    lab.open()
    report = run(lab, "store")
    assert report.status is Status.FAILED
    assert "in use by another program" in report.message
    assert str(lab.port) in report.message
    assert lab.moves() == 0
    other.close()  # type: ignore[attr-defined]
    assert run(lab, "store", "later").status is Status.DONE
    lab.close()


@pytest.mark.parametrize("said", [b"er 04\r\n", b"?\r\n", b"OK 1.0 V3\r\n", b"01;02\r\n"])
def test_a_device_that_speaks_another_dialect(brisk: WireLab, verb: str, said: bytes):
    brisk.server.faults.add(Fault(WireFault.GARBLED_REPLY, times=10_000, data=said))
    report = run(brisk, verb)
    assert report.status is Status.FAILED
    assert f"answers {said.decode().strip()!r} to " in report.message
    assert report.message.endswith("nothing moved")
    assert brisk.moves() == 0


def test_a_firmware_that_lacks_a_question_is_named(tmp_path: Path):
    lab = ready(tmp_path, "liconic", "store", pace=BRISK)
    assert isinstance(lab.emulator, LiconicStx)
    lab.server.faults.add(Fault(WireFault.REFUSED, match="RD 1812", times=10_000))
    report = run(lab, "store")
    assert report.status is Status.FAILED
    assert "refused 'RD 1812': E1, it does not know this command; nothing moved" in report.message
    lab.close()


def test_a_device_just_switched_on_is_activated_and_an_open_door_keeps_plates_still(tmp_path: Path):
    lab = ready(tmp_path / "liconic", "liconic", "store", pace=replace(PACE, connect_s=0.5))
    lab.emulator.power_cycle()
    assert run(lab, "store").status is Status.DONE
    lab.close()
    lab = ready(tmp_path / "cytomat", "cytomat", "store")
    lab.hotel.is_door_open = True
    report = run(lab, "store")
    assert "door is open" in report.message
    believe(lab, "store", report)
    lab.close()


def test_a_full_disk_loses_nothing(lab: WireLab, verb: str, monkeypatch: pytest.MonkeyPatch):
    """What moved is written down as soon as there is room, and nobody is told before."""
    from drivers import key_files, worker_memory

    full = True

    def write(path: Path, content: bytes) -> None:
        if full and path.parent.name == "ended":
            raise OSError(28, "No space left on device", str(path))
        key_files.write_whole(path, content)

    monkeypatch.setattr(worker_memory, "write_whole", write)
    lab.device.submit(COMMANDS[verb], "k")
    _until(lambda: lab.moves() == 1)
    time.sleep(0.2)
    assert lab.device.poll("k").status is Status.RUNNING
    full = False
    assert lab.finish("k").status is Status.DONE


@pytest.mark.parametrize("verb", ["fetch"])
def test_an_inventory_that_is_gone_is_no_empty_hotel(lab: WireLab, verb: str):
    assert run(lab, verb).status is Status.DONE
    lab.clear_station()
    lab.inventory.path.unlink()
    lab.restart()
    lab.put_on_station("P2")
    lab.device.submit(StorePlate("P2"), "in")
    report = lab.finish("in")
    assert report.status is Status.FAILED
    assert "is gone; put it back" in report.message
    assert lab.moves() == 1, "the one before"


def _until(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + 30.0  # of a loaded machine's
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.002)
