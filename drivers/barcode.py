"""What all barcode readers share: only a code that was read for this command counts, and only what was read alike.

A vendor's driver is a `CodeReader`. A code that the reader sent before the command (a ghost) is thrown away; so are
noise and the tail of a line that began before. A reader that can be triggered is triggered until it says the same code
twice in a row; two labels in front of it are told, not chosen from. Nothing moves, so that a read that a killed process
left behind is simply not found, and may be done again.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from drivers.deadline import Deadline
from drivers.ports import ReadBarcode, Report, Status
from drivers.serial_options import memory_of, serial_options
from drivers.wire import Garbled, Silent, Wire
from drivers.wire_log import printable
from drivers.worker import WorkerDevice
from drivers.worker_memory import JSON
from nextplate.errors import DeviceError, NeedsOperator, SettingsError, Transient

READ_S, CONNECT_S = 10.0, 10.0
_PLAIN = re.compile(r"[!-~]([ -~]{0,78}[!-~])?")
OPTIONAL: Mapping[str, type] = {"read_s": float, "pattern": str}
"""``read_s``: how long a read may take; ``pattern``: a regular expression that every code of the lab matches."""


class NothingRead(NeedsOperator):
    """The reader saw no code, or not one alone."""


class CodeReader(Protocol):
    """A vendor's reader on its wire. Calls end by their deadline and raise DeviceError."""

    def connect(self, until: Deadline) -> None:
        """Open the port unless it is open, and greet the device where it can be."""

    def read(self, until: Deadline) -> str:
        """Read the code that is in front of the reader now.

        Raises:
            NothingRead: none, or several.
            WireError: the device does not answer as it should.
        """

    def identify(self, until: Deadline) -> Mapping[str, Any]:
        """Return what the device says of itself."""

    def close(self) -> None:
        """Let go of the port."""


class BarcodeMachine:
    """Reads labels (drivers.worker.Machine)."""

    name = "barcode reader"
    takes: tuple[type, ...] = (ReadBarcode,)

    def __init__(self, reader: CodeReader, *, read_s: float = READ_S, connect_s: float = CONNECT_S) -> None:
        self._reader, self._read_s, self._connect_s = reader, read_s, connect_s

    def time_s(self, command: Any) -> float:  # noqa: ARG002
        """Return the time after which a command counts as stalled."""
        return self._connect_s + 2 * self._read_s

    def prepare(self, command: ReadBarcode, until: Deadline) -> JSON:  # noqa: ARG002
        """Connect.

        Raises:
            DeviceError: the reader does not answer.
        """
        self._connect(until.within(self._connect_s))
        return {}

    def perform(self, command: ReadBarcode, plan: JSON, until: Deadline) -> Report:  # noqa: ARG002
        """Read; try again until the read's time is over, as a port may come back and a plate settle."""
        patience = until.within(self._read_s)
        while True:
            try:
                return _judged(self._reader.read(patience), command.expected)
            except (Transient, NeedsOperator) as error:
                if isinstance(error, NothingRead) or patience.is_over:
                    return Report(Status.FAILED, {}, f"nothing was read: {error}")
            with suppress(DeviceError):
                self._connect(patience)

    def after_crash(self, command: ReadBarcode, plan: JSON, until: Deadline) -> Report:  # noqa: ARG002
        """Tell that a read may be done again: nothing moves in one."""
        return Report(Status.NOT_FOUND)

    def inspect(self, until: Deadline) -> JSON:
        """Return what the reader says of itself; reads nothing."""
        self._connect(until)
        return self._reader.identify(until)

    def close(self) -> None:
        """Let go of the port."""
        self._reader.close()

    def _connect(self, until: Deadline) -> None:
        while True:
            try:
                return self._reader.connect(until)
            except Transient:
                if until.is_over:
                    raise
                until.pause(0.1)


def _judged(code: str, expected: str) -> Report:
    if expected in ("", code):
        return Report(Status.DONE, {"barcode": code})
    message = f"the reader read {code}, not {expected}; another plate stands in front of it"
    return Report(Status.FAILED, {"barcode": code}, message)


def code_of(line: bytes, pattern: str | None = None) -> str:
    """Read a line as a code: 1 to 80 printable ASCII characters without spaces around them, and the lab's pattern.

    Raises:
        Garbled: it is none.
    """
    text = line.removeprefix(b"\n").decode("latin-1")
    if not _PLAIN.fullmatch(text):
        raise Garbled(f"the reader sent noise, no code: {printable(line[:60])}")
    if pattern is not None and not re.fullmatch(pattern, text):
        raise Garbled(f"the reader sent {text[:80]!a}, which is no code of this lab (option pattern = {pattern!r})")
    return text


def reader_options(driver: str, kind: str, options: Mapping[str, Any], optional: Mapping[str, type]) -> dict[str, Any]:
    """Check the options of a barcode reader on a serial line.

    Raises:
        SettingsError: an option is missing, unknown or wrong, or the device is no barcode reader.
    """
    if kind != "barcode-reader":
        raise SettingsError(f"driver {driver!r} is for a barcode-reader, not for a {kind}")
    said = serial_options(options, {}, {**OPTIONAL, **optional})
    try:
        re.compile(said.get("pattern", ""))
    except re.error as error:
        raise SettingsError(f"option pattern = {said['pattern']!r} is no regular expression: {error}") from error
    return said


def reader_device(reader: CodeReader, said: Mapping[str, Any], kind: str, lab: Path) -> WorkerDevice:
    """Put worker, memory and a vendor's reader together.

    Raises:
        SettingsError: the memory cannot be made.
    """
    machine = BarcodeMachine(reader, read_s=float(said.get("read_s", READ_S)))
    return WorkerDevice(machine, memory_of(kind, lab))


def quiet(wire: Wire, quiet_s: float, until: Deadline) -> None:
    """Throw away what came before now, and the rest of a line of which a part did.

    Raises:
        WireError: the reader does not fall silent, or the port went away.
    """
    for _ in range(64):
        wire.flush()
        try:
            wire.read_exact(1, until.within(quiet_s))
        except Silent:
            if until.is_over:
                break
            return
    raise Garbled(f"{wire.port} does not fall silent")
