"""decide is pure: what it asks for follows from the journal alone."""

import dataclasses
from datetime import timedelta

import pytest
from controller_fakes import START, FakeLab

from controller.actions import Compute, Note, Operate, Wait
from controller.decide import decide
from controller.recipe import BELIEF, PLANNING, after_loads
from controller.settings import ApprovalSection, FaultsSection, Settings
from controller.state import fold


def tasks_of(lab: FakeLab) -> list[str]:
    return [f"{e.payload['round']}.{e.payload['task']}" for e in lab.journal.events if e.kind == "intent"]


def test_a_campaign_walks_the_recipe_and_ends_with_a_belief_that_knows_every_plate():
    lab = FakeLab(rounds=2)
    state = lab.run()
    loads = ["deck-0", "run-0", "deck-1", "run-1"]
    planning = [t for t in PLANNING if t != "approve"]
    expected = [f"0.{t}" for t in [*planning, *loads, *after_loads(lab.plan), "evaluate"]]
    expected += [f"1.{t}" for t in [*BELIEF, *planning, *loads, *after_loads(lab.plan), "evaluate"]]
    expected += [f"2.{t}" for t in BELIEF]
    assert tasks_of(lab) == expected
    assert state.is_finished
    assert not state.pending()


def test_decide_is_a_function_of_state_time_and_plan():
    lab = FakeLab()
    lab.run()
    for n in range(1, len(lab.journal.events)):
        state = fold(lab.journal.events[:n])
        now = lab.journal.events[n - 1].time
        assert decide(state, now, lab.plan) == decide(state, now, lab.plan)


def test_folding_in_pieces_equals_folding_at_once():
    lab = FakeLab()
    lab.run()
    whole = fold(lab.journal.events)
    for n in range(len(lab.journal.events)):
        assert fold(lab.journal.events[n:], fold(lab.journal.events[:n])).digest() == whole.digest()


def test_an_event_of_a_kind_nobody_knows_is_refused():
    lab = FakeLab()
    event = dataclasses.replace(lab.journal.events[0], kind="campaign.begun")
    with pytest.raises(ValueError, match=r"unknown kind 'campaign\.begun'"):
        fold([event])


def test_the_plate_stays_in_the_incubator_for_its_time():
    lab = FakeLab(rounds=1)
    lab.run()
    stored = next(e for e in lab.journal.events if e.kind == "outcome" and e.payload["key"] == "first.r0.store")
    fetched = next(e for e in lab.journal.events if e.kind == "intent" and e.payload["task"] == "fetch")
    assert fetched.time == stored.time + timedelta(hours=24)
    before = fold(lab.journal.events[: stored.seq])
    assert decide(before, stored.time, lab.plan) == (Wait(stored.time + timedelta(hours=24)),)


def test_a_plate_is_only_pipetted_after_approval():
    lab = FakeLab(settings=Settings(approval=ApprovalSection(policy="hand")))
    state = lab.run()
    assert state.open_proposals() == (0,)
    assert not lab.device.log
    assert lab.run().open_proposals() == (0,), "asking again is not approving"
    lab.decide(what="approve", round=0)
    state = lab.run()
    assert state.approvals[0].by == "ann"
    assert state.open_proposals() == (1,)
    assert [k for k, _ in lab.device.log if "run" in k] == ["first.r0.run-0", "first.r0.run-1"]


def test_a_policy_approves_only_inside_its_limits():
    lab = FakeLab(settings=Settings(approval=ApprovalSection(max_compounds=3)))
    assert lab.run().open_proposals() == (0,)


def test_a_rejected_round_moves_nothing_and_ends_the_campaign():
    lab = FakeLab(settings=Settings(approval=ApprovalSection(policy="hand")))
    lab.run()
    lab.decide(what="reject", round=0)
    assert lab.run().is_aborted
    assert not lab.device.log


def test_pause_starts_nothing_new_and_resume_goes_on():
    lab = FakeLab()
    lab.decide(what="pause")
    assert lab.run().is_paused
    assert tasks_of(lab) == []
    lab.decide(what="resume")
    assert lab.run().is_finished


def test_abort_ends_the_campaign_where_it_stands():
    lab = FakeLab(settings=Settings(approval=ApprovalSection(policy="hand")))
    lab.run()
    lab.decide(what="abort")
    state = lab.run()
    assert state.is_aborted
    assert decide(state, lab.clock.now(), lab.plan) == ()


def test_a_load_that_stopped_half_way_is_never_run_again_on_a_guess():
    lab = FakeLab()
    lab.device.fail["first.r0.run-0"] = {"transfers": [[1, 5000]]}
    state = lab.run()
    (fault,) = state.open_faults()
    assert fault.fault == "first.r0.run-0"
    assert fault.choices == ("accept", "lose-plate", "abort")
    lab.decide(what="answer", fault=fault.fault, choice="accept")
    assert lab.run().is_finished
    assert [k for k, _ in lab.device.log].count("first.r0.run-0") == 1


def test_the_policy_may_answer_for_a_person():
    lab = FakeLab(settings=Settings(faults=FaultsSection(partial_load="accept")))
    lab.device.fail["first.r0.run-0"] = {"transfers": [[1, 5000]]}
    state = lab.run()
    assert state.is_finished
    assert state.faults["first.r0.run-0"].by == "policy"


