"""Squid microscopes behind a labrobots server (HTTP); facts/devices.md 4.8 and 4.9.

::

    driver = "squid"
    options = { url = "http://10.10.0.56:5050", config = "protocols/cells.json", project = "screen",
                watch = "/mnt/squid" }

Everything is POSTed to ``/<machine>`` (option ``machine``, squid unless said otherwise); a GET would move things too,
and is never sent. The plate's barcode is given to ``load_config``, so that the readout bears it; ``watch`` and the
options beside it are those of `drivers.watched_options`. ``acquire`` is sent once, after that was written down; then
the microscope is asked until it was busy (``interactive`` false) and is not any more.
"""

import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from drivers.deadline import Deadline
from drivers.http_body import json_body
from drivers.http_options import http_options, http_wire_of
from drivers.http_wire import HttpWire
from drivers.imager_readout import WATCH, Readouts
from drivers.key_files import write_whole
from drivers.ports import AcquirePlate, Report, Status
from drivers.serial_options import memory_of
from drivers.squid_words import is_idle, truth, value
from drivers.watched_options import read_options
from drivers.wire import Silent
from drivers.worker import WorkerDevice
from drivers.worker_memory import JSON
from nextplate.errors import DeviceError, NeedsOperator, SettingsError, Transient

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SquidPace:
    """How long things take, in seconds."""

    run_s: float = 4 * 3600.0
    """After which an acquisition counts as stalled."""
    stage_s: float = 120.0
    """After which a motion of the stage, or the loading of a configuration, does."""
    folder_s: float = 1800.0
    """Within which the readout is whole after the acquisition ended."""
    poll_s: float = 2.0
    patience_s: float = 30.0
    """A microscope that is still idle so long after acquire has not begun it, or has ended it."""
    connect_s: float = 15.0


_PACE = tuple(asdict(SquidPace()))


def make(kind: str, options: Mapping[str, Any], lab: Path) -> WorkerDevice:
    """Make the driver of an imager (drivers.options.Make).

    Raises:
        SettingsError: an option is missing, unknown or wrong; not an imager; the folder to watch is not there.
    """
    if kind != "imager":
        raise SettingsError(f"driver 'squid' is for an imager, not for a {kind}")
    required = {"config": str, "project": str, "watch": str}
    said = http_options(options, required, {"machine": str, **WATCH, **dict.fromkeys(_PACE, float)})
    if not re.fullmatch(r"[A-Za-z0-9_-]+", machine := said.get("machine", "squid")):
        raise SettingsError(f"option machine = {machine!a} should be a plain name, as in the server's addresses")
    watch = read_options({name: said[name] for name in ("watch", *WATCH) if name in said}, lab)
    pace = SquidPace(**{name: float(said[name]) for name in _PACE if name in said})
    memory = memory_of(kind, lab)
    line = SquidLine(http_wire_of(said, kind, lab), machine, pace, said.get("reply_s", 10.0))
    readouts = Readouts(watch, lab, pace.poll_s)
    recipe = (said["config"], said["project"])
    return WorkerDevice(Squid(line, recipe, readouts, memory.place / "run.json", pace), memory)


class SquidLine:
    """The microscope's commands over HTTP."""

    def __init__(self, wire: HttpWire, machine: str, pace: SquidPace, reply_s: float) -> None:
        self.wire, self._machine, self._pace, self._reply_s = wire, machine, pace, reply_s

    def call(self, read: Callable[[Any, str], _T], command: str, *args: str, until: Deadline, long: bool = False) -> _T:
        """Send a command once, and read what it returned; ``long``: one that returns when its motion has ended.

        Raises:
            DeviceError: no answer, or the microscope refused, failed or is another client's.
        """
        soon = until.within(self._pace.stage_s if long else self._reply_s)
        body = json_body({"cmd": command, "args": list(args), "kwargs": {}})
        return read(self.wire.ask_json("POST", f"/{self._machine}", soon, body), command)

    def again(
        self, read: Callable[[Any, str], _T], command: str, *args: str, until: Deadline, long: bool = False
    ) -> _T:
        """Send a command that may be repeated, until it is answered; raises as `call`."""
        trouble: Transient | None = None
        while True:
            try:
                return self.call(read, command, *args, until=until, long=long)
            except Transient as error:
                # what it said, rather than that it was silent at last
                trouble = error if trouble is None or not isinstance(error, Silent) else trouble
                if until.is_over:
                    raise trouble from None
            until.pause(self._pace.poll_s)

    def is_idle(self, until: Deadline) -> bool:
        """Say whether it takes commands, having said so twice.

        Raises:
            DeviceError: it does not answer.
        """
        before: bool | None = None
        while True:
            now = self.again(is_idle, "status", until=until)
            if now == before:
                return now
            before = now


