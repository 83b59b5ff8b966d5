"""A journal of any length made of a real night's events: the same kinds, payloads and order, round after round."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from controller.store import Event, NewEvent, open_store
from controller.store.journal import Head, seal
from controller.store.tables import JOURNAL

_BATCH = 5000


def long_events(night: Sequence[Event], n: int) -> Iterator[NewEvent]:
    """Yield ``n`` events: what was registered, the campaign's start, then its first round over and over.

    Each repetition has its own round number, keys and times, so the folded state grows as a real one does.
    """
    head = [e for e in night if e.kind in ("library.added", "stock.added", "tips.added", "campaign.started")]
    body = [e for e in night if _round(e) == 0]
    for event in head:
        yield NewEvent(event.kind, event.time, event.campaign, event.payload)
    texts = [(e, json.dumps(dict(e.payload))) for e in body]
    began, number, left = body[0].time, 0, n - len(head)
    while left > 0:
        shift = timedelta(hours=36) * number
        for event, text in texts[:left]:
            payload: Mapping[str, Any] = json.loads(text.replace(".r0.", f".r{number}."))
            payload = payload | {"round": number} if "round" in payload else payload
            yield NewEvent(event.kind, began + (event.time - began) + shift, event.campaign, payload)
        left -= len(texts)
        number += 1


def _round(event: Event) -> int | None:
    if "round" in event.payload:
        return int(event.payload["round"])
    key = str(event.payload.get("key", ""))
    return int(key.split(".r")[1].split(".")[0]) if ".r" in key else None


def write_long(path: Path, events: Iterator[NewEvent]) -> Head:
    """Seal events and write them, a few thousand a transaction; the tables that follow from them stay empty."""
    with open_store(path, create=True) as store:
        head, batch = store.head(), list[dict[str, Any]]()
        for event in events:
            row = seal(replace(event), head)
            head = Head(row.seq, row.hash)
            batch.append(row._asdict())
            if len(batch) == _BATCH:
                _flush(store, batch)
        _flush(store, batch)
    return head


def _flush(store: Any, batch: list[dict[str, Any]]) -> None:
    if batch:
        with store._engine.begin() as connection:
            connection.execute(insert(JOURNAL), batch)
        batch.clear()
