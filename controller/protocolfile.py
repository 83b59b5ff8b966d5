"""Check a protocol in a file, whoever wrote it, against what a lab holds: ours as JSON, a vendor's as Python."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from controller.protocoltables import analyzed
from controller.stockfile import read_stock
from nextplate.errors import DataError
from protocols.analyze import AnalysisEndless
from protocols.carry_over import carry_over
from protocols.check import Problem, ProblemKind, check
from protocols.duration import estimate, words
from protocols.forecast import Refill, shortages
from protocols.handwritten import account
from protocols.handwritten_failure import failures
from protocols.handwritten_lab import lab_problems, not_known
from protocols.handwritten_source import asks_whether_it_is_real, may_differ
from protocols.handwritten_time import time_of
from protocols.labware import LABWARE, RobotDeck
from protocols.ledger import Ledger
from protocols.model import DeckItem, DeckRole, Dispense, Protocol, Wash
from protocols.sentences import named, plain
from protocols.stock import PlateCare, StockWell, TipRack
from protocols.tip_past import Liquid

MAX_BYTES = 100_000_000
"""Of a protocol file; 3,000 transfers are half a megabyte."""
_LONGEST = 1_000
"""Of a line for people."""


@dataclass(frozen=True, slots=True)
class LabNow:
    """What is known of the lab that a protocol is to run in."""

    stock: tuple[StockWell, ...] = ()
    tips: tuple[TipRack, ...] = ()
    fill_nl: int = 0
    """In every well of a plate that is only filled."""
    care: Mapping[str, PlateCare] = field(default_factory=dict)
    """Thaws, expiry and evaporation, by plate."""
    has_books: bool = False
    """False: nobody said what wells and racks hold; sources count as full, and so do tip racks."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The verdict on a file."""

    what: str
    """In a few words."""
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    """What is allowed and worth knowing: carry-over, what had to be assumed."""
    shortages: tuple[str, ...] = ()
    """What to fill, where something would run dry."""


def read_protocol(path: Path) -> Protocol:
    """Read a protocol of ours.

    Raises:
        DataError: no such file, too large, not UTF-8, or no protocol; names the file.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: {path.stat().st_size} bytes are no protocol")
        return Protocol.from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except (DataError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}") from error


def read_sound(path: Path, *more: ProblemKind) -> Protocol:
    """Read a protocol of ours whose numbers can be shown: whether it may run is another question.

    Args:
        path: of the protocol.
        more: kinds of problems that are refused too; none: those of volumes, numbers and robots alone.

    Raises:
        DataError: as read_protocol, or a volume, a number or a robot is none; names the well.
    """
    protocol = read_protocol(path)
    require_known_labware(path, protocol)
    unsound = (ProblemKind.VOLUME, ProblemKind.STEP, ProblemKind.ROBOT, *more)
    wrong = [p for p in _ours(protocol, LabNow(), None, None).problems if p.kind in unsound]
    if wrong:
        raise DataError(f"{path}: {wrong[0]}; all that is wrong with it: nextplate protocol check {path}")
    return protocol


def require_known_labware(path: Path, protocol: Protocol) -> None:
    """Refuse a protocol with labware of which neither wells nor volumes are known.

    Raises:
        DataError: there is some; names the slot.
    """
    for load in protocol.loads:
        for item in load.deck:
            if item.labware not in LABWARE:
                raise DataError(
                    f"{path}: load {load.index}, slot {item.slot}: labware {item.labware!r:.60} of "
                    f"{item.barcode!r:.60} is not known; known are {', '.join(sorted(LABWARE))}"
                )


def check_file(
    path: Path,
    lab: LabNow,
    *,
    robot: RobotDeck | None = None,
    at: datetime | None = None,
    python: Path | None = None,
    tables: Mapping[str, Path] | None = None,
    is_attended: bool = False,
) -> Checked:
    """Check a file; one that ends in .py goes through the vendor's interpreter first.

    Args:
        path: of the protocol.
        lab: what it is to run in.
        robot: as it stands in the lab; None: any of the protocol's kind.
        at: when it shall run; None: nothing is said of expiry.
        python: interpreter that has the vendor's package; None: nextplate's own.
        tables: CSV runtime parameters of a file that ends in .py, by variable name; None: it takes none.
        is_attended: a person stands by while it runs: a file may then wait for one.

    Raises:
        DataError: the file or a table cannot be read, or the file does not take these tables.
        StepError: there is no interpreter for it.
    """
    if path.suffix.lower() == ".py":
        return _by_hand(path, lab, robot, at, python, tables or {}, is_attended=is_attended)
    if tables:
        raise DataError(f"{path}: only an Opentrons file that ends in .py takes tables; leave --table out")
    return _ours(read_protocol(path), lab, robot, at)


def stock_of(path: Path) -> tuple[StockWell, ...]:
    """Read the source wells of a stock file.

    Raises:
        DataError: the file, or a line of it, cannot be used.
    """
    found = read_stock(path)
    if found.issues:
        raise DataError(f"{path}:{found.issues[0].line}: {found.issues[0].what}")
    return tuple(
        StockWell(r.source_plate, r.source_well, r.compound_id, r.volume_nl, r.concentration_um, r.labware)
        for r in found.rows
    )


def _ours(protocol: Protocol, lab: LabNow, robot: RobotDeck | None, at: datetime | None) -> Checked:
    ledger, notes = _ledger(protocol, lab)
    problems = check(protocol, ledger, robot, at)
    known = {plate for plate, _ in ledger.wells}
    dry = tuple(str(i) for i in shortages(ledger, [protocol]) if not isinstance(i, Refill) or i.plate in known)
    n_loads, n = len(protocol.loads), len(protocol.steps)
    name, s = named(protocol.name), "s" if n_loads != 1 else ""
    what = f"{name}: {n} steps in {n_loads} deck load{s}, digest {protocol.digest}"
    if not problems and n_loads:
        what += f"; about {words(estimate(protocol))}"
    return Checked(what, problems, (*notes, *map(str, carry_over(protocol))), dry)


def _ledger(protocol: Protocol, lab: LabNow) -> tuple[Ledger, list[str]]:
    """Open the books: the lab's, and what the protocol brings that they do not know."""
    known = {item.source_plate for item in lab.stock} | {rack.barcode for rack in lab.tips}
    items = {item.barcode: item for load in protocol.loads for item in load.deck if item.labware in LABWARE}
    others = {barcode: item for barcode, item in items.items() if barcode not in known}
    assumed = [] if lab.has_books else [b for b, item in others.items() if item.role is DeckRole.SOURCE]
    racks = [] if lab.tips else [item for item in others.values() if item.role is DeckRole.TIPS]
    tips = [TipRack(i.barcode, i.labware, LABWARE[i.labware].wells_by_column()) for i in racks if _is_rack(i)]
    filled = (DeckRole.DESTINATION, DeckRole.INTERMEDIATE)
    plates = {
        barcode: (item.labware, lab.fill_nl if item.role is DeckRole.DESTINATION else 0)
        for barcode, item in others.items()
        if item.role in filled and not _is_rack(item)
    }
    plates |= {
        b: (items[b].labware, LABWARE[items[b].labware].max_volume_nl) for b in assumed if not _is_rack(items[b])
    }
    notes = []
    if assumed:
        notes.append(
            f"nothing is known of what is in {', '.join(sorted(assumed))}: taken as full; name --lab or --stock"
        )
    beside = {s.reservoir for s in protocol.steps if isinstance(s, Dispense | Wash)} - known - items.keys()
    if beside:
        notes.append(f"nothing is known of {', '.join(sorted(beside))}, on no deck: name --lab or --stock that has it")
    if tips:
        notes.append(f"nothing is known of the tips in {', '.join(t.barcode for t in tips)}: taken as full")
    return Ledger.of(lab.stock, (*lab.tips, *tips), plates, lab.care), notes


