"""The vendor's STX Driver service, and the incubator behind it; from facts/devices.md 4.2, and from no driver.

On that page: the names and words of the commands, ``1`` and ``1;1`` for done, ``-1`` for failure, the bits of the
status, that a move blocks its connection until it is done, and the four numbers of a climate. Assumed, and seen on no
real service: ``0`` for a move that was refused or failed; ``-1`` for a command that it does not know; that bit 1 is the
transfer station, and bit 4 set whenever nothing moves; that other connections are answered during a move; that a move
ends, and a later status tells of it, when its connection is gone; that a reset clears an error and moves no plate. The
bits "transfer station status change" and "warning" are never set.
"""

import re
import threading

from sim.wire.hotel import Hotel
from sim.wire.time import EmulatedTime

_CLIMATE = {"STX2ReadActualClimate": b"36.9;94.0;4.98;0.0\r\n", "STX2ReadSetClimate": b"37.0;95.0;5.0;0.0\r\n"}
_STATION, _INSIDE = 1, 2


class StxService:
    """One incubator, by its id."""

    def __init__(self, time: EmulatedTime, *, cassettes: int = 3, levels: int = 4, handling_s: float = 20.0) -> None:
        self.time, self.lock = time, threading.RLock()
        self.cassettes, self.levels = cassettes, levels
        self.hotel = Hotel(time, cassettes * levels, handling_s)
        self.is_active = True
        self.is_lost = False
        """The service has no contact with the incubator."""

    def begin(self, frame: bytes) -> object:
        """Act on a command; what is known at once is its own answer."""
        self.hotel.advance()
        found = re.fullmatch(r"(\w+)\(STX((?:,\w+)*)\)\r", frame.decode("latin-1"), re.ASCII)
        if found is None or self.is_lost:
            return b"-1\r\n"
        name, words = found[1], found[2].split(",")[1:]
        if name == "STX2GetSysStatus":
            return f"{self._mask()}\r\n".encode()
        if name in ("STX2Activate", "STX2Reset"):
            self.is_active = True
            self.hotel.reset()
            return b"1;1\r\n"
        if name == "STX2ServiceMovePlate":
            return self._move(words)
        return _CLIMATE.get(name, b"-1\r\n")

    def answer(self, call: object) -> bytes | None:
        """Return the answer; a move's when it has ended."""
        if isinstance(call, bytes):
            return call
        if self.hotel.is_moving:
            return None
        return b"1\r\n" if self.hotel.trouble is None else b"0\r\n"

    def refusal(self, frame: bytes) -> bytes:  # noqa: ARG002
        """Return that it failed."""
        return b"-1\r\n"

    def _move(self, words: list[str]) -> object:
        if len(words) != 11 or words[5] != "STX" or not all(w.isdecimal() for n, w in enumerate(words) if n != 5):
            return b"-1\r\n"
        source, target = [int(w) for w in words[:3]], [int(w) for w in words[6:9]]
        slot = self._slot(target if source[0] == _STATION else source)
        if {source[0], target[0]} != {_STATION, _INSIDE} or slot is None or not self.is_active:
            return b"0\r\n"
        if self.hotel.is_moving or self.hotel.trouble is not None:
            return b"0\r\n"
        self.hotel.store(slot) if source[0] == _STATION else self.hotel.fetch(slot)
        return "moving"

    def _slot(self, end: list[int]) -> int | None:
        cassette, level = end[1], end[2]
        if 1 <= cassette <= self.cassettes and 1 <= level <= self.levels:
            return (cassette - 1) * self.levels + level
        return None

    def _mask(self) -> int:
        hotel = self.hotel
        is_ready = self.is_active and not hotel.is_moving and hotel.trouble is None
        bits = (is_ready, hotel.station is not None, self.is_active, False, not hotel.is_moving, hotel.is_door_open,
                False, hotel.trouble is not None)  # fmt: skip
        return sum(1 << n for n, bit in enumerate(bits) if bit)
