"""The geometry of a plate on paper: lettered rows, numbered columns, wells told apart by a white line."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.report.figures.style import FONT, HAIRLINE, MUTED
from nextplate.plate import PlateFormat, parse_well, row_letters

Grid = npt.NDArray[np.float64]
"""Shape (rows, columns); NaN where nothing is known."""
HATCH = {"hatch": "////", "edgecolor": HAIRLINE, "facecolor": "white"}
"""How a well without a value looks."""


def to_grid(shape: PlateFormat, values: Mapping[str, float | None]) -> Grid:
    """Put values by well name into the plate's geometry."""
    grid = np.full((shape.n_rows, shape.n_columns), np.nan)
    for well, value in values.items():
        grid[parse_well(well)] = np.nan if value is None else value
    return grid


def plate_axes(made: Any, box: tuple[float, float, float, float], shape: PlateFormat) -> Any:
    """Make axes whose units are wells, row 0 on top; what is not drawn upon stays hatched."""
    axes = made.add_axes(box)
    n_rows, n_columns = shape.n_rows, shape.n_columns
    axes.set_xticks(range(n_columns), column_labels(n_columns))
    axes.set_yticks(range(n_rows), [row_letters(r) for r in range(n_rows)])
    lines: dict[str, Any] = {"colors": "white", "linewidth": 0.7, "zorder": 1.5}
    axes.vlines(np.arange(0.5, n_columns - 1), -0.5, n_rows - 0.5, **lines)
    axes.hlines(np.arange(0.5, n_rows - 1), -0.5, n_columns - 0.5, **lines)
    size = FONT - 1.5 if n_rows <= 16 else FONT - 4
    axes.tick_params(length=0, labelsize=size, labelcolor=MUTED, labeltop=True, labelbottom=False, pad=2)
    axes.spines[:].set_color(HAIRLINE)
    axes.patch.set(**HATCH)
    return axes


def column_labels(n_columns: int) -> list[str]:
    """Number the columns; every other one where there are many."""
    return [str(c + 1) if c % 2 == 0 or n_columns <= 12 else "" for c in range(n_columns)]
