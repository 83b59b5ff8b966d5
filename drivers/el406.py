"""BioTek EL406 washers and dispensers in their own binary protocol (38400 8N2, FTDI); facts/devices.md 4.4b.

::

    driver = "biotek-el406"
    options = { port = "/dev/ttyUSB0", programs = "programs/el406" }

A program is a file ``<programs>/<name>.toml`` of steps (`drivers.el406_program`). The same instrument may be the lab's
washer and its dispenser: two devices on one port, which they leave to each other between commands.

The device remembers no key, and nothing of a step that has ended. A step counts as done when the device was seen to
run, or told that the step has ended, and then stands still without an error.

(U) The facts page names no state for a step that a person stopped at the keypad: it ends as one that is done. A step
that stood still sooner than it can be done (its shakes, soaks and delays, a second for each wash cycle) is UNKNOWN, and
so is one that was paused when it was last seen at work; **a step stopped later than that, or one given as** ``raw``,
**looks done.** Who stops the device by hand has to tell.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from drivers.deadline import Deadline
from drivers.el406_link import Link, Refused
from drivers.el406_program import ENDING, frame_of, least_s_of, plate_byte, read_program
from drivers.el406_words import Poll, State, error_text, payload, poll, text
from drivers.program_handler import How, Outcome, Pace, Program
from drivers.program_options import PACE, check_kind, pace_of, program_device, program_names
from drivers.serial_options import serial_options, wire_of
from drivers.wire import LineSettings, Silent, Wire
from drivers.worker import WorkerDevice
from nextplate.errors import DeviceError, NeedsOperator, Transient

SETTINGS = LineSettings(baudrate=38400, stopbits=2)
"""(U): the facts page does not say; PyLabRobot sets the FTDI chip so."""
_INIT_STATE, _START_BATCH, _END_BATCH, _POLL = 0xA0, 0x8D, 0x8C, 0x92
_BEFORE_BATCH = (0xBF, 0xC1, 0xF2, 0xF4, 0x0154, 0x0102, 0x010A)
"""Asked by the maker's software before a batch; some devices refuse some of them."""
_SERIAL, _WASHER_MANIFOLD, _SYRINGE_MANIFOLD = 0x0100, 0xD8, 0xBB
_TRIES = 3
"""Of a question or a setting, which may be repeated freely."""
_REQUIRED: Mapping[str, type] = {"programs": str}


def make(kind: str, options: Mapping[str, Any], lab: Path) -> WorkerDevice:
    """Make the driver of a washer or a dispenser (drivers.options.Make).

    Raises:
        SettingsError: an option is missing, unknown or wrong; neither washer nor dispenser.
    """
    check_kind("biotek-el406", kind, ("washer", "dispenser"))
    said = serial_options(options, _REQUIRED, PACE)
    wire = wire_of(said, SETTINGS, kind, lab)
    handler = El406(
        wire,
        lab / said["programs"],
        pace_of(said),
        may_empty=kind == "washer",
        reply_s=said.get("reply_s", 1.0),
    )
    return program_device(handler, said, kind, lab)