def _is_rack(item: DeckItem) -> bool:
    return LABWARE[item.labware].is_tip_rack


def _by_hand(
    path: Path,
    lab: LabNow,
    robot: RobotDeck | None,
    at: datetime | None,
    python: Path | None,
    tables: Mapping[str, Path],
    *,
    is_attended: bool,
) -> Checked:
    try:
        analysis = analyzed(path, python, tables)
    except AnalysisEndless:
        said = f"{path.name}: the vendor's interpreter came to no end of it in time: look for a loop without end"
        return Checked(f"{path.name}: no end", (Problem(ProblemKind.STEP, said),), ())
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""  # else the analysis told
    problems: list[Problem] = []
    if not analysis.is_ok:
        problems = failures(path.name, analysis.errors or (analysis.result,), analysis.commands, text)
    if line := asks_whether_it_is_real(text):
        said = f"{path.name}, line {line}: it asks is_simulating(): what it does on the robot, no simulation tells"
        problems.append(Problem(ProblemKind.STEP, said))
    wells = {(w.source_plate, w.source_well): w for w in lab.stock}
    books = account(
        analysis.commands, {key: w.volume_nl for key, w in wells.items()}, is_attended=is_attended,
        least_nl=analysis.least_nl, fill_nl=lab.fill_nl,
        liquids={key: Liquid((w.compound_id, w.concentration_um), w.compound_id) for key, w in wells.items()},
        is_whole=analysis.is_ok,
    )  # fmt: skip
    what = f"{path.name}: the vendor's interpreter ended {analysis.result}; {books.n_draws} draws followed"
    if analysis.is_ok:
        what += f"; about {words(time_of(analysis.commands, analysis.robot_type))}"
    today = None if at is None else at.date()
    problems += lab_problems(books, analysis.robot_type, robot, lab.tips, lab.care, today)
    notes = (*may_differ(text), *books.notes, *not_known(books, lab.tips))
    return Checked(what, (*problems, *books.problems), notes)


def as_body(checked: Checked) -> Mapping[str, object]:
    """Return the verdict as JSON values."""
    return {
        "what": checked.what,
        "is_right": not checked.problems,
        "problems": [
            {"kind": p.kind, "plate": p.plate, "well": p.well, "step": p.step, "message": p.message}
            for p in checked.problems
        ],
        "shortages": list(checked.shortages),
        "notes": list(checked.notes),
    }


def as_text(checked: Checked, n_shown: int = 20) -> str:
    """Return the verdict for people."""
    n = len(checked.problems)
    verdict = "nothing forbids running it" if not n else f"refused, {n} problem{'s' if n != 1 else ''}"
    lines = [checked.what, verdict, *_some([str(p) for p in checked.problems], n_shown)]
    if checked.shortages:
        lines += ["to fill:", *_some(checked.shortages, n_shown)]
    if checked.notes:
        lines += ["notes:", *_some(checked.notes, n_shown)]
    return "\n".join(map(_line, lines))


def _line(text: str) -> str:
    """Return text as one line, of which no name makes two, and a very long one is cut in the middle."""
    line, half = plain(text), _LONGEST // 2 - 1
    return line if len(line) <= _LONGEST else f"{line[:half]}..{line[-half:]}"


def _some(lines: Iterable[str], n_shown: int) -> Sequence[str]:
    shown = [f"  {line}" for line in lines]
    return shown if len(shown) <= n_shown else [*shown[:n_shown], f"  .. and {len(shown) - n_shown} more"]
