"""The ledger: how much is in every well and which tips are left; refuses a protocol before anything moves.

The vendor's simulator does no volume accounting at all, so this is the only guard against an overdrawn source, an
overfilled well or an empty rack. Volumes are whole nanolitres: what leaves one well arrives in another, exactly.

A ledger is a value. ``reserve`` books a protocol's loads as pending; ``commit`` replaces one load's booking by what
the device confirmed; ``rollback`` drops a booking of which nothing happened.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nextplate.errors import DataError, PlanError
from protocols.audit import audit
from protocols.labware import labware
from protocols.model import DeckLoad, Protocol, Transfer
from protocols.stock import StockWell, TipRack

WellKey = tuple[str, str]
"""Plate barcode and zero-padded well."""


@dataclass(frozen=True, slots=True)
class Booking:
    """A deck load that is planned or under way."""

    digest: str
    """Of its protocol."""
    load: DeckLoad


@dataclass(frozen=True, slots=True)
class Ledger:
    """Confirmed volumes and tips, and what is booked."""

    volumes: Mapping[WellKey, int]
    """Confirmed nanolitres; a well of a known plate that is not listed is empty."""
    tips: Mapping[str, frozenset[str]]
    """Tip rack barcode to positions that still hold a tip."""
    labware: Mapping[str, str]
    """Load name of every plate and rack, by barcode."""
    pending: tuple[Booking, ...] = field(default=())

    @classmethod
    def of(
        cls,
        stock: Iterable[StockWell],
        tips: Iterable[TipRack],
        plates: Mapping[str, tuple[str, int]] | None = None,
    ) -> "Ledger":
        """Open a ledger.

        Args:
            stock: source wells and control liquids.
            tips: racks.
            plates: assay plates by barcode: load name and the volume already in every well (medium and cells).

        Raises:
            DataError: unknown labware, or one barcode with two kinds of it.
        """
        volumes: dict[WellKey, int] = {}
        kinds: dict[str, str] = {}
        for item in stock:
            volumes[item.source_plate, item.source_well] = item.volume_nl
            _name_kind(kinds, item.source_plate, item.labware)
        for rack in tips:
            _name_kind(kinds, rack.barcode, rack.labware)
        ledger = cls(volumes, {rack.barcode: frozenset(rack.free_wells) for rack in tips}, kinds)
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
        wells = labware(load_name).wells_by_column()
        volumes = {**self.volumes, **{(barcode, well): fill_nl for well in wells}}
        return replace(self, volumes=volumes, labware={**self.labware, barcode: load_name})

    def least(self) -> dict[WellKey, int]:
        """Return the volume each well holds if every booking draws and none dispenses."""
        return self._booked((t.source_plate, t.source_well, -t.volume_nl) for t in self._booked_transfers())

    def most(self) -> dict[WellKey, int]:
        """Return the volume each well holds if every booking dispenses and none draws."""
        return self._booked((t.destination_plate, t.destination_well, t.volume_nl) for t in self._booked_transfers())

    def free_tips(self) -> dict[str, set[str]]:
        """Return the tips that are neither used nor booked."""
        free = {barcode: set(wells) for barcode, wells in self.tips.items()}
        for transfer in self._booked_transfers():
            free[transfer.tip_rack].discard(transfer.tip_well)
        return free

    def problems(self, protocol: Protocol) -> list[str]:
        """Return everything that forbids running the protocol, each with the well or slot; empty when it may run.

        What is booked counts as drawn from sources and as arrived in destinations.
        """
        return audit(protocol, self.least(), self.most(), self.free_tips(), self.labware)

    def check(self, protocol: Protocol) -> "Ledger":
        """Return the ledger as it is after the protocol ran as planned.

        Raises:
            PlanError: lists every problem.
        """
        ledger = self.reserve(protocol)
        for load in protocol.loads:
            planned = [(t.transfer_id, t.volume_nl) for t in load.transfers]
            ledger = ledger.commit(protocol.digest, load.index, planned)
        return ledger

    def reserve(self, protocol: Protocol) -> "Ledger":
        """Book all loads of a protocol.

        Raises:
            PlanError: lists every problem, or it is booked already.
        """
        digest = protocol.digest
        problems = self.problems(protocol)
        if any(booking.digest == digest for booking in self.pending):
            problems = [f"protocol {protocol.name} is booked already"]
        if problems:
            shown = "\n  ".join(problems)
            raise PlanError(f"protocol {protocol.name} is refused, {len(problems)} problem(s):\n  {shown}")
        return replace(self, pending=self.pending + tuple(Booking(digest, load) for load in protocol.loads))

    def commit(self, digest: str, load_index: int, confirmed: Iterable[Sequence[int]]) -> "Ledger":
        """Replace a booking by what the device did.

        Args:
            digest: of the protocol.
            load_index: of the load.
            confirmed: (transfer_id, volume_nl really dispensed) in order; may stop early when the device failed.
                The tip of the first transfer not listed counts as used: it may hang on the pipette.

        Raises:
            DataError: a transfer that is not of this load or listed twice, a volume outside 0 to the planned one.
            PlanError: the load is not booked.
        """
        booking = self._find(digest, load_index)
        transfers = {t.transfer_id: t for t in booking.load.transfers}
        done = _confirmed(confirmed, transfers)
        volumes = dict(self.volumes)
        for number, volume_nl in done.items():
            t = transfers[number]
            source, target = (t.source_plate, t.source_well), (t.destination_plate, t.destination_well)
            volumes[source] = volumes.get(source, 0) - volume_nl
            volumes[target] = volumes.get(target, 0) + volume_nl
        open_ones = [t for t in booking.load.transfers if t.transfer_id not in done]
        used = [transfers[number] for number in done] + open_ones[:1]
        tips = {barcode: set(wells) for barcode, wells in self.tips.items()}
        for t in used:
            tips[t.tip_rack].discard(t.tip_well)
        left = tuple(other for other in self.pending if other is not booking)
        return replace(self, volumes=volumes, tips={b: frozenset(wells) for b, wells in tips.items()}, pending=left)

    def rollback(self, digest: str, load_index: int | None = None) -> "Ledger":
        """Drop the booking of a load, or of all loads of the protocol, of which nothing happened.

        Raises:
            PlanError: nothing of it is booked.
        """
        gone = [b for b in self.pending if b.digest == digest and load_index in (None, b.load.index)]
        if not gone:
            raise PlanError(f"protocol {digest[:12]} has nothing booked to roll back")
        return replace(self, pending=tuple(b for b in self.pending if b not in gone))

    def total_nl(self) -> int:
        """Return the liquid in all wells; running protocols never changes it."""
        return sum(self.volumes.values())

    def _booked_transfers(self) -> Iterator[Transfer]:
        for booking in self.pending:
            yield from booking.load.transfers

    def _booked(self, changes: Iterable[tuple[str, str, int]]) -> dict[WellKey, int]:
        volumes = dict(self.volumes)
        for plate, well, change in changes:
            volumes[plate, well] = volumes.get((plate, well), 0) + change
        return volumes

    def _find(self, digest: str, load_index: int) -> Booking:
        for booking in self.pending:
            if booking.digest == digest and booking.load.index == load_index:
                return booking
        raise PlanError(f"load {load_index} of protocol {digest[:12]} is not booked; reserve the protocol first")


def _name_kind(kinds: dict[str, str], barcode: str, load_name: str) -> None:
    labware(load_name)
    if kinds.setdefault(barcode, load_name) != load_name:
        raise DataError(f"{barcode} is listed as {kinds[barcode]} and as {load_name}; give each its own barcode")


def _confirmed(confirmed: Iterable[Sequence[int]], transfers: Mapping[int, Transfer]) -> dict[int, int]:
    done: dict[int, int] = {}
    for number, volume_nl in confirmed:
        if number not in transfers or number in done:
            raise DataError(f"transfer {number} is {'confirmed twice' if number in done else 'not of this load'}")
        t = transfers[number]
        is_whole = isinstance(volume_nl, int) and not isinstance(volume_nl, bool)
        if not is_whole or not 0 <= volume_nl <= t.volume_nl or math.isnan(volume_nl):
            raise DataError(
                f"transfer {number} into {t.destination_well} of {t.destination_plate}: {volume_nl!r} nl confirmed; "
                f"expected whole nanolitres from 0 to {t.volume_nl}"
            )
        done[number] = volume_nl
    return done
