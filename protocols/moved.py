"""What a run's report means, step by step: what was taken and given, as intervals around the truth.

The one accountant: the ledger (protocols.settle) and what a night books (controller.projections) read the same lines.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from protocols.model import DeckLoad
from protocols.outcome import EXACT, Handling, Outcome
from protocols.steps import Mix, Step, Transfer, number_of
from protocols.volumes import NOTHING, Interval, WellKey, flows, is_volume

Tip = tuple[str, str]
"""Rack and position."""


@dataclass(frozen=True, slots=True)
class Flowed:
    """Liquid that left a well."""

    source: WellKey
    target: WellKey | None
    """None: the waste."""
    out: Interval
    into: Interval
    """What arrived in the target, or in the waste."""
    is_same: bool = False
    """Whether what left is what arrived, however uncertain the amount."""


@dataclass(frozen=True, slots=True)
class Line:
    """A step that was begun, or may have been."""

    step: Step
    is_done: bool
    """False: nobody knows how far it went."""
    flows: tuple[Flowed, ...]


def lines(load: DeckLoad, outcome: Outcome, handling: Handling, labware: Mapping[str, str]) -> Iterator[Line]:
    """Return the steps of a load that were begun, or may have been, in order.

    Steps up to the last one reported were done, the next one may be half done, and what follows was not begun, unless
    nobody knows. Eight channels that draw at once are one step. A transfer that is told as drawn and not as dispensed
    was itself under way.

    Args:
        load: that was run.
        outcome: what is known of it.
        handling: how far the device's word goes.
        labware: load name of every plate, by barcode.
    """
    if not outcome.is_begun:
        return
    last = max((n for n, step in enumerate(load.steps) if _is_told(step, outcome)), default=-1)
    begun = _under_way(load, last, outcome)
    for n, step in enumerate(load.steps):
        if _is_told(step, outcome) or (n < last and not isinstance(step, Transfer)):
            yield Line(step, True, tuple(_done(step, outcome, handling, labware)))
        elif n < last or n in begun or not outcome.is_certain:
            yield Line(step, False, tuple(_perhaps(step, handling, labware)))


def _is_told(step: Step, outcome: Outcome) -> bool:
    if isinstance(step, Transfer):
        return step.transfer_id in outcome.dispensed or step.transfer_id in outcome.drawn
    return number_of(step) in outcome.other_steps


def _under_way(load: DeckLoad, last: int, outcome: Outcome) -> set[int]:
    """Return which steps may be half done."""
    at = load.steps[last] if last >= 0 else None
    is_open = isinstance(at, Transfer) and at.transfer_id not in outcome.dispensed
    n = last if is_open else last + 1
    if n >= len(load.steps):
        return set()
    first = load.steps[n]
    if not isinstance(first, Transfer) or not first.stroke:
        return {n}
    return {n for n, step in enumerate(load.steps) if isinstance(step, Transfer) and step.stroke == first.stroke}


def _done(step: Step, outcome: Outcome, handling: Handling, labware: Mapping[str, str]) -> Iterator[Flowed]:
    if isinstance(step, Transfer):
        yield _transferred(step, outcome, handling)
        return
    for source, target, volume_nl in flows(step, labware):
        moved = handling.moved(volume_nl)
        yield Flowed(source, target, moved, moved, is_same=True)


def _transferred(t: Transfer, outcome: Outcome, handling: Handling) -> Flowed:
    source, target = (t.source_plate, t.source_well), (t.destination_plate, t.destination_well)
    arrived_nl = outcome.dispensed.get(t.transfer_id, 0)
    drawn_nl = outcome.drawn.get(t.transfer_id)
    into = handling.moved(arrived_nl)
    if drawn_nl is not None:
        out = into if drawn_nl == arrived_nl else handling.moved(drawn_nl)
    elif arrived_nl == t.volume_nl:
        out = into
    else:
        # A clogged tip may have drawn all of it or nothing more than it gave.
        out = into.reaching(handling.moved(t.volume_nl))
    return Flowed(source, target, out, into, is_same=out == into)


def _perhaps(step: Step, handling: Handling, labware: Mapping[str, str]) -> Iterator[Flowed]:
    for source, target, volume_nl in flows(step, labware):
        some = handling.moved(volume_nl).reaching(NOTHING)
        yield Flowed(source, target, some, some, is_same=target is None)
    if isinstance(step, Mix) and is_volume(step.volume_nl):
        # It may have stopped with the tip full, and that liquid goes with the tip.
        some = handling.moved(step.volume_nl).reaching(NOTHING)
        yield Flowed((step.plate, step.well), None, some, some, is_same=True)


def tip_of(step: Step) -> Tip | None:
    """Return the tip a step takes or keeps; None: it needs none."""
    rack = getattr(step, "tip_rack", "")
    return (rack, getattr(step, "tip_well", "")) if rack else None


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a run's report means for source wells, tips and destination wells."""

    drawn: Mapping[tuple[int, WellKey], Interval]
    """By number of the step and the well, of every step that was begun or may have been."""
    arrived: Mapping[int, Interval]
    """By transfer, likewise."""
    tips: tuple[Tip, ...]
    """That are gone, or may be: each once, in order."""


def meaning(load: DeckLoad, outcome: Outcome, handling: Handling = EXACT) -> Meaning:
    """Say what is known of a load means; see ``lines``."""
    labware = {item.barcode: item.labware for item in load.deck}
    drawn: dict[tuple[int, WellKey], Interval] = {}
    arrived: dict[int, Interval] = {}
    tips: dict[Tip, None] = {}
    for line in lines(load, outcome, handling, labware):
        number = number_of(line.step)
        for flow in line.flows:
            drawn[number, flow.source] = drawn.get((number, flow.source), NOTHING).plus(flow.out)
            if isinstance(line.step, Transfer):
                arrived[number] = flow.into
        if (tip := tip_of(line.step)) is not None:
            tips[tip] = None
    return Meaning(drawn, arrived, tuple(tips))
