"""What a Thermo Cytomat says over its serial line, in words. Pure; source: facts/devices.md 4.3."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from drivers.wire import Garbled
from nextplate.errors import NeedsOperator

SPURIOUS = frozenset({0x01, 0x02})
"""Refusals (busy, command unknown) that an idle Cytomat sometimes gives for no reason."""
_REFUSALS: Mapping[int, str] = {
    0x01: "it is still busy",
    0x02: "it does not know this command",
    0x03: "telegram structure error",
    0x04: "wrong parameter",
    0x05: "it has no such slot",
    0x11: "the handler is in the wrong position",
    0x12: "the shovel is extended",
    0x21: "a plate is on the handler already",
    0x22: "no plate is on the handler",
    0x31: "no plate is on the transfer station",
    0x32: "the transfer station is occupied",
    0x33: "the transfer station is not in position",
    0x41: "the lift door is not configured",
    0x42: "the lift door is not open",
    0x51: "its memory cannot be read",
    0x52: "wrong password",
}
_ERRORS: Mapping[int, str] = {
    0x01: "no communication with the motor controllers",
    0x02: "no plate was taken onto the shovel",
    0x03: "the plate was not put down from the shovel",
    0x04: "the shovel is not extended",
    0x05: "a motion took too long",
    0x06: "the gate is not open",
    0x07: "the gate is not closed",
    0x08: "the shovel is not retracted",
    0x0A: "a stepper motor controller is too hot",
    0x0B: "stepper motor controller error",
    0x0C: "the transfer station is not rotated",
    0x0D: "no communication with heating and gas controllers",
    0x0E: "no communication with the shaker",
    0x0F: "wrong configuration of the shaker",
    0x10: "the shaker did not start",
    0x13: "a shaker clamp is not open",
    0x14: "a shaker clamp is not closed",
    0xFF: "fatal error while an error was handled",
}
"""0E to 14 from a table in decimal (14 to 20) of another source."""
_WARNINGS: Mapping[int, str] = {
    0x09: "initialised because a door was opened",
    0x0E: "the carousel was initialised again",
}


class Refused(NeedsOperator):
    """The Cytomat answered ``er``."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Overview:
    """The overview register, ``bs``."""

    is_busy: bool
    is_ready: bool
    has_warning: bool
    has_error: bool
    has_handler_plate: bool
    is_gate_open: bool
    is_door_open: bool
    has_station_plate: bool

    @classmethod
    def of(cls, value: int) -> "Overview":
        """Read the byte; bit 0 is busy, bit 7 the transfer station."""
        return cls(*(bool(value >> bit & 1) for bit in range(8)))


def accepted(reply: str, question: str) -> None:
    """Read the answer to a motion or a setting, ``ok`` and the overview.

    Raises:
        Refused: ``er`` and a code.
        Garbled: something else.
    """
    _refuse(reply, question)
    if not re.fullmatch(r"ok( [0-9A-Fa-f]{2})?", reply):
        raise Garbled(f"the incubator answered {reply[:40]!a} to {question!r}, not ok")


def register(reply: str, name: str) -> int:
    """Read the answer to ``ch:<name>`` of a register of one byte.

    Raises:
        Refused: ``er`` and a code.
        Garbled: something else, or the answer to another question.
    """
    _refuse(reply, f"ch:{name}")
    found = re.fullmatch(rf"{name} ([0-9A-Fa-f]{{2}})", reply)
    if not found:
        raise Garbled(f"the incubator answered {reply[:40]!a} to 'ch:{name}', not '{name}' and a byte")
    return int(found[1], 16)


def readings(reply: str, name: str) -> tuple[float, float]:
    """Read the answer to a climate question: nominal and actual value.

    Raises:
        Refused: ``er`` and a code; the model may not have it.
        Garbled: something else.
    """
    _refuse(reply, f"ch:{name}")
    number = r"([+-]?[0-9]{1,3}(?:\.[0-9]{1,2})?)"
    found = re.fullmatch(rf"{name} {number} {number}", reply)
    if not found:
        raise Garbled(f"the incubator answered {reply[:40]!a} to 'ch:{name}', not two numbers")
    return float(found[1]), float(found[2])


def error_text(code: int) -> str:
    """Say what the error register means; "" for 00."""
    return f"error {code:02X} ({_ERRORS.get(code, 'not in our table')})" if code else ""


def warning_text(code: int) -> str:
    """Say what the warning register means; "" for 00."""
    return f"warning {code:02X} ({_WARNINGS.get(code, 'not in our table')})" if code else ""


def _refuse(reply: str, question: str) -> None:
    if found := re.fullmatch(r"er ([0-9A-Fa-f]{2})", reply):
        code = int(found[1], 16)
        raise Refused(f"the incubator refused {question!r}: {reply}, {_REFUSALS.get(code, 'unknown to us')}", code)
