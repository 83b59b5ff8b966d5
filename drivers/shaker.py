"""What all shakers share: when a plate may be shaken, for how long it was, and that no rotor turns for ever.

A vendor's driver is a `ShakerHandler`. Before a shake: the rotor stands still, without error, and the speed is one that
the device has. A rotor that nobody asked for is stopped (stopping is safe) and told of. The frame that starts it is
sent once; whether it turns is read from the device, twice the same, and not from its answer. A device with a timer gets
the time with that frame and stops by itself even when the controller is dead; any other is stopped by the driver, by
the next process too (`drivers.shaker_trail` remembers since when it turns).

``shaken_s`` is measured: from the frame that starts to the frame that stops, or to the look that saw the rotor brake;
in whole seconds. A shake that was more than ``tolerance_s`` too short or too long is FAILED and tells how long it was.
"""

import math
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from drivers.deadline import Deadline
from drivers.ports import Report, ShakePlate, Status
from drivers.shaker_handler import Rotor, ShakerHandler, ShakerPace
from drivers.shaker_trail import Trail, TrailFile
from drivers.wire import Silent
from drivers.worker_memory import JSON
from nextplate.errors import DeviceError, NeedsOperator, Transient

MAX_S = 86_400
_SPEED_SHARE = 0.1
_NEARER_RPM, _NEARER_S = 10.0, 1.0
_SLOW_LOOKS = 3
"""A speed is wrong when it was read to be so often in a row."""
_RAMP_S = 10.0
_LET_GO = 3


@dataclass(slots=True)
class _Shake:
    """One shake, as far as it has come."""

    command: ShakePlate
    has_timer: bool
    trail: Trail
    said: str = ""
    """What went wrong, in words."""
    turning_s: float = 0.0
    """It was certainly shaken for so long."""
    n_wrong_speeds: int = 0
    off_rpm: float = math.inf
    """How far from its speed it was when it was last seen to have come nearer to it."""
    nearer_s: float = 0.0
    first_look_s: float | None = None
    """When it was first looked at after the start; None: it was not, yet."""


