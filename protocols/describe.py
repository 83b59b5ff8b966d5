"""Say in words what a protocol asks of the people who load the robot."""

from collections import Counter

from protocols.duration import estimate, estimate_loads, n_swaps, words
from protocols.labware import robot_deck
from protocols.model import DeckItem, DeckLoad, DeckRole, Mix, Protocol, Transfer
from protocols.render import microlitres
from protocols.sentences import plain, said


def describe(protocol: Protocol) -> str:
    """Return loading instructions: per deck load a table of slots, then totals; plain text."""
    n = len(protocol.loads)
    second = f" and {plain(protocol.multichannel)}" if protocol.multichannel else ""
    lines = [
        f"{plain(protocol.name)}: {len(protocol.transfers)} transfers in {n} deck load{'s' if n != 1 else ''} on the "
        f"{robot_deck(protocol.robot).robot_type} with {plain(f'{protocol.pipette} ({protocol.mount} mount)')}{second}",
        f"digest {protocol.digest}",
        f"about {words(estimate(protocol))} with {n_swaps(protocol)} pieces of labware carried",
        "",
    ]
    for load in protocol.loads:
        lines += [*_load_lines(load, n), ""]
    lines += ["drawn from each source plate", *_totals(protocol)]
    return "\n".join(lines) + "\n"


def loads_table(protocol: Protocol) -> list[dict[str, str | int]]:
    """Return one row per deck load: its plates, racks, transfers, volume and rough duration."""
    spent = estimate_loads(protocol)
    return [
        {
            "load": load.index + 1,
            "sources": ", ".join(_barcodes(load, DeckRole.SOURCE)),
            "tip_racks": ", ".join(_barcodes(load, DeckRole.TIPS)),
            "n_transfers": len(load.transfers),
            "volume_nl": sum(t.volume_nl for t in load.transfers),
            "duration_s": round(spent[number].seconds),
        }
        for number, load in enumerate(protocol.loads)
    ]


def volume_by_source(protocol: Protocol) -> dict[str, int]:
    """Return nanolitres drawn from each source plate, by barcode."""
    totals: Counter[str] = Counter()
    for t in protocol.transfers:
        totals[t.source_plate] += t.volume_nl
    return dict(sorted(totals.items()))


def _barcodes(load: DeckLoad, role: DeckRole) -> list[str]:
    return [item.barcode for item in load.deck if item.role is role]


def _load_lines(load: DeckLoad, n_loads: int) -> list[str]:
    rows = [
        (plain(item.slot), ascii(item.barcode)[1:-1], plain(item.labware), _note(item, load))
        for item in sorted(load.deck, key=lambda i: (len(i.slot), i.slot))
    ]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    lines = [f"load {load.index + 1} of {n_loads}"]
    for slot, barcode, name, note in rows:
        lines.append(f"  {slot:<{widths[0]}}  {barcode:<{widths[1]}}  {name:<{widths[2]}}  {note}")
    return [*lines, *_other_lines(load)]


def _other_lines(load: DeckLoad) -> list[str]:
    """Say what is done beside single transfers: columns at once, mixing, and every step that somebody has to see to."""
    strokes = {t.stroke for t in load.transfers if t.stroke}
    mixes = [step for step in load.steps if isinstance(step, Mix)]
    others = [step for step in load.steps if not isinstance(step, Transfer | Mix)]
    lines = [f"  {_count(len(strokes), 'column')} moved by eight channels at once"] if strokes else []
    lines += [f"  {_count(len(mixes), 'well')} mixed"] if mixes else []
    return [*lines, *(f"  step {step.step_id}: {ascii(said(step))[1:-1]}" for step in others)]


def _note(item: DeckItem, load: DeckLoad) -> str:
    if item.role is DeckRole.DESTINATION:
        n_in = sum(t.destination_plate == item.barcode for t in load.transfers)
        what = "the assay plate" if len(_barcodes(load, DeckRole.DESTINATION)) == 1 else "an assay plate"
        return f"{what}, {_count(n_in, 'transfer')} into it"
    if item.role is DeckRole.TIPS:
        n_used = len({t.tip_well for t in load.transfers if t.tip_rack == item.barcode})
        return f"{_count(n_used, 'tip')} used, from {_first_tip(load, item.barcode)} on"
    drawn = f"{_count(sum(t.source_plate == item.barcode for t in load.transfers), 'transfer')} from it"
    if item.role is DeckRole.INTERMEDIATE:
        filled = _count(sum(t.destination_plate == item.barcode for t in load.transfers), "transfer")
        return f"for dilutions, empty at first: {filled} into it, {drawn}"
    return drawn


def _count(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def _first_tip(load: DeckLoad, rack: str) -> str:
    return next((t.tip_well for t in load.transfers if t.tip_rack == rack), "A01")


def _totals(protocol: Protocol) -> list[str]:
    return [f"  {ascii(b)[1:-1]}  {microlitres(volume)} ul" for b, volume in volume_by_source(protocol).items()]
