"""Choose the example fields of a plate: a control of each kind, the best hit, a toxic one, a flagged one."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from controller.report.model import Shot, Shots, WellView
from controller.report.source import Source
from nextplate.errors import DataError
from nextplate.plate import Role
from nextplate.readout import FieldImage

_N_REFERENCES = 4
Pair = tuple[int, Path, Path]
"""Field number, DNA image, reporter image."""


def choose_shots(source: Source, wells: tuple[WellView, ...], round_number: int) -> Shots | None:
    """Choose from the readout that was measured; None before there is one."""
    if source.step("normalise", round_number) is None:
        return None
    assay = source.plan.section("assay")
    try:
        images = read_images(source, round_number)
    except DataError as error:
        return Shots((), (str(error),), None, (), ())
    pairs = _pairs(images, assay["dna_channel"], assay["reporter_channel"])
    shots: list[Shot] = []
    absent: list[str] = []
    for title, why, candidates in _wanted(wells):
        well = next((w for w in candidates if w.well in pairs and w not in [s.well for s in shots]), None)
        if well is None:
            absent.append(f"{title}: {why}")
        else:
            field, dna, reporter = pairs[well.well]
            shots.append(Shot(title, well, dna, reporter, field))
    size = next((i.pixel_size_um for i in images if i.pixel_size_um), None)
    return Shots(tuple(shots), tuple(absent), size, _references(wells, pairs), images)


def read_images(source: Source, round_number: int) -> tuple[FieldImage, ...]:
    """List the images of a round's plate.

    Raises:
        DataError: the readout is gone, or no reader recognises it.
    """
    from nextplate.imaging import open_readout

    folder = source.record("measure", round_number)["inputs"]["readout"]
    return open_readout(source.folder / folder).images


def _pairs(images: Iterable[FieldImage], dna: str, reporter: str) -> Mapping[str, Pair]:
    """Find each well's first field that has both channels."""
    channels: dict[tuple[str, int], dict[str, Path]] = {}
    for image in images:
        channels.setdefault((image.well, image.field), {})[image.channel] = image.path
    pairs: dict[str, Pair] = {}
    for (well, field), found in sorted(channels.items(), key=lambda item: item[0][1], reverse=True):
        if dna in found and reporter in found:
            pairs[well] = (field, found[dna], found[reporter])
    return pairs


def _references(wells: tuple[WellView, ...], pairs: Mapping[str, Pair]) -> tuple[tuple[Path, Path], ...]:
    chosen = [
        [w for w in wells if w.role == role and w.is_used and w.well in pairs][:_N_REFERENCES]
        for role in (Role.NEGATIVE, Role.POSITIVE)
    ]
    return tuple(pairs[w.well][1:] for group in chosen for w in group)


def _wanted(wells: tuple[WellView, ...]) -> tuple[tuple[str, str, list[WellView]], ...]:
    """Return (title, what is missing when none is there, candidates best first)."""
    samples = [w for w in wells if w.role == Role.SAMPLE]
    hits = sorted((w for w in samples if w.is_hit), key=lambda w: -_number(w.activity))
    toxic = sorted((w for w in samples if w.is_toxic), key=lambda w: _number(w.viability))
    flagged = sorted((w for w in wells if w.flags), key=lambda w: w.role != Role.SAMPLE)
    return (
        ("Negative control", "no usable well", _typical(wells, Role.NEGATIVE, lambda w: abs(_number(w.activity)))),
        ("Positive control", "no usable well", _typical(wells, Role.POSITIVE, lambda w: abs(_number(w.activity) - 1))),
        ("Best hit", "no well of this plate was called a hit", hits),
        ("Toxic", "no well of this plate was called toxic", toxic),
        ("Flagged", "no flagged well of this plate has images of both channels", flagged),
    )


def _typical(wells: tuple[WellView, ...], role: Role, distance: Callable[[WellView], float]) -> list[WellView]:
    return sorted((w for w in wells if w.role == role and w.is_used and w.activity is not None), key=distance)


def _number(value: float | None) -> float:
    return float("inf") if value is None else value
