"""A process killed at any moment of a shake, and a new one on the same files: one start, and a rotor that stops."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import Fuse, FusedLine, Killed, burning_files
from shaker_rig import PACE, SHAKE, WIRED, WireShakerLab

from drivers import shaker_trail, worker_memory
from drivers.ports import Report, Status
from drivers.wire import Line, LineSettings, line_at
from nextplate.errors import Transient

pytestmark = pytest.mark.usefixtures("no_power_cuts")
SLACK_S = PACE.tolerance_s + 2 * PACE.poll_s


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fuse]:
    yield from burning_files(monkeypatch, worker_memory, shaker_trail)


def killed_at(moment: int, fuse: Fuse, folder: Path, driver: str) -> WireShakerLab:
    """Open a lab, begin to shake and kill the process at a moment; 0: never."""

    def open_line(port: str, settings: LineSettings) -> Line:
        return FusedLine(line_at(port, settings), fuse)  # type: ignore[return-value]

    lab = WireShakerLab(folder, driver)
    lab.put("P1")
    lab.device.close()  # type: ignore[attr-defined]
    lab.open(open_line)
    fuse.n_moments, fuse.at = 0, moment
    try:
        lab.device.submit(SHAKE, "k")
        lab.finish("k")
    except Killed:
        pass
    return lab


def taken_up_again(lab: WireShakerLab, fuse: Fuse, away_s: float = 0.0) -> Report:
    """Do what the controller's loop does after a restart."""
    lab.wire.close()  # the system does that for a dead process
    fuse.at = -1
    lab.time.skip(away_s)
    lab.open()
    if lab.device.lookup("k").status is Status.NOT_FOUND:
        for _ in range(100):
            try:
                lab.device.submit(SHAKE, "k")
                break
            except Transient:
                lab.device.lookup("k")
    return lab.finish("k")


def moments(n_all: int, part: int, share: int) -> list[int]:
    return list(range(1 + part, n_all + 2, share))


@pytest.mark.parametrize("part", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 32))])
@pytest.mark.parametrize("driver", sorted(WIRED))
def test_killed_at_any_moment_the_rotor_starts_once_and_stops(driver: str, part: int, tmp_path: Path, fuse: Fuse):
    undisturbed = killed_at(0, fuse, tmp_path / "whole", driver)
    n_all = fuse.n_moments
    assert undisturbed.device.poll("k").status is Status.DONE
    undisturbed.close()
    for moment in moments(n_all, part, 32):
        lab = killed_at(moment, fuse, tmp_path / f"{moment}", driver)
        report = taken_up_again(lab, fuse)
        truth_s = lab.shaken_s()
        assert lab.starts() == 1, moment
        assert not lab.is_turning(), moment
        assert not lab.physics.violations, moment
        if report.status is Status.UNKNOWN:
            assert "nobody saw" in report.message, (moment, report)
        else:
            assert abs(report.result["shaken_s"] - truth_s) <= SLACK_S, (moment, report)
            assert (report.status is Status.DONE) == (abs(report.result["shaken_s"] - 12) <= PACE.tolerance_s), report
        lab.close()


@pytest.mark.parametrize("driver", sorted(WIRED))
def test_a_controller_that_comes_back_later_finds_it_stopped_or_stops_it(driver: str, tmp_path: Path, fuse: Fuse):
    """With a timer the plate got what it should, or a person stopped it; without one it got an hour. That is told."""
    killed_at(0, fuse, tmp_path / "whole", driver).close()
    n_all = fuse.n_moments
    for moment in range(n_all // 2, n_all // 2 + 3):
        lab = killed_at(moment, fuse, tmp_path / f"{moment}", driver)
        assert lab.is_turning()
        report = taken_up_again(lab, fuse, away_s=3600.0)
        assert not lab.is_turning()
        assert lab.starts() == 1
        if WIRED[driver].has_timer:
            assert report.status is Status.UNKNOWN
            found = re.search(
                r"nobody saw the rotor stop; plate P1 was shaken for (?:(\d+) to|at most) (\d+) s", report.message
            )
            assert found is not None, report
            assert int(found[1] or 0) - SLACK_S <= lab.shaken_s() <= int(found[2]) + SLACK_S
        else:
            assert report.status is Status.FAILED
            assert report.result["shaken_s"] == pytest.approx(lab.shaken_s(), abs=SLACK_S)
            assert report.result["shaken_s"] > 3600
        lab.close()


@pytest.mark.parametrize("driver", [name for name in sorted(WIRED) if WIRED[name].has_timer])
def test_a_person_who_stops_it_while_nobody_looks_makes_it_no_success(driver: str, tmp_path: Path, fuse: Fuse):
    killed_at(0, fuse, tmp_path / "whole", driver).close()
    lab = killed_at(fuse.n_moments // 2, fuse, tmp_path / "killed", driver)
    assert lab.is_turning()
    with lab.emulator.lock:
        lab.physics.stop()
    report = taken_up_again(lab, fuse, away_s=3600.0)
    assert lab.shaken_s() < 12 - PACE.tolerance_s
    assert report.status is Status.UNKNOWN
    assert "nobody saw the rotor stop" in report.message
    lab.close()


@pytest.mark.parametrize("driver", sorted(WIRED))
@pytest.mark.parametrize("how", ["computer", "device", "trail"])
def test_where_nobody_can_tell_it_is_stopped_and_a_person_is_asked(driver: str, how: str, tmp_path: Path, fuse: Fuse):
    killed_at(0, fuse, tmp_path / "whole", driver).close()
    lab = killed_at(fuse.n_moments // 2, fuse, tmp_path / "killed", driver)
    assert lab.is_turning()
    trail = lab.folder / "memory" / "rotor.json"
    if how == "computer":
        lab.boot = "two"
    elif how == "device":
        lab.emulator.power_cycle()
        lab.time.skip(5.0)
    else:
        trail.write_text("{")
    report = taken_up_again(lab, fuse)
    assert report.status is Status.UNKNOWN
    assert "look at the shaker" in report.message
    if how != "trail":
        assert not lab.is_turning()
    lab.close()


def test_a_trail_of_another_run_is_not_this_one(tmp_path: Path):
    file = shaker_trail.TrailFile(tmp_path / "rotor.json", lambda: "b")
    assert file.read("r") is None
    file.write(shaker_trail.Trail("r", "b", 1.0))
    assert file.read("r") == shaker_trail.Trail("r", "b", 1.0)
    assert file.read("other") is None
    for body in ("[]", "{}", json.dumps({"run": "r", "boot": "b", "sent_s": "x", "seen_s": None, "stopping_s": None})):
        file.path.write_text(body)
        with pytest.raises(Exception, match="look at the shaker"):
            file.read("r")
