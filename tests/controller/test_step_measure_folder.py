"""The measure step: how plates are opened follows [readout], and a readout that changed is not measured."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tifffile

from controller.settings import Settings
from controller.steps.measure import run
from nextplate.errors import DataError
from tests.nextplate.imaging.fake_plate import Scene, draw

PARAMS: dict[str, Any] = {"dna": "blue", "reporter": "green", "wells": 96}
PATTERN = r"(?P<well>[A-H]\d\d)-(?P<channel>\w+)\.tif"


@pytest.fixture
def readout(tmp_path: Path) -> Path:
    """A plate of no known naming."""
    folder = tmp_path / "readouts" / "P1"
    folder.mkdir(parents=True)
    for n, well in enumerate(("A01", "A02")):
        drawn = draw(Scene(n_cells=12), np.random.default_rng(n), 200)
        tifffile.imwrite(folder / f"{well}-blue.tif", drawn.dna)
        tifffile.imwrite(folder / f"{well}-green.tif", drawn.reporter)
    return folder


def measured(folder: Path, out: Path, **more: Any) -> dict[str, Any]:
    out.mkdir()
    return run({"readout": folder}, PARAMS | more, out, lambda _done, _total: None)


def test_a_pattern_from_the_settings_opens_a_plate_of_any_naming(readout: Path, tmp_path: Path):
    with pytest.raises(DataError, match="is no plate readout"):
        measured(readout, tmp_path / "without")
    summary = measured(readout, tmp_path / "with", readout={"pattern": PATTERN})
    assert (summary["reader"], summary["n_images"], summary["plate"]) == ("pattern", 4, "P1")
    wells = pl.read_parquet(tmp_path / "with" / "wells.parquet")
    assert wells.filter(pl.col("n_fields") > 0)["well"].to_list() == ["A01", "A02"]
    assert len(wells) == 96, "wells that are not there are told"


def test_a_readout_that_changed_since_it_was_taken_is_not_measured(readout: Path, tmp_path: Path):
    from dataclasses import asdict

    from nextplate.imaging.watch import take_inventory

    record = readout.with_name("P1.taken.json")
    record.write_text(json.dumps({"inventory": asdict(take_inventory(readout))}))
    measured(readout, tmp_path / "unchanged", readout={"pattern": PATTERN})
    os.truncate(readout / "A01-blue.tif", 100)
    with pytest.raises(DataError, match="changed after it was taken: its 4 files had"):
        measured(readout, tmp_path / "changed", readout={"pattern": PATTERN})
    record.unlink()
    measured(readout, tmp_path / "accepted", readout={"pattern": PATTERN})


def test_what_is_not_set_stays_out_of_the_step_and_the_journal(tmp_path: Path):
    from controller.recipe import Plan
    from controller.recipe.measuring import reading

    bodies = [
        Settings.model_validate(body).journal_body()
        for body in ({}, {"readout": {}}, {"readout": {"z": "max", "t": 2}})
    ]
    assert "readout" not in bodies[0]
    assert "readout" not in bodies[1]
    plans = [Plan("first", 1, 1, body) for body in bodies]
    assert [reading(plan) for plan in plans] == [{}, {}, {"readout": {"z": "max", "t": 2}}]
