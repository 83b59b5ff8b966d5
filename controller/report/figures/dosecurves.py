"""Dose-response curves: every well, the fitted curve, and the interval of the midpoint."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.report.figures.style import ACCENT, FONT, HAIRLINE, INK, MUTED, VERMILION, figure, png, quiet

Values = npt.NDArray[np.float64]
_N_COLUMNS, PER_PAGE = 4, 20
_PANEL = (2.9, 2.45)
_GAP = 0.75
"""Where the wells without compound stand: so many typical steps left of the lowest dose."""


@dataclass(frozen=True, slots=True)
class CurvePanel:
    """One compound."""

    compound: str
    dose: Values
    """Shape (n,), in the compound's own unit; 0 without compound."""
    response: Values
    is_good: npt.NDArray[np.bool_]
    """False: not fitted."""
    row: Mapping[str, Any]
    """Its row of the dose-response table."""
    words: str
    """The midpoint, or why there is none."""


def draw_curves(panels: Sequence[CurvePanel], title: str, response: str) -> tuple[bytes, ...]:
    """Draw pages of up to twenty panels; the scale of the response is the same on all."""
    if not panels:
        return ()
    known = np.concatenate([p.response[np.isfinite(p.response)] for p in panels])
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    room = 0.07 * max(high - low, 1e-9)
    pages = [panels[i : i + PER_PAGE] for i in range(0, len(panels), PER_PAGE)]
    return tuple(_page(page, title, response, (low - room, high + room)) for page in pages)


