"""Maps of a plate: who sits where, the response, the flags; and a strip plot of the controls."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from controller.report.figures.grid import Grid, plate_axes, to_grid
from controller.report.figures.style import (
    ACCENT,
    ACTIVITY,
    FONT,
    HAIRLINE,
    INK,
    MUTED,
    REASONS,
    VERMILION,
    VIABILITY,
    bare_figure,
    figure,
    label,
    png,
    quiet,
)
from controller.report.model import PlateView, WellView
from nextplate.plate import PlateFormat, Role, parse_well

_SIZE = (3.6, 3.35)
_GRID = (0.06, 0.275, 0.93, 0.655)
"""Left, bottom, width and height of the map in every figure, so that the three maps of a plate align."""
_BAR = (0.06, 0.2, 0.5, 0.026)
_MAP_DPI = 220
_MARKS = ("x", "+", "1", "2", "3", "4", "|", "_", "*", "v", "<", ">")


def draw_layout(plate: PlateView) -> bytes:
    """Draw who sits where, by role and reason."""
    kinds = list(REASONS)
    codes = to_grid(plate.shape, {w.well: float(kinds.index(_kind(w))) for w in plate.wells})
    made, axes = _map(plate.shape)
    axes.imshow(codes, cmap=ListedColormap(list(REASONS.values())), vmin=-0.5, vmax=len(kinds) - 0.5, aspect="auto")
    counts = {kind: sum(_kind(w) == kind for w in plate.wells) for kind in kinds}
    handles = [Patch(color=REASONS[k], label=f"{k} {n}") for k, n in counts.items() if n]
    _legend(made, handles, top=0.25)
    return png(made, _MAP_DPI)


def _kind(well: WellView) -> str:
    if well.role == Role.SAMPLE:
        return well.reason if well.reason in REASONS else "exploit"
    return well.role


def draw_response(plate: PlateView) -> bytes:
    """Draw the activity of every well; hits are ringed."""
    values = to_grid(plate.shape, {w.well: w.activity for w in plate.wells})
    made, axes = _map(plate.shape)
    image = axes.imshow(values, cmap=ACTIVITY, vmin=0, vmax=1.2, aspect="auto")
    hits = [parse_well(w.well) for w in plate.wells if w.is_hit]
    ring: dict[str, Any] = {"facecolors": "none", "edgecolors": VERMILION, "linewidths": 1.2}
    axes.scatter([c for _, c in hits], [r for r, _ in hits], s=26, **ring)
    _bar(made, image, "activity")
    mark = Line2D([], [], linestyle="", marker="o", markersize=5, markerfacecolor="none", markeredgecolor=VERMILION)
    mark.set_label(f"hit {len(hits)}")
    _legend(made, [mark, Patch(facecolor="white", edgecolor=HAIRLINE, hatch="////", label="no response")])
    return png(made, _MAP_DPI)


def draw_flags(plate: PlateView) -> bytes:
    """Draw viability, and a mark for every reason a well was flagged."""
    values = to_grid(plate.shape, {w.well: w.viability for w in plate.wells})
    made, axes = _map(plate.shape)
    image = axes.imshow(values, cmap=VIABILITY, vmin=0, vmax=1.0, aspect="auto")
    handles = [_mark(axes, plate, code, n) for n, code in enumerate(_codes(plate.wells))]
    _bar(made, image, "viability")
    _legend(made, handles or [Patch(color="none", label="no well flagged")])
    return png(made, _MAP_DPI)


def _codes(wells: Sequence[WellView]) -> list[str]:
    """List reason codes, the most frequent first."""
    counts: dict[str, int] = {}
    for code in (c for w in wells for c in w.flags):
        counts[code] = counts.get(code, 0) + 1
    return sorted(counts, key=lambda code: (-counts[code], code))


def _mark(axes: Any, plate: PlateView, code: str, n: int) -> Line2D:
    at = [parse_well(w.well) for w in plate.wells if code in w.flags]
    style: dict[str, Any] = {"marker": _MARKS[n % len(_MARKS)], "color": INK, "linestyle": ""}
    style |= {"markersize": 5, "markeredgewidth": 1.2}
    axes.plot([c for _, c in at], [r for r, _ in at], **style)
    return Line2D([], [], label=f"{code} {len(at)}", **style)


def _map(shape: PlateFormat) -> tuple[Any, Any]:
    made = bare_figure(*_SIZE)
    return made, plate_axes(made, _GRID, shape)


def _bar(made: Any, image: Any, text: str) -> None:
    bar = made.colorbar(image, cax=made.add_axes(_BAR), orientation="horizontal")
    bar.set_ticks([0.0, 0.5, 1.0])
    bar.ax.tick_params(labelsize=FONT - 1.5, labelcolor=MUTED, length=2, color=MUTED, pad=2)
    bar.outline.set_visible(False)
    made.text(_BAR[0] + _BAR[2] + 0.03, _BAR[1] + _BAR[3] / 2, text, fontsize=FONT - 1, color=INK, va="center")


def _legend(made: Any, handles: Sequence[Any], top: float = 0.13) -> None:
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0.02, top), "columnspacing": 1.0}
    place["ncols"] = 2 if any(len(h.get_label()) > 16 for h in handles) else 3
    place |= {"handlelength": 1.1, "handletextpad": 0.5}
    made.legend(handles=handles, frameon=False, fontsize=FONT - 1.2, labelcolor=INK, **place)


def draw_controls(plate: PlateView) -> bytes:
    """Draw the activity of negatives, samples and positives, with the threshold of a hit."""
    made = figure(6.6, 3.0)
    axes = made.subplots()
    quiet(axes)
    axes.grid(visible=False, axis="y")
    rng = np.random.default_rng(1)
    for n, (role, colour) in enumerate(_STRIPS):
        wells = [w for w in plate.wells if w.role == role and w.activity is not None]
        at = n + rng.uniform(-0.28, 0.28, len(wells))
        _strip(axes, wells, at, colour)
    axes.axvline(plate.threshold, color=VERMILION, linewidth=1.2)
    axes.annotate(
        f"hit threshold {plate.threshold:g}", (plate.threshold, -0.52), xytext=(4, 0), textcoords="offset points",
        color=VERMILION, fontsize=FONT - 1, va="top",
    )  # fmt: skip
    axes.set_yticks(range(len(_STRIPS)), [f"{r.value}s" for r, _ in _STRIPS])
    axes.set_ylim(2.5, -0.62)
    label(axes, "activity: 0 negative, 1 positive control", "")
    return png(made)


_STRIPS = ((Role.NEGATIVE, REASONS["negative"]), (Role.SAMPLE, ACCENT), (Role.POSITIVE, REASONS["positive"]))


def _strip(axes: Any, wells: Sequence[WellView], at: Grid, colour: str) -> None:
    is_used = np.array([w.is_used for w in wells], dtype=bool)
    values = np.array([w.activity for w in wells], dtype=np.float64)
    axes.scatter(values[is_used], at[is_used], s=13, color=colour, alpha=0.65, linewidths=0)
    axes.scatter(values[~is_used], at[~is_used], s=15, marker="x", color=MUTED, linewidths=0.9)
