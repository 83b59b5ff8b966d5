"""check: a protocol proven before anything moves: by the ledger, and by the vendor's own interpreter."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from controller.step import Progress
from controller.steps.data import stock_wells, tip_racks, write_json
from nextplate.errors import PlanError
from protocols.analyze import analyze_many, compare
from protocols.ledger import Ledger
from protocols.model import Protocol


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, _progress: Progress) -> dict[str, Any]:
    """Write check.json.

    Raises:
        PlanError: the ledger refuses the protocol, or the interpreter would do something else than planned.
    """
    folder = inputs["protocol"]
    protocol = Protocol.from_json((folder / "protocol.json").read_text())
    ledger = Ledger.from_stock(stock_wells(inputs["stock"]), tip_racks(inputs["tips"]))
    well_nl = round(params["well_volume_ul"] * 1000)
    after = ledger.with_plate(protocol.transfers[0].destination_plate, params["labware"], well_nl).check(protocol)
    python = Path(params["python"] or sys.executable)
    analyses = analyze_many([folder / f"load-{load.index}.py" for load in protocol.loads], python)
    problems = [
        f"load {load.index + 1}: {problem}"
        for load, analysis in zip(protocol.loads, analyses, strict=True)
        for problem in compare(analysis, protocol, load.index)
    ]
    if problems:
        shown = "\n".join(problems[:10])
        raise PlanError(f"the interpreter would not do what was planned ({len(problems)} differences):\n{shown}")
    n = len(protocol.transfers)
    write_json({"digest": protocol.digest, "n_transfers": n, "tips_left": after.n_tips}, out / "check.json")
    return {"n_transfers": n, "n_proven": n, "digest": protocol.digest}
