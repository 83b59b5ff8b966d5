"""The share of responding cells: its cut lies between the controls, its interval holds what it promises."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextplate.assay.responders import Cut, responder_cut, responders
from nextplate.plate import Role

N, P, S = Role.NEGATIVE, Role.POSITIVE, Role.SAMPLE


@pytest.mark.parametrize(
    ("medians", "roles", "cut"),
    [
        ([-1.0, -1.2, 3.0, 3.2, 9.0], [N, N, P, P, S], Cut(1.0, True)),
        ([3.0, 3.2, -1.0, -1.2], [N, N, P, P], Cut(1.0, False)),
        ([-1.0, np.nan, 3.0, 3.0], [N, N, P, P], None),
        ([-1.0, -1.0, 3.0], [N, N, P], None),
        ([1.0, 1.0, 1.0, 1.0], [N, N, P, P], None),
        ([], [], None),
    ],
)
def test_the_cut_lies_between_the_controls(medians, roles, cut):
    assert responder_cut(np.array(medians), roles) == cut


def cells(**by_well: list[float | None]) -> pl.DataFrame:
    rows = [(well, value) for well, values in by_well.items() for value in values]
    return pl.DataFrame(rows, schema={"well": pl.String, "nc_ratio": pl.Float32}, orient="row")


def test_cells_beyond_the_cut_are_counted_and_cells_without_ratio_are_not():
    table = cells(B01=[2.0, 2.0, 0.0, None], A01=[0.0, 0.0], A02=[None])
    up = responders(table, Cut(1.0, True))
    assert up["well"].to_list() == ["A01", "B01"]
    assert up["responders"].to_list() == pytest.approx([0.0, 2 / 3])
    assert responders(table, Cut(1.0, False))["responders"].to_list() == pytest.approx([1.0, 1 / 3])


@given(n=st.integers(1, 400), k=st.integers(0, 400))
def test_the_interval_holds_the_share_and_stays_within_0_and_1(n: int, k: int):
    values = [2.0] * min(k, n) + [0.0] * (n - min(k, n))
    row = responders(cells(A01=values), Cut(1.0, True)).row(0, named=True)
    assert 0 <= row["responders_low"] <= row["responders"] <= row["responders_high"] <= 1
    assert row["responders_high"] > row["responders_low"]


def test_the_interval_covers_the_true_share():
    rng = np.random.default_rng(1)
    n, true = 80, 0.15
    table = pl.DataFrame(
        {
            "well": np.repeat([f"W{i}" for i in range(2000)], n),
            "nc_ratio": np.where(rng.random(2000 * n) < true, 2.0, 0.0).astype(np.float32),
        }
    )
    found = responders(table, Cut(1.0, True))
    assert found.select(
        pl.lit(true).is_between("responders_low", "responders_high")
    ).to_series().mean() == pytest.approx(0.95, abs=0.03)