class ShakerMachine:
    """Shakes plates (drivers.worker.Machine)."""

    name = "shaker"
    takes: tuple[type, ...] = (ShakePlate,)

    def __init__(self, handler: ShakerHandler, trail: TrailFile, pace: ShakerPace) -> None:
        self._handler, self._trail, self._pace = handler, trail, pace

    def time_s(self, command: Any) -> float:
        """Return the time after which a command counts as stalled."""
        duration_s = float(min(max(command.duration_s, 0), MAX_S))
        return 2 * self._pace.connect_s + duration_s + 3 * self._pace.stop_s

    def prepare(self, command: ShakePlate, until: Deadline) -> JSON:
        """See that the shake is possible, set the speed; a refusal is a plan too, so that its report has shaken_s."""
        try:
            return self._planned(command, until)
        except DeviceError as error:
            return {"refused": f"{error}; nothing moved"}

    def perform(self, command: ShakePlate, plan: JSON, until: Deadline) -> Report:
        """Clamp, shake, stop, let go.

        Raises:
            DeviceError: it cannot be told how it stands.
        """
        if refused := plan.get("refused"):
            return _failed(0, str(refused))
        try:
            self._clamp(until.within(self._pace.connect_s))
            trail = Trail(str(plan["run"]), self._trail.boot(), until.monotonic())
            self._trail.write(trail)
        except DeviceError as error:
            return _failed(0, f"{error}; the rotor was not started{self._released(until)}")
        shake = _Shake(command, bool(plan["has_timer"]), trail)
        try:
            self._handler.start(command.duration_s if shake.has_timer else None, until)
            self._seen(shake, until)
        except (NeedsOperator, Transient) as error:
            shake.said = str(error)
        return self._watched(shake, until)

    def after_crash(self, command: ShakePlate, plan: JSON, until: Deadline) -> Report:
        """Tell by the device and the trail how a shake stands; starts none, and stops a rotor whose time is over.

        Raises:
            DeviceError: the device does not answer.
        """
        if refused := plan.get("refused"):
            return _failed(0, str(refused))
        trail = self._trail.read(str(plan["run"]))
        if trail is None:
            return Report(Status.NOT_FOUND)
        self._handler.expect(command.speed_rpm)
        self._reconnect(until)
        rotor, shake = self._steady(until), _Shake(command, bool(plan["has_timer"]), trail)
        elapsed_s = trail.elapsed_s(until.monotonic(), self._trail.boot())
        if elapsed_s is None or rotor.is_restarted or rotor.error:
            return self._lost(shake, rotor, until)
        if rotor.is_turning and not rotor.is_stopping and trail.stopping_s is None:
            return self._watched(shake, until)
        return self._found_still(shake, rotor, elapsed_s, until)

    def inspect(self, until: Deadline) -> JSON:
        """Return model, state and readings."""
        self._handler.connect(until)
        slow, fast = self._handler.speeds_rpm(until)
        return {
            **self._handler.identify(until),
            "rotor": asdict(self._steady(until)),
            "speeds_rpm": f"{slow} to {fast}",
            "stops by itself": "yes" if self._handler.has_timer(until) else "no, only nextplate stops it",
        }

    def close(self) -> None:
        """Let go of the port."""
        self._handler.close()

    # before

    def _planned(self, command: ShakePlate, until: Deadline) -> JSON:
        if not 1 <= command.duration_s <= MAX_S:
            raise NeedsOperator(f"a plate is shaken for 1 to {MAX_S} s, not for {command.duration_s}")
        self._handler.connect(until.within(self._pace.connect_s))
        rotor = self._steady(until.within(2 * self._pace.connect_s))
        if rotor.is_turning:
            self._halt(until)
            raise NeedsOperator("the rotor was turning, and was stopped; look at the plate on the shaker")
        if rotor.error:
            raise NeedsOperator(f"the shaker reports an error: {rotor.error}; clear it at the device")
        if rotor.has_plate is False:
            raise NeedsOperator(f"no plate stands on the shaker; {command.barcode} should")
        slow, fast = self._handler.speeds_rpm(until)
        if not slow <= command.speed_rpm <= fast:
            raise NeedsOperator(f"the shaker turns at {slow} to {fast} rpm, not at {command.speed_rpm}")
        has_timer = self._handler.has_timer(until)
        self._handler.arm(command.speed_rpm, until)
        return {"run": uuid.uuid4().hex, "has_timer": has_timer}

    def _clamp(self, until: Deadline) -> None:
        """Hold the plate, and see that it is held: an open clamp throws it.

        Raises:
            DeviceError: it is not.
        """
        self._handler.clamp(until)
        while (rotor := self._steady(until)).is_clamped is False and not until.is_over:
            until.pause(self._pace.poll_s)
        if rotor.is_clamped is False:
            raise NeedsOperator("the clamp does not close on the plate; look whether it sits straight")

    # while it turns

    def _watched(self, shake: _Shake, until: Deadline) -> Report:
        """Look until the rotor stops, or its time is over, or it certainly was not started."""
        try:
            while True:
                rotor = self._steady(until)
                elapsed_s = until.monotonic() - shake.trail.sent_s
                shake.first_look_s = elapsed_s if shake.first_look_s is None else shake.first_look_s
                if rotor.error or rotor.is_restarted:
                    return self._lost(shake, rotor, until)
                if not rotor.is_turning or rotor.is_stopping:
                    if shake.trail.seen_s is not None:
                        return self._stopped_itself(shake, elapsed_s, until)
                    if not rotor.is_turning and elapsed_s >= self._pace.patience_s:
                        return self._not_started(shake, elapsed_s, until)
                else:
                    shake.turning_s = elapsed_s
                    self._seen(shake, until)
                    if self._is_over(shake, elapsed_s, until):
                        return self._stopped(shake, until)
                if until.is_over:
                    raise Silent("the rotor neither turns nor stands still")
                until.pause(self._next_look_s(shake, elapsed_s))
        except DeviceError:
            self._try_to_stop(until)
            raise

    def _seen(self, shake: _Shake, until: Deadline) -> None:
        if shake.trail.seen_s is None:
            shake.trail = replace(shake.trail, seen_s=until.monotonic())
            self._note(shake)

    def _is_over(self, shake: _Shake, elapsed_s: float, until: Deadline) -> bool:
        """Say whether the rotor is to be stopped; one with a timer is given the time to do it itself."""
        target = shake.command.speed_rpm
        if elapsed_s >= min(_RAMP_S, shake.command.duration_s / 2):
            with suppress(DeviceError):
                now = self._handler.speed_rpm(until.within(self._pace.patience_s))
                is_wrong = now is not None and _is_wrong(shake, abs(now - target), elapsed_s)
                shake.n_wrong_speeds = shake.n_wrong_speeds + 1 if is_wrong else 0
                if shake.n_wrong_speeds >= _SLOW_LOOKS:
                    shake.said = f"it turns at {now:g} rpm, not at {target}"
                    return True
        return elapsed_s >= shake.command.duration_s + (self._pace.tolerance_s / 2 if shake.has_timer else 0.0)

    def _next_look_s(self, shake: _Shake, elapsed_s: float) -> float:
        left_s = shake.command.duration_s - elapsed_s
        return min(self._pace.poll_s, left_s) if left_s > 0 else self._pace.poll_s

    # how it ended

    def _stopped(self, shake: _Shake, until: Deadline) -> Report:
        """Stop it; the time until then is what the plate was shaken."""
        stopping_s = until.monotonic()
        shake.trail = replace(shake.trail, stopping_s=stopping_s)
        self._note(shake)
        rotor, late_s = self._halt(until)
        if rotor.is_restarted or rotor.error:
            shake.said = shake.said or rotor.error or "the shaker was switched off meanwhile"
        return self._concluded(shake, max(stopping_s, late_s) - shake.trail.sent_s, until)

    def _stopped_itself(self, shake: _Shake, elapsed_s: float, until: Deadline) -> Report:
        if not shake.turning_s:
            return self._never_turned(shake, elapsed_s, until)
        self._halt(until)
        if not shake.has_timer:
            shake.said = shake.said or "the rotor stopped by itself"
        shaken_s = min(max(shake.command.duration_s, shake.turning_s), elapsed_s)
        is_sure = shake.turning_s >= shake.command.duration_s - self._pace.tolerance_s
        return self._concluded(shake, shaken_s if is_sure else shake.turning_s, until)

    def _never_turned(self, shake: _Shake, elapsed_s: float, until: Deadline) -> Report:
        """The device took the command; whoever looks at once would have seen it turn."""
        self._halt(until)
        if shake.first_look_s is not None and shake.first_look_s <= min(1.0, shake.command.duration_s / 2):
            return _failed(0, f"the rotor took the command and did not start; nothing moved{self._released(until)}")
        return self._unknown(shake, elapsed_s, "nobody saw the rotor turn")

    def _not_started(self, shake: _Shake, elapsed_s: float, until: Deadline) -> Report:
        self._halt(until)  # what may still be on its way to the device is over with that
        if shake.has_timer and elapsed_s >= shake.command.duration_s:
            return self._unknown(shake, elapsed_s, f"{shake.said or 'the rotor was not seen to turn'}")
        return _failed(0, f"{shake.said or 'the rotor did not start'}; nothing moved{self._released(until)}")

    def _found_still(self, shake: _Shake, rotor: Rotor, elapsed_s: float, until: Deadline) -> Report:
        """Tell what became of a shake that a killed process began, by a rotor that stands still or brakes."""
        trail, duration_s = shake.trail, shake.command.duration_s
        if trail.stopping_s is not None:
            late_s = until.monotonic() if rotor.is_turning and not rotor.is_stopping else 0.0
            late_s = max(late_s, self._halt(until)[1])
            return self._concluded(shake, max(trail.stopping_s, late_s) - trail.sent_s, until)
        if elapsed_s >= duration_s and trail.seen_s is not None and shake.has_timer:
            self._halt(until)
            return self._concluded(shake, duration_s, until)
        if trail.seen_s is None and elapsed_s < duration_s and not rotor.is_turning:
            until.pause(min(self._pace.patience_s, max(0.0, duration_s - elapsed_s) / 2))
            if not (again := self._steady(until)).is_turning and not again.is_restarted:
                self._halt(until)
                self._released(until)
                return Report(Status.NOT_FOUND)
            return self._watched(shake, until)
        self._halt(until)
        return self._unknown(shake, elapsed_s, "nobody saw the rotor stop")

    def _lost(self, shake: _Shake, rotor: Rotor, until: Deadline) -> Report:
        """Stop what turns; for how long it did, nobody knows."""
        said = rotor.error or ("it was switched off meanwhile" if rotor.is_restarted else "the computer was restarted")
        self._try_to_stop(until)
        elapsed_s = shake.trail.elapsed_s(until.monotonic(), self._trail.boot())
        return self._unknown(shake, elapsed_s, "; ".join(filter(None, (shake.said, said))))

    def _concluded(self, shake: _Shake, shaken_s: float, until: Deadline) -> Report:
        stuck = self._released(until)
        command, is_slow = shake.command, shake.n_wrong_speeds >= _SLOW_LOOKS
        if abs(shaken_s - command.duration_s) <= self._pace.tolerance_s and not (stuck or is_slow):
            return Report(Status.DONE, {"shaken_s": round(shaken_s)})
        said = f"; {shake.said}" if shake.said else ""
        text = f"plate {command.barcode} was shaken for {shaken_s:.0f} s of {command.duration_s} s{said}{stuck}"
        return _failed(shaken_s, text)

    def _unknown(self, shake: _Shake, most_s: float | None, said: str) -> Report:
        most = f"at most {most_s:.0f} s" if most_s is not None else "nobody knows how long"
        barcode = shake.command.barcode
        return Report(Status.UNKNOWN, {}, f"{said}; plate {barcode} was shaken for {most}; look at the shaker")

    # parts

    def _halt(self, until: Deadline) -> tuple[Rotor, float]:
        """Stop the rotor, also when the command's own time has passed; tell when it was last seen not to obey, or 0.

        Raises:
            DeviceError: it does not stop, or does not answer.
        """
        patience, late_s = until.renewed(self._pace.stop_s), 0.0
        while True:
            with suppress(Transient, NeedsOperator):
                self._handler.stop(patience)
            rotor = self._steady(patience)
            if not rotor.is_turning:
                return rotor, late_s
            if not rotor.is_stopping:
                late_s = until.monotonic()
            if patience.is_over:
                raise Silent("the rotor was told to stop and still turns; switch the shaker off")
            patience.pause(self._pace.poll_s)

    def _try_to_stop(self, until: Deadline) -> None:
        with suppress(DeviceError):
            self._halt(until)

    def _released(self, until: Deadline) -> str:
        """Let go of the plate; return what is to be said when that fails, "" when it does not."""
        patience = until.renewed(self._pace.connect_s)
        problem = "the clamp does not open; do not pull at the plate"
        for _ in range(_LET_GO):
            try:
                self._handler.release(patience)
                if self._steady(patience).is_clamped is not True:
                    return ""
            except (Transient, NeedsOperator) as error:
                problem = f"the clamp does not open: {error}"
            if patience.is_over:
                break
            patience.pause(self._pace.poll_s)
        return f"; {problem}"

    def _note(self, shake: _Shake) -> None:
        """Write how far it came; a full disk is no reason to let a rotor turn on."""
        with suppress(NeedsOperator):
            self._trail.write(shake.trail)

    def _steady(self, until: Deadline) -> Rotor:
        """Read the rotor until it says the same twice; open the port again when it goes away.

        Raises:
            DeviceError: it did not by the deadline.
        """
        return settled(lambda: self._handler.rotor(until), lambda: self._reconnect(until), until, self._pace.poll_s)

    def _reconnect(self, until: Deadline) -> None:
        while True:
            try:
                return self._handler.connect(until)
            except Transient:
                if until.is_over:
                    raise
                until.pause(self._pace.poll_s)


