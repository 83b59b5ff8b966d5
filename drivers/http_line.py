"""One connection of the HTTP wire: a socket whose every wait ends with the deadline, and what the log is told of it."""

import io
import re
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult

from drivers.deadline import Deadline
from drivers.wire import TICK_S, Gone, Silent
from drivers.wire_log import Way, WireLog

LOGGED = 65_536
"""Bytes of a request or an answer that the log takes; it says how many more there were."""
_CHUNK = 65_536
_SECRET = b"(secret)"
_SESSION = re.compile(rb"(?im)^((?:set-)?cookie|x-csrftoken): [^\r\n]*")
"""Lines of a head that let others use a session."""


class Unsent(Gone):
    """There is no connection: the device certainly has nothing of the request."""


class Trace:
    """What the log is told, the token and cookies left out."""

    def __init__(self, log: WireLog | None, secrets: Sequence[bytes], logged: int) -> None:
        self._log, self._secrets, self._logged = log, [secret for secret in secrets if secret], logged
        self.n_kept = logged + LOGGED
        """Bytes of an answer that are kept for the log, with some for secrets that are shorter in it."""

    def note(self, way: Way, data: bytes, n_more: int = 0) -> None:
        """Write down what went that way, and that ``n_more`` bytes followed."""
        if self._log is None or not data:
            return
        for secret in self._secrets:
            data = data.replace(secret, _SECRET)
        data = _SESSION.sub(rb"\1: " + _SECRET, data)
        self._log.write(way, data[: self._logged])
        if len(data) + n_more > self._logged:
            self._log.event(f"{len(data) + n_more - self._logged} more bytes {way}")

    def event(self, text: str) -> None:
        """Write down what happened to the connection."""
        if self._log is not None:
            self._log.event(text)


class Connection(io.RawIOBase):
    """A socket whose every wait ends with the deadline, and what came over it, for the log."""

    def __init__(self, place: SplitResult, until: Deadline, trace: Trace, ca_file: Path | None) -> None:
        self._until, self._trace = until, trace
        self._came, self._n_more = bytearray(), 0
        self._port = place.port or (443 if place.scheme == "https" else 80)
        self._name = f"{place.hostname}:{self._port}"
        try:
            self._socket = self._connected(str(place.hostname))
            if place.scheme == "https":
                self._socket = self._wrapped(str(place.hostname), ca_file)
        except OSError as error:
            trace.event(f"no connection to {self._name}: {error}")
            raise Unsent(f"{self._name} cannot be reached: {error}; is it on, and the url right?") from error

    def _connected(self, host: str) -> socket.socket:
        last: OSError = TimeoutError("timed out")
        for address in _addresses(host, self._port, self._until):
            line = socket.socket(address[0], socket.SOCK_STREAM)
            try:
                line.settimeout(max(TICK_S, self._until.left_s()))
                line.connect(address[1])
            except OSError as error:
                line.close()
                last = error
                continue
            except BaseException:  # the process ends
                line.close()
                raise
            line.settimeout(TICK_S)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return line
        raise last

    def _wrapped(self, host: str, ca_file: Path | None) -> socket.socket:
        plain = self._socket
        try:
            context = ssl.create_default_context()
            if ca_file is not None:
                context.load_verify_locations(ca_file)
            plain.settimeout(max(TICK_S, self._until.left_s()))
            line = context.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise
        line.settimeout(TICK_S)
        return line

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what http.client reads from."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what there is; 0 at the end.

        Raises:
            Silent: the deadline has passed.
            OSError: the connection went away.
        """
        while True:
            is_over = self._until.is_over
            try:
                n = self._socket.recv_into(buffer)
            except TimeoutError:
                if is_over:
                    raise Silent(f"{self._name} did not answer in time", bytes(self._came)) from None
                continue
            if is_over and n:
                # bytes that keep dripping in must not hold the call
                raise Silent(f"{self._name} did not end its answer in time", bytes(self._came))
            kept = min(n, max(0, self._trace.n_kept - len(self._came)))
            self._came += memoryview(buffer)[:kept]
            self._n_more += n - kept
            return n

    def send(self, data: bytes) -> None:
        """Send all.

        Raises:
            Silent: it did not take all in time.
            OSError: the connection went away.
        """
        rest = memoryview(data)
        while rest:
            if self._until.is_over:
                raise Silent(f"{self._name} does not take the request")
            with suppress(TimeoutError):
                rest = rest[self._socket.send(rest[:_CHUNK]) :]

    def close(self) -> None:
        """Let go, and tell the log what came."""
        if not self.closed:
            self._trace.note(Way.IN, bytes(self._came), self._n_more)
            with suppress(OSError):
                self._socket.close()
        super().close()


def _addresses(host: str, port: int, until: Deadline) -> list[tuple[socket.AddressFamily, Any]]:
    """Look a name up, which may hang and cannot be interrupted; only a thread can be left behind.

    Raises:
        OSError: there is no such name, or nobody says so in time.
    """
    found: list[tuple[socket.AddressFamily, Any]] = []
    trouble: list[OSError] = []

    def look() -> None:
        try:
            found.extend((f, a) for f, _, _, _, a in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            trouble.append(error if isinstance(error, OSError) else OSError(str(error)))

    if re.fullmatch(r"[0-9.]+|[0-9a-fA-F:]+", host):
        look()
    else:
        thread = threading.Thread(target=look, daemon=True, name=f"looks up {host}")
        thread.start()
        while thread.is_alive() and not until.is_over:
            thread.join(TICK_S)
    if trouble or not found:
        raise trouble[0] if trouble else TimeoutError(f"{host} was not looked up in time")
    return list(found)
