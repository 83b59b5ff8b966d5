"""Protocols as data: labware on a deck, and transfers between wells.

Volumes are whole nanolitres, so sums are exact and conservation can be tested for equality.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from nextplate.errors import DataError

FORMAT_VERSION = 1


class DeckRole(StrEnum):
    """What a piece of labware on the deck is for."""

    SOURCE = "source"
    DESTINATION = "destination"
    TIPS = "tips"


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
class Transfer:
    """Move liquid from one well to another with one fresh tip."""

    transfer_id: int
    """Unique within the protocol, counting from 1 in order of execution."""
    source_plate: str
    source_well: str
    destination_plate: str
    destination_well: str
    volume_nl: int
    tip_rack: str
    tip_well: str
    compound_id: str
    """Of the liquid moved; a control's id for controls."""


@dataclass(frozen=True, slots=True)
class DeckLoad:
    """A deck as the plate mover sets it, and the transfers done on it before the next swap."""

    index: int
    deck: tuple[DeckItem, ...]
    transfers: tuple[Transfer, ...]


@dataclass(frozen=True, slots=True)
class Protocol:
    """All deck loads that make one assay plate, for one robot."""

    name: str
    robot: str
    """flex or ot2."""
    pipette: str
    """Opentrons load name of the pipette."""
    mount: str
    """left or right."""
    loads: tuple[DeckLoad, ...]

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
        body = {"format": FORMAT_VERSION, **asdict(self)}
        return json.dumps(body, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Protocol":
        """Read what to_json wrote.

        Raises:
            DataError: not JSON, another format version, a field missing or of the wrong type.
        """
        try:
            body = json.loads(text)
            if body.pop("format") != FORMAT_VERSION:
                raise DataError(f"protocol format is not {FORMAT_VERSION}; compile the protocol anew")
            loads = tuple(_load(item) for item in body.pop("loads"))
            return cls(loads=loads, **body)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"not a protocol written by nextplate: {error!r}") from error


def _load(body: dict[str, Any]) -> DeckLoad:
    deck = tuple(DeckItem(**{**item, "role": DeckRole(item["role"])}) for item in body["deck"])
    return DeckLoad(body["index"], deck, tuple(Transfer(**t) for t in body["transfers"]))
