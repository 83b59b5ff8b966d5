"""A BlueCatBio BlueWasher as its serial line knows it; from facts/devices.md 4.5, and from no driver.

The language of its programs is not on the page; here it is ``EMPTY``, ``FILL <ul>`` and ``SPIN <s>``, and any other
line is wrong when the program is run. Where the page is silent: a question while a program runs is answered with 38.
"""

import re
import threading
from collections.abc import Mapping, Sequence

from sim.wire.emulator import split_lines
from sim.wire.time import EmulatedTime
from sim.wire.wetplate import Deed, Trouble, WetPlate

_CODES: Mapping[Trouble, int] = {
    Trouble.CLEARANCE: 22,
    Trouble.WASTE_FULL: 23,
    Trouble.NO_VACUUM: 23,
    Trouble.DOOR: 24,
    Trouble.VIBRATION: 26,
    Trouble.WRONG_PLATE: 27,
    Trouble.NO_BUFFER: 77,
    Trouble.NO_BUFFER_AT_START: 77,
}
"""77 stands for the many that are not on the page."""
_DEED = re.compile(r"(EMPTY|FILL|SPIN)(?: ([0-9]{1,5}))?")
_MAX_LINES = 160
_NOISE_EVERY = 7
"""Before every so many-th answer comes a line that is garbled."""

_NUMBERS = {"$Copyprog": r"([0-9]{2}) _", "$deleteprog": r"([0-9]{2})"}


class BlueWasherEmulator:
    """The instrument: a rotor that empties plates by spinning, and a dispenser."""

    def __init__(self, time: EmulatedTime, *, step_s: float = 10.0) -> None:
        self.time, self.lock = time, threading.RLock()
        self.wet = WetPlate(time)
        self._step_s = step_s
        self._programs: dict[int, list[str]] = {}
        self._copying: int | None = None
        self._is_short = False
        self._is_under_way = False
        self._n_answers = 0
        self._unasked: list[bytes] = []

    def split(self, buffer: bytearray) -> list[bytes]:
        """Take whole lines."""
        return split_lines(buffer, b"\r\n")

    def refusal(self, frame: bytes) -> bytes:  # noqa: ARG002
        """Return the answer to what it does not know."""
        return b"Err=15\r\n"

    def answer(self, frame: bytes) -> list[bytes]:
        """Act on a line."""
        self._advance()
        self._n_answers += 1
        noise = [b"\xff\x00rror\r\n"] if self._n_answers % _NOISE_EVERY == 0 else []
        text = frame.rstrip(b"\r\n").decode("latin-1")
        said, code = self._done(text)
        long = [] if self._is_short else [b"> " + frame]
        return [b"".join([*noise, *long, *(line.encode() + b"\r\n" for line in said), f"Err={code:02d}\r\n".encode()])]

    def unasked(self) -> list[bytes]:
        """Return what it says by itself: that a program has ended, or why it stopped."""
        self._advance()
        said, self._unasked = self._unasked, []
        return said

    def power_cycle(self) -> None:
        """Switch it off and on; its programs stay."""
        with self.lock:
            self.wet.stop()
            self._copying, self._is_short, self._is_under_way = None, False, False
            self._unasked.clear()

    def _advance(self) -> None:
        if self._is_under_way and not self.wet.is_running:
            self._is_under_way = False
            code = _CODES[self.wet.trouble] if self.wet.trouble else 21
            self._unasked.append(f"Err={code:02d}\r\n".encode())

    def _done(self, text: str) -> tuple[Sequence[str], int]:
        verb, _, rest = text.partition(" ")
        if verb == "$changelog" and rest == "0":
            self._is_short = True
            return (), 0
        if self.wet.is_running:
            return (), 38
        match verb:
            case "$getserial":
                return ("BW-384-0117",), 0
            case "$getfirmware":
                return ("FW 3.15",), 0
            case "$getipadr":
                return ("192.168.0.7",), 0
            case "$getprogs":
                return tuple(f"{number:02d}" for number in sorted(self._programs)), 0
            case "$rackgetoutsensor":
                return ("STATUS 1",), 0
            case "$deleteprog" | "$Copyprog" | "$runprog":
                return (), self._numbered(verb, rest)
            case "$&":
                return (), self._line(rest)
            case "$%":
                ended, self._copying = self._copying, None
                return (), 0 if ended is not None else 15
        return (), 15

    def _numbered(self, verb: str, rest: str) -> int:
        # the facts page writes NN for these two and N for running
        found = re.fullmatch(_NUMBERS.get(verb, r"([0-9]{1,2})"), rest)
        if found is None:
            return 15
        number = int(found[1])
        if verb == "$deleteprog":
            return 0 if self._programs.pop(number, None) is not None else 16
        if verb == "$Copyprog":
            if number in self._programs:
                return 41
            self._programs[number], self._copying = [], number
            return 0
        return self._run(number)

    def _line(self, rest: str) -> int:
        if self._copying is None:
            return 15
        lines = self._programs[self._copying]
        if len(lines) >= _MAX_LINES:
            return 42
        lines.append(rest)
        return 0

    def _run(self, number: int) -> int:
        if number not in self._programs:
            return 16
        deeds = [_DEED.fullmatch(line) for line in self._programs[number]]
        if not deeds or None in deeds:
            return 17
        share_s = self._step_s / len(deeds)
        self.wet.begin(f"program {number}", [_deed(found, share_s) for found in deeds if found])
        self._is_under_way = True
        return 0


def _deed(found: re.Match[str], share_s: float) -> Deed:
    amount = float(found[2] or 5)
    match found[1]:
        case "EMPTY":
            return Deed("empty", share_s, 5.0)
        case "FILL":
            return Deed("fill", share_s, amount)
    return Deed("shake", share_s)


if __name__ == "__main__":
    from sim.wire.by_hand import serve

    serve("bluewasher")
