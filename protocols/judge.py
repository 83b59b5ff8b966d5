"""Find everything wrong with a protocol, given what is in the lab. Nothing here trusts the compiler.

Here robot, pipettes and decks; ``protocols.judge_steps`` goes through the steps.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from protocols.geometry import in_the_way, moved_here
from protocols.judge_books import Books
from protocols.judge_steps import step_problems
from protocols.labware import LABWARE, PIPETTES, ROBOTS, RobotDeck
from protocols.model import DeckItem, DeckLoad, DeckRole, Protocol, thaws
from protocols.problems import Problem, ProblemKind
from protocols.stock import PlateCare
from protocols.volumes import Tally, WellKey

MAX_BARCODE = 64
"""Longest barcode of a plate or rack."""


@dataclass(slots=True)
class Lab:
    """What is there before a protocol; the tally and the tips are changed while it is judged."""

    tally: Tally
    free_tips: dict[str, set[str]]
    """Positions with a tip, by rack."""
    labware: Mapping[str, str]
    """Load name of every plate and rack, by barcode."""
    contents: Mapping[WellKey, str] = field(default_factory=dict)
    care: Mapping[str, PlateCare] = field(default_factory=dict)
    sealed: set[str] = field(default_factory=set)
    robot: RobotDeck | None = None
    """As it stands in the lab; None: any of the protocol's kind."""
    at: datetime | None = None
    """When the protocol shall run; None: nothing is said of expiry."""


def judge(protocol: Protocol, lab: Lab) -> tuple[Problem, ...]:
    """Return every problem, in order of execution, each naming the well, tip or slot; empty when it may run."""
    problems = list(_header_problems(protocol, lab.robot))
    books = Books(
        lab.tally, lab.free_tips, lab.labware, lab.contents, lab.care, lab.sealed,
        PIPETTES.get(protocol.pipette), PIPETTES.get(protocol.multichannel), _robot(protocol, lab),
    )  # fmt: skip
    out_of_the_cold: Counter[str] = Counter()
    for number, (load, thawed) in enumerate(zip(protocol.loads, thaws(protocol), strict=True)):
        problems += _deck_problems(load, protocol.robot, lab)
        problems += _neighbour_problems(number, protocol, lab.robot)
        for barcode in sorted(thawed):
            out_of_the_cold[barcode] += 1
            problems += _care_problems(barcode, out_of_the_cold[barcode], load, lab)
        books.enter(load)
        for step in load.steps:
            problems += step_problems(step, books)
    return tuple(problems)


def _robot(protocol: Protocol, lab: Lab) -> RobotDeck | None:
    """Return the lab's robot, else any of the protocol's kind; None: there is no such robot."""
    if lab.robot is not None and lab.robot.robot == protocol.robot:
        return lab.robot
    return ROBOTS.get(protocol.robot)


def _header_problems(protocol: Protocol, robot: RobotDeck | None) -> Iterator[Problem]:
    def wrong(message: str) -> Problem:
        return Problem(ProblemKind.ROBOT, message)

    if protocol.robot not in ROBOTS:
        yield wrong(f"robot {protocol.robot!r} is not known; known are {', '.join(sorted(ROBOTS))}")
    elif robot is not None and robot.robot != protocol.robot:
        yield wrong(f"the protocol is for the {protocol.robot}, the lab has the {robot.robot}")
    for name, n_channels in ((protocol.pipette, 1), *(((protocol.multichannel, 8),) if protocol.multichannel else ())):
        tool = PIPETTES.get(name)
        if tool is None:
            yield wrong(f"pipette {name!r} is not known; known are {', '.join(sorted(PIPETTES))}")
        elif tool.n_channels != n_channels:
            yield wrong(f"pipette {name} has {tool.n_channels} channel(s) and stands where one of {n_channels} is used")
        elif protocol.robot in ROBOTS and tool.robot != protocol.robot:
            yield wrong(f"pipette {name} goes on the {tool.robot}, not on the {protocol.robot}")
        elif robot is not None and robot.robot == protocol.robot and name not in (robot.pipette, robot.multichannel):
            yield wrong(f"pipette {name} is not on the lab's {robot.robot}, which has {_tools(robot)}")
    if protocol.mount not in ("left", "right"):
        yield wrong(f"mount {protocol.mount!r} is neither left nor right")
    if not protocol.steps:
        what = f"{len(protocol.loads)} deck load(s) and no step" if protocol.loads else "no deck load"
        yield Problem(ProblemKind.STEP, f"the protocol has {what}: it does nothing; was it cut short?")
    indices = [load.index for load in protocol.loads]
    if indices != list(range(len(indices))):
        yield Problem(ProblemKind.STEP, f"loads are numbered {indices}, not 0 to {len(indices) - 1}")


