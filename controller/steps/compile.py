"""compile: layout, stock and tips -> the protocol as data, rendered for the robot, with instructions for people."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from controller.step import Progress
from controller.steps.data import deck, stock_wells, tip_racks, write_json
from nextplate.design import layout_from_csv
from nextplate.errors import PlanError
from nextplate.plate import Role
from protocols.carry_over import carry_over
from protocols.compile import Rules, Spare, TipPolicy, compile_protocol
from protocols.describe import describe
from protocols.labware import pipette
from protocols.model import DeckRole, Protocol
from protocols.offsets import Offset, read_offsets
from protocols.render import render, render_for_csv
from protocols.render_csv import steps_csv
from protocols.worklists.echo import write_echo


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, _progress: Progress) -> dict[str, Any]:
    """Write protocol.json, load-N.py for the robot, and instructions.txt."""
    protocol = _protocol(inputs, params)
    (out / "protocol.json").write_text(protocol.to_json())
    files = _rendered(protocol, params, _offsets(inputs, out), out)
    (out / "instructions.txt").write_text(describe(protocol) + _carried_over(protocol))
    loads = [_load(protocol, k, name, has_table=_has_tables(params)) for k, name in enumerate(files)]
    told = {"digest": protocol.digest, "n_transfers": len(protocol.transfers), "loads": loads}
    diluted = _dilution_plates(protocol)
    told |= {"dilution_plates": diluted} if diluted else {}
    return told | ({"offsets": OFFSETS_FILE} if "offsets" in inputs else {})


OFFSETS_FILE = "offsets.json"
ANY_LOAD = "any-load.py"
"""The one file of a lab whose steps come as tables."""


def _has_tables(params: Mapping[str, Any]) -> bool:
    return bool(params.get("tables"))


def _offsets(inputs: Mapping[str, Path], out: Path) -> tuple[Offset, ...]:
    """Read the operator's labware offsets and keep them as they were read, for the run; none where there are none."""
    if "offsets" not in inputs:
        return ()
    offsets = read_offsets(inputs["offsets"])
    write_json([asdict(offset) for offset in offsets], out / OFFSETS_FILE)
    return offsets


def _rendered(protocol: Protocol, params: Mapping[str, Any], offsets: Sequence[Offset], out: Path) -> list[str]:
    """Write the file of each deck load, for the robot or its own software; return their names."""
    if pipette(protocol.pipette).is_acoustic:
        return _lists(protocol, out)
    if _has_tables(params):
        (out / ANY_LOAD).write_text(render_for_csv(protocol, offsets=_on_deck(protocol, offsets)))
        for load in protocol.loads:
            (out / f"load-{load.index}.csv").write_text(steps_csv(protocol, load.index))
        return [ANY_LOAD] * len(protocol.loads)
    files = [f"load-{load.index}.py" for load in protocol.loads]
    for load, name in zip(protocol.loads, files, strict=True):
        (out / name).write_text(render(protocol, load.index, offsets=offsets))
    return files


def _on_deck(protocol: Protocol, offsets: Sequence[Offset]) -> list[Offset]:
    """Return the offsets of labware that some load has in their slot."""
    places = {(item.labware, item.slot) for load in protocol.loads for item in load.deck}
    return [offset for offset in offsets if (offset.labware, offset.slot) in places]


def _lists(protocol: Protocol, out: Path) -> list[str]:
    files = [f"load-{load.index}.csv" for load in protocol.loads]
    for load, name in zip(protocol.loads, files, strict=True):
        written = write_echo(protocol, load.index)
        (out / name).write_bytes(written.text.encode("ascii"))
        if table := written.names.to_csv():
            (out / f"load-{load.index}.names.csv").write_bytes(table.encode("ascii"))
    return files


def _protocol(inputs: Mapping[str, Path], params: Mapping[str, Any]) -> Protocol:
    """Compile.

    Raises:
        PlanError: it cannot be done; where plates for dilutions are missing, how many.
    """
    spares = params.get("spares", ())
    try:
        return _compiled(inputs, params, spares)
    except PlanError as error:
        if "spares" not in params:
            raise
        # Was it only for want of plates? Then these could be named; if not, the same error is raised again.
        more = [f"{_WANTED}{n}" for n in range(_MOST_SPARES)]
        needed = _dilution_plates(_compiled(inputs, params, (*spares, *more)))
        missing = sum(barcode.startswith(_WANTED) for barcode in needed)
        if not missing:
            raise
        raise _too_few(params, needed, missing) from error


def _too_few(params: Mapping[str, Any], needed: Sequence[str], missing: int) -> PlanError:
    spares = params["spares"]
    there = f"{len(spares)} ({', '.join(spares)})" if spares else "none"
    return PlanError(
        f"doses under the pipette's minimum need {len(needed)} empty {params['dilution']} to be diluted in, and there "
        f"is {there}: put {missing} more into the hotel, type nextplate spares add {missing}, then answer retry"
    )


_WANTED = "wanted-spare-"
_MOST_SPARES = 8


def _compiled(inputs: Mapping[str, Path], params: Mapping[str, Any], spares: Sequence[str]) -> Protocol:
    layout = layout_from_csv(inputs["layout"])
    plates = tuple(Spare(barcode, params["dilution"]) for barcode in spares)
    return compile_protocol(
        layout,
        stock_wells(inputs["stock"]),
        tip_racks(inputs["tips"]),
        deck(params),
        round(params["transfer_ul"] * 1000),
        {Role.NEGATIVE: params["negative"], Role.POSITIVE: params["positive"]},
        layout.barcode,
        destination_labware=params["labware"],
        well_volume_nl=round(params["well_volume_ul"] * 1000),
        rules=Rules(params.get("final_dmso_percent"), tip_policy=_tip_policy(params), spares=plates),
    )


def _dilution_plates(protocol: Protocol) -> list[str]:
    """Return the plates that dilutions are made in, in the order of their first use."""
    decks = (item for load in protocol.loads for item in load.deck)
    return list(dict.fromkeys(item.barcode for item in decks if item.role is DeckRole.INTERMEDIATE))


def _tip_policy(params: Mapping[str, Any]) -> TipPolicy:
    return TipPolicy(params.get("deck", {}).get("tip_policy", TipPolicy.FRESH))


def _carried_over(protocol: Protocol) -> str:
    """List where a tip that stays on could carry liquid over; nothing under fresh tips."""
    found = [f"  {item}" for item in carry_over(protocol)]
    return "\n".join(["possible carry-over", *found, ""]) if found else ""


def _load(protocol: Protocol, index: int, file: str, *, has_table: bool) -> dict[str, Any]:
    load = protocol.loads[index]
    deck = [[item.slot, item.barcode, item.role.value] for item in load.deck]
    told = {"file": file, "deck": deck, "n_transfers": len(load.transfers)}
    return told | ({"table": f"load-{index}.csv"} if has_table else {})
