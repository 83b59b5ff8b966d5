"""Rows of the tables that follow from an outcome, written in the same transaction as its event.

The tables can be rebuilt from journal and step folders; they exist so that people and reports can ask questions
in SQL, and so that the stock is debited exactly once: the movement's primary key is the command's key.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from controller.state import Intent
from controller.store import RowWrite
from protocols.model import DeckRole, Protocol, Transfer

JSON = Mapping[str, Any]
Rows = list[RowWrite]
_TOP_PREDICTIONS = 500


def rows_of(
    lab: Path, campaign: str, status: str, intent: Intent, result: JSON, message: str = ""
) -> tuple[Sequence[RowWrite], JSON]:
    """Make the rows of one outcome, and the result as the journal shall keep it."""
    if intent.action.get("device"):
        return _device_rows(lab, campaign, status, intent, result, message)
    projector = _PROJECTORS.get(intent.task)
    rows = projector(lab, campaign, intent, result) if projector and status == "done" else []
    return rows, result


def campaign_row(name: str, seed: int, rounds: int, library: str, settings: JSON, started_at: str) -> RowWrite:
    """Make the row of a campaign that starts."""
    row = {"campaign": name, "seed": seed, "rounds": rounds, "library": library}
    row |= {"started_at": started_at, "settings": json.dumps(settings, sort_keys=True)}
    return RowWrite("campaigns", [row])


def _device_rows(
    lab: Path, campaign: str, status: str, intent: Intent, result: JSON, message: str
) -> tuple[Sequence[RowWrite], JSON]:
    command = intent.action["command"]
    row = {
        "key": intent.key,
        "campaign": campaign,
        "round": intent.round,
        "plate": command.get("barcode", ""),
        "device": intent.action["device"],
        "command": command["verb"],
        "protocol_digest": command.get("digest"),
        "load": command.get("load"),
        "status": status,
        "started_at": intent.time.isoformat(),
        "message": message,
    }
    rows = [RowWrite("runs", [row], mode="upsert")]
    if command["verb"] == "move":
        rows += _moves(status, intent, result)
    if command["verb"] != "run-load":
        return rows, result
    debits, kept = _debits(lab, status, intent, result)
    return rows + debits, kept


def _moves(status: str, intent: Intent, result: JSON) -> Rows:
    """Keep every move that is known to have been made; where only a person's word is known, done means all of them."""
    moves = intent.action["command"]["moves"]
    n_made = len(result["moved"]) if "moved" in result else len(moves) if status == "done" else 0
    rows = [
        {"key": intent.key, "number": number, "barcode": barcode, "source": source, "target": target}
        | {"begun_at": intent.time.isoformat()}
        for number, (barcode, source, target) in enumerate(moves[:n_made])
    ]
    return [RowWrite("plate_moves", rows, mode="upsert")] if rows else []


def _debits(lab: Path, status: str, intent: Intent, result: JSON) -> tuple[Rows, JSON]:
    """Debit stock and tips by what the handler says it moved.

    Where nobody can say (a person answered about an action of unknown fate), stock and tips are debited in full
    unless the answer was that it was not done: a well believed emptier than it is costs a compound, a well
    believed fuller costs a plate.
    """
    protocol = _protocol(lab, intent)
    planned = {t.transfer_id: t for t in protocol.loads[intent.action["command"]["load"]].transfers}
    spares = _spares(protocol)
    moved = _moved(status, planned, result)
    begun = _touched(status, planned, moved)
    drawn = {t: _drawn_nl(t, planned, moved, result) for t in begun}
    rows = [
        RowWrite(
            "stock_movements",
            [
                _movement(intent.key, planned[t], nl)
                for t, nl in drawn.items()
                if nl and planned[t].source_plate not in spares
            ],
        ),
        RowWrite("tips_used", _tips(intent.key, [planned[t] for t in begun])),
    ]
    # A load written off has debited everything and dosed nothing that anybody can vouch for.
    dosed = {} if result.get("choice") == "write-off" else moved
    short = [
        [p.destination_well, dosed.get(t, 0), p.volume_nl]
        for t, p in planned.items()
        if dosed.get(t, 0) < p.volume_nl and p.destination_plate not in spares
    ]
    kept = {**result, "short": short}
    if diluted := [_of_dilution(p, dosed.get(t, 0)) for t, p in planned.items() if spares & _plates(p)]:
        kept["diluted"] = diluted
    return [r for r in rows if r.rows], kept


def _spares(protocol: Protocol) -> frozenset[str]:
    """Return the plates that dilutions are made in: they are in no stock table, and no assay well is theirs."""
    decks = (item for load in protocol.loads for item in load.deck)
    return frozenset(item.barcode for item in decks if item.role is DeckRole.INTERMEDIATE)


def _plates(t: Transfer) -> frozenset[str]:
    return frozenset((t.source_plate, t.destination_plate))


def _of_dilution(t: Transfer, moved_nl: int) -> list[Any]:
    """Return a transfer into or out of a dilution as the journal keeps it: ends, moved and planned nanolitres."""
    return [
        t.source_plate, t.source_well, t.destination_plate, t.destination_well, moved_nl, t.volume_nl,
    ]  # fmt: skip


