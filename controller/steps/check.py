"""check: a protocol proven before anything moves: by the ledger, and by the vendor's own interpreter."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from controller.step import Progress
from controller.steps.data import stock_care, stock_wells, tip_racks, write_json
from nextplate.errors import PlanError
from protocols.analyze import analyze_many, compare
from protocols.decks import described_deck
from protocols.ledger import Ledger
from protocols.model import DeckRole, Protocol


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, _progress: Progress) -> dict[str, Any]:
    """Write check.json.

    Raises:
        PlanError: the ledger refuses the protocol, or the interpreter would do something else than planned.
    """
    folder = inputs["protocol"]
    protocol = Protocol.from_json((folder / "protocol.json").read_text())
    plates = {_destination(protocol): (params["labware"], round(params["well_volume_ul"] * 1000))}
    plates |= {barcode: (kind, 0) for barcode, kind in params.get("spares", {}).items()}
    here = described_deck(protocol.robot, params["deck"]) if "deck" in params else None
    after = _ledger(inputs, plates).check(protocol, here)
    python = Path(params["python"] or sys.executable)
    files = [folder / f"load-{load.index}.py" for load in protocol.loads]
    analyses = analyze_many(files, python, timeout_s=params["timeout_s"])
    problems = [
        f"load {load.index + 1}: {problem}"
        for load, analysis in zip(protocol.loads, analyses, strict=True)
        for problem in compare(analysis, protocol, load.index)
    ]
    if problems:
        shown = "\n".join(problems[:10])
        raise PlanError(f"the interpreter would not do what was planned ({len(problems)} differences):\n{shown}")
    n = len(protocol.transfers)
    tips_left = sum(len(wells) for wells in after.free_tips().values())
    write_json({"digest": protocol.digest, "n_transfers": n, "tips_left": tips_left}, out / "check.json")
    return {"n_transfers": n, "n_proven": n, "digest": protocol.digest}


def _ledger(inputs: Mapping[str, Path], plates: Mapping[str, tuple[str, int]]) -> Ledger:
    return Ledger.of(stock_wells(inputs["stock"]), tip_racks(inputs["tips"]), plates, stock_care(inputs["stock"]))


def _destination(protocol: Protocol) -> str:
    """Return the assay plate; a load that makes dilutions may not have it on its deck."""
    decks = (item for load in protocol.loads for item in load.deck)
    return next(item.barcode for item in decks if item.role is DeckRole.DESTINATION)
