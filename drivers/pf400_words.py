"""What a PreciseFlex PF400's TCP command server says, in words. Pure; source: facts/devices.md 4.8.

In its default mode every reply begins with a code, ``0`` for ok or a negative number, then the values asked for.
``wherej`` tells the joints as the maker counts them: column mm, shoulder, elbow and wrist in degrees, opening of the
jaws in mm, and the rail in mm where there is one.
"""

import re
from collections.abc import Mapping

from drivers.wire import Garbled
from nextplate.errors import NeedsOperator

_REFUSALS: Mapping[int, str] = {
    -1009: "no robot is attached",
    -1012: "a joint would be out of its range",
    -1021: "the arm is not homed; home it at its panel",
    -1025: "its power did not come on in time",
    -1046: "its power is off; look at the arm, then switch it on",
}
"""Codes as public drivers name them; any other is told by its number."""
_NUMBER = r"-?[0-9]{1,5}(?:\.[0-9]{1,6})?"
_JOINTS = re.compile(rf"{_NUMBER}(?: {_NUMBER}){{4,5}}")
JAWS = 4
"""Index of the jaws' opening among the joints."""


def values(reply: str, question: str) -> str:
    """Return what a reply says after its code.

    Raises:
        NeedsOperator: the arm refused; says why.
        Garbled: it is no reply of this protocol.
    """
    found = re.fullmatch(r"(0|-[1-9][0-9]{0,5})(?: ([ -~]*))?", reply)
    if found is None:
        raise Garbled(f"the arm answered {reply[:40]!a} to {question!r}, which begins with no code")
    if (code := int(found[1])) != 0:
        raise NeedsOperator(f"the arm refused {question!r}: {code}, {_why(code)}")
    return (found[2] or "").strip()


def joints(reply: str, question: str) -> tuple[float, ...]:
    """Read the answer to wherej: 5 numbers, 6 with a rail.

    Raises:
        NeedsOperator: the arm refused.
        Garbled: it is something else.
    """
    said = values(reply, question)
    if not _JOINTS.fullmatch(said):
        raise Garbled(f"the arm answered {reply[:60]!a} to {question!r}, not with its joints")
    return tuple(float(value) for value in said.split(" "))


def flag(reply: str, question: str) -> bool:
    """Read the answer to hp or attach.

    Raises:
        NeedsOperator: the arm refused.
        Garbled: it is neither 0 nor a 1.
    """
    said = values(reply, question)
    if said not in ("0", "1", "-1"):
        raise Garbled(f"the arm answered {reply[:40]!a} to {question!r}, not 0 or 1")
    return said != "0"


def _why(code: int) -> str:
    return _REFUSALS.get(code, "see the maker's list of codes")
