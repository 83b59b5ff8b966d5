"""What only an Inheco does: one slot that is its own station, a drawer that a person moves, firmware of several kinds.

What it shares with every incubator and every shaker is proven in their suites.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import shaker_rig
from incubator_rig import BRISK, REPLY_S, WIRED, WireLab
from shaker_rig import WireShakerLab

from drivers import inheco_drawer
from drivers.deadline import Deadline
from drivers.inheco_incubator import InhecoIncubator
from drivers.inheco_link import SETTINGS, Link
from drivers.inheco_shaker import InhecoShaker
from drivers.inheco_unit import Unit
from drivers.ports import FetchPlate, Report, ShakePlate, Status, StorePlate
from drivers.wire import Wire
from nextplate.errors import NeedsOperator
from sim.wire.faults import Fault, WireFault
from sim.wire.hotel import Jam
from sim.wire.inheco import IncubatorShaker
from sim.wire.rotor import Phase
from sim.wire.server import WireServer
from sim.wire.time import EmulatedTime

pytestmark = pytest.mark.usefixtures("no_power_cuts")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[WireLab]:
    lab = WireLab(tmp_path, "inheco", pace=BRISK)
    yield lab
    lab.close()
    assert not lab.hotel.violations


def incubator(lab: WireLab) -> IncubatorShaker:
    assert isinstance(lab.emulator, IncubatorShaker)
    return lab.emulator


def run(lab: WireLab, command: object, key: str) -> Report:
    lab.device.submit(command, key)
    return lab.finish(key)


def test_nights_one_after_another(lab: WireLab) -> None:
    """The arm finds the drawer open after each fetch, and puts the next plate there."""
    for night in range(3):
        barcode = f"P{night}"
        lab.put_on_station(barcode)
        assert run(lab, StorePlate(barcode), f"in-{night}") == Report(Status.DONE, {"slot": "1"})
        assert lab.where(barcode) == "slot 1"
        assert run(lab, FetchPlate(barcode), f"out-{night}") == Report(Status.DONE)
        with lab.emulator.lock:
            assert lab.hotel.take_from_station() == barcode
    assert lab.moves() == 6


@pytest.mark.parametrize("sees_open", [True, False])
def test_a_sensor_that_sees_no_plate_in_an_open_drawer(
    sees_open: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With option sees_open = false a night goes well, and a plate that the arm lost is told once the drawer closed."""
    blind = replace(
        WIRED["inheco"],
        emulator=lambda clock: IncubatorShaker(clock, handling_s=20.0, sees_open=False),
        handler=lambda wire: InhecoIncubator(Unit(Link(wire, dip=2, unit=0, reply_s=REPLY_S)), sees_open=sees_open),
    )
    monkeypatch.setitem(WIRED, "inheco", blind)  # type: ignore[arg-type]
    lab = WireLab(tmp_path, "inheco", pace=BRISK)
    lab.put_on_station("P1")
    report = run(lab, StorePlate("P1"), "in")
    if not sees_open:
        assert report.status is Status.DONE
        assert run(lab, FetchPlate("P1"), "out").status is Status.DONE
        lab.clear_station()
        report = run(lab, StorePlate("P2"), "lost")
        assert report.status is Status.UNKNOWN
        assert "look where plate P2 is" in report.message
        assert lab.inventory.contents().doubts == {1: "P2"}
    else:
        assert report.status is Status.FAILED
        assert "no plate stands on the incubator's transfer station" in report.message
    lab.close()


def test_a_plate_that_is_gone_is_not_fetched_and_nothing_moves(lab: WireLab) -> None:
    lab.stored("P1")
    with lab.emulator.lock:
        incubator(lab).physics.plate = None
    report = run(lab, FetchPlate("P1"), "out")
    assert report.status is Status.FAILED
    assert report.message == "no plate is in the incubator, says its sensor; P1 should be; nothing moved"
    assert lab.hotel.is_open is False


def test_a_plate_that_an_arm_took_while_the_process_was_dead_is_not_inside(lab: WireLab) -> None:
    """Killed before the drawer began to close, and the plate went away meanwhile: open and empty is no success."""
    from drivers.worker_memory import Memory

    memory = Memory(lab._folder / "memory")
    memory.ask("k", StorePlate("P1"))
    memory.begin("k", {"slot": 1})
    lab.inventory.doubt(1, "P1")
    lab.restart()
    lab.device.lookup("k")
    report = lab.finish("k")
    assert report.status is Status.UNKNOWN
    assert "look where plate P1 is" in report.message


def test_the_drawer_stays_where_it_is_while_the_shaker_moves(lab: WireLab) -> None:
    lab.put_on_station("P1")
    with lab.emulator.lock:
        incubator(lab).physics.clamp()
        incubator(lab).physics.start()
    for command, key in ((StorePlate("P1"), "in"), (FetchPlate("P1"), "out")):
        report = run(lab, command, key)
        assert report.status is Status.FAILED
        assert report.message.endswith("nothing moved")
    assert not any(b"OD" in frame or b"CD" in frame for frame in lab.server.frames)


def test_the_temperature_is_set_before_a_plate_comes_in(lab: WireLab) -> None:
    incubator(lab).target_c10 = 250
    lab.stored("P1")
    assert (incubator(lab).target_c10, incubator(lab).is_heating) == (370, True)
    n_set = sum(b"STT" in frame for frame in lab.server.frames)
    assert run(lab, FetchPlate("P1"), "out").status is Status.DONE
    lab.clear_station()
    lab.put_on_station("P2")
    assert run(lab, StorePlate("P2"), "in").status is Status.DONE
    assert sum(b"STT" in frame for frame in lab.server.frames) == n_set == 1


