"""Row, column and edge effects with their significance; controls whose place passes for their effect."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nextplate.assay.effects import confounding, position_effects
from nextplate.errors import DataError
from nextplate.plate import PLATE_96, PLATE_384, Role, parse_well

WELLS = list(PLATE_96.wells())
ALL = np.ones(96, np.bool_)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 9999), st.floats(-2, 2))
def test_f_and_p_are_those_of_scipy(seed, effect):
    values = np.random.default_rng(seed).normal(size=96) + effect * np.array([parse_well(w)[1] == 4 for w in WELLS])
    found = {e.factor: e for e in position_effects(values, WELLS, PLATE_96, ALL)}
    for factor, i, k in (("row", 0, 8), ("column", 1, 12)):
        groups = [values[[parse_well(w)[i] == line for w in WELLS]] for line in range(k)]
        expected = stats.f_oneway(*groups)
        assert found[factor].f == pytest.approx(expected.statistic)
        assert found[factor].p == pytest.approx(expected.pvalue)
        between = sum(len(g) * (g.mean() - values.mean()) ** 2 for g in groups)
        assert found[factor].eta_squared == pytest.approx(between / ((values - values.mean()) ** 2).sum())


@pytest.mark.parametrize("factor", ["row", "column", "edge"])
def test_an_effect_is_found_where_it_is(factor):
    place = np.array([parse_well(w) for w in WELLS])
    edge = np.isin(place[:, 0], (0, 7)) | np.isin(place[:, 1], (0, 11))
    shift = {"row": place[:, 0] == 3, "column": place[:, 1] == 5, "edge": edge}[factor]
    values = np.random.default_rng(1).normal(size=96) + 3.0 * shift
    found = {e.factor: e for e in position_effects(values, WELLS, PLATE_96, ALL)}
    assert found[factor].p < 1e-4
    assert found[factor].eta_squared > 0.2
    assert found[factor].p == min(e.p for e in found.values())


def test_what_cannot_be_tested_says_why():
    few = position_effects(np.arange(96.0), WELLS, PLATE_96, np.arange(96) < 2)
    assert all(e.p is None and "too few" in e.reason for e in few)
    flat = position_effects(np.full(96, 0.1), WELLS, PLATE_96, ALL)
    assert all(e.p is None and "read the same" in e.reason for e in flat)
    holes = np.where(np.arange(96) % 2, np.nan, np.arange(96.0))
    assert all(e.n_wells == 48 for e in position_effects(holes, WELLS, PLATE_96, ALL))


def roles_of(negative: str, positive: str) -> list[Role]:
    """Place controls by the names of wells, rows (A) or columns (1)."""
    named = {Role.NEGATIVE: negative.split(), Role.POSITIVE: positive.split()}
    roles = []
    for well in WELLS:
        spots = (well, well[0], str(int(well[1:])))
        roles.append(next((role for role, where in named.items() if set(spots) & set(where)), Role.SAMPLE))
    return roles


@pytest.mark.parametrize(
    ("negative", "positive", "expected"),
    [
        ("1", "12", {("column", Role.NEGATIVE), ("column", Role.POSITIVE)}),
        ("A", "H", {("row", Role.NEGATIVE), ("row", Role.POSITIVE)}),
        ("1 2", "12", {("column", Role.POSITIVE)}),
        ("1 12", "5 6", {("column", Role.POSITIVE), ("edge", Role.NEGATIVE)}),
        ("A02 B05 C08 D11 E03 F06 G09 H12", "A03 B06 C09 D12 E02 F05 G08 H11", set()),
        ("1", "", set()),
    ],
)
def test_controls_in_one_place_are_named(negative, positive, expected):
    found = confounding(WELLS, roles_of(negative, positive), PLATE_96)
    assert {(w.factor, w.role) for w in found} == expected
    assert all("scatter the controls" in w.message for w in found)


def test_the_line_is_named_as_on_the_plate():
    messages = [w.message for w in confounding(WELLS, roles_of("A", "12"), PLATE_96)]
    assert any("row A" in m for m in messages)
    assert any("column 12" in m for m in messages)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999))
def test_scattered_controls_are_not_confounded(seed):
    wells = list(PLATE_384.wells())
    order = np.random.default_rng(seed).permutation(384)
    roles = [Role.SAMPLE] * 384
    for i in order[:32]:
        roles[i] = Role.NEGATIVE
    for i in order[32:64]:
        roles[i] = Role.POSITIVE
    assert confounding(wells, roles, PLATE_384) == ()


def test_roles_and_wells_must_match():
    with pytest.raises(DataError, match="one role for each well"):
        confounding(WELLS, [Role.SAMPLE], PLATE_96)
