"""Example fields: one contrast per plate, so that a dark well looks dark."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from controller.report.figures.fields import Contrast, compose, make_tiles
from controller.report.model import Shot, Shots, WellView

LIMITS = (Contrast(100, 1100), Contrast(50, 550))


def test_black_is_black_and_white_is_the_sum_of_the_colours():
    dark = compose(np.full((2, 2), 100), np.full((2, 2), 50), LIMITS)
    bright = compose(np.full((2, 2), 5000), np.full((2, 2), 5000), LIMITS)
    assert dark.max() == 0
    assert bright[0, 0, 1] == bright[0, 0, 2] == 255


def test_dna_is_blue_and_reporter_green():
    dna = compose(np.full((1, 1), 1100), np.zeros((1, 1)), LIMITS)[0, 0]
    reporter = compose(np.zeros((1, 1)), np.full((1, 1), 550), LIMITS)[0, 0]
    assert dna.argmax() == 2
    assert reporter.argmax() == 1


def field(folder: Path, name: str, level: int) -> Path:
    image = np.random.default_rng(1).normal(level, 5, (400, 400)).astype(np.uint16)
    tifffile.imwrite(folder / name, image)
    return folder / name


def shots(folder: Path, pixel_size_um: float | None) -> Shots:
    well = WellView("B02", "sample", "exploit", "C1", 0, 10.0, 0.8, 0.9)
    dark = field(folder, "dark.tif", 200)
    bright = field(folder, "bright.tif", 4000)
    return Shots(
        (Shot("Best hit", well, dark, dark, 1), Shot("Toxic", well, folder / "gone.tif", dark, 1)),
        (),
        pixel_size_um,
        ((bright, bright),),
        (),
    )


def test_contrast_comes_from_the_controls_not_from_the_field(tmp_path):
    (tile,), _ = make_tiles(shots(tmp_path, None))
    assert tile.image.max() == 0  # far darker than the controls


def test_an_image_that_cannot_be_read_is_said_to_be_absent(tmp_path):
    _, absent = make_tiles(shots(tmp_path, None))
    assert absent[0].startswith("Toxic (B02): gone.tif")


def test_the_bar_is_fifty_micrometres_long(tmp_path):
    (tile,), _ = make_tiles(shots(tmp_path, 1.0))
    assert tile.side_um == pytest.approx(220)
    bar = (tile.image == 255).all(axis=2)
    assert bar.any(axis=0).sum() == 50


def test_without_a_pixel_size_there_is_no_bar(tmp_path):
    (tile,), _ = make_tiles(shots(tmp_path, None))
    assert tile.side_um is None
    assert not tile.has_bar
