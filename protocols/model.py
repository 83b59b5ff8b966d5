"""Protocols as data: labware on a deck, and the steps done on it.

Volumes are whole nanolitres, so sums are exact and conservation can be tested for equality.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from nextplate.errors import DataError, PlanError
from protocols.steps import (
    Dispense,
    Incubate,
    Mix,
    PlateMove,
    Read,
    Seal,
    Step,
    Transfer,
    Wash,
    is_text,
    read_fields,
    read_step,
    step_body,
)

__all__ = [
    "FORMAT_VERSION",
    "DeckItem",
    "DeckLoad",
    "DeckRole",
    "Dispense",
    "Incubate",
    "Mix",
    "PlateMove",
    "Protocol",
    "Read",
    "Seal",
    "Step",
    "Transfer",
    "Wash",
    "thaws",
]

FORMAT_VERSION = 2
"""Of the JSON. What format 1 can say (single transfers between sources, one destination and tips) is written in it,
so that a protocol keeps its digest; both are read."""


class DeckRole(StrEnum):
    """What a piece of labware on the deck is for."""

    SOURCE = "source"
    DESTINATION = "destination"
    TIPS = "tips"
    INTERMEDIATE = "intermediate"
    """Filled and drawn from by the same protocol: dilutions."""


_FIRST_ROLES = frozenset({DeckRole.SOURCE, DeckRole.DESTINATION, DeckRole.TIPS})
"""Those of format 1."""


@dataclass(frozen=True, slots=True)
class DeckItem:
    """One piece of labware in one deck slot."""

    slot: str
    """Robot slot name: D1 on a Flex, 1 on an OT-2."""
    barcode: str
    labware: str
    """Opentrons load name, e.g. corning_384_wellplate_112ul_flat."""
    role: DeckRole


@dataclass(frozen=True, slots=True)
class DeckLoad:
    """A deck as the plate mover sets it, and the steps done on it before the next swap."""

    index: int
    deck: tuple[DeckItem, ...]
    steps: tuple[Step, ...]

    @property
    def transfers(self) -> tuple[Transfer, ...]:
        """Return the steps that are transfers, in order of execution."""
        return tuple(step for step in self.steps if isinstance(step, Transfer))


@dataclass(frozen=True, slots=True)
class Protocol:
    """All deck loads that make one night's plates, for one robot."""

    name: str
    robot: str
    """flex, ot2 or echo."""
    pipette: str
    """Opentrons load name of the pipette."""
    mount: str
    """left or right."""
    loads: tuple[DeckLoad, ...]
    multichannel: str = ""
    """Load name of the 8-channel pipette on the other mount, which makes the strokes; empty: there is none."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return every step in order of execution."""
        return tuple(step for load in self.loads for step in load.steps)

    @property
    def transfers(self) -> tuple[Transfer, ...]:
        """Return every transfer in order of execution."""
        return tuple(t for load in self.loads for t in load.transfers)

    @property
    def digest(self) -> str:
        """Return the sha256 of the canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Write canonical JSON: sorted keys, no spaces, one spelling per protocol."""
        return json.dumps(self._body(), sort_keys=True, separators=(",", ":"))

    def _body(self) -> dict[str, Any]:
        head = {"name": self.name, "robot": self.robot, "pipette": self.pipette, "mount": self.mount}
        if self._is_plain():
            return {"format": 1, **head, "loads": [_plain_load(load) for load in self.loads]}
        loads = [
            {"index": load.index, "deck": [asdict(i) for i in load.deck], "steps": [step_body(s) for s in load.steps]}
            for load in self.loads
        ]
        return {"format": 2, **head, "multichannel": self.multichannel, "loads": loads}

    def _is_plain(self) -> bool:
        """Tell whether format 1 can say it."""
        return not self.multichannel and all(
            all(isinstance(step, Transfer) and step.stroke == 0 for step in load.steps)
            and all(item.role in _FIRST_ROLES for item in load.deck)
            for load in self.loads
        )

    @classmethod
    def from_json(cls, text: str) -> "Protocol":
        """Read what to_json wrote, in this format or the one before.

        Raises:
            DataError: not JSON, another format version, a field missing or of the wrong type; says where.
        """
        try:
            return _read(json.loads(text, object_pairs_hook=once))
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise DataError(f"not a protocol written by nextplate: {error!r}") from error


def find_load(protocol: Protocol, load_index: int) -> DeckLoad:
    """Return a load of a protocol.

    Raises:
        PlanError: there is no such load.
    """
    for load in protocol.loads:
        if load.index == load_index:
            return load
    raise PlanError(f"protocol {protocol.name} has no load {load_index}; it has {len(protocol.loads)}, from 0")


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of JSON pairs; of a key that is there twice nobody knows which value is meant.

    Raises:
        ValueError: one is, or is no text; names it.
    """
    body: dict[str, Any] = {}
    for key, value in pairs:
        if not is_text(key):
            raise ValueError(f"{key!r:.60} is no name: half of a surrogate pair")
        if key in body:
            raise ValueError(f"{key!r:.60} twice in one object")
        body[key] = value
    return body


def thaws(protocol: Protocol) -> Iterator[frozenset[str]]:
    """Return for each load the source plates that were not on the deck in the load before it: out of the cold."""
    before: frozenset[str] = frozenset()
    for load in protocol.loads:
        now = frozenset(item.barcode for item in load.deck if item.role is DeckRole.SOURCE)
        yield now - before
        before = now


def _plain_load(load: DeckLoad) -> dict[str, Any]:
    bodies = [step_body(step) for step in load.steps]
    transfers = [{name: value for name, value in body.items() if name != "step"} for body in bodies]
    return {"index": load.index, "deck": [asdict(item) for item in load.deck], "transfers": transfers}


def _read(body: Any) -> Protocol:
    if not isinstance(body, Mapping):
        raise DataError(f"not a protocol written by nextplate: {type(body).__name__} and not an object")
    version = body["format"]
    if isinstance(version, bool) or version not in (1, FORMAT_VERSION):
        raise DataError(
            f"protocol format is {version!r:.20}, not 1 or {FORMAT_VERSION}; compile the protocol anew, or read it "
            "with the nextplate that wrote it"
        )
    loads = tuple(_read_load(item, n, "transfers" if version == 1 else "steps") for n, item in enumerate(body["loads"]))
    rest = {name: value for name, value in body.items() if name not in ("format", "loads")}
    protocol: Protocol = read_fields(Protocol, {**rest, "loads": loads}, "protocol")
    return protocol


def _read_load(body: Mapping[str, Any], number: int, steps: str) -> DeckLoad:
    where = f"load {number}"
    if unknown := sorted(set(body) - {"index", "deck", steps}):
        raise DataError(f"{where}: there is no field {', '.join(unknown)}; the fields are index, deck and {steps}")
    index = body["index"]
    if isinstance(index, bool) or not isinstance(index, int):
        raise DataError(f"{where}: index is {index!r:.20}, not a number")
    deck = tuple(_read_item(item, f"{where}, deck item {n}") for n, item in enumerate(body["deck"]))
    read = (read_step(item, f"{where}, step {n + 1}") for n, item in enumerate(body[steps]))
    return DeckLoad(index, deck, tuple(read))


def _read_item(body: Mapping[str, Any], where: str) -> DeckItem:
    try:
        role = DeckRole(body["role"])
    except ValueError as error:
        raise DataError(f"{where}: {error}; the roles are {', '.join(DeckRole)}") from error
    item: DeckItem = read_fields(DeckItem, {**body, "role": role}, where)
    return item
