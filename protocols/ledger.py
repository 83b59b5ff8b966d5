"""The ledger: how much is in every well and which tips are left; refuses a protocol before anything moves.

The vendor's simulator does no volume accounting at all, so this is the only guard against an overdrawn source, an
overfilled well or an empty rack. Volumes are whole nanolitres: what leaves one well arrives in another, exactly.

A ledger is a value. ``reserve`` books a protocol's loads as pending; ``commit`` replaces one load's booking by what
the device confirmed; ``rollback`` drops a booking of which nothing happened. After a fault a well's volume is an
interval that holds the truth, until somebody looks (``measured``).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from nextplate.errors import DataError, PlanError
from protocols.evaporation import follow_seal, lost_nl, rates_of
from protocols.judge import Lab, judge
from protocols.labware import RobotDeck, labware
from protocols.model import DeckLoad, Protocol, thaws
from protocols.outcome import EXACT, Handling, Outcome
from protocols.settle import Settling, settle
from protocols.steps import Step, Wash, plate_of
from protocols.stock import PlateCare, StockWell, TipRack
from protocols.volumes import NOTHING, Interval, Tally, WellKey, flows, touched, washed

__all__ = ["Booking", "Ledger", "WellKey", "WellState"]

_UNTOUCHED = PlateCare()


class WellState(StrEnum):
    """How sure a well's volume is."""

    CONFIRMED = "confirmed"
    PENDING = "pending"
    """A booking draws from it or puts into it."""
    UNKNOWN = "unknown-after-fault"
    """Something went wrong there, and nobody has looked since; its interval holds the truth."""


