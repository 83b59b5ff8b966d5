"""Killed at every step: the loop ends as if nothing had happened, and nothing physical happens twice."""

from dataclasses import replace
from datetime import timedelta

import pytest
from controller_fakes import FakeLab, Killed

from controller.recipe import margins
from controller.state import fold


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


def test_only_starts_and_sightings_differ_in_the_journal():
    calm, lab = undisturbed(), FakeLab(rounds=2)
    lab.journal.die_at, lab.journal.die_after_commit = 20, True
    lab.run()

    def story(one: FakeLab) -> list[tuple[object, ...]]:
        events = [e for e in one.journal.events if e.kind not in ("controller.started", "accepted")]
        return [(e.kind, e.time, e.payload) for e in events]

    assert story(lab) == story(calm)


def killed_before(key: str) -> FakeLab:
    """A lab whose controller announced an action and died before handing it over."""
    calm = undisturbed()
    seq = next(e.seq for e in calm.journal.events if e.kind == "intent" and e.payload["key"] == key)
    lab = FakeLab(rounds=2)
    lab.journal.die_at, lab.journal.die_after_commit = appends_until(seq), True
    with pytest.raises(Killed):
        lab.start().run()
    assert lab.journal.events[-1].payload["key"] == key
    return lab


def appends_until(seq: int) -> int:
    lab, n = FakeLab(rounds=2), 0
    lab.journal.die_after_commit = True
    while True:
        n += 1
        lab = FakeLab(rounds=2)
        lab.journal.die_at, lab.journal.die_after_commit = n, True
        try:
            lab.start().run()
        except Killed:
            if lab.journal.events[-1].seq >= seq:
                return n


RUN = "first.r0.run-0"


def runs(lab: FakeLab) -> list[str]:
    return [k for k, _ in lab.device.log if ".r0.run-0" in k]


@pytest.mark.parametrize(("choice", "expected"), [("done", []), ("not-done", [f"{RUN}.1"]), ("abort", [])])
def test_a_lost_intent_is_not_handed_over_against_a_persons_answer(choice, expected):
    lab = killed_before(RUN)
    lab.device.unknown.add(RUN)
    assert [f.fault for f in lab.run().open_faults()] == [RUN]
    lab.device.unknown.clear()
    lab.decide(what="answer", fault=RUN, choice=choice)
    lab.run()
    assert runs(lab) == expected


@pytest.mark.parametrize("what", ["abort", "pause"])
def test_a_lost_intent_is_not_begun_after_abort_or_pause(what):
    lab = killed_before(RUN)
    lab.decide(what=what)
    lab.run()
    assert runs(lab) == []


def test_the_next_campaign_does_not_carry_out_what_the_last_one_announced():
    lab = killed_before(RUN)
    lab.decide(what="abort")
    lab.run()
    lab.begin("second")
    lab.run()
    assert runs(lab) == ["second.r0.run-0"]


def test_the_devices_own_word_settles_an_open_question():
    lab = FakeLab(rounds=1)
    lab.device.unknown.add(RUN)
    assert lab.run().open_faults()
    lab.device.unknown.clear()
    state = lab.run()
    assert state.is_finished
    assert not state.faults
    assert runs(lab) == [RUN]


def test_a_device_that_forgets_what_it_had_is_a_question_even_after_a_restart():
    lab = FakeLab(rounds=1)
    lab.device.forget_at_poll = RUN
    (fault,) = lab.run().open_faults()
    assert "knows nothing of it now" in fault.question
    assert lab.run().open_faults() == (fault,)
    assert runs(lab) == [RUN]


def test_a_load_written_off_is_not_run_again_and_the_campaign_goes_on():
    lab = FakeLab(rounds=1)
    lab.device.unknown.add(RUN)
    (fault,) = lab.run().open_faults()
    assert fault.choices == ("done", "not-done", "write-off", "abort")
    lab.decide(what="answer", fault=RUN, choice="write-off")
    assert lab.run().is_finished
    assert runs(lab) == [RUN]


