"""Turn the steps of a deck load into rows: what an Opentrons robot does, one motion of a pipette or gripper each.

A row says everything that the robot has to know: which pipette, whether its tip stays on, whether its volume mode
changes. The protocol file only goes down the table; nothing is decided on the robot.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby

from nextplate.errors import PlanError
from nextplate.plate import parse_well
from protocols.judge_strokes import N_CHANNELS
from protocols.labware import Pipette, RobotDeck, pipette, robot_deck
from protocols.model import DeckLoad, Protocol
from protocols.sentences import said
from protocols.steps import Dispense, Incubate, Mix, PlateMove, Read, Seal, Step, Transfer, Wash, number_of
from protocols.volumes import is_volume

ONE, EIGHT = "one", "eight"
"""What a protocol file calls its pipettes."""


class RowKind(StrEnum):
    """What a row does."""

    TRANSFER = "transfer"
    MIX = "mix"
    WAIT = "wait"
    MOVE = "move"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of a protocol file; slots are those that labware stands in when the load begins."""

    kind: RowKind
    number: int
    """Of the step; of a stroke, of its first transfer."""
    tool: str = ""
    """one or eight; empty: no pipette."""
    source: str = ""
    """Slot."""
    source_well: str = ""
    """Zero-padded; with eight channels the first's."""
    target: str = ""
    """Slot; of a move, the one carried to."""
    target_well: str = ""
    volume_nl: int = 0
    """Of each channel."""
    times: int = 0
    """Cycles of a mix, seconds of a wait."""
    rack: str = ""
    """Slot of the tips."""
    tip: str = ""
    is_kept: bool = False
    """Whether the tip stays on for the next row of this pipette."""
    set_nl: int = 0
    """Volume to configure the pipette for before, with nothing in its tip; 0: it stays as it is."""
    liquid: str = ""
    """For people: a compound's name, or what the row does."""


_OTHERS: Mapping[type[Step], str] = {Dispense: "dispenser", Wash: "washer", Seal: "sealer", Read: "reader"}
"""Whose work a step is that no liquid handler does."""


def rows_of(protocol: Protocol, load: DeckLoad) -> tuple[Row, ...]:
    """Return the rows of a load, in order.

    Raises:
        PlanError: a step that the robot cannot do, or a tip that it cannot have on; names the step.
        DataError: a robot, pipette or well that is not known.
    """
    deck = _Deck(load, robot_deck(protocol.robot))
    rows = [_row(steps, deck) for steps in motions_of(load.steps)]
    return tuple(_with_modes(_with_tips(rows), _tools(protocol)))


def uses_eight(load: DeckLoad) -> bool:
    """Tell whether a load has strokes of the 8-channel pipette."""
    return any(t.stroke for t in load.transfers)


def is_plain(protocol: Protocol, load: DeckLoad) -> bool:
    """Tell whether a load is single transfers with a fresh tip each, in one mode of the pipette."""
    tips = [(t.tip_rack, t.tip_well) for t in load.transfers]
    if len(tips) < len(load.steps) or len(set(tips)) < len(tips) or uses_eight(load):
        return False
    tool, volumes = pipette(protocol.pipette), [t.volume_nl for t in load.transfers]
    is_low = bool(volumes) and min(volumes) < tool.low_mode_below_nl
    return not is_low or max(volumes) <= tool.low_mode_max_nl


def motions_of(steps: Sequence[Step]) -> Iterator[tuple[Step, ...]]:
    """Return steps one by one, the transfers of a stroke together."""

    def key(numbered: tuple[int, Step]) -> tuple[bool, int]:
        number, step = numbered
        stroke = step.stroke if isinstance(step, Transfer) else 0
        return (True, stroke) if stroke else (False, number)

    for _, group in groupby(enumerate(steps), key=key):
        yield tuple(step for _, step in group)


def _tools(protocol: Protocol) -> dict[str, Pipette]:
    tools = {ONE: pipette(protocol.pipette)}
    return {**tools, EIGHT: pipette(protocol.multichannel)} if protocol.multichannel else tools


@dataclass(slots=True)
class _Deck:
    """Where labware stands while the rows are made."""

    load: DeckLoad
    robot: RobotDeck
    began: dict[str, str] = field(init=False)
    """Slot of each barcode when the load begins: the name that labware has in the file."""
    now: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.began = {item.barcode: item.slot for item in self.load.deck}
        self.now = dict(self.began)

    def slot(self, barcode: str, what: str) -> str:
        """Return the slot that a barcode began in."""
        if barcode not in self.began:
            raise PlanError(f"{what} uses {barcode or 'no tips'}, which is not on the deck of load {self.load.index}")
        return self.began[barcode]

    def place(self, barcode: str, well: str, what: str) -> tuple[str, str]:
        """Return slot and well of a place that a pipette goes to."""
        slot = self.slot(barcode, what)
        parse_well(well)
        if self.now[barcode] in self.robot.staging:
            raise PlanError(f"{what} uses {barcode}, which stands in {self.now[barcode]}, where no pipette reaches")
        return slot, well

    def carry(self, barcode: str, source: str, target: str) -> tuple[str, str]:
        """Carry labware from one slot to another; return the slot it began in, and why not, '' where it can be."""
        standing = {slot: item for item, slot in self.now.items()}
        if not source or not target:
            return "", "its gripper reaches the slots of its deck only"
        if not self.robot.staging:
            return "", f"the {self.robot.robot} has no gripper"
        if self.now.get(barcode) != source:
            return "", f"{barcode} stands at {self.now.get(barcode) or 'no slot of the deck'}"
        if target in standing or target == self.robot.trash_slot:
            return "", f"{standing.get(target, 'the trash')} stands in {target}"
        self.now[barcode] = target
        return self.began[barcode], ""


