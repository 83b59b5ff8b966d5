"""A device whose sensor is out of its band is given nothing new, ends what it does, and goes on by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from controller_fakes import START, FakeDevice, FakeLab

from controller.loop import Loop
from controller.sensing import SensorWatch
from controller.settings import Settings
from controller.settings.devices import SensorsSection
from controller.state import LabState
from drivers.ports import Sensing

BANDS = {"incubator": {"temperature_c": (36.0, 38.0), "door_open": (0.0, 0.0)}}
HOUR = timedelta(hours=1)


@dataclass
class WarmDevice(FakeDevice):
    """A fake device with sensors."""

    said: list[tuple[timedelta, timedelta, str, float]] = field(default_factory=list)

    def readings(self) -> Mapping[str, float]:
        calm = {"temperature_c": 37.0, "door_open": 0.0}
        since = self.clock.now() - START
        return calm | {name: value for start, end, name, value in self.said if start <= since < end}


class WarmLab(FakeLab):
    """A fake lab whose incubator has sensors."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.device = WarmDevice(self.clock)

    def start(self) -> Loop:
        loop = super().start()
        watch = SensorWatch(BANDS, loop.devices, timedelta(minutes=1))
        take = loop.rim.inbox

        def news(state: LabState):
            decisions, rows = take(state)
            return [*decisions, *watch.news(state, self.clock.now())], rows

        wakes = lambda state, is_idle: watch.wakes(state, self.clock.now(), is_idle=is_idle)  # noqa: E731
        loop.rim = replace(loop.rim, inbox=news, wakes=wakes)
        return loop


def times(lab: FakeLab, kind: str) -> list[datetime]:
    return [e.time for e in lab.journal.events if e.kind == kind]


def began(lab: FakeLab, task: str) -> datetime:
    return next(e.time for e in lab.journal.events if e.kind == "intent" and e.payload["task"] == task)


def test_a_device_out_of_its_band_waits_and_goes_on_by_itself():
    lab = WarmLab(rounds=1)
    lab.device.said = [(timedelta(minutes=10), 3 * HOUR, "temperature_c", 41.0)]
    assert lab.run().is_finished
    (out,), (back,) = times(lab, "device.suspended"), times(lab, "device.resumed")
    assert timedelta(minutes=10) <= out - START <= timedelta(minutes=11)
    assert 3 * HOUR <= back - START <= 3 * HOUR + timedelta(minutes=1)
    assert began(lab, "run-1") < back, "only the device named is suspended"
    assert began(lab, "clear") < back
    assert began(lab, "store") >= back
    told = next(e.payload for e in lab.journal.events if e.kind == "device.suspended")
    assert told == {"device": "incubator", "reading": "temperature_c", "value": 41.0, "band": [36.0, 38.0]}


def test_what_a_device_does_when_it_is_suspended_it_ends():
    calm = WarmLab(rounds=1)
    calm.run()
    store = began(calm, "store") - START
    lab = WarmLab(rounds=1)
    lab.device.said = [(store + timedelta(minutes=2), store + HOUR, "door_open", 1.0)]
    lab.run()
    ended = next(e.time for e in lab.journal.events if e.kind == "outcome" and e.payload["key"] == "first.r0.store")
    assert ended - START < store + timedelta(minutes=10), "not after the hour"
    assert [k for k, _ in lab.device.log] == [k for k, _ in calm.device.log]


def test_two_readings_must_both_be_back():
    lab = WarmLab(rounds=1)
    lab.device.said = [(HOUR / 6, 2 * HOUR, "temperature_c", 35.0), (HOUR / 6, 4 * HOUR, "door_open", 1.0)]
    lab.run()
    assert len(times(lab, "device.suspended")) == 2
    assert began(lab, "store") - START >= 4 * HOUR


@pytest.mark.parametrize("after_commit", [False, True])
def test_killed_while_suspended_it_is_suspended_still(after_commit):
    calm = WarmLab(rounds=1)
    calm.device.said = [(timedelta(minutes=10), 3 * HOUR, "temperature_c", 41.0)]
    calm.run()
    at = next(e.seq for e in calm.journal.events if e.kind == "device.suspended")
    for commit in range(at - 1, at + 3):
        lab = WarmLab(rounds=1)
        lab.device.said = calm.device.said
        lab.journal.die_at, lab.journal.die_after_commit = commit, after_commit
        assert lab.run().is_finished
        assert len(times(lab, "device.suspended")) == 1
        assert [k for k, _ in lab.device.log] == [k for k, _ in calm.device.log]


def test_a_sensor_that_never_comes_back_ends_the_run_for_a_person():
    lab = WarmLab(rounds=1)
    lab.device.said = [(timedelta(minutes=10), timedelta(days=400), "temperature_c", 20.0)]
    state = lab.run()
    assert not state.is_finished
    assert lab.clock.now() - START < timedelta(days=8)


def test_a_device_without_sensors_suspends_nothing():
    lab = FakeLab()
    assert not isinstance(lab.device, Sensing)
    watch = SensorWatch(BANDS, {"incubator": lab.device}, timedelta(minutes=1))
    assert watch.news(LabState(), START) == []


@pytest.mark.parametrize("band", [[38.0, 36.0], [36.0], ["warm", "hot"]])
def test_a_band_that_is_none_is_refused(band):
    with pytest.raises(ValueError, match="bands"):
        SensorsSection.model_validate({"bands": {"incubator": {"temperature_c": band}}})


def test_bands_shape_no_decision_that_the_journal_keeps():
    assert "sensors" not in Settings().journal_body()
