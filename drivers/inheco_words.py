"""What an Inheco Incubator Shaker answers, in words. Pure; source: facts/devices.md 4.6.

REE, RSE, SSP, ASEND, ASE0 and the questions for set and actual frequency are not on that page; they are as PyLabRobot's
driver of the same device uses them. Check them against the manual.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from drivers.wire import Garbled

SLOWEST_RPM, FASTEST_RPM = 396, 1800
NOT_INITIALISED = (
    "it was switched on and not initialised since; look whether a plate is in the way, then initialise it "
    "(python -m drivers.inheco_drawer init)"
)
_RPM_PER_STEP = 6
"""Frequencies are in 0.1 Hz."""
_TYPES: Mapping[int, str] = {
    0: "incubator MP",
    1: "incubator shaker MP",
    2: "incubator DWP",
    3: "incubator shaker DWP",
}
_SHAKERS = frozenset({1, 3})


@dataclass(frozen=True, slots=True)
class Model:
    """What the unit is."""

    name: str
    has_shaker: bool


def choice(data: str, question: str, choices: range) -> int:
    """Read an answer that is one of a few numbers.

    Raises:
        Garbled: it is something else.
    """
    if not re.fullmatch(r"[0-9]", data) or int(data) not in choices:
        raise Garbled(f"the Inheco answered {data[:40]!a} to {question!r}, not {choices.start} to {choices.stop - 1}")
    return int(data)


def whole(data: str, question: str) -> int:
    """Read a whole number, -99999 to 99999.

    Raises:
        Garbled: it is none.
    """
    if not re.fullmatch(r"[+-]?[0-9]{1,5}", data):
        raise Garbled(f"the Inheco answered {data[:40]!a} to {question!r}, which is no number")
    return int(data)


def nothing(data: str, command: str) -> None:
    """Read the answer to a command.

    Raises:
        Garbled: it carries data, so it answers something else.
    """
    if data:
        raise Garbled(f"the Inheco answered {data[:40]!a} to {command!r}, which has no answer but done")


def model(data: str) -> Model:
    """Read the answer to RTS.

    Raises:
        Garbled: there is no such type.
    """
    number = choice(data, "RTS", range(4))
    return Model(f"Inheco {_TYPES[number]}", number in _SHAKERS)


def steps_of(speed_rpm: int) -> int:
    """Return a speed in 0.1 Hz, the nearest there is."""
    return round(speed_rpm / _RPM_PER_STEP)


def rpm_of(steps: int) -> int:
    """Return the speed of a frequency in 0.1 Hz."""
    return steps * _RPM_PER_STEP