class El406:
    """A BioTek EL406 (drivers.program_handler.ProgramHandler)."""

    def __init__(
        self, wire: Wire, folder: Path, pace: Pace, *, may_empty: bool = True, reply_s: float = 1.0, speed: float = 1.0
    ) -> None:
        self._link, self._speed = Link(wire, reply_s=reply_s), speed
        self._folder, self._pace, self._may_empty = folder, pace, may_empty

    def program(self, name: str) -> Program:
        """Read a program from its file.

        Raises:
            NeedsOperator: there is none, or it is wrong; names file and line.
        """
        return read_program(self._folder, name, may_empty=self._may_empty)

    def programs(self) -> tuple[str, ...]:
        """Name the programs that have a file."""
        return program_names(self._folder, ENDING)

    def prepare(self, program: Program, until: Deadline) -> None:
        """See that it stands still, clear its state, and begin a batch for the program's plate; nothing moves.

        Raises:
            DeviceError: it runs, is paused, reports an error, or does not answer.
        """
        self._link.connect(until)
        if not (now := self._waited(until)).state.is_idle:
            raise NeedsOperator(f"the EL406 is {_doing(now)}; wait until that is over, or stop it at its keypad")
        self._again(lambda: self._link.order(_INIT_STATE, b"", until), until)
        for question in _BEFORE_BATCH:
            with suppress(Refused, Transient):
                self._link.ask(question, b"", until)
        self._again(lambda: self._link.order(_START_BATCH, bytes([plate_byte(program)]), until), until)
        if error := self._steady(until).error:
            raise NeedsOperator(f"the EL406 reports {error_text(error)}; clear it at the device")

    def run(self, program: Program, n: int, until: Deadline) -> Outcome:
        """Send the frame of a step, once, and poll until it has ended.

        Raises:
            DeviceError: it did not answer to the end.
        """
        frame = frame_of(program, n)
        before = self._steady(until)
        if not before.state.is_idle or before.error:
            return Outcome(How.NOT_BEGUN, f"the EL406 is {_doing(before)} ({error_text(before.error) or 'no error'})")
        self._link.forget(frame.command)
        said, is_refused = "", False
        watch = _Watch(self._steady, self._link, frame.command, self._pace, least_s_of(program, n) / self._speed)
        sent_s = until.monotonic()
        try:
            self._link.order(frame.command, frame.data, until)
        except Refused as error:
            said, is_refused = str(error), True
        except Transient as error:
            said = f"{error} when asked to begin"
        return watch.ended(said, is_refused, until, sent_s)

    def watch(self, until: Deadline) -> Outcome:
        """Poll until nothing runs; a device that stands still at once does not tell what it did before."""
        self._reconnect(until)
        first = self._steady(until)
        if first.state.is_idle:
            if first.error:
                return Outcome(How.STOPPED, error_text(first.error))
            return Outcome(How.UNCLEAR, f"the EL406 stands still (counter {first.counter}) and does not remember")
        return _Watch(self._steady, self._link, 0, self._pace).ended("", False, until)

    def tidy(self, until: Deadline) -> None:
        """End the batch; the axes go home."""
        self._link.order(_END_BATCH, b"", until)

    def identify(self, until: Deadline) -> Mapping[str, object]:
        """Read serial number, manifolds, state and error."""
        self._link.connect(until)
        now = self._steady(until)
        return {
            "device": "BioTek EL406",
            "serial number": text(self._link.ask(_SERIAL, b"", until)),
            "washer manifold": payload(self._link.ask(_WASHER_MANIFOLD, b"", until))[0],
            "syringe manifold": payload(self._link.ask(_SYRINGE_MANIFOLD, b"", until))[0],
            "state": now.state.name.lower(),
            "error": error_text(now.error) or "none",
            "counter": now.counter,
        }

    def close(self) -> None:
        """Let go of the port."""
        self._link.close()

    def _steady(self, until: Deadline) -> Poll:
        """Poll; where it stands still, until it says so twice in a row. Opens the port again when it goes away.

        Raises:
            DeviceError: it did not answer by the deadline; what it said rather than that it was silent.
        """
        before: Poll | None = None
        trouble: DeviceError | None = None
        while True:
            try:
                self._link.connect(until)
                now = poll(self._link.ask(_POLL, b"", until))
            except (Transient, NeedsOperator) as error:
                trouble = error if trouble is None or not isinstance(error, Silent) else trouble
                if until.is_over:
                    raise trouble from None
                until.pause(self._pace.poll_s)
                before = None
                continue
            if not now.state.is_idle or now == before:
                return now
            before = now

    def _waited(self, until: Deadline) -> Poll:
        """Wait a moment for a device whose axes go home."""
        enough = until.within(self._pace.connect_s / 2)
        while not (now := self._steady(until)).state.is_idle and not enough.is_over:
            until.pause(self._pace.poll_s)
        return now

    def _again(self, act: Callable[[], None], until: Deadline) -> None:
        """Do what may be repeated freely; a NAK too, as noise makes a frame that the device refuses."""
        for n in range(1, _TRIES + 1):
            try:
                act()
            except Refused as error:
                if n == _TRIES or until.is_over:
                    why = error_text(self._steady(until).error)
                    raise NeedsOperator(f"{error}{': ' + why if why else ''}") from error
            except Transient:
                if n == _TRIES or until.is_over:
                    raise
                self._reconnect(until)
            else:
                return

    def _reconnect(self, until: Deadline) -> None:
        while True:
            try:
                return self._link.connect(until)
            except Transient:
                if until.is_over:
                    raise
            until.pause(self._pace.poll_s)


