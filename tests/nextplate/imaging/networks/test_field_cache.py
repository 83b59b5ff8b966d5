"""Pixels on their way to a network: nothing lost, nothing read twice, every batch the same again."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from nextplate.errors import DataError
from nextplate.imaging import open_readout
from nextplate.imaging.networks.augmentation import NOTHING, Augmentation, augmented
from nextplate.imaging.networks.cache import binned_pixels, fill_cache
from nextplate.imaging.networks.fields import Fields, fields_of, read_labels, to_target
from nextplate.imaging.networks.normalisation import Normalisation, scale_of
from tests.nextplate.imaging.networks.tiny_plates import plate_of, wells_of


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    return plate_of(tmp_path / "P1", wells_of(6, 2))


def listed(plate: Path) -> Fields:
    return fields_of([open_readout(plate)])


def test_the_cache_holds_what_the_files_hold(plate, tmp_path):
    cache = fill_cache(tmp_path / "c", listed(plate))
    assert cache.pixels.shape == (12, 2, 64, 64)
    assert cache.pixels.dtype == np.uint16
    np.testing.assert_array_equal(cache.pixels[3, 1], tifffile.imread(plate / "P1_A02_s2_w2.tif"))
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == [
        "cache.json", "pixels.npy", "problems.json", "state.npy",
    ]  # fmt: skip


def test_a_stopped_filling_goes_on_and_reads_nothing_twice(plate, tmp_path, monkeypatch):
    import nextplate.imaging.networks.cache as module

    monkeypatch.setattr(module, "_BLOCK", 4)

    def stop(done: int, _total: int) -> None:
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_cache(tmp_path / "c", listed(plate), progress=stop)
    read: list[str] = []
    original = module.read_field
    monkeypatch.setattr(module, "read_field", lambda f, *rest: (read.append(f.well), original(f, *rest))[1])
    cache = fill_cache(tmp_path / "c", listed(plate))
    assert read == ["A05", "A05", "A06", "A06"]
    assert len(cache.usable) == 12


def test_bad_images_are_rows_with_a_reason(plate, tmp_path):
    (plate / "P1_A01_s1_w1.tif").write_bytes(b"")
    tifffile.imwrite(plate / "P1_A02_s1_w2.tif", np.zeros((64, 64), np.uint16))
    tifffile.imwrite(plate / "P1_A03_s1_w2.tif", np.ones((64, 65), np.uint16))
    (plate / "P1_A04_s1_w2.tif").unlink()
    fields = listed(plate)
    assert [(m.well, m.field, m.channel) for _, m in fields.skipped] == [("A04", 1, "w2")]
    cache = fill_cache(tmp_path / "c", fields)
    reasons = {fields.fields[row].well: why for row, why in cache.problems}
    assert reasons["A01"].startswith("unreadable: P1_A01_s1_w1.tif")
    assert reasons["A02"] == "all-zero: P1_A02_s1_w2.tif: every pixel is 0"
    assert "65 x 64" in reasons["A03"]
    assert len(cache.usable) == 8


def test_other_images_another_binning_or_too_much_are_refused(plate, tmp_path):
    with pytest.raises(DataError, match="bin more pixels or allow more"):
        fill_cache(tmp_path / "c", listed(plate), max_gib=1e-6)
    assert not (tmp_path / "c").exists()
    fill_cache(tmp_path / "c", listed(plate))
    with pytest.raises(DataError, match="binning"):
        fill_cache(tmp_path / "c", listed(plate), binning=2)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.txt").write_text("x")
    with pytest.raises(DataError, match="holds other things"):
        fill_cache(tmp_path / "d", listed(plate))


def test_a_plate_that_cannot_be_read_at_all_is_one_error(plate, tmp_path):
    for path in plate.iterdir():
        path.write_bytes(b"x")
    with pytest.raises(DataError, match="none of the 12 fields can be read"):
        fill_cache(tmp_path / "c", listed(plate))


def test_binning_keeps_what_the_mean_gains():
    raw = np.array([[1, 2, 9], [3, 4, 9]], np.uint8)
    assert binned_pixels(raw, 2).tolist() == [[640]]  # 2.5 in steps of 1/256
    assert binned_pixels(raw.astype(np.uint16), 2).tolist() == [[2]]


def test_plates_of_another_lamp_come_to_the_same_scale(tmp_path):
    kinds = wells_of(6, 2)
    readouts = [open_readout(plate_of(tmp_path / n, kinds, gain=g)) for n, g in (("P1", 1.0), ("P2", 3.0))]
    fields = fields_of(readouts)
    cache = fill_cache(tmp_path / "c", fields)
    scale = scale_of(cache.pixels, fields.plates, cache.usable, Normalisation())
    scaled = (cache.pixels - scale.offset[:, :, None, None]) * scale.factor[:, :, None, None]
    np.testing.assert_allclose(scaled[:12].mean((0, 2, 3)), scaled[12:].mean((0, 2, 3)), atol=0.05)
    by_image = scale_of(cache.pixels, fields.plates, cache.usable, Normalisation("image"))
    scaled = (cache.pixels - by_image.offset[:, :, None, None]) * by_image.factor[:, :, None, None]
    np.testing.assert_allclose(scaled.mean((2, 3)), 0, atol=1e-3)
    np.testing.assert_allclose(scaled.std((2, 3)), 1, atol=1e-3)


@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_an_augmented_field_has_the_same_pixels(seed, flips, turns):
    field = np.arange(2 * 64 * 64).reshape(2, 64, 64)
    view = augmented(field, Augmentation(flips, turns), np.random.default_rng(seed))
    assert view.shape == field.shape
    np.testing.assert_array_equal(np.sort(view[1].ravel()), field[1].ravel())
    assert flips or turns or (view == field).all()


def test_crops_are_square_and_inside():
    field = np.arange(70 * 100).reshape(1, 70, 100)
    rng = np.random.default_rng(1)
    views = [augmented(field, Augmentation(crop_px=64), rng) for _ in range(20)]
    assert {v.shape for v in views} == {(1, 64, 64)}
    assert augmented(field, NOTHING, rng) is not None
    assert augmented(field, Augmentation(), rng).shape == (1, 70, 100)
    with pytest.raises(DataError, match="crop_px is 80, fields are 70 x 100"):
        augmented(field, Augmentation(crop_px=80), rng)


LAYOUTS = [
    ("well,compound\nA01,x\nA01,y\n", "compound", "line 3: well A01 has two labels"),
    ("well,compound\nA01,x\nZZ,y\n", "compound", "line 3: 'ZZ' is not a well name"),
    ("well,compound\nA01,x\n", "dose", "no column 'dose'; it has well, compound"),
    ("well,compound\nA01,x,3\n", "compound", "line 2: 3 cells, the header has 2"),
    ("well,compound\nA01,\n", "compound", "no well has a label"),
]


@pytest.mark.parametrize(("text", "column", "message"), LAYOUTS)
def test_a_layout_that_cannot_be_used_names_the_line(tmp_path, text, column, message):
    path = tmp_path / "layout.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_labels(path, column)


def test_labels_by_plate_and_well(plate, tmp_path):
    path = tmp_path / "layout.csv"
    path.write_text("plate,well,compound,dose\nP1,A1,x,1\nP1,A02,y,2\n,A03,y,2\nP9,A04,x,1\nP1,A05,,1\n")
    fields = listed(plate)
    target = to_target(fields, read_labels(path, "compound+dose"), "compound+dose")
    assert target.classes == ("x@1", "y@2")
    assert target.values[:6].tolist() == [0, 0, 1, 1, 1, 1]
    assert np.isnan(target.values[6:]).all()
    response = to_target(fields, read_labels(path, "dose"), "dose", is_response=True)
    assert response.values[:4].tolist() == [1, 1, 2, 2]
    with pytest.raises(DataError, match="plate P1, well A01: compound is 'x', not a number"):
        to_target(fields, read_labels(path, "compound"), "compound", is_response=True)
    with pytest.raises(DataError, match="no well of the plates has a label"):
        to_target(fields, {("P9", "A01"): "x"}, "compound")


def test_a_plate_given_twice_or_without_a_channel_is_refused(plate):
    with pytest.raises(DataError, match="is there twice"):
        fields_of([open_readout(plate), open_readout(plate)])
    with pytest.raises(DataError, match="no channel 'DNA'; it has w1, w2"):
        fields_of([open_readout(plate)], ["DNA"])
