"""BBBC013, a real translocation plate: nucleus/ring ratio must separate its controls."""

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nextplate.imaging import MeasureParams, measure
from nextplate.readout import FieldImage, Readout


@pytest.fixture(scope="module")
def wells() -> pl.DataFrame:
    root = Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "images" / "bbbc013"
    if not root.is_dir():
        pytest.skip(f"BBBC013 is not here ({root}); set NEXTPLATE_DATA")
    layout = pl.read_csv(root / "layout.csv")
    # Controls, and every third column of samples: half of the plate, the test's time is limited.
    chosen = layout.filter((pl.col("role") != "sample") | pl.col("well").str.slice(1).is_in(["05", "08", "11"]))["well"]
    rows = pl.read_csv(root / "images.csv").filter(pl.col("well").is_in(chosen.to_list()))
    images = sorted(
        (
            FieldImage("BBBC013", r["well"], 1, r["channel_name"], root / "images" / r["file"], None)
            for r in rows.iter_rows(named=True)
        ),
        key=lambda i: (i.well, i.channel),
    )
    readout = Readout("by hand", "BBBC013", root, ("DNA", "FKHR-GFP"), tuple(images), (), True)
    measured = measure(readout, MeasureParams(dna="DNA", reporter="FKHR-GFP"))
    return measured.wells.join(layout, on="well")


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
