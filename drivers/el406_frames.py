"""Frames of the BioTek EL406's own protocol; pure. Source: facts/devices.md 4.4b.

::

    byte  0 1     2 3      4   5 6    7 8          9 10      11 ...
          01 02   command  01  00 00  data length  checksum  data           (numbers little-endian)

The checksum is the two's complement, 16 bit, of the sum of the bytes 0 to 8 and of the data. A reply is ACK or NAK,
then, for a question, a frame with the question's command. An action is acknowledged at once; a frame with its command
follows when it has ended.
"""

from dataclasses import dataclass

from drivers.wire import Garbled

ACK, NAK = 0x06, 0x15
HEADER_BYTES = 11
MAX_DATA = 1024
"""More than any known answer has; a longer one is noise."""
_MARK = b"\x01\x02"


@dataclass(frozen=True, slots=True)
class Frame:
    """A command to the device, or its answer."""

    command: int
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Header:
    """The first 11 bytes of a frame."""

    command: int
    n_data: int
    checksum: int
    covered: bytes
    """What the checksum covers beside the data."""


def encoded(frame: Frame) -> bytes:
    """Return the bytes of a frame.

    Raises:
        ValueError: a command or a length that has no place in 16 bits.
    """
    if not (0 <= frame.command <= 0xFFFF and len(frame.data) <= MAX_DATA):
        raise ValueError(f"no frame can hold command {frame.command:#x} with {len(frame.data)} bytes")
    start = _MARK + frame.command.to_bytes(2, "little") + b"\x01\x00\x00" + len(frame.data).to_bytes(2, "little")
    return start + _checksum(start + frame.data).to_bytes(2, "little") + frame.data


def header(data: bytes) -> Header:
    """Read the first 11 bytes of a frame.

    Raises:
        Garbled: they are not those of a frame.
    """
    is_frame = len(data) == HEADER_BYTES and data[:2] == _MARK and data[4:7] == b"\x01\x00\x00"
    n_data = int.from_bytes(data[7:9], "little")
    if not is_frame or n_data > MAX_DATA:
        raise Garbled(f"the EL406 sent {data[:HEADER_BYTES].hex(' ')}, which begins no frame")
    return Header(int.from_bytes(data[2:4], "little"), n_data, int.from_bytes(data[9:11], "little"), data[:9])


def whole(start: Header, data: bytes) -> Frame:
    """Put header and data together.

    Raises:
        Garbled: the checksum or the length is wrong.
    """
    found = _checksum(start.covered + data)
    if len(data) != start.n_data or found != start.checksum:
        raise Garbled(
            f"the EL406 sent a frame of command {start.command:#06x} with a wrong checksum "
            f"({start.checksum:#06x}, not {found:#06x})"
        )
    return Frame(start.command, data)


def frames_in(noise: bytes) -> list[Frame]:
    """Find the whole frames in bytes that nobody waited for."""
    found, at = [], noise.find(_MARK)
    while at >= 0:
        try:
            start = header(noise[at : at + HEADER_BYTES])
            end = at + HEADER_BYTES + start.n_data
            found.append(whole(start, noise[at + HEADER_BYTES : end]))
        except Garbled:
            end = at + 1
        at = noise.find(_MARK, end)
    return found


def _checksum(data: bytes) -> int:
    return -sum(data) & 0xFFFF
