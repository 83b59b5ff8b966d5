"""The id chain of an event: campaign, round, plate, task, key. Pure, in one pass over the journal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.store import Event

JSON = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Chain:
    """What an event belongs to; None: to none, or to more than one."""

    campaign: str | None = None
    round: int | None = None
    """Counting from 0, as the journal does."""
    plate: str | None = None
    task: str | None = None
    key: str | None = None
    device: str | None = None
    """Kind of the device; None of a computing step."""


@dataclass(slots=True)
class Chains:
    """Knows the chain of every key it has heard of."""

    _keys: dict[str, Chain] = field(default_factory=dict)
    _plates: dict[tuple[str | None, int | None], str] = field(default_factory=dict)

    def hear(self, event: Event) -> None:
        """Learn from an event; hear them in order."""
        if event.kind != "intent":
            return
        p = event.payload
        night = (event.campaign, p["round"])
        if p["task"] == "layout":
            self._plates[night] = p["action"]["params"]["barcode"]
        device = p["action"].get("device")
        self._keys[p["key"]] = Chain(event.campaign, p["round"], None, p["task"], p["key"], device)

    def of(self, event: Event) -> Chain:
        """Return an event's chain, as far as was heard."""
        p = event.payload
        key = p.get("key", p.get("fault"))
        found = self._keys.get(key) if isinstance(key, str) else None
        if found is None:
            found = Chain(event.campaign, p.get("round"), None, p.get("task"), key if isinstance(key, str) else None)
        plate = self._plates.get((found.campaign, found.round))
        return Chain(found.campaign, found.round, plate, found.task, found.key, found.device)
