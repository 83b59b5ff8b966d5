"""The round table: one row per quantity, one column per round, each cell with its uncertainty."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controller.report import estimates, words
from controller.report.model import Estimate, RoundView
from controller.told_beside import NAMES

STAGES = {
    "learn": ("fit", "calibrate"),
    "choose": ("pick",),
    "lay out": ("layout",),
    "compile and prove": ("compile", "check"),
    "measure images": ("measure",),
    "respond and judge": ("normalise", "evaluate"),
}
"""Stages of the computing, and the tasks each consists of."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a cell."""

    main: str
    detail: str = ""
    """Uncertainty, or the reason why nothing is known."""


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity."""

    name: str
    cells: tuple[Cell, ...]
    note: str = ""
    is_head: bool = False
    """Opens a group of rows; has no cells."""


def round_rows(rounds: Sequence[RoundView], confidence: float) -> tuple[Row, ...]:
    """Write the table of the rounds."""

    def row(name: str, cell: Callable[[RoundView], Cell], note: str = "") -> Row:
        return Row(name, tuple(cell(r) for r in rounds), note)

    def head(name: str) -> Row:
        return Row(name, (), is_head=True)

    return (
        head("Picks"),
        *(row(reason, _picked(reason)) for reason in _reasons(rounds)),
        head("Result"),
        row("hits called", lambda r: _count(r.n_called), "compounds"),
        row("toxic", lambda r: _count(r.n_toxic), "compounds"),
        row("wells flagged", _flagged),
        head("Plate quality"),
        row("verdict", lambda r: Cell(r.plate.verdict if r.plate else "no plate")),
        row("Z'", lambda r: _quality(r, "z_prime")),
        row("robust Z'", lambda r: _quality(r, "z_prime_robust")),
        row("SSMD", lambda r: _quality(r, "ssmd", 1)),
        head("Belief"),
        row(f"coverage of the {100 * confidence:.0f} % intervals", lambda r: _coverage(r, confidence)),
        row("RMSE on the plate", lambda r: _estimate(r.rmse_picks, 3), "new picks"),
        row("RMSE in cross-validation", lambda r: _estimate(r.rmse_held_out, 3), "before the picks"),
        *(row(name, _beside(field, way), note) for name, field, way, note in _image_rows(rounds)),
        head("Liquid handling"),
        row("transfers", _transfers, "moved of planned"),
        row("deck loads", lambda r: _count(r.n_loads)),
        row("tips used", lambda r: _count(r.n_tips)),
        *(() if not any(r.dilution_plates for r in rounds) else (row("diluted in", _diluted_in, "spare plates"),)),
        head("Time"),
        *(row(stage, _seconds(tasks), "s") for stage, tasks in STAGES.items()),
        row("all computing", lambda r: _known_seconds(tuple(r.seconds.values())), "s"),
        row("in the lab", lambda r: Cell(words.number(r.lab_hours, 1)), "h"),
    )


def _diluted_in(r: RoundView) -> Cell:
    return Cell(", ".join(r.dilution_plates) or "none")


def _image_rows(rounds: Sequence[RoundView]) -> list[tuple[str, str, str, str]]:
    """List what stands beside a belief that sees images: row name, field of RoundView, way, note."""
    where = {"beside": "RMSE on the plate", "beside_held_out": "RMSE in cross-validation"}
    if not any(getattr(r, field) for r in rounds for field in where):
        return []
    return [(f"{told}: {name}", f, way, "with a profile") for f, told in where.items() for way, name in NAMES.items()]


def _beside(field: str, way: str) -> Callable[[RoundView], Cell]:
    def cell(r: RoundView) -> Cell:
        told = getattr(r, field)
        if not told:
            return Cell("–")
        if way not in told["rmse"]:
            return Cell(words.UNKNOWN, "no column of the profiles is known to be a cell count")
        value, auc = told["rmse"][way], told["auc"][way]
        said = "" if auc is None else f"AUC of hits {auc:.2f}, "
        return Cell(words.UNKNOWN if value is None else words.number(value, 3), f"{said}n = {told['n']}")

    return cell


def _reasons(rounds: Sequence[RoundView]) -> list[str]:
    return sorted({reason for r in rounds for reason in r.reasons})


def _picked(reason: str) -> Callable[[RoundView], Cell]:
    return lambda r: Cell(str(r.reasons.get(reason, "–")) if r.reasons else "–")


def _count(value: int | None) -> Cell:
    return Cell("–" if value is None else f"{value:,}")


def _flagged(r: RoundView) -> Cell:
    return _count(r.plate.quality.n_flagged if r.plate and r.plate.quality else None)


def _estimate(estimate: Estimate, digits: int = 2) -> Cell:
    if estimate.value is None:
        return Cell(words.UNKNOWN, estimate.why)
    n = "" if estimate.n is None else f", n = {estimate.n:,}"
    ends = words.span(estimate, digits)
    return Cell(words.number(estimate.value, digits), (ends or estimate.why) + n)


def _quality(r: RoundView, name: str, digits: int = 2) -> Cell:
    if r.plate is None or r.plate.quality is None:
        return Cell("–")
    return _estimate(getattr(r.plate.quality, name), digits)


def _coverage(r: RoundView, confidence: float) -> Cell:
    found = words.coverage_of(r, confidence) if r.plate else estimates.unknown("no plate follows")
    if found.value is None:
        return Cell(words.UNKNOWN, found.why)
    return Cell(words.percent(found.value), f"{words.span(found, 1, 100)} %, n = {found.n}")


def _transfers(r: RoundView) -> Cell:
    if r.n_planned is None:
        return Cell("–")
    return Cell(f"{r.n_moved if r.n_moved is not None else 0:,} of {r.n_planned:,}")


def _seconds(tasks: tuple[str, ...]) -> Callable[[RoundView], Cell]:
    return lambda r: _known_seconds(tuple(r.seconds[t] for t in tasks if t in r.seconds))


def _known_seconds(seconds: tuple[float, ...]) -> Cell:
    return Cell(f"{sum(seconds):.1f}" if seconds else "–")
