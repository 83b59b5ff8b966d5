"""Plates on one scale: the numbers of pycytominer and copairs, and a reason for everything left out."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nextplate.assay import fit_sphering, mean_average_precision, select_features
from nextplate.assay.feature_columns import feature_columns
from nextplate.assay.measured_layout import MeasuredLayout, MeasuredWell
from nextplate.assay.plate_profiles import MeasuredPlate, ProfileParams, profile_plates, robust_z
from nextplate.errors import DataError
from nextplate.features import FEATURES
from nextplate.plate import PLATE_96, Role
from tests.nextplate.assay.profile_scene import scene

SHOWN = [0, 30, 60]
FEW = ProfileParams(n_draws=2000)


@pytest.fixture(scope="module")
def golden() -> dict:
    return json.loads(Path(__file__).with_name("golden_copairs_0_5_5_pycytominer_1_7_1.json").read_text())


@pytest.fixture(scope="module")
def normalised() -> tuple[np.ndarray, list[str], list[str], np.ndarray]:
    profiles, features, plates, compounds = scene()
    plate, negative = np.array(plates), np.array(compounds) == "DMSO"
    z = np.empty_like(profiles)
    for name in np.unique(plate):
        z[plate == name] = robust_z(profiles[plate == name], negative[plate == name])
    return z, features, compounds, negative


def test_robust_z_is_that_of_pycytominer_1_7_1(golden, normalised) -> None:
    z, features, _, _ = normalised
    for name, values in golden["robust_z"].items():
        assert z[SHOWN, features.index(name)] == pytest.approx(values, rel=1e-5)


def test_the_features_kept_are_those_of_pycytominer_1_7_1_but_for_the_mirrored_one(golden, normalised) -> None:
    z, features, _, _ = normalised
    assert [*select_features(z, features).kept, "Cells_F13"] == golden["kept"]


def test_sphering_without_shrinkage_is_that_of_pycytominer_1_7_1(golden, normalised) -> None:
    z, features, _, negative = normalised
    x = z[:, [features.index(n) for n in golden["sphered"]]]
    sphered = fit_sphering(x[negative], 0.0).apply(x)
    np.testing.assert_allclose(sphered[SHOWN].T, list(golden["sphered"].values()), atol=2e-6)


def test_mean_average_precision_is_that_of_copairs_0_5_5(golden, normalised) -> None:
    z, features, compounds, negative = normalised
    x = z[:, [features.index(n) for n in golden["sphered"]]]
    sphered = fit_sphering(x[negative], 0.0).apply(x)
    found = mean_average_precision(sphered, compounds, negative, np.random.default_rng(1), n_draws=20_000)
    assert [f.group for f in found] == list(golden["map"])
    for f in found:
        precision, p, q = golden["map"][f.group]
        assert f.precision == pytest.approx(precision, rel=1e-6)
        # A null as good as the compound counts against it here, and not there: p is never smaller.
        assert p - 0.005 < f.p < 1.2 * p + 0.003
        assert f.q < 1.2 * q + 0.003


def plates(seed: int = 7, further: tuple[str, ...] = ()) -> list[MeasuredPlate]:
    profiles, features, plate, compounds = scene(seed)
    made = []
    for name in ("P1", "P2"):
        rows = [i for i, p in enumerate(plate) if p == name]
        wells = [w for w, _ in zip(PLATE_96.wells(), rows, strict=False)]
        held = [compounds[i] for i in rows]
        named = tuple(
            MeasuredWell(w, Role.NEGATIVE, None, 0.0, "", {}) if c == "DMSO"
            else MeasuredWell(w, Role.SAMPLE, c, 10.0, "uM", {})
            for w, c in zip(wells, held, strict=True)
        )  # fmt: skip
        frame = pl.DataFrame(profiles[rows], schema=features).with_columns(
            plate=pl.lit(name), well=pl.Series(wells), n_fields=pl.lit(4), n_cells=pl.lit(90), flags=pl.lit("")
        )
        made.append(MeasuredPlate(name, frame, MeasuredLayout(PLATE_96, named, "layout.csv")))
    return made


def test_two_plates_become_one_table_and_active_compounds_are_found() -> None:
    found = profile_plates(plates(), FEW, np.random.default_rng(1))
    assert len(found.wells) == 72
    assert found.wells.columns[:7] == ["plate", "well", "role", "compound_id", "dose", "dose_unit", "treatment"]
    assert found.is_sphered
    active = {g.group: g for g in found.active}
    assert active["C5"].q < 0.05 < active["C0"].q
    assert active["C5"].n_wells == 4
    assert [g.group for g in found.distinct] == list(active)
    assert found.replicates is not None
    assert found.replicates.groups[0] == "C0 10 uM"
    controls = found.wells.filter(pl.col("role") == "negative").select(found.selection.kept)
    assert np.allclose(np.median(controls.to_numpy(), axis=0), 0, atol=0.3)
    assert [s.plate for s in found.shifts] == ["P1", "P2"]
    assert all((s.median_shift or 0) > 0.3 and s.farthest for s in found.shifts)


def test_the_same_seed_gives_the_same_numbers() -> None:
    a, b = (profile_plates(plates(), FEW, np.random.default_rng(1)) for _ in range(2))
    assert a.active == b.active
    assert a.wells.equals(b.wells)


def test_flagged_wells_missing_values_and_odd_features_are_told() -> None:
    one, two = plates()
    wells = one.wells.with_columns(
        flags=pl.when(pl.col("well") == "C03").then(pl.lit("out-of-focus")).otherwise(pl.lit("")),
        Cells_F3=pl.when(pl.col("well") == "C05").then(None).otherwise(pl.col("Cells_F3")),
        Cells_F4=pl.when(pl.col("well") == "C06").then(1e9).otherwise(pl.col("Cells_F4")),
        Cells_F5=pl.lit(None, pl.Float64),
        only_here=pl.lit(1.0),
    )
    found = profile_plates([MeasuredPlate("P1", wells, one.layout), two], FEW, np.random.default_rng(1))
    assert "plate P1: 1 wells were left out, flagged or not measured" in found.reasons
    assert "1 missing values in 1 wells were taken as the negatives' median" in found.reasons
    assert "1 features are not on every plate and were left out, first only_here" in found.reasons
    dropped = dict(found.selection.dropped)
    assert dropped["Cells_F4"] == "outliers"
    assert dropped["Cells_F12"] == "no spread among the negatives"
    assert "missing" in dropped["Cells_F5"]
    assert "Cells_F3" in found.selection.kept


def test_one_plate_is_enough() -> None:
    found = profile_plates(plates()[:1], FEW, np.random.default_rng(1))
    assert len(found.active) == 6
    assert found.shifts[0].median_shift is None


def test_without_sphering_values_are_the_robust_z() -> None:
    found = profile_plates(plates(), ProfileParams(spheres=False, n_draws=500), np.random.default_rng(1))
    controls = found.wells.filter((pl.col("role") == "negative") & (pl.col("plate") == "P1"))
    assert np.allclose(np.median(controls.select(found.selection.kept).to_numpy(), axis=0), 0, atol=1e-12)
    assert not found.is_sphered


def test_technical_columns_are_no_features() -> None:
    wells = pl.DataFrame({"well": ["A01"], "n_fields": [1], "n_cells": [9], "focus_score": [1.0], "Nuclei_X": [1.0],
                          "reporter_focus_slope": [1.0], "background_dna": [1.0], "Nuclei_X_mad": [0.1]})  # fmt: skip
    assert feature_columns(wells) == ["n_cells", "Nuclei_X", "Nuclei_X_mad"]
    assert feature_columns(wells, ("Nuclei_*",)) == ["Nuclei_X", "Nuclei_X_mad"]


def without_negatives(plate: MeasuredPlate) -> MeasuredPlate:
    wells = tuple(w for w in plate.layout.wells if w.role is not Role.NEGATIVE)
    return MeasuredPlate(plate.plate, plate.wells, MeasuredLayout(PLATE_96, wells, "layout.csv"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda: [], "no plate is given"),
        (lambda: [plates()[0]] * 2, "P1 is given twice"),
        (lambda: [plates()[0], without_negatives(plates()[1])], "plate P2: 0 good negative"),
    ],
)
def test_what_cannot_be_compared_is_one_error(given, words: str) -> None:
    with pytest.raises(DataError, match=words):
        profile_plates(given(), FEW, np.random.default_rng(1))


def test_no_feature_or_an_unknown_group_is_one_error() -> None:
    with pytest.raises(DataError, match=r"no feature Cytoplasm_\*"):
        profile_plates(plates(), ProfileParams(columns=("Cytoplasm_*",)), np.random.default_rng(1))
    with pytest.raises(DataError, match="it can be compound or treatment"):
        profile_plates(plates(), ProfileParams(group="target"), np.random.default_rng(1))


def test_no_place_in_the_catalogue_is_a_feature() -> None:
    """What is measured in pixels from the corner of the image tells where a cell lies, not what it is."""
    parts = {"objects": "Nuclei", "channel": "DNA", "second": "GFP", "px": 3, "angle": 45}
    parts |= {"ring": 1, "size": 1, "i": 0, "p": 0, "q": 0}
    names = [f.pattern.format(**parts) for f in FEATURES]
    wells = pl.DataFrame({name: [1.0] for name in names} | {f"{name}_mad": [1.0] for name in names})
    kept = feature_columns(wells)
    places = ("Center_", "CenterMass", "LocationMax", "BoundingBoxMinimum", "BoundingBoxMaximum", "Orientation")
    assert not [name for name in kept if any(word in name for word in places)]
    assert "Nuclei_AreaShape_BoundingBoxArea" in kept
    assert "Nuclei_Intensity_MassDisplacement_DNA_mad" in kept


def test_columns_of_an_embedding_called_after_axes_are_features() -> None:
    assert feature_columns(pl.DataFrame({"x_0": [1.0], "z_12": [1.0], "x_um": [1.0]})) == ["x_0", "z_12"]
