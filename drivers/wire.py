"""A wire to a device: a serial port or a socket, opened by us alone, on which no call waits beyond its deadline.

``port`` is what pyserial takes: ``/dev/ttyUSB0``, ``socket://host:port`` (a serial device server), ``loop://``; or
``replay:///path/of/a/wire.log``, where the device is played from a log (`drivers.wire_replay`). pyserial 3.5.

What goes wrong is one of::

    Transient
    └── WireError
        ├── Gone      the port is not there or went away; `Wire.reopen` waits for it
        ├── Silent    not enough came in time; carries what did come
        └── Garbled   what came is not of the protocol (raised by those who read it)
    NeedsOperator     another program has the port, or we may not open it
"""

import errno
import termios
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from drivers.deadline import Deadline
from drivers.port_claim import Claim, claimed
from drivers.wire_log import Way, WireLog, printable
from drivers.wire_replay import ReplayedLine
from nextplate.errors import NeedsOperator, Transient

TICK_S = 0.02
"""How late a call may be after its deadline, at most."""
MAX_LINE = 65536
"""Bytes without a terminator after which a line is taken for noise."""
_RETRY_S = 0.2
_WRITE_S = 1.0
_LATE_S = 1.0
"""Nothing is sent so long after its deadline; a last question just after it may be."""
_BUSY = frozenset({errno.EAGAIN, errno.EBUSY, errno.EWOULDBLOCK})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
_FAULTS = (OSError, termios.error)
"""What pyserial raises when a port goes away; SerialException is an OSError."""


class WireError(Transient):
    """The wire failed; whether the device has what was sent is not known."""


class Gone(WireError):
    """The port is not there, or went away."""


class Silent(WireError):
    """The device did not answer in time."""

    def __init__(self, text: str, received: bytes = b"") -> None:
        super().__init__(text)
        self.received = received
        """What came, too little or without its end."""


class Garbled(WireError):
    """The device answered something that its protocol does not have."""


@dataclass(frozen=True, slots=True)
class LineSettings:
    """How a serial port is set; a socket ignores it."""

    baudrate: int = 9600
    bytesize: int = 8
    parity: str = "N"
    """N, E or O."""
    stopbits: int = 1
    rtscts: bool = False


class Line(Protocol):
    """What a Wire needs of an open port; pyserial's Serial has it."""

    timeout: float | None
    write_timeout: float | None
    break_condition: bool

    @property
    def in_waiting(self) -> int:
        """Return how many bytes can be read at once, at least 1 if there are any."""

    def read(self, size: int = 1, /) -> bytes:
        """Read what there is, at most ``size``; wait ``timeout`` for the first."""

    def write(self, data: bytes, /) -> int | None:
        """Write all."""

    def close(self) -> None:
        """Let go of the port."""


