"""The lab's world survives kill -9 at any statement, and nothing physical happens twice."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sim.imager
from sim.lab import SimLab
from sim.world import World
from tests.sim.rig import Snapshot, night, open_lab, snapshot, transfers


def _night_in_child(folder: Path, protocols: Path, count_down: Callable[[], None]) -> bool:
    """Run the night in a forked process that kills itself at some point; True when it got through."""
    child = os.fork()
    if child == 0:
        try:
            count_down()
            lab = open_lab(folder)
            night(lab, protocols)
            lab.close()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0
    return True


def _at_statement(n: int) -> Callable[[], None]:
    return lambda: _kill_at_call(World, "run", n)


def _at_image(n: int) -> Callable[[], None]:
    return lambda: _kill_at_call(sim.imager, "write_image", n)


def _kill_at_call(owner: Any, name: str, n: int) -> None:
    left, original = [n], getattr(owner, name)

    def counted(*values: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*values, **named)

    setattr(owner, name, counted)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    folder = tmp_path_factory.mktemp("undisturbed")
    lab = open_lab(folder / "lab")
    night(lab, folder)
    lab.close()
    return snapshot(folder / "lab")


def test_killed_again_and_again_ends_as_if_undisturbed(tmp_path: Path, undisturbed: Snapshot) -> None:
    rng = np.random.default_rng(3)
    n_killed = 0
    while not _night_in_child(tmp_path / "lab", tmp_path, _at_statement(int(rng.integers(20, 250)))):
        n_killed += 1
        assert n_killed < 60
    assert n_killed >= 3
    found = snapshot(tmp_path / "lab")
    assert found.files == undisturbed.files
    assert found.tables == undisturbed.tables


def test_handlers_own_log_shows_every_transfer_once(undisturbed: Snapshot) -> None:
    ids = [row[3] for row in undisturbed.tables["handler_log"]]
    assert sorted(ids) == [t.transfer_id for t in transfers()]


def test_killed_in_the_middle_of_the_images(tmp_path: Path, undisturbed: Snapshot) -> None:
    """A picture that was written but not counted is written again with the same bytes and counted once."""
    assert not _night_in_child(tmp_path / "lab", tmp_path, _at_image(50))
    assert not _night_in_child(tmp_path / "lab", tmp_path, _at_image(33))
    assert _night_in_child(tmp_path / "lab", tmp_path, _at_image(10_000))
    assert snapshot(tmp_path / "lab") == undisturbed


def test_the_lab_goes_on_while_nobody_watches(tmp_path: Path, undisturbed: Snapshot) -> None:
    """Killed while it waits, a process finds the lab where it would have been without the kill."""
    lab = open_lab(tmp_path / "lab")
    lab.close()
    assert not _night_in_child(tmp_path / "lab", tmp_path, _at_image(100))
    reopened = SimLab.open(tmp_path / "lab", lab._world.settings)
    target = int(reopened._world.meta("target_ms") or 0)
    assert reopened._world.now_ms() == target
    reopened.close()


def test_two_worlds_of_one_seed_are_equal_to_the_byte(tmp_path: Path, undisturbed: Snapshot) -> None:
    lab = open_lab(tmp_path / "lab", n_threads=1)
    night(lab, tmp_path)
    lab.close()
    assert snapshot(tmp_path / "lab") == undisturbed
    other = open_lab(tmp_path / "other", seed=6)
    night(other, tmp_path)
    other.close()
    assert snapshot(tmp_path / "other").files != undisturbed.files