class _Watch:
    """One step, from the moment it was offered to the device until the device stands still."""

    def __init__(
        self, steady: Callable[[Deadline], Poll], link: Link, command: int, pace: Pace, least_s: float = 0.0
    ) -> None:
        self._steady, self._link, self._command, self._pace, self._least_s = steady, link, command, pace, least_s
        self._was_running = self._was_paused = False
        self._is_restarted = False
        self._counter = 0

    def ended(self, said: str, is_refused: bool, until: Deadline, sent_s: float | None = None) -> Outcome:
        """Poll until it stands still, or the deadline has passed.

        Args:
            said: What the device answered, where that was no acknowledgement.
            is_refused: It answered NAK.
            until: When it counts as hanging.
            sent_s: Just before its frame went out, on the deadline's clock; None when another process sent it.
        """
        quiet: Deadline | None = None
        while True:
            now = self._look(until)
            if not now.state.is_idle:
                quiet = None
            elif self._has_run or (now.error and not is_refused):
                return self._how(now, said, None if sent_s is None else until.monotonic() - sent_s)
            elif quiet is None:
                quiet = until.within(self._pace.patience_s)
            elif quiet.is_over:
                return self._not_seen(now, said, is_refused)
            if until.is_over:
                return Outcome(How.UNCLEAR, f"it did not end in time, and is {_doing(now)}")
            until.pause(self._pace.poll_s)

    @property
    def _has_run(self) -> bool:
        return self._was_running or self._link.has_ended(self._command)

    def _look(self, until: Deadline) -> Poll:
        now = self._steady(until)
        if not now.state.is_idle:
            self._was_running, self._counter = True, max(self._counter, now.counter)
            self._was_paused = now.state is State.PAUSED
        elif now.state is State.INITIAL and now.counter < self._counter:
            self._is_restarted = True
        return now

    def _how(self, now: Poll, said: str, took_s: float | None) -> Outcome:
        if now.error:
            return Outcome(How.STOPPED, error_text(now.error))
        if self._is_restarted:
            return Outcome(How.UNCLEAR, "; ".join(filter(None, (said, "the EL406 was switched off meanwhile"))))
        if self._was_paused:
            return Outcome(How.UNCLEAR, "it was paused when last seen at work; was it stopped at its keypad?")
        if took_s is not None and took_s < self._least_s:
            text = f"it stands still after {took_s:.1f} s, and needs {self._least_s:g} s or more"
            return Outcome(How.UNCLEAR, f"{text}; was it stopped at its keypad?")
        return Outcome(How.DONE)

    def _not_seen(self, now: Poll, said: str, is_refused: bool) -> Outcome:
        why = "; ".join(filter(None, (said, error_text(now.error))))
        if is_refused:
            return Outcome(How.NOT_BEGUN, why)
        return Outcome(How.UNCLEAR, why or "it acknowledged the step, and was not seen to run")


def _doing(now: Poll) -> str:
    return {State.RUNNING: "running", State.PAUSED: "paused"}.get(now.state, "standing still")
