"""From everything a reader listed to one image per well, field and channel, and what is missing and why.

The rule for a plate still being written (`Listing.is_writing`): a well is taken when every due field and channel
is there with as many z-steps as the fullest well has, none of its files is empty, and it does not hold the newest
file of the plate, which may be half written. Other wells are held back and told with the reason ``being-written``.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nextplate.errors import DataError
from nextplate.imaging.listing import PROJECTION, Listing, Plane
from nextplate.imaging.pixels import pixel_size_um
from nextplate.imaging.shown import shown
from nextplate.plate import parse_well
from nextplate.readout import FieldImage, Missing, Readout

ZChoice = Literal["projection", "middle", "max"] | int
"""'projection': the microscope's own, else the middle step, said in `missing`. 'middle': the middle step.
'max': the maximum over the steps, taken on reading. A number: that step, 1-based, 0 for the projection."""

_Group = tuple[str, int, str]
_N_SIZE_PROBES = 8


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of z-stacks and time series to take."""

    z: ZChoice = "projection"
    t: int | None = None
    """None: the first time point."""


@dataclass(frozen=True, slots=True)
class _Chosen:
    plane: Plane
    stack: tuple[tuple[Path, int], ...] = ()


def to_readout(
    listing: Listing, folder: Path, selection: Selection, expected_wells: frozenset[str] | None = None
) -> Readout:
    """Choose one image per well, field and channel.

    Raises:
        DataError: the plate has no such time point or z-step.
    """
    planes = _at_time(listing, selection.t)
    _check_step(planes, selection.z, listing)
    chosen, doubts = _choose(planes, selection.z)
    wells = expected_wells if expected_wells is not None else listing.wells or frozenset()
    missing = _missing(listing, chosen, wells, doubts)
    if listing.is_writing:
        waiting = _waiting(listing, planes, chosen)
        chosen = [c for c in chosen if c.plane.well not in waiting]
        missing = [m for m in missing if m.well not in waiting]
        missing += [Missing(well, None, None, f"being-written: {reason}") for well, reason in waiting.items()]
    return Readout(
        reader=listing.reader,
        plate=listing.plate,
        folder=folder,
        channels=listing.channels,
        images=_images(listing, chosen),
        missing=tuple(sorted(missing, key=_missing_key)),
        is_complete=listing.is_complete and not listing.is_writing,
        notes=listing.notes,
    )


def _at_time(listing: Listing, t: int | None) -> list[Plane]:
    times = sorted({p.t for p in listing.planes if p.t is not None})
    if t is not None and t not in times:
        has = f"time points {times[0]} to {times[-1]}" if times else "no time series"
        raise DataError(f"plate {listing.plate} has no time point {t}; it has {has}")
    wanted = times[0] if t is None and times else t
    return [p for p in listing.planes if p.t is None or p.t == wanted]


def _check_step(planes: Iterable[Plane], z: ZChoice, listing: Listing) -> None:
    if isinstance(z, str):
        if z not in ("projection", "middle", "max"):
            raise DataError(f"z is {z!r}; write 'projection', 'middle', 'max' or the number of a step")
        return
    steps = sorted({_step(p) for p in planes if p.z is not None})
    if not steps:
        raise DataError(f"plate {listing.plate} has no z-stack, so no step {z}; leave z out")
    if z not in steps:
        raise DataError(f"plate {listing.plate} has no z-step {z}; it has {', '.join(map(str, steps)) or 'no image'}")


def _step(plane: Plane) -> int:
    return PROJECTION if plane.z is None else plane.z


def _choose(planes: Iterable[Plane], z: ZChoice) -> tuple[list[_Chosen], list[Missing]]:
    groups: dict[_Group, dict[int, list[Plane]]] = {}
    for p in planes:
        groups.setdefault((p.well, p.field, p.channel), {}).setdefault(_step(p), []).append(p)
    chosen: list[_Chosen] = []
    doubts: list[Missing] = []
    for key, levels in groups.items():
        taken = _take(levels, z)
        if taken is None:
            doubts.append(Missing(*key, f"no z-step {z}: steps {', '.join(map(str, sorted(levels)))} are there"))
            continue
        chosen.append(taken)
        doubts += [Missing(*key, reason) for reason in _doubts(taken, levels, z)]
    return chosen, doubts


