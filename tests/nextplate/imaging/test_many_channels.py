"""More than two channels: each is judged by itself, and one that is missing takes nothing else with it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tifffile

from nextplate.errors import DataError
from nextplate.features import select
from nextplate.imaging import MeasureParams, measure, open_readout
from tests.nextplate.imaging.fake_plate import Scene, write_plate

BASIC = select(["shape", "intensity", "colocalisation"])
PARAMS = MeasureParams(others=("Mito",), features=BASIC, has_field_features=True)
WELLS = [f"A{i + 1:02d}" for i in range(9)]
RED = "Nuclei_Intensity_MeanIntensity_Mito"
GREEN = "Nuclei_Intensity_MeanIntensity_Reporter"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two channels as drawn, and a third, twice the reporter."""
    plate = write_plate(tmp_path / "P1", {w: Scene(20) for w in WELLS}, size=260).folder
    place = plate / "TimePoint_1"
    for path in sorted(place.glob("*_w2.TIF")):
        image = tifffile.imread(path)
        tifffile.imwrite(place / path.name.replace("_w2", "_w3"), 2 * image)
    htd = plate / "P1.HTD"
    text = htd.read_text("latin-1").replace('"NWavelengths", 2', '"NWavelengths", 3')
    htd.write_text(text.replace('"EndFile"', '"WaveName3", "Mito"\r\n"EndFile"'), "latin-1")
    return plate


def wells_of(folder: Path, params: MeasureParams = PARAMS) -> pl.DataFrame:
    return measure(open_readout(folder), params).wells


def third(folder: Path, well: str) -> Path:
    return folder / "TimePoint_1" / f"P1_{well}_s1_w3.TIF"


def test_every_channel_is_measured(folder: Path):
    wells = wells_of(folder)
    assert wells["flags"].to_list() == [""] * 9
    assert wells["n_images"].to_list() == [3] * 9
    assert wells["focus_score_Mito"].is_not_null().all()
    np.testing.assert_allclose(wells[RED], 2 * wells[GREEN], rtol=0.02)
    assert (wells["Nuclei_Colocalization_Correlation_Reporter_Mito"] > 0.99).all()
    assert wells["Field_Mean_DNA"].is_not_null().all()


@pytest.mark.parametrize(
    ("damage", "flag"),
    [
        (lambda path: path.unlink(), "field-missing"),
        (lambda path: path.write_bytes(b""), "unreadable"),
        (lambda path: tifffile.imwrite(path, np.zeros((260, 260), np.uint16)), "all-zero"),
        (lambda path: tifffile.imwrite(path, np.ones((260, 260), np.uint8)), "unreadable"),
    ],
    ids=["missing", "empty-file", "all-zero", "other-depth"],
)
def test_a_further_channel_that_fails_is_flagged_and_the_rest_is_measured(
    folder: Path, damage: Callable[[Path], None], flag: str
):
    damage(third(folder, "A03"))
    measured = measure(open_readout(folder), PARAMS)
    row = measured.wells.row(2, named=True)
    assert row["flags"] == flag
    assert [(p.well, p.channel) for p in measured.problems] == [("A03", "Mito")]
    assert row[RED] is None
    assert row[GREEN] is not None
    assert row["nc_ratio"] is not None
    assert row["n_images"] == 2
    assert measured.wells.filter(pl.col("well") != "A03")[RED].is_not_null().all()


def test_a_further_channel_out_of_focus_is_a_warning(folder: Path):
    from scipy import ndimage

    path = third(folder, "A05")
    tifffile.imwrite(path, ndimage.gaussian_filter(tifffile.imread(path), 4))
    flagged = {r["well"]: r["flags"] for r in wells_of(folder).iter_rows(named=True) if r["flags"]}
    assert flagged == {"A05": "channel-out-of-focus"}


def test_without_a_reporter_there_are_counts_and_features_and_no_ratio(folder: Path):
    params = MeasureParams(reporter=None, others=("Reporter", "Mito"), features=BASIC)
    wells = wells_of(folder, params)
    assert wells["nc_ratio"].is_null().all()
    assert wells["n_cells"].to_list() == wells_of(folder)["n_cells"].to_list()
    assert wells[GREEN].to_list() == wells_of(folder)[GREEN].to_list()
    assert wells["flags"].to_list() == [""] * 9


def test_a_plate_of_dna_alone(folder: Path):
    wells = wells_of(folder, MeasureParams(reporter=None))
    assert (wells["n_cells"] > 0).all()
    assert wells["n_images"].to_list() == [1] * 9


def test_features_do_not_depend_on_threads(folder: Path):
    readout = open_readout(folder)
    one, three = (measure(readout, PARAMS, n_threads=n) for n in (1, 3))
    assert one.wells.equals(three.wells)
    assert one.cells.equals(three.cells)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objects": ("Nuclei", "Golgi")}, "no objects Golgi"),
        ({"others": ("DNA",)}, "the channel DNA is named for two purposes"),
        ({"reporter": "DNA"}, "the channel DNA is named for two purposes"),
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, object], message: str):
    with pytest.raises(DataError, match=message):
        replace(PARAMS, **change)


def test_a_channel_that_one_well_has_is_measured_though_no_sampled_field_has_it(folder: Path):
    for well in set(WELLS) - {"A02"}:
        third(folder, well).unlink()
    wells = wells_of(folder, replace(PARAMS, n_sample_fields=4))
    assert wells["n_images"].to_list() == [2, 3, *[2] * 7]
    assert wells.filter(pl.col("well") == "A02")["focus_score_Mito"].is_not_null().all()


def test_an_image_that_cannot_be_corrected_is_told(folder: Path):
    """All sampled images of the channel are blank, that of A02 is not."""
    for well in set(WELLS) - {"A02"}:
        tifffile.imwrite(third(folder, well), np.zeros((260, 260), np.uint16))
    found = measure(open_readout(folder), replace(PARAMS, n_sample_fields=4))
    row = found.wells.row(by_predicate=pl.col("well") == "A02", named=True)
    assert (row["n_images"], row["flags"]) == (2, "unreadable")
    assert "Mito: unreadable: no sampled image of this channel can be used" in row["details"]
