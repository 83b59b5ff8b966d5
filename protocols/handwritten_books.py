"""What is kept while a vendor's file written by hand is gone through: labware, pipettes, liquid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nextplate.errors import DataError
from protocols.handwritten_wells import Nozzles, padded, spelled
from protocols.labware import Pipette
from protocols.problems import Problem, ProblemKind
from protocols.sentences import well_on
from protocols.tip_past import Liquid, Past
from protocols.volumes import WellKey


@dataclass(slots=True)
class Plate:
    """A piece of labware of a file."""

    name: str
    """Its label, else its kind and slot."""
    load_name: str
    columns: Sequence[Sequence[str]]
    """Wells as the vendor spells them, column by column."""
    max_nl: Mapping[str, int]
    lid: str = ""
    """Id of the lid on it; empty: it has none."""


@dataclass(frozen=True, slots=True)
class Returned:
    """A tip that was put back into its rack."""

    past: Past | None
    drawn_from: frozenset[WellKey]
    is_filler: bool


@dataclass(slots=True)
class Head:
    """A pipette and what its tips hold: of the volume the first of eight stands for all."""

    tool: Pipette | None
    least_nl: int
    """Least that it moves; 0: nobody knows."""
    name: str
    n_channels: int
    nozzles: Nozzles
    """That have tips."""
    at: tuple[Plate, str] | None = None
    """Plate and well it is over; None: over none."""
    is_over: bool = False
    """Whether its tips are over the rim of that well: they touch nothing."""
    is_astray: bool = False
    """Whether nobody can tell where it is: it may be over a well."""
    held: list[tuple[int, tuple[WellKey, ...]]] = field(default_factory=list)
    """Drawn and not given yet, in order: nanolitres and the wells, none for air."""
    drawn_from: set[WellKey] = field(default_factory=set)
    """By the tips that are on."""
    given_to: set[WellKey] = field(default_factory=set)
    tips: tuple[WellKey, ...] = ()
    """Places of the tips that are on."""
    pasts: list[Past | None] = field(default_factory=list)
    """Where each tip that is on has been, channel by channel; None: in no liquid."""
    is_filler: bool = False
    """Whether they have given to a well that is no stock: what is in them has left its bottle."""
    borrowed: dict[WellKey, str] = field(default_factory=dict)
    """Wells left under their dead volume by a draw that may be a mix, and what to say if it was none."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A piece of labware that a file loads."""

    name: str
    """Its label, else its kind and slot."""
    load_name: str
    slot: str
    """Empty: on another piece, on a module, or off the deck."""
    number: int
    """Of the command."""


@dataclass(slots=True)
class Account:
    """What a file does to the wells."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What is allowed and worth knowing: where carry-over is possible."""
    volumes: dict[WellKey, int] = field(default_factory=dict)
    """At the end, nanolitres by well."""
    drawn: dict[WellKey, int] = field(default_factory=dict)
    n_draws: int = 0
    placed: list[Placed] = field(default_factory=list)
    """Labware, in the order of loading."""
    tips: list[tuple[int, WellKey]] = field(default_factory=list)
    """Every tip picked up, with the number of the command."""
    modules: list[tuple[str, str]] = field(default_factory=list)
    """Model and slot of every module that the file loads."""
    tools: list[str] = field(default_factory=list)
    """Pipettes, as the engine calls them."""


@dataclass(slots=True)
class Reader:
    """Where going through a file stands."""

    account: Account
    known: Mapping[WellKey, int]
    plates: dict[str, Plate] = field(default_factory=dict)
    heads: dict[str, Head] = field(default_factory=dict)
    given: set[WellKey] = field(default_factory=set)
    """Wells that something is known of."""
    moved: set[WellKey] = field(default_factory=set)
    """Wells drawn from or given to so far."""
    reported: set[tuple[ProblemKind, WellKey]] = field(default_factory=set)
    is_attended: bool = False
    least_nl: Mapping[str, int] = field(default_factory=dict)
    fill_nl: int = 0
    filled: frozenset[str] = frozenset()
    """Ids of labware whose wells hold fill_nl before."""
    used: dict[WellKey, Returned | None] = field(default_factory=dict)
    """Places that tips were taken from: what a returned one did; None: it was thrown away, or is on."""
    liquids: dict[WellKey, frozenset[Liquid]] = field(default_factory=dict)
    """In each well, as far as the file or the lab says."""
    stock: set[WellKey] = field(default_factory=set)
    """Wells that held a liquid of their own before anything was moved."""
    sources: set[WellKey] = field(default_factory=set)
    """Those of them that nothing but their own may come into: the lab's, and those that the file draws from."""
    spoiled: dict[WellKey, tuple[int, str]] = field(default_factory=dict)
    """Stock that a used tip gave other liquid to, with the command; it is a problem if it serves as a source."""

    def report(self, kind: ProblemKind, number: int, words: str, key: WellKey = ("", "")) -> None:
        """Enter a problem of a command."""
        self.account.problems.append(Problem(kind, f"command {number}: {words}", *key, step=number))


def wells_under(head: Head) -> tuple[WellKey, ...]:
    """Return the well of each channel of a pipette that is over one.

    Raises:
        DataError: not every channel stands in a well; names it.
    """
    assert head.at is not None
    return tuple((head.at[0].name, padded(well)) for well in spelled_under(head))


def spelled_under(head: Head) -> list[str]:
    """Return the well of each channel, as the vendor spells it; a trough once for each. Raises as wells_under."""
    assert head.at is not None
    plate, well = head.at
    try:
        return list(spelled(plate.columns, well, head.nozzles))
    except (ValueError, IndexError) as error:
        raise DataError(f"{head.name} at {padded(well)} of {plate.name}: {error}") from error


def wells_named(keys: Sequence[WellKey]) -> str:
    """Name the first of some wells, and say how many more there are."""
    first = well_on(*keys[0])
    return first if len(keys) == 1 else f"{first} and {len(keys) - 1} more wells"
