"""A BioTek EL406 as its own binary protocol knows it; from facts/devices.md 4.4b, and from no driver.

The layout of a step's data is (U), see the facts page; of it this device reads the plate type (byte 0) and, for its
physics, cycles and volumes. Where the page is silent it is strict: steps only in a batch, everything else is NAK.
"""

import threading
import time as wall
from collections.abc import Mapping, Sequence

from sim.wire.time import EmulatedTime
from sim.wire.wetplate import Deed, Trouble, WetPlate

_ACK, _NAK = b"\x06", b"\x15"
_TYPES: Mapping[int, int] = {0x04: 96, 0x01: 384, 0x02: 384, 0x00: 1536, 0x0E: 1536}
_CODES: Mapping[Trouble, int] = {
    Trouble.NO_VACUUM: 0x1400,
    Trouble.WASTE_FULL: 0x1401,
    Trouble.WRONG_PLATE: 0x1406,
    Trouble.CLEARANCE: 0x1412,
    Trouble.NO_BUFFER_AT_START: 0x1500,
    Trouble.NO_BUFFER: 0x1501,
}
_START, _ABORT, _PAUSE = 0x8D, 0x89, 0x8A
_STEPS = frozenset({0x8F, 0x90, 0x91, *range(0xA1, 0xA9)})
_INITIAL, _RUNNING, _PAUSED, _STOPPED = 1, 2, 3, 4
_HOME_S = 2.0
_BYTE_GAP_S = 0.05
"""Of the wall's clock: half a frame is forgotten after so long."""


def el406_frame(command: int, data: bytes = b"") -> bytes:
    """Return a frame as it stands on the wire."""
    head = bytes([1, 2, command & 0xFF, command >> 8, 1, 0, 0, len(data) & 0xFF, len(data) >> 8])
    check = (0x10000 - (sum(head) + sum(data)) % 0x10000) % 0x10000
    return head + bytes([check & 0xFF, check >> 8]) + data


