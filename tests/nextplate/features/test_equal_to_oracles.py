"""Features are those of CellProfiler's measurements (cp_measure), scikit-image and mahotas, within 1e-3.

golden.json was written by make_golden.py with the originals, of the same seeded scene.
"""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from nextplate.features import measure_features, select
from tests.nextplate.features.feature_scene import scene

GOLDEN: dict[str, list[float | None]] = json.loads(Path(__file__).with_name("golden.json").read_text())

NOT_MEASURED = {
    "label": "names the rows",
    "AreaShape_EulerNumber": "not a feature here",
    "AreaShape_FilledArea": "not a feature here",
    "AreaShape_PerimeterCrofton": "not a feature here",
    "AreaShape_NormalizedMoment_0_0": "never defined",
    "AreaShape_NormalizedMoment_0_1": "never defined",
    "AreaShape_NormalizedMoment_1_0": "never defined",
    "AreaShape_InertiaTensor_1_0": "is InertiaTensor_0_1",
    "Location_CenterMassIntensity_Z_DNA": "three dimensions",
    "Location_MaxIntensity_Z_DNA": "three dimensions",
    "Neighbors_FirstClosestObjectNumber_Adjacent@1": "a name, no measurement",
    "Neighbors_SecondClosestObjectNumber_Adjacent@1": "a name, no measurement",
    "Neighbors_FirstClosestObjectNumber_5@5": "a name, no measurement",
    "Neighbors_SecondClosestObjectNumber_5@5": "a name, no measurement",
}


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    labels, dna, other = scene(20)
    channels = {"DNA": dna, "RNA": other}
    everything = ["all", "texture:1", "texture-directions:1"]
    return {
        "": measure_features(labels, channels, select(everything)),
        "256": measure_features(labels, channels, select(["texture-directions:1,3"])),
        "16": measure_features(labels, channels, select(["texture-directions:3"], n_levels=16)),
        "1": measure_features(labels, {}, select(["neighbours:1"])),
        "5": measure_features(labels, {}, select(["neighbours:5"])),
    }


@pytest.mark.parametrize("name", [name for name in GOLDEN if name not in NOT_MEASURED])
def test_a_feature_is_what_the_original_measures(name: str, tables: dict[str, pl.DataFrame]) -> None:
    expected = np.array([np.nan if value is None else value for value in GOLDEN[name]])
    column, _, setting = name.partition("@")
    measured = _rows(tables[setting], _our_name(column, setting))
    assert np.isfinite(expected).any()
    np.testing.assert_allclose(measured, expected, rtol=1e-3, atol=1e-9)


def test_the_mean_texture_is_the_mean_of_the_four_directions(tables: dict[str, pl.DataFrame]) -> None:
    table = tables[""]
    for name in ("Contrast", "Entropy", "InfoMeas2"):
        directions = [table[f"Nuclei_Texture_{name}_DNA_3px_{angle}deg"] for angle in (0, 45, 90, 135)]
        np.testing.assert_allclose(table[f"Nuclei_Texture_{name}_DNA_3px"], np.mean(directions, axis=0))


def _our_name(column: str, setting: str) -> str:
    """Translate the originals' names: locations and pairs of channels are spelled a little differently."""
    column = column.replace("Location_MaxIntensity", "Intensity_LocationMaxIntensity")
    column = column.replace("Location_CenterMass", "Intensity_CenterMass")
    column = column.replace("Correlation_Pearson", "Correlation_Correlation").replace("n_Correlation_", "n_")
    if column.startswith("Neighbors"):
        column = f"Neighbors_{column.split('_')[1]}_{setting}px"
    return f"Nuclei_{column}"


def _rows(table: pl.DataFrame, column: str) -> npt.NDArray[np.float64]:
    return table.filter(pl.col("label").is_in([int(label or 0) for label in GOLDEN["label"]]))[column].to_numpy()
