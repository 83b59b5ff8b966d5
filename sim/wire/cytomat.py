"""A Thermo Cytomat as its serial line knows it, with its false busy; from facts/devices.md 4.3, and from no driver."""

import re
import threading

import numpy as np

from sim.wire.emulator import split_lines
from sim.wire.hotel import Hotel, Trouble
from sim.wire.time import EmulatedTime

_ERRORS = {Trouble.NO_PLATE: 0x02, Trouble.NOT_PUT: 0x03}
_INIT_S = 60.0


class CytomatEmulator:
    """A Cytomat with absolute slot numbers."""

    def __init__(
        self, time: EmulatedTime, *, slots: int = 12, handling_s: float = 20.0, false_busy: float = 0.05, seed: int = 1
    ) -> None:
        self.time, self.lock = time, threading.RLock()
        self.hotel = Hotel(time, slots, handling_s)
        self.false_busy = false_busy
        """How often it says that it is busy, or does not know the command, for no reason."""
        self.climate = {"it": (37.0, 36.9), "ic": (5.0, 4.9), "ih": (95.0, 94.0)}
        self._rng = np.random.default_rng(seed)
        self._busy_until_s = 0.0
        self._warning = 0

    def split(self, buffer: bytearray) -> list[bytes]:
        """Take whole lines."""
        return split_lines(buffer, b"\r\n")

    def refusal(self, frame: bytes) -> bytes:  # noqa: ARG002
        """Return the answer to a telegram that it does not understand."""
        return b"er 03\r\n"

    def answer(self, frame: bytes) -> list[bytes]:
        """Act on a line."""
        self.hotel.advance()
        text = frame.rstrip(b"\r\n").decode("latin-1")
        if self._rng.random() < self.false_busy:
            return [b"er 01\r\n" if self._rng.random() < 0.5 else b"er 02\r\n"]
        return [self._answered(text).encode("latin-1") + b"\r\n"]

    def power_cycle(self) -> None:
        """Switch it off and on: it initialises by itself."""
        with self.lock:
            self.hotel.power_off()
            self._busy_until_s = self.time.now_s() + _INIT_S

    def _answered(self, text: str) -> str:
        if found := re.fullmatch(r"ch:(bs|bw|be|ba)", text):
            return f"{found[1]} {self._register(found[1]):02X}"
        if found := re.fullmatch(r"ch:(it|ic|ih|io)", text):
            values = self.climate.get(found[1])
            return f"{found[1]} {values[0]:+.1f} {values[1]:+.1f}" if values else "er 02"
        if text == "rs:be":
            self.hotel.reset()
            return self._ok()
        if found := re.fullmatch(r"mv:(st|ts) ([0-9]{3})", text):
            return self._move(found[1], int(found[2]))
        if text == "ll:in":
            self._busy_until_s = self.time.now_s() + _INIT_S
            return self._ok()
        return "er 02" if re.match(r"(ch|rs|mv|ll|se):", text) else "er 03"

    def _move(self, way: str, slot: int) -> str:
        hotel = self.hotel
        if self._is_busy:
            return "er 01"
        if not 1 <= slot <= hotel.n_slots:
            return "er 05"
        if hotel.shovel is not None:
            return "er 21"
        if way == "ts" and hotel.station is None:
            return "er 31"
        if way == "st" and hotel.station is not None:
            return "er 32"
        if way == "ts":
            hotel.store(slot)
        else:
            hotel.fetch(slot)
        return self._ok()

    @property
    def _is_busy(self) -> bool:
        return self.hotel.is_moving or self.time.now_s() < self._busy_until_s

    def _ok(self) -> str:
        return f"ok {self._register('bs'):02X}"

    def _register(self, name: str) -> int:
        hotel = self.hotel
        if name == "be":
            return _ERRORS[hotel.trouble] if hotel.trouble else 0
        if name == "bw":
            return self._warning
        if name == "ba":
            return 0
        bits = (
            self._is_busy,
            not self._is_busy,
            bool(self._warning),
            hotel.trouble is not None,
            hotel.shovel is not None,
            hotel.is_moving,
            hotel.is_door_open,
            hotel.station is not None,
        )
        return sum(bit << n for n, bit in enumerate(bits))


if __name__ == "__main__":
    from sim.wire.by_hand import serve

    serve("cytomat")
