"""Killed at every step: the loop ends as if nothing had happened, and nothing physical happens twice."""

import pytest
from controller_fakes import FakeLab


def undisturbed() -> FakeLab:
    lab = FakeLab(rounds=2)
    lab.run()
    return lab


N_COMMITS = undisturbed().journal.n_appends
PHYSICAL = [k for k, _ in undisturbed().device.log]


@pytest.mark.parametrize("after_commit", [False, True], ids=["before-commit", "after-commit"])
@pytest.mark.parametrize("commit", range(2, N_COMMITS + 1))
def test_killed_at_a_commit(commit, after_commit):
    calm = undisturbed()
    lab = FakeLab(rounds=2)
    lab.journal.die_at, lab.journal.die_after_commit = commit, after_commit
    state = lab.run()
    assert state.is_finished
    assert state.digest() == calm.run().digest()
    assert lab.device.log == calm.device.log


@pytest.mark.parametrize("key", PHYSICAL)
def test_killed_between_a_device_and_the_journal(key):
    calm = undisturbed()
    lab = FakeLab(rounds=2)
    lab.device.die_after_submit = key
    state = lab.run()
    assert state.is_finished
    assert state.digest() == calm.run().digest()
    assert lab.device.log == calm.device.log


def test_only_the_starts_differ_in_the_journal():
    calm, lab = undisturbed(), FakeLab(rounds=2)
    lab.journal.die_at, lab.journal.die_after_commit = 20, True
    lab.run()

    def story(one: FakeLab) -> list[tuple[object, ...]]:
        events = [e for e in one.journal.events if e.kind != "controller.started"]
        return [(e.kind, e.time, e.payload) for e in events]

    assert story(lab) == story(calm)
