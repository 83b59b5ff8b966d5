"""What is kept while a protocol is judged, step by step: liquid, tips, labware on the deck and off it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from protocols.labware import LABWARE, Labware, Pipette, RobotDeck
from protocols.model import DeckItem, DeckLoad
from protocols.problems import ProblemKind
from protocols.steps import Transfer
from protocols.stock import PlateCare
from protocols.tip_past import Past
from protocols.volumes import Tally, WellKey

Found = tuple[ProblemKind, str, WellKey]
"""Kind, words, and the well or tip that they are about."""


@dataclass(slots=True)
class Books:
    """Running state while a protocol is judged."""

    tally: Tally
    free_tips: dict[str, set[str]]
    labware: Mapping[str, str]
    contents: Mapping[WellKey, str]
    care: Mapping[str, PlateCare]
    sealed: set[str]
    pipette: Pipette | None
    multichannel: Pipette | None
    robot: RobotDeck | None = None
    """As it stands in the lab, else any of the protocol's kind; None: unknown."""
    deck: dict[str, DeckItem] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    """Where labware is that stood on the deck of this load, or that was carried: deck/C2, reader."""
    away: dict[str, DeckItem] = field(default_factory=dict)
    """Labware of this load's deck that was carried out of the pipettes' reach."""
    load: int = 0
    ids: set[int] = field(default_factory=set)
    last_id: int = 0
    """Highest number of a transfer so far."""
    reported: set[tuple[ProblemKind, WellKey]] = field(default_factory=set)
    """Wells already found overdrawn or overfilled: one message each is enough."""
    held: dict[WellKey, Past] = field(default_factory=dict)
    """Tips that are on: the one or the eight of the motion before."""
    stroke: int = 0
    """Of the step before; 0: it was none."""
    is_stroke_kept: bool = False
    """Whether that stroke began with tips that were on."""
    used: set[WellKey] = field(default_factory=set)
    """Tips this protocol has taken."""
    received: dict[WellKey, set[str]] = field(default_factory=dict)
    """Compounds put into each well by this protocol so far, with tips."""
    reagents: dict[WellKey, set[str]] = field(default_factory=dict)
    """Put into each well by a dispenser or washer: for tips they are as the medium that stood there before."""
    strokes: dict[int, list[Transfer]] = field(default_factory=dict)
    """Of the load, by number."""

    def enter(self, load: DeckLoad) -> None:
        """Go on to the next load: another deck, no tip on the pipette."""
        self.deck, self.away = {item.barcode: item for item in load.deck}, {}
        # The plate mover sets every deck anew; what was carried elsewhere before stays there.
        self.places = {b: place for b, place in self.places.items() if not place.startswith("deck/")}
        self.places |= {item.barcode: f"deck/{item.slot}" for item in load.deck}
        self.load, self.held, self.stroke = load.index, {}, 0
        self.strokes = {}
        for t in load.transfers:
            if t.stroke:
                self.strokes.setdefault(t.stroke, []).append(t)

    def kind(self, barcode: str) -> Labware | None:
        """Return the labware of a barcode; None where it is not known."""
        on_deck = self.deck[barcode].labware if barcode in self.deck else ""
        return LABWARE.get(self.labware.get(barcode) or on_deck)
