"""How long devices take: as they were seen to, or as is guessed while nobody has seen them."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from nextplate.schedule.durations import usual_s

GUESSES_S: Mapping[str, float] = MappingProxyType(
    {
        "plate-mover move": 120.0,
        "liquid-handler run-load": 900.0,
        "incubator store": 60.0,
        "incubator fetch": 60.0,
        "imager acquire": 1800.0,
        "washer wash": 300.0,
        "dispenser dispense": 120.0,
        "shaker shake": 120.0,
        "barcode-reader read": 10.0,
        "step measure": 3600.0,
        "step fit": 1800.0,
    }
)
"""What something is taken to need until it was seen."""


def usually_s(took_s: Mapping[str, Sequence[float]], activity: str) -> float:
    """Return what an activity such as "imager acquire" usually takes, in seconds.

    Raises:
        KeyError: it was never seen, and there is no guess.
    """
    return usual_s(took_s.get(activity, ())) or GUESSES_S[activity]
