"""One number of every well as a map of the plate: roles outlined, flagged wells crossed, missing ones hatched."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from controller.report.figures.grid import HATCH, Grid, plate_axes, to_grid
from controller.report.figures.style import (
    FONT,
    GREEN,
    INK,
    MUTED,
    SHIFT,
    VERMILION,
    bare_figure,
    png,
)
from nextplate.plate import PlateFormat, Role, parse_well

OUTLINES: Mapping[str, str] = {Role.NEGATIVE: INK, Role.POSITIVE: GREEN}
"""Colour of the frame that tells a control."""
_PLAIN = "viridis"
_LIMITS = (1.0, 99.0)
_MAX_LABELLED = 96
_INCHES = {6: 1.4, 12: 1.1, 24: 0.85, 48: 0.66, 96: 0.56, 384: 0.33, 1536: 0.17}
"""Side of a well."""
_LEFT, _TOP, _BOTTOM, _RIGHT = 0.42, 0.78, 0.62, 1.05
_DPI = 200


@dataclass(frozen=True, slots=True)
class HeatMap:
    """One number of a plate's wells."""

    plate: str
    shape: PlateFormat
    title: str
    unit: str
    """Stands at the colour bar."""
    values: Mapping[str, float | None]
    """By well; wells that are absent or None are hatched."""
    roles: Mapping[str, str]
    flagged: frozenset[str]
    hits: frozenset[str]
    middle: float | None
    """Where a diverging map has its middle; None: a plain map from low to high."""


