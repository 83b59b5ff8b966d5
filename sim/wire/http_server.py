"""The wire of a networked device: serves one emulator over HTTP on a port of this machine and plays the fault script.

The script is that of a serial line (`sim.wire.faults`); a frame is what `HttpRequest.frame` returns, so a fault's
`match` can name a method, a path, a query or words of the body. What each kind means on this wire:

==================  ==========================================================================================
request-lost        the device never gets it; the connection ends without an answer after ``wait_s``
request-garbled     the device gets another body (another path where there is no body)
refused             the device does nothing; the status in ``data`` (503 when empty) answers, with a proxy's HTML
reply-lost          the device acts; the connection ends without an answer after ``wait_s``
reply-garbled       the device acts; one byte of the body is another, or all of it is ``data``
reply-cut           the device acts; all headers and half of the body arrive, then the connection ends
reply-late          the device acts; the answer comes ``wait_s`` later (others do not wait for it)
unsolicited         ``data`` arrives as the body, status 200; the device did nothing
port-gone           the device acts; connections break and are refused for ``wait_s``
==================  ==========================================================================================
"""

import contextlib
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from sim.wire.faults import Fault, FaultScript, WireFault, hit

_MAX_BODY = 64 << 20
_IDLE_S = 60.0
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What a client asks."""

    method: str
    path: str
    """Decoded, without the query."""
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = b""
    target: str = ""
    """Path and query as they came."""

    @property
    def frame(self) -> bytes:
        """Return method, target, a line's end, the body: what faults match and logs keep."""
        return f"{self.method} {self.target}\n".encode("latin-1", "replace") + self.body


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What a device answers."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()
    """Values of Set-Cookie, each a line of its own."""


class HttpDevice(Protocol):
    """A device as its HTTP wire knows it; called from many threads, guards itself."""

    def handle(self, request: HttpRequest) -> HttpReply:
        """Act on a request and answer it."""

    def power_cycle(self) -> None:
        """Lose what a loss of power loses."""


class HttpServer:
    """A port of this machine at which an emulated device answers."""

    def __init__(self, device: HttpDevice, *, port: int = 0, faults: FaultScript | None = None) -> None:
        self.device, self.faults = device, faults if faults is not None else FaultScript()
        self.requests: list[HttpRequest] = []
        """Every request that reached the device, as it did."""
        self.lock = threading.RLock()
        self._sockets: set[socket.socket] = set()
        self._address = (_HOST, port)
        self._httpd: ThreadingHTTPServer | None = None
        self._return: threading.Timer | None = None
        self._is_over = False
        self.appear()

    @property
    def port(self) -> int:
        """Return the TCP port; it stays the same when the device goes away and comes back."""
        return self._address[1]

    @property
    def url(self) -> str:
        """Return the root of the device's addresses, without a slash at its end."""
        return f"http://{_HOST}:{self.port}"

    def appear(self) -> None:
        """Listen; nothing happens when it does already."""
        with self.lock:
            if self._httpd is not None or self._is_over:
                return
            self._httpd = httpd = _Httpd(self._address, _handler_for(self))
            self._address = (_HOST, httpd.server_address[1])
        threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True, name=f"http {self.port}").start()

    def vanish(self, wait_s: float | None = None) -> None:
        """Break all connections and refuse new ones for so long; None: until `appear`."""
        with self.lock:
            httpd, self._httpd = self._httpd, None
            sockets, self._sockets = self._sockets, set()
        if httpd is not None:
            httpd.shutdown()
            httpd.server_close()
        for each in sockets:
            _break(each)
        if wait_s is not None:
            self._return = threading.Timer(wait_s, self.appear)
            self._return.daemon = True
            self._return.start()

    def power_cycle(self, wait_s: float = 0.0) -> None:
        """Cut the device's power, and give it back after so long."""
        self.vanish()
        self.device.power_cycle()
        time.sleep(wait_s)
        self.appear()

    def close(self) -> None:
        """Take the port away for good."""
        self._is_over = True
        if self._return is not None:
            self._return.cancel()
        self.vanish()

    def __enter__(self) -> "HttpServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def due(self, request: HttpRequest) -> list[Fault]:
        """Count a request and return the faults that hit it."""
        with self.lock:
            return self.faults.due(request.frame)

    def ask(self, request: HttpRequest) -> HttpReply:
        """Let the device act on a request; what it did not expect becomes a 500, as in a real server."""
        with self.lock:
            self.requests.append(request)
        try:
            return self.device.handle(request)
        except Exception as error:  # a bug of the emulator must not hang its client
            return HttpReply(500, f"Internal Server Error: {error!r}".encode(), {"Content-Type": "text/plain"})

    def noise(self, data: bytes) -> bytes:
        """Change one byte."""
        with self.lock:
            return self.faults.noise(data)

    def connected(self, client: socket.socket, is_there: bool) -> None:
        """Keep account of a connection."""
        with self.lock:
            (self._sockets.add if is_there else self._sockets.discard)(client)


