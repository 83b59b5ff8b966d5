"""Turn what is known of a load's outcome into volumes: exact where it is known, else an interval around the truth."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from protocols.model import DeckLoad
from protocols.outcome import Handling, Outcome
from protocols.steps import Incubate, Seal, Step, Transfer, Wash, number_of
from protocols.volumes import NOTHING, Interval, WellKey, flows, is_count, wells_of

Tip = tuple[str, str]
"""Rack and position."""


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

    def flow(self, source: WellKey, target: WellKey | None, out: Interval, into: Interval) -> None:
        """Move liquid; what left the source and did not arrive is waste."""
        lost = Interval(max(0, out.low_nl - into.high_nl), max(0, out.high_nl - into.low_nl))
        self.wells[source] = self.volume(source).minus(out)
        if target is not None:
            self.wells[target] = self.volume(target).plus(into)
        else:
            lost = lost.plus(into)
        self.waste = self.waste.plus(lost)

    def doubt(self, *keys: WellKey | None) -> None:
        """Mark wells of which a fault left only an interval."""
        self.unknown.update(key for key in keys if key is not None and not self.volume(key).is_exact)


def settle(load: DeckLoad, outcome: Outcome, handling: Handling, books: Settling) -> None:
    """Enter a load into the books.

    Steps up to the last one reported were done, the next one may be half done, and what follows was not begun,
    unless nobody knows. Eight channels that draw at once are one step.
    """
    last = max((n for n, step in enumerate(load.steps) if _is_told(step, outcome)), default=-1)
    begun = _under_way(load, last)
    for n, step in enumerate(load.steps):
        if _is_told(step, outcome) or (n < last and not isinstance(step, Transfer)):
            _done(step, outcome, handling, books)
        elif n < last or n in begun or not outcome.is_certain:
            _perhaps(step, handling, books)


def _is_told(step: Step, outcome: Outcome) -> bool:
    if isinstance(step, Transfer):
        return step.transfer_id in outcome.dispensed or step.transfer_id in outcome.drawn
    return number_of(step) in outcome.other_steps


def _under_way(load: DeckLoad, last: int) -> set[int]:
    if last + 1 >= len(load.steps):
        return set()
    first = load.steps[last + 1]
    if not isinstance(first, Transfer) or not first.stroke:
        return {last + 1}
    return {n for n, s in enumerate(load.steps) if isinstance(s, Transfer) and s.stroke == first.stroke}


def _done(step: Step, outcome: Outcome, handling: Handling, books: Settling) -> None:
    _use_tip(step, books)
    if isinstance(step, Transfer):
        _transferred(step, outcome, handling, books)
    elif isinstance(step, Seal):
        (books.sealed.add if step.is_on else books.sealed.discard)(step.plate)
    elif isinstance(step, Incubate):
        _evaporate(step, books)
    else:
        for source, target, volume_nl in flows(step, books.labware):
            moved = handling.moved(volume_nl)
            if target is None:
                books.flow(source, None, moved, moved)
            else:
                _straight(source, target, moved, books)
        if isinstance(step, Wash):
            _washed(step, books)


def _transferred(t: Transfer, outcome: Outcome, handling: Handling, books: Settling) -> None:
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
    if out == into:
        _straight(source, target, into, books)
    else:
        books.flow(source, target, out, into)
    if arrived_nl < t.volume_nl:
        books.doubt(source)


def _straight(source: WellKey, target: WellKey, moved: Interval, books: Settling) -> None:
    """Move what both ends agree about: nothing is lost, however uncertain the amount."""
    books.wells[source] = books.volume(source).minus(moved)
    books.wells[target] = books.volume(target).plus(moved)


def _perhaps(step: Step, handling: Handling, books: Settling) -> None:
    """Enter a step of which nobody knows how far it went."""
    _use_tip(step, books)
    if isinstance(step, Incubate):
        _evaporate(step, books)
    elif isinstance(step, Seal) and not step.is_on:
        books.sealed.discard(step.plate)
    for source, target, volume_nl in flows(step, books.labware):
        some = handling.moved(volume_nl).reaching(NOTHING)
        books.flow(source, target, some, some)
        books.doubt(source, target)
    if isinstance(step, Wash) and is_count(step.rest_nl):
        for well in wells_of(step, books.labware):
            _perhaps_washed(step, (step.plate, well), books)


def _washed(step: Wash, books: Settling) -> None:
    for well in wells_of(step, books.labware):
        key = step.plate, well
        before = books.volume(key)
        books.wells[key] = Interval(0, min(step.rest_nl, before.high_nl + step.volume_nl))
        books.waste = books.waste.plus(Interval(max(0, before.low_nl - step.rest_nl), before.high_nl))


def _perhaps_washed(step: Wash, key: WellKey, books: Settling) -> None:
    before = books.volume(key)
    # Emptied, full, or anything between: a stopped washer may leave a well under buffer.
    books.wells[key] = Interval(0, max(before.high_nl, step.rest_nl + step.volume_nl))
    books.waste = books.waste.plus(Interval(0, before.high_nl))
    books.doubt(key)


def _evaporate(step: Incubate, books: Settling) -> None:
    lost_nl = evaporated_nl(books.evaporation.get(step.plate, 0), step.wait_s)
    if lost_nl and step.plate not in books.sealed:
        for key in [key for key in books.wells if key[0] == step.plate]:
            books.wells[key] = books.wells[key].minus(Interval(0, lost_nl))


def evaporated_nl(rate_nl_per_h: int, wait_s: float) -> int:
    """Return the most that a well loses in a time, rounded up."""
    return -int(-rate_nl_per_h * wait_s // 3600)


def _use_tip(step: Step, books: Settling) -> None:
    rack, well = getattr(step, "tip_rack", ""), getattr(step, "tip_well", "")
    if rack:
        books.used.add((rack, well))
