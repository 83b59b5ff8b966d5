"""Steps of the assay: a plate is fixed, washed and stained on its way, once, in order, in its time."""

from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest
from controller_fakes import FakeLab, spans, tasks

from controller.floor import holds
from controller.recipe import PLANNING, after_loads, late_min
from controller.settings import AssaySection, DeviceSection, Settings
from controller.settings.devices import default_devices
from drivers.ports import DispensePlate, MovePlates, ReadBarcode, ShakePlate, WashPlate
from nextplate.errors import SettingsError

SHAKE = {"device": "shaker", "speed_rpm": 900, "duration_s": 60, "before_incubation": True}
READ = {"device": "barcode-reader", "before_incubation": True}
FIX = {"device": "dispenser", "program": "fix", "rest_min": 20}
WASH = {"device": "washer", "program": "wash"}
STAIN = {"device": "incubator", "hours": 0.5, "tolerance_min": 10}
PAINTING = (READ, SHAKE, FIX, WASH, {"device": "dispenser", "program": "stain"}, STAIN, WASH)
BENCH = ("washer", "dispenser", "shaker", "barcode-reader")


def painting(*steps: dict[str, object], tolerance: float | None = None) -> Settings:
    more = tuple(DeviceSection(name=kind, kind=kind) for kind in BENCH)
    return Settings(
        assay=AssaySection.model_validate({"step": steps, "incubation_tolerance_min": tolerance}),
        device=(*default_devices(), *more),
    )


def lab(*steps: dict[str, object], n: int = 1, tolerance: float | None = None) -> FakeLab:
    made = FakeLab(settings=painting(*steps, tolerance=tolerance), rounds=1)
    for number in range(2, n + 1):
        made.begin(f"c{number}", beside=True)
    return made


def done_to(one: FakeLab, barcode: str) -> list[object]:
    """What devices did to a plate after the deck was cleared, in order."""
    log = [command for _, command in one.device.log]
    found: list[object] = []
    for command in log:
        if isinstance(command, MovePlates):
            found += [m.target for m in command.moves if m.barcode == barcode and not m.target.startswith("deck/")]
        elif barcode in (getattr(command, "barcode", None), getattr(command, "expected", None)):
            found.append(command)
    return found


def test_a_plate_goes_through_its_steps_in_order_each_once():
    one = lab(*PAINTING)
    state = one.run()
    assert state.is_finished
    named = [c if isinstance(c, str) else type(c).__name__ for c in done_to(one, "NP-0001")]
    assert named == [
        "reader", "ReadBarcode", "shaker", "ShakePlate", "incubator", "StorePlate", "FetchPlate", "dispenser",
        "DispensePlate", "washer", "WashPlate", "dispenser", "DispensePlate", "incubator", "StorePlate", "FetchPlate",
        "washer", "WashPlate", "imager", "AcquirePlate", "stack/done",
    ]  # fmt: skip
    commands = [
        c for c in done_to(one, "NP-0001") if isinstance(c, DispensePlate | WashPlate | ShakePlate | ReadBarcode)
    ]
    assert commands[0] == ReadBarcode("NP-0001")
    assert commands[1] == ShakePlate("NP-0001", 900, 60)
    assert [c.program for c in commands[2:]] == ["fix", "wash", "stain", "wash"]
    assert set(Counter(key for key, _ in one.device.log).values()) == {1}


def test_a_plate_rests_where_it_was_fixed_and_stains_as_long_as_it_shall():
    one = lab(*PAINTING)
    state = one.run()
    fixed, carried = state.outcomes["first.r0.treat-2"], state.intents["first.r0.carry-3"]
    assert timedelta(minutes=20) <= carried.time - fixed.time < timedelta(minutes=21)
    stored, fetched = state.outcomes["first.r0.store-5"], state.intents["first.r0.fetch-5"]
    assert timedelta(minutes=30) <= fetched.time - stored.time < timedelta(minutes=31)


def test_without_steps_a_plate_goes_the_way_it_always_went():
    one = FakeLab(rounds=1)
    assert after_loads(one.plan) == ("clear", "store", "fetch", "stage", "acquire", "unstage", "measure", "normalise")
    assert "step" not in Settings().journal_body()["assay"]


