"""BBBC013, a real translocation plate of 96 wells: measured once in a process, whichever tests look at it."""

import os
from functools import cache
from pathlib import Path

import polars as pl
import pytest

from nextplate.imaging import MeasureParams, measure, open_readout

PATTERN = r"images/Channel(?P<channel>\d)-\d+-(?P<row>[A-H])-(?P<column>\d+)\.tif"


def bbbc013_layout() -> Path:
    """Find the plate's layout; skip where the plate is not here."""
    path = Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "images" / "bbbc013" / "layout.csv"
    if not path.is_file():
        pytest.skip(f"BBBC013 is not here ({path}); set NEXTPLATE_DATA")
    return path


def bbbc013_wells() -> pl.DataFrame:
    """Measure the plate: DNA is channel 2, the reporter channel 1."""
    return _measured(bbbc013_layout().parent)


@cache
def _measured(root: Path) -> pl.DataFrame:
    return measure(open_readout(root, pattern=PATTERN), MeasureParams(dna="2", reporter="1")).wells
