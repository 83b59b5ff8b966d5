"""propose: what a round would do, in figures a person or a policy can judge: compounds, scaffolds, liquid, tips."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from controller.step import Progress
from controller.steps.data import finite, stock_wells, write_json
from protocols.model import DeckRole, Protocol

SHOWN = 3
"""Scaffolds named in the summary; the file names all."""
_WELL = ("source_plate", "source_well")


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, _progress: Progress) -> dict[str, Any]:
    """Write proposal.json: every pick with its reason, every new scaffold, every source well; return what matters.

    The digest in the summary is that of picks, transfers and rendered files: of what an approval is about. Inputs
    ``picks-N`` are those of earlier rounds.
    """
    protocol = Protocol.from_json((inputs["protocol"] / "protocol.json").read_text(encoding="utf-8"))
    picks = pl.read_parquet(inputs["picks"])
    earlier = [pl.read_parquet(path) for name, path in sorted(inputs.items()) if name.startswith("picks-")]
    scaffolds = _scaffolds(inputs["library"], picks, earlier)
    wells = _drawn(protocol, inputs["stock"])
    rows = picks.select("compound_id", "reason", "why", "p_hit").to_dicts()
    written = {"picks": finite(rows), "new_scaffolds": dict(scaffolds["new"]), "wells": wells, "params": dict(params)}
    write_json(written, out / "proposal.json")
    return {
        "digest": _digest(written, protocol, inputs["protocol"]),
        "n_compounds": len(picks),
        "rule": params["rule"],
        "reasons": dict(sorted(Counter(picks["reason"]).items())),
        "n_scaffolds": scaffolds["n"],
        "n_new_scaffolds": len(scaffolds["new"]),
        "new_scaffolds": scaffolds["new"][:SHOWN],
        "n_wells": _n_filled(protocol),
        "n_loads": len(protocol.loads),
        "n_tips": len({(t.tip_rack, t.tip_well) for t in protocol.transfers if t.tip_rack}),
        "drawn_nl": sum(well["drawn_nl"] for well in wells),
        "sources": _by_plate(wells),
    }


def _scaffolds(library: Path, picks: pl.DataFrame, earlier: Sequence[pl.DataFrame]) -> dict[str, Any]:
    """Count the Bemis-Murcko scaffolds picked, and those never picked before, the most frequent first.

    A structure without a ring has no scaffold.
    """
    asked = pl.concat([table["compound_id"] for table in (picks, *earlier)]).unique().implode()
    table = pl.scan_parquet(library / "compounds.parquet").select("compound_id", "scaffold")
    known = table.filter(pl.col("compound_id").is_in(asked), pl.col("scaffold") != "").collect()
    by_name = dict(known.iter_rows())
    mine = Counter(by_name[name] for name in picks["compound_id"] if name in by_name)
    seen = {by_name.get(name) for table in earlier for name in table["compound_id"]}
    new = sorted(((s, n) for s, n in mine.items() if s not in seen), key=lambda item: (-item[1], item[0]))
    return {"n": len(mine), "new": [list(item) for item in new]}


def _drawn(protocol: Protocol, stock: Path) -> list[dict[str, Any]]:
    """List what is drawn from every stock well, and what is then left by the ledger; nanolitres."""
    drawn: Counter[tuple[str, str]] = Counter()
    for transfer in protocol.transfers:
        drawn[transfer.source_plate, transfer.source_well] += transfer.volume_nl
    held = {(w.source_plate, w.source_well): w for w in stock_wells(stock)}
    return [
        {
            **dict(zip(_WELL, key, strict=True)),
            "liquid": held[key].compound_id,
            "drawn_nl": volume_nl,
            "left_nl": held[key].volume_nl - volume_nl,
        }
        for key, volume_nl in sorted(drawn.items())
        if key in held  # what is drawn from a dilution was drawn from stock before
    ]


def _by_plate(wells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add up the wells of each source plate, and name the well that is left with least."""
    plates: dict[str, list[Mapping[str, Any]]] = {}
    for well in wells:
        plates.setdefault(well["source_plate"], []).append(well)
    least = {plate: min(mine, key=lambda w: (w["left_nl"], w["source_well"])) for plate, mine in plates.items()}
    return [
        {
            "plate": plate,
            "n_wells": len(mine),
            "drawn_nl": sum(w["drawn_nl"] for w in mine),
            "least_left_nl": least[plate]["left_nl"],
            "least_left_well": least[plate]["source_well"],
        }
        for plate, mine in plates.items()
    ]


def _n_filled(protocol: Protocol) -> int:
    """Count the wells of the assay plate that get anything."""
    decks = (item for load in protocol.loads for item in load.deck)
    assay = {item.barcode for item in decks if item.role is DeckRole.DESTINATION}
    return len({t.destination_well for t in protocol.transfers if t.destination_plate in assay})


def _digest(written: Mapping[str, Any], protocol: Protocol, folder: Path) -> str:
    """Seal what is approved: picks, transfers, and the files that robots are given."""
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in _rendered(folder)}
    body = {**written, "protocol": protocol.digest, "files": files}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _rendered(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(("load-", "any-load")))
