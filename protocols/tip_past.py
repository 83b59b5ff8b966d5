"""The one rule for a tip that goes into a well again: for protocols of ours, and for files written by hand."""

from collections.abc import Hashable
from dataclasses import dataclass, field

from protocols.sentences import named, well_on
from protocols.volumes import WellKey


@dataclass(frozen=True, slots=True)
class Liquid:
    """A liquid that a tip can carry from one well into another."""

    identity: Hashable
    """Of two of one identity nobody minds that they mix; one compound stands in several wells at several strengths."""
    name: str = field(default="", compare=False)
    """For people; empty: it has none."""


@dataclass(frozen=True, slots=True)
class Past:
    """Where a tip that is on has been."""

    source: WellKey
    """What it drew from, or mixed, last."""
    drew: frozenset[Liquid]
    touched: WellKey
    """The well in which it met other liquid, else the one it was in last."""
    met: frozenset[Liquid] = frozenset()
    """What else it stood in, that may not come into a source."""
    first: frozenset[Liquid] = frozenset()
    """What it drew first, of a file written by hand: what it was taken for."""
    stood_in: WellKey | None = None
    """Well of a file written by hand in which it met the lab's medium since it drew; None: none."""


def why_fresh(past: Past, well: WellKey, there: frozenset[Liquid], what: str = "") -> str:
    """Say why a tip may not go into a well again, '' when it may.

    Args:
        past: of the tip.
        well: that it goes into.
        there: liquids that this well holds.
        what: is wanted of it, for people; empty: the well's name.
    """
    if drew := _names(past.drew - there, "liquid"):
        return f"drew {drew} from {well_on(*past.source)} and is used again for {what or well_on(*well)}"
    if past.touched != well and (met := _names(past.met - there, "other liquid")):
        return f"met {met} in {well_on(*past.touched)} and goes back into {well_on(*well)}"
    return ""


def _names(liquids: frozenset[Liquid], else_: str) -> str:
    return ", ".join(sorted({named(liquid.name) or else_ for liquid in liquids}))
