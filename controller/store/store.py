"""The Store: append events with the rows that follow from them; read both back."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Engine, insert, select, text

from controller.store import care, queries
from controller.store.address import Address, absent, parse_address
from controller.store.engine import make_engine, reading, translated, writing
from controller.store.journal import (
    GENESIS,
    Event,
    Head,
    JournalMoved,
    JournalRow,
    NewEvent,
    RowWrite,
    StockNow,
    TipRackNow,
    check_link,
    seal,
    unseal,
)
from controller.store.projections import upsert, write_rows
from controller.store.schema import check_schema, create_schema, upgrade_schema
from controller.store.tables import JOURNAL, NOTICES
from nextplate.errors import JournalBroken, LabBusy, StoreAway, StoreError
from protocols.stock import PlateCare

_CHUNK = 5000
# Conflicts with itself and with writers, not with readers.
_LOCK_JOURNAL = text("LOCK TABLE journal IN SHARE ROW EXCLUSIVE MODE")


def open_store(url: str | Path, *, create: bool = False) -> "Store":
    """Open a lab's database; see controller.store.open_store."""
    address = parse_address(url)
    if address.path is not None and not address.path.is_file() and not create:
        raise absent(address)
    engine = make_engine(address)
    try:
        (create_schema if create else check_schema)(engine, address)
    except BaseException:
        engine.dispose()
        raise
    return Store(engine, address)


def upgrade(url: str | Path) -> tuple[str, str]:
    """Bring a database to this version's schema; see controller.store.upgrade."""
    address = parse_address(url)
    if address.path is not None and not address.path.parent.is_dir():
        raise absent(address)
    engine = make_engine(address)
    try:
        return upgrade_schema(engine, address)
    finally:
        engine.dispose()


