"""How long devices take, as far as nobody has seen them yet."""

from collections.abc import Mapping
from types import MappingProxyType

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
    }
)
"""What a device is taken to need until it was seen at it."""
