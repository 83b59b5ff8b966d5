"""The PF400's driver with every fault of its wire and of its mechanics.

Whatever happens: the command ends, a success is one, `moved` is true and in order, no plate is picked or put twice,
and a plate in the gripper is told of.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mover_rig import BRISK, SAFE, SPOTS, WireMoverLab, both, fault

from drivers.ports import Move, MovePlates, Report, Status
from sim.wire.faults import Fault, WireFault
from sim.wire.pf400 import ArmJam

pytestmark = pytest.mark.usefixtures("no_power_cuts")
LATER = [pytest.param(n, marks=pytest.mark.long) for n in range(1, 140, 3) if n != 31]
TARGETS = {"P1": "incubator", "P2": "imager"}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[WireMoverLab]:
    lab = WireMoverLab(tmp_path)
    yield lab
    lab.close()


@pytest.fixture
def brisk(tmp_path: Path) -> Iterator[WireMoverLab]:
    lab = WireMoverLab(tmp_path, pace=BRISK)
    yield lab
    lab.close()


def run(lab: WireMoverLab, command: MovePlates | None = None, key: str = "k") -> Report:
    lab.device.submit(command or both(lab), key)
    return lab.finish(key)


def believe(lab: WireMoverLab, report: Report, *, was_garbled: bool = False) -> None:
    """Hold a report against the truth."""
    moved = list(report.result.get("moved", []))
    assert moved == ["P1", "P2"][: len(moved)]
    for barcode in moved:
        assert lab.where(barcode) == TARGETS[barcode]
    for barcode in ("P1", "P2"):
        acts = [act.what for act in lab.physics.log if act.plate == barcode]
        assert acts.count("pick") <= 1
        assert acts.count("put") <= 1
        if lab.where(barcode) in ("gripper", "floor"):
            assert report.status is not Status.DONE
            assert barcode in report.message or "look" in report.message
        if f"plate {barcode} is in the gripper" in report.message:
            assert lab.where(barcode) == "gripper"
        if f"plate {barcode} still stands" in report.message:
            assert lab.where(barcode) == lab.homes[barcode]
    if report.status is Status.DONE:
        assert moved == ["P1", "P2"]
        assert lab.physics.pose == pytest.approx(SAFE, abs=0.5)
    if "nothing moved" in report.message or "no plate moved" in report.message:
        assert lab.picks() == 0
    # a digit changed on a wire without checksum sends the arm elsewhere, once; what counts is that it is seen
    assert was_garbled or not lab.physics.violations


@pytest.mark.parametrize("kind", list(WireFault))
@pytest.mark.parametrize("match", ["^graspplate", "^releaseplate", "^movej"])
def test_a_fault_on_a_frame_that_moves(lab: WireMoverLab, kind: WireFault, match: str):
    lab.server.faults.add(fault(kind, 2 if match == "^movej" else 1, match))
    report = run(lab)
    believe(lab, report, was_garbled=kind is WireFault.GARBLED_REQUEST)
    if kind not in (WireFault.GARBLED_REQUEST, WireFault.LOST_REQUEST, WireFault.REFUSED):
        assert report.status is Status.DONE, report
    if match == "^movej" and kind in (WireFault.LOST_REQUEST, WireFault.REFUSED):
        assert report.status is Status.DONE, "the arm certainly stands where it stood, and is sent again"


@pytest.mark.parametrize("nth", [31, *LATER])
@pytest.mark.parametrize("kind", list(WireFault))
def test_a_fault_on_any_frame(lab: WireMoverLab, kind: WireFault, nth: int):
    lab.server.faults.add(fault(kind, nth))
    believe(lab, run(lab), was_garbled=kind is WireFault.GARBLED_REQUEST)


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 20))])
def test_a_wire_on_which_every_ninth_frame_goes_wrong(lab: WireMoverLab, seed: int):
    lab.server.faults.seed = seed
    kinds = [kind for kind in WireFault if kind is not WireFault.PORT_GONE]
    for n in range(60):
        lab.server.faults.add(fault(kinds[(7 * n + seed) % len(kinds)], 9 * n + 1 + seed))
    believe(lab, run(lab), was_garbled=True)


@pytest.mark.parametrize(
    ("jam", "said", "place"),
    [
        (ArmJam.SLIP, "the jaws closed on nothing: no plate P1 at stack/new", "stack/new"),
        (ArmJam.DROP, "the gripper lost plate P1", "floor"),
        (ArmJam.STICK, "the jaws did not open; plate P1 is in the gripper", "gripper"),
        (ArmJam.STALL, "the arm stopped on its way to above stack/new", "stack/new"),
    ],
)
def test_an_arm_that_sticks(lab: WireMoverLab, jam: ArmJam, said: str, place: str):
    lab.physics.jam = jam
    report = run(lab)
    believe(lab, report)
    assert report.status is Status.FAILED
    assert said in report.message
    assert lab.where("P1") == place


def test_a_plate_that_is_missing_is_told_and_the_arm_is_free_again(lab: WireMoverLab):
    del lab.physics.plates["stack/new"]
    report = run(lab)
    assert "no plate P1 at stack/new" in report.message
    assert lab.physics.pose == SAFE
    assert run(lab, MovePlates((Move("P2", "deck/A2", "imager"),)), "next").status is Status.DONE


def test_a_place_that_is_taken_stops_the_arm_and_the_plate_in_the_gripper_is_told(lab: WireMoverLab):
    lab.physics.plates["incubator"] = "P9"
    report = run(lab)
    believe(lab, report)
    assert report.status is Status.FAILED
    assert "the arm stopped on its way to incubator" in report.message
    assert "plate P1 is in the gripper" in report.message
    assert lab.where("P9") == "incubator"
    after = run(lab, MovePlates((Move("P2", "deck/A2", "imager"),)), "next")
    assert after.status is Status.FAILED
    assert after.message == "the arm's power is off; look at the arm, then switch it on (hp 1); nothing moved"
    lab.physics.has_power = True
    after = run(lab, MovePlates((Move("P2", "deck/A2", "imager"),)), "later")
    assert "a plate is in the gripper" in after.message
    assert lab.picks() == 1


def test_an_arm_at_no_taught_position_goes_nowhere(lab: WireMoverLab):
    lab.physics.pose = (300.0, 12.0, 77.0, 5.0)
    report = run(lab)
    assert "the arm is at no taught position (joints 300.0, 12.0, 77.0, 5.0; jaws 100.0 mm)" in report.message
    assert report.message.endswith("guide it to its safe position by hand; nothing moved")
    assert not any(frame.startswith(b"movej") for frame in lab.server.frames)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_an_arm_left_in_a_place_leaves_it_upwards(lab: WireMoverLab, share: float):
    spot = SPOTS["imager"]
    first, second, third, fourth = (a + share * (b - a) for a, b in zip(spot.at, spot.above, strict=True))
    lab.physics.pose = (first, second, third, fourth)
    report = run(lab)
    believe(lab, report)
    assert report.status is Status.DONE


def test_an_arm_just_switched_on_is_a_persons(lab: WireMoverLab):
    lab.emulator.power_cycle()
    assert "power is off" in run(lab).message
    lab.physics.has_power = True
    report = run(lab, key="again")
    assert "-1021, the arm is not homed; home it at its panel" in report.message
    assert "no plate moved" in report.message
    assert not any(frame.startswith((b"home", b"hp 1")) for frame in lab.server.frames)


def test_power_lost_while_it_carries_is_told(lab: WireMoverLab):
    lab.time.run_at(0.0)
    lab.device.submit(both(lab), "k")
    with_plate = time.monotonic() + 20.0
    while lab.where("P1") != "gripper":
        assert time.monotonic() < with_plate
        lab.time.skip(0.4)
        time.sleep(0.003)
    with lab.emulator.lock:
        lab.physics.lose_power()
    lab.time.run_at(1000.0)
    report = lab.finish("k")
    believe(lab, report)
    assert report.status is Status.FAILED
    assert "plate P1 is in the gripper" in report.message


def test_an_arm_that_does_not_arrive_in_time_is_halted(brisk: WireMoverLab):
    brisk.time.run_at(0.5)
    report = run(brisk)
    believe(brisk, report)
    assert report.status is Status.UNKNOWN
    assert "look at the plate mover" in report.message
    assert any(frame.startswith(b"halt") for frame in brisk.server.frames)
    assert not brisk.physics.is_moving


def test_a_port_that_stays_away_is_unknown(brisk: WireMoverLab):
    brisk.server.faults.add(Fault(WireFault.PORT_GONE, match="^graspplate", wait_s=60.0))
    report = run(brisk)
    assert report.status is Status.UNKNOWN
    assert report.result == {"moved": []}
    assert "plate P1 was on its way (grip) to incubator" in report.message


@pytest.mark.parametrize("via", ["pty", "socket"])
def test_two_controllers_on_one_port(tmp_path: Path, via: str):
    lab = WireMoverLab(tmp_path, via)
    lab.wire.open()
    other, lab.folder = lab.device, tmp_path / "other"
    lab.folder.mkdir()
    (lab.folder / "places.toml").write_text((tmp_path / "places.toml").read_text())
    lab.open()
    report = run(lab)
    assert report.status is Status.FAILED
    assert f"port {lab.port} is in use by another program" in report.message
    assert lab.picks() == 0
    other.close()  # type: ignore[attr-defined]
    lab.close()


@pytest.mark.parametrize("said", [b"OK 1.0 V3\r\n", b"*unknown command*\r\n", b"-2800\r\n"])
def test_a_device_that_speaks_another_dialect(brisk: WireMoverLab, said: bytes):
    brisk.server.faults.add(Fault(WireFault.GARBLED_REPLY, times=10_000, data=said))
    report = run(brisk)
    assert report.status is Status.FAILED
    assert f"answers {said.decode().strip()!r} to 'version'; a PF400's command server" in report.message
    assert report.message.endswith("nothing moved")


@pytest.mark.parametrize("step", ["to-source", "grip", "carry", "release"])
def test_a_full_disk_stops_it_and_tells_where_the_plate_is(
    lab: WireMoverLab, step: str, monkeypatch: pytest.MonkeyPatch
):
    from drivers import key_files, pf400_hand

    def write(path: Path, content: bytes) -> None:
        if f'"{step}"'.encode() in content:
            raise OSError(28, "No space left on device", str(path))
        key_files.write_whole(path, content)

    monkeypatch.setattr(pf400_hand, "write_whole", write)
    report = run(lab)
    believe(lab, report)
    assert report.status is Status.FAILED
    assert "No space left" in report.message
    assert (lab.where("P1") == "gripper") == (step in ("carry", "release"))
