"""Re-derive transfers from an Opentrons analysis and compare them with the plan.

Only commands that are known here may appear: one that could move liquid in a way we do not follow is a difference.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from nextplate.errors import DataError
from nextplate.plate import parse_well, well_name
from protocols.labware import pipette, robot_deck
from protocols.model import DeckLoad, Protocol, Transfer

HARMLESS = frozenset(
    {
        "home", "comment", "loadPipette", "configureForVolume", "moveToAddressableAreaForDropTip",
        "waitForDuration", "waitForResume", "setRailLights",
    }
)  # fmt: skip
"""Commands that neither move liquid nor labware."""

MAX_DEPTH_MM = 60.0
"""Deepest a tip may go under a well's top, or highest over its bottom; deep-well plates are 41 mm."""

Command = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Spot:
    """A well of a piece of labware on the deck."""

    slot: str
    well: str
    """Zero-padded."""

    def __str__(self) -> str:
        return f"{self.well} in slot {self.slot}"


@dataclass(frozen=True, slots=True)
class SeenTransfer:
    """One pick-up, aspiration, dispense and drop, as the interpreter carried them out."""

    source: Spot
    destination: Spot
    volume_nl: float
    tip: Spot

    def __str__(self) -> str:
        return f"{self.volume_nl:g} nl from {self.source} to {self.destination} with tip {self.tip}"


@dataclass(slots=True)
class Seen:
    """Everything read from a command list."""

    deck: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Slot to (load name, label)."""
    pipettes: list[tuple[str, str]] = field(default_factory=list)
    """(engine name, mount)."""
    done: list[SeenTransfer] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What does not fit the pattern pick up, aspirate, dispense, drop."""

    @property
    def transfers(self) -> tuple[SeenTransfer, ...]:
        """Return the transfers in order."""
        return tuple(self.done)


@dataclass(slots=True)
class _Reader:
    """Follows the pipette through the commands."""

    seen: Seen
    slots: dict[str, str] = field(default_factory=dict)
    """Labware id to slot."""
    tip: Spot | None = None
    held: tuple[Spot, float] | None = None
    """Where the liquid in the tip comes from, and how much, nanolitres."""
    is_spent: bool = False
    """Whether the tip has dispensed."""


def read_commands(commands: Sequence[Command]) -> Seen:
    """Follow the commands of an analysis and return deck, pipettes, transfers and whatever does not fit."""
    reader = _Reader(Seen())
    for command in commands:
        try:
            _step(reader, command)
        except (KeyError, TypeError, ValueError, DataError) as error:
            reader.seen.problems.append(f"a {command.get('commandType')} command cannot be read: {error!r}")
    if reader.held:
        reader.seen.problems.append(f"the file ends with liquid of {reader.held[0]} in the tip")
    if reader.tip:
        reader.seen.problems.append(f"the file ends with tip {reader.tip} on the pipette")
    return reader.seen


def _step(reader: _Reader, command: Command) -> None:
    kind, params = str(command["commandType"]), command["params"]
    if command["status"] != "succeeded":
        reader.seen.problems.append(f"{kind} {command['status']}")
    elif kind == "loadLabware":
        _load(reader, params, str(command["result"]["labwareId"]))
    elif kind == "loadPipette":
        reader.seen.pipettes.append((str(params["pipetteName"]), str(params["mount"])))
    elif kind == "pickUpTip":
        _pick_up(reader, _spot(reader, params))
    elif kind == "aspirate":
        _aspirate(reader, _spot(reader, params), _volume(params))
    elif kind == "dispense":
        _dispense(reader, _spot(reader, params), _volume(params))
    elif kind == "dropTipInPlace":
        _drop(reader)
    elif kind not in HARMLESS:
        reader.seen.problems.append(f"the file does {kind}, which no plan of nextplate asks for")


def _load(reader: _Reader, params: Mapping[str, Any], labware_id: str) -> None:
    slot = str(params["location"]["slotName"])
    if slot in reader.seen.deck:
        reader.seen.problems.append(f"slot {slot} is loaded twice")
    reader.seen.deck[slot] = (str(params["loadName"]), str(params.get("displayName", "")))
    reader.slots[labware_id] = slot


def _spot(reader: _Reader, params: Mapping[str, Any]) -> Spot:
    """Return the well of a command; a place beside it, above it or under it is a problem."""
    spot = Spot(reader.slots[params["labwareId"]], well_name(*parse_well(params["wellName"])))
    location = params.get("wellLocation", {})
    offset = location.get("offset", {})
    x, y, z = (float(offset.get(axis, 0)) for axis in "xyz")
    depth = -z if location.get("origin", "top") == "top" else z
    if x or y or not 0 <= depth <= MAX_DEPTH_MM:
        reader.seen.problems.append(f"{spot}: the tip goes beside the well, offset {x:g}, {y:g}, {z:g} mm")
    return spot


