"""One field of every well in the plate's geometry, small; one contrast for the whole plate."""

import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.patches import Rectangle
from PIL import Image

from controller.report.figures.grid import column_labels
from controller.report.figures.mixing import Colour, Contrast, Rgb, colours_of, mixed
from controller.report.figures.style import FONT, ORANGE, SKY, VERMILION, bare_figure
from nextplate.errors import DataError
from nextplate.imaging import read_image
from nextplate.plate import PlateFormat, Role, parse_well, row_letters
from nextplate.readout import FieldImage

Tile = npt.NDArray[np.float32]
Shrunk = Mapping[tuple[str, str], Tile]
"""(well, channel) -> the field, made small; absent where there is no image or it cannot be read."""
BORDERS: Mapping[str, str] = {Role.NEGATIVE: SKY, Role.POSITIVE: ORANGE, Role.SAMPLE: "#39434a", Role.EMPTY: "#1d2226"}
_UNKNOWN, _DARK = "#39434a", (14, 18, 21)
_TILE_PX = {6: 480, 12: 400, 24: 300, 48: 230, 96: 168, 384: 104, 1536: 56}
_GAP_PX = 6
_BLACK, _WHITE = 2.0, 99.8
_PER_TILE = 2000
_DPI = 100
_LEFT, _TOP, _BOTTOM, _RIGHT = 0.42, 1.0, 0.55, 0.12


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a contact sheet says about its wells."""

    plate: str
    shape: PlateFormat
    roles: Mapping[str, str]
    flags: Mapping[str, str]
    """Only of wells that have any."""


def shrink(
    images: Sequence[FieldImage],
    shape: PlateFormat,
    progress: Callable[[int, int], None] | None = None,
    n_threads: int = 2,
) -> tuple[Shrunk, tuple[str, ...]]:
    """Read images and make each small at once, so that memory holds one full image per thread.

    Args:
        images: one field of each well, every channel of it.
        shape: decides the size of a tile.
        progress: called with (images read, images in all).
        n_threads: readers side by side.

    Returns:
        (tiles, why images cannot be shown).
    """
    side = _TILE_PX[shape.n_wells]
    tiles: dict[tuple[str, str], Tile] = {}
    failed = []
    with ThreadPoolExecutor(n_threads) as executor:
        for done, (image, found) in enumerate(
            zip(images, executor.map(lambda i: _small(i, side), images), strict=True)
        ):
            if isinstance(found, str):
                failed.append(f"{image.well} {image.channel}: {found}")
            else:
                tiles[image.well, image.channel] = found
            if progress is not None:
                progress(done + 1, len(images))
    return tiles, tuple(failed)


def _small(image: FieldImage, side: int) -> Tile | str:
    try:
        pixels = read_image(image)
    except DataError as error:
        return str(error)
    return block_means(pixels, max(1, -(-max(pixels.shape) // side)))


def block_means(pixels: npt.NDArray[Any], factor: int) -> Tile:
    """Average blocks of factor x factor pixels; the rest at the right and lower edge is left out."""
    height, width = (n // factor * factor for n in pixels.shape)
    # Rows first: adding whole rows is several times faster than adding small squares.
    rows = pixels[:height, :width].reshape(height // factor, factor, width).sum(axis=1, dtype=np.uint32)
    blocks = rows.reshape(len(rows), width // factor, factor).sum(axis=2, dtype=np.uint32)
    return np.asarray(blocks / factor**2, dtype=np.float32)


def contrasts(tiles: Shrunk, channels: Sequence[str]) -> dict[str, Contrast]:
    """Set black and white of each channel from a sample of all wells' pixels; channels without a tile have none."""
    found = {}
    for channel in channels:
        mine = [t.ravel()[:: max(1, t.size // _PER_TILE)] for (_, name), t in tiles.items() if name == channel]
        if mine:
            black, white = (float(v) for v in np.percentile(np.concatenate(mine), [_BLACK, _WHITE]))
            found[channel] = Contrast(black, max(white, black + 1.0))
    return found


def draw_sheet(sheet: Sheet, tiles: Shrunk, channels: Sequence[str], note: str = "") -> bytes:
    """Draw the channels over each other, well by well.

    Raises:
        DataError: no image of these channels could be read.
    """
    limits = contrasts(tiles, channels)
    shown = [c for c in channels if c in limits]
    if not shown:
        raise DataError(f"plate {sheet.plate}: no image of channel {', '.join(channels)} can be shown")
    colours = colours_of(shown)
    wells = [w for w in sheet.shape.wells() if any((w, c) in tiles for c in shown)]
    tall, wide = (max(tiles[k].shape[axis] for k in tiles if k[1] in shown) for axis in (0, 1))
    mosaic = _mosaic(sheet.shape, (tall, wide))
    for well in wells:
        row, column = parse_well(well)
        picture = _picture(tiles, well, shown, limits, colours, (tall, wide))
        top, left = _corner(row, tall), _corner(column, wide)
        mosaic[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return _page(sheet, mosaic, (tall, wide), set(wells), list(zip(shown, colours, strict=True)), note)


def _corner(index: int, size: int) -> int:
    return _GAP_PX + index * (size + _GAP_PX)


def _mosaic(shape: PlateFormat, tile: tuple[int, int]) -> Rgb:
    height, width = (_corner(n, size) for n, size in zip((shape.n_rows, shape.n_columns), tile, strict=True))
    return np.full((height, width, 3), _DARK, np.uint8)


def _picture(
    tiles: Shrunk,
    well: str,
    channels: Sequence[str],
    limits: Mapping[str, Contrast],
    colours: Sequence[Colour],
    size: tuple[int, int],
) -> Rgb:
    """Colour a well's field; a channel that is absent stays black."""
    black = np.zeros(size, np.float32)
    layers = []
    for channel in channels:
        layer = black + limits[channel].black
        tile = tiles.get((well, channel))
        if tile is not None:
            layer[: tile.shape[0], : tile.shape[1]] = tile
        layers.append(layer)
    return mixed(layers, [limits[c] for c in channels], colours)


def _page(
    sheet: Sheet,
    mosaic: Rgb,
    tile: tuple[int, int],
    imaged: set[str],
    channels: Sequence[tuple[str, Colour]],
    note: str,
) -> bytes:
    """Put the mosaic on paper pixel by pixel, with borders, marks and words."""
    height, width = (n / _DPI for n in mosaic.shape[:2])
    total = (_LEFT + width + _RIGHT, _TOP + height + _BOTTOM)
    made = bare_figure(*total)
    made.set_dpi(_DPI)
    made.patch.set_visible(False)
    axes = made.add_axes((_LEFT / total[0], _BOTTOM / total[1], width / total[0], height / total[1]))
    axes.patch.set_visible(False)
    axes.set_xlim(-0.5, mosaic.shape[1] - 0.5)
    axes.set_ylim(mosaic.shape[0] - 0.5, -0.5)
    axes.spines[:].set_visible(False)
    _labels(axes, sheet.shape, tile)
    for well in sheet.shape.wells():
        _border(axes, sheet, well, tile, well in imaged)
    _words(made, sheet, channels, len(imaged), note, total)
    return _over(made, mosaic)


def _over(made: Any, mosaic: Rgb) -> bytes:
    """Lay what is drawn over the mosaic; matplotlib would hold the picture ten times over to show it itself."""
    made.canvas.draw()
    drawn = np.asarray(made.canvas.buffer_rgba())
    height, width = drawn.shape[:2]
    page: Rgb = np.full((height, width, 3), _DARK, np.uint8)
    left, bottom = round(_LEFT * _DPI), round(_BOTTOM * _DPI)
    top = height - bottom - mosaic.shape[0]
    page[top : top + mosaic.shape[0], left : left + mosaic.shape[1]] = mosaic[:, : width - left]
    for rows in np.array_split(np.arange(height), max(1, height // 64)):
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        alpha = drawn[part, :, 3:].astype(np.uint16)
        page[part] = (drawn[part, :, :3] * alpha + page[part] * (255 - alpha) + 127) // 255
    out = io.BytesIO()
    Image.fromarray(page).save(out, format="PNG", compress_level=3)
    return out.getvalue()


def _labels(axes: Any, shape: PlateFormat, tile: tuple[int, int]) -> None:
    axes.set_xticks([_corner(c, tile[1]) + tile[1] / 2 for c in range(shape.n_columns)], column_labels(shape.n_columns))
    rows = [row_letters(r) for r in range(shape.n_rows)]
    axes.set_yticks([_corner(r, tile[0]) + tile[0] / 2 for r in range(shape.n_rows)], rows)
    size = FONT + 4 if shape.n_rows <= 16 else FONT
    axes.tick_params(length=0, labelsize=size, labelcolor="#c6ced4", labeltop=True, labelbottom=False, pad=2)


def _border(axes: Any, sheet: Sheet, well: str, tile: tuple[int, int], is_imaged: bool) -> None:
    """Frame a well by its role; hatch it where there is no image, mark it where it is flagged."""
    row, column = parse_well(well)
    top, left = _corner(row, tile[0]), _corner(column, tile[1])
    role = sheet.roles.get(well, "")
    is_control = role in (Role.NEGATIVE, Role.POSITIVE)
    line: dict[str, Any] = {"linewidth": 2.4 if is_control else 0.8, "edgecolor": BORDERS.get(role, _UNKNOWN)}
    hatch: dict[str, Any] = {} if is_imaged else {"hatch": "///"}
    axes.add_patch(Rectangle((left - 2, top - 2), tile[1] + 3, tile[0] + 3, fill=False, **line, **hatch))
    if well in sheet.flags:
        axes.plot([left, left + tile[1] - 1], [top, top + tile[0] - 1], color=VERMILION, linewidth=1.3, alpha=0.9)
        if tile[1] >= 90:
            words = sheet.flags[well].replace(";", "\n")
            place: dict[str, Any] = {"ha": "left", "va": "bottom", "fontsize": FONT - 2, "color": "white"}
            box = {"facecolor": VERMILION, "edgecolor": "none", "pad": 1.2}
            axes.text(left + 2, top + tile[0] - 3, words, bbox=box, clip_on=True, **place)


def _words(
    made: Any,
    sheet: Sheet,
    channels: Sequence[tuple[str, Colour]],
    n_imaged: int,
    note: str,
    total: tuple[float, float],
) -> None:
    x, grow = _LEFT / total[0], _grow(total[0])
    title: dict[str, Any] = {"fontsize": (FONT + 3) * grow, "color": "white", "weight": "bold", "va": "top"}
    made.text(x, 1 - 0.1 / total[1], f"plate {sheet.plate}", **title)
    said = f"{n_imaged} of {sheet.shape.n_wells} wells, one field each; one contrast for the plate"
    under: dict[str, Any] = {"fontsize": FONT * grow, "color": "#a5b0b8", "va": "top"}
    made.text(x, 1 - (0.12 + 0.21 * grow) / total[1], f"{said}. {note}" if note else said, **under)
    entries: list[tuple[str, Any, str]] = [(name, colour, "square") for name, colour in channels]
    for role in (Role.NEGATIVE, Role.POSITIVE):
        n = sum(r == role for r in sheet.roles.values())
        entries += [(f"{role} {n}", BORDERS[role], "frame")] if n else []
    entries += [(f"flagged {len(sheet.flags)}", VERMILION, "line")] if sheet.flags else []
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (x - 0.004, 0.03 / total[1])}
    made.legend(handles=[_handle(*e) for e in entries], ncols=len(entries), frameon=False, fontsize=FONT * grow,
                labelcolor="#dfe5e9", handlelength=1.4, **place)  # fmt: skip


def _grow(width_in: float) -> float:
    """Letters grow with the sheet: it is looked at whole."""
    return max(1.0, width_in / 13)


def _handle(label: str, colour: Any, kind: str) -> Any:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    if kind == "line":
        return Line2D([], [], color=colour, linewidth=1.6, label=label)
    if kind == "frame":
        return Patch(facecolor="none", edgecolor=colour, linewidth=2.2, label=label)
    return Patch(facecolor=colour, label=label)