def _drawn_nl(t: int, planned: Mapping[int, Transfer], moved: Mapping[int, int], result: JSON) -> int:
    """Return what a transfer took from its source: as told, else what arrived, else all of it.

    The one under way when a load broke off may hang in its tip: where the handler does not tell, it counts as drawn.
    """
    told = {int(number): int(nl) for number, nl in result.get("drawn", ())}
    return told.get(t, moved.get(t, planned[t].volume_nl))


def _touched(status: str, planned: Mapping[int, Transfer], moved: Mapping[int, int]) -> list[int]:
    """List the transfers begun: those reported, and in a load that broke off the one under way, or its eight."""
    under_way = next((t for t in planned if t not in moved), None)
    if status != "failed" or not moved or under_way is None:
        return list(moved)
    stroke = planned[under_way].stroke
    return [
        *moved,
        *(t for t in planned if t == under_way or (stroke and planned[t].stroke == stroke and t not in moved)),
    ]


def _moved(status: str, planned: Mapping[int, Transfer], result: JSON) -> dict[int, int]:
    if "transfers" in result:
        return {int(t): int(nl) for t, nl in result["transfers"]}
    if "told_by" in result and not (status == "failed" and result.get("choice") == "not-done"):
        return {t: p.volume_nl for t, p in planned.items()}
    return {}


def _protocol(lab: Path, intent: Intent) -> Protocol:
    return Protocol.from_json((lab / intent.action["command"]["protocol"]).read_text())


def _movement(key: str, t: Transfer, moved_nl: int) -> dict[str, Any]:
    return {
        "key": key,
        "transfer_id": t.transfer_id,
        "plate": t.source_plate,
        "well": t.source_well,
        "delta_nl": -moved_nl,
    }


def _tips(key: str, transfers: Sequence[Transfer]) -> list[dict[str, Any]]:
    """Name every tip once, also one that stayed on; a handler without tips has none."""
    used = dict.fromkeys((t.tip_rack, t.tip_well) for t in transfers if t.tip_rack)
    return [{"rack": rack, "well": well, "key": key} for rack, well in used]


def _layout_rows(lab: Path, campaign: str, intent: Intent, result: JSON) -> Rows:
    import polars as pl

    barcode = intent.action["params"]["barcode"]
    plate = {
        "barcode": barcode,
        "campaign": campaign,
        "round": intent.round,
        "labware": f"{intent.action['params']['wells']}-well",
        "layout_digest": result["outputs"]["layout.csv"],
    }
    frame = pl.read_csv(lab / result["folder"] / "layout.csv", schema_overrides={"compound_id": pl.String})
    columns = ["well", "role", "compound_id", "replicate", "dose_um", "reason"]
    wells = [{"plate": barcode, **row} for row in frame.select(columns).to_dicts()]
    return [RowWrite("plates", [plate], mode="upsert"), RowWrite("wells", wells, mode="upsert")]


def _pick_rows(lab: Path, campaign: str, intent: Intent, result: JSON) -> Rows:
    """Keep the predictions of the picked compounds and of the most promising others."""
    import polars as pl

    source = intent.action["inputs"].get("predictions")
    if source is None:
        return []
    picked = pl.read_parquet(lab / result["folder"] / "picks.parquet")["compound_id"]
    columns = ["compound_id", "mean", "spread", "lower", "upper", "p_hit"]
    frame = pl.read_parquet(lab / source).with_columns(is_picked=pl.col("compound_id").is_in(picked.implode()))
    top = (
        frame.filter(~pl.col("is_picked")).sort("p_hit", "compound_id", descending=[True, False]).head(_TOP_PREDICTIONS)
    )
    kept = pl.concat([frame.filter(pl.col("is_picked")), top]).select(*columns, "is_picked")
    return [RowWrite("predictions", [{"campaign": campaign, "round": intent.round, **r} for r in kept.to_dicts()])]


def _measure_rows(_lab: Path, _campaign: str, intent: Intent, result: JSON) -> Rows:
    summary = result["summary"]
    row = {
        "plate": summary["plate"],
        "digest": result["key"],
        "path": result["folder"],
        "readout": intent.action["inputs"]["readout"],
        "n_wells": summary["n_wells"],
        "n_images": summary["n_images"],
    }
    return [RowWrite("measurements", [row], mode="upsert")]


def _normalise_rows(lab: Path, campaign: str, intent: Intent, result: JSON) -> Rows:
    import polars as pl

    columns = ["plate", "well", "role", "compound_id", "dose_um", "activity", "viability", "flags"]
    columns += ["is_used", "is_hit", "is_toxic"]
    frame = pl.read_parquet(lab / result["folder"] / "responses.parquet").select(columns)
    rows = [{"campaign": campaign, "round": intent.round, **r} for r in frame.fill_nan(None).to_dicts()]
    return [RowWrite("responses", rows, mode="upsert")]


_PROJECTORS: Mapping[str, Callable[[Path, str, Intent, JSON], Rows]] = {
    "layout": _layout_rows,
    "pick": _pick_rows,
    "measure": _measure_rows,
    "normalise": _normalise_rows,
    "admit": _normalise_rows,
}
