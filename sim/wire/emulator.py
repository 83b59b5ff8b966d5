"""What every emulated device shares: frames in, frames out, a log of what physically happened."""

import threading
from dataclasses import dataclass
from typing import Protocol

from sim.wire.time import EmulatedTime


@dataclass(frozen=True, slots=True)
class Act:
    """Something that physically happened."""

    at_s: float
    """On the device's clock."""
    what: str
    """pick, put, ..."""
    plate: str
    place: str


class Emulator(Protocol):
    """A device as its wire knows it; the server calls it from one thread, with its lock held."""

    time: EmulatedTime
    lock: threading.RLock
    """Hold it to look at the device's state from another thread."""

    def split(self, buffer: bytearray) -> list[bytes]:
        """Take whole frames out of what came, ends included; the rest stays."""

    def answer(self, frame: bytes) -> list[bytes]:
        """Act on a frame and return the frames that answer it, ends included."""

    def refusal(self, frame: bytes) -> bytes:
        """Return the frame with which the device refuses one."""


def split_lines(buffer: bytearray, end: bytes) -> list[bytes]:
    """Take the lines that are whole out of a buffer, ends included."""
    lines = []
    while (at := buffer.find(end)) >= 0:
        lines.append(bytes(buffer[: at + len(end)]))
        del buffer[: at + len(end)]
    return lines
