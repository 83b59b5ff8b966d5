"""One table of explicit names: what is in it, what does not change it, and what is refused."""

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from nextplate.errors import DataError
from nextplate.features import FEATURES, GROUPS, explain, measure_features, measure_field, select
from tests.nextplate.features.feature_scene import scene

EVERYTHING = select(["all"])


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    labels, dna, rna = scene(1)
    return measure_features(labels, {"DNA": dna, "RNA": rna}, EVERYTHING)


def test_every_column_is_explained_by_one_feature_and_every_feature_has_a_column(table: pl.DataFrame) -> None:
    columns = [column for column in table.columns if column != "label"]
    used = {explain(column) for column in columns}
    assert used == set(FEATURES)
    assert all(sum(feature.names(column) for feature in FEATURES) == 1 for column in columns)


def test_names_say_object_feature_channel_and_scale(table: pl.DataFrame) -> None:
    assert "Nuclei_Texture_Contrast_DNA_3px" in table.columns
    assert explain("Nuclei_Texture_Contrast_DNA_3px").group == "texture"
    with pytest.raises(DataError, match="Nuclei_Texture_Kontrast_DNA_3px"):
        explain("Nuclei_Texture_Kontrast_DNA_3px")


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_chosen_alone_gives_the_same_numbers_and_nothing_else(group: str, table: pl.DataFrame) -> None:
    labels, dna, rna = scene(1)
    alone = measure_features(labels, {"DNA": dna, "RNA": rna}, select([group]))
    assert {explain(column).group for column in alone.columns[1:]} == {group}
    assert_frame_equal(alone, table.select(alone.columns), check_exact=True)


def test_labels_may_have_gaps_and_any_whole_type(table: pl.DataFrame) -> None:
    labels, dna, rna = scene(1)
    wide = labels.astype(np.int64) * 10_000_000_000
    again = measure_features(wide, {"DNA": dna, "RNA": rna}, EVERYTHING)
    assert again["label"].to_list() == [label * 10_000_000_000 for label in table["label"]]
    assert_frame_equal(again.drop("label"), table.drop("label"), check_exact=True)


def test_an_object_measured_alone_has_the_same_numbers_but_for_its_neighbours(table: pl.DataFrame) -> None:
    labels, dna, rna = scene(1)
    lonely = np.where(labels == labels.max(), labels, 0)
    alone = measure_features(lonely, {"DNA": dna, "RNA": rna}, EVERYTHING)
    is_own = [column for column in alone.columns if "Neighbors" not in column]
    assert_frame_equal(alone.select(is_own), table.tail(1).select(is_own), rel_tol=1e-5, abs_tol=1e-7)


def test_a_field_without_objects_has_all_columns_and_no_row(table: pl.DataFrame) -> None:
    labels, dna, rna = scene(1)
    empty = measure_features(np.zeros_like(labels), {"DNA": dna, "RNA": rna}, EVERYTHING)
    assert empty.schema == table.schema
    assert empty.height == 0


@pytest.mark.parametrize("brightness", [0.0, 0.5, 1.0])
def test_tiny_objects_and_flat_images_give_nan_not_an_error(brightness: float) -> None:
    labels = np.zeros((40, 40), np.uint16)
    labels[0, 0], labels[39, 30:40], labels[10:30, 20] = 1, 2, 9
    flat = np.full((40, 40), brightness)
    measured = measure_features(labels, {"DNA": flat, "RNA": flat}, EVERYTHING)
    assert measured["Nuclei_AreaShape_Area"].to_list() == [1.0, 10.0, 20.0]
    assert measured["Nuclei_Intensity_StdIntensity_DNA"].to_list() == [0.0, 0.0, 0.0]
    assert measured["Nuclei_Texture_Contrast_DNA_3px"].is_nan().all()


def test_a_field_too_small_for_grains_says_nan() -> None:
    labels = np.ones((7, 50), np.uint8)
    measured = measure_features(labels, {"DNA": np.ones((7, 50))}, select(["granularity"]))
    assert measured["Nuclei_Granularity_1_DNA"].is_nan().all()


