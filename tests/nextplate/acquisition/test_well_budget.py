"""A plate's wells are divided exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextplate.acquisition.budget import PURPOSES, well_budget
from nextplate.errors import PlanError


@given(n=st.integers(1, 1536), parts=st.lists(st.integers(0, 50), min_size=5, max_size=5))
def test_wells_add_up_and_are_within_one_of_the_share(n, parts):
    total = sum(parts) or 1
    shares = {name: part / total for name, part in zip(PURPOSES, parts, strict=True)}
    if not sum(parts):
        shares["exploit"] = 1.0
    wells = well_budget(n, shares)
    assert sum(wells.values()) == n
    assert all(abs(wells[name] - n * share) < 1 + 1e-6 for name, share in shares.items())
    assert all(wells[name] == 0 for name, share in shares.items() if share == 0)


def test_exact_shares_are_not_spoilt_by_rounding():
    shares = {"exploit": 0.7, "explore": 0.1, "confirm": 0.1, "controls": 0.1}
    assert well_budget(30, shares) == {"exploit": 21, "explore": 3, "confirm": 3, "controls": 3}


def test_dose_response_gets_whole_compounds_and_the_rest_goes_to_single_wells():
    wells = well_budget(384, {"exploit": 0.7, "dose-response": 0.2, "controls": 0.1}, {"dose-response": 10})
    assert wells == {"exploit": 276, "dose-response": 70, "controls": 38}


REFUSED = [
    (0, {"exploit": 1.0}, None, "0 wells"),
    (10, {"play": 1.0}, None, "no purpose 'play'"),
    (10, {"exploit": -0.1, "explore": 1.1}, None, "share of exploit is -0.1"),
    (10, {"exploit": float("nan")}, None, "share of exploit is nan"),
    (10, {"exploit": 0.5}, None, "add up to 0.5"),
    (10, {"dose-response": 1.0}, {"dose-response": 8}, "dose-response takes 8 wells each"),
    (10, {"exploit": 1.0}, {"exploit": 0}, "exploit takes 0 wells"),
]


@pytest.mark.parametrize(("n", "shares", "each", "says"), REFUSED)
def test_impossible_budgets_say_why(n, shares, each, says):
    with pytest.raises(PlanError, match=says):
        well_budget(n, shares, each)
