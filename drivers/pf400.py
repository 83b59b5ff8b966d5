"""PreciseFlex PF400 plate movers over their TCP command server (port 10100); facts/devices.md 4.8.

::

    driver = "pf400"
    options = { port = "socket://10.10.0.98:10100", places = "places.toml", speed_percent = 30 }

``places`` is the file of taught positions (`drivers.pf400_places`). The arm is never homed and, unless ``powers_on`` is
true, never given power: both are a person's, who looks first. Each step is written down before it is taken
(`drivers.pf400_hand`); after that the arm's own joints tell how it ended, its jaws whether they hold a plate. One pick
and one put are sent for a move, whatever happens.
"""

import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from drivers.deadline import Deadline
from drivers.pf400_arm import Arm, ArmPace, ArmWire, Jaws, Seen
from drivers.pf400_hand import HandFile, Mark, Step
from drivers.pf400_places import SAFE, Pose, Taught, read_taught
from drivers.ports import Move, MovePlates, Report, Status
from drivers.serial_options import memory_of, serial_options, wire_log_path
from drivers.wire import LineSettings
from drivers.wire_log import WireLog
from drivers.worker import WorkerDevice
from drivers.worker_memory import JSON
from nextplate.errors import DeviceError, NeedsOperator, SettingsError, Transient

SETTINGS = LineSettings()
_PACE = tuple(asdict(ArmPace()))
_OPTIONAL: Mapping[str, type] = {
    "speed_percent": int, "force_n": float, "powers_on": bool, **dict.fromkeys(_PACE, float),
}  # fmt: skip
_TRIES = 2
"""Of a stretch of the way that certainly did not begin; a pose is absolute."""
_TIDY_S = 5.0


def make(kind: str, options: Mapping[str, Any], lab: Path) -> WorkerDevice:
    """Make the driver of a plate mover (drivers.options.Make).

    Raises:
        SettingsError: an option or a taught position is missing, unknown or wrong; not a plate mover.
    """
    if kind != "plate-mover":
        raise SettingsError(f"driver 'pf400' is for a plate-mover, not for a {kind}")
    said = serial_options(options, {"places": str}, _OPTIONAL)
    if not 1 <= (speed := said.get("speed_percent", 30)) <= 100:
        raise SettingsError(f"option speed_percent = {speed} should be 1 to 100")
    taught = read_taught(lab / said["places"])
    pace = ArmPace(**{name: float(said[name]) for name in _PACE if name in said})
    log = WireLog(wire_log_path(lab, kind)) if said.get("log", True) else None
    wire = ArmWire(said["port"], SETTINGS, log=log)
    arm = Arm(wire, taught, pace, reply_s=said.get("reply_s", 1.0), powers_on=said.get("powers_on", False))
    memory = memory_of(kind, lab)
    hand = HandFile(memory.place / "hand.json")
    return WorkerDevice(Pf400(arm, taught, hand, pace, speed, said.get("force_n", 10.0)), memory)


class _Failed(Exception):
    """The command cannot go on; the text says where the plate is."""

    def __init__(self, text: str, *, has_plate: bool = False) -> None:
        super().__init__(text)
        self.has_plate = has_plate
        """A plate is, or was, or may be in the gripper."""