class Squid:
    """Images plates (drivers.worker.Machine)."""

    name = "imager"
    takes: tuple[type, ...] = (AcquirePlate,)

    def __init__(
        self, line: SquidLine, recipe: tuple[str, str], readouts: Readouts, mark: Path, pace: SquidPace
    ) -> None:
        self._line, self._recipe, self._readouts, self._mark, self._pace = line, recipe, readouts, mark, pace

    def time_s(self, command: Any) -> float:  # noqa: ARG002
        """Return the time after which a command counts as stalled."""
        pace = self._pace
        return 2 * pace.connect_s + pace.run_s + 4 * pace.stage_s + pace.folder_s

    def prepare(self, command: AcquirePlate, until: Deadline) -> JSON:
        """See that the microscope is idle, and what lies in the watched folder already.

        Raises:
            DeviceError: it is not; says why.
        """
        if not command.barcode.strip() or "\0" in command.barcode:
            raise NeedsOperator(f"a readout needs a barcode to be known by, not {command.barcode!a}")
        if not self._line.is_idle(until.within(self._pace.connect_s)):
            raise NeedsOperator("the microscope is busy with somebody else's work; wait for its end, or stop it there")
        return {"run": uuid.uuid4().hex, **self._readouts.asked(command.barcode)}

    def perform(self, command: AcquirePlate, plan: JSON, until: Deadline) -> Report:
        """Bring the plate under the objective, acquire once, and hand over its readout.

        Raises:
            DeviceError: how it ended could not be learned.
        """
        try:
            self._get_ready(command, until.within(2 * self._pace.stage_s))
            self._write_mark(plan)
        except DeviceError as error:
            return self._readouts.failed(command, f"{error}; nothing was imaged")
        refusal, is_heard = "", True
        try:
            if not self._line.call(truth, "acquire", until=until):
                refusal = "the microscope did not begin to acquire"
        except NeedsOperator as error:
            refusal = str(error)
        except Transient as error:
            refusal, is_heard = str(error), False
        if self._was_busy(until.within(self._pace.run_s)):
            return self._concluded(command, plan, until)
        if refusal and is_heard:
            return self._readouts.failed(command, f"{refusal}; nothing was imaged")
        return self._perhaps(command, plan, until, refusal)

    def after_crash(self, command: AcquirePlate, plan: JSON, until: Deadline) -> Report:
        """Wait for the end of an acquisition that another process began; begins none.

        Raises:
            DeviceError: the microscope does not answer.
        """
        if not self._was_begun(plan):
            return Report(Status.NOT_FOUND)
        if self._was_busy(until.within(self._pace.run_s)):
            return self._concluded(command, plan, until)
        return self._perhaps(command, plan, until, "")

    def inspect(self, until: Deadline) -> JSON:
        """Return whether it is idle, and where its stage is."""
        return {
            "device": "Squid",
            "up": self._line.again(truth, "up?", until=until),
            "idle": self._line.is_idle(until),
            "in loading position": self._line.again(truth, "is_in_loading_position", until=until),
            "config": self._recipe[0],
        }

    def close(self) -> None:
        """Let others have the server."""
        self._line.wire.close()

    def _get_ready(self, command: AcquirePlate, until: Deadline) -> None:
        """Bring the stage in and load the configuration for this plate; may be repeated."""
        if self._line.again(truth, "is_in_loading_position", until=until):
            self._line.again(value, "leave_loading", until=until, long=True)
        self._line.again(value, "load_config", *self._recipe, command.barcode, until=until, long=True)
        if self._line.again(truth, "is_in_loading_position", until=until):
            raise NeedsOperator("the stage did not leave its loading position")

    def _was_busy(self, until: Deadline) -> bool:
        """Wait until it is idle; say whether it was seen busy before.

        Raises:
            DeviceError: it does not answer, or is busy at the deadline.
        """
        was_busy, quiet = False, until.within(self._pace.patience_s)
        while True:
            # the last look is a whole one, also where the deadline has passed
            if not self._line.is_idle(until.renewed(max(until.left_s(), self._pace.connect_s))):
                was_busy = True
            elif was_busy or quiet.is_over:
                return was_busy
            if until.is_over:
                raise Silent(f"the acquisition did not end within {self._pace.run_s:g} s")
            until.pause(self._pace.poll_s)

    def _concluded(self, command: AcquirePlate, plan: JSON, until: Deadline) -> Report:
        report = self._readouts.wait(command, plan, until.within(self._pace.folder_s))
        self._come_out(until)
        return report

    def _perhaps(self, command: AcquirePlate, plan: JSON, until: Deadline, said: str) -> Report:
        """It is idle, and nobody saw it busy: a readout tells that it was, its lack tells nothing."""
        report = self._readouts.wait(command, plan, until, patience_s=self._pace.patience_s)
        if report.status is Status.DONE:
            self._come_out(until)
            return report
        why = "; ".join(filter(None, (said, f"nobody saw whether plate {command.barcode} was imaged", report.message)))
        return Report(Status.UNKNOWN, report.result, f"{why}; look at the imager")

    def _come_out(self, until: Deadline) -> None:
        """Bring the stage out; that it stays inside is no reason to doubt the images."""
        with suppress(DeviceError):
            self._line.again(value, "goto_loading", until=until.within(self._pace.stage_s), long=True)

    def _write_mark(self, plan: JSON) -> None:
        try:
            write_whole(self._mark, str(plan["run"]).encode())
        except OSError as error:
            raise NeedsOperator(f"{self._mark} cannot be written: {error}") from error

    def _was_begun(self, plan: JSON) -> bool:
        try:
            return self._mark.read_text() == str(plan["run"])
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            raise NeedsOperator(f"{self._mark} cannot be read ({error}); look at the imager") from error
