"""Plates are begun so that each is imaged in its time, though they share one imager."""

from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta

import pytest
from controller_fakes import START, FakeClock, FakeLab

from controller.loop import Loop
from controller.nightly.windows import Windows, windows_of
from controller.oversight import OverseenLoop
from controller.preflight.rehearsal import Hours
from controller.recipe.order import late_min
from controller.settings import AssaySection, Settings
from controller.state import fold
from controller.timing import Remembered, foreseen
from nextplate.schedule import gantt

NAMES = ("first", "second", "third", "fourth")


def lab_of(tolerance_min, imaging_min=50, **kwargs) -> FakeLab:
    settings = Settings(assay=AssaySection(incubation_h=6.0, incubation_tolerance_min=tolerance_min))
    lab = FakeLab(rounds=2, settings=settings, **kwargs)
    for name in NAMES[1:]:
        lab.begin(name, beside=True)
    minutes = {"acquire": imaging_min, "store": 1, "fetch": 1, "stage": 2, "unstage": 2, "clear": 2, "run-0": 15}
    minutes |= {"deck-0": 2, "deck-1": 2, "run-1": 15}
    lab.device.takes = {task: timedelta(minutes=m) for task, m in minutes.items()}
    return lab


def exposures_min(lab: FakeLab, number: int) -> dict[str, float]:
    stored = {e.campaign: e.time for e in lab.journal.events
              if e.kind == "outcome" and e.payload["key"].endswith(f".r{number}.store")}  # fmt: skip
    imaged = {e.campaign: e.time for e in lab.journal.events
              if e.kind == "intent" and e.payload["key"].endswith(f".r{number}.acquire")}  # fmt: skip
    return {name: (imaged[name] - stored[name]).total_seconds() / 60 for name in NAMES}


def test_without_a_tolerance_plates_wait_for_the_imager():
    lab = lab_of(None)
    assert all(lab.run().focused(name).is_finished for name in NAMES)
    assert max(exposures_min(lab, 0).values()) > 360 + 60


@pytest.mark.parametrize("number", [0, 1])
def test_every_plate_is_imaged_in_its_window(number):
    lab = lab_of(20, imaging_min=50 if number else 30)
    assert all(lab.run().focused(name).is_finished for name in NAMES)
    assert all(360 <= minutes <= 380 for minutes in exposures_min(lab, number).values()), exposures_min(lab, number)


def test_what_devices_take_is_learned_from_the_journal():
    lab = lab_of(20, imaging_min=100)
    state = lab.run()
    assert state.took_s["imager acquire"][-1] == 6000
    # the first plates are begun on a guess of 30 min; those of the second round on what was seen
    assert all(minutes <= 380 for minutes in exposures_min(lab, 1).values())


def test_a_plate_imaged_too_late_is_told_to_be():
    lab = lab_of(20, imaging_min=100)
    state = lab.run()
    late = {n: late_min(state.focused(n), plan, 0) for n, plan in zip(NAMES, lab.plans, strict=True)}
    measured = exposures_min(lab, 0)
    assert any(late.values())
    for name, minutes in late.items():
        assert (minutes or 0) == pytest.approx(max(0, measured[name] - 380), abs=0.1)
    params = [e.payload["action"]["params"] for e in lab.journal.events
              if e.kind == "intent" and e.payload["task"] == "normalise" and e.payload["round"] == 0]  # fmt: skip
    assert sorted(p["late_min"] for p in params if "late_min" in p) == sorted(m for m in late.values() if m)


def test_what_is_foreseen_has_no_conflict_and_keeps_every_window():
    lab = lab_of(20, imaging_min=30)
    lab.run()
    for n in range(20, len(lab.journal.events), 9):
        state, now = fold(lab.journal.events[:n]), lab.journal.events[n - 1].time
        plans = [plan for plan in lab.plans if plan.name in state.campaigns]
        schedule = foreseen(state, now, plans)
        assert gantt(schedule)
        assert not schedule.broken


def test_killed_while_a_plate_waits_for_its_time_it_waits_on():
    calm = lab_of(20)
    calm.run()
    for commit in range(60, calm.journal.n_appends, 40):
        lab = lab_of(20)
        lab.journal.die_at = commit
        lab.run()
        assert exposures_min(lab, 0) == exposures_min(calm, 0)