class Pf400:
    """Moves plates (drivers.worker.Machine)."""

    name = "plate mover"
    takes: tuple[type, ...] = (MovePlates,)

    def __init__(
        self, arm: Arm, taught: Taught, hand: HandFile, pace: ArmPace, speed_percent: int = 30, force_n: float = 10.0
    ) -> None:
        self._arm, self._taught, self._hand, self._pace = arm, taught, hand, pace
        self._speed_percent, self._force_n = speed_percent, force_n

    def time_s(self, command: MovePlates) -> float:
        """Return the time after which a command counts as stalled."""
        return self._pace.connect_s + self._pace.plate_s * max(1, len(command.moves))

    def prepare(self, command: MovePlates, until: Deadline) -> JSON:
        """See that every place was taught, and that the arm is empty, enabled, and where a way is known from.

        Raises:
            DeviceError: it is not; says why.
        """
        _refuse_impossible(command, self._taught)
        self._arm.connect(until.within(self._pace.connect_s))
        self._arm.enable(self._speed_percent, until.within(2 * self._pace.connect_s))
        seen = self._arm.still(until)
        if (jaws := self._arm.jaws(seen)) in (Jaws.HELD, Jaws.UNCLEAR):
            holds = "a plate is" if jaws is Jaws.HELD else "perhaps a plate is"
            raise NeedsOperator(f"{holds} in the gripper ({_told(seen)}); take it away, and open the jaws")
        if (start := self._taught.where(seen.pose)) is None:
            raise NeedsOperator(
                f"the arm is at no taught position ({_told(seen)}); guide it to its safe position by hand"
            )
        return {"run": uuid.uuid4().hex, "start": start}

    def perform(self, command: MovePlates, plan: JSON, until: Deadline) -> Report:
        """Move one plate after another; each is picked once and put once."""
        moved: list[str] = []
        try:
            self._mark(plan, 0, Step.TO_SOURCE)
            self._set_out(str(plan["start"]), until)
            for index, move in enumerate(command.moves):
                self._move(plan, index, move, moved, until)
        except _Failed as failure:
            nothing = "" if moved or failure.has_plate else "; no plate moved"
            return Report(Status.FAILED, {"moved": moved}, f"{failure}{nothing}")
        except DeviceError as error:
            self._stop(until)
            return Report(Status.UNKNOWN, {"moved": moved}, self._lost(command, plan, error))
        return Report(Status.DONE, {"moved": moved})

    def after_crash(self, command: MovePlates, plan: JSON, until: Deadline) -> Report:
        """Wait until the arm stands still, then tell by its joints and jaws where the plates are; begins no motion.

        Raises:
            DeviceError: the arm does not answer.
        """
        mark = self._hand.read(str(plan["run"]), len(command.moves))
        self._arm.connect(until)
        seen = self._arm.still(until)
        jaws, index = self._arm.jaws(seen), 0 if mark is None else mark.index
        step = Step.TO_SOURCE if mark is None else mark.step
        if index == len(command.moves):
            return self._told_moved(command, index, seen, "")
        move = command.moves[index]
        if step is Step.TO_SOURCE and jaws in (Jaws.OPEN, Jaws.CLOSED):
            if index == 0 and self._taught.where(seen.pose) is not None:
                return Report(Status.NOT_FOUND)
            return self._told_moved(command, index, seen, f"plate {move.barcode} still stands at {move.source}")
        if step is Step.GRIP and jaws is Jaws.OPEN:
            return self._told_moved(command, index, seen, f"plate {move.barcode} still stands at {move.source}")
        if step is not Step.TO_SOURCE and jaws is Jaws.HELD:
            return self._told_moved(command, index, seen, f"plate {move.barcode} is in the gripper; take it away")
        if step is Step.RELEASE and jaws is Jaws.OPEN and self._is_in(move.target, seen):
            return self._told_moved(command, index + 1, seen, f"plate {move.barcode} was put at {move.target}")
        moved = [m.barcode for m in command.moves[:index]]
        look = f"look where plate {move.barcode} is (from {move.source} to {move.target})"
        return Report(Status.UNKNOWN, {"moved": moved}, f"the arm cannot tell ({_told(seen)}); {look}")

    def inspect(self, until: Deadline) -> JSON:
        """Return version, power, joints and jaws, and the places that were taught."""
        self._arm.connect(until)
        seen = self._arm.still(until, 0.0)
        return {
            "device": self._arm.version(until),
            "power": self._arm.is_powered(until),
            "joints": list(seen.pose),
            "opening_mm": seen.opening_mm,
            "jaws": self._arm.jaws(seen).name.lower(),
            "stands at": self._taught.where(seen.pose) or "no taught position",
            "places": sorted(self._taught.nests),
        }

    def close(self) -> None:
        """Let go of the port."""
        self._arm.close()

    # one plate

    def _set_out(self, start: str, until: Deadline) -> None:
        """Go to the safe position with empty hands, and open them there."""
        if start != SAFE:
            self._to(self._taught.nests[start].above, f"above {start}", None, until)
        seen = self._to(self._taught.safe, "its safe position", None, until)
        if self._arm.jaws(seen) is not Jaws.OPEN:
            self._open_jaws(until)

    def _move(self, plan: JSON, index: int, move: Move, moved: list[str], until: Deadline) -> None:
        until = until.within(self._pace.plate_s)
        source, target = self._taught.nests[move.source], self._taught.nests[move.target]
        if index:
            self._mark(plan, index, Step.TO_SOURCE)
        self._to(source.above, f"above {move.source}", None, until)
        self._to(source.at, move.source, None, until)
        self._mark(plan, index, Step.GRIP)
        self._pick(move, until)
        self._mark(plan, index, Step.CARRY, move.barcode)
        for pose, name in (
            (source.above, f"above {move.source}"), (self._taught.safe, "its safe position"),
            (target.above, f"above {move.target}"), (target.at, move.target),
        ):  # fmt: skip
            self._to(pose, name, move.barcode, until)
        self._mark(plan, index, Step.RELEASE, move.barcode)
        self._put(move, until)
        moved.append(move.barcode)
        self._to(target.above, f"above {move.target}", None, until)
        self._to(self._taught.safe, "its safe position", None, until)
        self._mark(plan, index + 1, Step.TO_SOURCE)

    def _pick(self, move: Move, until: Deadline) -> None:
        """Close the jaws, once, and see by them whether they hold the plate.

        Raises:
            _Failed: they do not; the arm has gone back, if it could.
        """
        refusal = self._told_off(lambda: self._arm.grip(self._speed_percent, self._force_n, until))
        jaws = self._arm.jaws(seen := self._arm.still(until.within(self._pace.stretch_s)))
        if jaws is Jaws.HELD:
            return
        said = "; ".join(filter(None, (refusal, {
            Jaws.OPEN: f"the jaws did not close; plate {move.barcode} still stands at {move.source}",
            Jaws.CLOSED: f"the jaws closed on nothing: no plate {move.barcode} at {move.source}, or it stands awry",
        }.get(jaws, f"the jaws are unclear; perhaps plate {move.barcode} is in the gripper"))))  # fmt: skip
        if jaws is Jaws.UNCLEAR:
            raise _Failed(f"{said} ({_told(seen)})", has_plate=True)
        self._retreat(move.source, jaws, until)
        raise _Failed(said)

    def _put(self, move: Move, until: Deadline) -> None:
        refusal = self._told_off(lambda: self._arm.release(self._speed_percent, until))
        seen = self._arm.still(until.within(self._pace.stretch_s))
        if self._arm.jaws(seen) is not Jaws.OPEN:
            said = "; ".join(filter(None, (refusal, "the jaws did not open")))
            text = f"{said}; plate {move.barcode} is in the gripper, at {move.target} ({_told(seen)})"
            raise _Failed(text, has_plate=True)

    def _open_jaws(self, until: Deadline) -> None:
        refusal = self._told_off(lambda: self._arm.release(self._speed_percent, until))
        seen = self._arm.still(until.within(self._pace.stretch_s))
        if self._arm.jaws(seen) is not Jaws.OPEN:
            raise _Failed("; ".join(filter(None, (refusal, f"the jaws do not open ({_told(seen)})"))))

    def _retreat(self, place: str, jaws: Jaws, until: Deadline) -> None:
        """Leave a place with empty hands, so that the next command can begin; a failure to is told by that one."""
        with suppress(_Failed, DeviceError):
            if jaws is Jaws.CLOSED:
                self._open_jaws(until)
            self._to(self._taught.nests[place].above, f"above {place}", None, until)
            self._to(self._taught.safe, "its safe position", None, until)

    def _to(self, pose: Pose, name: str, barcode: str | None, until: Deadline) -> Seen:
        """Go straight to a pose, and see that the arm is there and still holds what it held (None: nothing).

        Raises:
            _Failed: it is not, or lost the plate.
            DeviceError: the arm does not answer, or did not come to rest.
        """
        soon = until.within(self._pace.stretch_s)
        before, refusal = self._arm.still(soon, 0.0), ""
        for _ in range(_TRIES):
            self._check_hand(before, barcode, name)
            if self._taught.is_near(before.pose, pose):
                return before
            refusal = self._told_off(lambda: self._arm.go(pose, before.opening_mm, soon))
            seen = self._arm.arrived(pose, soon)
            self._check_hand(seen, barcode, name)
            if self._taught.is_near(seen.pose, pose):
                return seen
            if not seen.is_like(before):
                break
        said = "; ".join(filter(None, (refusal, f"the arm stopped on its way to {name} ({_told(seen)})")))
        holds = f"; plate {barcode} is in the gripper" if barcode else ""
        raise _Failed(f"{said}{holds}; look, and guide it to its safe position", has_plate=bool(barcode))

    def _check_hand(self, seen: Seen, barcode: str | None, name: str) -> None:
        jaws = self._arm.jaws(seen)
        if barcode and jaws is not Jaws.HELD:
            text = f"the gripper lost plate {barcode} on its way to {name} ({_told(seen)}); look on the floor"
            raise _Failed(text, has_plate=True)
        if not barcode and jaws is Jaws.HELD:
            text = f"the gripper holds a plate that it should not ({_told(seen)}); look which"
            raise _Failed(text, has_plate=True)

    def _told_off(self, act: Any) -> str:
        """Act, and return why it was refused or not answered; "" when it was taken. The sensors tell the rest."""
        try:
            act()
        except (NeedsOperator, Transient) as error:
            return str(error)
        return ""

    def _mark(self, plan: JSON, index: int, step: Step, held: str = "") -> None:
        try:
            self._hand.write(Mark(str(plan["run"]), index, step))
        except NeedsOperator as error:
            holds = f"; plate {held} is in the gripper" if held else ""
            raise _Failed(f"{error}{holds}", has_plate=bool(held)) from error

    # how it stands

    def _stop(self, until: Deadline) -> None:
        with suppress(DeviceError):
            self._arm.halt(until.renewed(_TIDY_S))

    def _lost(self, command: MovePlates, plan: JSON, error: DeviceError) -> str:
        """Say what was last known when the arm is out of sight."""
        mark = None
        with suppress(NeedsOperator):
            mark = self._hand.read(str(plan["run"]), len(command.moves))
        if mark is None or mark.index >= len(command.moves):
            return f"{error}; look at the plate mover"
        move = command.moves[mark.index]
        return f"{error}; look at the plate mover: plate {move.barcode} was on its way ({mark.step}) to {move.target}"

    def _is_in(self, place: str, seen: Seen) -> bool:
        nest = self._taught.nest(place)
        return nest is not None and self._taught.where(seen.pose) in (place, SAFE)

    def _told_moved(self, command: MovePlates, n_moved: int, seen: Seen, said: str) -> Report:
        moved = [move.barcode for move in command.moves[:n_moved]]
        if n_moved == len(command.moves) and self._taught.is_near(seen.pose, self._taught.safe):
            return Report(Status.DONE, {"moved": moved})
        where = self._taught.where(seen.pose) or "no taught position"
        killed = "the process that moved it was killed"
        return Report(
            Status.FAILED, {"moved": moved}, "; ".join(filter(None, (killed, said, f"the arm stands at {where}")))
        )