def _page(panels: Sequence[CurvePanel], title: str, response: str, limits: tuple[float, float]) -> bytes:
    n_columns = min(_N_COLUMNS, len(panels))
    n_rows = -(-len(panels) // n_columns)
    # One or two panels are drawn larger.
    grow = 1.45 if len(panels) <= 2 else 1.0
    made = figure(_PANEL[0] * grow * n_columns, _PANEL[1] * grow * n_rows + 0.35)
    made.suptitle(title, x=0.01, ha="left", fontsize=FONT + 2, color=INK, fontweight="bold")
    every = made.subplots(n_rows, n_columns, squeeze=False, sharey=True)
    for axes, panel in zip(every.flat, panels, strict=False):
        _draw(axes, panel)
        axes.set_ylim(*limits)
    for axes in every.flat[len(panels) :]:
        axes.set_axis_off()
    made.supylabel(response, color=MUTED, fontsize=FONT)
    return png(made)


def _draw(axes: Any, panel: CurvePanel) -> None:
    quiet(axes)
    is_index = panel.row["axis"] == "index"
    x, zero = _places(panel.dose, is_index)
    dosed = panel.dose > 0
    _midpoint(axes, panel.row, is_index)
    _line(axes, panel, x, zero, is_index)
    good, bad = panel.is_good, ~panel.is_good
    jitter = np.zeros(len(x))
    jitter[~dosed] = np.linspace(-0.15, 0.15, int((~dosed).sum())) * (x[dosed].min() - zero if dosed.any() else 1)
    axes.scatter(
        (x + jitter)[good & dosed], panel.response[good & dosed], s=18, color=ACCENT, alpha=0.8, linewidths=0, zorder=3
    )
    style: dict[str, Any] = {"s": 16, "facecolors": "none", "edgecolors": MUTED, "linewidths": 0.9, "zorder": 3}
    axes.scatter((x + jitter)[good & ~dosed], panel.response[good & ~dosed], **style)
    axes.scatter(x[bad], panel.response[bad], s=20, marker="x", color=VERMILION, linewidths=1.1, zorder=3)
    _ticks(axes, panel, x, zero, is_index)
    lines = _wrapped(panel.words)
    axes.set_title(
        panel.compound, loc="left", fontsize=FONT + 0.5, color=INK, fontweight="bold", pad=4 + 10 * len(lines)
    )
    colour = ACCENT if panel.row["midpoint"] is not None else VERMILION
    place: dict[str, Any] = {"transform": axes.transAxes, "fontsize": FONT - 1.5, "color": colour, "va": "bottom"}
    # Left out of the layout, or long words would push the panels together.
    axes.text(0, 1.02, "\n".join(lines), in_layout=False, **place)


def _micro(words: str) -> str:
    return words.replace("uM", "µM")


def _wrapped(words: str) -> list[str]:
    """Break what is said of a panel into two lines at most."""
    lines = textwrap.wrap(_micro(words), 46)
    return lines if len(lines) <= 2 else [lines[0], lines[1][:44].rstrip() + " …"]


def _places(dose: Values, is_index: bool) -> tuple[Values, float]:
    """Return where each well stands, and where those without compound do."""
    dosed = dose > 0
    x = np.full(dose.shape, np.nan)
    x[dosed] = dose[dosed] if is_index else np.log10(dose[dosed])
    steps = np.diff(np.unique(x[dosed]))
    step = float(np.median(steps)) if len(steps) else 1.0
    zero = (float(x[dosed].min()) if dosed.any() else 1.0) - (1 + _GAP) * step
    x[~dosed] = zero
    return x, zero


def _line(axes: Any, panel: CurvePanel, x: Values, zero: float, is_index: bool) -> None:
    """Draw the fitted curve; where none was determined, the medians of the doses."""
    row = panel.row
    dosed = panel.dose > 0
    if row["midpoint"] is None:
        levels = np.unique(x[dosed & panel.is_good])
        middle = [float(np.median(panel.response[(x == v) & panel.is_good])) for v in levels]
        axes.plot(levels, middle, color=MUTED, linewidth=1.1, linestyle=(0, (3, 2)), zorder=2)
        return
    at = np.linspace(float(x[dosed].min()), float(x[dosed].max()), 200)
    middle_at = row["midpoint"] if is_index else np.log10(row["midpoint"])
    y = row["left"] + (row["right"] - row["left"]) / (1 + 10.0 ** (row["slope"] * (middle_at - at)))
    axes.plot(at, y, color=ACCENT, linewidth=1.8, zorder=2.5)
    step = (float(x[dosed].min()) - zero) / 3
    axes.plot([zero - step, zero + step], [row["left"]] * 2, color=ACCENT, linewidth=1.8, zorder=2.5)


def _midpoint(axes: Any, row: Mapping[str, Any], is_index: bool) -> None:
    if row["midpoint"] is None:
        return
    low, middle, high = (
        float(v if is_index else np.log10(v)) for v in (row["midpoint_low"], row["midpoint"], row["midpoint_high"])
    )
    axes.axvspan(low, high, color=ACCENT, alpha=0.16, linewidth=0, zorder=1)
    axes.axvline(middle, color=ACCENT, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1.5)


def _ticks(axes: Any, panel: CurvePanel, x: Values, zero: float, is_index: bool) -> None:
    dosed = panel.dose > 0
    if not dosed.any():
        return
    first, last = float(x[dosed].min()), float(x[dosed].max())
    ticks = np.unique(x[dosed]) if is_index else np.arange(np.ceil(first - 1e-9), np.floor(last + 1e-9) + 1)
    if not is_index and len(ticks) < 2:
        ticks = np.array([first, last])
    names = [f"{t:g}" if is_index else f"{10.0**t:.3g}" for t in ticks]
    is_bare = not (~dosed).any()
    axes.set_xticks([*([] if is_bare else [zero]), *ticks], [*([] if is_bare else ["0"]), *names])
    room = 0.04 * (last - zero)
    axes.set_xlim((first if is_bare else zero) - 2 * room, last + room)
    if not is_bare:
        axes.axvline((zero + first) / 2, color=HAIRLINE, linewidth=1.2, linestyle=(0, (1, 2)), zorder=0.5)
    axes.set_xlabel("dose index" if is_index else f"dose, {_micro(panel.row['dose_unit'])}", color=MUTED, fontsize=FONT)
