"""Find the first event of a journal that was changed, and, as far as the hashes tell, what was changed in it.

An event's hash seals previous_hash, seq, time, kind, campaign and payload. Where it does not hold, each column is
tried in turn: set to what its neighbours, the other events or the kinds suggest, does the seal hold again? Then
that column was changed, and what stood there is known. The next event's previous_hash tells a changed hash from
changed facts. What no trial restores is narrowed down by elimination.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from controller.store.journal import GENESIS, Head, JournalRow, check_link, event_hash
from nextplate.errors import JournalBroken


@dataclass(frozen=True, slots=True)
class Finding:
    """What an autopsy found."""

    head: Head
    """The last event up to which the chain holds."""
    seq: int | None
    """The first event that is wrong, by its place in the chain; None: the chain holds."""
    what: str
    """What does not hold; "" when all does."""
    columns: tuple[str, ...]
    """Columns that were changed, or may have been; empty when an event is missing or all holds."""
    was: str | None
    """What stood there; None: not known."""

    @property
    def is_intact(self) -> bool:
        """Tell whether the chain holds."""
        return self.seq is None


@dataclass(frozen=True, slots=True)
class _Chain:
    """What is known around a broken event."""

    head: Head
    row: JournalRow
    following: JournalRow | None
    campaigns: Sequence[str | None]
    kinds: Sequence[str]


def examine(rows: Iterable[JournalRow]) -> Finding:
    """Check rows from the first."""
    head, seen, all_rows = Head(0, GENESIS), set[tuple[str, str | None]](), iter(rows)
    for row in all_rows:
        try:
            head = check_link(row, head)
        except JournalBroken as error:
            following = next(all_rows, None)
            seen |= {(r.kind, r.campaign) for r in (following, *all_rows) if r is not None}
            campaigns = sorted({c for _, c in seen if isinstance(c, str)})
            kinds = sorted({k for k, _ in seen if isinstance(k, str)})
            return _diagnosed(_Chain(head, row, following, (None, *campaigns), kinds), str(error))
        seen.add((row.kind, row.campaign))
    return Finding(head, None, "", (), None)


def _diagnosed(chain: _Chain, error: str) -> Finding:
    head, row = chain.head, chain.row
    expected = head.seq + 1
    if row.seq != expected and row.previous_hash != head.hash:
        return Finding(head, expected, f"{error}; whoever removed it left the rest", (), None)
    for column, was in _trials(chain):
        if _seals(row, head, column, was):
            shown = f"{was!r}" if was is None or len(str(was)) < 200 else f"{str(was)[:200]!r}.."
            said = f"its {column} was changed: it was {shown}"
            return Finding(head, expected, f"journal event {expected}: {said}", (column,), None if was is None else was)
    if chain.following is not None and chain.following.previous_hash == _own_hash(row):
        return Finding(head, expected, f"journal event {expected}: its hash was changed", ("hash",), _own_hash(row))
    columns = _suspects(chain)
    said = f"its {' or '.join(columns)} was changed; what it was is not known"
    return Finding(head, expected, f"journal event {expected} ({row.kind}): {said}", columns, None)


def _own_hash(row: JournalRow) -> str:
    return event_hash(row.previous_hash, row.seq, row.time, row.kind, row.campaign, row.payload)


def _trials(chain: _Chain) -> Iterator[tuple[str, str | None]]:
    """Yield what each column may have held."""
    yield "seq", str(chain.head.seq + 1)
    yield "previous_hash", chain.head.hash
    yield from (("campaign", name) for name in chain.campaigns)
    if chain.following is not None:
        yield "campaign", chain.following.campaign
        yield "time", chain.following.time
    yield from (("kind", kind) for kind in chain.kinds)
    if (canonical := _canonical(chain.row.payload)) is not None:
        yield "payload", canonical  # only its spelling was changed


def _seals(row: JournalRow, head: Head, column: str, was: str | None) -> bool:
    """Tell whether an event holds with another value in one column, and follows the one before."""
    tried = JournalRow(**(row._asdict() | {column: int(was or 0) if column == "seq" else was}))
    try:
        check_link(tried, head)
    except (JournalBroken, UnicodeEncodeError, TypeError):
        return False
    return tried != row


def _suspects(chain: _Chain) -> tuple[str, ...]:
    """Name the columns that may have been changed: one that nextplate never writes so is enough by itself."""
    row = chain.row
    wrong = tuple(name for name, is_wrong in (
        ("seq", row.seq != chain.head.seq + 1),
        ("previous_hash", row.previous_hash != chain.head.hash),
        ("time", not _is_a_time(row.time)),
        ("kind", row.kind not in chain.kinds),
        ("payload", _canonical(row.payload) != row.payload),
    ) if is_wrong)  # fmt: skip
    if wrong:
        return wrong
    last = chain.following is None
    return ("time", "campaign", "payload", "hash") if last else ("time", "campaign", "payload")


def _is_a_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).isoformat(timespec="microseconds") == text
    except (TypeError, ValueError):
        return False


def _canonical(payload: str) -> str | None:
    try:
        return json.dumps(json.loads(payload), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError):
        return None
