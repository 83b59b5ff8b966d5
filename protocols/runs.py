"""Motions of the pipette, and runs of motions that one tip makes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from nextplate.plate import parse_well
from protocols.draws import Draw
from protocols.orders import TipPolicy
from protocols.strokes import channels_of
from protocols.volumes import WellKey


@dataclass(frozen=True, slots=True)
class Motion:
    """One draw and one dispense, with one channel or eight."""

    source_plate: str
    source_labware: str
    source_wells: tuple[str, ...]
    plate: str
    wells: tuple[str, ...]
    volume_nl: int
    """Of each channel."""
    compounds: tuple[str, ...]
    mix_nl: int = 0
    """Mixed with afterwards in the well; 0: not mixed."""

    @property
    def source(self) -> WellKey:
        """Return the first of the wells drawn from."""
        return self.source_plate, self.source_wells[0]

    @property
    def is_stroke(self) -> bool:
        """Tell whether it takes eight channels."""
        return len(self.wells) > 1


Run = tuple[Motion, ...]
"""What one tip, or eight, do one after another."""


def motion_of(draws: Sequence[Draw], mix_nl: int = 0) -> Motion:
    """Make a motion of one draw, or of the eight that are made at once."""
    first = draws[0]
    if len(draws) > 1:
        sources, wells = tuple(d.source.source_well for d in draws), tuple(d.portion.wells[0] for d in draws)
    else:
        sources, wells = channels_of(first.source, len(first.portion.wells)), first.portion.wells
    compounds = (
        tuple(d.source.compound_id for d in draws) if len(draws) > 1 else (first.source.compound_id,) * len(wells)
    )
    return Motion(
        first.source.source_plate, first.source.labware, sources, first.portion.plate, wells,
        first.portion.volume_nl, compounds, mix_nl,
    )  # fmt: skip


def runs_of(motions: Iterable[Motion], policy: TipPolicy, dirty: set[WellKey]) -> Iterator[Run]:
    """Divide motions of one source plate, in order, into runs.

    Args:
        motions: of one phase.
        policy: when tips change.
        dirty: destination wells that other liquids go into before or meanwhile; a tip that was there is thrown away.
    """
    run: list[Motion] = []
    for motion in motions:
        if run and (policy is TipPolicy.FRESH or not _may_follow(run[-1], motion, dirty)):
            yield tuple(run)
            run = []
        run.append(motion)
    if run:
        yield tuple(run)


def _may_follow(before: Motion, motion: Motion, dirty: set[WellKey]) -> bool:
    is_same = (before.source_plate, before.source_wells) == (motion.source_plate, motion.source_wells)
    is_same = is_same and before.compounds == motion.compounds
    return is_same and not before.mix_nl and not any((before.plate, well) in dirty for well in before.wells)


def dirtied(earlier: Iterable[Motion], now: Iterable[Motion]) -> set[WellKey]:
    """Return the wells that got a liquid earlier, or get more than one now."""
    dirty = {(m.plate, well) for m in earlier for well in m.wells}
    liquids: dict[WellKey, str] = {}
    for motion in now:
        for well, compound in zip(motion.wells, motion.compounds, strict=True):
            if liquids.setdefault((motion.plate, well), compound) != compound:
                dirty.add((motion.plate, well))
    return dirty


def in_order(motions: Iterable[Motion]) -> list[Motion]:
    """Sort motions by source plate, column by column; what is of one well stays in its order."""
    return sorted(motions, key=lambda m: (m.source_plate, *_by_column(m.source_wells[0])))


def _by_column(well: str) -> tuple[int, int]:
    row, column = parse_well(well)
    return column, row
