"""Where plates belong, and the moves that turn the deck as it stands into the deck that is wanted."""

from collections.abc import Collection, Sequence

from controller.state import LabState
from drivers.ports import Move

WASTE = "waste"
"""Where used plates for dilutions end."""


def set_deck(
    state: LabState, deck: Sequence[tuple[str, str, str]], spares: Collection[str] = frozenset()
) -> tuple[Move, ...]:
    """Plan the moves for a deck given as (slot, barcode, role): first what is in the way, then what is missing.

    Args:
        state: of the lab.
        deck: as it shall be.
        spares: plates for dilutions that the protocol still needs; others that stand there are used up.
    """
    wanted = {f"deck/{slot}": barcode for slot, barcode, _role in deck}
    roles = {barcode: role for _slot, barcode, role in deck}
    standing = on_deck(state)
    in_the_way = sorted((p, b) for p, b in standing.items() if wanted.get(p) != b)
    away = tuple(Move(b, p, home_of(state, b) if b in spares else _away(state, b)) for p, b in in_the_way)
    missing = sorted((p, b) for p, b in wanted.items() if standing.get(p) != b)
    return away + tuple(Move(b, _source(state, b, roles[b]), p) for p, b in missing)


def clear_deck(state: LabState, assay_plate: str, target: str) -> tuple[Move, ...]:
    """Plan the moves that empty the deck: the assay plate to ``target``, dilutions to the waste, the rest home."""
    standing = sorted(on_deck(state).items())
    from_deck = tuple(Move(b, p, target if b == assay_plate else _away(state, b)) for p, b in standing)
    # A plate for dilutions that was carried home between two loads is used up as well.
    homes = sorted((b, f"hotel/{b}") for b in state.spares)
    return from_deck + tuple(Move(b, home, WASTE) for b, home in homes if state.places.get(b) == home)


def on_deck(state: LabState) -> dict[str, str]:
    """Tell what stands where on the deck: place -> barcode."""
    return {place: barcode for barcode, place in state.places.items() if place.startswith("deck/")}


def home_of(state: LabState, barcode: str) -> str:
    """Tell where a plate on the deck belongs: assay plates to the done stack, all else to its home."""
    if barcode in state.spares:
        return f"hotel/{barcode}"
    for outcome in state.outcomes.values():
        for load in outcome.result.get("summary", {}).get("loads", ()):
            for _slot, item, role in load["deck"]:
                if item == barcode:
                    return "stack/done" if role == "destination" else _home(role, barcode)
    return "stack/done"


def _away(state: LabState, barcode: str) -> str:
    return WASTE if barcode in state.spares else home_of(state, barcode)


def _source(state: LabState, barcode: str, role: str) -> str:
    """Tell where a plate is fetched: a new assay plate from its stack, all else from home (cleared to it first)."""
    is_new = role == "destination" and barcode not in state.places
    return "stack/new" if is_new else home_of(state, barcode)


def _home(role: str, barcode: str) -> str:
    return f"tips/{barcode}" if role == "tips" else f"hotel/{barcode}"
