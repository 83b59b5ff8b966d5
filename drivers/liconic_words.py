"""What a LiCONiC STX says over its PLC line, in words. Pure; source: facts/devices.md 4.1."""

import re
from collections.abc import Mapping

from drivers.wire import Garbled
from nextplate.errors import NeedsOperator

STEPS_PER_MM = 1713 / 50
_SITE_CLEARANCE_MM = 6.0
_REFUSALS: Mapping[str, str] = {
    "E0": "no such relay or word",
    "E1": "it does not know this command",
    "E2": "its program is lost",
    "E3": "hardware fault",
    "E4": "its memory is write-protected",
    "E5": "base unit fault",
}
"""Only E1 is verified; the others stand in the order in which the maker lists the six classes."""
_HANDLING: Mapping[int, str] = {
    14: "not initialised",
    6163: "a plate could not be put in; perhaps there is one already",
}
"""Codes of DM200 that are known from the field. The maker's table is not public."""
_FAMILIES = "remove, place, set, get, import or export a plate, read a barcode, gate, lift, user access"


def pitch_steps(site_height_mm: float) -> int:
    """Return the motor steps from one level to the next (DM23), of the height of a site of a cassette."""
    return round((site_height_mm + _SITE_CLEARANCE_MM) * STEPS_PER_MM)


def acknowledged(reply: str, question: str) -> None:
    """Read the answer to ST, RS or WR.

    Raises:
        NeedsOperator: the device refused.
        Garbled: it said something else.
    """
    _refuse(reply, question)
    if reply != "OK":
        raise Garbled(f"the incubator answered {reply[:40]!a} to {question!r}, not OK")


def flag(reply: str, question: str) -> bool:
    """Read the answer to RD of a relay.

    Raises:
        NeedsOperator: the device refused.
        Garbled: it is neither 0 nor 1.
    """
    _refuse(reply, question)
    if reply not in ("0", "1"):
        raise Garbled(f"the incubator answered {reply[:40]!a} to {question!r}, not 0 or 1")
    return reply == "1"


def word(reply: str, question: str) -> int:
    """Read the answer to RD of a word, -32768 to 65535.

    Raises:
        NeedsOperator: the device refused.
        Garbled: it is no number.
    """
    _refuse(reply, question)
    if not re.fullmatch(r"[+-]?[0-9]{1,5}", reply) or not -32768 <= int(reply) <= 65535:
        raise Garbled(f"the incubator answered {reply[:40]!a} to {question!r}, which is no number")
    return int(reply)


def handling_error(code: int) -> str:
    """Say what DM200 means, with its number, for people and the maker's service."""
    known = _HANDLING.get(code, f"one of: {_FAMILIES}; the maker's table says which")
    return f"handling error {code:05d} ({known})"


def _refuse(reply: str, question: str) -> None:
    if re.fullmatch(r"E[0-9]", reply):
        raise NeedsOperator(f"the incubator refused {question!r}: {reply}, {_REFUSALS.get(reply, 'unknown to us')}")
