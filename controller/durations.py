"""How long devices take: as they were seen to, or as is guessed while nobody has seen them."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from nextplate.schedule.durations import FEWEST, usual_s

if TYPE_CHECKING:
    import numpy as np

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
GUESSED_SPREAD = 0.2
"""Relative spread of what a device takes that was hardly ever seen at it."""
_LEAST_SPREAD = 0.02


def drawn_s(took_s: Mapping[str, Sequence[float]], activity: str, rng: "np.random.Generator") -> float:
    """Draw how long an activity may take, in seconds: log-normal around what was seen, or around a guess.

    Raises:
        KeyError: it was never seen, and there is no guess.
    """
    logs = [math.log(s) for s in took_s.get(activity, ()) if s > 0]
    middle = math.fsum(logs) / len(logs) if logs else math.log(GUESSES_S[activity])
    if len(logs) < FEWEST:
        return math.exp(rng.normal(middle, GUESSED_SPREAD))
    spread = math.sqrt(math.fsum((x - middle) ** 2 for x in logs) / (len(logs) - 1))
    return math.exp(rng.normal(middle, max(_LEAST_SPREAD, spread)))


def usually_s(took_s: Mapping[str, Sequence[float]], activity: str) -> float:
    """Return what an activity such as "imager acquire" usually takes, in seconds.

    Raises:
        KeyError: it was never seen, and there is no guess.
    """
    return usual_s(took_s.get(activity, ())) or GUESSES_S[activity]
