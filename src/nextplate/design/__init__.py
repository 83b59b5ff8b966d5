"""From picks to a plate layout: controls and replicates by constraint programming, the rest by a seeded shuffle."""

from nextplate.design.check import layout_problems
from nextplate.design.layout import LayoutPlan, layout
from nextplate.design.table import layout_from_csv, layout_to_csv, parse_layout

__all__ = ["LayoutPlan", "layout", "layout_from_csv", "layout_problems", "layout_to_csv", "parse_layout"]