def _take(levels: Mapping[int, list[Plane]], z: ZChoice) -> _Chosen | None:
    steps = sorted(level for level in levels if level != PROJECTION) or [PROJECTION]
    if isinstance(z, int):
        return _Chosen(levels[z][0]) if z in levels else None
    if z == "projection" and PROJECTION in levels:
        return _Chosen(levels[PROJECTION][0])
    middle = levels[steps[len(steps) // 2]][0]
    if z == "max" and len(steps) > 1:
        return _Chosen(middle, tuple((levels[s][0].path, levels[s][0].page) for s in steps))
    return _Chosen(middle)


def _doubts(taken: _Chosen, levels: Mapping[int, list[Plane]], z: ZChoice) -> list[str]:
    step = _step(taken.plane)
    found: list[str] = []
    if z == "projection" and step != PROJECTION and len(levels) > 1:
        found.append(f"no-projection: step {step} of {len(levels)} is used")
    if len(levels[step]) > 1:
        found.append(duplicate_reason(levels[step]))
    return found


def duplicate_reason(planes: Sequence[Plane]) -> str:
    """Say in words which of several images of one place is used: the first."""
    names = [_spelled(p) for p in planes]
    return f"duplicate-image: {names[0]} is used, not {', '.join(names[1:])}"


def _spelled(plane: Plane) -> str:
    name = shown(plane.path.name)
    return f"{name} page {plane.page}" if plane.page else name


def _images(listing: Listing, chosen: Sequence[_Chosen]) -> tuple[FieldImage, ...]:
    order = {name: i for i, name in enumerate(listing.channels)}
    places = {well: parse_well(well) for well in {c.plane.well for c in chosen}}
    ranked = sorted(chosen, key=lambda c: (places[c.plane.well], c.plane.field, order[c.plane.channel]))
    size = None
    if all(c.plane.pixel_size_um is None for c in ranked):
        # One objective per plate: the first image that says its pixel size speaks for all.
        probes = (pixel_size_um(c.plane.path) for c in ranked[:_N_SIZE_PROBES])
        size = next((s for s in probes if s is not None), None)
    return tuple(_image(listing.plate, c, size) for c in ranked)


def _image(plate: str, chosen: _Chosen, size: float | None) -> FieldImage:
    p = chosen.plane
    return FieldImage(
        plate=plate,
        well=p.well,
        field=p.field,
        channel=p.channel,
        path=p.path,
        pixel_size_um=p.pixel_size_um if p.pixel_size_um is not None else size,
        z=PROJECTION if chosen.stack else p.z,
        t=p.t,
        x_um=p.x_um,
        y_um=p.y_um,
        z_um=None if chosen.stack else p.z_um,
        page=p.page,
        stack=chosen.stack,
    )


def _missing(
    listing: Listing, chosen: Iterable[_Chosen], due_wells: Iterable[str], doubts: Iterable[Missing]
) -> list[Missing]:
    rows = [*listing.refused, *doubts]
    known: dict[str, list[Missing]] = {}
    for row in rows:
        known.setdefault(row.well, []).append(row)
    have = {(c.plane.well, c.plane.field, c.plane.channel) for c in chosen}
    seen = {well for well, _, _ in have}
    fields = listing.fields if listing.fields is not None else tuple(sorted({field for _, field, _ in have}))
    for well in sorted(seen | known.keys() | set(due_wells)):
        told = known.get(well, [])
        if well not in seen and (not told or not fields or not listing.channels):
            rows += [] if told else [Missing(well, None, None, "no image of this well")]
            continue
        for field in fields:
            absent = [c for c in listing.channels if (well, field, c) not in have]
            rows += _untold(well, field, absent, told, len(listing.channels))
    return rows


def _untold(well: str, field: int, absent: list[str], told: Iterable[Missing], n_channels: int) -> list[Missing]:
    """Say what a field lacks and no other row explains."""
    about = [m for m in told if m.field in (None, field)]
    if any(m.channel is None for m in about):
        return []
    left = [c for c in absent if c not in {m.channel for m in about}]
    if left and len(left) == n_channels:
        return [Missing(well, field, None, "no image of this field")]
    return [Missing(well, field, c, "no image of this channel") for c in left]


def _missing_key(m: Missing) -> tuple[tuple[int, int], int, str, str]:
    return parse_well(m.well), m.field or 0, m.channel or "", m.reason


def _waiting(listing: Listing, planes: Sequence[Plane], chosen: Sequence[_Chosen]) -> dict[str, str]:
    """Return the wells to hold back and why; see the rule at the top."""
    fields = listing.fields if listing.fields is not None else tuple({c.plane.field for c in chosen})
    due = len(fields) * len(listing.channels)
    have = Counter(c.plane.well for c in chosen)
    waiting = {well: f"{n} of {due} images are there" for well, n in have.items() if n < due}
    steps = Counter(p.well for p in planes)
    fullest = max(steps.values(), default=0)
    for well, n in steps.items():
        if n < fullest:
            waiting.setdefault(well, f"{n} of {fullest} steps are there")
    stamps = {p.path: _stamp(p.path) for p in listing.planes}
    newest = max((time for time, _ in stamps.values()), default=0)
    for p in planes:
        time, n_bytes = stamps[p.path]
        if n_bytes == 0:
            waiting.setdefault(p.well, f"{shown(p.path.name)} is still empty")
        elif time == newest:
            waiting.setdefault(p.well, f"{shown(p.path.name)} is the plate's newest file")
    return waiting


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size