class _Httpd(ThreadingHTTPServer):
    """The library's server, silent about clients that leave."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client may go at any time."""


def _break(client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)


def _handler_for(server: HttpServer) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        wire = server

    return Handler


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "uvicorn", ""
    timeout = _IDLE_S
    disable_nagle_algorithm = True
    wire: HttpServer

    def setup(self) -> None:
        super().setup()
        self.wire.connected(self.connection, True)

    def finish(self) -> None:
        self.wire.connected(self.connection, False)
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing; `HttpServer.requests` is the log."""

    def _any(self) -> None:
        request = self._request()
        if request is not None:
            self._play(request)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _any

    def _request(self) -> HttpRequest | None:
        """Read the body; None when the length is no length: answered already."""
        length = self.headers.get("Content-Length", "0")
        is_length = length.isascii() and length.isdigit() and int(length) <= _MAX_BODY
        if not is_length or self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            self._send(HttpReply(411 if self.headers.get("Transfer-Encoding") else 400))
            return None
        parts = urlsplit("//x" + self.path if self.path.startswith("/") else self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = parse_qs(parts.query, keep_blank_values=True)
        body = self.rfile.read(int(length))
        return HttpRequest(self.command, unquote(parts.path), query, headers, body, self.path)

    def _play(self, request: HttpRequest) -> None:
        """Let the device act on a request, as far as the script lets it come, and its answer go."""
        due = self.wire.due(request)
        if lost := hit(due, WireFault.LOST_REQUEST):
            self._silence(lost)
        elif refused := hit(due, WireFault.REFUSED):
            status = int(refused.data or b"503")
            self._send(HttpReply(status, b"<html>an error</html>", {"Content-Type": "text/html"}))
        elif other := hit(due, WireFault.UNSOLICITED):
            self._send(HttpReply(200, other.data))
        else:
            is_garbled = hit(due, WireFault.GARBLED_REQUEST) is not None
            self._answer(self.wire.ask(_garbled(request, self.wire) if is_garbled else request), due)

    def _answer(self, reply: HttpReply, due: list[Fault]) -> None:
        """Send what the device answered, as far as the script lets it."""
        if gone := hit(due, WireFault.PORT_GONE):
            self.close_connection = True
            self.wire.vanish(gone.wait_s)
            return
        if lost := hit(due, WireFault.LOST_REPLY):
            self._silence(lost)
            return
        if late := hit(due, WireFault.LATE_REPLY):
            time.sleep(late.wait_s)
        if forged := hit(due, WireFault.GARBLED_REPLY):
            reply = replace(reply, body=forged.data or self.wire.noise(reply.body))
        self._send(reply, is_cut=hit(due, WireFault.CUT_REPLY) is not None)

    def _silence(self, fault: Fault) -> None:
        time.sleep(fault.wait_s)
        self.close_connection = True

    def _send(self, reply: HttpReply, *, is_cut: bool = False) -> None:
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        for cookie in reply.cookies:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body[: len(reply.body) // 2] if is_cut else reply.body)
        self.close_connection = self.close_connection or is_cut


def _garbled(request: HttpRequest, wire: HttpServer) -> HttpRequest:
    if request.body:
        return replace(request, body=wire.noise(request.body))
    path = wire.noise(request.path.encode()).decode("latin-1")
    return replace(request, path=path, target=path)
