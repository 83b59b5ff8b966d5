"""A shaker over PyLabRobot 0.2.2 (extra ``pylabrobot``); facts/robots.md section 4.

::

    driver = "pylabrobot"
    options = { backend = "bioshake", port = "/dev/ttyUSB0", slowest_rpm = 200, fastest_rpm = 3000 }

``backend`` is a name of `BACKENDS`, never an import path; those whose speed is not in rpm (Hamilton: steps per second)
or goes to a fixed index (Inheco Thermoshake) are not among them. PyLabRobot cannot tell whether a rotor turns. It is
told to stop after the time, again and again for ``stop_s`` (20), and what it does not confirm is UNKNOWN. After a crash
it is started, which moves it, told to stop, and the shake is UNKNOWN with the time that it took at most. Our own driver
``bioshake`` asks the rotor, and is the better one.

``ramp_s`` (5, whole seconds) is how long a BioShake speeds up and brakes: PyLabRobot's own default, 0, is refused by
models whose least is 1, which it could then neither start nor stop.

``shaken_s`` is measured from the order that starts it to the order that stops it and was confirmed. ``setup_s`` (60) is
the start of the machine, ``order_s`` (30) one order, ``tolerance_s`` (2) as for every shaker; a BioShake's order is a
handful of questions and takes PyLabRobot a second or two.
"""

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from drivers.deadline import Deadline, Stopped
from drivers.options import checked
from drivers.ports import Report, ShakePlate, Status
from drivers.pylabrobot_incubator import MakeBackend, backend_of
from drivers.pylabrobot_loop import Loop, built, require_package
from drivers.pylabrobot_trail import Trail as Progress
from drivers.serial_options import memory_of
from drivers.shaker import MAX_S
from drivers.shaker_trail import Trail, TrailFile
from drivers.worker import NOTHING_MOVED, WorkerDevice
from drivers.worker_memory import JSON
from nextplate.errors import NeedsOperator, SettingsError

BACKENDS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "chatterbox": ("pylabrobot.shaking", "ShakerChatterboxBackend", ()),
    "heater-shaker-chatterbox": ("pylabrobot.heating_shaking", "HeaterShakerChatterboxBackend", ()),
    "bioshake": ("pylabrobot.heating_shaking", "BioShake", ("port",)),
}
"""Module, class and options of what can be named; the chatterboxes move nothing and print."""
_SECONDS = ("setup_s", "order_s", "stop_s", "tolerance_s")
_WHOLE = ("slowest_rpm", "fastest_rpm", "ramp_s")
_OPTIONS: Mapping[str, type] = {"port": str, **dict.fromkeys(_SECONDS, float), **dict.fromkeys(_WHOLE, int)}
_AGAIN_S, _RAMP_S = 0.5, 5
_ONE = 1
"""A shake has one step."""


def make(kind: str, options: Mapping[str, Any], lab: Path) -> WorkerDevice:
    """Make the driver of a shaker (drivers.options.Make).

    Raises:
        SettingsError: an option is missing, unknown or wrong, or the extra is not installed.
    """
    said = checked(options, {"backend": str}, _OPTIONS)
    backend = backend_of(said, BACKENDS)
    for name in (*_SECONDS, *_WHOLE):
        if name in said and not 0 < said[name] < float("inf"):
            raise SettingsError(f"option {name} = {said[name]!r} should be above 0")
    require_package()
    if "ramp_s" in said and said["backend"] != "bioshake":
        raise SettingsError(f"option 'ramp_s' is no option for backend {said['backend']!r}")
    memory, ramp_s = memory_of(kind, lab), said.pop("ramp_s", _RAMP_S)
    ramps = ({"acceleration": ramp_s}, {"deceleration": ramp_s}) if said["backend"] == "bioshake" else ({}, {})
    numbers = {name: said[name] for name in (*_SECONDS, *_WHOLE) if name in said}
    trail = TrailFile(memory.place / "rotor.json")
    return WorkerDevice(PlrShaker(backend, trail, memory.place / "shakes", ramps, **numbers), memory)


