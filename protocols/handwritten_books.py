"""What is kept while a vendor's file written by hand is gone through: labware, pipettes, liquid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from protocols.labware import Pipette
from protocols.problems import Problem, ProblemKind
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


@dataclass(slots=True)
class Head:
    """A pipette and what its tips hold: the first of eight stands for all."""

    tool: Pipette | None
    least_nl: int
    """Least that it moves; 0: nobody knows."""
    name: str
    n_channels: int
    n_active: int
    at: tuple[Plate, str] | None = None
    """Plate and well it is over; None: over none."""
    is_astray: bool = False
    """Whether nobody can tell where it is: it may be over a well."""
    held: list[tuple[int, tuple[WellKey, ...]]] = field(default_factory=list)
    """Drawn and not given yet, in order: nanolitres and the wells, none for air."""
    drawn_from: set[WellKey] = field(default_factory=set)
    """By the tip that is on."""
    given_to: set[WellKey] = field(default_factory=set)
    tips: tuple[WellKey, ...] = ()
    """Places of the tips that are on."""
    is_reused: bool = False
    """Whether they were on before, and returned."""
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
    used: dict[WellKey, set[WellKey] | None] = field(default_factory=dict)
    """Places that tips were taken from: what a returned one had drawn from; None: it was thrown away, or is on."""
