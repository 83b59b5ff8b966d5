"""The picture of a schedule: a row per plate, a bar per stage, thin where the plate only waits."""

import io
from collections.abc import Mapping
from datetime import datetime, timedelta

from matplotlib.dates import ConciseDateFormatter, date2num

from controller.report.figures.style import (
    ACCENT,
    FONT,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    figure,
    quiet,
)
from nextplate.schedule import Schedule

_COLOURS = (ACCENT, SKY, ORANGE, GREEN, PURPLE, YELLOW, MUTED)


def draw_gantt(schedule: Schedule, now: datetime, kind: str = "png") -> bytes:
    """Draw a schedule.

    Args:
        schedule: its seconds count from ``now``.
        now: UTC.
        kind: png or svg.
    """
    plates = list(dict.fromkeys(p.plate for p in schedule.placed))
    made = figure(9.0, 1.2 + 0.42 * max(1, len(plates)))
    axes = made.add_subplot()
    colours = _colours(schedule)
    for row, plate in enumerate(plates):
        for p in schedule.of(plate):
            stays, works = _span(now, p.arrive_s, p.leave_s), _span(now, p.start_s, p.end_s)
            axes.barh(row, stays[1], left=stays[0], height=0.12, color=colours[p.stage], alpha=0.6)
            axes.barh(row, works[1], left=works[0], height=0.56, color=colours[p.stage], label=p.stage)
    late = {b.plate for b in schedule.broken}
    axes.set_yticks(range(len(plates)), plates)
    for tick, plate in zip(axes.get_yticklabels(), plates, strict=True):
        tick.set_color(VERMILION if plate in late else INK)
    axes.invert_yaxis()
    axes.axvline(_day(now, 0), color=INK, linewidth=0.8)
    axes.xaxis_date()
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))
    quiet(axes)
    named = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.legend(named.values(), named.keys(), fontsize=FONT, ncols=len(named), loc="lower right",
                bbox_to_anchor=(1.0, 1.0), frameon=False)  # fmt: skip
    axes.set_title(f"Plates from {now:%Y-%m-%d %H:%M} UTC on", fontsize=FONT + 1, color=INK, loc="left")
    buffer = io.BytesIO()
    made.savefig(buffer, format=kind, dpi=150)
    return buffer.getvalue()


def _colours(schedule: Schedule) -> Mapping[str, str]:
    stages = dict.fromkeys(p.stage for p in schedule.placed)
    return {stage: _COLOURS[n % len(_COLOURS)] for n, stage in enumerate(stages)}


def _span(now: datetime, begin_s: int, end_s: int) -> tuple[float, float]:
    """Return left end and width, in the days that matplotlib counts."""
    return _day(now, begin_s), max(end_s - begin_s, 1) / 86_400


def _day(now: datetime, after_s: int) -> float:
    return float(date2num(now + timedelta(seconds=after_s)))