@pytest.mark.parametrize("white", [None, 4095.0])
def test_whole_numbers_and_their_shares_of_white_have_the_same_texture(white: float | None) -> None:
    labels, dna, _ = scene(1)
    whole = np.rint(dna * (white or 65535)).astype(np.uint16)
    of_whole = measure_features(labels, {"DNA": whole}, select(["texture"], white=white))
    of_share = measure_features(labels, {"DNA": dna}, select(["texture"]))
    column = "Nuclei_Texture_Contrast_DNA_3px"
    np.testing.assert_allclose(of_whole[column], of_share[column], rtol=0.02)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (["colour"], "colour"),
        (["texture:"], "texture:"),
        (["texture:0"], "texture:0"),
        (["texture:x"], "texture:x"),
        (["shape:3"], "shape:3"),
        (["radial:3", "radial:5"], "radial takes one number, found 3, 5"),
    ],
)
def test_a_wrong_choice_is_named(wanted: list[str], says: str) -> None:
    with pytest.raises(DataError, match=says):
        select(wanted)


def test_choices_of_several_scales_add_up() -> None:
    chosen = select(["texture:9,3", "texture:1", "radial:6"])
    assert chosen.texture_px == (1, 3, 9)
    assert chosen.n_rings == 6


@pytest.mark.parametrize(
    ("labels", "image", "says"),
    [
        (np.zeros((4, 4)), np.zeros((4, 4)), "integers"),
        (np.zeros((4, 4, 2), int), np.zeros((4, 4)), "shape"),
        (np.full((4, 4), -1), np.zeros((4, 4)), "below 0"),
        (np.zeros((4, 4), int), np.zeros((4, 5)), "channel DNA has shape"),
        (np.zeros((4, 4), int), np.full((4, 4), np.nan), "channel DNA has 16 pixels that are NaN"),
        (np.zeros((4, 4), int), np.zeros((4, 4), complex), "channel DNA holds complex"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    labels: npt.NDArray[np.int64], image: npt.NDArray[np.float64], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        measure_features(labels, {"DNA": image}, EVERYTHING)


def test_labels_scattered_over_the_field_are_refused() -> None:
    labels = np.random.default_rng(0).integers(0, 50, (60, 60))
    with pytest.raises(DataError, match="a label of its own"):
        measure_features(labels, {"DNA": np.zeros((60, 60))}, EVERYTHING)


def test_one_label_in_two_pieces_is_one_object() -> None:
    labels = np.zeros((40, 60), np.uint8)
    labels[5:15, 5:15] = labels[20:30, 40:50] = 4
    measured = measure_features(labels, {"DNA": np.full((40, 60), 0.5)}, EVERYTHING)
    assert measured["label"].to_list() == [4]
    assert measured["Nuclei_AreaShape_Area"].to_list() == [200.0]
    assert measured["Nuclei_AreaShape_MaximumRadius"].to_list() == [5.0]


def test_a_whole_field_is_described_without_objects() -> None:
    _, dna, rna = scene(1)
    whole = np.rint(dna * 65535).astype(np.uint16)
    found = measure_field({"DNA": whole, "RNA": rna})
    assert found["Field_Mean_DNA"] == pytest.approx(whole.mean())
    assert found["Field_Percentile05_DNA"] == pytest.approx(np.percentile(whole, 5))
    assert found["Field_Percentile75_DNA"] == pytest.approx(np.percentile(whole, 75))
    assert found["Field_Correlation_DNA_RNA"] == pytest.approx(np.corrcoef(whole.ravel(), rna.ravel())[0, 1])
    assert sum(found[f"Field_SpectralBand{i}_DNA"] for i in range(1, 9)) == pytest.approx(1)


def test_spectral_bands_find_a_wave_in_its_octave() -> None:
    x = np.arange(256)
    for band, period in ((8, 3), (7, 6), (6, 12), (3, 96)):
        wave = np.tile(np.sin(2 * np.pi * x / period), (64, 1))
        assert measure_field({"DNA": wave})[f"Field_SpectralBand{band}_DNA"] > 0.7


def test_an_empty_image_is_described_by_nan_not_by_an_error() -> None:
    found = measure_field({"DNA": np.zeros((20, 30), np.uint16)})
    assert found["Field_Mean_DNA"] == 0
    assert np.isnan(found["Field_Skewness_DNA"])
    assert np.isnan(found["Field_SpectralBand1_DNA"])
