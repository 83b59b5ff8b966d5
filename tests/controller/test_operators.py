"""Decisions that wait together are judged one after the other."""

import pytest
from controller_fakes import FakeLab

from controller.operators import require, sort_out
from controller.settings import ApprovalSection, Settings
from controller.state import LabState
from nextplate.errors import DataError


def lab_with_a_question() -> tuple[LabState, str]:
    lab = FakeLab()
    lab.device.unknown.add("first.r0.run-0")
    state = lab.run()
    return state, state.open_faults()[0].fault


@pytest.mark.parametrize("choices", [("done", "not-done"), ("not-done", "done"), ("done", "done")])
def test_of_two_answers_to_one_fault_the_first_counts(choices):
    state, fault = lab_with_a_question()
    waiting = [{"what": "answer", "fault": fault, "choice": c, "by": who} for c, who in zip(choices, "ab", strict=True)]
    (first, _, told), (second, _, refused) = sort_out(state, waiting)
    assert (first, second) == ("decision", "decision.refused")
    assert told == waiting[0]
    assert refused["why"] == f"fault {fault} was answered {choices[0]!r} already, by a"


def test_a_round_is_not_approved_and_rejected_at_once():
    state = FakeLab(settings=Settings(approval=ApprovalSection(policy="hand"))).run()
    words = {"round": 0, "by": "ann", "reason": "", "digest": state.proposals[0].digest}
    waiting = [{"what": what, **words} for what in ("approve", "reject")]
    assert [kind for kind, _, _ in sort_out(state, waiting)] == ["decision", "decision.refused"]


def test_after_an_abort_only_the_fate_of_what_was_begun_is_left_to_tell():
    state, fault = lab_with_a_question()
    answer = {"what": "answer", "fault": fault, "choice": "done", "by": "b"}
    waiting = [{"what": "abort", "by": "a"}, {"what": "pause", "by": "b"}, answer]
    assert [kind for kind, _, _ in sort_out(state, waiting)] == ["decision", "decision.refused", "decision"]


def test_pause_and_resume_wait_together():
    state = FakeLab(settings=Settings(approval=ApprovalSection(policy="hand"))).run()
    waiting = [{"what": what, "by": "ann"} for what in ("pause", "resume", "resume")]
    assert [kind for kind, _, _ in sort_out(state, waiting)] == ["decision", "decision", "decision.refused"]


def test_what_waits_already_is_heeded_when_a_decision_is_given():
    state = FakeLab(settings=Settings(approval=ApprovalSection(policy="hand"))).run()
    pause, resume = ({"what": what, "by": "ann"} for what in ("pause", "resume"))
    require(state, [pause], resume)
    with pytest.raises(DataError, match="not paused"):
        require(state, [], resume)
    approve = {"what": "approve", "round": 0, "by": "ann", "reason": "", "digest": state.proposals[0].digest}
    with pytest.raises(DataError, match="approved already"):
        require(state, [approve], approve)
