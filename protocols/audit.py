"""Find everything wrong with a protocol, given what is in the lab. Nothing here trusts the compiler."""

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field

from protocols.labware import LABWARE, PIPETTES, ROBOTS, Labware, Pipette
from protocols.model import DeckItem, DeckLoad, DeckRole, Protocol, Transfer

WellKey = tuple[str, str]


@dataclass(slots=True)
class _Books:
    """Running state of one audit."""

    least: MutableMapping[WellKey, int]
    most: MutableMapping[WellKey, int]
    free_tips: Mapping[str, set[str]]
    labware: Mapping[str, str]
    pipette: Pipette | None
    ids: set[int] = field(default_factory=set)
    reported: set[tuple[str, WellKey]] = field(default_factory=set)
    """Wells already found overdrawn or overfilled: one message each is enough."""


def audit(
    protocol: Protocol,
    least: MutableMapping[WellKey, int],
    most: MutableMapping[WellKey, int],
    free_tips: Mapping[str, set[str]],
    known: Mapping[str, str],
) -> list[str]:
    """Return every problem, in order of execution, each naming the well, tip or slot.

    Args:
        protocol: to be judged.
        least: volume every well holds at least, before it; changed in place.
        most: volume every well holds at most; changed in place.
        free_tips: positions with a tip, by rack; changed in place.
        known: load name of every plate and rack, by barcode.
    """
    books = _Books(least, most, free_tips, known, PIPETTES.get(protocol.pipette))
    problems = list(_header_problems(protocol))
    for load in protocol.loads:
        problems += _deck_problems(load, protocol.robot, known)
        deck = {item.barcode: item for item in load.deck}
        for transfer in load.transfers:
            problems += _transfer_problems(transfer, deck, books)
    return problems


def _header_problems(protocol: Protocol) -> Iterator[str]:
    if protocol.robot not in ROBOTS:
        yield f"robot {protocol.robot!r} is not known; known are {', '.join(sorted(ROBOTS))}"
    if protocol.pipette not in PIPETTES:
        yield f"pipette {protocol.pipette!r} is not known; known are {', '.join(sorted(PIPETTES))}"
    if protocol.mount not in ("left", "right"):
        yield f"mount {protocol.mount!r} is neither left nor right"
    indices = [load.index for load in protocol.loads]
    if indices != list(range(len(indices))):
        yield f"loads are numbered {indices}, not 0 to {len(indices) - 1}"


def _deck_problems(load: DeckLoad, robot: str, known: Mapping[str, str]) -> Iterator[str]:
    slots: dict[str, str] = {}
    barcodes: set[str] = set()
    for item in load.deck:
        where = f"load {load.index}, slot {item.slot}"
        if item.slot in slots:
            yield f"{where}: holds {slots[item.slot]} and {item.barcode}"
        slots[item.slot] = item.barcode
        if item.barcode in barcodes:
            yield f"{where}: {item.barcode} is in another slot too"
        barcodes.add(item.barcode)
        if robot in ROBOTS and item.slot not in ROBOTS[robot].slots:
            yield f"{where}: the {robot} has no such slot for labware"
        if item.labware not in LABWARE:
            yield f"{where}: labware {item.labware!r} of {item.barcode} is not known"
        if known.get(item.barcode, item.labware) != item.labware:
            yield f"{where}: {item.barcode} is {known[item.barcode]} in the ledger, {item.labware} in the protocol"
        yield from _role_problems(item, where)


def _role_problems(item: DeckItem, where: str) -> Iterator[str]:
    kind = LABWARE.get(item.labware)
    if kind and kind.is_tip_rack != (item.role is DeckRole.TIPS):
        yield f"{where}: {item.labware} of {item.barcode} cannot serve as {item.role.value}"


def _transfer_problems(t: Transfer, deck: Mapping[str, DeckItem], books: _Books) -> Iterator[str]:
    where = (
        f"transfer {t.transfer_id} ({t.source_well} on {t.source_plate} to "
        f"{t.destination_well} on {t.destination_plate})"
    )
    if t.transfer_id in books.ids:
        yield f"{where}: the number {t.transfer_id} is used twice"
    books.ids.add(t.transfer_id)
    found = [
        *_well_problems(t.source_plate, t.source_well, DeckRole.SOURCE, deck, books),
        *_well_problems(t.destination_plate, t.destination_well, DeckRole.DESTINATION, deck, books),
        *_tip_problems(t, deck, books),
    ]
    volume_problem = _volume_problem(t, deck, books)
    if volume_problem:
        found.append(volume_problem)
    else:
        found += _liquid_problems(t, deck, books)
    yield from (f"{where}: {words}" for words in found)


