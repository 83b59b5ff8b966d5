"""compile: layout, stock and tips -> the protocol as data, rendered for the robot, with instructions for people."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from controller.step import Progress
from controller.steps.data import deck, stock_wells, tip_racks
from nextplate.design import layout_from_csv
from nextplate.plate import Role
from protocols.carry_over import carry_over
from protocols.compile import Rules, TipPolicy, compile_protocol
from protocols.describe import describe
from protocols.model import Protocol
from protocols.render import render


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, _progress: Progress) -> dict[str, Any]:
    """Write protocol.json, load-N.py for the robot, and instructions.txt."""
    layout = layout_from_csv(inputs["layout"])
    protocol = compile_protocol(
        layout,
        stock_wells(inputs["stock"]),
        tip_racks(inputs["tips"]),
        deck(params),
        round(params["transfer_ul"] * 1000),
        {Role.NEGATIVE: params["negative"], Role.POSITIVE: params["positive"]},
        layout.barcode,
        destination_labware=params["labware"],
        well_volume_nl=round(params["well_volume_ul"] * 1000),
        rules=Rules(params.get("final_dmso_percent"), tip_policy=_tip_policy(params)),
    )
    (out / "protocol.json").write_text(protocol.to_json())
    files = [f"load-{load.index}.py" for load in protocol.loads]
    for load, name in zip(protocol.loads, files, strict=True):
        (out / name).write_text(render(protocol, load.index))
    (out / "instructions.txt").write_text(describe(protocol) + _carried_over(protocol))
    loads = [_load(protocol, k, name) for k, name in enumerate(files)]
    return {"digest": protocol.digest, "n_transfers": len(protocol.transfers), "loads": loads}


def _tip_policy(params: Mapping[str, Any]) -> TipPolicy:
    return TipPolicy(params.get("deck", {}).get("tip_policy", TipPolicy.FRESH))


def _carried_over(protocol: Protocol) -> str:
    """List where a tip that stays on could carry liquid over; nothing under fresh tips."""
    found = [f"  {item}" for item in carry_over(protocol)]
    return "\n".join(["possible carry-over", *found, ""]) if found else ""


def _load(protocol: Protocol, index: int, file: str) -> dict[str, Any]:
    load = protocol.loads[index]
    deck = [[item.slot, item.barcode, item.role.value] for item in load.deck]
    return {"file": file, "deck": deck, "n_transfers": len(load.transfers)}
