"""An Inheco Incubator Shaker as its serial line knows it; from facts/devices.md 4.6, and from no driver.

REE, RSE, SSP, ASEND and the set and actual frequencies are as PyLabRobot's documentation of the same device tells. How
it answers while its drawer moves is not told anywhere: this one acknowledges at once and says "drawer not in end
position" to RDS until it is there, or (``is_deaf``) answers nothing on the way.
"""

import re
import threading

from sim.wire.rotor import Phase, RotorPhysics
from sim.wire.time import EmulatedTime
from sim.wire.tray import Tray

_OK, _INVALID, _OPERAND, _PROTOCOL, _COLD, _NOT_NOW, _ON_ITS_WAY, _FLOOR = 0, 2, 3, 4, 7, 8, 9, 14
_BLOCK = 8
"""Bytes of data behind each header byte of a reply."""
_LOW_HZ10, _HIGH_HZ10, _MOST_MM10 = 66, 300, 30
_RPM_PER_HZ10 = 6


def checksum(data: bytes) -> int:
    """Return the CRC-8 of what the facts page says: start A1, the lowest bit first."""
    crc = 0xA1
    for byte in data:
        d = byte
        for _ in range(8):
            if (d ^ crc) & 1:
                crc = (crc ^ 0x18) >> 1 | 0x80
            else:
                crc >>= 1
            d >>= 1
    return crc & 0xFF


