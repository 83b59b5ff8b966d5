"""A process killed at any moment of a program, and a new one on the same files: no step is done twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import Fuse, FusedLine, Killed, burning_files
from washer_rig import WIRED, WireLab

from drivers import program_trace, worker_memory
from drivers.ports import Report, Status
from drivers.wire import Line, LineSettings
from nextplate.errors import Transient

pytestmark = pytest.mark.usefixtures("no_power_cuts")


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fuse]:
    yield from burning_files(monkeypatch, worker_memory, program_trace)


def killed_at(moment: int, fuse: Fuse, folder: Path, driver: str) -> WireLab:
    """Open a lab, begin a program and kill the process at a moment; 0: never."""
    lab = WireLab(folder, driver)
    lab.put_plate("P1")
    lab.device.close()  # type: ignore[attr-defined]

    def open_line(port: str, settings: LineSettings) -> Line:
        return FusedLine(lab.wired.open_line(port, settings), fuse)  # type: ignore[return-value]

    lab.open(open_line)
    fuse.n_moments, fuse.at = 0, moment
    try:
        lab.device.submit(lab.good(), "k")
        lab.finish("k")
    except Killed:
        pass
    return lab


def taken_up_again(lab: WireLab, fuse: Fuse) -> Report:
    """Do what the controller's loop does after a restart."""
    lab.wire.close()  # the system does that for a dead process
    fuse.at = -1
    lab.open()
    if lab.device.lookup("k").status is Status.NOT_FOUND:
        for _ in range(100):
            try:
                lab.device.submit(lab.good(), "k")
                break
            except Transient:
                lab.device.lookup("k")
    return lab.finish("k")


@pytest.mark.parametrize("part", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 24))])
@pytest.mark.parametrize("driver", sorted(WIRED))
def test_killed_at_any_moment_no_step_is_done_twice_and_what_is_told_is_true(
    driver: str, part: int, tmp_path: Path, fuse: Fuse
):
    undisturbed = killed_at(0, fuse, tmp_path / "whole", driver)
    n_all = fuse.n_moments
    assert undisturbed.device.poll("k").status is Status.DONE
    undisturbed.close()
    for moment in range(1 + part, n_all + 2, 24):
        lab = killed_at(moment, fuse, tmp_path / f"{moment}", driver)
        report = taken_up_again(lab, fuse)
        lab.rest()
        begun = [act.place for act in lab.wet.log if act.what == "begin"]
        assert len(begun) == len(set(begun)) <= lab.wired.n_steps, moment
        assert not lab.wet.violations, moment
        if report.status is Status.DONE:
            assert lab.acts() == lab.wired.acts, moment
        elif "nothing moved" in report.message:
            assert not begun, moment
        else:
            assert "look at" in report.message, (moment, report)
            assert report.result["steps_done"] <= lab.wet.count("end"), moment
        lab.close()
