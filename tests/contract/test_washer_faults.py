"""Every driver of a washer or dispenser with every fault of its wire, and with the faults of the device itself.

Whatever happens: the command ends in time, a success is one, "nothing moved" is true, and no step is done twice.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from washer_rig import BRISK, MOST_S, PACE, SPEED, WIRED, WireLab, wait_until

from drivers import key_files, worker_memory
from drivers.ports import Report, Status
from drivers.program_handler import Pace
from sim.wire.el406 import el406_frame
from sim.wire.faults import Fault, WireFault
from sim.wire.wetplate import Trouble

pytestmark = pytest.mark.usefixtures("no_power_cuts")
_EL406_IDLE = b"\x06" + el406_frame(0x92, b"\x00\x00\x04\x00\x00\x00\x00\x00\x00")
FORGED = {"el406": _EL406_IDLE, "el406-dispenser": _EL406_IDLE, "bluewasher": b"Err=21\r\n"}
"""Answers that would pass for a happy end."""
LATER = [pytest.param(n, marks=pytest.mark.long) for n in range(1, 45) if n != 9]


@pytest.fixture(
    # The dispenser is the washer's driver in another role: its faults are played with the long ones.
    params=[pytest.param(name, marks=[pytest.mark.long] * (name == "el406-dispenser")) for name in sorted(WIRED)]
)
def driver(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def lab(driver: str, tmp_path: Path) -> Iterator[WireLab]:
    lab = ready(tmp_path, driver)
    yield lab
    lab.close()


@pytest.fixture
def brisk(driver: str, tmp_path: Path) -> Iterator[WireLab]:
    """A lab in which a command that does not end is given up soon."""
    lab = ready(tmp_path, driver, pace=BRISK)
    yield lab
    lab.close()


def ready(folder: Path, driver: str, via: str = "pty", pace: Pace = PACE) -> WireLab:
    lab = WireLab(folder, driver, via, pace=pace)
    lab.put_plate("P1")
    return lab


def run(lab: WireLab, key: str = "k") -> Report:
    began = time.monotonic()
    lab.device.submit(lab.good(), key)
    report = lab.finish(key)
    assert time.monotonic() - began < MOST_S + 30.0
    return report


def believe(lab: WireLab, report: Report) -> None:
    """Hold a report against what happened."""
    lab.rest()
    begun = [act.place for act in lab.wet.log if act.what == "begin"]
    n_ended = lab.wet.count("end")
    assert len(begun) == len(set(begun)) <= lab.wired.n_steps, "a step was done twice"
    assert not lab.wet.violations
    if report.status is Status.DONE:
        assert lab.acts() == lab.wired.acts
        assert n_ended == lab.wired.n_steps
        assert report.result == {"program": lab.wired.program}
    elif "nothing moved" in report.message:
        assert report.status is Status.FAILED
        assert not begun
    else:
        assert "look at" in report.message
        assert report.result.get("steps_done", 0) <= n_ended


def fault(kind: WireFault, nth: int, driver: str, match: str = "") -> Fault:
    data = FORGED[driver] if kind is WireFault.UNSOLICITED else b""
    return Fault(kind, nth, match=match, data=data, wait_s=0.12)


@pytest.mark.parametrize("kind", list(WireFault))
def test_a_fault_on_the_frame_that_moves(lab: WireLab, driver: str, kind: WireFault):
    lab.time.run_at(20.0)  # slow enough that whoever missed the answer finds it running
    lab.server.faults.add(fault(kind, 1, driver, match=WIRED[driver].go))
    report = run(lab)
    believe(lab, report)
    if kind in (WireFault.LOST_REPLY, WireFault.GARBLED_REPLY, WireFault.CUT_REPLY, WireFault.LATE_REPLY,
                WireFault.UNSOLICITED, WireFault.PORT_GONE):  # fmt: skip
        assert report.status is Status.DONE, f"the device was seen to run: {report.message}"


@pytest.mark.parametrize("nth", [9, *LATER])
@pytest.mark.parametrize("kind", list(WireFault))
def test_a_fault_on_any_frame(lab: WireLab, driver: str, kind: WireFault, nth: int):
    lab.server.faults.add(fault(kind, nth, driver))
    believe(lab, run(lab))


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 20))])
def test_a_wire_on_which_every_fifth_frame_goes_wrong(lab: WireLab, driver: str, seed: int):
    lab.server.faults.seed = seed
    kinds = [kind for kind in WireFault if kind is not WireFault.PORT_GONE]
    for n in range(60):
        lab.server.faults.add(fault(kinds[(7 * n + seed) % len(kinds)], 5 * n + 1 + seed, driver))
    believe(lab, run(lab))


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda lab: setattr(lab.wet, "jam", Trouble.CLEARANCE), "clearance"),
        (lambda lab: setattr(lab.wet, "bottle_ul", 0.0), "no buffer|no flow|error"),
        (lambda lab: setattr(lab.wet, "is_waste_full", True), "waste"),
        (lambda lab: setattr(lab.wet, "has_vacuum", False), "vacuum"),
    ],
    ids=["clearance", "no-buffer", "waste-full", "no-vacuum"],
)
def test_a_device_that_stops_by_itself_says_why(lab: WireLab, driver: str, break_it: Callable, said: str):
    break_it(lab)
    report = run(lab)
    believe(lab, report)
    if lab.wet.count("stop"):
        assert report.status is Status.FAILED
        assert "step 1 of" in report.message
        assert "stopped: " in report.message
        assert report.result["steps_done"] == 0
    else:
        assert report.status is Status.DONE, "what is broken was not needed"


def test_power_lost_in_the_midst_of_a_program(brisk: WireLab):
    """The device comes back as if nothing had been: that is no success."""
    lab = brisk
    lab.time.run_at(10.0)
    lab.device.submit(lab.good(), "k")
    wait_until(lab.is_running)
    time.sleep(0.1)
    lab.emulator.power_cycle()
    report = lab.finish("k")
    believe(lab, report)
    assert report.status is Status.UNKNOWN
    assert "look at plate P1" in report.message


def test_a_program_that_never_ends_is_given_up_and_told(brisk: WireLab):
    brisk.time.run_at(0.0)
    report = run(brisk)
    assert report.status is Status.UNKNOWN
    assert "look at plate P1" in report.message
    brisk.restart()
    assert brisk.device.lookup("k").status is Status.UNKNOWN, "told once, it is a person's"
    brisk.time.run_at(SPEED)
    brisk.rest()
    assert brisk.runs() == 1


def test_a_device_that_runs_already_is_left_alone(brisk: WireLab):
    from sim.wire.wetplate import Deed

    with brisk.emulator.lock:
        brisk.wet.begin("somebody else's", [Deed("shake", 10_000.0)])
    report = run(brisk)
    assert report.status is Status.FAILED
    assert "running" in report.message
    assert "nothing moved" in report.message
    assert brisk.runs() == 1


def test_a_port_that_stays_away_in_the_midst(brisk: WireLab):
    brisk.server.faults.add(Fault(WireFault.PORT_GONE, match=brisk.wired.go, wait_s=60.0))
    report = run(brisk)
    assert report.status is Status.UNKNOWN
    believe(brisk, report)


def test_a_port_that_is_not_there(brisk: WireLab):
    brisk.server.vanish(60.0)
    wait_until(lambda: not brisk.server.pty_path.exists())
    report = run(brisk)
    assert report.status is Status.FAILED
    assert "nothing moved" in report.message


@pytest.mark.parametrize("said", [b"er 04\r\n", b"?\r\n", b"OK 1.0 V3\r\n", b"\x15\x15", b"\x06" * 12, b"Err=99\r\n"])
def test_a_device_that_speaks_another_dialect(brisk: WireLab, said: bytes):
    brisk.server.faults.add(Fault(WireFault.GARBLED_REPLY, times=10_000, data=said))
    report = run(brisk)
    assert report.status is Status.FAILED
    assert report.message.endswith("nothing moved")
    assert brisk.runs() == 0


def test_a_full_disk_loses_nothing(lab: WireLab, monkeypatch: pytest.MonkeyPatch):
    """What was done is written down as soon as there is room, and nobody is told before."""
    is_full = True

    def write(path: Path, content: bytes) -> None:
        if is_full and path.parent.name == "ended":
            raise OSError(28, "No space left on device", str(path))
        key_files.write_whole(path, content)

    monkeypatch.setattr(worker_memory, "write_whole", write)
    lab.device.submit(lab.good(), "k")
    wait_until(lambda: lab.acts() == lab.wired.acts and not lab.is_running())
    time.sleep(0.3)
    assert lab.device.poll("k").status is Status.RUNNING
    is_full = False
    assert lab.finish("k").status is Status.DONE


def test_a_step_that_cannot_be_written_down_is_not_begun(lab: WireLab, monkeypatch: pytest.MonkeyPatch):
    from drivers import program_trace

    n_written = 0

    def write(path: Path, content: bytes) -> None:
        nonlocal n_written
        n_written += 1
        if n_written > 1:
            raise OSError(28, "No space left on device", str(path))
        key_files.write_whole(path, content)

    monkeypatch.setattr(program_trace, "write_whole", write)
    report = run(lab)
    assert report.status is Status.FAILED
    assert "No space left" in report.message
    assert lab.runs() == 0


@pytest.mark.parametrize("damage", [b"", b"{", b"[1, 2]", b'{"run": 1, "step": "0", "is_confirmed": false}', None])
def test_a_trace_that_was_lost_is_no_proof(lab: WireLab, damage: bytes | None):
    lab.time.run_at(0.0)
    lab.device.submit(lab.good(), "k")
    wait_until(lab.is_running)
    lab.device.close()  # type: ignore[attr-defined]
    if damage is None:
        lab.trace_path.unlink()
    else:
        lab.trace_path.write_bytes(damage)
    lab.open()
    report = lab.device.lookup("k")
    assert report.status is Status.UNKNOWN
    assert "trace.json" in report.message
    lab.time.run_at(SPEED)
    lab.rest()
    assert lab.runs() == 1


@pytest.mark.parametrize("what", ["power", "stop", "syntax"])
def test_a_happy_end_that_nobody_reached_is_not_believed(what: str, tmp_path: Path):
    """Err=21 before the order is answered, and then the power fails, the rotor stops, or the program was wrong."""
    lab = ready(tmp_path, "bluewasher", pace=BRISK)
    lab.time.run_at(20.0)
    lab.server.faults.add(Fault(WireFault.UNSOLICITED, match=lab.wired.go, data=b"Err=21\r\n"))
    if what == "stop":
        lab.wet.jam = Trouble.VIBRATION
    lab.device.submit(lab.command("wrong" if what == "syntax" else "good"), "k")
    if what == "power":
        wait_until(lab.is_running)
        lab.emulator.power_cycle()
    report = lab.finish("k")
    lab.rest()
    assert report.status is not Status.DONE, report
    assert lab.acts()[1] == 0
    lab.close()
