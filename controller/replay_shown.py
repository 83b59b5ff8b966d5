"""A replay set before people: a picture and a table."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from nextplate.acquisition.strategies import BASELINES

_PANELS = (
    ("recall_structures", 100.0, "% of the {what} found"),
    ("recall_scores", 100.0, "% of their values found"),
    ("hits", 1.0, "hits"),
    ("scaffolds", 1.0, "scaffolds of hits"),
    ("coverage", 100.0, "% of picks inside 90 % intervals"),
    ("fdr", 100.0, "% false among hits listed at 20 %"),
)


def replay_picture(body: Mapping[str, Any]) -> bytes:
    """Draw what was found and how promises held against compounds tested, a line and band per strategy; a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.6, 7.2), layout="constrained")
    for axes, (name, scale, label) in zip(figure.subplots(2, 3).flat, _PANELS, strict=True):
        for number, entry in enumerate(body["strategies"]):
            _draw(axes, entry, name, scale, f"C{number % 10}")
        axes.set(xlabel="compounds tested", ylabel=label.format(what=_what(body)), xlim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        if name in ("coverage", "fdr"):
            axes.axhline(90 if name == "coverage" else 20, color="0.3", linewidth=1, linestyle=":")
            axes.set_ylim(0, 102)
        else:
            axes.set_ylim(0, None)
    figure.axes[0].legend(frameon=False)
    figure.suptitle(f"{body['file']}: {body['n_compounds']:,} compounds, {body['n_seeds']} seeds", x=0.01, ha="left")
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def _draw(axes: Any, entry: Mapping[str, Any], name: str, scale: float, colour: str) -> None:
    key = name if name in ("coverage", "fdr") else f"{name}_mean"
    points = [point for point in entry["curve"] if point[key] is not None]
    if not points:
        return
    tested = [point["tested"] for point in points]
    mean = scale * np.array([point[key] for point in points])
    sd = scale * np.array([point.get(f"{name}_sd") or 0.0 for point in points])
    style = "--" if entry["strategy"] in BASELINES else "-"
    axes.plot(tested, mean, style, marker="o", markersize=3.5, color=colour, label=entry["strategy"])
    axes.fill_between(tested, mean - sd, mean + sd, color=colour, alpha=0.15, linewidth=0)


def _what(body: Mapping[str, Any]) -> str:
    return f"{body['n_hits']} hits" if body["goal"] == "hits" else f"top {body['top_k']}"


_UNCERTAINTY = (
    "±: sample standard deviation over seeds (FDR: standard error over hit lists); cover: share of picked compounds\n"
    "inside 90 % intervals (of 0/1 values: label sets) promised before, with the 95 % t interval between seeds, of\n"
    "one seed between its rounds; empty: share inside whatever was measured (infinite intervals, sets of both\n"
    "labels); plain: cover and empty by a plain split; FDR: false among hit lists at 20 %\n"
    "(-: no list held a compound), listed: their mean length"
)


def replay_text(body: Mapping[str, Any]) -> str:
    """Set the final figures as a table for a terminal."""
    goal = "hits" if body["goal"] == "hits" else f"top {body['top_k']}"
    head = (
        f"{body['file']}: {body['n_compounds']} compounds, {body['n_unscored']} without a value"
        f"{_infinite(body)}, "
        f"{body['n_left_out']} left out; {body['n_hits']} hits (value {_side(body)} {body['hit_threshold']:g})"
    )
    title = (
        f"{'strategy':<12} {'tested':>6} {goal + ' found %':>18} {'scores %':>14} {'hits':>14} {'scaffolds':>14} "
        f"{'x chance':>14} {'cover 90%, t 95%':>20} {'empty %':>7} {'plain, empty':>12} {'FDR 20%':>13} "
        f"{'listed':>6} {'seconds':>8}"
    )
    rows = (_line(entry) for entry in body["strategies"])
    return "\n".join([head, *_notes(body), "", title, *rows, _UNCERTAINTY])


def _notes(body: Mapping[str, Any]) -> list[str]:
    """Say what fell back to what: of the file, and of strategies (weights of auto stay in the JSON)."""
    told = [f"left out: {line}" for line in body["left_out"][:5]] + list(body["notes"])
    for entry in body["strategies"]:
        told += [f"{entry['strategy']}: {note}" for note in entry["notes"] if not note.startswith("auto: gp")]
    return [f"note: {line}" for line in told]


def _infinite(body: Mapping[str, Any]) -> str:
    n = body["n_infinite"]
    return f" ({n} infinite, read as not measured)" if n else ""


def _side(body: Mapping[str, Any]) -> str:
    return "at most" if body["goal"] == "minimize" else "at least"


def _line(entry: Mapping[str, Any]) -> str:
    def told(name: str, scale: float = 1.0, digits: int = 1) -> str:
        mean, sd = entry[f"{name}_mean"], entry[f"{name}_sd"]
        return f"{scale * mean:.{digits}f}" + (" (1 seed)" if sd is None else f" ± {scale * sd:.{digits}f}")

    return (
        f"{entry['strategy']:<12} {entry['tested']:>6} {told('recall_structures', 100):>18} "
        f"{told('recall_scores', 100):>14} {told('hits'):>14} {told('scaffolds'):>14} "
        f"{told('enrichment', digits=2):>14} {_cover(entry):>20} {_percent(entry['coverage_90_trivial']):>7} "
        f"{_plain(entry):>12} {_false(entry):>13} {_number(entry['n_listed_mean']):>6} {entry['seconds_mean']:>8.1f}"
    )


def _cover(entry: Mapping[str, Any]) -> str:
    if entry["coverage_90"] is None:
        return ""
    ends = (entry["coverage_90_low"], entry["coverage_90_high"])
    between = "" if ends[0] is None else f" ({_percent(ends[0])} to {_percent(ends[1])})"
    return _percent(entry["coverage_90"]) + between


def _plain(entry: Mapping[str, Any]) -> str:
    if entry["coverage_90_plain"] is None:
        return ""
    return f"{_percent(entry['coverage_90_plain'])}, {_percent(entry['coverage_90_plain_trivial'])}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _false(entry: Mapping[str, Any]) -> str:
    if entry["fdr_mean"] is None:
        return "-"
    error = entry["fdr_error"]
    return f"{100 * entry['fdr_mean']:.1f}" + ("" if error is None else f" ± {100 * error:.1f}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
