"""The tips of a vendor's file written by hand: where they come from, what they were in, where they may go."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from protocols.handwritten_books import Head, Reader, Returned, wells_named, wells_under
from protocols.handwritten_wells import padded
from protocols.problems import ProblemKind
from protocols.sentences import well_on
from protocols.tip_past import Liquid, Past, why_fresh
from protocols.volumes import WellKey

MEDIUM = frozenset({Liquid("medium")})
"""What stands in the lab's assay plates before: a tip may meet it, as in protocols of ours, and draws it for good."""

_Wrong = tuple[WellKey, WellKey, str]
"""A well, the place of the tip that goes into it, and why it may not."""


def pick_up(reader: Reader, number: int, head: Head) -> None:
    """Take tips: fresh ones, or ones that were returned, which are as dirty as they were."""
    tips = wells_under(head) if head.at else ()
    head.held, head.drawn_from, head.given_to, head.borrowed = [], set(), set(), {}
    head.tips, head.pasts, head.is_filler = tips, [], False
    for key in tips:
        past: Past | None = None
        if key not in reader.used:
            if key not in {taken for _, taken in reader.account.tips}:  # else of a rack that a person set
                reader.account.tips.append((number, key))
        elif (before := reader.used[key]) is None:
            words = f"no tip at {wells_named([key])}: the file took it before, and did not return it"
            reader.report(ProblemKind.TIP, number, words, key)
        else:
            past = before.past
            head.drawn_from |= before.drawn_from
            head.is_filler |= before.is_filler
        head.pasts.append(past)
        reader.used[key] = None


def drop(reader: Reader, number: int, head: Head, *, is_in_place: bool) -> None:
    """Throw tips away, or return them to their places."""
    liquid_nl = sum(nl for nl, wells in head.held if wells)
    if not is_in_place and head.at is not None and head.tips and wells_under(head) == head.tips:
        if liquid_nl:
            words = f"the tip of {wells_named(head.tips)} is returned with {liquid_nl} nl in it; empty it first"
            reader.report(ProblemKind.TIP, number, words, head.tips[0])
        drawn_from = frozenset(head.drawn_from)
        for key, past in zip(head.tips, head.pasts, strict=True):
            reader.used[key] = Returned(past, drawn_from, head.is_filler)
    elif liquid_nl:
        reader.account.notes.append(f"command {number}: a tip is thrown away with {liquid_nl} nl in it")
    head.held, head.tips, head.pasts = [], (), []


def set_tips(reader: Reader, number: int, params: Mapping[str, Any]) -> None:
    """Follow ``rack.reset()``: the file takes the rack as full. Tips that were thrown away, only a person brings."""
    if str(params["tipWellState"]).lower() != "clean":
        return
    rack = reader.plates[params["labwareId"]].name
    asked = [(rack, padded(well)) for well in params["wellNames"]]
    on = {key for head in reader.heads.values() for key in head.tips}
    gone = [key for key in asked if key in reader.used and reader.used[key] is None and key not in on]
    for key in gone:
        del reader.used[key]
    if not gone:
        return
    what = f"the file takes {rack} as full again (reset), and {wells_named(gone)} were used: it needs a fresh rack"
    if reader.is_attended:
        words = f"{what}; pause before it, so that somebody can set one"
        reader.report(ProblemKind.TIP, number, words, gone[0])
        return
    words = f"{what}, and nobody is there at night to set one: load a second rack, or pause before it and check it with"
    reader.report(ProblemKind.ATTENDED, number, f"{words} --attended", gone[0])


def enters_to_draw(reader: Reader, number: int, head: Head, keys: Sequence[WellKey]) -> bool:
    """Enter what the tips are wet with from a draw on; tell whether they may draw from these wells."""
    news: list[Past | None] = []
    wrong: list[_Wrong] = []
    carried: list[str] = []
    for past, key, tip in _channels(head, keys):
        there = _drawn(reader, key)
        if past is not None and (words := why_fresh(past, key, there)):
            wrong.append((key, tip, words))
        if key in reader.stock and key not in head.given_to:
            _serves(reader, key)
        before = past or Past(key, frozenset(), key, first=there)
        touched = before.touched if before.met else key
        if words := _carries(before, key, tip):
            carried.append(words)
            before = replace(before, stood_in=None)
        news.append(replace(before, source=key, drew=before.drew | there, touched=touched))
    head.pasts = news
    _refuse(reader, number, wrong)
    if not wrong:
        _note(reader, number, carried)
    return not wrong


