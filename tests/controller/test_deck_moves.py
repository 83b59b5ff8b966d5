"""The moves of a deck load: what is in the way, what is missing, and where plates for dilutions go."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from controller.deck import clear_deck, set_deck
from controller.state import LabState, fold
from drivers.ports import Move

NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)
KIND = "corning_96_wellplate_360ul_flat"


@dataclass(frozen=True)
class Told:
    kind: str
    payload: dict[str, Any]
    time: datetime = NOW
    campaign: str | None = "first"


def state_after(*moves: Sequence[tuple[str, str, str]]) -> LabState:
    """A lab with two plates for dilutions, in which these commands of the mover were done."""
    events = [Told("spares.added", {"plates": ["DIL-0001", "DIL-0002"], "labware": KIND})]
    for n, made in enumerate(moves):
        key = f"first.r0.deck-{n}"
        command = {"verb": "move", "moves": [list(move) for move in made]}
        action = {"device": "plate-mover", "command": command}
        events.append(Told("intent", {"key": key, "task": f"deck-{n}", "round": 0, "action": action}))
        done = {"key": key, "status": "done", "result": {"moved": [barcode for barcode, _, _ in made]}, "message": ""}
        events.append(Told("outcome", done))
    return fold(events)


ON = ("DIL-0001", "hotel/DIL-0001", "deck/C2")


def test_a_plate_for_dilutions_is_free_until_it_moves() -> None:
    assert state_after().free_spares(KIND) == ("DIL-0001", "DIL-0002")
    assert state_after([ON]).free_spares(KIND) == ("DIL-0002",)
    assert state_after([ON], [("DIL-0001", "deck/C2", "waste")]).free_spares(KIND) == ("DIL-0002",)
    assert state_after().free_spares("another_kind") == ()


def test_it_comes_from_the_hotel_and_waits_there_between_two_loads() -> None:
    deck = [("C2", "DIL-0001", "intermediate")]
    assert set_deck(state_after(), deck, ["DIL-0001"]) == (Move("DIL-0001", "hotel/DIL-0001", "deck/C2"),)
    away = set_deck(state_after([ON]), [("C2", "NP-0001", "destination")], ["DIL-0001"])
    assert away == (Move("DIL-0001", "deck/C2", "hotel/DIL-0001"), Move("NP-0001", "stack/new", "deck/C2"))
    waiting = state_after([ON], [("DIL-0001", "deck/C2", "hotel/DIL-0001")])
    assert set_deck(waiting, deck, ["DIL-0001"]) == (Move("DIL-0001", "hotel/DIL-0001", "deck/C2"),)


def test_used_up_it_goes_to_the_waste_wherever_it_stands() -> None:
    assert clear_deck(state_after([ON]), "NP-0001", "incubator") == (Move("DIL-0001", "deck/C2", "waste"),)
    waiting = state_after([ON], [("DIL-0001", "deck/C2", "hotel/DIL-0001")])
    assert clear_deck(waiting, "NP-0001", "incubator") == (Move("DIL-0001", "hotel/DIL-0001", "waste"),)
    gone = state_after([ON], [("DIL-0001", "deck/C2", "waste")])
    assert clear_deck(gone, "NP-0001", "incubator") == ()


def test_one_that_a_lost_round_left_behind_makes_room() -> None:
    left = state_after([ON])
    moves = set_deck(left, [("C2", "DIL-0002", "intermediate")], ["DIL-0002"])
    assert moves == (Move("DIL-0001", "deck/C2", "waste"), Move("DIL-0002", "hotel/DIL-0002", "deck/C2"))
