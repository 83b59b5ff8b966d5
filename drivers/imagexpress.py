r"""ImageXpress Micro microscopes on their serial line; facts/devices.md 4.8.

::

    driver = "imagexpress"
    options = { port = "/dev/ttyUSB0", hts = "C:\\protocols\\cells.hts", watch = "/mnt/imagexpress" }

``hts`` is the acquisition that is run, ``watch`` the folder in which its plates appear; ``depth``, ``barcode_pattern``,
``settle_s``, ``copy``, ``reader``, ``several``, ``wells``, ``fields`` and ``channels`` are those of
`drivers.watched_options`. A plate is imaged once: before RUN is sent it is written down, after it only the state is
asked. The readout that is handed over is new and of this barcode (`drivers.watched_look`); any other stays.
"""

import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from re import compile as regex
from typing import Any

from drivers.deadline import Deadline
from drivers.dialogue import Barrier, Dialogue
from drivers.imager_readout import WATCH, Readouts
from drivers.imagexpress_words import OFFLINE, Phase, State, fields, state
from drivers.key_files import write_whole
from drivers.ports import AcquirePlate, Report, Status
from drivers.serial_options import memory_of, serial_options, wire_of
from drivers.watched_options import WatchOptions, read_options
from drivers.wire import LineSettings, Silent, Wire
from drivers.worker import WorkerDevice
from drivers.worker_memory import JSON
from nextplate.errors import DeviceError, NeedsOperator, SettingsError, Transient

SETTINGS = LineSettings()
_STATUS = "1,STATUS"
_BARRIER = Barrier(_STATUS, regex(r"[0-9]{1,3},(READY|RUNNING|DONE|ERROR)\b[ -~]*"))
_HINT = "an ImageXpress answers READY, RUNNING, DONE or ERROR; is this its port?"
_UNSAFE = frozenset(",\r\n\0")


@dataclass(frozen=True, slots=True)
class ImagePace:
    """How long things take, in seconds."""

    run_s: float = 4 * 3600.0
    """After which an acquisition counts as stalled."""
    stage_s: float = 60.0
    """After which a motion of the stage does."""
    folder_s: float = 1800.0
    """Within which the readout is whole after the acquisition ended."""
    poll_s: float = 1.0
    patience_s: float = 15.0
    """An imager that is still ready so long after RUN has not begun it."""
    connect_s: float = 15.0


_PACE = tuple(asdict(ImagePace()))


def make(kind: str, options: Mapping[str, Any], lab: Path) -> WorkerDevice:
    """Make the driver of an imager (drivers.options.Make).

    Raises:
        SettingsError: an option is missing, unknown or wrong; not an imager; the folder to watch is not there.
    """
    if kind != "imager":
        raise SettingsError(f"driver 'imagexpress' is for an imager, not for a {kind}")
    said = serial_options(options, {"hts": str, "watch": str}, {**WATCH, **dict.fromkeys(_PACE, float)})
    hts = said["hts"]
    if not hts.strip() or not hts.isascii() or _UNSAFE & set(hts):
        raise SettingsError(f"option hts = {hts!a} should be a path without commas, in ASCII: the line has no quotes")
    watch = read_options({name: said[name] for name in ("watch", *WATCH) if name in said}, lab)
    pace = ImagePace(**{name: float(said[name]) for name in _PACE if name in said})
    memory = memory_of(kind, lab)
    wire = wire_of(said, SETTINGS, kind, lab)
    machine = ImageXpress(wire, hts, watch, lab, memory.place / "run.json", pace, reply_s=said.get("reply_s", 2.0))
    return WorkerDevice(machine, memory)