class Wire:
    """One port. Not for several threads; the worker of the device owns it."""

    def __init__(
        self,
        port: str,
        settings: LineSettings = LineSettings(),
        *,
        log: WireLog | None = None,
        open_line: Callable[[str, LineSettings], Line] | None = None,
    ) -> None:
        self.port, self._settings, self._log = port, settings, log
        self._open_line = open_line or line_at
        self._line: Line | None = None
        self._claim: Claim | None = None
        self._waiting = bytearray()
        """Came, and was not read yet."""

    @property
    def is_open(self) -> bool:
        """Say whether the port is open, as far as is known."""
        return self._line is not None

    def open(self) -> None:
        """Open the port for us alone, and throw away what came before.

        Raises:
            NeedsOperator: another program has it, or we have no right to it; names the port.
            Gone: it is not there.
        """
        if self._line is not None:
            return
        self._claim = _claimed(self.port)
        try:
            self._line = self._open_line(self.port, self._settings)
        except (*_FAULTS, ValueError) as error:
            self._let_go()
            raise _not_opened(self.port, error) from error
        self._note(f"opened {self.port}")

    def close(self) -> None:
        """Let go of the port; it may be opened again."""
        if self._line is not None:
            self._note("closed")
        self._let_go()

    def reopen(self, until: Deadline) -> None:
        """Close the port and open it again as soon as it is there, as after an unplugged cable.

        Raises:
            NeedsOperator: as for `open`.
            Gone: it was not there by the deadline.
        """
        self.close()
        while True:
            try:
                return self.open()
            except Gone:
                if until.is_over:
                    raise
            until.pause(_RETRY_S)

    def write(self, data: bytes, until: Deadline) -> None:
        """Send bytes.

        Raises:
            Silent: the port took not all of them in time (flow control, or a full network buffer), or its time was over
                long before, and nothing was sent.
            Gone: the port went away, or is not open.
        """
        line = self._opened()
        if until.is_over and until.monotonic() > until.at_s + _LATE_S:
            raise Silent(f"{self.port}: the time was over before {printable(data[:40])} was sent")
        self._trace(Way.OUT, data)  # before, so that the log has what may have been sent
        try:
            wait_s = min(max(until.left_s(), TICK_S), _WRITE_S)
            if line.write_timeout != wait_s:
                line.write_timeout = wait_s
            line.write(data)
        except _FAULTS as error:
            if type(error).__name__ == "SerialTimeoutException":
                self._note("write timed out")
                raise Silent(f"{self.port} does not take bytes; is the device on, and its cable complete?") from error
            raise self._lost(error) from error

    def read_line(self, terminator: bytes, until: Deadline, *, max_bytes: int = MAX_LINE) -> bytes:
        """Read up to a terminator and return what stands before it.

        Raises:
            Silent: no terminator in time; carries what came.
            Garbled: ``max_bytes`` without a terminator.
            Gone: the port went away, or is not open.
        """
        self._wait(lambda: terminator in self._waiting or len(self._waiting) > max_bytes, until)
        if (end := self._waiting.find(terminator)) < 0:
            start = self.flush()[:40]
            raise Garbled(f"{self.port} sent {max_bytes} bytes without an end of line: {printable(start)} ...")
        line = bytes(self._waiting[:end])
        del self._waiting[: end + len(terminator)]
        return line

    def read_exact(self, n_bytes: int, until: Deadline) -> bytes:
        """Read so many bytes.

        Raises:
            Silent: fewer came in time; carries them.
            Gone: the port went away, or is not open.
        """
        self._wait(lambda: len(self._waiting) >= n_bytes, until)
        data = bytes(self._waiting[:n_bytes])
        del self._waiting[:n_bytes]
        return data

    def flush(self) -> bytes:
        """Throw away what came and was not read; return it.

        Raises:
            Gone: the port went away, or is not open.
        """
        line = self._opened()
        for _ in range(64):  # a device that floods the port must not hold us here
            try:
                n = line.in_waiting
                chunk = line.read(n) if n else b""
            except _FAULTS as error:
                raise self._lost(error) from error
            if not chunk:
                break
            self._trace(Way.IN, chunk)
            self._waiting += chunk
        thrown = bytes(self._waiting)
        self._waiting.clear()
        if thrown:
            self._note(f"{len(thrown)} bytes thrown away")
        return thrown

    @property
    def has_input(self) -> bool:
        """Say whether something came that was not read.

        Raises:
            Gone: the port went away, or is not open.
        """
        try:
            return bool(self._waiting) or self._opened().in_waiting > 0
        except _FAULTS as error:
            raise self._lost(error) from error

    def send_break(self, duration_s: float, until: Deadline) -> None:
        """Hold the line low; where there is none (a pty, a socket) just wait as long."""
        line = self._opened()
        self._note(f"break {duration_s:g} s")
        with suppress(*_FAULTS):
            line.break_condition = True
        try:
            until.pause(duration_s)
        finally:
            with suppress(*_FAULTS):
                line.break_condition = False

    def is_clear_to_send(self) -> bool | None:
        """Return the CTS signal; None where there is none (a pty, a socket)."""
        try:
            signal = getattr(self._opened(), "cts", None)
        except _FAULTS:
            return None
        return bool(signal) if signal is not None and not self.port.startswith(("socket:", "replay:")) else None

    def _wait(self, is_there: Callable[[], bool], until: Deadline) -> None:
        """Read until it is there; what lies in the port is still read when the deadline has passed.

        Raises:
            Silent: it was not there by the deadline.
        """
        while not is_there():
            is_last = until.is_over
            self._receive()
            if is_last and not is_there():
                received = bytes(self._waiting)
                what = f"only {printable(received[-40:])}" if received else "nothing"
                raise Silent(f"{self.port} did not answer in time ({what} came)", received)

    def _receive(self) -> None:
        """Wait a moment for more bytes."""
        line = self._opened()
        try:
            chunk = line.read(1)
        except _FAULTS as error:
            raise self._lost(error) from error
        with suppress(*_FAULTS):  # a peer that hung up after its last byte: the next read tells, and what came is kept
            if chunk and (more := line.in_waiting):
                chunk += line.read(more)
        if chunk:
            self._trace(Way.IN, chunk)
            self._waiting += chunk

    def _opened(self) -> Line:
        if self._line is None:
            raise Gone(f"{self.port} is not open")
        return self._line

    def _lost(self, error: Exception) -> Gone:
        self._note(f"lost: {error}")
        self._let_go()
        return Gone(f"{self.port} went away: {error}")

    def _let_go(self) -> None:
        line, claim = self._line, self._claim
        self._line = self._claim = None
        self._waiting.clear()
        if line is not None:
            with suppress(*_FAULTS):
                line.close()
        if claim is not None:
            claim.close()

    def _trace(self, way: Way, data: bytes) -> None:
        if self._log is not None:
            self._log.write(way, data)

    def _note(self, text: str) -> None:
        if self._log is not None:
            self._log.event(text)


