"""Compare what an Opentrons analysis does with the plan: deck, offsets, pipettes, and every motion in its order.

``protocols.proof_reader`` says what the file does; here it is held against the deck load that was planned.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from protocols.labware import pipette, robot_deck
from protocols.model import DeckLoad, Protocol
from protocols.offsets import Offset
from protocols.proof_reader import Command, Seen, read_commands
from protocols.render import other_mount
from protocols.render_rows import uses_eight
from protocols.seen import SeenMix, SeenMove, SeenStep, SeenTransfer, SeenWait, Spot, joined
from protocols.steps import Incubate, Mix, PlateMove, Step, Transfer, number_of

__all__ = ["SeenMix", "SeenMove", "SeenTransfer", "SeenWait", "Spot", "compare_commands", "read_commands"]

MAX_SHOWN = 200
"""Differences named, at most; a file of another plan differs in everything."""


def compare_commands(
    commands: Sequence[Command],
    robot_type: str,
    protocol: Protocol,
    load: DeckLoad,
    *,
    offsets: Sequence[Offset] = (),
    set_offsets: Sequence[Mapping[str, Any]] = (),
) -> list[str]:
    """Return every difference between a command list and a deck load; empty when they agree.

    Args:
        commands: of the analysis.
        robot_type: of the analysis.
        protocol: the plan.
        load: of the plan.
        offsets: that the file is to set for the labware that stands on the deck.
        set_offsets: ``labwareOffsets`` of the analysis: those it does set.
    """
    seen = read_commands(commands)
    robot = robot_deck(protocol.robot)
    problems = list(seen.problems)
    if robot_type != robot.engine_type:
        problems.append(f"the file is for robot {robot_type}, the plan for {robot.engine_type}")
    problems += _pipette_differences(seen, protocol, load)
    problems += _deck_differences(seen.deck, load)
    problems += _offset_differences(set_offsets, offsets, load)
    problems += _step_differences(seen.done, load)
    more = len(problems) - MAX_SHOWN
    return problems if more <= 0 else [*problems[:MAX_SHOWN], f".. and {more} more differences"]


def _pipette_differences(seen: Seen, protocol: Protocol, load: DeckLoad) -> Iterator[str]:
    """Compare pipettes; an 8-channel one that the robot has and this load has no use for may be loaded or not."""
    wanted = [(pipette(protocol.pipette).engine_name, protocol.mount)]
    both = [*wanted]
    if protocol.multichannel:
        both.append((pipette(protocol.multichannel).engine_name, other_mount(protocol.mount)))
    allowed = [both] if uses_eight(load) else [wanted, both]
    if sorted(seen.pipettes) not in [sorted(pipettes) for pipettes in allowed]:
        yield f"the file loads pipettes {seen.pipettes}, the plan {allowed[0]}"


def _deck_differences(deck: Mapping[str, tuple[str, str]], load: DeckLoad) -> Iterator[str]:
    for item in load.deck:
        name, label = deck.get(item.slot, ("nothing", item.barcode))
        if (name, label) != (item.labware, item.barcode):
            yield f"slot {item.slot}: the file has {name} {label!r}, the plan {item.labware} {item.barcode!r}"
    for slot in sorted(set(deck) - {item.slot for item in load.deck}):
        yield f"slot {slot}: the file has {deck[slot][0]} {deck[slot][1]!r}, the plan nothing"


def _offset_differences(found: Sequence[Mapping[str, Any]], wanted: Sequence[Offset], load: DeckLoad) -> Iterator[str]:
    """Compare offsets; the last that a file sets for a kind of labware in a slot counts."""
    places = {(item.labware, item.slot) for item in load.deck}
    plan = {(o.labware, o.slot): o.vector_mm for o in wanted if (o.labware, o.slot) in places}
    seen: dict[tuple[str, str], tuple[float, ...]] = {}
    for item in found:
        location, vector = item.get("location"), item.get("vector")
        if not isinstance(location, Mapping) or "slotName" not in location or not isinstance(vector, Mapping):
            yield f"the file sets an offset of labware at {location!r:.80}, which is no slot of the deck"
            continue
        kind = [*str(item.get("definitionUri")).split("/"), ""][1]
        seen[kind, str(location["slotName"])] = tuple(float(vector.get(axis, 0.0)) for axis in "xyz")
    for kind, slot in sorted({*plan, *seen}):
        one, other = seen.get((kind, slot)), plan.get((kind, slot))
        if one != other:
            yield f"slot {slot}: the file sets the offset of {kind} to {_mm(one)}, the plan to {_mm(other)}"


def _mm(vector: tuple[float, ...] | None) -> str:
    return "nothing" if vector is None else ", ".join(f"{mm:g}" for mm in vector) + " mm"


Planned = tuple[SeenStep, str]
"""What a step does, and its name in a difference."""


def _step_differences(seen: Sequence[SeenStep], load: DeckLoad) -> Iterator[str]:
    named = _planned(load)
    plan = [step for step, _ in named]
    if plan == list(seen):
        return
    # Aligned, so that one missing transfer is one difference and not one for every transfer after it.
    matcher = SequenceMatcher(None, plan, list(seen), autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            continue
        paired = min(b - a, d - c)
        for i in range(paired):
            yield f"{named[a + i][1]}: {_change(plan[a + i], seen[c + i])}"
        for i in range(a + paired, b):
            yield f"{named[i][1]}: missing from the file here"
        for i in range(c + paired, d):
            what = "transfer" if isinstance(seen[i], SeenTransfer) else "step"
            yield f"the file {seen[i]} as its {what} number {_number(seen, i)}; the plan does not"


def _number(seen: Sequence[SeenStep], index: int) -> int:
    """Count the transfers, or the steps, up to one of them."""
    if not isinstance(seen[index], SeenTransfer):
        return index + 1
    return sum(isinstance(step, SeenTransfer) for step in seen[: index + 1])


def _planned(load: DeckLoad) -> list[Planned]:
    """Say what a file has to do for each step, tips included. Made from the plan alone, not from what is rendered."""
    slots = {item.barcode: item.slot for item in load.deck}
    wanted: list[Planned] = []
    on: set[tuple[bool, str, str]] = set()
    stroke, is_new = 0, True
    for step in load.steps:
        if isinstance(step, Transfer | Mix):
            is_eight = isinstance(step, Transfer) and bool(step.stroke)
            tip = (is_eight, step.tip_rack, step.tip_well)
            number = step.stroke if isinstance(step, Transfer) else 0
            if not number or number != stroke:  # the eight of a stroke are picked up at once
                is_new = tip not in on
                on = set() if is_new else on
            on, stroke = {*on, tip} if is_eight else {tip}, number
        elif isinstance(step, PlateMove):
            source, slots[step.barcode] = slots.get(step.barcode, "none"), step.target.removeprefix("deck/")
            wanted.append((SeenMove(source, slots[step.barcode]), _named(step)))
            continue
        wanted.append((_as_seen(step, slots, is_fresh=is_new), _named(step)))
    return joined(wanted)


def _as_seen(step: Step, slots: Mapping[str, str], *, is_fresh: bool) -> SeenStep:
    def spot(barcode: str, well: str) -> Spot:
        return Spot(slots.get(barcode, "none"), well)

    match step:
        case Transfer():
            ends = spot(step.source_plate, step.source_well), spot(step.destination_plate, step.destination_well)
            tip = spot(step.tip_rack, step.tip_well)
            return SeenTransfer(*ends, step.volume_nl, tip, is_fresh, 8 if step.stroke else 1)
        case Mix():
            tip = spot(step.tip_rack, step.tip_well)
            return SeenMix(spot(step.plate, step.well), step.volume_nl, step.cycles, tip, is_fresh)
        case Incubate():
            return SeenWait(step.wait_s)
    return SeenWait(-1)  # another device's step: nothing that a file does is equal to it


def _named(step: Step) -> str:
    if isinstance(step, Transfer):
        where = f"{step.source_well} on {step.source_plate} to {step.destination_well} on {step.destination_plate}"
        return f"transfer {step.transfer_id} ({where}, {step.volume_nl} nl)"
    if isinstance(step, Mix):
        return f"step {step.step_id} (mix {step.well} on {step.plate})"
    return f"step {number_of(step)} ({step.KIND})"


def _change(plan: SeenStep, seen: SeenStep) -> str:
    """Say what differs between two motions: of one kind part by part, of two kinds as a whole."""
    if type(plan) is not type(seen):
        return f"the file {seen} instead"
    parts = []
    for what, wanted, found in zip(plan.PARTS, plan.parts(), seen.parts(), strict=True):
        if wanted != found:
            parts.append(f"{what} is {found}, planned {wanted}")
    return "; ".join(parts)
