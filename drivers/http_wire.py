"""A device or service that speaks HTTP/1.1, over the standard library, on which no call waits beyond its deadline.

One connection for each request: what a kept one may still hold is never taken for an answer, and a request is never
sent twice by a library. Nothing is retried here, no redirect is followed, no proxy of the environment is used. The
deadline is of the whole call, so a server that drips bytes ends with it. What goes wrong is one of::

    Transient
    └── WireError
        ├── Gone              the connection went away after some of the request was sent; it may have been acted on
        │   └── Unsent        no connection: the request was certainly not sent
        ├── Silent            no whole answer in time; it may have been acted on
        ├── Garbled           no HTTP, cut, too long, or not the JSON that was asked for
        └── ServerFault       5xx, 408, 425 or 429; it may have been acted on
    NeedsOperator             another program has the device; a token that is not there
    └── Refused               another status than 2xx, with the answer; 401 and 403 name the token

``request`` raises only for what is no answer; ``ask`` and ``ask_json`` for statuses too.
"""

import fcntl
import hashlib
import http.client
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import SplitResult, urlsplit

from drivers.deadline import Deadline
from drivers.http_body import Body, as_json
from drivers.http_line import LOGGED, Connection, Trace
from drivers.wire import Garbled, Gone, WireError
from drivers.wire_log import Way, WireLog, printable
from nextplate.errors import NeedsOperator

MAX_REPLY = 64_000_000
"""Bytes of an answer's body after which it is noise."""
_CHUNK = 65_536
_TARGET = re.compile(r"/[!-~]*")
_NAME = re.compile(r"[A-Za-z0-9-]+")
_VALUE = re.compile(r"[ -~]*")
_BUSY = frozenset({408, 425, 429})


class Sink(Protocol):
    """What takes a body piece by piece."""

    def write(self, data: bytes, /) -> object:
        """Take a piece."""


class ServerFault(WireError):
    """The server says that it failed, or not now."""

    def __init__(self, text: str, answer: "Answer") -> None:
        super().__init__(text)
        self.answer = answer
        """What it said."""


