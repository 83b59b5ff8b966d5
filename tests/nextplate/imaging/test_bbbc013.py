"""BBBC013, a real translocation plate: nucleus/ring ratio must separate its controls."""

import numpy as np
import polars as pl
import pytest
from real_plate import bbbc013_layout, bbbc013_wells


@pytest.fixture(scope="module")
def wells() -> pl.DataFrame:
    return bbbc013_wells().join(pl.read_csv(bbbc013_layout()), on="well")


def z_prime(wells: pl.DataFrame) -> float:
    p, n = (wells.filter(pl.col("role") == r)["nc_ratio"].to_numpy() for r in ("positive", "negative"))
    return float(1 - 3 * (p.std(ddof=1) + n.std(ddof=1)) / abs(p.mean() - n.mean()))


def test_controls_are_told_apart(wells: pl.DataFrame) -> None:
    assert z_prime(wells) > 0.75
    for series in ("series1", "series2"):
        assert z_prime(wells.filter(pl.col("compound") == series)) > 0.7


def test_the_response_rises_with_the_dose(wells: pl.DataFrame) -> None:
    for series in ("series1", "series2"):
        samples = wells.filter((pl.col("compound") == series) & (pl.col("role") == "sample"))
        curve = samples.group_by("dose").agg(pl.col("nc_ratio").median()).sort("dose")["nc_ratio"].to_numpy()
        assert (np.diff(curve) > -0.1).all()


def test_no_good_well_is_flagged_and_every_field_has_cells(wells: pl.DataFrame) -> None:
    assert wells["flags"].to_list() == [""] * len(wells)
    assert wells["n_cells"].min() > 80