def _well_problems(plate: str, well: str, role: DeckRole, deck: Mapping[str, DeckItem], books: _Books) -> Iterator[str]:
    if plate not in books.labware:
        yield f"plate {plate} of well {well} is not in the ledger"
    item = deck.get(plate)
    if item is None:
        yield f"{role.value} {plate} of well {well} is not on the deck of this load"
    elif item.role is not role:
        yield f"{plate} of well {well} is on the deck as {item.role.value}, not as {role.value}"
    kind = _kind(plate, deck, books)
    if kind and not kind.has(well):
        yield f"{kind.load_name} {plate} has no well {well!r}"


def _kind(barcode: str, deck: Mapping[str, DeckItem], books: _Books) -> Labware | None:
    name = books.labware.get(barcode) or (deck[barcode].labware if barcode in deck else "")
    return LABWARE.get(name)


def _tip_problems(t: Transfer, deck: Mapping[str, DeckItem], books: _Books) -> Iterator[str]:
    item = deck.get(t.tip_rack)
    if item is None or item.role is not DeckRole.TIPS:
        yield f"tip rack {t.tip_rack} is not on the deck of this load as tips"
    if books.pipette and item and item.labware in LABWARE and item.labware not in books.pipette.tips:
        yield f"tips of {t.tip_rack} ({item.labware}) do not fit {books.pipette.load_name}"
    if t.tip_rack not in books.free_tips:
        yield f"tip rack {t.tip_rack} is not in the ledger"
    elif t.tip_well not in books.free_tips[t.tip_rack]:
        left = len(books.free_tips[t.tip_rack])
        yield f"no tip at {t.tip_well} of rack {t.tip_rack}: used, booked or never there; {left} tips left in it"
    else:
        books.free_tips[t.tip_rack].discard(t.tip_well)


def _volume_problem(t: Transfer, deck: Mapping[str, DeckItem], books: _Books) -> str:
    if isinstance(t.volume_nl, bool) or not isinstance(t.volume_nl, int):
        return f"volume {t.volume_nl!r} is not a whole number of nanolitres"
    if t.volume_nl <= 0:
        return f"volume {t.volume_nl} nl is not above 0"
    if books.pipette is None:
        return ""
    tip = _kind(t.tip_rack, deck, books)
    most = min(books.pipette.max_nl, tip.max_volume_nl) if tip and tip.is_tip_rack else books.pipette.max_nl
    if t.volume_nl < books.pipette.min_nl:
        return f"{t.volume_nl} nl is under the {books.pipette.min_nl} nl minimum of {books.pipette.load_name}"
    if t.volume_nl > most:
        return f"{t.volume_nl} nl is over the {most} nl that {books.pipette.load_name} takes with this tip"
    return ""


def _liquid_problems(t: Transfer, deck: Mapping[str, DeckItem], books: _Books) -> Iterator[str]:
    source, target = (t.source_plate, t.source_well), (t.destination_plate, t.destination_well)
    before = books.least.get(source, 0)
    books.least[source] = before - t.volume_nl
    books.most[source] = books.most.get(source, 0) - t.volume_nl
    kind = _kind(t.source_plate, deck, books)
    if kind and books.least[source] < kind.dead_volume_nl and ("low", source) not in books.reported:
        books.reported.add(("low", source))
        usable = max(before - kind.dead_volume_nl, 0)
        yield (
            f"overdraw: {t.source_well} on {t.source_plate} holds {before} nl, {kind.dead_volume_nl} of them dead "
            f"volume, so {usable} nl can be drawn and not {t.volume_nl}"
        )
    books.least[target] = books.least.get(target, 0) + t.volume_nl
    books.most[target] = books.most.get(target, 0) + t.volume_nl
    kind = _kind(t.destination_plate, deck, books)
    if kind and books.most[target] > kind.max_volume_nl and ("full", target) not in books.reported:
        books.reported.add(("full", target))
        yield (
            f"overfill: {t.destination_well} on {t.destination_plate} would hold {books.most[target]} nl, "
            f"its maximum is {kind.max_volume_nl}"
        )
