"""Volumes as intervals: the least and the most that a well can hold, in whole nanolitres, and how steps change them.

The truth lies in the interval. Every rounding goes outward, so that it stays there.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from protocols.labware import LABWARE
from protocols.steps import Dispense, Mix, Step, Transfer, Wash

WellKey = tuple[str, str]
"""Plate barcode and zero-padded well."""


@dataclass(frozen=True, slots=True)
class Interval:
    """From ``low_nl`` to ``high_nl``, both included."""

    low_nl: int
    high_nl: int

    @classmethod
    def exactly(cls, volume_nl: int) -> "Interval":
        """Return the interval of a volume that is known."""
        return cls(volume_nl, volume_nl)

    @property
    def is_exact(self) -> bool:
        """Tell whether the volume is known to the nanolitre."""
        return self.low_nl == self.high_nl

    def contains(self, volume_nl: float) -> bool:
        """Tell whether a volume lies in it."""
        return self.low_nl <= volume_nl <= self.high_nl

    def plus(self, other: "Interval") -> "Interval":
        """Return what a well holds after a volume between the ends of ``other`` came in."""
        return Interval(self.low_nl + other.low_nl, self.high_nl + other.high_nl)

    def minus(self, other: "Interval") -> "Interval":
        """Return what a well holds after that much went out; never less than nothing."""
        return Interval(max(0, self.low_nl - other.high_nl), max(0, self.high_nl - other.low_nl))

    def spread(self, share: float) -> "Interval":
        """Return it wider by a share of its ends, rounded outward."""
        return Interval(math.floor(self.low_nl * (1 - share)), math.ceil(self.high_nl * (1 + share)))

    def reaching(self, other: "Interval") -> "Interval":
        """Return the smallest interval that holds both."""
        return Interval(min(self.low_nl, other.low_nl), max(self.high_nl, other.high_nl))

    def __str__(self) -> str:
        return f"{self.low_nl} nl" if self.is_exact else f"{self.low_nl} to {self.high_nl} nl"


NOTHING = Interval(0, 0)


@dataclass(slots=True)
class Tally:
    """Least and most in every well while steps are gone through; a well not listed is empty.

    Unlike an interval's, the least may fall under 0 here: that is how a shortage shows.
    """

    least: dict[WellKey, int] = field(default_factory=dict)
    most: dict[WellKey, int] = field(default_factory=dict)

    def draw(self, key: WellKey, volume_nl: int) -> None:
        """Take a volume out."""
        self.least[key] = self.least.get(key, 0) - volume_nl
        self.most[key] = self.most.get(key, 0) - volume_nl

    def add(self, key: WellKey, volume_nl: int) -> None:
        """Put a volume in."""
        self.least[key] = self.least.get(key, 0) + volume_nl
        self.most[key] = self.most.get(key, 0) + volume_nl

    def dry(self, plate: str, volume_nl: int) -> None:
        """Let every well of a plate lose up to a volume to the air."""
        if volume_nl:
            for key in [key for key in self.least if key[0] == plate]:
                self.least[key] = max(0, self.least[key] - volume_nl)

    def wash(self, key: WellKey, step: Wash) -> None:
        """Empty a well but for the rest that a wash leaves at most."""
        filled_nl = step.cycles * step.volume_nl
        self.least[key], self.most[key] = 0, rest_after(step.rest_nl, self.most.get(key, 0), filled_nl)


def rest_after(rest_nl: int, before_nl: int, filled_nl: int) -> int:
    """Return the most that is in a well after a wash: the rest, but no more than was there and came in.

    Args:
        rest_nl: left by an emptying, at most.
        before_nl: in the well before, at most.
        filled_nl: of buffer that came in, all cycles together, at most.
    """
    return min(rest_nl, max(0, before_nl) + filled_nl)


Flow = tuple[WellKey, WellKey | None, int]
"""From a well, into another (None: the waste), nanolitres."""


def wells_of(step: Dispense | Wash, labware: Mapping[str, str]) -> tuple[str, ...]:
    """List the wells that a dispenser or washer works on; none where the plate is not known."""
    kind = LABWARE.get(labware.get(step.plate, ""))
    return step.wells or (kind.wells_by_column() if kind else ())


def flows(step: Step, labware: Mapping[str, str]) -> Iterator[Flow]:
    """Return what a step takes from where and puts where; what a wash sucks off is not among it.

    Args:
        step: any; one whose volumes are no whole numbers above 0 moves nothing.
        labware: load name of every plate, by barcode.
    """
    match step:
        case Transfer() if is_volume(step.volume_nl):
            source = (step.source_plate, step.source_well)
            yield source, (step.destination_plate, step.destination_well), step.volume_nl
        case Dispense() if is_volume(step.volume_nl):
            for well in wells_of(step, labware):
                yield (step.reservoir, step.reservoir_well), (step.plate, well), step.volume_nl
        case Wash() if is_volume(step.volume_nl) and is_volume(step.cycles):
            n_wells = len(wells_of(step, labware))
            yield (step.reservoir, step.reservoir_well), None, n_wells * step.cycles * step.volume_nl
        case _:
            return


def washed(step: Step, labware: Mapping[str, str]) -> tuple[WellKey, ...]:
    """Return the wells that a step empties; none of a wash whose numbers are no wash."""
    if not isinstance(step, Wash) or not (
        is_count(step.rest_nl) and is_volume(step.volume_nl) and is_volume(step.cycles)
    ):
        return ()
    return tuple((step.plate, well) for well in wells_of(step, labware))


def apply(step: Step, tally: Tally, labware: Mapping[str, str]) -> None:
    """Change a tally as a step does."""
    for source, target, volume_nl in flows(step, labware):
        tally.draw(source, volume_nl)
        if target is not None:
            tally.add(target, volume_nl)
    if isinstance(step, Wash):
        for key in washed(step, labware):
            tally.wash(key, step)


def touched(step: Step, labware: Mapping[str, str]) -> Iterator[WellKey]:
    """Return the wells that a step draws from or puts into, mixed and washed ones included."""
    for source, target, _ in flows(step, labware):
        yield source
        if target is not None:
            yield target
    if isinstance(step, Mix):
        yield step.plate, step.well
    elif isinstance(step, Wash):
        yield from ((step.plate, well) for well in wells_of(step, labware))


def is_count(value: Any) -> bool:
    """Tell whether a value is a whole number, 0 or more; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_volume(value: Any) -> bool:
    """Tell whether a value is a whole number above 0."""
    return is_count(value) and value > 0