@dataclass(frozen=True, slots=True)
class Booking:
    """A deck load that is planned or under way."""

    digest: str
    """Of its protocol."""
    load: DeckLoad
    thawed: frozenset[str] = frozenset()
    """Stock plates that come out of the cold for it."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Volumes, tips and what is booked."""

    wells: Mapping[WellKey, Interval]
    """What every well holds; a well of a known plate that is not listed is empty."""
    tips: Mapping[str, frozenset[str]]
    """Tip rack barcode to positions that still hold a tip."""
    labware: Mapping[str, str]
    """Load name of every plate, reservoir and rack, by barcode."""
    contents: Mapping[WellKey, str] = field(default_factory=dict)
    """What is in stock wells and reservoirs: a compound, a control, a reagent; of other wells nothing is said."""
    care: Mapping[str, PlateCare] = field(default_factory=dict)
    """By plate; one not listed may be thawed without limit, never expires and loses nothing to the air."""
    sealed: frozenset[str] = frozenset()
    unknown: frozenset[WellKey] = frozenset()
    """Wells that a fault left uncertain."""
    waste: Interval = NOTHING
    """Liquid that left a well and arrived in none, since the ledger was opened."""
    pending: tuple[Booking, ...] = ()

    @classmethod
    def of(
        cls,
        stock: Iterable[StockWell],
        tips: Iterable[TipRack],
        plates: Mapping[str, tuple[str, int]] | None = None,
        care: Mapping[str, PlateCare] | None = None,
    ) -> "Ledger":
        """Open a ledger.

        Args:
            stock: source wells and control liquids.
            tips: racks.
            plates: assay plates by barcode: load name and the volume already in every well (medium and cells).
            care: thaws, expiry and evaporation by plate, where they matter.

        Raises:
            DataError: unknown labware, or one barcode with two kinds of it.
        """
        wells: dict[WellKey, Interval] = {}
        contents: dict[WellKey, str] = {}
        kinds: dict[str, str] = {}
        for item in stock:
            wells[item.source_plate, item.source_well] = Interval.exactly(item.volume_nl)
            contents[item.source_plate, item.source_well] = item.compound_id
            _name_kind(kinds, item.source_plate, item.labware)
        for rack in tips:
            _name_kind(kinds, rack.barcode, rack.labware)
        free = {rack.barcode: frozenset(rack.free_wells) for rack in tips}
        ledger = cls(wells, free, kinds, contents, dict(care or {}))
        for barcode, (load_name, fill_nl) in (plates or {}).items():
            ledger = ledger.with_plate(barcode, load_name, fill_nl)
        return ledger

    def with_plate(self, barcode: str, load_name: str, fill_nl: int = 0) -> "Ledger":
        """Return a ledger that knows one more plate, the same volume in each of its wells.

        Raises:
            DataError: unknown labware, or the barcode is taken.
        """
        if barcode in self.labware:
            raise DataError(f"{barcode} is in the ledger already, as {self.labware[barcode]}")
        names = labware(load_name).wells_by_column()
        wells = {**self.wells, **{(barcode, well): Interval.exactly(fill_nl) for well in names}}
        return replace(self, wells=wells, labware={**self.labware, barcode: load_name})

    def volume(self, plate: str, well: str) -> Interval:
        """Return what a well holds, bookings left aside."""
        return self.wells.get((plate, well), NOTHING)

    def state(self, plate: str, well: str) -> WellState:
        """Tell how sure a well's volume is; a well both uncertain and booked is uncertain."""
        key = plate, well
        if key in self.unknown:
            return WellState.UNKNOWN
        is_booked = any(key in touched(step, self.labware) for step in self._booked())
        return WellState.PENDING if is_booked else WellState.CONFIRMED

    def least(self) -> dict[WellKey, int]:
        """Return the volume each well holds at least, if every booking draws and washes and none dispenses."""
        tally = Tally({key: volume.low_nl for key, volume in self.wells.items()})
        sealed, rates = set(self.sealed), rates_of(self.care)
        for step in self._booked():
            for source, _, volume_nl in flows(step, self.labware):
                tally.least[source] = tally.least.get(source, 0) - volume_nl
            for key in washed(step, self.labware):
                tally.least[key] = min(0, tally.least.get(key, 0))
            tally.dry(plate_of(step), lost_nl(step, rates, sealed))
            follow_seal(step, sealed)
        return tally.least

    def most(self) -> dict[WellKey, int]:
        """Return the volume each well holds at most, if every booking dispenses and none draws."""
        tally = {key: volume.high_nl for key, volume in self.wells.items()}
        for step in self._booked():
            for _, target, volume_nl in flows(step, self.labware):
                if target is not None:
                    tally[target] = tally.get(target, 0) + volume_nl
            if isinstance(step, Wash):
                # Which of the bookings comes first is not known: a wash takes nothing away, and its rest may stay.
                tally |= {key: max(tally.get(key, 0), step.rest_nl) for key in washed(step, self.labware)}
        return tally

    def _booked(self) -> Iterator[Step]:
        return (step for booking in self.pending for step in booking.load.steps)

    def free_tips(self) -> dict[str, set[str]]:
        """Return the tips that are neither used nor booked."""
        free = {barcode: set(wells) for barcode, wells in self.tips.items()}
        for step in self._booked():
            free.get(getattr(step, "tip_rack", ""), set()).discard(getattr(step, "tip_well", ""))
        return free

    def lab(self, robot: RobotDeck | None = None, at: datetime | None = None) -> Lab:
        """Return what the checker is told: volumes and tips as they are when everything booked has been done.

        Args:
            robot: as it stands in the lab; None: any of the protocol's kind.
            at: when the protocol shall run; None: nothing is said of expiry.
        """
        care, sealed = dict(self.care), set(self.sealed)
        for booking in self.pending:
            care |= _thawed(care, booking.thawed)
        for step in self._booked():
            follow_seal(step, sealed)
        tally = Tally(self.least(), self.most())
        return Lab(tally, self.free_tips(), self.labware, self.contents, care, sealed, robot, at)

    def problems(self, protocol: Protocol, robot: RobotDeck | None = None, at: datetime | None = None) -> list[str]:
        """Return everything that forbids running the protocol, each with the well or slot; empty when it may run.

        What is booked counts as drawn from sources and as arrived in destinations.
        """
        return [str(problem) for problem in judge(protocol, self.lab(robot, at))]

    def check(self, protocol: Protocol, robot: RobotDeck | None = None, at: datetime | None = None) -> "Ledger":
        """Return the ledger as it is after the protocol ran as planned.

        Raises:
            PlanError: lists every problem.
        """
        ledger = self.reserve(protocol, robot, at)
        for load in protocol.loads:
            ledger = ledger.commit(protocol.digest, load.index, Outcome.whole(load))
        return ledger

    def reserve(self, protocol: Protocol, robot: RobotDeck | None = None, at: datetime | None = None) -> "Ledger":
        """Book all loads of a protocol.

        Raises:
            PlanError: lists every problem, or it is booked already.
        """
        digest = protocol.digest
        problems = self.problems(protocol, robot, at)
        if any(booking.digest == digest for booking in self.pending):
            problems = [f"protocol {protocol.name} is booked already"]
        if problems:
            shown = "\n  ".join(problems)
            raise PlanError(f"protocol {protocol.name} is refused, {len(problems)} problem(s):\n  {shown}")
        return replace(self, pending=self.pending + tuple(_bookings(protocol, digest)))

    def commit(self, digest: str, load_index: int, outcome: Outcome, handling: Handling = EXACT) -> "Ledger":
        """Replace a booking by what the device did.

        Args:
            digest: of the protocol.
            load_index: of the load.
            outcome: what is known; see Outcome.of. A tip that may hang on the pipette counts as used.
            handling: how far the device's word goes.

        Raises:
            PlanError: the load is not booked.
        """
        booking = self._find(digest, load_index)
        rates = rates_of(self.care)
        books = Settling(dict(self.wells), self.labware, rates, self.waste, set(self.sealed), set(self.unknown))
        settle(booking.load, outcome, handling, books)
        tips = {rack: wells - {well for r, well in books.used if r == rack} for rack, wells in self.tips.items()}
        return replace(
            self,
            wells=books.wells,
            tips=tips,
            care={**self.care, **_thawed(self.care, booking.thawed)},
            sealed=frozenset(books.sealed),
            unknown=frozenset(books.unknown),
            waste=books.waste,
            pending=tuple(other for other in self.pending if other is not booking),
        )

    def rollback(self, digest: str, load_index: int | None = None) -> "Ledger":
        """Drop the booking of a load, or of all loads of the protocol, of which nothing happened.

        Raises:
            PlanError: nothing of it is booked.
        """
        gone = [b for b in self.pending if b.digest == digest and load_index in (None, b.load.index)]
        if not gone:
            raise PlanError(f"protocol {digest[:12]} has nothing booked to roll back")
        return replace(self, pending=tuple(b for b in self.pending if b not in gone))

    def measured(self, plate: str, well: str, volume: Interval) -> "Ledger":
        """Return the ledger after somebody looked how much is in a well, which ends its uncertainty.

        Raises:
            DataError: a plate that is not known, a well it does not have, or a volume that is none.
        """
        kind = labware(self.labware[plate]) if plate in self.labware else None
        if kind is None or not kind.has(well):
            raise DataError(f"{well} of {plate}: {'no such plate' if kind is None else 'no such well'} in the ledger")
        if not 0 <= volume.low_nl <= volume.high_nl <= kind.max_volume_nl:
            raise DataError(f"{well} of {plate}: {volume} is not between 0 and {kind.max_volume_nl} nl")
        return replace(self, wells={**self.wells, (plate, well): volume}, unknown=self.unknown - {(plate, well)})

    def total_nl(self) -> Interval:
        """Return the liquid in all wells and in the waste; running protocols never changes it."""
        total = self.waste
        for volume in self.wells.values():
            total = total.plus(volume)
        return total

    def _find(self, digest: str, load_index: int) -> Booking:
        for booking in self.pending:
            if booking.digest == digest and booking.load.index == load_index:
                return booking
        raise PlanError(f"load {load_index} of protocol {digest[:12]} is not booked; reserve the protocol first")


def _bookings(protocol: Protocol, digest: str) -> Iterator[Booking]:
    for load, thawed in zip(protocol.loads, thaws(protocol), strict=True):
        yield Booking(digest, load, thawed)


def _thawed(care: Mapping[str, PlateCare], plates: Iterable[str]) -> dict[str, PlateCare]:
    """Return the care of plates that came out of the cold once more; of others nothing is said."""
    return {plate: replace(care[plate], n_thaws=care[plate].n_thaws + 1) for plate in plates if plate in care}


def _name_kind(kinds: dict[str, str], barcode: str, load_name: str) -> None:
    labware(load_name)
    if kinds.setdefault(barcode, load_name) != load_name:
        raise DataError(f"{barcode} is listed as {kinds[barcode]} and as {load_name}; give each its own barcode")
