"""A process killed at any moment of a move, and a new one on the same files: no plate is picked or put twice."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import Fuse, FusedLine, Killed, burning_files
from mover_rig import WireMoverLab, both

from drivers import key_files, pf400_hand, worker_memory
from drivers.pf400_hand import HandFile, Mark, Step
from drivers.ports import Report, Status
from drivers.wire import Line, LineSettings, line_at
from nextplate.errors import NeedsOperator, Transient

pytestmark = pytest.mark.usefixtures("no_power_cuts")
TARGETS = {"P1": "incubator", "P2": "imager"}
SHARE = 120


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fuse]:
    yield from burning_files(monkeypatch, worker_memory, pf400_hand)


def killed_at(moment: int, fuse: Fuse, folder: Path) -> WireMoverLab:
    """Open a lab, begin to move and kill the process at a moment; 0: never."""

    def open_line(port: str, settings: LineSettings) -> Line:
        return FusedLine(line_at(port, settings), fuse)  # type: ignore[return-value]

    lab = WireMoverLab(folder)
    lab.device.close()  # type: ignore[attr-defined]
    lab.open(open_line)
    fuse.n_moments, fuse.at = 0, moment
    try:
        lab.device.submit(both(lab), "k")
        lab.finish("k")
    except Killed:
        pass
    return lab


def taken_up_again(lab: WireMoverLab, fuse: Fuse) -> Report:
    """Do what the controller's loop does after a restart."""
    lab.wire.close()  # the system does that for a dead process
    fuse.at = -1
    lab.open()
    if lab.device.lookup("k").status is Status.NOT_FOUND:
        for _ in range(100):
            try:
                lab.device.submit(both(lab), "k")
                break
            except Transient:
                lab.device.lookup("k")
    return lab.finish("k")


def believe(lab: WireMoverLab, report: Report, moment: int) -> None:
    where = (moment, report, lab.physics.log)
    assert not lab.physics.violations, where
    moved = list(report.result.get("moved", []))
    for n, barcode in enumerate(("P1", "P2")):
        acts = [act.what for act in lab.physics.log if act.plate == barcode]
        assert acts.count("pick") <= 1, where
        place = lab.where(barcode)
        assert (place == TARGETS[barcode]) == (barcode in moved) or report.status is Status.UNKNOWN, where
        if n > len(moved):
            assert place == lab.homes[barcode], where
    if report.status is Status.DONE:
        assert moved == ["P1", "P2"], where
    else:
        assert report.status is Status.FAILED, where
        assert (lab.physics.held is not None) == ("is in the gripper" in report.message), where


@pytest.mark.parametrize("part", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, SHARE))])
def test_killed_at_any_moment_no_plate_is_picked_twice_and_all_is_told(part: int, tmp_path: Path, fuse: Fuse):
    undisturbed = killed_at(0, fuse, tmp_path / "whole")
    n_all, expected = fuse.n_moments, undisturbed.device.poll("k")
    undisturbed.close()
    assert expected == Report(Status.DONE, {"moved": ["P1", "P2"]})
    assert n_all > 200
    for moment in range(1 + part, n_all + 2, SHARE):
        lab = killed_at(moment, fuse, tmp_path / f"{moment}")
        believe(lab, taken_up_again(lab, fuse), moment)
        lab.close()


@pytest.mark.parametrize("step", list(Step))
@pytest.mark.parametrize("is_after", [False, True])
def test_killed_around_every_mark(step: Step, is_after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Just before and just after each step is written down."""
    fuse, is_dead = Fuse(), False

    def write(path: Path, content: bytes) -> None:
        nonlocal is_dead
        is_hit = path.name == "hand.json" and f'"{step}"'.encode() in content and b'"index": 0' in content
        if is_dead or (is_hit and not is_after):
            is_dead, fuse.at, fuse.n_moments = True, 1, 1
            raise Killed
        key_files.write_whole(path, content)
        if is_hit:
            is_dead, fuse.at, fuse.n_moments = True, 1, 1
            raise Killed

    monkeypatch.setattr(worker_memory, "write_whole", write)
    monkeypatch.setattr(pf400_hand, "write_whole", write)
    lab = killed_at(0, fuse, tmp_path)
    is_dead = False
    monkeypatch.setattr(worker_memory, "write_whole", key_files.write_whole)
    monkeypatch.setattr(pf400_hand, "write_whole", key_files.write_whole)
    report = taken_up_again(lab, fuse)
    believe(lab, report, 0)
    is_early = step is Step.TO_SOURCE or (step is Step.GRIP and not is_after)
    assert (report.status is Status.DONE) == is_early
    if step in (Step.CARRY, Step.RELEASE):
        assert "plate P1 is in the gripper; take it away" in report.message
    if step is Step.GRIP and is_after:
        assert "plate P1 still stands at stack/new" in report.message
    lab.close()


def test_a_mark_of_another_run_is_not_this_one_and_a_damaged_one_is_a_persons(tmp_path: Path):
    file = HandFile(tmp_path / "hand.json")
    assert file.read("r", 2) is None
    file.write(Mark("r", 1, Step.GRIP))
    assert file.read("r", 2) == Mark("r", 1, Step.GRIP)
    assert file.read("other", 2) is None
    for body in ("[]", "{}", "{", json.dumps({"run": "r", "index": 7, "step": "grip"}),
                 json.dumps({"run": "r", "index": 0, "step": "dance"})):  # fmt: skip
        file.path.write_text(body)
        with pytest.raises(NeedsOperator, match="look where the plates are"):
            file.read("r", 2)
