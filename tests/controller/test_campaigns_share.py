"""Several campaigns share one lab: every plate once, no device or place twice at a time, nobody starves."""

from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest
from controller_fakes import START, FakeLab, spans, tasks

from controller.decide import decide
from controller.floor import holds, turns, why_wait
from controller.recipe import PLANNING, after_loads, barcode_of
from controller.settings import ApprovalSection, AssaySection, CampaignSection, Settings
from controller.state import fold

NAMES = ("first", "second", "third", "fourth")
PLATE = [
    *(t for t in PLANNING if t != "approve"),
    "deck-0",
    "run-0",
    "deck-1",
    "run-1",
    *after_loads(FakeLab().plan),
    "evaluate",
]


def four(**kwargs) -> FakeLab:
    lab = FakeLab(rounds=1, **kwargs)
    for name in NAMES[1:]:
        lab.begin(name, beside=True)
    return lab


def test_every_campaign_walks_its_own_recipe_to_the_end():
    lab = four()
    state = lab.run()
    for name in NAMES:
        assert tasks(lab, name) == PLATE
        assert state.focused(name).is_finished
    assert not state.pending()
    physical = Counter(key for key, _ in lab.device.log)
    assert set(physical.values()) == {1}
    plates = [e.payload["action"]["params"]["barcode"] for e in lab.journal.events
              if e.kind == "intent" and e.payload["task"] == "layout"]  # fmt: skip
    assert sorted(plates) == ["NP-0001", "NP-0002", "NP-0003", "NP-0004"]


def test_four_plates_take_hardly_longer_than_one_because_they_incubate_together():
    alone, together = FakeLab(rounds=1), four()
    alone.run(), together.run()
    assert together.clock.now() - START < (alone.clock.now() - START) + timedelta(hours=4)


@pytest.mark.parametrize("hold", holds(FakeLab().plan), ids=lambda h: f"{h.first}..{h.last}")
def test_nobody_gets_what_another_holds(hold):
    lab = four()
    lab.run()
    for (_, end, one), (begin, _, other) in pairwise(spans(lab.journal.events, hold.first, hold.last)):
        assert end < begin, f"{other} took {hold.what} from {one}"


def test_a_device_is_given_one_thing_at_a_time():
    lab = four()
    lab.run()
    busy: dict[str, str] = {}
    for e in lab.journal.events:
        if e.kind == "intent" and "device" in e.payload["action"]:
            assert e.payload["action"]["device"] not in busy.values()
            busy[e.payload["key"]] = e.payload["action"]["device"]
        if e.kind == "outcome":
            busy.pop(e.payload["key"], None)


@pytest.mark.parametrize("after_commit", [False, True])
def test_killed_at_any_commit_everything_happens_once(after_commit):
    calm = four()
    wanted = calm.run()
    for commit in range(5 + after_commit, calm.journal.n_appends, 4):
        lab = four()
        lab.journal.die_at, lab.journal.die_after_commit = commit, after_commit
        state = lab.run()
        assert all(state.focused(name).is_finished for name in NAMES), commit
        assert Counter(k for k, _ in lab.device.log) == Counter(k for k, _ in calm.device.log), commit
        assert dict(state.places) == dict(wanted.places)


def test_a_round_that_waits_for_approval_does_not_stop_the_others():
    lab = FakeLab(rounds=1)
    lab.begin("held", beside=True, policy="hand")
    lab.begin("third", beside=True)
    state = lab.run()
    assert state.focused("held").open_proposals() == (0,)
    assert [n for n in ("first", "third") if state.focused(n).is_finished] == ["first", "third"]
    assert tasks(lab, "held")[-1] == "propose"
    lab.decide(what="approve", round=0, campaign="held")
    assert lab.run().focused("held").is_finished


def test_a_fault_stops_its_own_plate_and_who_needs_where_it_stands():
    lab = four()
    lab.device.fail["second.r0.acquire"] = {}
    state = lab.run()
    (fault,) = state.open_faults()
    assert fault.key == "second.r0.acquire"
    assert state.places[barcode_of(state.focused("second"), lab.plans[1], 0)] == "imager"
    stuck = [plan for plan in lab.plans if not state.focused(plan.name).is_finished]
    assert [plan.name for plan in stuck] == ["second", "third"], "the fourth was imaged before"
    assert "imager is held by campaign 'second'" in str(why_wait(state, stuck[1], lab.plans, "fetch"))
    lab.decide(what="answer", fault=fault.fault, choice="lose-plate")
    state = lab.run()
    assert all(state.focused(name).is_finished for name in NAMES)


def test_what_nobody_can_tell_keeps_that_device_still_and_lets_the_rest_work():
    lab = four()
    lab.device.unknown.add("first.r0.run-0")
    state = lab.run()
    assert [f.key for f in state.open_faults()] == ["first.r0.run-0"]
    assert not [k for k, _ in lab.device.log if "run-" in k and not k.startswith("first")]
    for name in NAMES[1:]:
        assert tasks(lab, name)[:4] == ["pick", "layout", "compile", "check"]
    lab.device.unknown.clear()
    state = lab.run()
    assert all(state.focused(name).is_finished for name in NAMES)


def test_the_higher_priority_goes_first_and_waiting_raises_it():
    lab = FakeLab(rounds=1)
    lab.begin("urgent", beside=True, priority=3)
    state = fold(lab.journal.events)
    assert [p.name for p in turns(state, START, lab.plans)] == ["urgent", "first"]
    lab.run()
    decks = [e.campaign for e in lab.journal.events if e.kind == "intent" and e.payload["task"] == "deck-0"]
    assert decks == ["urgent", "first"]


