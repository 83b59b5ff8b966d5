"""Motion only in its windows: what is in flight is finished, computing goes on, and a crash changes none of it."""

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from controller_fakes import START, FakeLab, Killed

from controller.loop import Loop
from controller.nightly.windows import windows_of
from controller.oversight import OverseenLoop
from controller.timing import Closed

WINDOWS = windows_of(("20:00-21:00", "03:00-03:20"), "UTC")


@dataclass
class Overseer:
    n_scans: int = 0
    stop_at: int | None = None

    def scanned(self) -> bool:
        self.n_scans += 1
        return self.n_scans == self.stop_at

    def opens(self, now: datetime) -> datetime | None:
        opens = WINDOWS.opens(now)
        return opens if opens > now else None

    def closed(self, now: datetime) -> Closed:
        return WINDOWS.closed(now)


class OverseenLab(FakeLab):
    def start(self) -> Loop:
        loop = super().start()
        values = {f.name: getattr(loop, f.name) for f in fields(loop) if not f.name.startswith("_")}
        self.overseer = Overseer()
        return OverseenLoop(**values, overseer=self.overseer)


def begun(lab: FakeLab) -> list[tuple[str, datetime]]:
    """When each physical action was begun, by the device's own memory: 7 minutes before it is ready."""
    return [(key, lab.device.memory[key][1] - timedelta(minutes=7)) for key, _ in lab.device.log]


def test_nothing_physical_begins_outside_the_windows_and_everything_is_done():
    free, held = FakeLab(rounds=2), OverseenLab(rounds=2)
    free.run()
    assert held.run().is_finished
    assert [key for key, _ in held.device.log] == [key for key, _ in free.device.log]
    assert all(WINDOWS.is_open(when) for _, when in begun(held)), begun(held)
    assert not all(WINDOWS.is_open(when) for _, when in begun(free)), "the test would prove nothing"
    assert held.executor.jobs == free.executor.jobs


def test_what_is_in_flight_when_a_window_closes_is_finished():
    lab = OverseenLab(rounds=1)
    lab.run()
    outcomes = {e.payload["key"]: e.time for e in lab.journal.events if e.kind == "outcome"}
    late = [key for key, when in begun(lab) if not WINDOWS.is_open(outcomes[key])]
    assert late, "at least one action was cut by the end of a window"
    assert all(outcomes[key] == when + timedelta(minutes=7) for key, when in begun(lab))


def test_computing_goes_on_while_motion_is_held():
    lab = OverseenLab(rounds=1)
    lab.run()
    computed = [e.time for e in lab.journal.events if e.kind == "intent" and "step" in e.payload["action"]]
    assert computed[0] == START, "17:00, three hours before robots may move"


def test_no_intent_is_written_for_what_is_held():
    lab = OverseenLab(rounds=1)
    lab.run()
    physical = [e for e in lab.journal.events if e.kind == "intent" and "device" in e.payload["action"]]
    assert all(WINDOWS.is_open(e.time) for e in physical)
    assert all(a <= b for a, b in pairwise(e.time for e in lab.journal.events))


N_COMMITS = (lambda lab: (lab.run(), lab.journal.n_appends)[1])(OverseenLab(rounds=1))


@pytest.mark.parametrize("after_commit", [False, True], ids=["before-commit", "after-commit"])
@pytest.mark.parametrize("commit", range(2, N_COMMITS + 1))
def test_killed_at_a_commit_and_restarted_while_the_window_is_shut(commit: int, after_commit: bool):
    calm, lab = OverseenLab(rounds=1), OverseenLab(rounds=1)
    calm.run()
    lab.journal.die_at, lab.journal.die_after_commit = commit, after_commit
    with pytest.raises(Killed):
        lab.start().run()
    while WINDOWS.is_open(lab.clock.time):
        lab.clock.time += timedelta(minutes=10)
    state = lab.run()
    assert state.is_finished
    assert [key for key, _ in lab.device.log] == [key for key, _ in calm.device.log]
    assert all(WINDOWS.is_open(when) for _, when in begun(lab))


@pytest.mark.parametrize("scan", [1, 2, 5, 20])
def test_it_stops_when_it_is_told(scan: int):
    lab = OverseenLab(rounds=1)
    loop = lab.start()
    lab.overseer.stop_at = scan
    loop.run()
    assert loop.is_stopping
    assert lab.overseer.n_scans == scan
    assert lab.run().is_finished
