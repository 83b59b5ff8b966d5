"""Write the rows that follow from an event."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, and_, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from controller.store.journal import RowWrite
from controller.store.tables import JOURNAL, METADATA
from nextplate.errors import StoreError

Row = Mapping[str, Any]

# Rows made and sent at a time: a library of millions may be a sequence that makes its rows when asked for them.
_CHUNK = 20_000


def projected_table(name: str) -> Table:
    """Return a table that events are projected into.

    Raises:
        StoreError: there is none of that name.
    """
    table = METADATA.tables.get(name)
    if table is None or table is JOURNAL:
        names = ", ".join(sorted(set(METADATA.tables) - {JOURNAL.name}))
        raise StoreError(f"{name!r} is not a table of the store; there are {names}")
    return table


def write_rows(connection: Connection, write: RowWrite, seq: int) -> None:
    """Write rows inside the transaction of their event.

    Raises:
        StoreError: no such table or column, a NaN, or with mode ``once`` a row that says something else.
    """
    table = projected_table(write.table)
    own = {"seq": seq} if "seq" in table.c else {}  # compounds have their library's
    for start in range(0, len(write.rows), _CHUNK):
        _write_chunk(connection, table, write.mode, [{**row, **own} for row in write.rows[start : start + _CHUNK]])


def _write_chunk(connection: Connection, table: Table, mode: str, rows: list[dict[str, Any]]) -> None:
    _check_columns(table, rows)
    match mode:
        case "insert":
            connection.execute(insert(table), rows)
        case "once":
            _write_once(connection, table, rows)
        case "upsert":
            upsert(connection, table, rows)


def _check_columns(table: Table, rows: Sequence[Row]) -> None:
    names = set(rows[0])
    if unknown := names - set(table.c.keys()):
        raise StoreError(f"table {table.name} has no column {', '.join(sorted(unknown))}")
    for row in rows:
        if set(row) != names:
            raise StoreError(f"rows of one write to {table.name} differ in columns: {sorted(row)}, {sorted(names)}")
        for name, value in row.items():
            # SQLite would store NULL, PostgreSQL NaN.
            if isinstance(value, float) and math.isnan(value):
                raise StoreError(f"{table.name}.{name} is NaN in {_key_text(table, row)}; write None")


def _insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def upsert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Write rows, replacing those whose key is there already."""
    statement = _insert(connection, table)
    keys = [c.name for c in table.primary_key]
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)


def _write_once(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    keys = [c.name for c in table.primary_key]
    statement = _insert(connection, table).on_conflict_do_nothing(index_elements=keys)
    if connection.execute(statement, rows).rowcount != len(rows):
        for row in rows:
            _check_same(connection, table, row)


def _check_same(connection: Connection, table: Table, row: Row) -> None:
    names = [name for name in row if name != "seq"]
    key = and_(*(c == row[c.name] for c in table.primary_key))
    there = connection.execute(select(*(table.c[n] for n in names)).where(key)).one()
    for name, value in zip(names, there, strict=True):
        if value != row[name]:
            raise StoreError(
                f"{table.name} already has {_key_text(table, row)} with {name} {value!r}, "
                f"and now it should be {row[name]!r}; nothing was written"
            )


def _key_text(table: Table, row: Row) -> str:
    return ", ".join(f"{c.name} {row.get(c.name)!r}" for c in table.primary_key)
