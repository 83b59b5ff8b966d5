"""BBBC013, a real plate: both series rise with the dose index and have an EC index with an interval."""

import polars as pl
import pytest
from real_plate import bbbc013_layout, bbbc013_wells

from nextplate.assay.dose_response import Axis, dose_responses
from nextplate.assay.effects import confounding
from nextplate.assay.monotone import Direction, monotonicity
from nextplate.plate import PLATE_96, Role


@pytest.fixture(scope="module")
def layout() -> pl.DataFrame:
    return pl.read_csv(bbbc013_layout())


@pytest.fixture(scope="module")
def samples(layout: pl.DataFrame) -> pl.DataFrame:
    chosen = layout.filter(pl.col("role") == "sample")
    return bbbc013_wells().join(chosen, on="well")


def test_both_series_are_monotone(samples: pl.DataFrame) -> None:
    for _, wells in samples.group_by("compound", maintain_order=True):
        found = monotonicity(wells["dose"].cast(pl.Float64).to_numpy(), wells["nc_ratio"].to_numpy())
        assert found is not None
        assert found.is_monotone()
        assert found.direction is Direction.UP
        assert found.trend_p < 0.001


def test_both_series_have_an_ec_index_with_an_interval(samples: pl.DataFrame) -> None:
    rows = dose_responses(
        samples, series="compound", dose="dose", response="nc_ratio", axis=Axis.INDEX, expected=Direction.UP
    )
    assert rows["compound"].to_list() == ["series1", "series2"]
    assert rows["verdict"].to_list() == ["determined", "determined"]
    assert rows["n_wells"].to_list() == [36, 36]
    for row in rows.iter_rows(named=True):
        assert 3 < row["midpoint_low"] < row["midpoint"] < row["midpoint_high"] < 6
        assert row["midpoint_high"] - row["midpoint_low"] < 0.5
        assert row["left_high"] < row["right_low"]


def test_each_series_has_controls_in_columns_of_their_own_and_that_is_said(layout: pl.DataFrame) -> None:
    for _, wells in layout.group_by("compound", maintain_order=True):
        found = confounding(wells["well"].to_list(), [Role(r) for r in wells["role"]], PLATE_96)
        assert any(w.factor == "column" and w.role is Role.POSITIVE for w in found)
