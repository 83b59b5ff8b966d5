"""Every driver of a shaker with every fault of its wire and of its mechanics.

Whatever happens: the command ends, a success is one, "nothing moved" is true, the time told is the time shaken, the
rotor was started once at most, no plate is thrown, and none turns when it is over.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from shaker_rig import PACE, SHAKE, WIRED, WireShakerLab

from drivers.ports import Report, Status
from sim.wire.faults import Fault, WireFault
from sim.wire.rotor import Stuck

pytestmark = pytest.mark.usefixtures("no_power_cuts")
LATER = [pytest.param(n, marks=pytest.mark.long) for n in range(1, 40) if n != 9]
SLACK_S = PACE.tolerance_s + 2 * PACE.poll_s
BRISK = replace(PACE, connect_s=3.0, stop_s=4.0)


@pytest.fixture(params=sorted(WIRED))
def driver(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def lab(driver: str, tmp_path: Path) -> Iterator[WireShakerLab]:
    lab = WireShakerLab(tmp_path, driver, pace=BRISK)
    lab.put("P1")
    yield lab
    lab.close()


def run(lab: WireShakerLab, key: str = "k") -> Report:
    lab.device.submit(SHAKE, key)
    return lab.finish(key)


def believe(lab: WireShakerLab, report: Report, *, is_stopped: bool = True) -> None:
    """Hold a report against the truth."""
    truth_s = lab.shaken_s()
    assert lab.starts() <= 1
    assert not lab.physics.violations
    if report.status is Status.DONE:
        assert abs(truth_s - SHAKE.duration_s) <= SLACK_S
    if report.status is not Status.UNKNOWN:
        assert abs(report.result["shaken_s"] - truth_s) <= SLACK_S
        assert not (is_stopped and lab.is_turning())
    else:
        assert "look at the shaker" in report.message
    if "nothing moved" in report.message:
        assert lab.starts() == 0


def fault(kind: WireFault, nth: int, driver: str, match: str = "") -> Fault:
    data = WIRED[driver].turning if kind is WireFault.UNSOLICITED else b""
    return Fault(kind, nth, match=match, data=data, wait_s=0.2)


@pytest.mark.parametrize("kind", list(WireFault))
def test_a_fault_on_the_frame_that_starts_it(lab: WireShakerLab, driver: str, kind: WireFault):
    lab.server.faults.add(fault(kind, 1, driver, WIRED[driver].go))
    report = run(lab)
    believe(lab, report)
    if kind in (WireFault.LOST_REPLY, WireFault.CUT_REPLY, WireFault.LATE_REPLY, WireFault.UNSOLICITED):
        assert report.status is Status.DONE, "the rotor tells that it turns, whatever the answer was"
    if kind in (WireFault.LOST_REQUEST, WireFault.REFUSED):
        assert report.status is Status.FAILED
        assert "nothing moved" in report.message


@pytest.mark.parametrize("kind", list(WireFault))
def test_a_fault_on_the_frame_that_stops_it(lab: WireShakerLab, driver: str, kind: WireFault):
    lab.server.faults.add(fault(kind, 1, driver, WIRED[driver].stop))
    believe(lab, run(lab))
    assert not lab.is_turning()


@pytest.mark.parametrize("nth", [9, *LATER])
@pytest.mark.parametrize("kind", list(WireFault))
def test_a_fault_on_any_frame(lab: WireShakerLab, driver: str, kind: WireFault, nth: int):
    lab.server.faults.add(fault(kind, nth, driver))
    believe(lab, run(lab))


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 20))])
def test_a_wire_on_which_every_fifth_frame_goes_wrong(lab: WireShakerLab, driver: str, seed: int):
    lab.server.faults.seed = seed
    kinds = [kind for kind in WireFault if kind is not WireFault.PORT_GONE]
    for n in range(60):
        lab.server.faults.add(fault(kinds[(7 * n + seed) % len(kinds)], 5 * n + 1 + seed, driver))
    believe(lab, run(lab))


@pytest.mark.parametrize(
    ("stuck", "status", "said"),
    [
        (Stuck.START, Status.FAILED, "did not start; nothing moved"),
        (Stuck.MOTOR, Status.UNKNOWN, "shaken for at most"),
        (Stuck.SLOW, Status.FAILED, "it turns at 300 rpm, not at 600"),
        (Stuck.BRAKE, None, ""),
        (Stuck.CLAMP, Status.FAILED, "clamp"),
        (Stuck.OPEN, Status.FAILED, "the clamp does not open"),
    ],
)
def test_a_shaker_that_sticks(lab: WireShakerLab, driver: str, stuck: Stuck, status: Status | None, said: str):
    if stuck in (Stuck.CLAMP, Stuck.OPEN) and not lab.physics.has_clamp:
        pytest.skip("it has no clamp")
    if driver == "inheco":  # which has no word for a motor that gives up
        other = {Stuck.MOTOR: "the rotor stopped by itself", Stuck.CLAMP: "the drawer was told to close and did not"}
        status, said = (Status.FAILED, other[stuck]) if stuck in other else (status, said)
    lab.physics.stuck = stuck
    report = run(lab)
    believe(lab, report, is_stopped=stuck is not Stuck.BRAKE)
    assert status in (None, report.status), report
    assert said in report.message
    if stuck is Stuck.BRAKE and lab.is_turning():
        assert report.status is Status.UNKNOWN
        assert "switch the shaker off" in report.message


def test_a_rotor_that_somebody_left_turning_is_stopped_and_told_of(lab: WireShakerLab):
    with lab.emulator.lock:
        lab.physics.clamp()
        lab.physics.target_rpm = 500
        lab.physics.start()
    report = run(lab)
    assert report.status is Status.FAILED
    assert "the rotor was turning, and was stopped; look at the plate" in report.message
    assert not lab.is_turning()
    assert lab.physics.plate == "P1"
    with lab.emulator.lock:
        lab.physics.log.clear()
    assert run(lab, "again").status is Status.DONE


def test_power_lost_while_it_turned_is_told_and_no_time_is_made_up(lab: WireShakerLab, driver: str):
    lab.device.submit(SHAKE, "k")
    _until(lab.is_turning)
    lab.freeze()
    lab.time.skip(3.0)
    lab.emulator.power_cycle()
    lab.freeze(False)
    report = lab.finish("k")
    believe(lab, report)
    assert report.status is not Status.DONE
    assert not lab.is_turning()


def test_a_port_that_stays_away_while_it_turns_is_unknown_and_a_timer_stops_it(lab: WireShakerLab, driver: str):
    lab.server.faults.add(Fault(WireFault.PORT_GONE, match=lab.wired.go, wait_s=60.0))
    report = run(lab)
    assert report.status is Status.UNKNOWN
    assert "look at the shaker" in report.message
    if lab.wired.has_timer:
        lab.time.skip(60.0)
        assert lab.shaken_s() == SHAKE.duration_s
        assert not lab.is_turning()


def test_a_port_that_is_not_there(lab: WireShakerLab):
    lab.server.vanish(60.0)
    _until(lambda: not lab.server.pty_path.exists())
    report = run(lab)
    assert (report.status, report.result) == (Status.FAILED, {"shaken_s": 0})
    assert report.message.endswith("nothing moved")


@pytest.mark.parametrize("via", ["pty", "socket"])
def test_two_controllers_on_one_port(driver: str, via: str, tmp_path: Path):
    lab = WireShakerLab(tmp_path, driver, via)
    lab.put("P1")
    lab.wire.open()
    other, lab.folder = lab.device, tmp_path / "other"
    lab.folder.mkdir()
    lab.open()
    report = run(lab)
    assert report.status is Status.FAILED
    assert f"port {lab.port} is in use by another program" in report.message
    assert lab.starts() == 0
    other.close()  # type: ignore[attr-defined]
    lab.close()


def test_a_full_disk_loses_nothing(lab: WireShakerLab, monkeypatch: pytest.MonkeyPatch):
    from drivers import key_files, shaker_trail, worker_memory

    full = True

    def write(path: Path, content: bytes) -> None:
        if full and path.parent.name == "ended":
            raise OSError(28, "No space left on device", str(path))
        key_files.write_whole(path, content)

    def no_room(path: Path, content: bytes) -> None:
        if lab.starts():
            raise OSError(28, "No space left on device", str(path))
        key_files.write_whole(path, content)

    monkeypatch.setattr(worker_memory, "write_whole", write)
    monkeypatch.setattr(shaker_trail, "write_whole", no_room)
    lab.device.submit(SHAKE, "k")
    _until(lambda: lab.starts() == 1 and not lab.is_turning())
    lab.freeze()
    time.sleep(0.1)
    assert lab.device.poll("k").status is Status.RUNNING
    full = False
    lab.freeze(False)
    assert lab.finish("k").status is Status.DONE


def _until(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + 60.0
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.001)