@pytest.mark.parametrize("told", [{"transfers": []}, {"transfers": [], "drawn": [[1, 5000]]}, {}])
def test_a_load_that_broke_off_in_its_first_transfer_is_never_run_again_on_a_guess(told):
    lab = FakeLab()
    lab.device.fail["first.r0.run-0"] = told
    (fault,) = lab.run().open_faults()
    assert fault.choices == ("accept", "lose-plate", "abort")


def test_a_load_that_the_device_did_not_take_may_be_retried():
    lab = FakeLab()
    lab.device.reject["first.r0.run-0"] = "protocol.json cannot be read"
    (fault,) = lab.run().open_faults()
    assert fault.choices == ("retry", "lose-plate", "abort")


def test_a_load_that_certainly_never_began_may_be_retried_under_a_new_key():
    lab = FakeLab()
    lab.device.fail["first.r0.run-0"] = {"transfers": [], "begun": 0}
    (fault,) = lab.run().open_faults()
    assert fault.choices == ("retry", "lose-plate", "abort")
    lab.decide(what="answer", fault=fault.fault, choice="retry")
    assert lab.run().is_finished
    assert [k for k, _ in lab.device.log if ".r0.run-0" in k] == ["first.r0.run-0", "first.r0.run-0.1"]


@pytest.mark.parametrize(("policy", "counts"), [("use", ("responses-0", "responses-1")), ("discard", ("responses-1",))])
def test_a_plate_that_fails_its_quality_control_counts_only_on_somebodys_word(policy, counts):
    lab = FakeLab(settings=Settings(faults=FaultsSection(failed_plate=policy)))
    lab.executor.bad_plates.add(0)
    assert lab.run().is_finished
    assert ("0.admit" in tasks_of(lab)) == (policy == "use")
    last_fit = [e for e in lab.journal.events if e.kind == "intent" and e.payload["task"] == "fit"][-1]
    assert tuple(n for n in last_fit.payload["action"]["inputs"] if n.startswith("responses")) == counts


def test_compounds_of_a_discarded_plate_are_not_picked_as_if_they_were_new():
    lab = FakeLab(settings=Settings(faults=FaultsSection(failed_plate="discard")))
    lab.executor.bad_plates.add(0)
    lab.run()
    pick = [e for e in lab.journal.events if e.kind == "intent" and e.payload["task"] == "pick"][-1]
    assert pick.payload["action"]["params"]["excluded"] == ["C0-0", "C0-1", "C0-2", "C0-3"]


def test_a_failed_step_asks_and_its_retry_is_a_new_action():
    lab = FakeLab()
    lab.executor.fail.add("first.r1.fit")
    (fault,) = lab.run().open_faults()
    assert fault.choices == ("retry", "abort")
    lab.decide(what="answer", fault=fault.fault, choice="retry")
    assert lab.run().is_finished


def test_a_device_that_refuses_is_asked_again_later_and_not_for_ever():
    lab = FakeLab()
    lab.device.refuse["first.r0.deck-0"] = 2
    assert lab.run().is_finished
    assert [k for k, _ in lab.device.log].count("first.r0.deck-0") == 1
    stubborn = FakeLab()
    stubborn.device.refuse["first.r0.deck-0"] = 99
    (fault,) = stubborn.run().open_faults()
    assert "could not be reached 5 times" in fault.question


def test_a_lost_reply_does_not_make_it_happen_twice():
    lab = FakeLab()
    lab.device.lose_reply |= {"first.r0.run-0", "first.r0.deck-0", "first.r0.acquire"}
    assert lab.run().is_finished
    keys = [k for k, _ in lab.device.log]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("choice", ["done", "not-done", "abort"])
def test_what_stays_unknown_becomes_a_question(choice):
    lab = FakeLab()
    lab.device.unknown.add("first.r0.deck-0")
    (fault,) = lab.run().open_faults()
    assert fault.choices == ("done", "not-done", "half-done", "abort")
    assert lab.run().open_faults() == (fault,), "waiting does not answer it"
    lab.decide(what="answer", fault=fault.fault, choice=choice)
    state = lab.run()
    assert state.is_aborted if choice == "abort" else state.is_finished
    again = [k for k, _ in lab.device.log if ".r0.deck-0" in k]
    assert again == ["first.r0.deck-0"] + (["first.r0.deck-0.1"] if choice == "not-done" else [])


def test_places_follow_confirmed_moves():
    lab = FakeLab(rounds=1)
    state = lab.run()
    assert state.places["NP-0001"] == "stack/done"
    assert all(p.startswith(("hotel/", "tips/", "stack/done")) for p in state.places.values())


def test_every_action_is_announced_before_it_is_tried():
    lab = FakeLab()
    lab.run()
    announced = {e.payload["key"]: e.seq for e in lab.journal.events if e.kind == "intent"}
    concluded = {e.payload["key"]: e.seq for e in lab.journal.events if e.kind == "outcome"}
    assert announced.keys() == concluded.keys()
    assert all(announced[k] < concluded[k] for k in announced)
    assert {k for k, _ in lab.device.log} <= announced.keys()


def test_actions_know_their_json_form():
    assert Compute("k", "fit", 0, "fit", {"a": "b"}, {}).body() == {"step": "fit", "inputs": {"a": "b"}, "params": {}}
    assert Operate("k", "clear", 0, "plate-mover", {"verb": "move"}).body()["device"] == "plate-mover"
    assert Note("proposal", {}).kind == "proposal"
    assert Wait(START).until == START