class El406:
    """The instrument: washer, syringes and peristaltic pump over one carrier."""

    def __init__(self, time: EmulatedTime, *, step_s: float = 10.0) -> None:
        self.time, self.lock = time, threading.RLock()
        self.wet = WetPlate(time)
        self.serial = "EL406-1508"
        self.is_mute = False
        """True: no completion frame is sent."""
        self._step_s = step_s
        self._error, self._state, self._counter = 0, _INITIAL, 0
        self._batch: int | None = None
        self._command = 0
        self._busy_until_s = 0.0
        self._unasked: list[bytes] = []
        self._n_left, self._left_at_s = 0, 0.0

    def split(self, buffer: bytearray) -> list[bytes]:
        """Take whole frames; what begins none, and half a frame that lies too long, is thrown away."""
        now_s = wall.monotonic()
        if self._n_left and now_s - self._left_at_s > _BYTE_GAP_S:
            del buffer[: self._n_left]
        frames = []
        while buffer:
            if not buffer.startswith(b"\x01\x02"[: len(buffer)]):
                del buffer[0]
                continue
            size = 11 + (buffer[7] | buffer[8] << 8) if len(buffer) >= 9 else 11
            if len(buffer) < size:
                break
            frames.append(bytes(buffer[:size]))
            del buffer[:size]
        self._n_left, self._left_at_s = len(buffer), now_s
        return frames

    def refusal(self, frame: bytes) -> bytes:  # noqa: ARG002
        """Return NAK."""
        return _NAK

    def answer(self, frame: bytes) -> list[bytes]:
        """Act on a frame."""
        self._advance()
        command, data = frame[2] | frame[3] << 8, frame[11:]
        if el406_frame(command, data) != frame:
            return [_NAK]
        if command in _STEPS:
            return [self._step(command, data)]
        return [self._answered(command, data)]

    def unasked(self) -> list[bytes]:
        """Return the completion frames that are due."""
        self._advance()
        said, self._unasked = self._unasked, []
        return [] if self.is_mute else said

    def power_cycle(self) -> None:
        """Switch it off and on; what it did to the plate is done."""
        with self.lock:
            self.wet.stop()
            self._error, self._state, self._batch, self._command, self._counter = 0, _INITIAL, None, 0, 0
            self._unasked.clear()

    def _advance(self) -> None:
        if self._command and not self.wet.is_running:
            self._error = _CODES.get(self.wet.trouble, 0x1405) if self.wet.trouble else 0
            self._state = _STOPPED
            self._unasked.append(el406_frame(self._command, self._error.to_bytes(2, "little")))
            self._command = 0

    def _answered(self, command: int, data: bytes) -> bytes:
        match command:
            case 0x92:
                return self._told(command, self._poll())
            case 0x73:
                return _ACK
            case 0xA0:
                if self.wet.is_running:
                    self.wet.violations.append("initialised in the midst of a run")
                self._error, self._state, self._batch = 0, _INITIAL, None
                return _ACK
            case 0x8D:
                return self._start(data)
            case 0x8C:
                self._batch = None
                self._busy_until_s = self.time.now_s() + _HOME_S
                return _ACK
            case 0x89 | 0x8A | 0x8B:
                return self._pressed(command)
            case 0x70 | 0xC8 | 0x95 | 0x012B:
                self._busy_until_s = self.time.now_s() + _HOME_S
                self._unasked.append(el406_frame(command, b"\x00\x00"))
                return _ACK
        return self._query(command)

    def _query(self, command: int) -> bytes:
        values: Mapping[int, bytes] = {
            0xD8: b"\x00",
            0xBB: b"\x02",
            0xD2: b"\x01",
            0xF6: b"\x01\x02",
            0x0100: self.serial.encode(),
            0x0104: b"\x01",
            **dict.fromkeys((0xBF, 0xC1, 0xF2, 0xF4, 0x0102, 0x010A), b"\x00"),
        }
        # 0154 is one of those whose failure is to be borne: this firmware does not have it
        return self._told(command, b"\x00\x00" + values[command]) if command in values else _NAK

    def _told(self, command: int, data: bytes) -> bytes:
        return _ACK + el406_frame(command, data)

    def _poll(self) -> bytes:
        state = self._state
        if self.wet.is_running:
            state = _PAUSED if self.wet.is_paused else _RUNNING
        elif self.time.now_s() < self._busy_until_s:
            state = _RUNNING
        numbers = self._error.to_bytes(2, "little") + state.to_bytes(2, "little")
        return numbers + self._counter.to_bytes(4, "little") + b"\x00"

    def _pressed(self, command: int) -> bytes:
        if not self.wet.is_running:
            return _NAK
        if command == _ABORT:
            self.wet.stop()
        elif command == _PAUSE:
            self.wet.pause()
        else:
            self.wet.resume()
        return _ACK

    def _start(self, data: bytes) -> bytes:
        if self.wet.is_running or len(data) != 1 or data[0] not in _TYPES:
            self._error = 0x8102 if self.wet.is_running else 0x1406
            return _NAK
        self._batch = data[0]
        return self._told(_START, b"\x00\x00")

    def _step(self, command: int, data: bytes) -> bytes:
        if self.wet.is_running:
            self.wet.violations.append(f"step {command:02X} in the midst of a run")
            return _NAK
        if self._batch is None or self.time.now_s() < self._busy_until_s:
            self._error = 0x810F
            return _NAK
        if not data or data[0] != self._batch or _TYPES[self._batch] != self.wet.plate_type:
            self._error = 0x1406
            return _NAK
        self._command, self._error, self._state = command, 0, _RUNNING
        self._counter += 1
        self.wet.begin(f"{command:02X}", self._deeds(command, data))
        return _ACK

    def _deeds(self, command: int, data: bytes) -> Sequence[Deed]:
        """Return what a step does; its data as far as it can be read."""

        def number(at: int) -> int:
            return int.from_bytes(data[at : at + 2], "little")

        long_s = self._step_s
        match command:
            case 0xA4:
                cycles, volume = max(1, data[6] if len(data) > 6 else 1), number(69)
                share = long_s / (2 * cycles + 1)
                cycle = [Deed("empty", share, 5.0), Deed("fill", share, volume)]
                return [*cycle * cycles, Deed("empty", share, 5.0)]
            case 0xA5:
                return [Deed("empty", long_s, 5.0)]
            case 0xA6 | 0xA1:
                return [Deed("fill", long_s, number(2))]
            case 0x8F:
                return [Deed("fill", long_s, number(1))]
        return [Deed("shake", long_s)]


if __name__ == "__main__":
    from sim.wire.by_hand import serve

    serve("el406")
