"""Say in words a person understands how two protocols differ: what each well gets, where things stand, what is done."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher

from protocols.model import DeckItem, Protocol
from protocols.sentences import named, plain, said, well_on
from protocols.steps import Mix, Step, Transfer, step_body

WellKey = tuple[str, str]
_ELSEWHERE = frozenset({"step_id", "tip_rack", "tip_well"})
"""Fields of a step that are compared apart from what it does."""


def diff(a: Protocol, b: Protocol) -> tuple[str, ...]:
    """Return what is different in b, beginning with what the wells get; empty only when the protocols are equal.

    Numbers of steps are left out: a transfer is known by its wells and its liquid.
    """
    if a == b:
        return ()
    found = [
        *_liquid(a, b),
        *_other_steps(a, b),
        *_head(a, b),
        *_decks(a, b),
        *_tips_and_strokes(a, b),
        *_order(a, b),
    ]
    return tuple(found) or ("the steps are numbered or divided over the deck loads differently, and do the same",)


def _liquid(a: Protocol, b: Protocol) -> Iterator[str]:
    before, after = _by_well(a), _by_well(b)
    for key in sorted(before.keys() | after.keys()):
        yield from _well(key, before.get(key, []), after.get(key, []))


def _by_well(protocol: Protocol) -> dict[WellKey, list[Transfer]]:
    wells: dict[WellKey, list[Transfer]] = {}
    for t in protocol.transfers:
        wells.setdefault((t.destination_plate, t.destination_well), []).append(t)
    return wells


def _well(key: WellKey, before: list[Transfer], after: list[Transfer]) -> Iterator[str]:
    """Compare what one well gets: first what is of one liquid, then what is left, one for one."""
    old, new = _without_common(before, after)
    where = well_on(*key)
    for t in list(old):
        twin = next((n for n in new if n.compound_id == t.compound_id), None)
        if twin is not None:
            old.remove(t)
            new.remove(twin)
            yield from _same_liquid(where, t, twin)
    for t, other in zip(list(old), list(new), strict=False):
        old.remove(t)
        new.remove(other)
        yield f"{where} gets {_portion(other)} instead of {_portion(t)}"
    yield from (f"{where} no longer gets {_portion(t)}" for t in old)
    yield from (f"{where} gets {_portion(t)} too" for t in new)


def _without_common(before: list[Transfer], after: list[Transfer]) -> tuple[list[Transfer], list[Transfer]]:
    old, new = [], list(after)
    for t in before:
        same = next((n for n in new if _content(n) == _content(t)), None)
        if same is None:
            old.append(t)
        else:
            new.remove(same)
    return old, new


def _content(t: Transfer) -> tuple[object, ...]:
    # repr, so that two NaN are one
    return t.source_plate, t.source_well, repr(t.volume_nl), t.compound_id


def _same_liquid(where: str, old: Transfer, new: Transfer) -> Iterator[str]:
    sources = [well_on(t.source_plate, t.source_well) for t in (old, new)]
    if repr(old.volume_nl) != repr(new.volume_nl):
        yield f"{where} gets {new.volume_nl} nL instead of {old.volume_nl} nL of {named(old.compound_id)}"
    if sources[0] != sources[1]:
        yield f"{where} gets its {named(new.compound_id)} from {sources[1]} instead of {sources[0]}"


def _portion(t: Transfer) -> str:
    return f"{t.volume_nl} nL of {named(t.compound_id)}"


def _other_steps(a: Protocol, b: Protocol) -> Iterator[str]:
    old = [step for step in a.steps if not isinstance(step, Transfer)]
    new = [step for step in b.steps if not isinstance(step, Transfer)]
    matcher = SequenceMatcher(None, [_key(step) for step in old], [_key(step) for step in new], autojunk=False)
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag == "equal":
            continue
        paired = min(j - i, m - k)
        yield from (_changed(old[i + n], new[k + n]) for n in range(paired))
        yield from (f"left out: {said(step)}" for step in old[i + paired : j])
        yield from (f"added: {said(step)}" for step in new[k + paired : m])


def _key(step: Step) -> str:
    """Return all that a step does; its number and its tip are looked at elsewhere."""
    body = {name: value for name, value in step_body(step).items() if name not in _ELSEWHERE}
    return repr(sorted(body.items()))


def _changed(old: Step, new: Step) -> str:
    if (words := said(new)) != said(old):
        return f"changed: {words}, instead of: {said(old)}"
    # The sentence names the first wells of many, and cuts long names.
    before, after = step_body(old), step_body(new)
    for name in after:
        if name not in _ELSEWHERE and after[name] != before.get(name):
            return (
                f"changed: {words}: {name} {plain(_listed(after[name]))} instead of {plain(_listed(before.get(name)))}"
            )
    return f"changed: {words}"


def _listed(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _head(a: Protocol, b: Protocol) -> Iterator[str]:
    for word, old, new in (
        ("name", a.name, b.name),
        ("robot", a.robot, b.robot),
        ("pipette", a.pipette, b.pipette),
        ("mount", a.mount, b.mount),
        ("8-channel pipette", a.multichannel or "none", b.multichannel or "none"),
        ("number of deck loads", len(a.loads), len(b.loads)),
    ):
        if old != new:
            yield plain(f"the {word} is {new} instead of {old}")


def _decks(a: Protocol, b: Protocol) -> Iterator[str]:
    for number, (old, new) in enumerate(zip(a.loads, b.loads, strict=False), start=1):
        before, after = ({item.slot: item for item in load.deck} for load in (old, new))
        for slot in sorted(before.keys() | after.keys()):
            if before.get(slot) != after.get(slot):
                where = f"load {number}, slot {plain(slot)}"
                yield f"{where}: {_item(after.get(slot))} instead of {_item(before.get(slot))}"


def _item(item: DeckItem | None) -> str:
    return "nothing" if item is None else plain(f"{item.barcode} ({item.labware}, {item.role})")


def _tips_and_strokes(a: Protocol, b: Protocol) -> Iterator[str]:
    """Count transfers that are the same but for the tip, or for being made by eight channels at once."""
    pairs = list(_pairs(a.transfers, b.transfers))
    for what, changed in (
        ("with another tip", [n for o, n in pairs if (o.tip_rack, o.tip_well) != (n.tip_rack, n.tip_well)]),
        ("with other channels", [n for o, n in pairs if bool(o.stroke) != bool(n.stroke)]),
    ):
        if changed:
            first = changed[0]
            n = "1 transfer is" if len(changed) == 1 else f"{len(changed)} transfers are"
            yield f"{n} made {what}, the first into {well_on(first.destination_plate, first.destination_well)}"
    mixes = [n for o, n in _mixes(a, b) if (o.tip_rack, o.tip_well) != (n.tip_rack, n.tip_well)]
    if mixes:
        n = "1 mix is" if len(mixes) == 1 else f"{len(mixes)} mixes are"
        yield f"{n} made with another tip, the first in {well_on(mixes[0].plate, mixes[0].well)}"


def _mixes(a: Protocol, b: Protocol) -> Iterator[tuple[Mix, Mix]]:
    waiting: dict[str, list[Mix]] = {}
    for step in a.steps:
        if isinstance(step, Mix):
            waiting.setdefault(_key(step), []).append(step)
    for step in b.steps:
        if isinstance(step, Mix) and (found := waiting.get(_key(step))):
            yield found.pop(0), step


def _pairs(old: Iterable[Transfer], new: Iterable[Transfer]) -> Iterator[tuple[Transfer, Transfer]]:
    waiting: dict[object, list[Transfer]] = {}
    for t in old:
        waiting.setdefault((t.destination_plate, t.destination_well, *_content(t)), []).append(t)
    for t in new:
        if found := waiting.get((t.destination_plate, t.destination_well, *_content(t))):
            yield found.pop(0), t


def _order(a: Protocol, b: Protocol) -> Iterator[str]:
    old, new = [_moved(s) for s in a.steps], [_moved(s) for s in b.steps]
    if old != new and sorted(old) == sorted(new):
        first = _first_difference(old, new)
        yield f"the same steps are done in another order; step {first + 1} is now: {said(b.steps[first])}"


def _moved(step: Step) -> str:
    return said(step)


def _first_difference(old: Sequence[str], new: Sequence[str]) -> int:
    return next(n for n, (x, y) in enumerate(zip(old, new, strict=True)) if x != y)
