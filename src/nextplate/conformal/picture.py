"""The diagnostics as a picture: how far coverage is from what was promised, group by group."""

import io
from collections.abc import Sequence
from typing import Any

from nextplate.conformal.diagnostics import CoverageRow
from nextplate.errors import DataError

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito: told apart by the colour-blind."""
_ROW_INCHES = 0.34


def coverage_picture(rows: Sequence[CoverageRow], title: str = "Coverage of intervals made before measuring") -> bytes:
    """Draw one panel per level: a line per group, a mark and its interval per method; PNG bytes.

    Hollow marks hold infinite intervals, which are inside by being empty promises.

    Raises:
        DataError: there is no row.
    """
    if not rows:
        raise DataError("coverage_picture: there is no row; nothing has been measured yet")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    levels = sorted({row.nominal for row in rows})
    methods, groups = (list(dict.fromkeys(getattr(row, name) for row in rows)) for name in ("method", "group"))
    height = 1.5 + _ROW_INCHES * len(groups) * max(1.0, 0.5 * len(methods))
    figure = Figure(figsize=(2.0 + 2.9 * len(levels), height), layout="constrained")
    panels = figure.subplots(1, len(levels), sharey=True, squeeze=False)[0]
    for axes, level in zip(panels, levels, strict=True):
        _panel(axes, [row for row in rows if row.nominal == level], level, methods, groups)
    panels[0].set_yticks(range(len(groups)), groups)
    panels[0].invert_yaxis()
    if any(row.n_infinite for row in rows):
        panels[0].scatter([], [], s=26, c="white", edgecolors="0.3", label="hollow: some intervals infinite")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(methods) + 1, frameon=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def _panel(axes: Any, rows: Sequence[CoverageRow], level: float, methods: list[str], groups: list[str]) -> None:
    axes.axvline(100 * level, color="0.35", linewidth=1.2, linestyle="--")
    for k, method in enumerate(methods):
        own = [row for row in rows if row.method == method and row.n]
        _marks(axes, own, groups, 0.22 * (k - (len(methods) - 1) / 2), _COLOURS[k % len(_COLOURS)], method)
    axes.set_title(f"nominal {100 * level:g} %", fontsize=10)
    axes.set_xlabel("% of measurements inside")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)


def _marks(
    axes: Any, rows: Sequence[CoverageRow], groups: list[str], shift: float, colour: str, method: str
) -> None:  # fmt: skip
    if not rows:
        return
    y = [groups.index(row.group) + shift for row in rows]
    x = [100 * row.empirical for row in rows]
    ends = [[100 * (row.empirical - row.low) for row in rows], [100 * (row.high - row.empirical) for row in rows]]
    ends = [[max(0.0, value) for value in side] for side in ends]
    axes.errorbar(x, y, xerr=ends, fmt="none", ecolor=colour, elinewidth=1.6, capsize=2)
    faces = ["white" if row.n_infinite else colour for row in rows]
    axes.scatter(x, y, s=26, c=faces, edgecolors=colour, linewidths=1.3, zorder=3)
    axes.scatter([], [], s=26, c=colour, label=method)