@pytest.mark.parametrize(("waited_h", "first"), [(11, "urgent"), (13, "first")])
def test_nobody_waits_for_ever_behind_a_higher_priority(waited_h, first):
    lab = FakeLab(rounds=1, settings=Settings(approval=ApprovalSection(policy="hand")))
    lab.run()
    lab.clock.time += timedelta(hours=waited_h)
    lab.begin("urgent", beside=True, priority=3, policy="hand")
    state = lab.run()
    assert len(state.focused("urgent").open_proposals()) == 1
    assert turns(state, lab.clock.now(), lab.plans)[0].name == first


def test_decide_is_pure_with_many_campaigns():
    lab = four()
    lab.run()
    for n in range(4, len(lab.journal.events), 7):
        state, now = fold(lab.journal.events[:n]), lab.journal.events[n - 1].time
        for plan in lab.plans:
            if plan.name in state.campaigns:
                view = state.focused(plan.name)
                assert decide(view, now, plan, lab.plans) == decide(view, now, plan, lab.plans)


def test_two_runs_write_the_same_journal():
    one, two = four(), four()
    one.run(), two.run()
    assert [(e.kind, e.time, e.campaign, e.payload) for e in one.journal.events] == [
        (e.kind, e.time, e.campaign, e.payload) for e in two.journal.events
    ]


def test_what_an_aborted_campaign_is_still_at_is_nobody_elses():
    lab = FakeLab(rounds=1)
    lab.device.takes = {"run-0": timedelta(hours=2)}
    lab.begin("second", beside=True)
    loop = lab.start()
    while "first.r0.run-0" not in loop.state.accepted:
        waits, _ = loop._take_turns()
        loop._rest(waits, loop._observe())
    lab.decide(what="abort", campaign="first")
    loop.run()
    ended = next(e for e in lab.journal.events if e.kind == "outcome" and e.payload["key"] == "first.r0.run-0")
    begun = next(e for e in lab.journal.events if e.kind == "intent" and e.payload["key"] == "second.r0.deck-0")
    assert begun.seq > ended.seq
    assert loop.state.focused("second").is_finished


def test_a_plate_that_an_aborted_campaign_left_on_the_imager_is_carried_away_first():
    lab = FakeLab(rounds=1)
    lab.begin("second", beside=True)
    lab.device.fail["first.r0.acquire"] = {}
    state = lab.run()
    lab.decide(what="answer", fault="first.r0.acquire", choice="abort")
    state = lab.run()
    second = state.focused("second")
    assert "nextplate plate carried" in str(why_wait(second, lab.plans[1], lab.plans, "fetch"))
    assert not second.is_finished
    lab.decide(what="carried", plate=barcode_of(state.focused("first"), lab.plans[0], 0), place="stack/done")
    assert lab.run().focused("second").is_finished


@pytest.mark.parametrize("task", ["store", "acquire"])
def test_a_plate_that_is_parked_is_in_the_way_until_it_is_gone(task):
    lab = four()
    lab.device.fail[f"first.r0.{task}"] = {}
    lab.run()
    lab.decide(what="answer", fault=f"first.r0.{task}", choice="park")
    assert all(lab.run().focused(name).is_finished for name in NAMES)
    gone = next(e.seq for e in lab.journal.events if e.payload.get("key") == "first.r0.park" and e.kind == "outcome")
    failed = next(
        e.seq for e in lab.journal.events if e.payload.get("key") == f"first.r0.{task}" and e.kind == "outcome"
    )
    wanted = "clear" if task == "store" else "fetch"
    others = [
        e for e in lab.journal.events if e.kind == "intent" and e.payload["task"] == wanted and e.campaign != "first"
    ]
    assert not [e for e in others if failed < e.seq < gone]


@pytest.mark.parametrize("task", ["deck-0", "clear", "fetch"])
def test_who_tries_again_what_began_a_hold_has_kept_it(task):
    lab = four()
    lab.device.fail[f"second.r0.{task}"] = {}
    lab.run()
    lab.decide(what="answer", fault=f"second.r0.{task}", choice="retry")
    assert all(lab.run().focused(name).is_finished for name in NAMES)
    events = lab.journal.events
    failed = next(e.seq for e in events if e.payload.get("key") == f"second.r0.{task}" and e.kind == "outcome")
    again = next(e.seq for e in events if e.payload.get("key") == f"second.r0.{task}.1" and e.kind == "intent")
    same = {"deck-0": ("deck-0",), "clear": ("clear", "fetch"), "fetch": ("clear", "fetch")}[task]
    others = [e for e in events if e.kind == "intent" and e.payload["task"] in same and e.campaign != "second"]
    assert not [e for e in others if failed < e.seq < again]


def test_a_campaign_whose_plate_waits_for_a_person_does_not_stop_the_clock_of_others():
    settings = Settings(assay=AssaySection(incubation_h=6.0, incubation_tolerance_min=20))
    lab = FakeLab(rounds=1, settings=settings)
    lab.begin("second", beside=True)
    loop = lab.start()
    while "first.r0.store" not in loop.state.outcomes:
        waits, _ = loop._take_turns()
        loop._rest(waits, loop._observe())
    lab.decide(what="pause", campaign="first")
    loop.run()
    assert loop.state.focused("second").is_finished


def test_names_that_begin_alike_are_two_campaigns():
    lab = FakeLab(rounds=1)
    lab.begin("first.rerun", beside=True)
    state = lab.run()
    assert state.focused("first").is_finished
    assert state.focused("first.rerun").is_finished
    with pytest.raises(ValueError, match="how rounds are named"):
        CampaignSection(name="first.r1")
