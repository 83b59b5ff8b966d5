"""An ACME Orbit as its serial line knows it; from its manual, and from no driver."""

import threading

from sim.wire.emulator import split_lines
from sim.wire.rotor import Phase, RotorPhysics


class AcmeOrbit:
    def __init__(self, time):
        self.time, self.lock = time, threading.RLock()
        self.physics = RotorPhysics(time, target_rpm=100, has_clamp=False)

    def split(self, buffer):
        return split_lines(buffer, b"\r")

    def refusal(self, frame):
        return b"NO\r\n"

    def answer(self, frame):
        self.physics.advance()
        return [self._said(frame.decode("latin-1").split()).encode() + b"\r\n"]

    def power_cycle(self):
        with self.lock:
            self.physics.power_off()
            self.physics.target_rpm, self.physics.has_motor_fault = 100, False

    def _said(self, words):
        physics = self.physics
        match words:
            case ["ID?"]:
                return "ACME Orbit 2.1"
            case ["STATE?"]:
                return f"STATE {'fault' if physics.has_motor_fault else physics.phase.value}"
            case ["RPM?"]:
                return f"RPM {physics.target_rpm}"
            case ["SPEED?"]:
                return f"SPEED {physics.speed_rpm:.0f}"
            case ["RPM", number] if number.isdecimal() and number.isascii() and 100 <= int(number[:9]) <= 2000:
                physics.target_rpm = int(number)
            case ["RUN", number] if number.isdecimal() and number.isascii() and self._can_start():
                physics.start(int(number[:9]))
            case ["STOP"]:
                physics.stop()
            case _:
                return "NO"
        return "OK"

    def _can_start(self):
        return self.physics.phase is Phase.STILL and not self.physics.has_motor_fault
