"""Frames of an Inheco Incubator Shaker stack; pure. Source: facts/devices.md 4.6.

::

    to it:    [n + 3] [30 + DIP] [C0 + n]  "T0<unit><command>", n bytes  [CRC-8]
    from it:  [B0 + DIP] data  [B0 + DIP] data ...  [B0 + DIP] [20 + error] [60]

What it sends has no checksum and does not say what it answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from drivers.wire import Garbled
from nextplate.errors import NeedsOperator

END = b"\x60"
"""The last byte of a reply; data is ASCII without it."""
MAX_REPLY = 256
MOVING = 9
"""The error with which it answers while its drawer is on its way."""
_CRC_START, _CRC_POLYNOMIAL = 0xA1, 0x18
_ERRORS: Mapping[int, str] = {
    1: "it was reset",
    2: "it does not know this command",
    3: "wrong operand",
    4: "protocol error, the frame did not arrive as it was sent",
    6: "a device in it does not answer in time",
    7: "it is not initialised",
    8: "the command cannot be carried out now",
    9: "the drawer is not at its end",
    10: "the plate is not where it should be",
    13: "the drawer for deep-well plates is not quite closed",
    14: "wrong floor of the stack",
    15: "another unit of the stack does not answer in time",
}


class Refused(NeedsOperator):
    """The device answered with an error."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Reply:
    """What the device answered."""

    error: int
    data: str


def crc8(data: bytes) -> int:
    """Return the checksum of a frame's bytes before it."""
    crc = _CRC_START
    for byte in data:
        for bit in range(8):
            is_odd = (byte >> bit ^ crc) & 1
            crc = (crc ^ _CRC_POLYNOMIAL) >> 1 | 0x80 if is_odd else crc >> 1
    return crc


def encoded(command: str, *, dip: int, unit: int) -> bytes:
    """Return the frame of a command to one unit of the stack, 0 the lowest.

    Raises:
        ValueError: the command is too long, or there is no such unit or switch.
    """
    text = f"T0{unit}{command}".encode("ascii")
    if not (0 <= dip <= 15 and 0 <= unit <= 5 and len(text) < 0x40):
        raise ValueError(f"no frame can hold {command!r} for unit {unit} behind DIP switch {dip}")
    frame = bytes([len(text) + 3, 0x30 + dip, 0xC0 + len(text)]) + text
    return frame + bytes([crc8(frame)])


def decoded(raw: bytes, *, dip: int) -> Reply:
    """Read a reply, its last byte (`END`) taken away.

    Raises:
        Garbled: it is none.
    """
    head, *blocks = raw.split(bytes([0xB0 + dip]))
    tail = blocks.pop() if blocks else b""
    data = b"".join(blocks).strip(b"\0")
    is_text = data.isascii() and END not in data and all(byte >= 0x20 for byte in data)
    if head or len(tail) != 1 or not 0x20 <= tail[0] <= 0x2F or not is_text:
        raise Garbled(f"the Inheco sent {raw[:40].hex(' ')}, which is no answer of one with DIP switch {dip}")
    return Reply(tail[0] - 0x20, data.decode("ascii"))


def accepted(reply: Reply, command: str) -> str:
    """Return the data of a reply without an error.

    Raises:
        Refused: with one.
    """
    if reply.error:
        said = _ERRORS.get(reply.error, "unknown to us")
        raise Refused(f"the Inheco refused {command!r}: error {reply.error}, {said}", reply.error)
    return reply.data
