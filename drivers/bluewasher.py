"""BlueCatBio BlueWasher plate washers (115200 8N1); facts/devices.md 4.5.

::

    driver = "bluewasher"
    options = { port = "/dev/ttyUSB0", programs = "programs/bluewasher", slot = 99 }

A program is a file ``<programs>/<name>.txt`` in the device's own language. It is sent to the device before each run,
into the one ``slot`` that belongs to nextplate. The line has no checksum: a character of a program that noise changes
into another one of its language is not seen.

That a program has ended the device says once, by itself (Err=21). A driver that did not hear it asks whether something
runs; a device that stands still and has not said how it ended is a person's. What it answers to a question while a
program runs (Err=38) is not on the facts page but follows from its table of codes; no real device was at hand.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.bluewasher_words import (
    FINISHED,
    MISSING,
    OK,
    RUNNING,
    UNKNOWN,
    code_of,
    error_text,
    program_lines,
    serial_of,
)
from drivers.deadline import Deadline
from drivers.program_handler import How, Outcome, Pace, Program
from drivers.program_options import PACE, check_kind, pace_of, program_device, program_names, program_text
from drivers.serial_options import serial_options, wire_of
from drivers.wire import Garbled, Gone, LineSettings, Silent, Wire
from drivers.worker import WorkerDevice
from nextplate.errors import DeviceError, NeedsOperator, SettingsError, Transient

SETTINGS = LineSettings(baudrate=115200)
ENDING = ".txt"
_REQUIRED: Mapping[str, type] = {"programs": str, "slot": int}
_END = b"\n"
_GAP_S = 0.05
"""Between two commands, at least."""
_OPEN_TRIES, _OPEN_AGAIN_S = 10, 0.1
"""About one opening in five fails."""
_TRIES = 6
_MAX_TEXT = 64
_WHO = ("$getserial", "$getfirmware")
"""Asked in turn: a late answer to the one is not taken for an answer to the other's."""


def make(kind: str, options: Mapping[str, Any], lab: Path) -> WorkerDevice:
    """Make the driver of a washer (drivers.options.Make).

    Raises:
        SettingsError: an option is missing, unknown or wrong; no washer.
    """
    check_kind("bluewasher", kind, ("washer",))
    said = serial_options(options, _REQUIRED, PACE)
    if not 1 <= said["slot"] <= 99:
        raise SettingsError(f"option slot = {said['slot']} should be the number of a program of the device, 1 to 99")
    wire = wire_of(said, SETTINGS, kind, lab)
    folder = lab / said["programs"]
    handler = BlueWasher(wire, folder, pace_of(said), said["slot"], reply_s=said.get("reply_s", 1.0))
    return program_device(handler, said, kind, lab)