def two_due(delay: timedelta) -> FakeLab:
    """Plate "first" has a time to keep; that of "second" has none, and went into the incubator with a delay."""
    lab = lab_of(15, imaging_min=50)
    lab.plans = lab.plans[:1]
    assay = {**lab.plan.settings["assay"], "incubation_tolerance_min": None, "incubation_h": 2.0}
    lab.plan = replace(lab.plan, settings={**lab.plan.settings, "assay": assay})
    lab.begin("second", beside=True)
    lab.device.delays = {"second.r0.store": delay}
    assert all(lab.run().focused(name).is_finished for name in ("first", "second"))
    return lab


def began(lab: FakeLab, key: str) -> datetime:
    return next(e.time for e in lab.journal.events if e.kind == "intent" and e.payload["key"] == key)


@pytest.mark.parametrize("minutes_before", [5, 25])
def test_a_plate_that_may_wait_lets_one_pass_that_has_a_time_to_keep(minutes_before):
    on_time = two_due(timedelta(0))
    gap = began(on_time, "first.r0.fetch") - began(on_time, "second.r0.fetch")
    lab = two_due(gap - timedelta(minutes=minutes_before))
    assert late_min(fold(lab.journal.events).focused("first"), lab.plans[0], 0) is None
    assert began(lab, "second.r0.fetch") > began(lab, "first.r0.fetch")


@dataclass
class NightLab(FakeLab):
    windows: Windows = field(default_factory=lambda: windows_of((), "UTC"))
    is_foresighted: bool = True

    def start(self) -> Loop:
        loop, hours = super().start(), Hours(self.windows)
        values = {f.name: getattr(loop, f.name) for f in fields(loop) if not f.name.startswith("_")}
        if self.is_foresighted:
            values["closed"] = hours.closed
        return OverseenLoop(**values, overseer=hours)


def night_lab(window: str, hour: int, *, is_foresighted: bool = True) -> NightLab:
    """A plate that incubates for six hours, proven at some hour of the night."""
    settings = Settings(assay=AssaySection(incubation_h=6.0, incubation_tolerance_min=15))
    clock = FakeClock(START.replace(hour=hour))
    return NightLab(settings, 1, clock, windows=windows_of((window,), "UTC"), is_foresighted=is_foresighted)


@pytest.mark.parametrize(("hour", "begins"), [(17, 20), (22, 22), (1, 20)])
def test_a_plate_is_begun_when_its_incubation_ends_while_robots_may_move(hour, begins):
    lab = night_lab("20:00-06:00", hour)
    state = lab.run()
    assert state.is_finished
    assert late_min(state, lab.plan, 0) is None
    assert began(lab, "first.r0.deck-0").hour == begins
    assert not [e for e in lab.journal.events if e.kind == "proposal"], "nobody has to be asked"


def test_without_foresight_the_same_plate_would_be_late():
    lab = night_lab("20:00-06:00", 1, is_foresighted=False)
    assert (late_min(lab.run(), lab.plan, 0) or 0) > 600


def test_a_time_that_no_beginning_can_keep_is_told_before_the_plate_is_begun():
    lab = night_lab("20:00-22:00", 17)
    state = lab.run()
    assert state.open_proposals() == (0,)
    assert "robots may not move at all times" in state.proposals[0].question
    assert not lab.device.log
    lab.decide(what="approve", round=0, digest=state.proposals[0].digest)
    state = lab.run()
    assert state.is_finished, "who was told may say yes all the same"
    assert began(lab, "first.r0.deck-0").hour == 20
    assert (late_min(state, lab.plan, 0) or 0) > 600


def test_a_window_too_short_for_a_load_stops_nobody_from_beginning():
    lab = night_lab("20:00-20:05", 17)
    state = lab.run()
    assert "there is no time" in state.proposals[0].question
    assert lab.clock.time == START


def test_what_is_due_is_remembered_until_something_happens_or_a_minute_has_passed(monkeypatch):
    lab = lab_of(20)
    head, asked = [7], []
    then = START + timedelta(hours=1)

    def told(*_args: object) -> datetime:
        asked.append(1)
        return then

    monkeypatch.setattr("controller.timing.due", told)
    remembered = Remembered(lambda: head[0])

    def at(minutes: float) -> datetime | None:
        return remembered(fold([]), START + timedelta(minutes=minutes), lab.plan, lab.plans, "deck-0")

    assert [at(0), at(0.5), at(0.9)] == [then] * 3
    assert len(asked) == 1
    at(1.0)
    head[0] = 8
    at(1.1)
    assert len(asked) == 3
