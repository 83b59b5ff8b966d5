"""What an ImageXpress Micro says on its serial line, in words. Pure; source: facts/devices.md 4.8.

Replies are comma-separated; the first field is the instrument's number. ``1,STATUS`` is answered by one of
``READY,<LOAD|SAMPLE>``, ``RUNNING,..``, ``DONE,..`` or ``ERROR,<n>`` after that field.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from drivers.wire import Garbled
from nextplate.errors import NeedsOperator

OFFLINE = 1
_ERRORS: Mapping[int, str] = {
    1: "offline",
    3: "it runs",
    5: "busy",
    6: "timed out",
    7: "the stage failed",
    8: "bad protocol; is the path of the HTS file right?",
    12: "its database failed",
    14: "no sample was found; does the plate stand on the stage?",
    21: "the camera failed",
}
_REPLY = re.compile(r"[0-9]{1,3},[ -~]+")


class Phase(StrEnum):
    """What STATUS begins with."""

    READY = "READY"
    RUNNING = "RUNNING"
    DONE = "DONE"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class State:
    """An answer to STATUS."""

    phase: Phase
    place: str = ""
    """LOAD or SAMPLE while READY."""
    error: int = 0
    """While ERROR."""

    @property
    def trouble(self) -> str:
        """Say what is wrong, in words; "" for nothing."""
        return error_text(self.error) if self.phase is Phase.ERROR else ""


def error_text(number: int) -> str:
    """Say what an error means, with its number."""
    return f"error {number} ({_ERRORS.get(number, 'see the list of its maker')})"


def fields(reply: str, question: str) -> tuple[str, ...]:
    """Return a reply's fields after the first.

    Raises:
        NeedsOperator: it is an error; says which.
        Garbled: it is no reply of this protocol.
    """
    found = _split(reply, question)
    if found[0] == Phase.ERROR:
        raise NeedsOperator(f"the imager refused {question!r}: {error_text(_number(found, reply, question))}")
    return found


def state(reply: str, question: str) -> State:
    """Read the answer to STATUS.

    Raises:
        Garbled: it is something else.
    """
    found = _split(reply, question)
    match found:
        case ("READY", ("LOAD" | "SAMPLE") as place):
            return State(Phase.READY, place)
        case (("RUNNING" | "DONE") as phase, *_):
            return State(Phase(phase))
        case ("ERROR", *_):
            return State(Phase.ERROR, error=_number(found, reply, question))
    raise Garbled(f"the imager answered {reply[:60]!a} to {question!r}, which is no status")


def _split(reply: str, question: str) -> tuple[str, ...]:
    if not _REPLY.fullmatch(reply):
        raise Garbled(f"the imager answered {reply[:60]!a} to {question!r}, which is no reply of an ImageXpress")
    return tuple(field.strip() for field in reply.split(",")[1:])


def _number(found: tuple[str, ...], reply: str, question: str) -> int:
    if len(found) < 2 or not re.fullmatch(r"[0-9]{1,4}", found[1]):
        raise Garbled(f"the imager answered {reply[:60]!a} to {question!r}, an error without number")
    return int(found[1])
