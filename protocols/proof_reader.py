"""Re-derive what an Opentrons protocol file does from the command list of its analysis.

Only commands that are known here may appear: one that could move liquid in a way we do not follow is a problem.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nextplate.errors import DataError
from nextplate.plate import parse_well, well_name
from protocols.judge_strokes import N_CHANNELS
from protocols.labware import PIPETTES, Pipette
from protocols.seen import SeenMix, SeenMove, SeenStep, SeenTransfer, SeenWait, Spot, joined

HARMLESS = frozenset(
    {
        "home", "comment", "moveToAddressableAreaForDropTip", "reloadLabware", "setRailLights",
    }
)  # fmt: skip
"""Commands that neither move liquid nor labware; offsets, which reloadLabware applies, are compared as a list."""

PAUSES = frozenset({"waitForResume", "pause"})
"""Commands at which the robot stands still until somebody presses a button: ``pause`` is the older name."""

MAX_DEPTH_MM = 60.0
"""Deepest a tip may go under a well's top, or highest over its bottom; deep-well plates are 41 mm."""

HEIGHT_MM = 1.0
"""Over the bottom of a well: where a file that does not say otherwise draws and gives."""
_NEAR_MM = 0.05
_NEAR_FLOW = 0.02
"""By which share a flow rate may differ from its default."""

Command = Mapping[str, Any]


@dataclass(slots=True)
class Seen:
    """Everything read from a command list."""

    deck: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Slot to (load name, label), as loaded."""
    pipettes: list[tuple[str, str]] = field(default_factory=list)
    """(engine name, mount)."""
    done: list[SeenStep] = field(default_factory=list)
    """In order."""
    problems: list[str] = field(default_factory=list)
    """What does not fit the pattern pick up, aspirate, dispense, drop."""

    @property
    def transfers(self) -> tuple[SeenTransfer, ...]:
        """Return the transfers in order, eight for a stroke."""
        return tuple(step for step in self.done if isinstance(step, SeenTransfer))


@dataclass(slots=True)
class _Head:
    """A pipette, and what is on it; with eight channels the first stands for all."""

    tool: Pipette | None
    n_channels: int
    tips: tuple[Spot, ...] = ()
    held: tuple[tuple[Spot, ...], float] | None = None
    """Where the liquid in the tips comes from, and how much, nanolitres."""
    is_fresh: bool = False
    """Whether the tip has not moved liquid yet."""
    is_low: bool = False
    """Whether the pipette is in its mode for small volumes."""


@dataclass(slots=True)
class _Reader:
    """Follows the pipettes through the commands."""

    seen: Seen
    slots: dict[str, str] = field(default_factory=dict)
    """Labware id to the slot it stands in now."""
    columns: dict[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    """Labware id to its wells, column by column, as the vendor's definition has them."""
    wells: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Labware id to its wells' definitions, which hold the depth."""
    heads: dict[str, _Head] = field(default_factory=dict)
    done: list[SeenStep] = field(default_factory=list)


def read_commands(commands: Sequence[Command]) -> Seen:
    """Follow the commands of an analysis and return deck, pipettes, steps and whatever does not fit."""
    reader = _Reader(Seen())
    for command in commands:
        try:
            _step(reader, command)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, DataError) as error:
            kind = command.get("commandType") if isinstance(command, Mapping) else command
            reader.seen.problems.append(f"a {kind!s:.60} command cannot be read: {error!r:.100}")
    for head in reader.heads.values():
        if head.held:
            reader.seen.problems.append(f"the file ends with liquid of {head.held[0][0]} in the tip")
        if head.tips:
            reader.seen.problems.append(f"the file ends with tip {head.tips[0]} on the pipette")
    reader.seen.done = [step for step, _ in joined((step, "") for step in reader.done)]
    return reader.seen


def _step(reader: _Reader, command: Command) -> None:
    kind, params = str(command["commandType"]), command["params"]
    if command["status"] != "succeeded":
        reader.seen.problems.append(f"{kind} {command['status']}")
        return
    match kind:
        case "loadLabware":
            _load(reader, params, command["result"])
        case "loadPipette":
            _load_pipette(reader, params, command["result"])
        case "configureForVolume":
            _configure(reader, reader.heads[params["pipetteId"]], _volume(params))
        case "pickUpTip":
            _pick_up(reader, reader.heads[params["pipetteId"]], _spots(reader, params))
        case "aspirate":
            spots = _spots(reader, params)
            _check_manner(reader, params, spots[0], is_draw=True)
            _aspirate(reader, reader.heads[params["pipetteId"]], spots, _volume(params))
        case "dispense":
            spots = _spots(reader, params)
            _check_manner(reader, params, spots[0], is_draw=False)
            _dispense(reader, reader.heads[params["pipetteId"]], spots, _volume(params))
        case "dropTipInPlace":
            _drop(reader, reader.heads[params["pipetteId"]])
        case "waitForDuration":
            reader.done.append(SeenWait(_finite(params["seconds"])))
        case "moveLabware":
            _carry(reader, params)
        case _ if kind in PAUSES:
            reader.seen.problems.append(_paused(reader, params))
        case _ if kind not in HARMLESS:
            reader.seen.problems.append(f"the file does {kind}, which no plan of nextplate asks for")


