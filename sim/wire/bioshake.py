"""A QInstruments BioShake as its serial line knows it; from facts/devices.md 4.6, and from no driver.

A start (``resetDevice``) is told in lines as it goes on, the last when it is done; `sim.wire.voice` says them, and
for four seconds more nothing is heard. What reads the state and sets a run time (getShakeState, getElmState,
shakeOnWithRuntime, ...) is as public programs quote the maker's manual; a model that lacks some of it (``lacks``)
answers ``u -> ...`` to that.
"""

import re
import threading

from sim.wire.emulator import split_lines
from sim.wire.rotor import Phase, RotorPhysics, Stuck
from sim.wire.time import EmulatedTime

_STATES = {Phase.TURNING: 0, Phase.BRAKING: 2, Phase.STILL: 3, Phase.FASTER: 5}
_NAMES = {Phase.TURNING: "RUN", Phase.BRAKING: "RAMP-", Phase.STILL: "STOP", Phase.FASTER: "RAMP+"}
_RESET_S, _DEAF_S, _HOME_S = 20.0, 4.0, 5.0
_LINE_S = 1.5
"""Between two lines of a start; a public program waits 2 s for each."""
_DEFAULT_RPM = 300
_ROOM_C, _KELVIN_PER_S = 22.0, 0.1


class BioShake3000:
    """The controller of a BioShake 3000-T elm."""

    def __init__(self, time: EmulatedTime, *, lacks: tuple[str, ...] = ()) -> None:
        self.time, self.lock = time, threading.RLock()
        self.physics = RotorPhysics(time, target_rpm=_DEFAULT_RPM, has_clamp="setElmLockPos" not in lacks)
        self._lacks = lacks
        self._deaf_until_s = self._homing_until_s = 0.0
        self._saying: list[tuple[float, bytes]] = []
        """Lines of a start, and when each is said."""
        self._heating_since_s: float | None = None
        self._temperature_c, self._target_c = _ROOM_C, 37.0

    def split(self, buffer: bytearray) -> list[bytes]:
        """Take whole lines; they end with a carriage return."""
        return split_lines(buffer, b"\r")

    def refusal(self, frame: bytes) -> bytes:  # noqa: ARG002
        """Return the answer to a command that cannot be carried out now."""
        return b"e\r\n"

    def answer(self, frame: bytes) -> list[bytes]:
        """Act on a line."""
        self.physics.advance()
        text = frame.rstrip(b"\r").decode("latin-1")
        if self.time.now_s() < self._deaf_until_s:
            return []
        if text == "resetDevice":
            return self._reset()
        return [self._answered(text).encode("latin-1") + b"\r\n"]

    def power_cycle(self) -> None:
        """Switch it off and on: what was set is lost, the rotor runs down."""
        with self.lock:
            self._saying = []
            self.physics.power_off()
            self.physics.target_rpm, self.physics.has_motor_fault = _DEFAULT_RPM, False
            self._heating_since_s, self._temperature_c = None, _ROOM_C

    def unasked(self) -> list[bytes]:
        """Return the lines of a start that are due (sim.wire.voice)."""
        now = self.time.now_s()
        due = [line for at, line in self._saying if at <= now]
        self._saying = [(at, line) for at, line in self._saying if at > now]
        return due

    def _reset(self) -> list[bytes]:
        """Start: tell of it in lines, the last when it is done, and be deaf until then and some seconds more."""
        self.power_cycle()
        now = self.time.now_s()
        self._deaf_until_s = now + _RESET_S + _DEAF_S
        steps = range(1, int(_RESET_S / _LINE_S) + 1)
        self._saying = [(now + n * _LINE_S, b"Initializing, step %d\r\n" % n) for n in steps]
        self._saying.append((now + _RESET_S, b"Initialization complete\r\n"))
        return [b"BioShake 3000-T elm\r\n"]

    def _answered(self, text: str) -> str:
        found = re.fullmatch(r"([A-Za-z]+)([0-9]*)", text)
        if found is None or found[1] in self._lacks:
            return f"u -> {text}"
        name, number = found[1], found[2]
        if not number:
            told = self._told(name)
            return told if told is not None else self._done(name, text)
        return self._set(name, int(number[:9]), text)

    def _told(self, name: str) -> str | None:
        physics = self.physics
        elm = 9 if physics.stuck is Stuck.CLAMP and not physics.is_clamped else 1 if physics.is_clamped else 3
        values = {
            "getDescription": "BioShake 3000-T elm",
            "getVersion": "1.8.00",
            "getErrorList": "Shaker motor fault" if physics.has_motor_fault else "no errors",
            "getShakeMinRpm": "200",
            "getShakeMaxRpm": "3000",
            "getShakeAccelerationMin": "1",
            "getShakeAccelerationMax": "30",
            "getShakeTargetSpeed": str(physics.target_rpm),
            "getShakeActualSpeed": f"{physics.speed_rpm:.0f}",
            "getShakeRemainingTime": f"{physics.left_s:.0f}",
            "getShakeState": str(4 if physics.has_motor_fault else _STATES[physics.phase]),
            "getShakeStateAsString": "ESTOP" if physics.has_motor_fault else _NAMES[physics.phase],
            "getElmState": str(elm),
            "getTempMin": "0.0",
            "getTempMax": "99.0",
            "getTempActual": f"{self._actual_c():.1f}",
            "getTempTarget": f"{self._target_c:.1f}",
        }
        return values.get(name)

    def _done(self, name: str, text: str) -> str:
        physics = self.physics
        is_still = physics.phase is Phase.STILL
        match name:
            case "shakeOn":
                return self._started(None)
            case "shakeOff":
                physics.stop()
            case "shakeGoHome":
                if not is_still:
                    return "e"
                physics.has_motor_fault = False
                self._homing_until_s = self.time.now_s() + _HOME_S
            case "setElmLockPos":
                physics.clamp()
            case "setElmUnlockPos":
                if not is_still:
                    return "e"
                physics.release()
            case "tempOn":
                self._temperature_c, self._heating_since_s = self._actual_c(), self.time.now_s()
            case "tempOff":
                self._temperature_c, self._heating_since_s = self._actual_c(), None
            case _:
                return f"u -> {text}"
        return "ok"

    def _set(self, name: str, number: int, text: str) -> str:
        match name:
            case "setShakeTargetSpeed":
                if not 200 <= number <= 3000:
                    return "e"
                self.physics.target_rpm = number
            case "setShakeAcceleration":
                if not 1 <= number <= 30:
                    return "e"
                self.physics.ramp_s = float(number)
            case "setTempTarget":
                if number > 990:
                    return "e"
                self._target_c = number / 10
            case "shakeOnWithRuntime":
                return self._started(number)
            case _:
                return f"u -> {text}"
        return "ok"

    def _started(self, duration_s: int | None) -> str:
        """Start, unless the clamp is open, the rotor turns already, or it looks for its home."""
        physics, is_homing = self.physics, self.time.now_s() < self._homing_until_s
        is_open = physics.has_clamp and not physics.is_clamped
        if is_open or is_homing or physics.has_motor_fault or physics.phase is not Phase.STILL:
            return "e"
        physics.start(duration_s)
        return "ok"

    def _actual_c(self) -> float:
        if self._heating_since_s is None:
            return self._temperature_c
        most = _KELVIN_PER_S * (self.time.now_s() - self._heating_since_s)
        return self._temperature_c + max(-most, min(most, self._target_c - self._temperature_c))


if __name__ == "__main__":
    from sim.wire.by_hand import serve

    serve("bioshake")