@pytest.mark.parametrize("task", ["run-0", "store", "acquire", "measure"])
def test_a_lost_plate_does_not_end_the_campaign(task):
    lab = FakeLab(rounds=2)
    key = f"first.r0.{task}"
    if task == "measure":
        lab.executor.fail.add(key)
    else:
        lab.device.fail[key] = {"transfers": [[1, 5000]]} if task == "run-0" else {}
    (fault,) = lab.run().open_faults()
    lab.decide(what="answer", fault=fault.fault, choice="lose-plate")
    state = lab.run()
    assert state.is_finished
    assert "NP-0001" not in state.places
    assert state.places["NP-0002"] == "stack/done"
    pick = [e for e in lab.journal.events if e.kind == "intent" and e.payload["task"] == "pick"][-1]
    assert pick.payload["action"]["params"]["excluded"] == [f"C0-{n}" for n in range(4)]


def test_an_old_campaigns_question_does_not_bother_the_next():
    lab = FakeLab(rounds=1)
    lab.executor.fail.add("first.r0.compile")
    (fault,) = lab.run().open_faults()
    lab.decide(what="abort")
    lab.run()
    lab.begin("second")
    state = lab.run()
    assert state.is_finished
    assert fault.fault not in state.faults


HOURS = timedelta(hours=3)


def away_while_storing(says_when: bool) -> FakeLab:
    """A lab whose controller died when the incubator had taken a plate, and came back three hours later."""
    lab = FakeLab(rounds=1)
    lab.device.says_when, lab.device.die_after_submit = says_when, "first.r0.store"
    with pytest.raises(Killed):
        lab.start().run()
    lab.clock.time += HOURS
    lab.run()
    return lab


def test_an_incubation_never_counts_from_before_the_plate_could_have_gone_in():
    """Killed before the device had it, handed over by a second process that dies before it can say so."""
    lab = FakeLab(rounds=1)
    lab.device.says_when, lab.device.die_before_submit = False, "first.r0.store"
    loop = lab.start()
    with pytest.raises(Killed):
        loop.run()
    lab.clock.time += HOURS
    lab.device.die_after_submit = "first.r0.store"
    given = lab.clock.now()
    with pytest.raises(Killed):
        lab.start().run()
    lab.clock.time += HOURS
    state = lab.run()
    fetched = state.intents["first.r0.fetch"].time
    assert fetched - given >= timedelta(hours=24)


@pytest.mark.parametrize(("says_when", "by", "minutes"), [(True, "device", 7), (False, "usual", 1)])
def test_an_incubation_counts_from_when_the_plate_went_in_not_from_when_somebody_noticed(says_when, by, minutes):
    lab = away_while_storing(says_when)
    began, stored = (e for e in lab.journal.events if e.payload.get("key") == "first.r0.store" and e.kind != "accepted")
    fetched = next(e for e in lab.journal.events if e.kind == "intent" and e.payload["task"] == "fetch")
    assert (stored.time - began.time, stored.payload["ended_by"]) == (HOURS, by)
    assert fetched.time - began.time == timedelta(hours=24, minutes=minutes)


def test_a_plate_is_as_late_as_it_was_though_nobody_saw_it_go_in():
    lab = away_while_storing(says_when=True)
    assay = {**lab.plan.settings["assay"], "incubation_tolerance_min": 15}
    plan = replace(lab.plan, settings={**lab.plan.settings, "assay": assay})
    state = fold(lab.journal.events)
    stored, imaged = state.outcomes["first.r0.store"], state.intents["first.r0.acquire"]
    (left,) = margins(state, plan, 0)
    assert left == timedelta(hours=24, minutes=15) - (imaged.time - stored.ended)
    assert stored.ended == stored.time - HOURS + timedelta(minutes=7)


def test_where_somebody_looked_all_along_the_journal_says_nothing_more():
    lab = FakeLab(rounds=1)
    lab.device.says_when = False
    lab.run()
    assert not any("ended" in e.payload for e in lab.journal.events)
