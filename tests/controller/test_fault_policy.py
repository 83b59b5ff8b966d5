"""Faults are typed, and a policy answers what a lab lets it answer; a device that is late is a fault as well."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from controller_fakes import FakeLab

from controller.faults import stalled
from controller.loop import Loop
from controller.operators import why_not
from controller.settings import FaultsSection, Settings
from controller.state import fold
from nextplate.errors import SettingsError
from nextplate.schedule import late_s, usual_s


def lab_with(**policy) -> FakeLab:
    return FakeLab(rounds=2, settings=Settings(faults=FaultsSection(policy=policy)))


def keys(lab: FakeLab, task: str) -> list[str]:
    return [key for key, _ in lab.device.log if f".{task}" in key]


def test_a_failed_imaging_is_tried_again_as_often_as_the_lab_says_and_later_every_time():
    lab = lab_with(imager=("retry", "retry", "park"))
    lab.device.fail |= {"first.r0.acquire": {}, "first.r0.acquire.1": {}}
    state = lab.run()
    assert state.is_finished
    assert keys(lab, "acquire")[:3] == ["first.r0.acquire", "first.r0.acquire.1", "first.r0.acquire.2"]
    answers = [e for e in lab.journal.events if e.kind == "decision" and e.payload["what"] == "answer"]
    faults = [e for e in lab.journal.events if e.kind == "fault"]
    assert [(e.payload["choice"], e.payload["by"]) for e in answers] == [("retry", "policy")] * 2
    assert [a.time - f.time for a, f in zip(answers, faults, strict=True)] == [
        timedelta(seconds=30),
        timedelta(seconds=60),
    ]


def test_when_retries_are_used_up_the_plate_is_parked_and_the_night_goes_on():
    lab = lab_with(imager=("retry", "park"))
    lab.device.fail |= {"first.r0.acquire": {}, "first.r0.acquire.1": {}}
    state = lab.run()
    assert state.is_finished
    assert state.places["NP-0001"] == "stack/done"
    assert keys(lab, "park") == ["first.r0.park"]
    assert state.outcome("acquire", 1).is_done


@pytest.mark.parametrize("task", ["store", "acquire"])
def test_a_plate_can_be_parked_from_where_it_is_known_to_stand(task):
    lab = FakeLab(rounds=1)
    lab.device.fail[f"first.r0.{task}"] = {}
    (fault,) = lab.run().open_faults()
    assert "park" in fault.choices
    lab.decide(what="answer", fault=fault.fault, choice="park")
    assert lab.run().is_finished
    assert len(keys(lab, "park")) == 1


def test_a_fetch_that_failed_may_have_left_the_plate_anywhere_and_is_not_parked():
    lab = FakeLab(rounds=1)
    lab.device.fail["first.r0.fetch"] = {}
    (fault,) = lab.run().open_faults()
    assert "park" not in fault.choices


def test_a_plate_that_is_lost_after_it_was_imaged_is_measured_all_the_same():
    lab = FakeLab(rounds=1)
    lab.device.fail["first.r0.unstage"] = {}
    lab.run()
    lab.decide(what="answer", fault="first.r0.unstage", choice="lose-plate")
    state = lab.run()
    assert state.is_finished
    assert state.outcome("normalise", 0).is_done


def test_what_was_never_seen_is_late_as_well_and_counts_from_when_the_device_had_it():
    lab = FakeLab(rounds=1)
    lab.device.delays = {"first.r0.acquire": timedelta(days=3)}
    lab.run()
    (stall,) = [e for e in lab.journal.events if e.kind == "fault"]
    accepted = next(e for e in lab.journal.events if e.kind == "accepted" and e.payload["key"] == "first.r0.acquire")
    assert timedelta(hours=1) <= stall.time - accepted.time < timedelta(hours=6)


def test_a_lab_without_a_policy_asks():
    lab = FakeLab(rounds=1)
    lab.device.fail["first.r0.acquire"] = {}
    (fault,) = lab.run().open_faults()
    assert fault.kind == "failed"
    assert not [e for e in lab.journal.events if e.kind == "decision" and e.payload.get("what") == "answer"]


def test_an_answer_that_a_fault_does_not_offer_is_left_to_a_person():
    lab = lab_with(**{"plate-mover": ("park",)})
    lab.device.fail["first.r0.stage"] = {}
    assert [f.key for f in lab.run().open_faults()] == ["first.r0.stage"]


def test_a_failed_step_is_tried_again():
    lab = lab_with(step=("retry",))
    lab.executor.fail.add("first.r0.pick")
    state = lab.run()
    assert state.is_finished
    assert "first.r0.pick.1" in state.outcomes


def test_a_device_that_is_late_is_a_fault_and_its_own_word_ends_it():
    lab = FakeLab(rounds=5)
    slow = {"first.r4.acquire": timedelta(hours=9)}
    lab.device.delays = slow
    state = lab.run()
    stalls = [e for e in lab.journal.events if e.kind == "fault" and e.payload["kind"] == "stall"]
    assert [e.payload["key"] for e in stalls] == ["first.r4.acquire"]
    assert stalls[0].payload["choices"] == ["wait"]
    began = next(e for e in lab.journal.events if e.kind == "intent" and e.payload["key"] == "first.r4.acquire")
    assert timedelta(minutes=7) < stalls[0].time - began.time < timedelta(minutes=30)
    assert state.is_finished, "it ended after all, and nobody had to come"
    assert not state.open_faults()


ACQUIRE = "first.r4.acquire"


def stalled_lab(hours: float = 9) -> tuple[FakeLab, Loop]:
    """A lab whose imager is late, at the moment when somebody is asked."""
    lab = FakeLab(rounds=5)
    lab.device.delays = {ACQUIRE: timedelta(hours=hours)}
    loop = lab.start()
    while not loop.state.open_faults():
        waits, _ = loop._take_turns()
        loop._rest(waits, loop._observe())
    return lab, loop


def asked_at(lab: FakeLab) -> list[datetime]:
    return [e.time for e in lab.journal.events if e.kind == "fault" and e.payload["key"] == ACQUIRE]


@pytest.mark.parametrize("told", [{}, {"wait_s": 7200.0}])
def test_who_was_told_to_wait_is_asked_again_when_that_is_over(told):
    lab, loop = stalled_lab()
    lab.decide(what="answer", fault=ACQUIRE, choice="wait", **told)
    began = next(e for e in lab.journal.events if e.kind == "intent" and e.payload["key"] == ACQUIRE)
    (first,) = asked_at(lab)
    while len(asked_at(lab)) < 2:
        waits, _ = loop._take_turns()
        loop._rest(waits, loop._observe())
    again = asked_at(lab)[1] - first
    patience = timedelta(seconds=told["wait_s"]) if told else first - began.time
    assert timedelta(0) <= again - patience < timedelta(minutes=10)
    (fault,) = loop.state.open_faults()
    assert "ann said wait" in fault.question
    lab.decide(what="answer", fault=ACQUIRE, choice="wait", wait_s=86400.0)
    loop.run()
    assert len(asked_at(lab)) == 2, "a day is longer than it takes"
    assert fold(lab.journal.events).is_finished


def test_waiting_is_no_word_about_the_fate_of_an_action():
    lab, loop = stalled_lab()
    before = len(lab.journal.events)
    lab.decide(what="answer", fault=ACQUIRE, choice="wait", wait_s=86400.0)
    loop.run()
    after = lab.journal.events[before:]
    assert [e.kind for e in after if e.payload.get("key") == ACQUIRE] == ["outcome"]


@pytest.mark.parametrize(("took_min", "late_min"), [((), 300), ((1, 1, 1), 15), ((60, 60, 60), 90)])
def test_a_computing_step_that_takes_longer_than_it_ever_does_is_a_fault_too(took_min, late_min):
    lab = FakeLab(rounds=2)
    lab.run()
    fit = next(e for e in lab.journal.events if e.kind == "intent" and e.payload["task"] == "fit")
    state = replace(fold(lab.journal.events[: fit.seq]), took_s={"step fit": tuple(60.0 * m for m in took_min)})
    notes, (limit,) = stalled(state, fit.time)
    assert (notes, limit - fit.time >= timedelta(minutes=late_min)) == ([], True)
    (note,), times = stalled(state, limit)
    assert times == []
    assert note.payload["choices"] == ["wait"]
    assert "step fit" in note.payload["question"]
    asked = replace(fit, seq=fit.seq + 1, kind="fault", time=limit, payload=note.payload)
    assert stalled(fold([asked], state), limit + timedelta(hours=1)) == ([], []), "asked once"


def test_what_computing_takes_is_learned():
    lab = FakeLab(rounds=2)
    lab.run()
    fit = next(e for e in lab.journal.events if e.kind == "outcome" and e.payload["key"] == "first.r1.fit")
    ended = replace(fit, time=fit.time + timedelta(seconds=90))
    assert fold([*lab.journal.events[: fit.seq - 1], ended]).took_s["step fit"] == (90,)


def test_of_several_plates_a_person_may_say_which_arrived():
    lab = FakeLab(rounds=1)
    deck = "first.r0.deck-0"
    lab.device.unknown.add(deck)
    (fault,) = lab.run().open_faults()
    assert "half-done" in fault.choices
    lab.decide(what="answer", fault=deck, choice="half-done", arrived=["SRC-0"])
    state = lab.run()
    moved = {key: [m.barcode for m in command.moves] for key, command in lab.device.log if ".deck-0" in key}
    assert moved[f"{deck}.1"] == ["NP-0001", "TIPS-0"], "what arrived is not carried again"
    assert state.is_finished
    assert state.outcomes[deck].result["moved"] == ["SRC-0"]


@pytest.mark.parametrize(
    ("told", "why"),
    [({}, "which plates arrived"), ({"arrived": ["X"]}, "'X' was not to be moved"),
     ({"arrived": ["SRC-0", "NP-0001", "TIPS-0"]}, "all are done"),
     ({"choice": "done", "arrived": ["SRC-0"]}, "leave it out"), ({"choice": "done", "wait_s": 60}, "leave it out")],
)  # fmt: skip
def test_half_an_answer_is_refused(told, why):
    lab = FakeLab(rounds=1)
    lab.device.unknown.add("first.r0.deck-0")
    state = lab.run()
    decision = {"what": "answer", "fault": "first.r0.deck-0", "choice": "half-done", "by": "ann", **told}
    assert why in str(why_not(state, decision))


def test_a_policy_with_an_answer_nobody_knows_is_refused(tmp_path):
    from controller.settings import load_settings

    (tmp_path / "lab.toml").write_text('[faults]\npolicy = { imager = ["pray"] }\n')
    with pytest.raises(SettingsError, match=r"lab\.toml:2"):
        load_settings(tmp_path / "lab.toml")


@pytest.mark.parametrize(
    ("samples", "level"), [([60.0] * 3, 0.99), ([50, 60, 70, 65, 55] * 10, 0.99), ([1.0, 2.0, 4.0], 0.9)]
)
def test_what_is_late_lies_above_what_is_usual(samples, level):
    assert late_s(samples, level) > max(samples[0], usual_s(samples))


def test_few_durations_make_nothing_late():
    assert late_s([60.0, 61.0]) is None
    assert usual_s([]) is None


def test_the_limit_holds_for_as_many_as_it_says():
    import numpy as np

    rng = np.random.default_rng(3)
    draws = np.exp(rng.normal(4.0, 0.3, (2000, 21)))
    within = np.mean([row[-1] <= late_s(list(row[:-1]), 0.95) for row in draws])
    assert abs(within - 0.95) < 0.02


def test_reports_of_a_device_that_is_late_do_not_hide_its_fault():
    lab = FakeLab(rounds=5)
    lab.device.delays = {"first.r4.acquire": timedelta(hours=2)}
    lab.run()
    kinds = [e.kind for e in lab.journal.events if e.payload.get("key") == "first.r4.acquire"]
    assert kinds == ["intent", "accepted", "fault", "outcome"]