def test_four_painted_plates_share_the_bench_and_nobody_waits_for_ever():
    """Each plate is done whole, and nothing is held by two: not the bench, the incubator's station, nor the imager."""
    four = lab(*PAINTING, n=4)
    state = four.run()
    for name in ("first", "c2", "c3", "c4"):
        assert state.focused(name).is_finished
        wanted = [*(t for t in PLANNING if t != "approve"), "deck-0", "run-0", "deck-1", "run-1"]
        assert tasks(four, name) == [*wanted, *after_loads(four.plan), "evaluate"]
    held = {hold for hold in holds(four.plan) if hold.what in ("the bench", "the imager")}
    for what in {hold.what for hold in held}:
        taken = sorted(
            span for hold in held if hold.what == what for span in spans(four.journal.events, hold.first, hold.last)
        )
        for (_, end, one), (begin, _, other) in pairwise(taken):
            assert end < begin or one == other, f"{other} took {what} from {one}"


def test_plates_with_a_tolerance_are_begun_so_that_each_is_fixed_in_its_time():
    four = lab(FIX, WASH, n=4, tolerance=15)
    minutes = {"treat-0": 2, "treat-1": 5, "store": 1, "fetch": 1, "acquire": 30, "run-0": 15, "run-1": 15}
    moves = dict.fromkeys(("deck-0", "deck-1", "clear", "carry-0", "carry-1", "stage", "unstage"), 2)
    four.device.takes = {task: timedelta(minutes=m) for task, m in (minutes | moves).items()}
    state = four.run()
    late = [late_min(state.focused(plan.name), plan, 0) for plan in four.plans]
    assert late == [None] * 4
    for plan in four.plans:
        stored = state.outcomes[f"{plan.name}.r0.store"].time
        fixed = state.intents[f"{plan.name}.r0.treat-0"].time
        assert timedelta(hours=24) <= fixed - stored <= timedelta(hours=24, minutes=15)


def test_a_wash_that_stopped_half_way_is_never_begun_again_on_a_policys_word():
    one = lab(WASH)
    policy = {**one.plan.settings["faults"], "policy": {"washer": ["retry", "retry"]}}
    one.plan.settings["faults"].update(policy)  # type: ignore[attr-defined]
    one.device.fail["first.r0.treat-0"] = {"steps_done": 2}
    state = one.run()
    fault = state.faults["first.r0.treat-0"]
    assert fault.answer is None
    assert fault.choices == ("not-done", "done", "park", "lose-plate", "abort")
    one.decide(what="answer", fault="first.r0.treat-0", choice="done")
    state = one.run()
    assert state.is_finished
    assert sum(isinstance(c, WashPlate) for _, c in one.device.log) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_every_commit_a_painted_night_does_everything_once(after: bool):
    whole = _night_of(None, after=False)
    wanted = Counter(key for key, _ in whole.device.log)
    for n in range(2, whole.journal.n_appends):
        one = _night_of(n, after=after)
        assert Counter(key for key, _ in one.device.log) == wanted, f"commit {n}"


def _night_of(die_at: int | None, *, after: bool) -> FakeLab:
    one = lab(SHAKE, FIX, WASH)
    one.journal.die_at, one.journal.die_after_commit = die_at, after
    assert one.run().is_finished
    return one


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([{"device": "washer"}], "a step of a washer needs program"),
        ([{"device": "shaker", "speed_rpm": 900}], "a step of a shaker needs duration_s"),
        ([{"device": "incubator"}], "a step of a incubator needs hours"),
        ([{**WASH, "hours": 1}], "a step of a washer has no hours"),
        ([{**STAIN, "before_incubation": True}], "the first incubation is incubation_h"),
        ([STAIN], "two incubations follow each other"),
        ([{"device": "centrifuge"}], "Input should be"),
    ],
)
def test_a_step_that_makes_no_sense_is_refused_with_its_reason(steps, said):
    with pytest.raises(ValueError, match=said):
        AssaySection.model_validate({"step": steps})


def test_a_step_without_its_device_is_refused():
    with pytest.raises((ValueError, SettingsError), match="no device of kind 'washer'"):
        Settings(assay=AssaySection.model_validate({"step": [WASH]}))
