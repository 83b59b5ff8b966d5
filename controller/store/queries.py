"""Questions to the tables. Results are sorted here, as databases differ in how they order text."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Table, and_, cast, func, insert, select

from controller.store.care import evaporated
from controller.store.journal import StockNow, TipRackNow
from controller.store.projections import projected_table
from controller.store.tables import INBOX, STOCK, STOCK_MOVEMENTS, TIP_RACKS, TIPS_USED
from nextplate.errors import StoreError


def select_rows(
    connection: Connection, name: str, where: Mapping[str, Any], order_by: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the rows of a table; see Store.select."""
    table = projected_table(name)
    if unknown := (set(where) | set(order_by)) - set(table.c.keys()):
        raise StoreError(f"table {name} has no column {', '.join(sorted(unknown))}")
    query = select(table).where(*(_condition(table, c, v) for c, v in where.items()))
    rows = [dict(row) for row in connection.execute(query).mappings()]
    keys = tuple(order_by) or tuple(c.name for c in table.primary_key)
    # (is None, value): None sorts last and is never compared.
    return sorted(rows, key=lambda row: [(row[k] is None, row[k] if row[k] is not None else 0) for k in keys])


def _condition(table: Table, name: str, value: Any) -> ColumnElement[bool]:
    column = table.c[name]
    if value is None:
        return column.is_(None)
    if isinstance(value, list | tuple | set | frozenset):
        return column.in_(value)
    is_equal: ColumnElement[bool] = column == value
    return is_equal


def stock_now(connection: Connection) -> list[StockNow]:
    """Return what is left in every source well: the volume it came with plus every movement, less what dried up."""
    moved = (
        # PostgreSQL sums bigints into numeric.
        select(STOCK_MOVEMENTS.c.plate, STOCK_MOVEMENTS.c.well, func.sum(STOCK_MOVEMENTS.c.delta_nl).label("nl"))
        .group_by(STOCK_MOVEMENTS.c.plate, STOCK_MOVEMENTS.c.well)
        .subquery()
    )
    volume = cast(STOCK.c.initial_volume_nl + func.coalesce(moved.c.nl, 0), BigInteger)
    here = and_(moved.c.plate == STOCK.c.source_plate, moved.c.well == STOCK.c.source_well)
    query = select(
        STOCK.c.source_plate, STOCK.c.source_well, STOCK.c.compound_id, volume, STOCK.c.concentration_um,
        STOCK.c.labware,
    ).join_from(STOCK, moved, here, isouter=True)  # fmt: skip
    lost = evaporated(connection)
    return sorted(_dried(StockNow(*row), lost) for row in connection.execute(query))


def _dried(well: StockNow, lost: Mapping[str, int]) -> StockNow:
    """Return a well without what its plate may have lost to the air."""
    nl = lost.get(well.source_plate, 0)
    return well._replace(volume_nl=max(0, well.volume_nl - nl)) if nl else well


def tip_racks_now(connection: Connection) -> list[TipRackNow]:
    """Return every tip rack and the tips it has given."""
    used: dict[str, list[str]] = defaultdict(list)
    for rack, well in connection.execute(select(TIPS_USED.c.rack, TIPS_USED.c.well)):
        used[rack].append(well)
    racks = connection.execute(select(TIP_RACKS.c.barcode, TIP_RACKS.c.labware, TIP_RACKS.c.position))
    found = [TipRackNow(*row, tuple(sorted(used[row.barcode]))) for row in racks]
    return sorted(found, key=lambda rack: rack.position)


def post_decision(connection: Connection, decision: str) -> int:
    """Put a decision into the inbox and return its number."""
    (number,) = connection.execute(insert(INBOX).values(decision=decision).returning(INBOX.c.id)).one()
    return int(number)