def _refuse_impossible(command: MovePlates, taught: Taught) -> None:
    """Refuse moves that cannot be, before anything moves.

    Raises:
        NeedsOperator: names the move.
    """
    if not command.moves:
        raise NeedsOperator("the command moves no plate")
    holds: dict[str, str] = {}
    for number, move in enumerate(command.moves, start=1):
        what = f"move {number} (plate {move.barcode})"
        if not move.barcode.strip():
            raise NeedsOperator(f"move {number}: a plate needs a barcode to be known by, not {move.barcode!a}")
        if unknown := [place for place in (move.source, move.target) if place not in taught.nests]:
            raise NeedsOperator(f"{what}: place {unknown[0]!r} was not taught; teach it in {taught.path}")
        if move.source == move.target:
            raise NeedsOperator(f"{what}: it stands at {move.target} already")
        if (other := holds.pop(move.source, move.barcode)) != move.barcode:
            raise NeedsOperator(f"{what}: at {move.source} stands plate {other} by then")
        if (other := holds.get(move.target, "")) and not move.target.startswith("stack/"):
            raise NeedsOperator(f"{what}: {move.target} is taken by plate {other} by then")
        holds[move.target] = move.barcode


def _told(seen: Seen) -> str:
    return f"joints {', '.join(f'{value:.1f}' for value in seen.pose)}; jaws {seen.opening_mm:.1f} mm"
