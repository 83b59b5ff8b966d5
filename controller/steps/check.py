"""check: a protocol proven before anything moves: by the ledger, and by the vendor's own interpreter."""

import sys
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from controller.step import Progress
from controller.steps.compile import ANY_LOAD, OFFSETS_FILE
from controller.steps.data import stock_care, stock_wells, tip_racks, write_json
from nextplate.errors import PlanError
from protocols.analyze import analyze_many, compare
from protocols.decks import described_deck
from protocols.labware import pipette
from protocols.ledger import Ledger
from protocols.model import DeckRole, Protocol
from protocols.offsets import read_offsets
from protocols.render import STEPS
from protocols.worklists.echo import read_echo
from protocols.worklists.names import Names
from protocols.worklists.picks import pick_of


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
    is_acoustic = pipette(protocol.pipette).is_acoustic
    problems = _list_problems(protocol, folder) if is_acoustic else _file_problems(protocol, folder, params)
    if problems:
        shown = "\n".join(problems[:10])
        who = "work list" if is_acoustic else "interpreter"
        raise PlanError(f"the {who} would not do what was planned ({len(problems)} differences):\n{shown}")
    n = len(protocol.transfers)
    tips_left = sum(len(wells) for wells in after.free_tips().values())
    write_json({"digest": protocol.digest, "n_transfers": n, "tips_left": tips_left}, out / "check.json")
    return {"n_transfers": n, "n_proven": n, "digest": protocol.digest}


def _file_problems(protocol: Protocol, folder: Path, params: Mapping[str, Any]) -> list[str]:
    """Let the vendor's own interpreter run every file, and compare."""
    python = Path(params["python"] or sys.executable)
    offsets = read_offsets(folder / OFFSETS_FILE) if (folder / OFFSETS_FILE).exists() else ()
    has_tables = (folder / ANY_LOAD).exists()
    files = [folder / (ANY_LOAD if has_tables else f"load-{load.index}.py") for load in protocol.loads]
    tables = [{STEPS: folder / f"load-{load.index}.csv"} for load in protocol.loads] if has_tables else []
    analyses = analyze_many(files, python, timeout_s=params["timeout_s"], tables=tables)
    return [
        f"load {load.index + 1}: {problem}"
        for load, analysis in zip(protocol.loads, analyses, strict=True)
        for problem in compare(analysis, protocol, load.index, offsets=offsets)
    ]


def _list_problems(protocol: Protocol, folder: Path) -> list[str]:
    """Read every work list back as the dispenser's software would, and compare: it has no interpreter to ask."""
    problems = []
    for load in protocol.loads:
        table = folder / f"load-{load.index}.names.csv"
        names = Names.from_csv(table.read_text(encoding="utf-8") if table.exists() else "")
        found = read_echo((folder / f"load-{load.index}.csv").read_bytes().decode("ascii"), names)
        for number, (seen, planned) in enumerate(zip_longest(found, map(pick_of, load.transfers)), 2):
            if seen != planned:
                problems.append(f"load {load.index + 1}, line {number}: the list says {seen}, the plan {planned}")
    return problems


def _ledger(inputs: Mapping[str, Path], plates: Mapping[str, tuple[str, int]]) -> Ledger:
    return Ledger.of(stock_wells(inputs["stock"]), tip_racks(inputs["tips"]), plates, stock_care(inputs["stock"]))


def _destination(protocol: Protocol) -> str:
    """Return the assay plate; a load that makes dilutions may not have it on its deck."""
    decks = (item for load in protocol.loads for item in load.deck)
    return next(item.barcode for item in decks if item.role is DeckRole.DESTINATION)
