"""What every plate mover promises, the simulated one and the PF400's driver on its emulator's wire."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mover_rig import LABS, SAFE, MoverLab, WireMoverLab, both

from drivers.ports import Move, MovePlates, Status
from nextplate.errors import NeedsOperator, Transient

pytestmark = pytest.mark.usefixtures("no_power_cuts")


@pytest.fixture(params=sorted(LABS))
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MoverLab]:
    lab = LABS[request.param](tmp_path)
    yield lab
    lab.close()


@pytest.fixture(params=["pty", "socket"])
def wired(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WireMoverLab]:
    lab = WireMoverLab(tmp_path, request.param)
    yield lab
    lab.close()


def test_plates_are_moved_in_order_and_stand_where_it_says(lab: MoverLab):
    lab.device.submit(both(lab), "k")
    report = lab.finish("k")
    assert report.status is Status.DONE, report
    assert report.result == {"moved": ["P1", "P2"]}
    assert (lab.where("P1"), lab.where("P2")) == ("incubator", "imager")
    assert lab.moves() == 2
    if isinstance(lab, WireMoverLab):
        assert not lab.physics.violations
        assert lab.physics.pose == SAFE


def test_a_key_moves_once_however_often_it_is_submitted(lab: MoverLab):
    for _ in range(3):
        lab.device.submit(both(lab), "k")
    report = lab.finish("k")
    lab.restart()
    lab.device.submit(both(lab), "k")
    assert lab.device.poll("k") == lab.device.lookup("k") == report
    assert lab.moves() == 2


def test_what_moved_before_a_failure_is_told_in_order(lab: MoverLab):
    command = MovePlates((Move("P1", lab.homes["P1"], "incubator"), Move("P2", "imager", "stack/new")))
    lab.device.submit(command, "k")
    report = lab.finish("k")
    assert report.status is Status.FAILED
    assert report.result == {"moved": ["P1"]}
    assert "P2" in report.message
    assert (lab.where("P1"), lab.where("P2")) == ("incubator", lab.homes["P2"])
    back = MovePlates((Move("P1", "incubator", "imager"),))
    lab.device.submit(back, "back")
    assert lab.finish("back").status is Status.DONE, "it goes on after a failure that left the gripper empty"


def test_a_busy_mover_takes_no_other_command_and_no_strange_one(lab: MoverLab):
    lab.device.submit(both(lab), "k")
    with pytest.raises(Transient, match="busy"):
        lab.device.submit(both(lab), "other")
    assert lab.device.lookup("other").status is lab.device.poll("nobody").status is Status.NOT_FOUND
    assert lab.finish("k").status is Status.DONE
    with pytest.raises(NeedsOperator, match="does not take"):
        lab.device.submit("make coffee", "coffee")


@pytest.mark.parametrize(
    ("moves", "said"),
    [
        ((), "moves no plate"),
        ((Move("P1", "stack/new", "the moon"),), "'the moon' was not taught"),
        ((Move("P1", "nowhere", "incubator"),), "'nowhere' was not taught"),
        ((Move(" ", "stack/new", "incubator"),), "needs a barcode"),
        ((Move("P1", "incubator", "incubator"),), "stands at incubator already"),
        ((Move("P1", "stack/new", "imager"), Move("P2", "deck/A2", "imager")), "imager is taken by plate P1"),
        ((Move("P1", "stack/new", "imager"), Move("P2", "imager", "deck/A2")), "at imager stands plate P1"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_moves(tmp_path: Path, moves: tuple[Move, ...], said: str):
    lab = WireMoverLab(tmp_path)
    lab.device.submit(MovePlates(moves), "k")
    report = lab.finish("k")
    assert report.status is Status.FAILED
    assert said in report.message
    assert report.message.endswith("nothing moved")
    assert not lab.server.frames
    lab.close()


def test_no_verb_waits_for_the_device(wired: WireMoverLab):
    wired.time.run_at(0.0)
    for verb in (
        lambda: wired.device.submit(both(wired), "k"),
        lambda: wired.device.poll("k"),
        lambda: wired.device.lookup("k"),
    ):
        began = time.monotonic()
        verb()
        assert time.monotonic() - began < 5.0  # the device stands still for good
    assert wired.device.poll("k").status is Status.RUNNING
    wired.time.run_at(1000.0)
    assert wired.finish("k").status is Status.DONE


def test_a_look_tells_where_it_is_and_moves_nothing(wired: WireMoverLab):
    seen = wired.device.inspect(5.0)  # type: ignore[attr-defined]
    assert seen["device"].startswith("TCP Command Server")
    assert (seen["stands at"], seen["jaws"], seen["power"]) == ("safe", "open", True)
    assert seen["places"] == ["deck/A2", "imager", "incubator", "stack/new"]
    assert not any(frame.startswith((b"movej", b"gr", b"re", b"home")) for frame in wired.server.frames)


def test_jaws_move_once_for_each_pick_and_put_and_nothing_waits_for_the_end_of_motion(wired: WireMoverLab):
    wired.device.submit(both(wired), "k")
    wired.finish("k")
    frames = [frame.split()[0].lower() for frame in wired.server.frames]
    assert frames.count(b"graspplate") == frames.count(b"releaseplate") == 2
    assert not {b"waitforeom", b"home"} & set(frames)


def test_every_byte_is_in_the_log(wired: WireMoverLab):
    wired.device.submit(both(wired), "k")
    wired.finish("k")
    wired.device.close()  # type: ignore[attr-defined]
    lines = (wired.folder / "wire.log").read_text().splitlines()
    sent = b"".join(bytes.fromhex(line.split(" | ")[0].split(" > ")[1]) for line in lines if " > " in line)
    assert sent == b"".join(wired.server.frames)
