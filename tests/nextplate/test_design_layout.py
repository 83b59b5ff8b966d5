"""What a layout promises: everybody seated once, controls scattered, replicates apart, same seed same plate."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nextplate.design import layout, layout_problems
from nextplate.design.rules import edge_range
from nextplate.errors import PlanError
from nextplate.plate import PLATE_96, PLATE_384, Layout, PlateFormat, Role, parse_well
from nextplate.prediction import Pick

NAN = float("nan")


def pick(name: str, n_wells: int = 1, reason: str = "explore") -> Pick:
    return Pick(name, reason, NAN, NAN, NAN, NAN, NAN, NAN, NAN, n_wells)


def picks(*counts: int) -> list[Pick]:
    return [pick(f"C{i:03d}", n) for i, n in enumerate(counts)]


@pytest.fixture(scope="module")
def full() -> Layout:
    plan = layout("P-1", picks(*[2] * 20, *[1] * 312), PLATE_384, 16, 16, 10.0, seed=3)
    assert plan.notes == ()
    return plan.layout


def test_a_full_plate_seats_everybody_once(full: Layout) -> None:
    assert [w.well for w in full.wells] == list(PLATE_384.wells())
    assert {role: len(full.by_role(role)) for role in Role} == {
        Role.SAMPLE: 352, Role.NEGATIVE: 16, Role.POSITIVE: 16, Role.EMPTY: 0,
    }  # fmt: skip
    often = Counter(w.compound_id for w in full.by_role(Role.SAMPLE))
    assert sorted(often.values()) == [1] * 312 + [2] * 20


def test_a_full_plate_keeps_every_rule(full: Layout) -> None:
    assert layout_problems(full) == []


def test_doses_and_reasons(full: Layout) -> None:
    by_role = {role: {(w.dose_um, w.reason, w.compound_id is None) for w in full.by_role(role)} for role in Role}
    assert by_role[Role.NEGATIVE] == {(0.0, "control", True)}
    assert by_role[Role.POSITIVE] == {(10.0, "control", True)}
    assert by_role[Role.SAMPLE] == {(10.0, "explore", False)}


def test_same_seed_same_plate_other_seed_other_plate() -> None:
    plates = [layout("P", picks(*[1] * 60), PLATE_96, 6, 6, 1.0, seed).layout for seed in (1, 1, 2)]
    assert plates[0] == plates[1]
    same = [
        a.compound_id == b.compound_id and a.role == b.role
        for a, b in zip(plates[0].wells, plates[2].wells, strict=True)
    ]
    assert sum(same) < 40


def test_seats_do_not_follow_the_order_of_picks() -> None:
    """A shuffle correlates with source order by chance only: |r| < 0.2 at n = 352 is four standard deviations."""
    plate = layout("P", picks(*[1] * 352), PLATE_384, 16, 16, 1.0, seed=0).layout
    ranks = [int(w.compound_id[1:]) for w in plate.by_role(Role.SAMPLE) if w.compound_id]
    n = len(ranks)
    mean = (n - 1) / 2
    r = sum((i - mean) * (rank - mean) for i, rank in enumerate(ranks)) / sum((i - mean) ** 2 for i in range(n))
    assert abs(r) < 0.2


def test_control_places_differ_over_seeds() -> None:
    used = Counter(
        w.well for seed in range(30) for w in layout("P", [], PLATE_96, 8, 0, 1.0, seed).layout.by_role(Role.NEGATIVE)
    )
    assert len(used) > 70


def test_empty_wells_are_spread() -> None:
    plate = layout("P", picks(*[1] * 40), PLATE_96, 4, 4, 1.0, seed=5).layout
    rows = Counter(parse_well(w.well)[0] for w in plate.by_role(Role.EMPTY))
    assert set(rows.values()) == {6}
    assert layout_problems(plate) == []


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(
    n_negative=st.integers(0, 12),
    n_positive=st.integers(0, 12),
    counts=st.lists(st.integers(1, 4), max_size=22),
    seed=st.integers(0, 2**32),
)
def test_any_plate_is_valid_and_says_what_it_could_not_keep(
    n_negative: int, n_positive: int, counts: list[int], seed: int
) -> None:
    plan = layout("P", picks(*counts), PLATE_96, n_negative, n_positive, 1.0, seed)
    if not plan.notes:
        assert layout_problems(plan.layout) == []
    seated = Counter(w.compound_id for w in plan.layout.by_role(Role.SAMPLE))
    assert seated == {f"C{i:03d}": n for i, n in enumerate(counts)}
    assert len(plan.layout.by_role(Role.NEGATIVE)) == n_negative
    assert len(plan.layout.by_role(Role.POSITIVE)) == n_positive


def test_a_rule_that_cannot_hold_is_given_up_by_name_and_the_others_stay() -> None:
    plan = layout("P", [], PLATE_96, 40, 8, 1.0, seed=0)
    assert plan.notes == ("not kept: no two controls of one role touch",)
    assert all("touch" in problem for problem in layout_problems(plan.layout))


def test_more_replicates_than_rows_are_noted() -> None:
    plan = layout("P", picks(10), PLATE_96, 4, 4, 1.0, seed=0)
    assert "more than 8 wells repeat" in plan.notes[0]


@pytest.mark.parametrize(
    ("wanted", "n_negative", "n_positive", "words"),
    [
        (picks(*[1] * 90), 4, 4, ["90 sample", "4 negative", "96-well", "take away 2"]),
        (picks(97), 0, 0, ["97 sample", "take away 1"]),
        (picks(), -1, 0, ["-1 negative", "0 or more"]),
        ([pick("A", 0)], 0, 0, ["A asks for 0 wells"]),
        ([pick("A"), pick("A")], 0, 0, ["A is picked 2 times", "n_wells"]),
    ],
)
def test_a_plate_that_cannot_be_laid_out_is_refused(
    wanted: list[Pick], n_negative: int, n_positive: int, words: list[str]
) -> None:
    with pytest.raises(PlanError) as error:
        layout("P", wanted, PLATE_96, n_negative, n_positive, 1.0, seed=0)
    assert all(word in str(error.value) for word in words)


def _with(plate: Layout, **changes: tuple[str, object]) -> Layout:
    """Return a layout with one field of some wells changed: A01=('role', Role.EMPTY)."""
    wells = tuple(
        replace(w, **{changes[w.well][0]: changes[w.well][1]}) if w.well in changes else w  # type: ignore[arg-type]
        for w in plate.wells
    )
    return replace(plate, wells=wells)


def _swapped(plate: Layout, one: str, other: str) -> Layout:
    by_name = {w.well: w for w in plate.wells}
    trade = {one: replace(by_name[other], well=one), other: replace(by_name[one], well=other)}
    return replace(plate, wells=tuple(trade.get(w.well, w) for w in plate.wells))


def test_the_check_sees_two_controls_bunched(full: Layout) -> None:
    first, second = (w.well for w in full.by_role(Role.NEGATIVE)[:2])
    row, column = parse_well(first)
    beside = f"{chr(65 + row)}{column + (2 if column < 23 else 0):02d}"
    problems = layout_problems(_swapped(full, second, beside))
    assert any("touch" in problem and first in problem and beside in problem for problem in problems)
    assert any("not balanced" in problem for problem in problems)


def test_the_check_sees_replicates_in_a_row(full: Layout) -> None:
    one = next(w for w in full.by_role(Role.SAMPLE) if w.replicate == 1)
    twin = next(w for w in full.wells if w.compound_id == one.compound_id and w.replicate == 0)
    target = next(
        w.well for w in full.by_role(Role.SAMPLE) if w.well[0] == twin.well[0] and w.compound_id != one.compound_id
    )
    assert any("share a row" in problem for problem in layout_problems(_swapped(full, one.well, target)))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [("well", "A02", "A02 appears 2 times"), ("well", "Z01", "A01 is missing"), ("replicate", 7, "not numbered")],
)
def test_the_check_sees_invalid_wells(field: str, value: object, words: str) -> None:
    plate = layout("P", picks(*[1] * 96), PLATE_96, 0, 0, 1.0, seed=0).layout
    assert any(words in problem for problem in layout_problems(_with(plate, A01=(field, value))))


@pytest.mark.parametrize(
    ("n", "plate_format", "expected"),
    [
        (0, PLATE_384, (0, 0)),
        (1, PLATE_384, (0, 1)),
        (2, PLATE_384, (1, 1)),
        (16, PLATE_384, (3, 4)),
        (8, PLATE_96, (3, 3)),
    ],
)
def test_edge_share(n: int, plate_format: PlateFormat, expected: tuple[int, int]) -> None:
    assert edge_range(n, plate_format) == expected
