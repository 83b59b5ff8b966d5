"""Calibration: how often measurements fell into the intervals promised for them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from controller.report.figures.style import HAIRLINE, MUTED, figure, label, legend, png, quiet
from controller.report.model import CoverageRow, RoundView
from controller.report.rounds import CROSS_VALIDATION

GROUPS = ("exploit", "explore", CROSS_VALIDATION)
N_ROUNDS = 6
"""A figure shows the last so many rounds: more lines cannot be told apart."""
_TITLES = {
    "exploit": "picked by score (exploit)",
    "explore": "picked by lot (explore)",
    CROSS_VALIDATION: "cross-validation",
}
_ROUNDS = ("#8fc1e3", "#0b66a3", "#062f4d", "#e69f00", "#d55e00", "#009e73", "#cc79a7")


def draw_calibration(rounds: Sequence[RoundView]) -> dict[str, bytes]:
    """Draw nominal against empirical coverage, a figure per group, a line per round; nothing before there is any."""
    groups = {group: _of_group(rounds, group) for group in GROUPS}
    if not any(groups.values()):
        return {}
    return {group: _panel(group, found) for group, found in groups.items()}


def _of_group(rounds: Sequence[RoundView], group: str) -> list[tuple[RoundView, list[CoverageRow]]]:
    rows = [(r, [c for c in (*r.coverage, *r.held_out) if c.group == group]) for r in rounds]
    return [(r, sorted(found, key=lambda c: c.nominal)) for r, found in rows if found][-N_ROUNDS:]


def _panel(group: str, found: list[tuple[RoundView, list[CoverageRow]]]) -> bytes:
    made = figure(3.7, 3.9)
    axes = made.subplots()
    quiet(axes)
    axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, linestyle=(0, (4, 2)))
    for n, (view, rows) in enumerate(found):
        _line(axes, view, rows, 0.5 * (n - (len(found) - 1) / 2))
    if not found:
        style: dict[str, Any] = {"ha": "center", "va": "center", "color": MUTED, "fontsize": 9}
        axes.text(72, 72, "not determined yet", bbox={"facecolor": "white", "edgecolor": HAIRLINE}, **style)
    axes.set_xlim(45, 100)
    axes.set_ylim(25, 102)
    label(axes, "nominal coverage, %", "measured coverage, %", _TITLES[group])
    legend(axes, loc="lower right")
    return png(made)


def _line(axes: Any, view: RoundView, rows: list[CoverageRow], shift: float) -> None:
    known = [(c.nominal, c.empirical) for c in rows if c.empirical.value is not None]
    x = 100 * np.array([nominal for nominal, _ in known]) + shift
    value, low, high = (100 * np.array([getattr(e, end) or 0.0 for _, e in known]) for end in ("value", "low", "high"))
    error = np.clip([value - low, high - value], 0, None)
    n = max(e.n or 0 for _, e in known)
    name = f"round {view.round + 1}" if view.plate else "after the last round"
    style = {"marker": "o", "markersize": 4, "linewidth": 1.3, "elinewidth": 1.0}
    axes.errorbar(x, value, yerr=error, color=_ROUNDS[view.round % len(_ROUNDS)], label=f"{name}, n = {n}", **style)
