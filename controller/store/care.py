"""What plates may suffer and have suffered: what people said of them, and every journey out of the cold since."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from controller.store.tables import JOURNAL, PLATE_CARE, PLATE_MOVES
from protocols.evaporation import evaporated_nl
from protocols.stock import PlateCare

COLD = "hotel/"
"""Homes of source plates (drivers.ports.Move)."""


class Journey(NamedTuple):
    """One move of a plate, with the seq of the event that told of it and its number there."""

    seq: int
    number: int
    source: str
    target: str
    begun_at: datetime
    ended_at: datetime


def plate_care(connection: Connection) -> dict[str, PlateCare]:
    """Return the care of every plate that somebody spoke of, thaws since then counted in."""
    moves = _journeys(connection)
    return {row["plate"]: _care(row, _since(moves, row)) for row in _said(connection)}


def evaporated(connection: Connection) -> dict[str, int]:
    """Return by plate the most that each of its wells has lost to the air, nanolitres.

    It stands open from when it left the cold until it was back; while it is still out, that journey does not count.
    """
    moves = _journeys(connection)
    lost = {
        row["plate"]: sum(
            evaporated_nl(row["evaporation_nl_per_h"], seconds) for seconds in _open_s(_since(moves, row))
        )
        for row in _said(connection)
        if row["evaporation_nl_per_h"]
    }
    return {plate: nl for plate, nl in lost.items() if nl}


def _said(connection: Connection) -> list[Mapping[str, Any]]:
    return [dict(row) for row in connection.execute(select(PLATE_CARE)).mappings()]


def _journeys(connection: Connection) -> dict[str, list[Journey]]:
    moves = PLATE_MOVES.c
    query = select(
        moves.barcode, moves.seq, moves.number, moves.source, moves.target, moves.begun_at, JOURNAL.c.time
    ).join_from(PLATE_MOVES, JOURNAL, JOURNAL.c.seq == moves.seq)
    found: dict[str, list[Journey]] = defaultdict(list)
    for barcode, seq, number, source, target, begun_at, ended_at in connection.execute(query):
        times = datetime.fromisoformat(begun_at), datetime.fromisoformat(ended_at)
        found[barcode].append(Journey(seq, number, source, target, *times))
    return {barcode: sorted(moves) for barcode, moves in found.items()}


def _since(moves: Mapping[str, list[Journey]], row: Mapping[str, Any]) -> list[Journey]:
    return [move for move in moves.get(row["plate"], ()) if move.seq > row["seq"]]


def _care(row: Mapping[str, Any], moves: Iterable[Journey]) -> PlateCare:
    n_thaws = row["n_thaws"] + sum(move.source.startswith(COLD) for move in moves)
    expires = None if row["expires"] is None else date.fromisoformat(row["expires"])
    return PlateCare(n_thaws, row["max_thaws"], expires, row["evaporation_nl_per_h"])


def _open_s(moves: Iterable[Journey]) -> Iterator[float]:
    out: datetime | None = None
    for move in moves:
        if move.source.startswith(COLD):
            out = move.begun_at
        if move.target.startswith(COLD) and out is not None:
            yield (move.ended_at - out).total_seconds()
            out = None
