"""Turn what is known of a load's outcome into volumes: exact where it is known, else an interval around the truth."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from protocols.evaporation import follow_seal, lost_nl
from protocols.model import DeckLoad
from protocols.moved import Flowed, Line, Tip, lines, tip_of
from protocols.outcome import Handling, Outcome
from protocols.steps import Incubate, Seal, Transfer, Wash
from protocols.volumes import NOTHING, Interval, WellKey, rest_after, washed


@dataclass(slots=True)
class Settling:
    """The books while a load is entered."""

    wells: dict[WellKey, Interval]
    labware: Mapping[str, str]
    evaporation: Mapping[str, int]
    """By plate, the most nanolitres a well loses in an hour; a plate not listed loses none."""
    waste: Interval
    sealed: set[str]
    unknown: set[WellKey] = field(default_factory=set)
    """Wells that a fault made uncertain."""
    used: set[Tip] = field(default_factory=set)
    """Tips that are gone, or may be."""

    def volume(self, key: WellKey) -> Interval:
        """Return what a well holds; one not listed is empty."""
        return self.wells.get(key, NOTHING)

    def doubt(self, *keys: WellKey | None) -> None:
        """Mark wells of which a fault left only an interval."""
        self.unknown.update(key for key in keys if key is not None and not self.volume(key).is_exact)


def settle(load: DeckLoad, outcome: Outcome, handling: Handling, books: Settling) -> None:
    """Enter a load into the books, line by line of ``protocols.moved.lines``."""
    for line in lines(load, outcome, handling, books.labware):
        if (tip := tip_of(line.step)) is not None:
            books.used.add(tip)
        for flow in line.flows:
            _flow(flow, books)
        (_done if line.is_done else _perhaps)(line, handling, books)


def _flow(flow: Flowed, books: Settling) -> None:
    """Move liquid; what left the source and did not arrive is waste."""
    books.wells[flow.source] = books.volume(flow.source).minus(flow.out)
    if flow.target is not None:
        books.wells[flow.target] = books.volume(flow.target).plus(flow.into)
    if flow.target is None or not flow.is_same:
        into = NOTHING if flow.target is None else flow.into
        books.waste = books.waste.plus(
            Interval(max(0, flow.out.low_nl - into.high_nl), max(0, flow.out.high_nl - into.low_nl))
        )


def _done(line: Line, handling: Handling, books: Settling) -> None:
    match line.step:
        case Transfer(volume_nl=volume_nl):
            if any(flow.into.low_nl < handling.moved(volume_nl).low_nl for flow in line.flows):
                books.doubt(*(flow.source for flow in line.flows))
        case Seal() as step:
            follow_seal(step, books.sealed)
        case Incubate() as step:
            _evaporate(step, books)
        case Wash() as step:
            _washed(step, handling, books)


def _perhaps(line: Line, handling: Handling, books: Settling) -> None:
    """Enter a step of which nobody knows how far it went."""
    match line.step:
        case Incubate() as step:
            _evaporate(step, books)
        case Seal(plate=plate, is_on=False):
            books.sealed.discard(plate)
        case Wash() as step:
            _perhaps_washed(step, handling, books)
    for flow in line.flows:
        books.doubt(flow.source, flow.target)


def _washed(step: Wash, handling: Handling, books: Settling) -> None:
    """Empty the wells; the buffer is in the waste already, and what stays of it comes out of there again."""
    for key in washed(step, books.labware):
        before = books.volume(key)
        filled_nl = handling.moved(step.cycles * step.volume_nl).high_nl
        books.wells[key] = after = Interval(0, rest_after(step.rest_nl, before.high_nl, filled_nl))
        books.waste = Interval(
            max(0, books.waste.low_nl + before.low_nl - after.high_nl), books.waste.high_nl + before.high_nl
        )


def _perhaps_washed(step: Wash, handling: Handling, books: Settling) -> None:
    for key in washed(step, books.labware):
        before = books.volume(key)
        # Emptied, full, or anything between: a stopped washer may leave a well under buffer.
        most_nl = max(before.high_nl, step.rest_nl + handling.moved(step.volume_nl).high_nl)
        books.wells[key] = Interval(0, most_nl)
        books.waste = books.waste.plus(Interval(0, before.high_nl))
        books.doubt(key)


def _evaporate(step: Incubate, books: Settling) -> None:
    if lost := lost_nl(step, books.evaporation, books.sealed):
        for key in [key for key in books.wells if key[0] == step.plate]:
            books.wells[key] = books.wells[key].minus(Interval(0, lost))
