"""Example fields in two colours: DNA in blue, reporter in green, one contrast for a whole plate."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from controller.report.figures.mixing import DNA, REPORTER, Contrast, Rgb, mixed
from controller.report.figures.style import FONT, INK, MUTED, bare_figure, png
from controller.report.model import Shot, Shots
from nextplate.errors import DataError
from nextplate.imaging.pixels import read_pixels

BAR_UM = 50.0
_SIDE_UM = 220.0
_SIDE_PX = 360
_BLACK_PERCENTILE, _WHITE_PERCENTILE = 5.0, 99.7


@dataclass(frozen=True, slots=True)
class Tile:
    """One example field, ready to show."""

    shot: Shot
    image: Rgb
    """Shape (side, side, 3)."""
    side_um: float | None
    """None where the pixel size is not known."""
    has_bar: bool

    @property
    def jpeg(self) -> bytes:
        """Return the tile as JPEG, for the page; the PNG strip holds it without loss."""
        out = io.BytesIO()
        Image.fromarray(self.image).save(out, format="JPEG", quality=90, subsampling=0)
        return out.getvalue()


def make_tiles(shots: Shots) -> tuple[tuple[Tile, ...], tuple[str, ...]]:
    """Read and colour a plate's example fields; return the tiles, and why others cannot be shown."""
    contrast = _contrast(shots.references)
    if contrast is None:
        return (), (*shots.absent, "no control well has images of both channels: no common contrast can be set")
    tiles, failed = [], list(shots.absent)
    for shot in shots.shots:
        try:
            tiles.append(_tile(shot, contrast, shots.pixel_size_um))
        except DataError as error:
            failed.append(f"{shot.title} ({shot.well.well}): {error}")
    return tuple(tiles), tuple(failed)


def _contrast(references: Sequence[tuple[Path, Path]]) -> tuple[Contrast, Contrast] | None:
    """Set black and white per channel from the plate's controls, so that its fields can be compared."""
    found: list[list[tuple[float, float]]] = [[], []]
    for pair in references:
        for channel, path in enumerate(pair):
            try:
                black, white = np.percentile(read_pixels(path), [_BLACK_PERCENTILE, _WHITE_PERCENTILE])
            except DataError:
                continue  # measured as unusable and reported there; the other controls set the contrast
            found[channel].append((float(black), float(white)))
    if not all(found):
        return None
    dna, reporter = (np.array(limits) for limits in found)
    return _limits(dna), _limits(reporter)


def _limits(values: npt.NDArray[np.float64]) -> Contrast:
    black = float(np.median(values[:, 0]))
    return Contrast(black, max(float(values[:, 1].max()), black + 1.0))


def _tile(shot: Shot, contrast: tuple[Contrast, Contrast], pixel_size_um: float | None) -> Tile:
    pixels = [_centre(read_pixels(path), pixel_size_um) for path in (shot.dna, shot.reporter)]
    image = compose(pixels[0], pixels[1], contrast)
    if pixel_size_um is None:
        return Tile(shot, image, None, has_bar=False)
    bar = round(BAR_UM / pixel_size_um)
    has_bar = bar < 0.8 * image.shape[1]
    return Tile(shot, _with_bar(image, bar) if has_bar else image, image.shape[1] * pixel_size_um, has_bar)


def _centre(pixels: npt.NDArray[np.generic], pixel_size_um: float | None) -> npt.NDArray[np.generic]:
    """Cut the middle of a field, so that single cells can be seen."""
    side = min(*pixels.shape, round(_SIDE_UM / pixel_size_um) if pixel_size_um else _SIDE_PX)
    top, left = ((length - side) // 2 for length in pixels.shape)
    return pixels[top : top + side, left : left + side]


def compose(
    dna: npt.NDArray[np.generic], reporter: npt.NDArray[np.generic], contrast: tuple[Contrast, Contrast]
) -> Rgb:
    """Colour two channels and add them.

    Args:
        dna: shape (height, width), counts.
        reporter: likewise.
        contrast: of DNA and reporter.

    Returns:
        Shape (height, width, 3).
    """
    return mixed((dna, reporter), contrast, (DNA, REPORTER))


def _with_bar(image: Rgb, length: int) -> Rgb:
    marked = image.copy()
    height, width = image.shape[:2]
    margin, thick = max(4, width // 26), max(2, height // 80)
    marked[height - margin - thick : height - margin, width - margin - length : width - margin] = 255
    return marked


def draw_strip(tiles: Sequence[Tile], plate: str) -> bytes:
    """Draw the tiles side by side with their names and numbers."""
    made = bare_figure(2.15 * max(len(tiles), 1), 2.75)
    for n, tile in enumerate(tiles):
        width = 1 / len(tiles)
        axes = made.add_axes((n * width + 0.004, 0.04, width - 0.008, 0.78))
        axes.imshow(tile.image, interpolation="bilinear")
        axes.set_axis_off()
        place: dict[str, Any] = {"transform": axes.transAxes, "ha": "left", "va": "bottom"}
        axes.text(0, 1.1, f"{tile.shot.title} · {plate} {tile.shot.well.well}", fontsize=FONT - 1, color=INK, **place)
        axes.text(0, 1.02, caption(tile.shot), fontsize=FONT - 2, color=MUTED, **place)
    return png(made, compress_level=3)  # noise: trying harder takes 5 times as long for 2 %


def caption(shot: Shot) -> str:
    """Give the numbers of a field's well."""
    w = shot.well
    activity = "no activity" if w.activity is None else f"activity {w.activity:.2f}"
    viability = "viability unknown" if w.viability is None else f"viability {w.viability:.2f}"
    return f"{activity}, {viability}"