class Refused(NeedsOperator):
    """The server refused the request."""

    def __init__(self, text: str, answer: "Answer") -> None:
        super().__init__(text)
        self.answer = answer
        """What it said."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """In order, names in lower case."""
    body: bytes = field(repr=False)
    asked: str
    """Method, address and path, for messages."""

    def header(self, name: str) -> str:
        """Return the first header of a name; "" when there is none."""
        return next((value for key, value in self.headers if key == name.lower()), "")

    def json(self) -> Any:
        """Return the body as JSON values (drivers.http_body.as_json).

        Raises:
            Garbled: it is none.
        """
        return as_json(self.body, self.asked)

    @property
    def words(self) -> str:
        """Return the beginning of the body, for messages."""
        return printable(self.body[:300])


class HttpWire:
    """One server. Not for several threads."""

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        token: Callable[[], str] | None = None,
        log: WireLog | None = None,
        max_reply: int = MAX_REPLY,
        is_exclusive: bool = True,
        ca_file: Path | None = None,
        logged: int = LOGGED,
    ) -> None:
        """Make it; nothing is opened.

        Args:
            url: ``http://host:port`` or https, perhaps with a path that every request begins with.
            headers: sent with every request.
            token: asked before every request for the bearer token, which is never logged; NeedsOperator when missing.
            log: takes every request and answer.
            max_reply: bytes of a body that are too many.
            is_exclusive: no other nextplate on this machine may use the server meanwhile.
            ca_file: certificates that are trusted besides the system's (https).
            logged: bytes of a request or an answer that the log takes.

        Raises:
            ValueError: the url cannot be used.
        """
        self._place = checked_url(url)
        self.url = url.rstrip("/")
        self._headers, self._token, self._log = dict(headers or {}), token, log
        self._max_reply, self._is_exclusive, self._ca_file = max_reply, is_exclusive, ca_file
        self._logged = logged
        self._claim: IO[str] | None = None

    def open(self) -> None:
        """Take the server for this process alone; connects nothing.

        Raises:
            NeedsOperator: another program has it.
        """
        if self._is_exclusive and self._claim is None:
            self._claim = _claimed(self._place)

    def close(self) -> None:
        """Let others have the server."""
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    def ask_json(self, method: str, target: str, until: Deadline, body: Body | None = None) -> Any:
        """Send a request and return the JSON of an answer of 2xx; raises as `ask`, and Garbled for no JSON."""
        return self.ask(method, target, until, body).json()

    def ask(self, method: str, target: str, until: Deadline, body: Body | None = None) -> Answer:
        """Send a request and return an answer of 2xx.

        Raises:
            WireError: no answer, or the server failed (the tree at the top).
            NeedsOperator: refused, or not ours to use.
        """
        return succeeded(self.request(method, target, until, body))

    def request(
        self,
        method: str,
        target: str,
        until: Deadline,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        into: Sink | None = None,
        max_reply: int | None = None,
        secrets: Sequence[bytes] = (),
    ) -> Answer:
        """Send a request once and return the answer, whatever its status.

        Args:
            method: GET, POST, ...
            target: path and query, quoted; it is added to the url's own path.
            until: when the whole call has ended.
            body: what is sent; None for nothing.
            headers: sent besides the wire's own.
            into: takes the body of an answer of 2xx as it comes; the answer's own is empty then.
            max_reply: bytes of a body that are too many; None: the wire's.
            secrets: what the log does not show, besides the token and cookies.

        Raises:
            WireError: no answer (the tree at the top).
            NeedsOperator: another program has the server, or the token is missing.
            ValueError: a target or header that cannot be sent.
        """
        self.open()
        secret = self._token() if self._token is not None else ""
        sent = self._written(method, target, body, {**self._headers, **(headers or {})}, secret)
        asked = f"{method} {self.url}{target}"
        trace = Trace(self._log, (secret.encode(), *secrets), self._logged)
        taking = _Taking(into, self._max_reply if max_reply is None else max_reply)
        with Connection(self._place, until, trace, self._ca_file) as line:
            trace.note(Way.OUT, sent)
            return _answer(line, sent, method, asked, taking)

    def _written(self, method: str, target: str, body: Body | None, headers: Mapping[str, str], secret: str) -> bytes:
        """Spell a request."""
        path = self._place.path.rstrip("/") + target
        if not _TARGET.fullmatch(path):
            raise ValueError(f"{path!a} is no path of a request")
        content = b"" if body is None else body.content
        lines = {"Host": self._place.netloc, "Connection": "close", "Accept-Encoding": "identity", **headers}
        if body is not None:
            lines["Content-Type"] = body.kind
        if body is not None or method != "GET":
            lines["Content-Length"] = str(len(content))
        if secret:
            lines["Authorization"] = f"Bearer {secret}"
        for name, value in lines.items():
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                raise ValueError(f"header {name!a} cannot be sent")
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("ascii") + content


def checked_url(url: str) -> SplitResult:
    """Take an address apart.

    Raises:
        ValueError: it is none of http or https, or holds more than host, port and path; says what is allowed.
    """
    hint = "a url is http://host:port"
    if not url.isascii() or any(c.isspace() or ord(c) < 0x20 for c in url):
        raise ValueError(f"{url!a} holds what no address has; {hint}")
    place = urlsplit(url)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise ValueError(f"{url!a} is no address; {hint}")
    if "@" in place.netloc:
        raise ValueError(f"the url holds a name or password, which belong in no settings; {hint}")
    if place.query or place.fragment:
        raise ValueError(f"{url!a} holds a query; {hint}")
    if place.port == 0:
        raise ValueError(f"{url!a} has port 0; {hint}")
    return place


def succeeded(answer: Answer) -> Answer:
    """Return an answer of 2xx.

    Raises:
        ServerFault: the server failed, or has no time.
        Refused: any other status.
    """
    said = f"{answer.asked} was answered {answer.status}"
    if 200 <= answer.status < 300:
        return answer
    if answer.status >= 500 or answer.status in _BUSY:
        raise ServerFault(f"{said}: {answer.words}", answer)
    if answer.status in (401, 403):
        raise Refused(f"{said}, not allowed; is the token (token_env, token_file) right? {answer.words}", answer)
    if answer.status < 400:
        where = answer.header("location")[:200]
        raise Refused(f"{said}, a way to {where!a} that is not followed; correct option url", answer)
    raise Refused(f"{said}: {answer.words}", answer)


@dataclass(frozen=True, slots=True)
class _Taking:
    """Where a body goes."""

    into: Sink | None
    max_bytes: int


def _answer(line: Connection, sent: bytes, method: str, asked: str, taking: _Taking) -> Answer:
    try:
        try:
            line.send(sent)
        except OSError:
            # a server may answer and close before it has taken all
            with suppress(OSError, http.client.HTTPException, WireError):
                return _read(line, method, asked, taking)
            raise
        return _read(line, method, asked, taking)
    except OSError as error:
        raise Gone(f"{asked}: the connection went away: {error}") from error
    except http.client.HTTPException as error:
        raise Garbled(f"{asked}: the answer is no HTTP: {error!r:.200}") from error
    except (ValueError, OverflowError) as error:  # which http.client lets through for some heads
        raise Garbled(f"{asked}: the answer is no HTTP: {error!r:.200}") from error


def _read(line: Connection, method: str, asked: str, taking: _Taking) -> Answer:
    response = http.client.HTTPResponse(line, method=method)  # type: ignore[arg-type]
    response.begin()
    headers = tuple((name.lower(), value) for name, value in response.getheaders())
    lengths = {value.strip() for name, value in headers if name == "content-length"}
    if len(lengths) > 1 or not all(re.fullmatch(r"[0-9]{1,18}", value) for value in lengths):
        raise Garbled(f"{asked}: the answer has lengths {sorted(lengths)!a:.80}")
    body, n_bytes, is_kept = bytearray(), 0, taking.into is None or not 200 <= response.status < 300
    while chunk := response.read(min(_CHUNK, taking.max_bytes + 1 - n_bytes)):
        n_bytes += len(chunk)
        if n_bytes > taking.max_bytes:
            raise Garbled(f"{asked}: the answer is longer than {taking.max_bytes} bytes")
        if is_kept:
            body += chunk
        elif taking.into is not None:
            taking.into.write(chunk)
    if response.length:  # http.client ends quietly where the connection does
        raise Garbled(f"{asked}: the answer was cut, {response.length} bytes are missing")
    answer = Answer(response.status, headers, bytes(body), asked)
    if answer.header("content-encoding").lower() not in ("", "identity"):
        raise Garbled(f"{asked}: the answer is packed, which was not asked for")
    return answer


def _claimed(place: SplitResult) -> IO[str]:
    """Take a server for this process alone on this machine.

    Raises:
        NeedsOperator: another program has it.
    """
    port = place.port or (443 if place.scheme == "https" else 80)
    where = f"{(place.hostname or '').lower()}:{port}"
    name = hashlib.sha256(f"http://{where}".encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"nextplate-port-{os.getuid()}-{name}.lock"
    try:
        claim = path.open("w")
    except OSError as error:
        raise NeedsOperator(f"{path}, which keeps others from {where}, cannot be made: {error}") from error
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        claim.close()
        raise NeedsOperator(
            f"{where} is in use by another nextplate on this machine (two controllers on one device?); end that one, "
            f"or correct option url; `fuser {path}` tells who it is"
        ) from error
    return claim
