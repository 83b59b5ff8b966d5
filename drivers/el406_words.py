"""What a BioTek EL406 says, in words. Pure; source: facts/devices.md 4.4b."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from drivers.wire import Garbled

_ERRORS: Mapping[int, str] = {
    0x1400: "no vacuum",
    0x1401: "the waste is full",
    0x1405: "Z height",
    0x1406: "wrong plate type",
    0x1412: "plate clearance",
    0x1500: "no buffer at the start",
    0x1501: "no buffer in the midst of a step",
    0x1504: "no flow",
    0x1505: "no buffer at the end",
    0x8100: "it did not accept a command",
    0x8101: "a command came too slowly",
    0x8102: "it is busy",
    0x8104: "wrong checksum",
    0x810D: "it is not at its main menu",
    0x810F: "a command is not valid in this state",
    0xA301: "supply",
    0xA302: "supply",
}
"""Those worth knowing of about 160; the maker's table has the others."""
_PREFIX_BYTES = 2
"""Before the payload of an answer, a status that is 0 where all is well."""


class State(IntEnum):
    """What the device does."""

    INITIAL = 1
    RUNNING = 2
    PAUSED = 3
    STOPPED = 4

    @property
    def is_idle(self) -> bool:
        """Say whether no step is under way."""
        return self in (State.INITIAL, State.STOPPED)


@dataclass(frozen=True, slots=True)
class Poll:
    """The answer to a poll (92)."""

    error: int
    """0: none."""
    state: State
    counter: int
    """Its meaning is not known; told to people, believed by nobody."""
    status: int


def poll(data: bytes) -> Poll:
    """Read the data of the answer to a poll.

    Raises:
        Garbled: too short, or a state that does not exist.
    """
    if len(data) < 9:
        raise Garbled(f"the EL406 answered a poll with {len(data)} bytes ({data.hex(' ')}), not with 9")
    number = int.from_bytes(data[2:4], "little")
    try:
        state = State(number)
    except ValueError:
        raise Garbled(f"the EL406 says it is in state {number}, which does not exist") from None
    return Poll(int.from_bytes(data[0:2], "little"), state, int.from_bytes(data[4:8], "little"), data[8])


def payload(data: bytes) -> bytes:
    """Return the payload of the answer to another question.

    Raises:
        Garbled: there is none.
    """
    if len(data) <= _PREFIX_BYTES:
        raise Garbled(f"the EL406 answered {data.hex(' ') or 'nothing'}, which has no payload")
    return data[_PREFIX_BYTES:]


def text(data: bytes) -> str:
    """Return the text in an answer, such as the serial number.

    Raises:
        Garbled: it is not printable ASCII.
    """
    said = payload(data).rstrip(b"\x00").strip()
    if not (said.isascii() and all(0x20 <= b < 0x7F for b in said)):
        raise Garbled(f"the EL406 answered {data.hex(' ')}, which is no text")
    return said.decode("ascii")


def error_text(code: int) -> str:
    """Say what an error code means, with its number; "" for 0."""
    return f"error {code:04X} ({_ERRORS.get(code, 'not in our table; the maker has it')})" if code else ""
