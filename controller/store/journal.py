"""Events, their canonical form and their hash chain; no SQL here.

An event's hash is the sha256 of two lines: the canonical JSON of [previous_hash, seq, time, kind, campaign] and
the canonical JSON of the payload, both exactly as stored. Canonical: keys sorted, no spaces, ASCII only,
floats as Python's repr writes them (the shortest decimal that reads back as the same double), times in UTC with
microseconds. So one history has one hash on every database and machine, and verifying needs no parsing.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from nextplate.errors import JournalBroken, LabBusy, StoreError

GENESIS = "0" * 64
"""The previous_hash of the first event."""


class JournalMoved(LabBusy):
    """Somebody else appended to the journal since the caller read it; nothing was written."""


class Head(NamedTuple):
    """The last event of a journal; (0, GENESIS) while it is empty."""

    seq: int
    hash: str


class StockNow(NamedTuple):
    """A source well and what is left in it by every confirmed transfer."""

    source_plate: str
    source_well: str
    compound_id: str
    volume_nl: int
    concentration_um: float
    labware: str


class TipRackNow(NamedTuple):
    """A tip rack and the tips it has given."""

    barcode: str
    labware: str
    position: int
    """Racks are emptied in this order."""
    used: tuple[str, ...]
    """Wells of the tips that are gone, sorted."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something that happened, not yet in the journal."""

    kind: str
    time: datetime
    """With tzinfo; stored in UTC."""
    campaign: str | None
    """None: it concerns the lab, not one campaign."""
    payload: Mapping[str, Any]
    """JSON values only: no NaN, no infinity, no numpy types; tuples become lists."""


@dataclass(frozen=True, slots=True)
class Event:
    """An entry of the journal."""

    seq: int
    """Counts from 1 without gaps."""
    time: datetime
    """UTC."""
    kind: str
    campaign: str | None
    payload: Mapping[str, Any]
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class RowWrite:
    """Rows of one projected table, written in the transaction of the events they follow from."""

    table: str
    rows: Sequence[Mapping[str, Any]]
    """Column to value, the same columns in each; ``seq`` is filled in by the store."""
    mode: Literal["insert", "once", "upsert"] = "insert"
    """insert: a row that is there already is an error. once: it is left alone, but must say the same.
    upsert: it is replaced."""
    event: int = 0
    """Which of the events appended together the rows follow from; gives them their ``seq``."""


class JournalRow(NamedTuple):
    """An event as the database holds it."""

    seq: int
    time: str
    kind: str
    campaign: str | None
    payload: str
    previous_hash: str
    hash: str


def canonical_json(value: Any, where: str = "payload") -> str:
    """Write the one spelling of a JSON value.

    Raises:
        StoreError: the value holds something that JSON cannot say; names the place.
    """
    _check_json(value, where)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _check_json(value: Any, where: str) -> None:
    if value is None or isinstance(value, str | bool | int):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise StoreError(f"{where} is {value!r}, which JSON cannot say; write None for a value not known")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise StoreError(f"{where} has the key {key!r}; JSON keys are text")
            _check_json(item, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            _check_json(item, f"{where}[{i}]")
    else:
        raise StoreError(f"{where} is a {type(value).__name__}; the journal holds JSON values only")


def canonical_time(time: datetime) -> str:
    """Write a time in UTC with microseconds.

    Raises:
        StoreError: the time has no zone.
    """
    if time.tzinfo is None:
        raise StoreError(f"the time {time.isoformat()} has no zone; events are stamped in UTC")
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def event_hash(previous_hash: str, seq: int, time: str, kind: str, campaign: str | None, payload: str) -> str:
    """Return the sha256 that seals an event, of its fields as stored."""
    head = json.dumps([previous_hash, seq, time, kind, campaign], separators=(",", ":"))
    return hashlib.sha256(f"{head}\n{payload}".encode()).hexdigest()


def seal(event: NewEvent, previous: Head) -> JournalRow:
    """Give a new event its place in the chain.

    Raises:
        StoreError: its kind, campaign, time or payload cannot be stored.
    """
    for name, text in (("kind", event.kind), ("campaign", event.campaign)):
        if text is not None and not (text and text.isprintable()):
            raise StoreError(f"an event cannot have the {name} {text!r}; use a printable word")
    time, payload = canonical_time(event.time), canonical_json(dict(event.payload), f"{event.kind}: payload")
    seq = previous.seq + 1
    digest = event_hash(previous.hash, seq, time, event.kind, event.campaign, payload)
    return JournalRow(seq, time, event.kind, event.campaign, payload, previous.hash, digest)


def unseal(row: JournalRow) -> Event:
    """Read a stored event.

    Raises:
        JournalBroken: its time or payload is not what nextplate writes.
    """
    seq, time, kind, campaign, payload, previous_hash, digest = row
    try:
        stamp, facts = datetime.fromisoformat(time), _facts(payload)
    except (TypeError, ValueError) as error:
        raise JournalBroken(f"journal event {seq} is damaged and cannot be read: {error}") from error
    return Event(seq, stamp, kind, campaign, facts, previous_hash, digest)


_DECODE = json.JSONDecoder().raw_decode


def _facts(payload: str) -> Any:
    """Read a payload; as stored it has no space around it, which json.loads looks for at twice the cost."""
    facts, end = _DECODE(payload)
    return facts if end == len(payload) else json.loads(payload)


def check_link(row: JournalRow, previous: Head) -> Head:
    """Check that a stored event follows the one before, unchanged, and return the new head.

    Raises:
        JournalBroken: names the event and what does not hold.
    """
    texts = (row.time, row.kind, row.payload, row.previous_hash, row.hash)
    if row.seq != previous.seq + 1:
        raise JournalBroken(f"journal event {previous.seq + 1} is missing: event {row.seq} follows {previous.seq}")
    if not all(isinstance(t, str) for t in texts) or not isinstance(row.campaign, str | None):
        raise JournalBroken(f"journal event {row.seq} is damaged: a field is not text")
    if row.previous_hash != previous.hash:
        raise JournalBroken(f"journal event {row.seq} does not follow event {previous.seq}: the chain is cut there")
    if event_hash(row.previous_hash, row.seq, row.time, row.kind, row.campaign, row.payload) != row.hash:
        raise JournalBroken(f"journal event {row.seq} ({row.kind}) was changed after it was written")
    return Head(row.seq, row.hash)
