"""What can be wrong with a protocol, each with the place."""

from dataclasses import dataclass
from enum import StrEnum

from protocols.sentences import plain


class ProblemKind(StrEnum):
    """Kinds of problems, for programs; people read the message."""

    ROBOT = "robot"
    """Robot, pipette or mount unknown, or not those of the lab."""
    DECK = "deck"
    """A slot, or the labware in it."""
    STEP = "step"
    """A step's number, or something it says of itself."""
    PLATE = "plate"
    """A plate that is not known, not on the deck, or there for something else."""
    WELL = "well"
    """A well that does not exist or cannot be reached."""
    CONTENT = "content"
    """A well that holds something else."""
    VOLUME = "volume"
    """A volume that is none, or that the pipette cannot move."""
    OVERDRAW = "overdraw"
    OVERFILL = "overfill"
    TIP = "tip"
    """A tip that is not there, does not fit, or was used for something else."""
    STROKE = "stroke"
    """Transfers that eight channels cannot make at once."""
    SEAL = "seal"
    ATTENDED = "attended"
    """A step that waits for a person, where nobody stands by."""
    EXPIRED = "expired"
    THAWED = "thawed"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that forbids running a protocol."""

    kind: ProblemKind
    message: str
    """For people; names the place."""
    plate: str = ""
    """Barcode, empty where no plate is concerned; of a tip, the rack's."""
    well: str = ""
    """As the protocol spells it; empty where no well is concerned."""
    step: int | None = None
    """Number of the step; None where the deck or the protocol as a whole is concerned."""
    load: int | None = None

    def __str__(self) -> str:
        return plain(self.message)
