"""The journal as lines of JSON, one event a line, whole or of one campaign; and such a file checked again."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from controller.files import atomic_lines
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
    head, n, known = Head(0, GENESIS), 0, set[str]()
    with atomic_lines(path) as write:
        for row in rows:
            head = check_link(row, head)
            known |= {row.campaign} if row.campaign else set()
            if campaign is None or row.campaign == campaign:
                write(line_of(row))
                n += 1
        if campaign is not None and campaign not in known:
            raise DataError(f"the journal has no campaign {campaign!r} (it has: {', '.join(sorted(known)) or 'none'})")
    return Exported(n, head)


def read_export(path: Path) -> Iterator[JournalRow]:
    """Read an exported file back into rows.

    Raises:
        DataError: a line is not an event; names it.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                body = json.loads(line)
                yield JournalRow(**(body | {"payload": canonical_json(body["payload"])}))
            except (ValueError, TypeError, KeyError) as error:
                raise DataError(f"{path}:{number}: not an event of a journal ({error})") from error


def check_export(path: Path) -> Exported:
    """Check an exported file: every link of a whole journal; of one campaign, each event's own seal and their order.

    Raises:
        JournalBroken: names the first event that does not hold.
        DataError: the file is not an export.
    """
    head, n, is_whole, last = Head(0, GENESIS), 0, True, Head(0, GENESIS)
    for row in read_export(path):
        is_whole = is_whole and row.seq == n + 1
        if is_whole:
            head = check_link(row, head)
        elif event_hash(row.previous_hash, row.seq, row.time, row.kind, row.campaign, row.payload) != row.hash:
            raise JournalBroken(f"journal event {row.seq} ({row.kind}) was changed after it was written")
        elif row.seq <= last.seq or (row.seq == last.seq + 1 and row.previous_hash != last.hash):
            raise JournalBroken(f"journal event {row.seq} does not follow event {last.seq}: the chain is cut there")
        last, n = Head(row.seq, row.hash), n + 1
    return Exported(n, last)