def draw_heatmap(heat: HeatMap) -> bytes:
    """Draw a heat map as PNG."""
    side = _INCHES[heat.shape.n_wells]
    width, height = side * heat.shape.n_columns, side * heat.shape.n_rows
    total = (_LEFT + width + _RIGHT, _TOP + height + _BOTTOM)
    made = bare_figure(*total)
    box = (_LEFT / total[0], _BOTTOM / total[1], width / total[0], height / total[1])
    axes = plate_axes(made, box, heat.shape)
    grid = to_grid(heat.shape, heat.values)
    low, high, extend = _span(grid, heat.middle)
    colours = _PLAIN if heat.middle is None else SHIFT
    image = axes.imshow(grid, cmap=colours, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    mark = min(side, _INCHES[_MAX_LABELLED])
    _frames(axes, heat, mark)
    _marks(axes, heat, mark)
    if heat.shape.n_wells <= _MAX_LABELLED:
        _numbers(axes, heat, image, side)
    bar = made.colorbar(image, cax=made.add_axes((box[0] + box[2] + 0.14 / total[0], box[1], 0.13 / total[0], box[3])),
                        extend=extend)  # fmt: skip
    bar.ax.tick_params(labelsize=FONT - 1, labelcolor=MUTED, length=2, color=MUTED, pad=2)
    bar.outline.set_visible(False)
    if heat.middle is not None:
        # The colours go as far to both sides of the middle; the bar shows those that occur.
        known = grid[np.isfinite(grid)]
        bar.ax.set_ylim(
            max(low, float(known.min(initial=heat.middle))), min(high, float(known.max(initial=heat.middle)))
        )
    bar.set_label(heat.unit, fontsize=FONT - 0.5, color=INK)
    made.text(_LEFT / total[0], 1 - 0.12 / total[1], heat.title, fontsize=FONT + 2, color=INK, weight="bold", va="top")
    made.text(_LEFT / total[0], 1 - 0.34 / total[1], _words(heat), fontsize=FONT - 0.5, color=MUTED, va="top")
    _legend(made, heat, total)
    return png(made, _DPI)


def _span(grid: Grid, middle: float | None) -> tuple[float, float, str]:
    """Return (low, high, ends that go on): from the 1st to the 99th percentile, even about a middle."""
    known = grid[np.isfinite(grid)]
    if not known.size:
        return 0.0, 1.0, "neither"
    low, high = (float(v) for v in np.percentile(known, _LIMITS))
    if middle is not None:
        reach = max(abs(low - middle), abs(high - middle))
        low, high = middle - reach, middle + reach
    if high <= low:
        low, high = low - 0.5, high + 0.5
    is_below, is_above = bool((known < low).any()), bool((known > high).any())
    return low, high, {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[is_below, is_above]


def _frames(axes: Any, heat: HeatMap, side: float) -> None:
    """Outline the controls."""
    for well, role in heat.roles.items():
        if role in OUTLINES:
            row, column = parse_well(well)
            line = max(0.7, 3.4 * side)
            # The white line tells the frame from a dark well.
            for width, colour in ((2 * line, "white"), (line, OUTLINES[role])):
                style: dict[str, Any] = {"edgecolor": colour, "linewidth": width, "zorder": 2.5}
                axes.add_patch(Rectangle((column - 0.43, row - 0.43), 0.86, 0.86, fill=False, **style))


def _marks(axes: Any, heat: HeatMap, side: float) -> None:
    size = 46 * side
    crossed = [parse_well(w) for w in heat.flagged]
    style: dict[str, Any] = {"linestyle": "", "zorder": 3}
    for colour, width in (("white", 3.2), (VERMILION, 1.7)):
        axes.plot([c for _, c in crossed], [r for r, _ in crossed], marker="x", markersize=0.55 * size, color=colour,
                  markeredgewidth=width * max(0.5, side / 0.56), **style)  # fmt: skip
    dotted = [parse_well(w) for w in heat.hits]
    dot: dict[str, Any] = {"marker": "o", "markersize": max(2.0, 0.17 * size), "color": "white"}
    dot |= {"markeredgecolor": INK, "markeredgewidth": max(0.5, 1.4 * side)}
    axes.plot([c + 0.29 for _, c in dotted], [r - 0.29 for r, _ in dotted], **dot, **style)


def _numbers(axes: Any, heat: HeatMap, image: Any, side: float) -> None:
    """Write the value into each well, black on light and white on dark."""
    span = _spread(heat)
    for well, value in heat.values.items():
        if value is None or not np.isfinite(value) or well in heat.flagged:
            continue
        row, column = parse_well(well)
        red, green, blue, _ = image.cmap(image.norm(value))
        is_dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5
        colour = "white" if is_dark else INK
        axes.text(
            column,
            row,
            short(value, span),
            ha="center",
            va="center",
            fontsize=min(FONT - 2, 14 * side),
            color=colour,
            zorder=4,
        )


def short(value: float, span: float) -> str:
    """Write a number as finely as values that lie `span` apart need it, in about four characters."""
    digits = 2 - math.floor(math.log10(span)) if span > 0 else 2
    if digits > 4 or abs(value) >= 1e5:
        return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")
    text = f"{value:.{max(0, min(digits, 2))}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _spread(heat: HeatMap) -> float:
    known = [v for v in heat.values.values() if v is not None and np.isfinite(v)]
    return max(known) - min(known) if known else 0.0


def _words(heat: HeatMap) -> str:
    known = [v for v in heat.values.values() if v is not None and np.isfinite(v)]
    counted = f"plate {heat.plate}, {len(known)} of {heat.shape.n_wells} wells"
    if not known:
        return f"{counted}: no value"
    low, high = (short(v, _spread(heat)) for v in (min(known), max(known)))
    if heat.middle is None:
        return f"{counted}, {low} to {high}"
    return f"{counted}, {low} to {high}; palest at the median of the negatives, {short(heat.middle, _spread(heat))}"


def _legend(made: Any, heat: HeatMap, total: tuple[float, float]) -> None:
    frame: dict[str, Any] = {"facecolor": "none", "linewidth": 1.6}
    handles: list[Any] = []
    for role, colour in OUTLINES.items():
        n = sum(r == role for r in heat.roles.values())
        handles += [Patch(edgecolor=colour, label=f"{role} {n}", **frame)] if n else []
    mark: dict[str, Any] = {"linestyle": "", "markersize": 6}
    if heat.hits:
        handles.append(
            Line2D([], [], marker="o", color="white", markeredgecolor=INK, label=f"hit {len(heat.hits)}", **mark)
        )
    if heat.flagged:
        handles.append(
            Line2D(
                [], [], marker="x", color=VERMILION, markeredgewidth=1.7, label=f"flagged {len(heat.flagged)}", **mark
            )
        )
    known = sum(v is not None and bool(np.isfinite(v)) for v in heat.values.values())
    if known < heat.shape.n_wells:
        hatched: dict[str, Any] = {**HATCH, "edgecolor": MUTED, "linewidth": 0}
        handles.append(Patch(label=f"empty or no value {heat.shape.n_wells - known}", **hatched))
    if handles:
        made.legend(handles=handles, loc="lower left", bbox_to_anchor=(_LEFT / total[0] - 0.01, 0.04 / total[1]),
                    ncols=len(handles), frameon=False, fontsize=FONT - 0.5, labelcolor=INK, handlelength=1.3,
                    columnspacing=1.4, handletextpad=0.5)  # fmt: skip