def _tools(robot: RobotDeck) -> str:
    return " and ".join(name for name in (robot.pipette, robot.multichannel) if name)


def _deck_problems(load: DeckLoad, robot: str, lab: Lab) -> Iterator[Problem]:
    slots: dict[str, str] = {}
    barcodes: set[str] = set()
    for item in load.deck:
        found = []
        if item.slot in slots:
            found.append(f"holds {slots[item.slot]} and {item.barcode}")
        slots.setdefault(item.slot, item.barcode)
        if item.barcode in barcodes:
            found.append(f"{item.barcode} is in another slot too")
        barcodes.add(item.barcode)
        found += _slot_problems(item, robot, lab.robot)
        found += _item_problems(item, lab.labware)
        where = f"load {load.index}, slot {item.slot}"
        for words in found:
            yield Problem(ProblemKind.DECK, f"{where}: {words}", plate=item.barcode, load=load.index)


def _neighbour_problems(number: int, protocol: Protocol, here: RobotDeck | None) -> Iterator[Problem]:
    """Return what stands in the way of a module or of the mover's hand in the load of a number."""
    if here is None or here.robot != protocol.robot:
        return
    loads = dict(enumerate(protocol.loads))
    load, moved = loads[number], moved_here(loads.get(number - 1), loads[number], loads.get(number + 1))
    for item, beside in in_the_way(load, here, moved):
        words = f"load {load.index}, slot {item.slot}: {item.barcode} cannot stand here: {beside.words}"
        yield Problem(ProblemKind.DECK, words, plate=item.barcode, load=load.index)


def _slot_problems(item: DeckItem, robot: str, here: RobotDeck | None) -> Iterator[str]:
    if robot not in ROBOTS:
        return
    deck, what = ROBOTS[robot], f"{item.barcode} in it"
    if item.slot in deck.staging:
        yield f"the gripper of the {robot} reaches this slot, its pipettes do not, and the protocol has {what}"
    elif item.slot not in deck.slots:
        trash = "; the trash stands there" if item.slot == deck.trash_slot else ""
        yield f"the {robot} has no such slot for labware{trash}, and the protocol has {what}"
    elif here is not None and here.robot == robot and item.slot not in here.slots:
        yield f"the slot is blocked on the lab's {robot}, and the protocol has {what}"


def _item_problems(item: DeckItem, known: Mapping[str, str]) -> Iterator[str]:
    kind = LABWARE.get(item.labware)
    if not 0 < len(item.barcode) <= MAX_BARCODE or not item.barcode.isprintable() or set(item.barcode) & set("/\\"):
        yield f"{item.barcode!r:.80} is no barcode: 1 to {MAX_BARCODE} printable characters, neither / nor \\"
    if kind is None:
        yield f"labware {item.labware!r} of {item.barcode} is not known"
    elif kind.is_tip_rack != (item.role is DeckRole.TIPS):
        yield f"{item.labware} of {item.barcode} cannot serve as {item.role.value}"
    if known.get(item.barcode, item.labware) != item.labware:
        yield f"{item.barcode} is {known[item.barcode]} in the ledger, {item.labware} in the protocol"


def _care_problems(barcode: str, n_more: int, load: DeckLoad, lab: Lab) -> Iterator[Problem]:
    care = lab.care.get(barcode)
    if care is None:
        return
    wells = _drawn_wells(load, barcode)
    first = wells[0] if wells else ""
    what = (
        f"source plate {barcode} of load {load.index} (" + (f"{first} and others" if first else "nothing") + " drawn)"
    )
    if care.expires is not None and lab.at is not None and lab.at.date() > care.expires:
        message = f"{what} expired: it keeps until {care.expires}, and it is {lab.at.date()}"
        yield Problem(ProblemKind.EXPIRED, message, barcode, first, load=load.index)
    if care.max_thaws is not None and care.n_thaws + n_more > care.max_thaws:
        message = (
            f"{what} would be thawed once too often: it has been {care.n_thaws + n_more - 1} time(s) and may be "
            f"{care.max_thaws}"
        )
        yield Problem(ProblemKind.THAWED, message, barcode, first, load=load.index)


def _drawn_wells(load: DeckLoad, barcode: str) -> list[str]:
    return [t.source_well for t in load.transfers if t.source_plate == barcode]