def line_at(port: str, settings: LineSettings) -> Line:
    """Open a port through pyserial, or a log to be played.

    Raises:
        OSError, ValueError: it cannot be opened.
    """
    if port.startswith("replay://"):
        return ReplayedLine.of(Path(port.removeprefix("replay://")))
    import serial  # type: ignore[import-untyped]

    if _is_pty(port):
        settings = replace(settings, bytesize=8, parity="N", rtscts=False)  # all that a pty can
    line: Any = serial.serial_for_url(
        port,
        do_not_open=True,
        baudrate=settings.baudrate,
        bytesize=settings.bytesize,
        parity=settings.parity,
        stopbits=settings.stopbits,
        rtscts=settings.rtscts,
        timeout=TICK_S,
        write_timeout=_WRITE_S,
    )
    if "://" not in port:
        line.exclusive = True  # a lock on the port itself, which every pyserial program respects
    line.open()
    opened: Line = line
    return opened


def _is_pty(port: str) -> bool:
    return "://" not in port and Path(port).resolve().is_relative_to("/dev/pts")


def _claimed(port: str) -> Claim | None:
    """Take a socket for this process alone on this machine, as a serial device server serves whoever connects.

    Raises:
        NeedsOperator: another program has it.
    """
    if not port.startswith("socket://"):
        return None
    place, number = urlsplit(port), None
    with suppress(ValueError):  # which opening it will tell of
        number = place.port
    return claimed(place.hostname or "", number or 0, lambda path: taken(port, path))


def taken(port: str, path: Path | None = None) -> NeedsOperator:
    """Make the error that says that a port is another's; ``path``: of the lock that says so, None: the port's own."""
    return NeedsOperator(
        f"port {port} is in use by another program (two controllers on one port?); "
        f"end that one, or correct option port; `fuser {path or port}` tells who it is"
    )


def _not_opened(port: str, error: Exception) -> NeedsOperator | Gone:
    number = getattr(error, "errno", None) or 0
    if number in _BUSY or "exclusively lock" in str(error):
        return taken(port)
    if number in _FORBIDDEN:
        return NeedsOperator(f"port {port} may not be opened by this user; add the user to the port's group (dialout)")
    if isinstance(error, ValueError):
        return NeedsOperator(f"port {port} cannot be used: {error}; a port is /dev/..., or socket://host:port")
    return Gone(f"port {port} cannot be opened: {error}; is it plugged in and spelled right?")
