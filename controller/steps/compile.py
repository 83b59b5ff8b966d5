"""compile: layout, stock and tips -> the protocol as data, rendered for the robot, with instructions for people."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from controller.step import Progress
from controller.steps.data import stock_wells, tip_racks
from nextplate.design import layout_from_csv
from nextplate.plate import Layout, Role
from protocols.compile import compile_protocol
from protocols.describe import describe
from protocols.labware import robot_deck
from protocols.model import Protocol
from protocols.render import render
from protocols.stock import StockWell


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, _progress: Progress) -> dict[str, Any]:
    """Write protocol.json, load-N.py for the robot, and instructions.txt."""
    layout = layout_from_csv(inputs["layout"])
    protocol = compile_protocol(
        layout,
        _of_the_dose(stock_wells(inputs["stock"]), layout, params),
        tip_racks(inputs["tips"]),
        robot_deck(params["robot"]),
        round(params["transfer_ul"] * 1000),
        {Role.NEGATIVE: params["negative"], Role.POSITIVE: params["positive"]},
        layout.barcode,
        destination_labware=params["labware"],
    )
    (out / "protocol.json").write_text(protocol.to_json())
    files = [f"load-{load.index}.py" for load in protocol.loads]
    for load, name in zip(protocol.loads, files, strict=True):
        (out / name).write_text(render(protocol, load.index))
    (out / "instructions.txt").write_text(describe(protocol))
    loads = [_load(protocol, k, name) for k, name in enumerate(files)]
    return {"digest": protocol.digest, "n_transfers": len(protocol.transfers), "loads": loads}


def _of_the_dose(stock: Sequence[StockWell], layout: Layout, params: Mapping[str, Any]) -> list[StockWell]:
    """Keep the control liquids, and of every compound on the plate the wells that give the dose planned for it."""
    transfer_nl, well_volume_nl = (round(params[k] * 1000) for k in ("transfer_ul", "well_volume_ul"))
    doses = {w.compound_id: w.dose_um for w in layout.by_role(Role.SAMPLE)}
    liquids = [w for w in stock if w.compound_id in (params["negative"], params["positive"])]
    samples = [w for w in stock if w.compound_id in doses and w not in liquids]
    return liquids + [w for w in samples if w.gives(doses[w.compound_id], transfer_nl, well_volume_nl)]


def _load(protocol: Protocol, index: int, file: str) -> dict[str, Any]:
    load = protocol.loads[index]
    deck = [[item.slot, item.barcode, item.role.value] for item in load.deck]
    return {"file": file, "deck": deck, "n_transfers": len(load.transfers)}