class Store:
    """A lab's database. Close it, or use it in a ``with`` statement; it may be shared by threads."""

    def __init__(self, engine: Engine, address: Address) -> None:
        self._engine = engine
        self.address = address
        """Where it is."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of every connection."""
        with translated(self.address):
            self._engine.dispose()

    def append(
        self, events: Sequence[NewEvent], rows: Sequence[RowWrite] = (), *, expected_seq: int | None = None
    ) -> tuple[Event, ...]:
        """Write events and the rows that follow from them: all of it durably, or nothing.

        Args:
            events: at least one when there are rows.
            rows: written in this order, after the events.
            expected_seq: the seq of the last event the caller has seen (0: none); None appends after whatever
                is there, for a caller whose events do not depend on what it has read.

        Raises:
            JournalMoved: the journal has grown since ``expected_seq``; read on and decide anew.
            LabBusy: another process holds the database.
            DiskFull: there is no room; nothing was written.
            StoreError: a payload is not JSON, a row breaks a constraint or contradicts the one that is there.
        """
        if not events:
            if rows:
                raise StoreError("rows need an event they follow from")
            return ()
        with writing(self._engine, self.address) as connection:
            if not self.address.is_file:
                connection.execute(_LOCK_JOURNAL)
            head = _head(connection)
            if expected_seq is not None and head.seq != expected_seq:
                raise JournalMoved(
                    f"{self.address.shown} holds {head.seq} events and this process has seen {expected_seq}: "
                    "another process writes to this lab; stop it, then run the same command again"
                )
            sealed = _insert(connection, events, head)
            for write in rows:
                write_rows(connection, write, sealed[write.event].seq)
        return tuple(unseal(row) for row in sealed)

    def head(self) -> Head:
        """Return seq and hash of the last event; (0, GENESIS) of an empty journal."""
        with reading(self._engine, self.address) as connection:
            return _head(connection)

    def events(self, after_seq: int = 0) -> Iterator[Event]:
        """Yield the events after ``after_seq``, oldest first, as of when each few thousand are read.

        Raises:
            JournalBroken: an event cannot be read.
        """
        for row in self._journal(after_seq):
            yield unseal(row)

    def rows(self, after_seq: int = 0) -> Iterator[JournalRow]:
        """Yield the events after ``after_seq`` as the database holds them, unread and unchecked, oldest first."""
        return self._journal(after_seq)

    def verify(self, head: Head | tuple[int, str] | None = None) -> Head:
        """Check every link of the journal and return its head.

        Args:
            head: seq and hash of an event noted earlier, elsewhere: proves that nothing up to it was cut off or
                rewritten. None checks only that the chain holds together.

        Raises:
            JournalBroken: names the first event where the chain does not hold.
        """
        last, is_met = Head(0, GENESIS), head is None or tuple(head) == (0, GENESIS)
        try:
            for row in self._journal(0):
                last = check_link(row, last)
                is_met = is_met or last == head
        except (JournalBroken, LabBusy, StoreAway):
            raise
        except StoreError as error:
            raise JournalBroken(f"the journal cannot be read after event {last.seq}: {error}") from error
        if not is_met and head is not None:
            raise JournalBroken(f"journal event {head[0]} is not the one noted earlier (hash {head[1][:12]}..)")
        return last

    def select(
        self, table: str, where: Mapping[str, Any] | None = None, order_by: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Return the rows of a table.

        Args:
            table: its name.
            where: column to the value it must have; None is NULL, a list, tuple or set allows any of its values.
            order_by: columns to sort by, None last; the primary key when empty.

        Raises:
            StoreError: there is no such table or column.
        """
        with reading(self._engine, self.address) as connection:
            return queries.select_rows(connection, table, where or {}, order_by)

    def stock_now(self) -> list[StockNow]:
        """Return every source well with the volume left in it, sorted by plate and well."""
        with reading(self._engine, self.address) as connection:
            return queries.stock_now(connection)

    def plate_care(self) -> dict[str, PlateCare]:
        """Return what the plates that somebody spoke of may suffer and have suffered until now."""
        with reading(self._engine, self.address) as connection:
            return care.plate_care(connection)

    def tip_racks_now(self) -> list[TipRackNow]:
        """Return every tip rack with the tips it has given, in order of use."""
        with reading(self._engine, self.address) as connection:
            return queries.tip_racks_now(connection)

    def compounds(self, library: str) -> list[dict[str, Any]]:
        """Return the compounds of a library (its digest), in the order of its feature arrays."""
        return self.select("compounds", {"library": library}, ("row",))

    def responses(self, campaign: str) -> list[dict[str, Any]]:
        """Return every response of a campaign, by round, plate and well."""
        return self.select("responses", {"campaign": campaign})

    def post_decision(self, decision: str) -> int:
        """Leave a decision (JSON) for the loop, which may run in another process; return its number.

        It becomes part of the journal only when the loop takes it.
        """
        with writing(self._engine, self.address) as connection:
            return queries.post_decision(connection, decision)

    def waiting_decisions(self) -> list[dict[str, Any]]:
        """Return the rows of the inbox that the loop has not taken yet, oldest first."""
        return self.select("inbox", {"seq": None})

    def keep_notices(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows of the table of messages to people, replacing those that are there: all, or none."""
        if rows:
            with writing(self._engine, self.address) as connection:
                upsert(connection, NOTICES, rows)

    def last_event(self) -> Event | None:
        """Return the journal's last event; None: nothing has happened.

        Raises:
            JournalBroken: it cannot be read.
        """
        return next(self.events(max(0, self.head().seq - 1)), None)

    def _journal(self, after_seq: int) -> Iterator[JournalRow]:
        # Chunks by seq, not one long cursor: a slow reader must not hold a snapshot, which stops the WAL's
        # checkpoints; as events never change, the chunks fit together.
        query = select(JOURNAL).order_by(JOURNAL.c.seq).limit(_CHUNK)
        while True:
            with reading(self._engine, self.address) as connection:
                rows = connection.execute(query.where(JOURNAL.c.seq > after_seq)).all()
            for row in rows:
                yield JournalRow(*row)
            if len(rows) < _CHUNK:
                return
            after_seq = rows[-1].seq


def _head(connection: Connection) -> Head:
    query = select(JOURNAL.c.seq, JOURNAL.c.hash).order_by(JOURNAL.c.seq.desc()).limit(1)
    row = connection.execute(query).first()
    return Head(row.seq, row.hash) if row else Head(0, GENESIS)


def _insert(connection: Connection, events: Sequence[NewEvent], head: Head) -> list[JournalRow]:
    sealed = []
    for event in events:
        row = seal(event, head)
        sealed.append(row)
        head = Head(row.seq, row.hash)
    connection.execute(insert(JOURNAL), [row._asdict() for row in sealed])
    return sealed
