"""Rows of the tables that follow from an outcome, written in the same transaction as its event.

The tables can be rebuilt from journal and step folders; they exist so that people and reports can ask questions
in SQL, and so that the stock is debited exactly once: the movement's primary key is the command's key.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from controller.state import Intent
from controller.store import RowWrite
from nextplate.errors import DataError
from protocols.model import DeckLoad, DeckRole, Protocol, Transfer
from protocols.moved import Meaning, meaning
from protocols.outcome import Outcome
from protocols.volumes import NOTHING

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
    debits, kept = _debits(status, _protocol(lab, intent), command["load"], intent.key, result, message)
    return rows + debits, kept


def _moves(status: str, intent: Intent, result: JSON) -> Rows:
    """Keep every move that is known to have been made; where only a person's word is known, done means all of them."""
    moves = intent.action["command"]["moves"]
    moved = result.get("moved", [barcode for barcode, _, _ in moves] if status == "done" else [])
    # a device tells its moves in their order, and may have moved one plate twice; a person says which plates arrived
    made = [n for n, m in enumerate(moves) if m[0] in moved] if "told_by" in result else list(range(len(moved)))
    rows = [
        {"key": intent.key, "number": number, "barcode": barcode, "source": source, "target": target}
        | {"begun_at": intent.time.isoformat()}
        for number, (barcode, source, target) in enumerate(moves)
        if number in made
    ]
    return [RowWrite("plate_moves", rows, mode="upsert")] if rows else []


def _debits(status: str, protocol: Protocol, index: int, key: str, result: JSON, message: str) -> tuple[Rows, JSON]:
    """Debit stock and tips by what the handler's report means (protocols.moved.meaning).

    The upper end of what may have been drawn is booked, and the lower end of what may have arrived counts as dosed: a
    well believed emptier than it is costs a compound, a well believed fuller costs a plate. Where nobody can say (a
    person answered about an action of unknown fate), that is everything drawn and nothing dosed.
    """
    load = protocol.loads[index]
    outcome, trouble = _outcome(status, load, result, message)
    found, spares = meaning(load, outcome), _spares(protocol)
    dosed = {t: found.arrived.get(t.transfer_id, NOTHING).low_nl for t in load.transfers}
    rows = [
        RowWrite("stock_movements", list(_movements(key, load, found, spares))),
        RowWrite("tips_used", [{"rack": rack, "well": well, "key": key} for rack, well in found.tips]),
    ]
    short = [
        [t.destination_well, nl, t.volume_nl]
        for t, nl in dosed.items()
        if nl < t.volume_nl and t.destination_plate not in spares
    ]
    kept = {**result, **trouble, "short": short}
    if diluted := [_of_dilution(t, nl) for t, nl in dosed.items() if spares & _plates(t)]:
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


def _outcome(status: str, load: DeckLoad, result: JSON, message: str) -> tuple[Outcome, JSON]:
    """Return what is known of a load: by its report, or by a person's word where no device could tell."""
    if "told_by" in result and "transfers" not in result:
        if result.get("choice") == "done":
            return Outcome.whole(load), {}
        if result.get("choice") == "not-done":
            return Outcome({}, is_begun=False), {}
        return Outcome.of("unknown", {}, load), {}
    try:
        return Outcome.of(status, result, load, message), {}
    except DataError as error:
        # Whatever a report that cannot be read wanted to say, it may have drawn everything.
        return Outcome.of("unknown", {}, load), {"unreadable": str(error)}


def _movements(key: str, load: DeckLoad, found: Meaning, spares: frozenset[str]) -> Iterator[dict[str, Any]]:
    """Make a row of each draw from a stock well; dilutions and plates of cells are no stock."""
    roles = {item.barcode: item.role for item in load.deck}
    transfers = {t.transfer_id for t in load.transfers}
    for (number, (plate, well)), drawn in found.drawn.items():
        # A dispenser's own bottle stands on no deck, and nobody has registered it.
        is_stock = roles.get(plate, DeckRole.SOURCE if number in transfers else None) is DeckRole.SOURCE
        if is_stock and plate not in spares and drawn.high_nl:
            yield {"key": key, "transfer_id": number, "plate": plate, "well": well, "delta_nl": -drawn.high_nl}


def _protocol(lab: Path, intent: Intent) -> Protocol:
    return Protocol.from_json((lab / intent.action["command"]["protocol"]).read_text(encoding="utf-8"))


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