def _volume(params: Mapping[str, Any]) -> float:
    """Return nanolitres; whole ones where the microlitres differ from them by rounding only."""
    volume_nl = float(params["volume"]) * 1000
    return round(volume_nl) if math.isfinite(volume_nl) and abs(volume_nl - round(volume_nl)) < 1e-6 else volume_nl


def _pick_up(reader: _Reader, spot: Spot) -> None:
    if reader.tip:
        reader.seen.problems.append(f"tip {spot} is picked up over tip {reader.tip}")
    reader.tip, reader.held, reader.is_spent = spot, None, False


def _aspirate(reader: _Reader, spot: Spot, volume_nl: float) -> None:
    if reader.held:
        reader.seen.problems.append(
            f"{volume_nl:g} nl are drawn from {spot} onto the liquid of {reader.held[0]} in the tip"
        )
        return
    if reader.is_spent:
        reader.seen.problems.append(f"{spot} is drawn from with the used tip {reader.tip}")
    reader.held = (spot, volume_nl)


def _dispense(reader: _Reader, spot: Spot, volume_nl: float) -> None:
    if reader.held is None or reader.tip is None:
        reader.seen.problems.append(f"{volume_nl:g} nl are dispensed into {spot} from an empty tip")
        return
    source, held_nl = reader.held
    if held_nl != volume_nl:
        reader.seen.problems.append(f"{volume_nl:g} nl of {held_nl:g} nl in the tip are dispensed into {spot}")
    reader.seen.done.append(SeenTransfer(source, spot, volume_nl, reader.tip))
    reader.held, reader.is_spent = None, True


def _drop(reader: _Reader) -> None:
    if reader.held:
        reader.seen.problems.append(f"tip {reader.tip} is dropped with {reader.held[1]:g} nl of {reader.held[0]} in it")
    reader.tip = reader.held = None


def compare_commands(commands: Sequence[Command], robot_type: str, protocol: Protocol, load: DeckLoad) -> list[str]:
    """Return every difference between a command list and a deck load; empty when they agree."""
    seen = read_commands(commands)
    robot = robot_deck(protocol.robot)
    problems = list(seen.problems)
    if robot_type != robot.engine_type:
        problems.append(f"the file is for robot {robot_type}, the plan for {robot.engine_type}")
    wanted = [(pipette(protocol.pipette).engine_name, protocol.mount)]
    if seen.pipettes != wanted:
        problems.append(f"the file loads pipettes {seen.pipettes}, the plan {wanted}")
    problems += _deck_differences(seen.deck, load)
    problems += _transfer_differences(seen.transfers, load)
    return problems


def _deck_differences(deck: Mapping[str, tuple[str, str]], load: DeckLoad) -> Iterator[str]:
    for item in load.deck:
        name, label = deck.get(item.slot, ("nothing", item.barcode))
        if (name, label) != (item.labware, item.barcode):
            yield f"slot {item.slot}: the file has {name} {label!r}, the plan {item.labware} {item.barcode!r}"
    for slot in sorted(set(deck) - {item.slot for item in load.deck}):
        yield f"slot {slot}: the file has {deck[slot][0]} {deck[slot][1]!r}, the plan nothing"


def _transfer_differences(seen: Sequence[SeenTransfer], load: DeckLoad) -> Iterator[str]:
    slots = {item.barcode: item.slot for item in load.deck}
    plan = [_planned(t, slots) for t in load.transfers]
    # Aligned, so that one missing transfer is one difference and not one for every transfer after it.
    matcher = SequenceMatcher(None, plan, list(seen), autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            continue
        paired = min(b - a, d - c)
        for i in range(paired):
            yield f"{_named(load.transfers[a + i])}: {_change(plan[a + i], seen[c + i])}"
        for i in range(a + paired, b):
            yield f"{_named(load.transfers[i])}: missing from the file here"
        for i in range(c + paired, d):
            yield f"the file moves {seen[i]} as its transfer number {i + 1}; the plan does not"


def _planned(t: Transfer, slots: Mapping[str, str]) -> SeenTransfer:
    return SeenTransfer(
        Spot(slots.get(t.source_plate, "none"), t.source_well),
        Spot(slots.get(t.destination_plate, "none"), t.destination_well),
        t.volume_nl,
        Spot(slots.get(t.tip_rack, "none"), t.tip_well),
    )


def _named(t: Transfer) -> str:
    where = f"{t.source_well} on {t.source_plate} to {t.destination_well} on {t.destination_plate}"
    return f"transfer {t.transfer_id} ({where}, {t.volume_nl} nl)"


def _change(plan: SeenTransfer, seen: SeenTransfer) -> str:
    parts = []
    for what, wanted, found in (
        ("source", plan.source, seen.source),
        ("destination", plan.destination, seen.destination),
        ("tip", plan.tip, seen.tip),
    ):
        if wanted != found:
            parts.append(f"{what} is {found}, planned {wanted}")
    if plan.volume_nl != seen.volume_nl:
        parts.append(f"volume is {seen.volume_nl:g} nl, planned {plan.volume_nl:g} nl")
    return "; ".join(parts)
