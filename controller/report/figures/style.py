"""One look for every figure: quiet axes, one accent colour, the colour-blind-safe palette of Okabe and Ito."""

import io
from collections.abc import Mapping
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

INK, MUTED, HAIRLINE, PAPER = "#1b2730", "#5d6b75", "#d9dfe3", "#ffffff"
ACCENT = "#0b66a3"
ORANGE, VERMILION, GREEN, PURPLE, SKY, YELLOW = "#e69f00", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#f0e442"
REASONS: Mapping[str, str] = {
    "cold-start": "#a9cde6",
    "exploit": "#4a93c9",
    "explore": ORANGE,
    "confirm": PURPLE,
    "dose-response": YELLOW,
    "negative": "#8b979f",
    "positive": GREEN,
    "empty": "#f0f2f3",
}
"""Colour of each reason of a pick, and of each kind of control."""
ACTIVITY = LinearSegmentedColormap.from_list("activity", ["#f3f6f8", "#b9d6ea", "#5aa2cf", "#0b66a3", "#062f4d"])
VIABILITY = LinearSegmentedColormap.from_list("viability", ["#5a1846", "#b5588f", "#ecd3e2", "#f6f4f5"])
SHIFT = LinearSegmentedColormap.from_list(
    "shift",
    ["#00589f", "#0071bb", "#008bd6", "#48a5e9", "#88bff2", "#c0d9f5", "#f3f3f3",
     "#fbccb8", "#f8a681", "#eb8252", "#d56029", "#b94101", "#992500"],
)  # fmt: skip
"""Below and above a middle: equal steps of CIELAB lightness (96 to 34) to both sides, blue and orange."""
FONT = 9.0
_DPI = 170


def figure(width_in: float, height_in: float) -> Figure:
    """Make an empty figure on its own canvas; nothing global knows it."""
    made = Figure(figsize=(width_in, height_in), facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(made)
    return made


def bare_figure(width_in: float, height_in: float) -> Figure:
    """Make an empty figure whose axes are placed by hand."""
    made = Figure(figsize=(width_in, height_in), facecolor=PAPER)
    FigureCanvasAgg(made)
    return made


def quiet(axes: Any) -> None:
    """Leave of the axes what helps to read them."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(HAIRLINE)
    axes.tick_params(colors=MUTED, labelsize=FONT, length=3, color=HAIRLINE)
    axes.grid(color=HAIRLINE, linewidth=0.6, alpha=0.7)
    axes.set_axisbelow(True)


def label(axes: Any, x: str, y: str, title: str = "") -> None:
    """Name the axes."""
    axes.set_xlabel(x, color=MUTED, fontsize=FONT)
    axes.set_ylabel(y, color=MUTED, fontsize=FONT)
    if title:
        axes.set_title(title, color=INK, fontsize=FONT + 1, loc="left", fontweight="bold")


def legend(axes: Any, **where: Any) -> None:
    """Add a legend without a frame, if there is anything to explain."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=FONT - 0.5, labelcolor=INK, **where)


def png(made: Figure, dpi: int = _DPI, compress_level: int = 6) -> bytes:
    """Draw a figure."""
    out = io.BytesIO()
    options = {"compress_level": compress_level}
    made.savefig(out, format="png", dpi=dpi, metadata={"Software": None}, pil_kwargs=options)
    return out.getvalue()
