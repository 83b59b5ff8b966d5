"""The store: an append-only, hash-chained journal, and tables projected from it, in SQLite or PostgreSQL.

Why so few verbs: everything that happens enters by ``Store.append``, which writes the events and the table
rows that follow from them in one transaction. So after a crash the journal and the tables agree, and whoever
holds the hash of the last event can prove that nothing before it was changed.

Importing this package costs milliseconds: SQLAlchemy (0.3 s) is loaded by ``open_store``, Alembic only where a
schema is made or upgraded, and ``read_journal`` needs neither for a SQLite lab.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from controller.store.glance import read_journal, read_untold
from controller.store.journal import (
    GENESIS,
    Event,
    Head,
    JournalMoved,
    NewEvent,
    RowWrite,
    StockNow,
    TipRackNow,
)

if TYPE_CHECKING:
    from controller.store.store import Store

__all__ = [
    "GENESIS",
    "Event",
    "Head",
    "JournalMoved",
    "NewEvent",
    "RowWrite",
    "StockNow",
    "TipRackNow",
    "open_store",
    "read_journal",
    "read_untold",
    "upgrade",
]


def open_store(url: str | Path, *, create: bool = False) -> "Store":
    """Open a lab's database.

    Args:
        url: a path or ``sqlite:///path`` for SQLite, ``postgresql+psycopg://user@host/name`` for PostgreSQL.
        create: make the file and the schema where there is none yet; False refuses an absent database.

    Raises:
        SchemaMismatch: written by another schema version, or not nextplate's; says which command upgrades it.
        LabBusy: another process holds the database.
        StoreError: absent, damaged, or out of reach.
    """
    from controller.store.store import open_store as open_it

    return open_it(url, create=create)


def upgrade(url: str | Path) -> tuple[str, str]:
    """Bring a database to this version's schema and return (revision found, revision now).

    Raises:
        SchemaMismatch: newer than this nextplate, or not nextplate's.
        StoreError: absent, damaged, busy, or out of reach.
    """
    from controller.store.store import upgrade as upgrade_it

    return upgrade_it(url)
