"""The physics of a shaker: a rotor that speeds up, turns and brakes, a clamp, and a plate that may be thrown."""

from dataclasses import dataclass, field
from enum import StrEnum

from sim.wire.emulator import Act
from sim.wire.time import EmulatedTime


class Stuck(StrEnum):
    """How a shaker may fail by itself."""

    START = "start"
    """It takes the command and does not turn."""
    BRAKE = "brake"
    """It does not stop, however often it is told."""
    MOTOR = "motor"
    """It stops by itself after `Rotor.motor_s`, with an error."""
    CLAMP = "clamp"
    """The clamp says that it closes and stays open."""
    OPEN = "open"
    """The clamp says that it opens and stays closed."""
    SLOW = "slow"
    """It turns at half of the speed."""


class Phase(StrEnum):
    """What the rotor does."""

    STILL = "still"
    FASTER = "faster"
    TURNING = "turning"
    BRAKING = "braking"


@dataclass(frozen=True, slots=True)
class Shaken:
    """One shake, by what physically happened."""

    plate: str
    speed_rpm: int
    from_s: float
    to_s: float
    """When it began to brake."""


@dataclass(slots=True)
class RotorPhysics:
    """A rotor, its clamp, and the plate on it."""

    time: EmulatedTime
    ramp_s: float = 2.0
    """To speed up, and to brake; of the device's clock."""
    target_rpm: int = 0
    plate: str | None = None
    is_clamped: bool = False
    has_clamp: bool = True
    stuck: Stuck | None = None
    motor_s: float = 3.0
    has_motor_fault: bool = False
    shakes: list[Shaken] = field(default_factory=list)
    log: list[Act] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    """What a shaker must never be asked."""
    _from_s: float | None = None
    _ends_s: float | None = None
    _brake_s: float | None = None

    @property
    def phase(self) -> Phase:
        """Return what the rotor does now."""
        self.advance()
        if self._from_s is None:
            return Phase.STILL
        if self._brake_s is not None:
            return Phase.BRAKING
        return Phase.FASTER if self.time.now_s() < self._from_s + self.ramp_s else Phase.TURNING

    @property
    def speed_rpm(self) -> float:
        """Return how fast it turns now."""
        now, phase = self.time.now_s(), self.phase
        top = self.target_rpm / 2 if self.stuck is Stuck.SLOW else self.target_rpm
        if phase is Phase.STILL:
            return 0.0
        if phase is Phase.BRAKING and self._brake_s is not None:
            return max(0.0, top * (1 - (now - self._brake_s) / self.ramp_s))
        return min(top, top * (now - (self._from_s or 0.0)) / self.ramp_s)

    @property
    def left_s(self) -> float:
        """Return how long it turns on by its own timer; 0 without one."""
        return max(0.0, self._ends_s - self.time.now_s()) if self._ends_s is not None else 0.0

    def start(self, duration_s: float | None = None) -> None:
        """Turn, for so long or until it is told to stop."""
        if self.phase is not Phase.STILL:
            self.violations.append("started while it turned")
            return
        if self.stuck is Stuck.START:
            return
        now = self.time.now_s()
        self._from_s, self._ends_s = now, None if duration_s is None else now + duration_s
        self._note(now, "start")
        if self.has_clamp and not self.is_clamped and self.plate is not None:
            self._throw(now)

    def stop(self) -> None:
        """Brake; a rotor that stands still goes on doing so."""
        self.advance()
        if self._from_s is not None and self._brake_s is None and self.stuck is not Stuck.BRAKE:
            self._brake(self.time.now_s())

    def clamp(self) -> None:
        """Close the clamp on the plate."""
        self.advance()
        if self.stuck is not Stuck.CLAMP:
            self.is_clamped = True
            self._note(self.time.now_s(), "clamp")

    def release(self) -> None:
        """Open the clamp; while the rotor turns that throws the plate."""
        if self.phase is not Phase.STILL:
            self.violations.append("the clamp was opened while the rotor turned")
            if self.plate is not None:
                self._throw(self.time.now_s())
        if self.stuck is not Stuck.OPEN:
            self.is_clamped = False
            self._note(self.time.now_s(), "release")

    def put(self, plate: str) -> None:
        """Do what a robot arm or a hand does."""
        if self.phase is not Phase.STILL:
            self.violations.append(f"{plate} was put on a rotor that turns")
        self.plate = plate

    def take(self) -> str | None:
        """Do what a robot arm or a hand does; None when nothing stands there."""
        if self.phase is not Phase.STILL or self.is_clamped:
            self.violations.append("a plate was taken that was turning or clamped")
        plate, self.plate = self.plate, None
        return plate

    def power_off(self) -> None:
        """Let it run down; the clamp stays as it is."""
        self.advance()
        if self._from_s is not None and self._brake_s is None:
            self._brake(self.time.now_s())
        self.target_rpm = 0

    def shaken_s(self) -> float:
        """Return how long plates were shaken so far, also by the shake that goes on."""
        self.advance()
        done = sum(shake.to_s - shake.from_s for shake in self.shakes)
        is_on = self._from_s is not None and self._brake_s is None
        return done + (self.time.now_s() - (self._from_s or 0.0) if is_on else 0.0)

    def starts(self) -> int:
        """Count how often the rotor was started."""
        return sum(act.what == "start" for act in self.log)

    def advance(self) -> None:
        """Let happen what was due by now."""
        now = self.time.now_s()
        if self._from_s is not None and self._brake_s is None:
            if self.stuck is Stuck.MOTOR and now >= self._from_s + self.motor_s:
                self.has_motor_fault = True
                self._brake(self._from_s + self.motor_s)
            elif self._ends_s is not None and now >= self._ends_s:
                self._brake(self._ends_s)
        if self._brake_s is not None and now >= self._brake_s + self.ramp_s:
            self._note(self._brake_s + self.ramp_s, "still")
            self._from_s = self._ends_s = self._brake_s = None

    def _brake(self, at_s: float) -> None:
        self._brake_s = at_s
        self._note(at_s, "brake")
        self.shakes.append(Shaken(self.plate or "", self.target_rpm, self._from_s or 0.0, at_s))

    def _throw(self, at_s: float) -> None:
        self.violations.append(f"plate {self.plate} was thrown")
        self._note(at_s, "thrown")
        self.plate = None

    def _note(self, at_s: float, what: str) -> None:
        self.log.append(Act(at_s, what, self.plate or "", "rotor"))