class ImageXpress:
    """Images plates (drivers.worker.Machine)."""

    name = "imager"
    takes: tuple[type, ...] = (AcquirePlate,)

    def __init__(
        self, wire: Wire, hts: str, watch: WatchOptions, lab: Path, mark: Path, pace: ImagePace, *, reply_s: float = 2.0
    ) -> None:
        self._wire, self._hts, self._watch = wire, hts, watch
        self._mark, self._pace = mark, pace
        self._readouts = Readouts(watch, lab, pace.poll_s)
        self._line = Dialogue(wire, ends=(b"\r\n", b"\r\n"), reply_s=reply_s, barriers=(_BARRIER,))

    def time_s(self, command: Any) -> float:  # noqa: ARG002
        """Return the time after which a command counts as stalled."""
        pace = self._pace
        return pace.connect_s + pace.run_s + 2 * pace.stage_s + pace.folder_s

    def prepare(self, command: AcquirePlate, until: Deadline) -> JSON:
        """See that the imager is idle and well, and what lies in the watched folder already.

        Raises:
            DeviceError: it is not; says why.
        """
        if not command.barcode.strip() or "\0" in command.barcode:
            raise NeedsOperator(f"a readout needs a barcode to be known by, not {command.barcode!a}")
        soon = until.within(2 * self._pace.connect_s)
        self._reach(soon)
        seen = self._steady(soon)
        if seen.error == OFFLINE:
            with suppress(Transient):
                fields(self._line.ask("1,ONLINE", soon), "1,ONLINE")
            seen = self._steady(soon)
        stage = until.within(self._pace.stage_s)  # it may be the stage that a killed process set in motion
        while seen.phase is Phase.RUNNING and not stage.is_over:
            stage.pause(self._pace.poll_s)
            seen = self._steady(until.within(2 * self._pace.connect_s))
        if seen.phase is Phase.RUNNING:
            raise NeedsOperator("the imager runs somebody else's acquisition; wait for its end, or stop it there")
        if seen.trouble:
            raise NeedsOperator(f"the imager reports {seen.trouble}; clear it there")
        return {"run": uuid.uuid4().hex, **self._readouts.asked(command.barcode)}

    def perform(self, command: AcquirePlate, plan: JSON, until: Deadline) -> Report:
        """Bring the plate under the objective, run the acquisition once, and hand over its readout.

        Raises:
            DeviceError: how it ended could not be learned.
        """
        try:
            self._goto("SAMPLE", until)
            self._write_mark(plan)
        except DeviceError as error:
            return self._readouts.failed(command, f"{error}; nothing was imaged")
        refusal = ""
        try:
            fields(self._line.ask(f"1,RUN,,{self._hts}", until), "1,RUN")
        except (NeedsOperator, Transient) as error:
            refusal = str(error)  # the state tells whether it runs
        seen = self._ended(until.within(self._pace.run_s))
        if seen.phase is Phase.READY:
            why = refusal or "the imager did not begin to run"
            return self._readouts.failed(command, f"{why}; nothing was imaged")
        return self._concluded(command, plan, seen, until)

    def after_crash(self, command: AcquirePlate, plan: JSON, until: Deadline) -> Report:
        """Wait for the end of an acquisition that another process began; begins none.

        Raises:
            DeviceError: the imager does not answer.
        """
        if not self._was_begun(plan):
            return Report(Status.NOT_FOUND)
        self._reach(until)
        seen = self._ended(until.within(self._pace.run_s))
        if seen.phase is not Phase.READY:
            return self._concluded(command, plan, seen, until)
        report = self._readouts.wait(command, plan, until.within(self._pace.folder_s), patience_s=self._pace.patience_s)
        if report.status is Status.DONE:
            return report
        text = f"nobody saw whether plate {command.barcode} was imaged ({report.message}); look at the imager"
        return Report(Status.UNKNOWN, report.result, text)

    def inspect(self, until: Deadline) -> JSON:
        """Return its state, and what is watched."""
        self._connect(until)
        seen = self._steady(until)
        return {
            "device": "ImageXpress",
            "state": seen.phase.value,
            "stage": seen.place,
            "error": seen.trouble,
            "acquisition": self._hts,
            "watched folder": str(self._watch.watch),
        }

    def close(self) -> None:
        """Let go of the port."""
        self._wire.close()

    # the line

    def _connect(self, until: Deadline) -> None:
        if not self._wire.is_open:
            self._wire.open()
        self._line.greet(_HINT, until)

    def _steady(self, until: Deadline) -> State:
        """Ask for the state until it is the same twice; open the port again when it goes away.

        Raises:
            DeviceError: it was not by the deadline.
        """
        before: State | None = None
        while True:
            try:
                now = state(self._line.ask(_STATUS, until), _STATUS)
            except Transient as error:
                self._recover(error, until)
                before = None
                continue
            if now == before:
                return now
            before = now
            if until.is_over:
                raise Silent("the imager's state does not settle")

    def _reach(self, until: Deadline) -> None:
        """Connect, within the time that the pace gives a port to come back."""
        try:
            self._connect(until)
        except Transient as error:
            self._recover(error, until.within(self._pace.connect_s))

    def _recover(self, trouble: Transient, until: Deadline) -> None:
        while True:
            if until.is_over:
                raise trouble
            until.pause(self._pace.poll_s)
            with suppress(Transient):
                return self._connect(until)

    def _goto(self, place: str, until: Deadline) -> None:
        """Move the stage; may be repeated.

        Raises:
            DeviceError: it is not there in time, or complains.
        """
        soon = until.within(self._pace.stage_s)
        while True:
            with suppress(Transient, NeedsOperator):  # the state tells; a lost frame is sent again
                fields(self._line.ask(f"1,GOTO,{place}", soon), "1,GOTO")
            enough = soon.within(self._pace.patience_s)
            while not enough.is_over:
                seen = self._steady(soon)
                if (seen.phase, seen.place) == (Phase.READY, place):
                    return
                if seen.trouble:
                    raise NeedsOperator(f"the imager reports {seen.trouble}; clear it there")
                soon.pause(self._pace.poll_s)
            if soon.is_over:
                raise Silent(f"the stage did not come to {place} in time")

    def _ended(self, until: Deadline) -> State:
        """Wait until an acquisition is over, or certainly did not begin (READY).

        Raises:
            DeviceError: neither by the deadline.
        """
        quiet: Deadline | None = None
        while True:
            # the last look is a whole one, also where the deadline has passed
            seen = self._steady(until.renewed(max(until.left_s(), self._pace.connect_s)))
            if seen.phase in (Phase.DONE, Phase.ERROR):
                return seen
            if seen.phase is Phase.RUNNING:
                quiet = None
            elif quiet is None:
                quiet = until.within(self._pace.patience_s)
            elif quiet.is_over:
                return seen
            if until.is_over:
                raise Silent(f"the acquisition did not end within {self._pace.run_s:g} s")
            until.pause(self._pace.poll_s)

    # the readout

    def _concluded(self, command: AcquirePlate, plan: JSON, seen: State, until: Deadline) -> Report:
        if seen.trouble:
            return self._readouts.failed(
                command, f"the imager stopped: {seen.trouble}; plate {command.barcode} is in the imager"
            )
        report = self._readouts.wait(command, plan, until.within(self._pace.folder_s))
        with suppress(DeviceError):  # that the stage stays inside is no reason to doubt the images
            self._goto("LOAD", until)
        return report

    # that it was begun

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