class BlueWasher:
    """A BlueWasher (drivers.program_handler.ProgramHandler)."""

    def __init__(
        self, wire: Wire, folder: Path, pace: Pace, slot: int, *, reply_s: float = 1.0, gap_s: float = _GAP_S
    ) -> None:
        self._wire, self._folder, self._pace, self._slot = wire, folder, pace, slot
        self._reply_s, self._gap_s = reply_s, gap_s
        self._is_behind = False
        """An answer may still be under way that nobody waits for."""
        self._asked_who = 0
        self._is_finished = False
        """It said so, since a program was begun."""
        self._stopped = 0
        """The code with which it said that a program had stopped."""

    def program(self, name: str) -> Program:
        """Read a program from its file.

        Raises:
            NeedsOperator: there is none, or it is wrong; names file and line.
        """
        lines = program_lines(program_text(self._folder, name, ENDING), name)
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        return Program(name, (f"{len(lines)} lines of {name}",), digest, lines)

    def programs(self) -> tuple[str, ...]:
        """Name the programs that have a file."""
        return program_names(self._folder, ENDING)

    def prepare(self, program: Program, until: Deadline) -> None:
        """See that it stands still, and send it the program; nothing moves.

        Raises:
            DeviceError: it runs, refuses the program, or does not answer.
        """
        self._reconnect(until)
        if self._is_running(until):
            raise NeedsOperator(
                "the BlueWasher is running a program; wait until that is over, or stop it at the device"
            )
        for n in range(1, _TRIES + 1):
            try:
                self._send(program, until)
            except Transient:
                if n == _TRIES or until.is_over:
                    raise
                self._reconnect(until)
            else:
                return

    def run(self, program: Program, n: int, until: Deadline) -> Outcome:  # noqa: ARG002
        """Run the program, once, and read until the device has said that it ended.

        Raises:
            DeviceError: it did not answer to the end.
        """
        for _ in range(_TRIES):
            if self._is_running(until):
                return Outcome(How.NOT_BEGUN, "the BlueWasher is running something else")
            self._is_finished, self._stopped = False, 0
            said, code = self._begun(until)
            if code == UNKNOWN and not self._is_running(until):
                continue  # garbled on its way: the device did not understand it, and stands still
            return self._ended(said, code, until)
        return Outcome(How.NOT_BEGUN, f"{error_text(UNKNOWN)}, {_TRIES} times")

    def watch(self, until: Deadline) -> Outcome:
        """Read until nothing runs; a device that stands still at once does not tell what it did before."""
        self._is_finished, self._stopped = False, 0
        self._reconnect(until)
        if not self._is_running(until):
            return Outcome(How.UNCLEAR, "the BlueWasher stands still and does not remember")
        return self._ended("", OK, until)

    def tidy(self, until: Deadline) -> None:
        """Do nothing: it rests by itself."""

    def identify(self, until: Deadline) -> Mapping[str, object]:
        """Read serial number, firmware and whether a program runs."""
        self._connect(until)
        if self._is_running(until):
            return {"device": "BlueCatBio BlueWasher", "state": "running a program"}
        serial, firmware = (serial_of(self._steady(question, until)[1]) for question in _WHO)
        return {
            "device": "BlueCatBio BlueWasher", "serial number": serial, "firmware": firmware, "state": "standing still",
        }  # fmt: skip

    def close(self) -> None:
        """Let go of the port."""
        self._wire.close()

    def _begun(self, until: Deadline) -> tuple[str, int]:
        """Send the frame that moves, once; return what went wrong with its answer, and the answer.

        That a program has ended, said before the order was answered, is of another time or is noise.
        """
        try:
            code, _ = self._asked(f"$runprog {self._slot}", until)
        except (Transient, Gone) as error:
            self._is_finished = False
            return f"{error} when asked to begin", OK
        self._is_finished = False
        return error_text(code), code

    def _ended(self, said: str, code: int, until: Deadline) -> Outcome:
        """Ask until it stands still, and say what it told of the end.

        Done is what was accepted or seen to run, and then said that it has ended, and then stands still.

        Args:
            said: What was wrong with the answer to the order, "" for nothing.
            code: That answer.
            until: When it counts as hanging.
        """
        is_begun, was_running = code == OK and not said, False
        quiet = until.within(self._pace.patience_s)
        while True:
            if self._is_running(until):
                # it runs, so an end that it told of before was none
                is_begun, was_running, self._is_finished = True, True, False
                quiet = until.within(self._pace.patience_s)
            elif self._stopped:
                return Outcome(How.STOPPED, error_text(self._stopped))
            elif self._is_finished and is_begun:
                return Outcome(How.DONE)
            elif quiet.is_over:
                if code not in (OK, UNKNOWN, RUNNING) and not was_running:
                    return Outcome(How.NOT_BEGUN, said)
                return Outcome(How.UNCLEAR, said or "it stands still, and was not heard to say how it ended")
            if until.is_over:
                return Outcome(How.UNCLEAR, "it did not end in time")
            until.pause(self._pace.poll_s)

    def _send(self, program: Program, until: Deadline) -> None:
        """Put the program into its slot; all of it again is as good as once.

        Raises:
            DeviceError: it is refused, or nobody answers.
        """
        self._must(f"$deleteprog {self._slot:02d}", until, MISSING)
        self._must(f"$Copyprog {self._slot:02d} _", until)
        for line in program.parts:
            self._must(f"$& {line}", until)
        self._must("$%", until)
        self._must("$getprogs", until)  # the maker's advice: only then it looks again

    def _must(self, command: str, until: Deadline, *also: int) -> None:
        code, _ = self._asked(command, until)
        if code == UNKNOWN:
            raise Garbled(f"the BlueWasher did not understand {command!r}")
        if code not in (OK, *also):
            raise NeedsOperator(f"the BlueWasher refuses {command!r}: {error_text(code)}")

    def _is_running(self, until: Deadline) -> bool:
        """Ask until it says the same twice in a row; opens the port again when it goes away.

        Raises:
            DeviceError: it did not answer by the deadline; what it said rather than that it was silent.
        """
        before: bool | None = None
        trouble: DeviceError | None = None
        while True:
            try:
                self._connect(until)
                self._asked_who += 1
                now = self._steady(_WHO[self._asked_who % 2], until)[0] == RUNNING
            except (Transient, NeedsOperator) as error:
                trouble = error if trouble is None or not isinstance(error, Silent) else trouble
                if until.is_over:
                    raise trouble from None
                until.pause(self._pace.poll_s)
                before = None
                continue
            if now == before:
                return now
            before = now

    def _steady(self, question: str, until: Deadline) -> tuple[int, list[bytes]]:
        """Ask who it is: its name and 0, or that a program runs; any other code tells how a program stopped.

        Raises:
            WireError: no answer, or not to this question.
        """
        code, lines = self._asked(question, until)
        if code == RUNNING or (code == OK and serial_of(lines)):
            return code, lines
        raise Garbled(f"the BlueWasher answered {question!r} with {error_text(code)}")

    def _asked(self, command: str, until: Deadline) -> tuple[int, list[bytes]]:
        """Send a command and read until its code; what tells of the end of a program is kept apart."""
        if self._is_behind:
            self._listen(until)
        until.pause(self._gap_s)
        self._is_behind = True
        self._wire.write(f"{command}\r\n".encode("ascii"), until)
        answered = until.within(self._reply_s)
        lines: list[bytes] = []
        while len(lines) < _MAX_TEXT:
            line = self._wire.read_line(_END, answered).rstrip(b"\r")
            code = code_of(line)
            if code is None:
                lines.append(line)
            elif not self._is_about_the_end(code, command):
                self._is_behind = False
                return code, lines
        raise Garbled("the BlueWasher does not stop talking")

    def _is_about_the_end(self, code: int, command: str) -> bool:
        """Keep a code that no question has for an answer: the program has ended, or stopped."""
        if code == FINISHED:
            self._is_finished = True
            return True
        if command in _WHO and code not in (OK, RUNNING, UNKNOWN):
            self._stopped = code
            return True
        return False

    def _listen(self, until: Deadline) -> None:
        """Wait until it is silent for a whole answer's time; an end that it tells of meanwhile counts.

        Raises:
            Garbled: it does not fall silent.
        """
        for _ in range(_MAX_TEXT):
            try:
                line = self._wire.read_line(_END, until.within(self._reply_s)).rstrip(b"\r")
            except Silent:
                self._wire.flush()
                self._is_behind = False
                return
            except Garbled:
                continue
            if code_of(line) == FINISHED:
                self._is_finished = True
        raise Garbled("the BlueWasher does not fall silent")

    def _connect(self, until: Deadline) -> None:
        """Open the port unless it is open, and have it answer shortly.

        Raises:
            DeviceError: no port, no answer, or another protocol's.
        """
        if self._wire.is_open:
            return
        self._opened(until)
        self._is_behind = True
        try:
            code, _ = self._asked("$changelog 0", until)
        except DeviceError:
            self._wire.close()
            raise
        if code not in (OK, RUNNING):
            self._wire.close()
            raise Garbled(f"{self._wire.port} answered '$changelog 0' with {error_text(code)}; is it a BlueWasher?")

    def _opened(self, until: Deadline) -> None:
        for n in range(1, _OPEN_TRIES + 1):
            try:
                self._wire.open()
            except Gone:
                if n == _OPEN_TRIES or until.is_over:
                    raise
                until.pause(_OPEN_AGAIN_S)
            else:
                return

    def _reconnect(self, until: Deadline) -> None:
        while True:
            try:
                self._connect(until)
            except Transient:
                if until.is_over:
                    raise
                until.pause(self._pace.poll_s)
            else:
                return