def _is_wrong(shake: _Shake, off_rpm: float, elapsed_s: float) -> bool:
    """Say whether a rotor is far from its speed and does not come nearer, as one that still speeds up does."""
    if off_rpm < shake.off_rpm - _NEARER_RPM:
        shake.off_rpm, shake.nearer_s = off_rpm, elapsed_s
    is_far = off_rpm > max(50.0, _SPEED_SHARE * shake.command.speed_rpm)
    return is_far and elapsed_s >= shake.nearer_s + _NEARER_S


def settled(look: Callable[[], Rotor], reconnect: Callable[[], None], until: Deadline, poll_s: float) -> Rotor:
    """Return what a look says twice in a row.

    Raises:
        DeviceError: it did not by the deadline; what the device said rather than that it was silent.
    """
    before: Rotor | None = None
    trouble: DeviceError | None = None
    while True:
        try:
            now = look()
        except (Transient, NeedsOperator) as error:
            trouble = error if trouble is None or not isinstance(error, Silent) else trouble
            if until.is_over:
                raise trouble from None
            until.pause(poll_s)
            try:
                reconnect()
            except Transient:
                raise trouble from None
            before = None
            continue
        if now == before:
            return now
        if before is not None and until.is_over:
            raise Silent("the shaker's state does not settle")
        before = now


def _failed(shaken_s: float, message: str) -> Report:
    return Report(Status.FAILED, {"shaken_s": round(shaken_s)}, message)
