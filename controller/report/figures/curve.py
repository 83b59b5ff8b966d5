"""Hits against compounds tested, and the share of hits by the reason of the pick."""

from typing import Any

import numpy as np

from controller.report.figures.style import ACCENT, FONT, INK, MUTED, ORANGE, REASONS, figure, label, legend, png, quiet
from controller.report.model import Curve, CurvePoint, Estimate


def draw_curve(curve: Curve) -> bytes:
    """Draw cumulative hits beside the baselines."""
    made = figure(7.0, 4.1)
    axes = made.subplots()
    quiet(axes)
    _random(axes, curve)
    _similarity(axes, curve.points)
    _true(axes, curve.points)
    _called(axes, curve)
    label(axes, "compounds tested", "hits found, cumulative")
    axes.set_xlim(0, None)
    axes.set_ylim(0, None)
    legend(axes, loc="upper left", reverse=True)
    return png(made)


def _random(axes: Any, curve: Curve) -> None:
    known = [(p.n_tested, p.random) for p in curve.points if p.random.value is not None]
    if not known:
        return
    x = [0, *(n for n, _ in known)]
    middle, low, high = (np.array([0.0, *(_end(e, end) for _, e in known)]) for end in ("value", "low", "high"))
    what = "true hits, random choice (± 2 sd)" if curve.has_referee else "hits called, base rate of picks by lot (95 %)"
    axes.fill_between(x, low, high, color=MUTED, alpha=0.16, linewidth=0)
    axes.plot(x, middle, color=MUTED, linewidth=1.3, linestyle=(0, (4, 2)), label=what)


def _end(estimate: Estimate, end: str) -> float:
    value: float | None = getattr(estimate, end)
    return 0.0 if value is None else value


def _similarity(axes: Any, points: tuple[CurvePoint, ...]) -> None:
    known = [(p.n_tested, p.similarity) for p in points if p.similarity.value is not None]
    if not known:
        return
    x, y = [0, *(n for n, _ in known)], [0.0, *(_end(e, "value") for _, e in known)]
    spread = [0.0, *(_end(e, "high") - _end(e, "value") for _, e in known)]
    style = {"color": ORANGE, "linewidth": 1.5, "marker": "s", "markersize": 4}
    axes.plot(x, y, label="true hits, similarity search (± 1 sd)", **style)
    axes.errorbar(x, y, yerr=spread, fmt="none", ecolor=ORANGE, capsize=3)


def _true(axes: Any, points: tuple[CurvePoint, ...]) -> None:
    known = [(p.n_tested, p.n_true) for p in points if p.n_true is not None]
    if known:
        x, y = zip((0, 0), *known, strict=True)
        style = {"color": INK, "linewidth": 1.5, "marker": "o", "markersize": 5, "markerfacecolor": "white"}
        axes.plot(x, y, label="true hits among the tested", **style)


def _called(axes: Any, curve: Curve) -> None:
    x, y = zip(*curve.steps, strict=True)
    axes.step(x, y, where="post", color=ACCENT, linewidth=2.2, label="hits called by the assay", zorder=4)
    ends = [(p.n_tested, p.n_called, p.round) for p in curve.points]
    axes.plot([e[0] for e in ends], [e[1] for e in ends], "o", color=ACCENT, markersize=6, zorder=5)
    at: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "xytext": (0, 3), "textcoords": "offset points"}
    at |= {"ha": "center", "va": "bottom", "fontsize": FONT - 1, "color": MUTED}
    for n_tested, _, number in ends:
        axes.axvline(n_tested, color=ACCENT, linewidth=0.6, alpha=0.35)
        axes.annotate(f"round {number + 1}" if len(ends) <= 8 else str(number + 1), (n_tested, 1), **at)


def draw_by_reason(curve: Curve) -> bytes:
    """Draw the share of hits called by round and reason, with Wilson intervals."""
    made = figure(3.9, 4.1)
    axes = made.subplots()
    quiet(axes)
    axes.grid(visible=False, axis="x")
    rounds = sorted({r for r, _, _ in curve.by_reason})
    reasons = [name for name in REASONS if any(name == reason for _, reason, _ in curve.by_reason)]
    for n, reason in enumerate(reasons):
        found = {r: e for r, name, e in curve.by_reason if name == reason and e.value is not None}
        shift = 0.16 * (n - (len(reasons) - 1) / 2)
        _bars(axes, [rounds.index(r) + shift for r in found], list(found.values()), reason)
    axes.set_xticks(range(len(rounds)), [str(r + 1) for r in rounds])
    axes.set_xlim(-0.5, len(rounds) - 0.5)
    axes.set_ylim(0, None)
    label(axes, "round", "hits called, % of new compounds")
    legend(axes, loc="upper left")
    return png(made)


def _bars(axes: Any, x: list[float], shares: list[Estimate], reason: str) -> None:
    value, low, high = (100 * np.array([_end(e, end) for e in shares]) for end in ("value", "low", "high"))
    error = np.clip([value - low, high - value], 0, None)
    style = {"fmt": "o", "color": REASONS[reason], "markersize": 6, "linewidth": 1.8, "capsize": 0, "clip_on": False}
    axes.errorbar(x, value, yerr=error, label=reason, **style)
