"""A LiCONiC STX as its PLC line knows it; from facts/devices.md 4.1, and from no driver."""

import re
import threading

from sim.wire.emulator import split_lines
from sim.wire.hotel import Hotel, Trouble
from sim.wire.time import EmulatedTime

_CODES = {Trouble.NO_PLATE: 6100, Trouble.NOT_PUT: 6163}
_GATE_S = 1.0
_INIT_S = 8.0


class LiconicStx:
    """The PLC: relays and words; silent until it was greeted."""

    def __init__(self, time: EmulatedTime, *, cassettes: int = 3, levels: int = 4, handling_s: float = 20.0) -> None:
        self.time, self.lock = time, threading.RLock()
        self.levels = levels
        self.hotel = Hotel(time, cassettes * levels, handling_s)
        self.words = {"DM890": 370, "DM982": 369, "DM893": 950, "DM983": 940, "DM894": 500, "DM984": 498}
        self._is_greeted, self._is_active = False, True
        self._busy_until_s = 0.0

    def split(self, buffer: bytearray) -> list[bytes]:
        """Take whole lines; they end with a carriage return."""
        return split_lines(buffer, b"\r")

    def refusal(self, frame: bytes) -> bytes:  # noqa: ARG002
        """Return the answer to a command that the PLC does not know."""
        return b"E1\r\n"

    def answer(self, frame: bytes) -> list[bytes]:
        """Act on a line."""
        self.hotel.advance()
        text = frame.rstrip(b"\r").decode("latin-1")
        if text == "CR":
            self._is_greeted = True
            return [b"CC\r\n"]
        if not self._is_greeted:
            return []
        return [self._answered(text).encode() + b"\r\n"]

    def power_cycle(self) -> None:
        """Switch it off and on: words are lost, a plate on the shovel stays there."""
        with self.lock:
            self.hotel.power_off()
            self._is_greeted = self._is_active = False
            self.words = {n: v for n, v in self.words.items() if n[:3] in ("DM8", "DM9")}

    def _answered(self, text: str) -> str:
        if text == "CQ":
            self._is_greeted = False
            return "CF"
        if found := re.fullmatch(r"(ST|RS) ([0-9]+)", text):
            return self._set(int(found[2]), is_on=found[1] == "ST")
        if found := re.fullmatch(r"RD ([0-9]+)", text):
            return str(int(self._relay(int(found[1]))))
        if found := re.fullmatch(r"RD (DM[0-9]{1,4})", text):
            return f"{self._word(found[1]):05d}"
        if found := re.fullmatch(r"WR (DM[0-9]{1,4}) ([0-9]{1,5})", text):
            self.words[found[1]] = int(found[2])
            return "OK"
        return "E1"

    def _set(self, relay: int, *, is_on: bool) -> str:
        match relay, is_on:
            case 1801, True:
                self._is_active = True
            case 1900, True:
                self.hotel.reset()
                self._busy(_INIT_S)
            case ((1904 | 1905), True):
                return self._move(relay)
            case ((1901 | 1902 | 1903 | 1910 | 1911 | 1912 | 1913), _):
                self._busy(_GATE_S)
            case _:
                return "E0"
        return "OK"

    def _move(self, relay: int) -> str:
        """Import or export by what the words say; the PLC acknowledges, and then tries."""
        slot = (self.words.get("DM0", 0) - 1) * self.levels + self.words.get("DM5", 0)
        is_there = self.words.get("DM25") == self.levels and 1 <= slot <= self.hotel.n_slots
        if not is_there:
            self.hotel.violations.append(f"a motion to slot {slot} with DM25 = {self.words.get('DM25')}")
            self.hotel.trouble = Trouble.NO_PLATE
        elif relay == 1904:
            self.hotel.store(slot)
        else:
            self.hotel.fetch(slot)
        return "OK"

    def _relay(self, relay: int) -> bool:
        hotel = self.hotel
        is_busy = hotel.is_moving or self.time.now_s() < self._busy_until_s
        match relay:
            case 1915:
                return self._is_active and not is_busy and hotel.trouble is None
            case 1814:
                return hotel.trouble is not None
            case 1813:
                return hotel.station is not None
            case 1812:
                return hotel.shovel is not None
            case 6501 | 6502 | 6503 | 6504:
                return self._is_active
        return False

    def _word(self, name: str) -> int:
        if name == "DM200":
            return _CODES[self.hotel.trouble] if self.hotel.trouble else 0
        return self.words.get(name, 0)

    def _busy(self, wait_s: float) -> None:
        self._busy_until_s = max(self._busy_until_s, self.time.now_s() + wait_s)


if __name__ == "__main__":
    from sim.wire.by_hand import serve

    serve("liconic")