def _carries(past: Past, key: WellKey, tip: WellKey) -> str:
    """Say what of the lab's medium a tip may bring into a well, '' for nothing."""
    if past.stood_in is None or past.stood_in == key:
        return ""
    return f"the tip of {well_on(*tip)} was in {well_on(*past.stood_in)} and goes into {well_on(*key)}"


def _note(reader: Reader, number: int, carried: Sequence[str]) -> None:
    """Note where carry-over is possible: the first of a motion, and how many are like it."""
    if carried:
        more = f" ({len(carried) - 1} more of its tips likewise)" if len(carried) > 1 else ""
        words = f"{carried[0]}: what stood there before can be carried over{more}"
        reader.account.notes.append(f"command {number}: {words}")


def _drawn(reader: Reader, key: WellKey) -> frozenset[Liquid]:
    """Return what a draw from a well brings up; where nobody says what is in it, that is like nothing else."""
    there = reader.liquids.get(key)
    return frozenset({Liquid(key)}) if there is None else there


def _serves(reader: Reader, key: WellKey) -> None:
    """Enter that a stock well serves as a source: what a used tip gave to it before was wrong."""
    reader.sources.add(key)
    if key in reader.spoiled:
        number, words = reader.spoiled.pop(key)
        reader.report(ProblemKind.TIP, number, words, key)


def enters_to_give(reader: Reader, number: int, head: Head, keys: Sequence[WellKey]) -> None:
    """Look whether tips that were in other liquid may give into wells, and enter what they meet there."""
    wrong: list[_Wrong] = []
    carried: list[str] = []
    for channel, (past, key, tip) in enumerate(_channels(head, keys)):
        if past is None:
            continue
        there = reader.liquids.get(key, frozenset())
        # A reagent that comes straight from its bottle is meant; what has been elsewhere is not.
        allowed = there if head.is_filler else there | past.first
        if key in reader.stock and (words := why_fresh(past, key, allowed)):
            wrong.append((key, tip, words))
        if head.is_over:
            continue
        if key in reader.stock and (words := _carries(past, key, tip)):
            carried.append(words)
        if met := there - past.drew - past.met - MEDIUM:
            past = replace(past, touched=key, met=past.met | met)
        head.pasts[channel] = replace(past, stood_in=key) if there >= MEDIUM else past
    head.is_filler |= reader.stock.isdisjoint(keys)
    for key, tip, words in wrong:
        if key not in reader.sources:
            reader.spoiled.setdefault(key, (number, _words(tip, words)))
    _refuse(reader, number, [found for found in wrong if found[0] in reader.sources])
    if not wrong:
        _note(reader, number, carried)


def mixed_in(reader: Reader, head: Head, keys: Sequence[WellKey]) -> None:
    """Enter into wells the liquids of the tips that gave to them."""
    for past, key, _ in _channels(head, keys):
        if past is not None:
            reader.liquids[key] = reader.liquids.get(key, frozenset()) | past.drew


def _channels(head: Head, keys: Sequence[WellKey]) -> list[tuple[Past | None, WellKey, WellKey]]:
    """Return past, well and place of each tip; of tips that nobody saw picked up, nothing is known."""
    pasts = head.pasts if len(head.pasts) == len(keys) else [None] * len(keys)
    tips = head.tips if len(head.tips) == len(keys) else (("", ""),) * len(keys)
    return list(zip(pasts, keys, tips, strict=True))


def _refuse(reader: Reader, number: int, wrong: Sequence[_Wrong]) -> None:
    """Report what a motion does wrong, once a well: the first of its wells, and how many are like it."""
    if new := [found for found in wrong if (ProblemKind.TIP, found[0]) not in reader.reported]:
        key, tip, words = new[0]
        more = f" ({len(new) - 1} more of its tips likewise)" if len(new) > 1 else ""
        reader.report(ProblemKind.TIP, number, _words(tip, words) + more, key)
        reader.reported |= {(ProblemKind.TIP, found[0]) for found in new}


def _words(tip: WellKey, words: str) -> str:
    return f"the tip of {well_on(*tip)} {words}; take a fresh tip"
