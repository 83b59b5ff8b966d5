"""What work lists have in common: the transfers of one load with everything a vendor's file wants to know of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation

from nextplate.errors import DataError, PlanError
from nextplate.plate import PlateFormat, parse_well
from protocols.labware import LABWARE, Labware
from protocols.model import DeckItem, DeckLoad, Protocol, Transfer, find_load
from protocols.sentences import said, well_on
from protocols.volumes import is_volume
from protocols.worklists.names import LONGEST, Names


@dataclass(frozen=True, slots=True)
class Pick:
    """A transfer as a work list says it."""

    source_plate: str
    source_well: str
    """Zero-padded."""
    destination_plate: str
    destination_well: str
    volume_nl: int
    compound_id: str = ""
    """Empty where the list does not say."""


@dataclass(frozen=True, slots=True)
class Written:
    """A work list."""

    text: str
    """ASCII."""
    names: Names
    """What its labels stand for; `Names.to_csv` is the side table where the format has no comments."""


def pick_of(t: Transfer) -> Pick:
    """Return what a work list says of a transfer."""
    return Pick(t.source_plate, t.source_well, t.destination_plate, t.destination_well, t.volume_nl, t.compound_id)


@dataclass(frozen=True, slots=True)
class Listed:
    """One load, checked, ready to be written."""

    load: DeckLoad
    deck: dict[str, DeckItem]
    """By barcode."""
    names: Names

    def kind(self, barcode: str) -> Labware:
        """Return the labware of a plate on the deck."""
        return LABWARE[self.deck[barcode].labware]


def listed(protocol: Protocol, load_index: int, *, needs_tips: bool = False, longest: int = LONGEST) -> Listed:
    """Return a load that a work list can say.

    Args:
        protocol: the load is of.
        load_index: of the load.
        needs_tips: whether the format moves liquid with tips that the protocol has to name.
        longest: signs of a label.

    Raises:
        PlanError: no such load; a step that is no transfer; a plate that is not on the deck, a well it does not have,
            a volume that is none.
    """
    load = find_load(protocol, load_index)
    deck = {item.barcode: item for item in load.deck}
    for step in load.steps:
        if not isinstance(step, Transfer):
            raise PlanError(f"load {load.index}, step {step.step_id}: a work list cannot say: {said(step)}")
        _check(step, deck, needs_tips=needs_tips)
    numbers = [t.transfer_id for t in load.transfers]
    if len(set(numbers)) < len(numbers):
        twice = next(n for n in numbers if numbers.count(n) > 1)
        raise PlanError(f"load {load.index}: transfer {twice} is there twice; a result could not tell which is meant")
    words = [barcode for t in load.transfers for barcode in (t.source_plate, t.destination_plate)]
    return Listed(load, deck, Names.of([*words, *(t.compound_id for t in load.transfers)], longest))


def _check(t: Transfer, deck: dict[str, DeckItem], *, needs_tips: bool) -> None:
    for plate, well in ((t.source_plate, t.source_well), (t.destination_plate, t.destination_well)):
        kind = LABWARE.get(deck[plate].labware) if plate in deck else None
        if kind is None:
            what = "is not on the deck" if plate not in deck else f"is {deck[plate].labware}, which is not known"
            raise PlanError(f"transfer {t.transfer_id}: plate {plate} of well {well} {what}")
        if not kind.has(well):
            raise PlanError(f"transfer {t.transfer_id}: {kind.load_name} {plate} has no well {well!r}")
    if not is_volume(t.volume_nl):
        where = well_on(t.destination_plate, t.destination_well)
        raise PlanError(f"transfer {t.transfer_id} into {where}: {t.volume_nl!r} nl is no volume")
    if needs_tips and not t.tip_rack:
        raise PlanError(f"transfer {t.transfer_id} into {t.destination_well}: it has no tip, and the robot needs one")


def position(well: str, plate_format: PlateFormat) -> int:
    """Return the 1-based number of a well counted down the columns: A01 is 1, B01 is 2, H12 of 96 is 96.

    Raises:
        DataError: not a well name.
    """
    row, column = parse_well(well)
    return column * plate_format.n_rows + row + 1


def decimal_nl(volume_nl: int, n_decimals: int) -> str:
    """Write nanolitres as microlitres with that many decimals.

    Raises:
        DataError: that would round it.
    """
    exact = Decimal(volume_nl) / 1000
    rounded = round(exact, n_decimals)
    if rounded != exact:
        raise DataError(f"{volume_nl} nl needs more than the {n_decimals} decimals of a microlitre")
    return f"{rounded:f}"


def number(text: str, decimal: str = ".") -> Decimal:
    """Read a plain number, no exponent, no sign but a minus, no blanks inside.

    Raises:
        DataError: it is none.
    """
    plain = text.strip()
    allowed = set("0123456789-") | {decimal}
    if not plain or len(plain) > 30 or not set(plain) <= allowed or plain.count("-") > plain.startswith("-"):
        raise DataError(f"{text!r:.60} is no number with decimal mark {decimal!r}")
    try:
        return Decimal(plain.replace(decimal, "."))
    except InvalidOperation as error:
        raise DataError(f"{text!r:.60} is no number with decimal mark {decimal!r}") from error


def whole_nl(text: str, *, per_unit: int, decimal: str = ".") -> int:
    """Read a volume in nanolitres that has to be whole.

    Raises:
        DataError: no number, or not whole, or not above 0.
    """
    volume_nl = number(text, decimal) * per_unit
    if volume_nl != int(volume_nl) or volume_nl <= 0:
        raise DataError(f"{text!r:.60} is not a whole number of nanolitres above 0")
    return int(volume_nl)


def restored(pick: Pick, known: Mapping[str, str]) -> Pick:
    """Return a pick with names where the list has labels, given names by label."""
    return replace(
        pick,
        source_plate=known.get(pick.source_plate, pick.source_plate),
        destination_plate=known.get(pick.destination_plate, pick.destination_plate),
        compound_id=known.get(pick.compound_id, pick.compound_id),
    )
