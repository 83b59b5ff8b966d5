"""A process killed at any moment of a load, and a new one on the same files: one run is played, once.

The process "dies" in its thread: from a chosen moment on, nothing it does reaches the robot or the disk. The moments
are before and after every request, and before and after every file.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import Fuse, Killed, burning_files
from opentrons_rig import FusedWire, OpentronsLab, written_with_table

from drivers import opentrons_memory as intents_module
from drivers import worker_memory as memory_module
from drivers.ports import Report, Status
from nextplate.errors import Transient
from sim.wire.faults import Fault, WireFault

pytestmark = [
    pytest.mark.usefixtures("no_power_cuts"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
N_PARTS = 14


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fuse]:
    yield from burning_files(monkeypatch, memory_module, intents_module)


def killed_at(
    moment: int, fuse: Fuse, folder: Path, robot: str, *faults: Fault, has_table: bool = False
) -> OpentronsLab:
    """Open a lab, begin the load and kill the process at a moment; 0: never."""
    lab = OpentronsLab(folder, robot, faults=faults)
    if has_table:
        lab.command = written_with_table(lab.protocol, folder / "tables")
    lab.device.close()
    lab.open(FusedWire, fuse=fuse)
    fuse.n_moments, fuse.at = 0, moment
    try:
        lab.device.submit(lab.command, "k")
        lab.finish()
    except Killed:
        pass
    return lab


def taken_up_again(lab: OpentronsLab, fuse: Fuse) -> Report:
    """Do what the controller's loop does after a restart."""
    lab.wire.close()  # the system does that for a dead process
    fuse.at = -1
    lab.open()
    if lab.device.lookup("k").status is Status.NOT_FOUND:
        for _ in range(200):
            try:
                lab.device.submit(lab.command, "k")
                break
            except Transient:
                lab.device.lookup("k")
    return lab.finish()


@pytest.mark.parametrize("part", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, N_PARTS))])
@pytest.mark.parametrize("robot", ["flex", pytest.param("ot2", marks=pytest.mark.long)])
def test_killed_at_any_moment_one_run_is_played_once(robot: str, part: int, tmp_path: Path, fuse: Fuse) -> None:
    undisturbed = killed_at(0, fuse, tmp_path / "whole", robot)
    n_all = fuse.n_moments
    undisturbed.assert_done_once(undisturbed.device.poll("k"))
    undisturbed.close()
    assert n_all > 60
    for moment in range(1 + part, n_all + 1, N_PARTS):
        lab = killed_at(moment, fuse, tmp_path / f"{moment}", robot)
        lab.assert_done_once(taken_up_again(lab, fuse))
        assert len({act.run_id for act in lab.robot.log.acts}) == 1, moment
        lab.close()


@pytest.mark.parametrize("part", [3, *(pytest.param(n, marks=pytest.mark.long) for n in range(N_PARTS) if n != 3)])
def test_killed_at_any_moment_a_load_with_a_table_is_played_once(part: int, tmp_path: Path, fuse: Fuse) -> None:
    undisturbed = killed_at(0, fuse, tmp_path / "whole", "flex", has_table=True)
    n_all = fuse.n_moments
    undisturbed.assert_done_once(undisturbed.device.poll("k"))
    undisturbed.close()
    for moment in range(1 + part, n_all + 1, N_PARTS):
        lab = killed_at(moment, fuse, tmp_path / f"{moment}", "flex", has_table=True)
        lab.assert_done_once(taken_up_again(lab, fuse))
        assert len({act.run_id for act in lab.robot.log.acts}) == 1, moment
        assert len(lab.robot.shelf.files) == 1
        lab.close()


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("reply-lost", "/actions\n"),
        *(
            pytest.param(kind, match, marks=pytest.mark.long)
            for kind in ("reply-lost", "request-lost", "port-gone")
            for match in ("POST /runs\n", "/actions\n")
        ),
    ],
)
def test_killed_while_the_answer_was_lost(kind: str, match: str, tmp_path: Path, fuse: Fuse) -> None:
    """The request that cannot be taken back fails, and the process dies looking after it."""
    n_before = _moment_of(match, fuse, tmp_path / "whole")
    for later in (1, 2):
        lab = killed_at(n_before + later, fuse, tmp_path / f"{later}", "flex", Fault(WireFault(kind), match=match))
        lab.assert_done_once(taken_up_again(lab, fuse))
        lab.close()


def _moment_of(match: str, fuse: Fuse, folder: Path) -> int:
    """Return the moment before a request is sent for the first time."""
    seen: list[int] = []

    class Watching(FusedWire):
        def request(self, method: str, target: str, *rest: object, **more: object) -> object:  # type: ignore[override]
            if match in f"{method} {target}\n" and not seen:
                seen.append(fuse.n_moments + 1)
            return super().request(method, target, *rest, **more)  # type: ignore[arg-type]

    lab = OpentronsLab(folder)
    lab.device.close()
    lab.open(Watching, fuse=fuse)
    fuse.n_moments, fuse.at = 0, 0
    lab.run()
    lab.close()
    return seen[0]


@pytest.mark.long
def test_killed_twice(tmp_path: Path, fuse: Fuse) -> None:
    """The process that looks for its run is killed too."""
    for moment in (40, 52):
        lab = killed_at(moment, fuse, tmp_path / f"{moment}", "flex")
        lab.wire.close()
        lab.open(FusedWire, fuse=fuse)
        fuse.n_moments, fuse.at = 0, 4
        lab.device.lookup("k")
        lab.assert_done_once(taken_up_again(lab, fuse))
        lab.close()


def test_the_robot_restarts_while_nobody_looks(tmp_path: Path, fuse: Fuse) -> None:
    lab = OpentronsLab(tmp_path)
    lab.robot.mechanics.command_s = 0.02
    lab.device.submit(lab.command, "k")
    lab.wait(lambda: lab.given())
    lab.device.close()
    lab.server.power_cycle()
    report = taken_up_again(lab, fuse)
    assert report.status is Status.UNKNOWN
    assert lab.n_plays == 1
    lab.close()


def test_a_clean_end_leaves_the_run_to_the_next_process(tmp_path: Path) -> None:
    lab = OpentronsLab(tmp_path)
    lab.robot.mechanics.command_s = 0.02
    lab.device.submit(lab.command, "k")
    lab.wait(lambda: lab.given())
    lab.restart()
    assert lab.device.poll("k").status is Status.RUNNING
    lab.assert_done_once(lab.finish())
    lab.close()


@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.long) for n in range(2, 9))])
def test_a_real_process_killed_by_the_system(seed: int, tmp_path: Path) -> None:
    """kill -9 at a random moment after the first request; the next process does the rest."""
    lab = OpentronsLab(tmp_path)
    lab.device.close()
    lab.robot.mechanics.command_s = 0.01
    first = _started(lab)
    lab.wait(lambda: lab.server.requests)
    time.sleep(random.Random(seed).uniform(0.0, 1.0))
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=20)
    second = _started(lab)
    out, _ = second.communicate(timeout=60)
    assert out.splitlines()[-1].strip() == "end done", out
    assert lab.n_plays == 1
    assert lab.given() == lab.planned()
    lab.close()


def _started(lab: OpentronsLab) -> "subprocess.Popen[str]":
    script = Path(__file__).parents[1] / "support" / "opentrons_process.py"
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
    folder = str(lab.command.protocol_path.parent)
    arguments = [sys.executable, str(script), str(lab.folder / "lab"), lab.server.url, folder, "k"]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment)
