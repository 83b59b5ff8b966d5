"""The journal as lines of JSON, one event a line, whole or of one campaign; and such a file checked again.

The first line is a header: which campaign, how many events, how the whole journal ended, and a seal: a hash chained
over every event in the file. So an event that was taken out of it is missed, also where the events of other campaigns
between were left out from the start.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.files import atomic_file
from controller.store.journal import (
    GENESIS,
    Head,
    JournalRow,
    canonical_json,
    check_link,
    event_hash,
)
from nextplate.errors import DataError, JournalBroken


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    n_events: int
    head: Head
    """Of the whole journal, also where one campaign was exported."""
    seal: str
    """Of every event in the file, in their order; noted elsewhere it proves that the file is still the same."""
    campaign: str | None = None
    """The only one in the file; None: all are."""


FORMAT = "nextplate-journal-2"
_ROOM = 512
"""Bytes of the header line beside the campaign's name: it is known in full only when all else is written."""


def line_of(row: JournalRow) -> str:
    """Write an event; its payload is JSON in JSON, so that the line can be read by anything."""
    body = row._asdict() | {"payload": json.loads(row.payload)}
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


def export_journal(rows: Iterable[JournalRow], path: Path, campaign: str | None = None) -> Exported:
    """Write a journal to a file that is whole or absent, checking the chain on the way.

    Args:
        rows: from the first.
        path: of the file.
        campaign: its events alone; None: all.

    Raises:
        JournalBroken: the chain does not hold; nothing is written.
        DataError: the journal has no such campaign; nothing is written.
        DiskFull: no room; nothing is written.
    """
    head, n, known, seal = Head(0, GENESIS), 0, set[str](), _seal("", campaign or "")
    room = _ROOM + len(json.dumps(campaign))
    with atomic_file(path) as file:
        file.write(b" " * room + b"\n")
        for row in rows:
            head = check_link(row, head)
            known |= {row.campaign} if row.campaign else set()
            if campaign is None or row.campaign == campaign:
                file.write(line_of(row).encode() + b"\n")
                n, seal = n + 1, _seal(seal, row.hash)
        if campaign is not None and campaign not in known:
            raise DataError(f"the journal has no campaign {campaign!r} (it has: {', '.join(sorted(known)) or 'none'})")
        made = Exported(n, head, seal, campaign)
        file.seek(0)
        file.write(json.dumps(_header(made)).encode().ljust(room))
    return made


def _seal(before: str, more: str) -> str:
    return hashlib.sha256(f"{FORMAT} {before} {more}".encode()).hexdigest()


def _header(made: Exported) -> dict[str, Any]:
    journal = {"journal_seq": made.head.seq, "journal_hash": made.head.hash}
    return {"format": FORMAT, "campaign": made.campaign, "events": made.n_events, **journal, "seal": made.seal}


def read_export(path: Path) -> tuple[Exported | None, Iterator[JournalRow]]:
    """Read an exported file back: what its header promises, and the rows.

    Returns:
        (None, rows) for a file of before there were headers.

    Raises:
        DataError: a line is not an event; names it.
    """
    with path.open(encoding="utf-8") as file:
        promised = _promise(path, file.readline())
    return promised, _rows(path, 0 if promised is None else 1)


def _promise(path: Path, line: str) -> Exported | None:
    try:
        body = json.loads(line)
        if "format" not in body:
            return None
        if body["format"] != FORMAT:
            raise DataError(f"{path}:1: this nextplate reads {FORMAT}, and the file is {body['format']!r}")
        head = Head(int(body["journal_seq"]), str(body["journal_hash"]))
        return Exported(int(body["events"]), head, str(body["seal"]), body["campaign"])
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}:1: not the header or an event of a journal ({error})") from error


def _rows(path: Path, n_before: int) -> Iterator[JournalRow]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if number <= n_before:
                continue
            try:
                body: Mapping[str, Any] = json.loads(line)
                yield JournalRow(**{**body, "payload": canonical_json(body["payload"])})
            except (ValueError, TypeError, KeyError) as error:
                raise DataError(f"{path}:{number}: not an event of a journal ({error})") from error


def check_export(path: Path, noted: Head | None = None) -> Exported:
    """Check an exported file: every link of a whole journal; of one campaign, each event, their order and the seal.

    Args:
        path: of the file.
        noted: number and (the beginning of) the hash of an event noted elsewhere, which has to be there.

    Raises:
        JournalBroken: names the first event that does not hold, or says how many are gone.
        DataError: the file is not an export.
    """
    promised, rows = read_export(path)
    is_whole = promised is None or promised.campaign is None
    last, n, seal = Head(0, GENESIS), 0, _seal("", (promised.campaign if promised else None) or "")
    is_noted = noted is None
    for row in rows:
        last = check_link(row, last) if is_whole else _follows(row, last, promised.campaign if promised else None)
        n, seal = n + 1, _seal(seal, row.hash)
        is_noted = is_noted or (noted is not None and row.seq == noted.seq and row.hash.startswith(noted.hash))
    found = Exported(n, last, seal) if promised is None else promised
    _compare(found, Exported(n, last if is_whole else found.head, seal, found.campaign))
    if noted is not None and not (is_noted or (found.head.seq, found.head.hash[: len(noted.hash)]) == tuple(noted)):
        raise JournalBroken(f"event {noted.seq}, noted earlier, is not in {path} as it was noted")
    return found


def _follows(row: JournalRow, last: Head, campaign: str | None) -> Head:
    """Check an event of a file from which those between were left out."""
    if event_hash(row.previous_hash, row.seq, row.time, row.kind, row.campaign, row.payload) != row.hash:
        raise JournalBroken(f"journal event {row.seq} ({row.kind}) was changed after it was written")
    if row.seq <= last.seq or (row.seq == last.seq + 1 and row.previous_hash != last.hash):
        raise JournalBroken(f"journal event {row.seq} does not follow event {last.seq}: the chain is cut there")
    if row.campaign != campaign:
        raise JournalBroken(
            f"journal event {row.seq} is not of campaign {campaign!r}, of which this file is said to be"
        )
    return Head(row.seq, row.hash)


def _compare(promised: Exported, found: Exported) -> None:
    if found.n_events != promised.n_events:
        raise JournalBroken(f"the file has {found.n_events} events, and its header promises {promised.n_events}")
    if found.head != promised.head:
        raise JournalBroken(f"the file ends with event {found.head.seq}, and its header promises {promised.head.seq}")
    if found.seal != promised.seal:
        raise JournalBroken("the events are not those that its header seals: some were taken out, or exchanged")