def _row(steps: Sequence[Step], deck: _Deck) -> Row:
    match steps[0]:
        case Transfer():
            return _transfer([step for step in steps if isinstance(step, Transfer)], deck)
        case Mix() as step:
            return _mix(step, deck)
        case Incubate() as step:
            return _wait(step, deck)
        case PlateMove() as step:
            return _move(step, deck)
        case step:
            device = _OTHERS[type(step)]
            raise _refused(step, deck, f"that is a {device}'s work: give the step to it, or take it out")


def _refused(step: Step, deck: _Deck, why: str) -> PlanError:
    what = f"{'transfer' if isinstance(step, Transfer) else 'step'} {number_of(step)}"
    return PlanError(f"load {deck.load.index}: {what} cannot be rendered for an Opentrons robot: {said(step)}; {why}")


def _transfer(together: Sequence[Transfer], deck: _Deck) -> Row:
    first = together[0]
    what = f"transfer {first.transfer_id}"
    if first.stroke and len(together) != N_CHANNELS:
        raise _refused(first, deck, f"stroke {first.stroke} has {len(together)} transfers and not {N_CHANNELS}")
    return Row(
        RowKind.TRANSFER,
        first.transfer_id,
        EIGHT if first.stroke else ONE,
        *deck.place(first.source_plate, first.source_well, what),
        *deck.place(first.destination_plate, first.destination_well, what),
        _volume(first.volume_nl, first, deck),
        0,
        *deck.place(first.tip_rack, first.tip_well, what),
        liquid=", ".join(dict.fromkeys(t.compound_id for t in together)),
    )


def _mix(step: Mix, deck: _Deck) -> Row:
    what = f"step {step.step_id}"
    if not is_volume(step.cycles):
        raise _refused(step, deck, "the number of cycles is none")
    place, tip = deck.place(step.plate, step.well, what), deck.place(step.tip_rack, step.tip_well, what)
    volume_nl = _volume(step.volume_nl, step, deck)
    return Row(RowKind.MIX, step.step_id, ONE, *place, *place, volume_nl, step.cycles, *tip, liquid="mix")


def _volume(volume_nl: int, step: Step, deck: _Deck) -> int:
    if not is_volume(volume_nl):
        raise _refused(step, deck, f"{volume_nl!r} is no whole number of nanolitres above 0")
    return volume_nl


def _wait(step: Incubate, deck: _Deck) -> Row:
    if step.temperature_c is not None or step.shake_rpm or not is_volume(step.wait_s):
        why = "on its deck a plate stands still, at the temperature there: give the step to an incubator or shaker"
        raise _refused(step, deck, why)
    slot = deck.slot(step.plate, f"step {step.step_id}")
    return Row(RowKind.WAIT, step.step_id, source=slot, times=step.wait_s, liquid=f"let {step.plate} stand")


def _move(step: PlateMove, deck: _Deck) -> Row:
    """Make a row of the robot's own gripper; afterwards the labware stands elsewhere and keeps its name."""
    began, why = deck.carry(step.barcode, *(_deck_slot(place, deck.robot) for place in (step.source, step.target)))
    if why:
        raise _refused(step, deck, f"{why}: give the step to the plate mover")
    target = _deck_slot(step.target, deck.robot)
    return Row(RowKind.MOVE, step.step_id, source=began, target=target, liquid=f"carry {step.barcode}")


def _deck_slot(place: str, robot: RobotDeck) -> str:
    """Return the slot that a place of a plate mover means (drivers.ports.Move); '' where it is none of this deck."""
    area, _, slot = place.partition("/")
    return slot if area == "deck" and slot in (*robot.slots, *robot.staging, robot.trash_slot) else ""


def _with_tips(rows: Sequence[Row]) -> Iterator[Row]:
    """Say of every row whether its tip stays on: only where the next motion of a pipette goes on with it.

    Raises:
        PlanError: a tip would hang over a plate that is carried, or go from one pipette to another.
    """
    for n, row in enumerate(rows):
        if not row.tool:
            yield row
            continue
        later = next((i for i in range(n + 1, len(rows)) if rows[i].tool), len(rows))
        between, after = rows[n + 1 : later], rows[later] if later < len(rows) else None
        is_kept = after is not None and (after.rack, after.tip) == (row.rack, row.tip)
        if after and is_kept and after.tool != row.tool:
            raise PlanError(
                f"row of step {after.number} cannot be rendered: tip {after.tip} in slot {after.rack} is on the other "
                "pipette by then; take a fresh tip"
            )
        if is_kept and any(item.kind is RowKind.MOVE for item in between):
            raise PlanError(
                f"row of step {row.number} cannot be rendered: its tip would stay on while the gripper carries a "
                "plate; take a fresh tip afterwards"
            )
        yield replace(row, is_kept=is_kept)


def _with_modes(rows: Iterable[Row], tools: Mapping[str, Pipette]) -> Iterator[Row]:
    """Say where a pipette changes its mode: into the low one under its limit, out of it only for what it cannot take.

    A pipette starts in its normal mode. A change happens before a draw, when every drop is out of the tip.
    """
    is_low = dict.fromkeys(tools, False)
    for row in rows:
        tool = tools.get(row.tool)
        if tool is None or not tool.low_mode_below_nl:
            yield row
            continue
        wants_low = row.volume_nl < tool.low_mode_below_nl
        if wants_low == is_low[row.tool] or (is_low[row.tool] and row.volume_nl <= tool.low_mode_max_nl):
            yield row
            continue
        is_low[row.tool] = wants_low
        yield replace(row, set_nl=row.volume_nl)
