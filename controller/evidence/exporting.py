"""The journal as lines of JSON, one event a line, whole or of one campaign; and such a file checked again.

Of an event that is left out, number and hash stand in its place, so the chain can be walked from the first event to the
last. The closing line tells how many events are in the file, where the journal ended, and the sha256 of all lines; what
was cut off or changed is missed. Who rewrites that line too, to make an event pass as left out, is found out by the
number of events alone, which `export` prints: note it with the head.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from controller.files import atomic_file
from controller.store.journal import GENESIS, Head, JournalRow, canonical_json, check_link
from nextplate.errors import DataError, JournalBroken


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    n_events: int
    head: Head
    """Of the whole journal, also where one campaign was exported."""
    campaign: str | None = None
    """Whose events alone are in it; None: all."""
    n_left_out: int = 0


class LeftOut(NamedTuple):
    """An event of another campaign, as an export of one holds it."""

    seq: int
    hash: str


def line_of(row: JournalRow) -> str:
    """Write an event; its payload is JSON in JSON, so that the line can be read by anything."""
    return _line(row._asdict() | {"payload": json.loads(row.payload)})


@dataclass(slots=True)
class Tally:
    """What the closing line of an export tells: counted line by line."""

    n_events: int = 0
    n_lines: int = 0
    head: Head = field(default_factory=lambda: Head(0, GENESIS))
    _digest: Any = field(default_factory=hashlib.sha256)

    def add(self, line: str, head: Head, *, is_in: bool = True) -> None:
        """Count a line, of an event that is in the export or of one that is left out."""
        self.n_events, self.n_lines, self.head = self.n_events + is_in, self.n_lines + 1, head
        self._digest.update(line.encode() + b"\n")

    def said(self) -> dict[str, Any]:
        """Return it as JSON values."""
        body = {"events": self.n_events, "seq": self.head.seq, "hash": self.head.hash}
        return body | {"sha256": self._digest.hexdigest()}

    def line(self, campaign: str | None = None) -> str:
        """Write the closing line."""
        return _line({"campaign": campaign, "closing": self.said()})


def _line(body: Any) -> str:
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
    tally, known = Tally(), set[str]()
    with atomic_file(path) as file:
        for row in rows:
            head = check_link(row, tally.head)
            known |= {row.campaign} if row.campaign else set()
            is_in = campaign is None or row.campaign == campaign
            line = line_of(row) if is_in else _line(LeftOut(*head)._asdict())
            tally.add(line, head, is_in=is_in)
            file.write(f"{line}\n".encode())
        if campaign is not None and campaign not in known:
            raise DataError(f"the journal has no campaign {campaign!r} (it has: {', '.join(sorted(known)) or 'none'})")
        file.write(f"{tally.line(campaign)}\n".encode())
    return Exported(tally.n_events, tally.head, campaign, tally.n_lines - tally.n_events)


def read_export(path: Path) -> Iterator[JournalRow]:
    """Read the events of an exported file back into rows, unchecked.

    Raises:
        DataError: a line is not an event; names it.
    """
    return (one for _, one in _read(path) if isinstance(one, JournalRow))


@dataclass(frozen=True, slots=True)
class _Closing:
    """The last line of an export."""

    campaign: str | None
    said: dict[str, Any]


_Entry = JournalRow | LeftOut | _Closing


def _read(path: Path) -> Iterator[tuple[str, _Entry]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield line.rstrip("\n"), _entry(json.loads(line))
            except (ValueError, TypeError, KeyError) as error:
                raise DataError(f"{path}:{number}: not an event of a journal ({error})") from error


def _entry(body: dict[str, Any]) -> _Entry:
    if "closing" in body:
        return _Closing(body["campaign"], dict(body["closing"]))
    if body.keys() == {"seq", "hash"}:
        return LeftOut(int(body["seq"]), str(body["hash"]))
    return JournalRow(**(body | {"payload": canonical_json(body["payload"])}))


@dataclass(slots=True)
class _Walk:
    """Goes along the chain of an export."""

    tally: Tally = field(default_factory=Tally)
    campaigns: set[str | None] = field(default_factory=set)
    closing: _Closing | None = None

    def step(self, line: str, one: _Entry) -> None:
        """Take a line.

        Raises:
            JournalBroken: it does not follow the one before.
        """
        last = self.tally.head
        if self.closing is not None:
            raise JournalBroken("the file goes on after its closing line: something was added")
        if isinstance(one, _Closing):
            self.closing = one
        elif isinstance(one, JournalRow):
            self.tally.add(line, check_link(one, last))
            self.campaigns.add(one.campaign)
        elif one.seq != last.seq + 1:
            raise JournalBroken(f"journal event {last.seq + 1} is missing: event {one.seq} follows {last.seq}")
        else:
            self.tally.add(line, Head(*one), is_in=False)

    def ended(self) -> Exported:
        """Return what the file holds.

        Raises:
            JournalBroken: that is not what its closing line says.
        """
        here, closing = self.tally.said(), self.closing
        if closing is None:
            why = "its end was cut off, or an older nextplate wrote it, which is then to export it again"
            raise JournalBroken(f"the file has no closing line after event {here['seq']}: {why}")
        wrong = [
            f"{name} {closing.said.get(name)}, not {is_}" for name, is_ in here.items() if closing.said.get(name) != is_
        ]
        if wrong:
            raise JournalBroken(f"events were removed or changed: the closing line says {'; '.join(wrong)}")
        n_left, others = self.tally.n_lines - self.tally.n_events, self.campaigns - {closing.campaign}
        if closing.campaign is None and n_left:
            raise JournalBroken(f"{n_left} events are left out of the export of a whole journal")
        if closing.campaign is not None and others:
            raise JournalBroken(f"an export of campaign {closing.campaign} holds events of {others.pop() or 'none'}")
        return Exported(self.tally.n_events, self.tally.head, closing.campaign, n_left)


def check_export(path: Path, noted: tuple[int, str] | None = None) -> Exported:
    """Check an exported file: every event's seal, every link of the chain, and that none was taken out.

    Args:
        path: the file.
        noted: number of an event and its hash, or the hash's beginning, noted earlier; None: none was.

    Raises:
        JournalBroken: names the first event that does not hold, or is missing.
        DataError: the file is not an export.
    """
    walk, is_noted = _Walk(), noted is None
    for line, one in _read(path):
        walk.step(line, one)
        seq, digest = walk.tally.head
        is_noted = is_noted or (noted is not None and noted[0] == seq and digest.startswith(noted[1]))
    done = walk.ended()
    if noted is not None and not is_noted:
        raise JournalBroken(f"journal event {noted[0]} of this file is not the one noted earlier, or is gone")
    return done