class PlrShaker:
    """PyLabRobot's Shaker as a machine (drivers.worker.Machine), in an event loop of the worker's thread."""

    name = "shaker"
    takes: tuple[type, ...] = (ShakePlate,)

    def __init__(
        self,
        backend: MakeBackend,
        trail: TrailFile,
        folder: Path,
        ramps: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {}),
        *,
        setup_s: float = 60.0,
        order_s: float = 30.0,
        stop_s: float = 20.0,
        tolerance_s: float = 2.0,
        slowest_rpm: int = 1,
        fastest_rpm: int = 10_000,
    ) -> None:
        self._make_backend, self._trail, self._folder = backend, trail, folder
        self._setup_s, self._order_s, self._stop_s, self._tolerance_s = setup_s, order_s, stop_s, tolerance_s
        self._slowest_rpm, self._fastest_rpm = slowest_rpm, fastest_rpm
        self._starting, self._stopping = ramps
        """What else the backend is told with its orders to start and to stop."""
        self._loop = Loop()

    def time_s(self, command: ShakePlate) -> float:
        """Return the time after which a shake counts as stalled."""
        duration_s = float(min(max(command.duration_s, 0), MAX_S))
        return self._setup_s + 4 * self._order_s + duration_s + 2 * self._stop_s

    def prepare(self, command: ShakePlate, until: Deadline) -> JSON:  # noqa: ARG002
        """See that the shake is possible; a refusal is a plan too, so that its report has shaken_s."""
        refused = ""
        if not 1 <= command.duration_s <= MAX_S:
            refused = f"a plate is shaken for 1 to {MAX_S} s, not for {command.duration_s}"
        elif not self._slowest_rpm <= command.speed_rpm <= self._fastest_rpm:
            refused = f"the shaker turns at {self._slowest_rpm} to {self._fastest_rpm} rpm, not at {command.speed_rpm}"
        return {"ticket": uuid4().hex, "refused": refused}

    def perform(self, command: ShakePlate, plan: JSON, until: Deadline) -> Report:
        """Start the machine, hold the plate, shake, stop, let go."""
        if refused := plan["refused"]:
            return _failed(0, f"{refused}; {NOTHING_MOVED}")
        shaker = None
        try:
            shaker = built(self._shaker)
            self._loop.start(shaker, until.within(self._setup_s))
        except NeedsOperator as error:
            if shaker is not None:
                self._loop.let_go(shaker, until)
            return _failed(0, f"{error}; the rotor was not started")
        try:
            return self._shaken(shaker, command, str(plan["ticket"]), until)
        finally:
            self._loop.let_go(shaker, until)

    def after_crash(self, command: ShakePlate, plan: JSON, until: Deadline) -> Report:
        """Tell from what was written down how far a killed process came; stop what may turn.

        Raises:
            NeedsOperator: what was written down cannot be read.
        """
        if refused := plan["refused"]:
            return _failed(0, f"{refused}; {NOTHING_MOVED}")
        done, under_way = self._progress(str(plan["ticket"])).read()
        if not done and under_way is None:
            return Report(Status.NOT_FOUND)
        if done:
            return self._concluded(command, done[0][1] / 1000, "; the process was killed before it let the plate go")
        trail = self._trail.read(str(plan["ticket"]))
        elapsed_s = None if trail is None else trail.elapsed_s(until.monotonic(), self._trail.boot())
        stopped = self._stop_what_turns(until)
        return _unknown(command, elapsed_s, f"the process was killed while the plate was shaken; {stopped}")

    def inspect(self, until: Deadline) -> JSON:  # noqa: ARG002
        """Say what is set; the machine is not asked, since to start it may move it."""
        return {
            "device": "PyLabRobot; not asked, as that may move it",
            "speeds_rpm": f"{self._slowest_rpm} to {self._fastest_rpm}",
            "stops by itself": "no, only nextplate stops it",
        }

    def close(self) -> None:
        """Let go of the loop; the machine stays as it stands."""
        self._loop.close()

    def _progress(self, ticket: str) -> Progress:
        return Progress(self._folder / f"{ticket}.jsonl")

    def _shaker(self) -> Any:
        backend, resources = self._make_backend(), importlib.import_module("pylabrobot.resources")
        # not a HeaterShaker, which would switch the heater off when it lets go
        return importlib.import_module("pylabrobot.shaking").Shaker(
            name="shaker", size_x=0, size_y=0, size_z=0, backend=backend, child_location=resources.Coordinate(0, 0, 0)
        )

    def _shaken(self, shaker: Any, command: ShakePlate, ticket: str, until: Deadline) -> Report:
        if problem := self._ordered(shaker.lock_plate, until) if shaker.backend.supports_locking else "":
            return _failed(
                0, f"the clamp does not close: {problem}; the rotor was not started{self._freed(shaker, until)}"
            )
        progress, sent_s = self._progress(ticket), until.monotonic()
        try:
            self._trail.write(Trail(ticket, self._trail.boot(), sent_s))
            progress.begin(_ONE)
        except (NeedsOperator, OSError) as error:
            return _failed(0, f"{error}; the rotor was not started{self._freed(shaker, until)}")
        problem = self._ordered(lambda: shaker.backend.start_shaking(command.speed_rpm, **self._starting), until)
        if not problem:
            until.pause(max(0.0, sent_s + command.duration_s - until.monotonic()))
        stopped_s, trouble = self._stopped(shaker, until)
        if problem or stopped_s is None:
            return _unknown(command, until.monotonic() - sent_s, "; ".join(filter(None, (problem, trouble))))
        shaken_s, written = stopped_s - sent_s, ""
        try:
            progress.end(_ONE, round(shaken_s * 1000))
        except OSError as error:
            written = f"; {error}"
        return self._concluded(command, shaken_s, written + self._freed(shaker, until))

    def _stopped(self, shaker: Any, until: Deadline) -> tuple[float | None, str]:
        """Tell the rotor to stop until it is confirmed; return when the order that was confirmed went out."""
        patience = until.renewed(self._stop_s)
        while True:
            told_s = until.monotonic()
            if not (problem := self._ordered(lambda: shaker.stop_shaking(**self._stopping), patience)):
                return told_s, ""
            if patience.is_over:
                return None, f"it was told to stop and did not confirm it ({problem}); switch the shaker off"
            patience.pause(_AGAIN_S)

    def _stop_what_turns(self, until: Deadline) -> str:
        """Stop the rotor that a killed process left, and tell how that went."""
        shaker = built(self._shaker)
        try:
            self._loop.start(shaker, until.renewed(self._setup_s))
            stopped_s, trouble = self._stopped(shaker, until)
            return trouble if stopped_s is None else f"it was told to stop{self._freed(shaker, until)}"
        except NeedsOperator as error:
            return f"{error}; switch the shaker off"
        finally:
            self._loop.let_go(shaker, until)

    def _freed(self, shaker: Any, until: Deadline) -> str:
        """Let go of the plate; return what is to be said when that fails, "" when it does not."""
        if not shaker.backend.supports_locking:
            return ""
        problem = self._ordered(shaker.unlock_plate, until.renewed(self._order_s))
        return f"; the clamp does not open: {problem}" if problem else ""

    def _ordered(self, order: Callable[[], Awaitable[Any]], until: Deadline) -> str:
        """Give an order; return what went wrong, "" for nothing."""
        try:
            self._loop.run(order(), until.within(self._order_s))
        except Stopped:
            raise
        except (Exception, asyncio.CancelledError) as error:
            return repr(error)
        return ""

    def _concluded(self, command: ShakePlate, shaken_s: float, said: str) -> Report:
        if abs(shaken_s - command.duration_s) <= self._tolerance_s and not said:
            return Report(Status.DONE, {"shaken_s": round(shaken_s)})
        text = f"plate {command.barcode} was shaken for {shaken_s:.0f} s of {command.duration_s} s{said}"
        return _failed(shaken_s, text)


def _failed(shaken_s: float, message: str) -> Report:
    return Report(Status.FAILED, {"shaken_s": round(shaken_s)}, message)


def _unknown(command: ShakePlate, most_s: float | None, said: str) -> Report:
    most = f"at most {most_s:.0f} s" if most_s is not None else "nobody knows how long"
    return Report(Status.UNKNOWN, {}, f"{said}; plate {command.barcode} was shaken for {most}; look at the shaker")
