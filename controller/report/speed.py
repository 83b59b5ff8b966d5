"""Images per second, measured from records and from the files' own times."""

from pathlib import Path

from controller.report.estimates import unknown
from controller.report.model import Estimate, Speed
from controller.report.source import Source

_RANGE = "range over the plates"


def gather_speed(source: Source) -> Speed:
    """Tell how fast images were measured (seconds of the measure steps) and written (times of the files)."""
    rounds = [r for r in range(source.plan.rounds) if source.step("measure", r)]
    counts = [int(source.summary("measure", r)["n_images"]) for r in rounds]
    seconds = [float(source.record("measure", r)["seconds"]) for r in rounds]
    spans = [_span(source.folder / source.record("measure", r)["inputs"]["readout"]) for r in rounds]
    timed = [(n, s) for n, s in zip(counts, spans, strict=True) if s]
    return Speed(
        sum(counts),
        _rate([(n, s) for n, s in zip(counts, seconds, strict=True) if s > 0], "no plate was measured yet"),
        _rate(timed, "the image files do not carry the times of their writing"),
    )


def _rate(pairs: list[tuple[int, float]], why: str) -> Estimate:
    if not pairs:
        return unknown(why)
    rates = [n / s for n, s in pairs]
    n = sum(count for count, _ in pairs)
    return Estimate(n / sum(s for _, s in pairs), min(rates), max(rates), n, _RANGE)


def _span(folder: Path) -> float | None:
    """Seconds from the first to the last file written; None where the files are gone or bear one time."""
    times = [p.stat().st_mtime for p in folder.rglob("*") if p.suffix.lower() in (".tif", ".tiff")]
    return (max(times) - min(times)) or None if len(times) > 1 else None
