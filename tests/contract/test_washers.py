"""What every washer and dispenser promises, the simulated ones and each driver on its emulator's wire.

Held against what physically happened to the plate: wells were emptied and filled as the device says, and once.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from washer_rig import LABS, SPEED, WIRED, SimWetLab, WetLab, WireLab, wait_until

from drivers.ports import FetchPlate, Status
from drivers.wire import Gone
from nextplate.errors import NeedsOperator, Transient

pytestmark = pytest.mark.usefixtures("no_power_cuts")
WIRES = [name for name in LABS if not name.startswith("sim")]


@pytest.fixture(params=sorted(LABS))
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WetLab]:
    lab = LABS[request.param](tmp_path)
    lab.put_plate("P1")
    yield lab
    lab.close()


@pytest.fixture(params=sorted(WIRES))
def wired(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WireLab]:
    lab = LABS[request.param](tmp_path)
    assert isinstance(lab, WireLab)
    lab.put_plate("P1")
    yield lab
    lab.close()
    assert not lab.wet.violations


def expected(lab: WetLab) -> tuple[int, int]:
    if isinstance(lab, WireLab):
        return lab.wired.acts
    assert isinstance(lab, SimWetLab)
    return (3, 2) if lab._kind == "washer" else (0, 1)


def test_a_program_does_to_the_wells_what_it_says_once(lab: WetLab):
    command = lab.good()
    lab.device.submit(command, "k")
    report = lab.finish("k")
    assert (report.status, report.result) == (Status.DONE, {"program": command.program})
    assert lab.acts() == expected(lab)


def test_a_key_acts_once_however_often_it_is_submitted(lab: WetLab):
    for _ in range(3):
        lab.device.submit(lab.good(), "k")
    report = lab.finish("k")
    lab.restart()
    lab.device.submit(lab.good(), "k")
    assert lab.device.poll("k") == lab.device.lookup("k") == report
    assert lab.acts() == expected(lab)


def test_another_key_acts_again(lab: WetLab):
    for key in ("one", "two"):
        lab.device.submit(lab.good(), key)
        assert lab.finish(key).status is Status.DONE
    assert lab.acts() == tuple(2 * n for n in expected(lab))


def test_a_device_busy_with_one_command_takes_no_other(lab: WetLab):
    lab.device.submit(lab.good(), "k")
    with pytest.raises(Transient, match="busy"):
        lab.device.submit(lab.good(), "other")
    assert lab.device.lookup("other").status is Status.NOT_FOUND
    assert lab.finish("k").status is Status.DONE


def test_what_it_never_had_is_not_found_and_what_is_no_command_is_refused(lab: WetLab):
    assert lab.device.poll("nobody").status is lab.device.lookup("nobody").status is Status.NOT_FOUND
    for command in ("make coffee", FetchPlate("P1")):
        with pytest.raises(NeedsOperator, match="does not take"):
            lab.device.submit(command, "k")
    assert lab.device.lookup("k").status is Status.NOT_FOUND


def test_no_verb_waits_for_the_device(wired: WireLab):
    wired.time.run_at(0.0)
    for verb in (
        lambda: wired.device.submit(wired.good(), "k"),
        lambda: wired.device.poll("k"),
        lambda: wired.device.lookup("k"),
    ):
        began = time.monotonic()
        verb()
        assert time.monotonic() - began < 5.0  # the device stands still for good
    wait_until(wired.is_running)
    assert wired.device.poll("k").status is Status.RUNNING
    wired.time.run_at(SPEED)
    assert wired.finish("k").status is Status.DONE


@pytest.mark.parametrize("program", ["nothing-of-this-name", "", "../good", "good\n", "Ωmega", "a" * 300])
def test_a_program_that_is_not_there_is_named_and_nothing_moves(wired: WireLab, program: str):
    wired.device.submit(wired.command(program), "k")
    report = wired.finish("k")
    assert report.status is Status.FAILED
    assert "nothing moved" in report.message
    assert "program" in report.message
    assert wired.runs() == 0


def test_a_plate_without_a_name_is_not_washed(wired: WireLab):
    wired.device.submit(wired.command(wired.wired.program, "  "), "k")
    assert "needs a barcode" in wired.finish("k").message
    assert wired.runs() == 0


def test_a_program_that_stops_half_way_is_told_with_what_it_left_behind(wired: WireLab):
    wired.device.submit(wired.command("stops"), "k")
    report = wired.finish("k")
    assert report.status is Status.FAILED
    assert report.result == {"program": "stops", "steps_done": 0}
    assert "look at plate P1" in report.message


def test_a_look_at_the_device_moves_nothing(wired: WireLab):
    seen = wired.device.inspect(4.0)  # type: ignore[attr-defined]
    assert seen["device"]
    assert wired.wired.program in seen["programs"]
    assert wired.runs() == 0


def test_a_clean_end_leaves_the_program_to_the_next_process(wired: WireLab):
    """What runs when the process ends runs on, and is seen to its end; steps not begun are told, not made up for."""
    wired.time.run_at(0.0)
    wired.device.submit(wired.good(), "k")
    wait_until(wired.is_running)
    n_frames = len(wired.server.frames)
    wired.restart()
    assert wired.device.poll("k").status is Status.RUNNING
    wired.time.run_at(0.1)  # time for the device to answer, and none for a program to end
    wait_until(lambda: len(wired.server.frames) >= n_frames + 12)  # the new process has seen it run
    wired.time.run_at(SPEED)
    report = wired.finish("k")
    if wired.wired.n_steps == 1:
        assert report.status is Status.DONE
    else:
        assert report.status is Status.FAILED
        assert report.result["steps_done"] == 1
        assert "the process that ran it was killed; step 1 was done and nothing after" in report.message
    assert wired.runs() == 1


def test_every_byte_is_in_the_log(wired: WireLab):
    wired.device.submit(wired.good(), "k")
    assert wired.finish("k").status is Status.DONE
    wired.device.close()  # type: ignore[attr-defined]
    text = wired.log_path.read_text()
    sent = b"".join(bytes.fromhex(line.split(" | ")[0].split(" > ")[1]) for line in text.splitlines() if " > " in line)
    assert sent == b"".join(wired.server.frames)


@pytest.mark.parametrize("driver", sorted(WIRED))
@pytest.mark.parametrize("via", ["pty", "socket"])
def test_two_controllers_on_one_port(driver: str, via: str, tmp_path: Path):
    lab = WireLab(tmp_path, driver, via)
    lab.put_plate("P1")
    with contextlib.suppress(Gone):  # some ports do not open every time
        lab.wire.open()
    lab.wire.open()
    other = lab.device
    lab._folder = tmp_path / "other"
    lab._folder.mkdir()
    lab.open()
    lab.device.submit(lab.good(), "k")
    report = lab.finish("k")
    assert report.status is Status.FAILED
    assert "in use by another program" in report.message
    assert lab.runs() == 0
    other.close()  # type: ignore[attr-defined]
    lab.device.submit(lab.good(), "later")
    assert lab.finish("later").status is Status.DONE
    lab.close()