class IncubatorShaker:
    """One unit of a stack, with or without a shaker."""

    def __init__(
        self,
        time: EmulatedTime,
        *,
        handling_s: float = 5.0,
        is_open: bool = True,
        kind: int = 1,
        dip: int = 2,
        is_deaf: bool = False,
        sees_open: bool = True,
        firmware: str = "IncShak_C_V3.26",
    ) -> None:
        self.time, self.lock = time, threading.RLock()
        self.physics = RotorPhysics(time, is_clamped=not is_open)
        self.hotel = Tray(time, self.physics, handling_s)
        self.kind, self.dip, self.is_deaf, self.sees_open, self.firmware = kind, dip, is_deaf, sees_open, firmware
        self.is_initialised = True
        self.target_c10, self.actual_c10, self.is_heating = 370, 369, False
        self._hz10 = {"X": 100, "Y": 100}
        self._mm10 = {"X": 20, "Y": 20}
        self._last_seen = False

    def split(self, buffer: bytearray) -> list[bytes]:
        """Take whole frames; the first byte tells how many follow it."""
        frames = []
        while buffer:
            if not 7 <= buffer[0] <= 0x40 or (len(buffer) > 1 and buffer[1] >> 4 != 3):
                del buffer[0]
                continue
            if len(buffer) <= buffer[0]:
                break
            frames.append(bytes(buffer[: buffer[0] + 1]))
            del buffer[: buffer[0] + 1]
        return frames

    def refusal(self, frame: bytes) -> bytes:  # noqa: ARG002
        """Return the answer to a frame that it cannot carry out now."""
        return self._reply(_NOT_NOW)

    def answer(self, frame: bytes) -> list[bytes]:
        """Act on a frame."""
        self.physics.advance()
        if self.is_deaf and self.hotel.is_moving:
            return []
        text = frame[3:-1]
        if len(frame) < 8 or frame[0] != len(frame) - 1 or frame[1] != 0x30 + self.dip:
            return []
        if frame[2] != 0xC0 + len(text) or checksum(frame[:-1]) != frame[-1] or not text.isascii():
            return [self._reply(_PROTOCOL)]
        found = re.fullmatch(r"T0([0-9])([A-Z]{3})(.*)", text.decode())
        if found is None:
            return [self._reply(_INVALID)]
        if found[1] != "0":
            return [self._reply(_FLOOR)]
        code, data = self._told(found[2], found[3]) or self._done(found[2], found[3])
        if self.is_deaf and self.hotel.is_moving:
            return []
        return [self._reply(code, data)]

    def power_cycle(self) -> None:
        """Switch it off and on: the drawer stops where it is, and it wants to be initialised."""
        with self.lock:
            self.hotel.power_off()
            self.physics.has_motor_fault = self.is_initialised = self.is_heating = False
            self._hz10 = {"X": 100, "Y": 100}

    def _reply(self, code: int, data: str = "") -> bytes:
        head, raw = bytes([0xB0 + self.dip]), data.encode("latin-1")
        blocks = b"".join(head + raw[at : at + _BLOCK] for at in range(0, len(raw), _BLOCK))
        return blocks + head + bytes([0x20 + code, 0x60])

    def _told(self, name: str, operand: str) -> tuple[int, str] | None:
        """Answer a question; None: it is none."""
        phase = self.physics.phase
        actual = round(self.physics.speed_rpm / _RPM_PER_HZ10)
        values = {
            "RTS": str(self.kind),
            "RFV0": self.firmware,
            "RFV2": "1107",
            "RDA0,1": "1",
            "REE": "0" if self.is_initialised else "3",
            "RLW": "1" if self._sees_plate() else "0",
            "RHE": "1" if self.is_heating else "0",
            "RTT": str(self.target_c10),
            "RDT": str(self.target_c10 - self.actual_c10),
            "RAT1": str(self.actual_c10),
            "RAT2": str(self.actual_c10 - 2),
            "RAT3": str(self.actual_c10 + 30),
            **{f"RF{axis}0": str(value) for axis, value in self._hz10.items()},
            **{f"RF{axis}1": str(actual) for axis in "XY"},
            **{f"RA{axis}0": str(value) for axis, value in self._mm10.items()},
        }
        if name == "RDS":
            is_open = self.hotel.is_open
            return (_ON_ITS_WAY, "") if is_open is None else (_OK, str(int(is_open)))
        if name == "RSE" and self._shakes:
            return _OK, {Phase.STILL: "0", Phase.BRAKING: "2"}.get(phase, "1")
        value = values.get(name + operand)
        return None if value is None else (_OK, value)

    def _sees_plate(self) -> bool:
        if self.sees_open or self.hotel.is_open is False:
            self._last_seen = self.physics.plate is not None
        return self._last_seen

    @property
    def _shakes(self) -> bool:
        return self.kind in (1, 3)

    def _done(self, name: str, operand: str) -> tuple[int, str]:
        if name == "AID" and not operand:
            return self._initialised(), ""
        if name[0] == "A" and not self.is_initialised:
            return _COLD, ""
        match name, operand:
            case "AOD" | "ACD", "":
                return self._drive(opens=name == "AOD"), ""
            case "ASE", "ND" | "1" | "0" if self._shakes:
                return self._shake(operand), ""
            case "SSP", _ if self._shakes:
                return self._pattern(operand), ""
            case "STT", _:
                return self._target(operand), ""
            case "SHE", "0" | "1":
                self.is_heating = operand == "1"
                return _OK, ""
        return _INVALID, ""

    def _initialised(self) -> int:
        """Stop shaker and heater, and close the drawer."""
        self.physics.stop()
        self.is_initialised, self.is_heating = True, False
        if self.physics.phase is Phase.STILL:
            self.hotel.drive(opens=False)
        return _OK

    def _drive(self, *, opens: bool) -> int:
        if self.physics.phase is not Phase.STILL:
            self.hotel.violations.append("asked to move the drawer while the shaker moves")
            return _NOT_NOW
        self.hotel.drive(opens=opens)
        return _OK

    def _shake(self, operand: str) -> int:
        if operand == "0":
            self.physics.stop()
            return _OK
        if self.hotel.is_open is not False:
            self.physics.violations.append("asked to shake with an open drawer")
            return _ON_ITS_WAY
        if self.physics.phase is not Phase.STILL:
            return _NOT_NOW
        self.physics.target_rpm = self._hz10["X"] * _RPM_PER_HZ10
        self.physics.start()
        return _OK

    def _pattern(self, operand: str) -> int:
        numbers = [int(text) for text in operand.split(",") if re.fullmatch(r"[0-9]{1,3}", text)]
        if len(numbers) != 5 or operand.count(",") != 4:
            return _OPERAND
        *wide, x, y, phase = numbers
        is_possible = all(_LOW_HZ10 <= f <= _HIGH_HZ10 for f in (x, y)) and max(wide) <= _MOST_MM10 and phase <= 360
        if not is_possible:
            return _OPERAND
        self._hz10, self._mm10 = {"X": x, "Y": y}, {"X": wide[0], "Y": wide[1]}
        return _OK

    def _target(self, operand: str) -> int:
        if not re.fullmatch(r"[0-9]{1,3}", operand) or int(operand) > 850:
            return _OPERAND
        self.target_c10 = int(operand)
        return _OK