def test_a_unit_just_switched_on_is_a_persons(lab: WireLab) -> None:
    lab.put_on_station("P1")
    incubator(lab).power_cycle()
    report = run(lab, StorePlate("P1"), "in")
    assert report.status is Status.FAILED
    assert "initialise it (python -m drivers.inheco_drawer init)" in report.message
    assert report.message.endswith("nothing moved")
    assert not any(b"AID" in frame for frame in lab.server.frames)


def test_a_unit_that_answers_nothing_while_its_drawer_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even to the frame that moves it: the sensors tell afterwards."""
    deaf = replace(WIRED["inheco"], emulator=lambda clock: IncubatorShaker(clock, handling_s=300.0, is_deaf=True))
    monkeypatch.setitem(WIRED, "inheco", deaf)  # type: ignore[arg-type]
    lab = WireLab(tmp_path, "inheco")
    lab.put_on_station("P1")
    assert run(lab, StorePlate("P1"), "in").status is Status.DONE
    assert run(lab, FetchPlate("P1"), "out").status is Status.DONE
    assert sum(b"ACD" in frame or b"AOD" in frame for frame in lab.server.frames) == 2
    assert not lab.hotel.violations
    lab.close()


@pytest.mark.parametrize(
    ("emulator", "said"),
    [
        (partial(IncubatorShaker, dip=3), "did not answer in time"),
        (partial(IncubatorShaker, kind=7), "answered '7' to 'RTS', not 0 to 3"),
    ],
)
def test_another_dialect_is_named_and_nothing_moves(
    emulator: Callable[..., IncubatorShaker], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WIRED, "inheco", replace(WIRED["inheco"], emulator=emulator))  # type: ignore[arg-type]
    lab = WireLab(tmp_path, "inheco", pace=BRISK)
    lab.put_on_station("P1")
    report = run(lab, StorePlate("P1"), "in")
    assert report.status is Status.FAILED
    assert said in report.message
    assert report.message.endswith("nothing moved")
    assert lab.moves() == 0
    lab.close()


def test_a_firmware_that_lacks_a_question_is_named(lab: WireLab) -> None:
    lab.put_on_station("P1")
    lab.server.faults.add(Fault(WireFault.GARBLED_REPLY, match="RLW", times=10_000, data=b"\xb2\x22`"))
    report = run(lab, StorePlate("P1"), "in")
    assert report.status is Status.FAILED
    assert "refused 'RLW': error 2, it does not know this command; nothing moved" in report.message


@pytest.mark.parametrize("sees_open", [True, False])
def test_no_plate_no_shake(sees_open: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blind = replace(
        shaker_rig.WIRED["inheco"],
        handler=lambda wire: InhecoShaker(Unit(Link(wire, dip=2, unit=0, reply_s=0.16)), sees_open=sees_open),
    )
    monkeypatch.setitem(shaker_rig.WIRED, "inheco", blind)
    lab = WireShakerLab(tmp_path, "inheco")
    lab.device.submit(ShakePlate("P1", 600, 12), "k")
    report = lab.finish("k")
    assert (report.status, report.result) == (Status.FAILED, {"shaken_s": 0})
    assert "no plate" in report.message
    assert lab.starts() == 0
    assert not lab.physics.violations
    lab.close()


def test_speeds_have_steps_and_ends(tmp_path: Path) -> None:
    lab = WireShakerLab(tmp_path, "inheco")
    lab.put("P1")
    for speed, key in ((500, "a"), (396, "b"), (1800, "c")):
        lab.device.submit(ShakePlate("P1", speed, 5), key)
        assert lab.finish(key).status is Status.DONE
        assert abs(lab.physics.target_rpm - speed) <= 3
    lab.close()


# a person's hand on the drawer


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[tuple[IncubatorShaker, WireServer]]:
    emulator = IncubatorShaker(EmulatedTime(100.0), is_open=False)
    with WireServer(emulator, tmp_path) as server:
        yield emulator, server


Stack = tuple[IncubatorShaker, WireServer]


def test_a_person_opens_closes_and_initialises(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    emulator, server = stack
    port = ["--port", str(server.pty_path)]
    assert inheco_drawer.main(["open", *port]) == 0
    assert emulator.hotel.is_open
    assert "is_open True" in capsys.readouterr().out
    assert inheco_drawer.main(["close", *port]) == 0
    assert emulator.hotel.is_open is False
    emulator.power_cycle()
    assert inheco_drawer.main(["open", *port]) == 1
    assert "not initialised since" in capsys.readouterr().err
    assert inheco_drawer.main(["init", *port]) == 0
    assert inheco_drawer.main(["look", *port]) == 0
    assert "is_initialised True, is_open False, has_plate False" in capsys.readouterr().out
    assert not emulator.hotel.violations


@pytest.mark.parametrize("command", ["open", "init"])
def test_a_person_does_not_move_the_drawer_of_a_shaker_that_moves(stack: Stack, command: str) -> None:
    emulator, server = stack
    with emulator.lock:
        emulator.physics.start()
    unit = Unit(Link(Wire(str(server.pty_path), SETTINGS), dip=2, unit=0))
    with pytest.raises(NeedsOperator, match="the shaker moves"):
        inheco_drawer.carried_out(command, unit, Deadline.after(5.0))
    unit.link.close()
    assert emulator.physics.phase is not Phase.STILL
    assert not emulator.hotel.violations


def test_a_drawer_that_sticks_is_told(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    emulator, server = stack
    emulator.hotel.jam = Jam.PUT
    assert inheco_drawer.main(["open", "--port", server.url, "--wait", "4"]) == 1
    assert "the drawer was told to open and did not" in capsys.readouterr().err
    with pytest.raises(SystemExit) as usage:
        inheco_drawer.main(["jump", "--port", server.url])
    assert usage.value.code == 2
