"""Schedules: nothing in two places, windows kept where they can be, a rough plan at once and a proven bound."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.errors import PlanError
from nextplate.schedule import (
    Arm,
    Limits,
    Placed,
    Route,
    Shop,
    Stage,
    Station,
    Window,
    conflicts,
    gantt,
    rough,
    solve,
)

SHOP = Shop(
    (
        Station("handler"),
        Station("incubator", 44),
        Station("dispenser", setup_s=60),
        Station("washer"),
        Station("imager"),
    ),
    Arm(40),
)
QUICK = Limits(work=4.0)


def route(name: str = "P1", **changes: object) -> Route:
    stages = (
        Stage("dose", ("handler",), 1_500),
        Stage("expose", ("incubator",), 7_200),
        Stage("fix", ("dispenser",), 180),
        Stage("wash", ("washer",), 300),
        Stage("image", ("imager",), 2_400),
    )
    windows = (Window("dose", "fix", 7_500, 9_300), Window("fix", "wash", 0, 600))
    return replace(Route(name, stages, windows), **changes)


def routes(n: int) -> list[Route]:
    return [route(f"P{k}") for k in range(n)]


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("planner", [rough, lambda *a: solve(*a, QUICK)], ids=["rough", "solve"])
def test_a_schedule_can_be_carried_out_and_keeps_its_windows(planner, n: int):
    work = routes(n)
    plan = planner(SHOP, work)
    assert conflicts(SHOP, work, plan) == ()
    assert plan.broken == ()
    assert plan.end_s == max(p.leave_s for p in plan.placed) + SHOP.arm.move_s


def test_one_plate_alone_takes_what_its_route_takes_and_that_is_proven():
    plan = solve(SHOP, routes(1), QUICK)
    assert plan.end_s == plan.bound_s == 6 * 40 + 1_500 + 7_200 + 180 + 300 + 2_400 + (7_500 - 7_200 - 80)
    assert plan.gap == 0


def test_the_solver_is_never_worse_than_the_rough_plan_and_repeats_itself():
    work = routes(4)
    first, again = (solve(SHOP, work, Limits(work=2.0, seed=3)) for _ in range(2))
    assert first == again
    assert first.end_s <= rough(SHOP, work).end_s
    assert first.bound_s <= first.end_s


def test_two_stations_of_a_kind_share_the_work():
    two = Shop((*SHOP.stations, Station("imager-2")), SHOP.arm)
    work = [replace(r, stages=(*r.stages[:-1], Stage("image", ("imager", "imager-2"), 2_400))) for r in routes(4)]
    plan = solve(two, work, QUICK)
    assert {p.station for p in plan.placed if p.stage == "image"} == {"imager", "imager-2"}
    assert conflicts(two, work, plan) == ()
    assert plan.end_s < solve(SHOP, routes(4), QUICK).end_s


def test_what_is_closed_does_not_work_and_the_arm_rests_when_it_has_to():
    shut = Shop(
        tuple(replace(s, closed=((0, 20_000),)) if s.name == "imager" else s for s in SHOP.stations),
        Arm(40, ((2_000, 3_000),)),
    )
    for plan in (rough(shut, routes(2)), solve(shut, routes(2), QUICK)):
        assert conflicts(shut, routes(2), plan) == ()
        assert min(p.start_s for p in plan.placed if p.stage == "image") >= 20_000


def test_a_plate_begun_goes_on_from_where_it_is_and_before_others():
    done = (
        Placed("P0", "dose", "handler", 40, 40, 1_540, 1_540),
        Placed("P0", "expose", "incubator", 1_580, 1_580, 8_780, 8_780),
    )
    work = [route("P0", done=done), route("P1")]
    for plan in (rough(SHOP, work, 8_900), solve(SHOP, work, QUICK, 8_900)):
        assert plan.of("P0")[:1] == done[:1]
        assert plan.of("P0")[1].arrive_s == 1_580
        assert plan.of("P1")[0].arrive_s >= 8_940
        assert conflicts(SHOP, work, plan, 8_900) == ()
        assert plan.broken == ()


def test_plates_begun_before_now_are_planned_by_the_solver_too():
    """Times of what is done are counted back from now, as the journal tells them; a solver has to take them."""
    stages = (
        Stage("dose", ("handler",), 20),
        Stage("expose", ("incubator",), 3_600),
        Stage("image", ("imager",), 1_800),
    )

    def begun(name: str, ago: int, *windows: Window) -> Route:
        dosed = Placed(name, "dose", "handler", -ago - 60, -ago - 60, -ago - 40, -ago - 40)
        exposed = Placed(name, "expose", "incubator", -ago, -ago, 3_600 - ago, 3_600 - ago)
        return Route(name, stages, windows, done=(dosed, exposed))

    patient, pressed = begun("P0", 3_000), begun("P1", 2_900, Window("expose", "image", 0, 300))
    assert rough(SHOP, [patient, pressed]).broken, "in the order of asking"
    plan = solve(SHOP, [patient, pressed], QUICK)
    assert plan.broken == ()
    assert conflicts(SHOP, [patient, pressed], plan) == ()


def test_a_window_that_cannot_be_kept_is_bent_as_little_as_can_be_and_told():
    done = (
        Placed("P0", "dose", "handler", 40, 40, 1_540, 1_540),
        Placed("P0", "expose", "incubator", 1_580, 1_580, 8_780, 8_780),
    )
    late = [route("P0", done=done), route("P1")]
    plan = solve(SHOP, late, QUICK, 12_000)
    (broken,) = plan.broken
    assert (broken.plate, broken.window.then) == ("P0", "fix")
    assert broken.wait_s == 12_000 + 40 - 1_540
    assert "at most 9300 s are allowed" in str(broken)
    assert conflicts(SHOP, late, plan, 12_000) == ()


def test_plates_that_stand_in_each_others_way_are_planned_in_an_order_that_works():
    on_imager = Placed("A", "wash", "washer", 80, 80, 380, 380)
    a = Route("A", (Stage("wash", ("washer",), 300), Stage("image", ("imager",), 600)), done=(on_imager,))
    b = Route(
        "B", (Stage("image", ("imager",), 600),), priority=9, done=(Placed("B", "image", "imager", 40, 40, 640, 640),)
    )
    plan = rough(SHOP, [a, b], 700)
    assert conflicts(SHOP, [a, b], plan, 700) == ()
    assert plan.of("B")[0].leave_s + SHOP.arm.move_s <= plan.of("A")[1].arrive_s - SHOP.arm.move_s


def test_a_plate_is_not_planned_behind_one_whose_leaving_nobody_has_planned_yet():
    """P0 is imaged now and P1, named first, waits for the imager: it follows P0, not the end of all times."""
    imaged = tuple(
        Placed("P0", stage.name, stage.stations[0], at, at, at + stage.duration_s, at + stage.duration_s)
        for stage, at in zip(route("P0").stages, (-12_000, -10_000, -2_500, -2_000, -600), strict=True)
    )
    incubated = tuple(replace(p, plate="P1") for p in imaged[:2])
    plan = rough(SHOP, [route("P1", done=incubated), route("P0", done=imaged)])
    assert plan.of("P1")[-1].start_s < 4_000


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: route(stages=()), "its stages are none"),
        (lambda: route(windows=(Window("fix", "dose"),)), "looks back"),
        (lambda: route(windows=(Window("fix", "fly"),)), "names a stage that it does not have"),
        (lambda: route(windows=(Window("dose", "fix", 10, 5),)), "has to be 0 <= min <= max"),
        (lambda: route(stages=(Stage("x", ("a", "b"), 1), Stage("y", ("b",), 1)), windows=()), "may both be on b"),
        (lambda: rough(SHOP, [route(stages=(Stage("x", ("oven",), 1),), windows=())]), "there is no station 'oven'"),
        (
            lambda: rough(Shop(SHOP.stations, Arm(40, ((0, 2 * 10**9),))), [route()]),
            "plate P1 fits nowhere",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(make, says: str):
    with pytest.raises(PlanError, match=says):
        make()


STATIONS = ("a", "b", "c", "d")


@st.composite
def shops(draw: st.DrawFn) -> tuple[Shop, list[Route]]:
    number = st.integers(0, 400)
    stations = tuple(
        Station(n, draw(st.integers(1, 3)), draw(st.integers(0, 30)), ((s := draw(number), s + draw(number)),))
        for n in STATIONS
    )
    plates = []
    for k in range(draw(st.integers(1, 4))):
        names = [f"s{i}" for i in range(draw(st.integers(1, 4)))]
        stages, taken = [], frozenset[str]()
        for name in names:
            free = [s for s in STATIONS if s not in taken]
            taken = frozenset(draw(st.sets(st.sampled_from(free), min_size=1, max_size=2)))
            stages.append(Stage(name, tuple(sorted(taken)), draw(number)))
        low = draw(number)
        windows = (Window(names[0], names[-1], low, low + 5_000),) if len(names) > 1 else ()
        plates.append(Route(f"P{k}", tuple(stages), windows, draw(number), draw(st.integers(0, 2))))
    return Shop(stations, Arm(draw(st.integers(1, 40)), ((100, 150),))), plates


@given(shops())
@settings(max_examples=60, deadline=None)
def test_any_rough_plan_can_be_carried_out(made: tuple[Shop, list[Route]]):
    shop, work = made
    plan = rough(shop, work)
    assert conflicts(shop, work, plan) == ()


@given(shops())
@settings(max_examples=15, deadline=None)
def test_any_solved_plan_can_be_carried_out_and_is_no_worse(made: tuple[Shop, list[Route]]):
    shop, work = made
    first, plan = rough(shop, work), solve(shop, work, Limits(work=0.5))
    assert conflicts(shop, work, plan) == ()
    assert (len(plan.broken), plan.end_s) <= (len(first.broken), first.end_s) or len(plan.broken) < len(first.broken)
    assert plan.bound_s <= plan.end_s


def test_the_chart_names_every_plate_and_stage():
    text = gantt(rough(SHOP, routes(3)), 60)
    lines = text.splitlines()
    assert all(line.startswith(f"P{k} |") and len(line) == 65 for k, line in enumerate(lines[:3]))
    assert all(stage in text for stage in ("dose", "expose", "fix", "wash", "image"))