def _paused(reader: _Reader, params: Mapping[str, Any]) -> str:
    """Say where a file waits for a person."""
    n, last = len(reader.done), f": it {reader.done[-1]}" if reader.done else ""
    where = f"after step {n}{last}" if n else "before its first step"
    return f"{where}, the file pauses {said_by(params)}and waits for a person; nobody is there at night: take it out"


def said_by(params: Mapping[str, Any]) -> str:
    """Quote what a pause tells the person it waits for, with a blank after it; nothing where it tells nothing."""
    message = params.get("message")
    return f"({str(message)[:80]!r}) " if message else ""


def _load(reader: _Reader, params: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    slot, labware_id = _slot_of(params["location"]), str(result["labwareId"])
    if slot in reader.seen.deck:
        reader.seen.problems.append(f"slot {slot} is loaded twice")
    reader.seen.deck[slot] = (str(params["loadName"]), str(params.get("displayName", "")))
    reader.slots[labware_id] = slot
    reader.columns[labware_id] = result["definition"]["ordering"]
    reader.wells[labware_id] = result["definition"].get("wells", {})


def _slot_of(location: Mapping[str, Any]) -> str:
    return str(location["slotName"] if "slotName" in location else location["addressableAreaName"])


def _load_pipette(reader: _Reader, params: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    name = str(params["pipetteName"])
    reader.seen.pipettes.append((name, str(params["mount"])))
    tool = next((item for item in PIPETTES.values() if item.engine_name == name), None)
    n_channels = tool.n_channels if tool else 96 if name.endswith("_96") else N_CHANNELS if "multi" in name else 1
    reader.heads[str(result["pipetteId"])] = _Head(tool, n_channels)


def _carry(reader: _Reader, params: Mapping[str, Any]) -> None:
    """Follow labware that the robot's gripper carries; by hand, or with a tip on, nothing is carried at night."""
    labware_id = str(params["labwareId"])
    source, target = reader.slots[labware_id], _slot_of(params["newLocation"])
    if params["strategy"] != "usingGripper":
        reader.seen.problems.append(f"what stands in slot {source} is carried {params['strategy']}, not by the gripper")
    for head in reader.heads.values():
        if head.tips:
            reader.seen.problems.append(f"the gripper carries from slot {source} with tip {head.tips[0]} on")
    reader.slots[labware_id] = target
    reader.done.append(SeenMove(source, target))


def _spots(reader: _Reader, params: Mapping[str, Any]) -> tuple[Spot, ...]:
    """Return the well of each channel of a command; a place beside it, above it or under it is a problem."""
    labware_id, n = params["labwareId"], reader.heads[params["pipetteId"]].n_channels
    slot, first = reader.slots[labware_id], str(params["wellName"])
    wells = [first] if n == 1 else _column(reader.columns[labware_id], first, n)
    spots = tuple(Spot(slot, well_name(*parse_well(well))) for well in wells)
    location = params.get("wellLocation", {})
    offset = location.get("offset", {})
    x, y, z = (float(offset.get(axis, 0)) for axis in "xyz")
    depth = -z if location.get("origin", "top") == "top" else z
    if x or y or not 0 <= depth <= MAX_DEPTH_MM:
        reader.seen.problems.append(f"{spots[0]}: the tip goes beside the well, offset {x:g}, {y:g}, {z:g} mm")
    return spots


def _check_manner(reader: _Reader, params: Mapping[str, Any], spot: Spot, *, is_draw: bool) -> None:
    """See that the tip is as deep in the well, and the plunger as fast, as in a file that sets neither."""
    what, tool = "drawn from" if is_draw else "given into", reader.heads[params["pipetteId"]].tool
    location, well = params.get("wellLocation"), reader.wells[params["labwareId"]].get(str(params["wellName"]), {})
    if location is not None and "depth" in well:
        z = _finite(location.get("offset", {}).get("z", 0))
        height_mm = z + (float(well["depth"]) if location.get("origin", "top") == "top" else 0.0)
        if location.get("origin", "top") not in ("top", "bottom") or abs(height_mm - HEIGHT_MM) > _NEAR_MM:
            words = f"{spot} is {what} {height_mm:.2f} mm over its bottom, planned {HEIGHT_MM:g} mm"
            reader.seen.problems.append(words)
    flow = params.get("flowRate")
    planned = 0.0 if tool is None else tool.draw_ul_s if is_draw else tool.give_ul_s
    if flow is not None and planned and not abs(float(flow) / planned - 1) <= _NEAR_FLOW:
        reader.seen.problems.append(f"{spot} is {what} at {float(flow):g} ul/s, planned {planned:g} ul/s")
    if params.get("pushOut"):
        reader.seen.problems.append(f"{spot} is {what} with {params['pushOut']} ul of air pushed after, planned none")


def _column(columns: Sequence[Sequence[str]], first: str, n: int) -> list[str]:
    """Return the wells that channels stand in when the rearmost stands in one: 9 mm apart, or in a trough together."""
    column = next(column for column in columns if first in column)
    if len(column) == 1:
        return [first] * n
    pitch, start = len(column) // n, column.index(first)
    if n != N_CHANNELS or len(column) % n or start >= pitch:
        raise DataError(f"{n} channels from {first} on do not all stand in wells")
    return [column[start + i * pitch] for i in range(n)]


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise DataError(f"{number} is no number to go by")
    return number


def _volume(params: Mapping[str, Any]) -> float:
    """Return nanolitres; whole ones where the microlitres differ from them by rounding only."""
    volume_nl = _finite(params["volume"]) * 1000
    return round(volume_nl) if abs(volume_nl - round(volume_nl)) < 1e-6 else volume_nl


def _configure(reader: _Reader, head: _Head, volume_nl: float) -> None:
    if head.held:
        reader.seen.problems.append(f"the pipette changes its mode with liquid of {head.held[0][0]} in the tip")
    head.is_low = head.tool is not None and volume_nl < head.tool.low_mode_below_nl


def _pick_up(reader: _Reader, head: _Head, spots: tuple[Spot, ...]) -> None:
    for other in reader.heads.values():
        if other.tips:
            reader.seen.problems.append(f"tip {spots[0]} is picked up over tip {other.tips[0]}")
    head.tips, head.held, head.is_fresh = spots, None, True


def _aspirate(reader: _Reader, head: _Head, spots: tuple[Spot, ...], volume_nl: float) -> None:
    if head.held:
        reader.seen.problems.append(
            f"{volume_nl:g} nl are drawn from {spots[0]} onto the liquid of {head.held[0][0]} in the tip"
        )
        return
    if head.tool and head.tool.low_mode_below_nl:
        _check_mode(reader, head, head.tool, spots[0], volume_nl)
    head.held = (spots, volume_nl)


def _check_mode(reader: _Reader, head: _Head, tool: Pipette, spot: Spot, volume_nl: float) -> None:
    if volume_nl < tool.low_mode_below_nl and not head.is_low:
        words = f"{volume_nl:g} nl are drawn from {spot} in the normal mode of {tool.load_name}"
        reader.seen.problems.append(f"{words}; under {tool.low_mode_below_nl} nl it needs its low-volume mode")
    if head.is_low and volume_nl > tool.low_mode_max_nl:
        words = f"{volume_nl:g} nl are drawn from {spot} in the low-volume mode of {tool.load_name}"
        reader.seen.problems.append(f"{words}, which takes at most {tool.low_mode_max_nl} nl")


def _dispense(reader: _Reader, head: _Head, spots: tuple[Spot, ...], volume_nl: float) -> None:
    if head.held is None or not head.tips:
        reader.seen.problems.append(f"{volume_nl:g} nl are dispensed into {spots[0]} from an empty tip")
        return
    sources, held_nl = head.held
    if held_nl != volume_nl:
        reader.seen.problems.append(f"{volume_nl:g} nl of {held_nl:g} nl in the tip are dispensed into {spots[0]}")
    n = head.n_channels
    for source, target, tip in zip(sources, spots, head.tips, strict=True):
        if source == target:
            reader.done.append(SeenMix(source, volume_nl, 1, tip, head.is_fresh, n))
        else:
            reader.done.append(SeenTransfer(source, target, volume_nl, tip, head.is_fresh, n))
    head.held, head.is_fresh = None, False


def _drop(reader: _Reader, head: _Head) -> None:
    if head.held:
        words = f"{head.held[1]:g} nl of {head.held[0][0]} in it"
        reader.seen.problems.append(f"tip {head.tips[0] if head.tips else '?'} is dropped with {words}")
    head.tips, head.held = (), None
