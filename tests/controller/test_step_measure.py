"""The loop's measuring step: two channels as ever; with features, whatever the plate has."""

from pathlib import Path

import polars as pl
import pytest

from controller.steps.measure import run
from nextplate.errors import DataError
from tests.nextplate.imaging.fake_plate import Scene, write_plate

PARAMS = {"dna": "DNA", "reporter": "Reporter", "wells": 384}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plate(
        tmp_path_factory.mktemp("readouts") / "P1", {"A01": Scene(15), "A02": Scene(15)}, size=260
    ).folder


def step(folder: Path, out: Path, **params: object) -> tuple[dict[str, object], pl.DataFrame]:
    out.mkdir()
    summary = run({"readout": folder}, PARAMS | params, out, lambda *_: None)
    return summary, pl.read_parquet(out / "wells.parquet")


def test_wells_that_are_not_there_are_told(folder: Path, tmp_path: Path):
    summary, wells = step(folder, tmp_path / "out")
    assert (summary["n_wells"], summary["n_flagged"], summary["n_images"]) == (384, 382, 4)
    assert wells.filter(pl.col("flags") == "")["well"].to_list() == ["A01", "A02"]
    assert not [c for c in wells.columns if c.startswith("Nuclei_")]


def test_features_are_kept_where_lab_toml_asks_for_them(folder: Path, tmp_path: Path):
    _, plain = step(folder, tmp_path / "plain")
    _, wells = step(folder, tmp_path / "out", readout={"features": "shape field"})
    assert wells["Nuclei_AreaShape_Area"].drop_nulls().len() == 2
    assert wells["Field_Mean_Reporter"].drop_nulls().len() == 2
    assert wells.select(plain.columns).equals(plain)
    cells = pl.read_parquet(tmp_path / "out" / "cells.parquet")
    assert len(cells) == wells["n_cells"].sum()
    assert "Nuclei_AreaShape_Solidity" not in cells.columns


def test_how_to_open_it_is_passed_on(folder: Path, tmp_path: Path):
    with pytest.raises(DataError, match="no time point 7"):
        step(folder, tmp_path / "out", readout={"t": 7})
