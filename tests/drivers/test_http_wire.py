"""The HTTP wire against a server that says any bytes at any pace: each call ends in time, nothing wrong is believed."""

import gc
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from drivers.deadline import Deadline, Stopped
from drivers.http_body import Body, Part, as_json, form_body, json_body
from drivers.http_line import Unsent
from drivers.http_options import http_options, http_wire_of
from drivers.http_wire import HttpWire, Refused, ServerFault, checked_url
from drivers.wire import Garbled, Gone, Silent, WireError
from drivers.wire_log import Way, WireLog, read_log
from nextplate.errors import NeedsOperator, SettingsError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Say = Callable[[socket.socket], None]


class RawServer:
    """Says bytes to whoever connects; keeps what it heard."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.say: Say = lambda line: line.sendall(OK)
        self.heard: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            with line, suppress(OSError):
                line.settimeout(5.0)
                self.heard.append(_request(line))
                self.say(line)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread, which would take one connection more
        self._listener.close()


def _request(line: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := line.recv(65536)):
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [int(row.split(b":")[1]) for row in head.split(b"\r\n") if row.lower().startswith(b"content-length")]
    while lengths and len(body) < lengths[0]:
        body += line.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.fixture
def server() -> Iterator[RawServer]:
    server = RawServer()
    yield server
    server.close()


def wire(server: RawServer, **more: object) -> HttpWire:
    return HttpWire(server.url, **{"is_exclusive": False, **more})  # type: ignore[arg-type]


def says(data: bytes) -> Say:
    return lambda line: line.sendall(data)


def reply(status: str, body: bytes = b"{}", *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_what_is_asked_and_answered(server: RawServer, tmp_path: Path) -> None:
    server.say = says(reply("201 Created", b'{"data": [1]}', "X-Kind: a"))
    log = WireLog(tmp_path / "wire.log")
    line = wire(server, headers={"Opentrons-Version": "3"}, token=lambda: "s3cret", log=log)
    answer = line.ask("POST", "/runs?a=b", Deadline.after(5), json_body({"x": "µ"}))
    assert (answer.status, answer.json(), answer.header("x-KIND")) == (201, {"data": [1]}, "a")
    head, _, body = server.heard[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /runs?a=b HTTP/1.1\r\n")
    assert b"Opentrons-Version: 3" in head
    assert b"Authorization: Bearer s3cret" in head
    assert body == b'{"x":"\\u00b5"}'
    chunks = list(read_log(log.path))
    assert [chunk.way for chunk in chunks] == [Way.OUT, Way.IN]
    assert b"Bearer (secret)" in chunks[0].data
    assert b"s3cret" not in log.path.read_bytes()
    assert b"s3cret".hex(" ") not in log.path.read_text()


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        (b"", Gone, "went away"),
        (b"SSH-2.0-x\r\n", Garbled, "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", Garbled, "missing"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", Garbled, "lengths"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}", Garbled, "lengths"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}", Garbled, "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}", Garbled, "no HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", Garbled, "no HTTP"),
        (reply("200 OK", b"x" * 200), Garbled, "longer than 100"),
        (reply("200 OK", b"{}", "Content-Encoding: gzip"), Garbled, "packed"),
        (reply("200 OK", b'{"a":1,"a":2}'), Garbled, "twice"),
        (reply("200 OK", b"[NaN]"), Garbled, "NaN"),
        (reply("200 OK", b"<html>"), Garbled, "JSON"),
        (reply("302 Found", b"", "Location: http://evil"), Refused, "evil"),
        (reply("401 Unauthorized"), Refused, "token"),
        (reply("403 Forbidden", b'{"why": "EstopEngaged"}'), Refused, "EstopEngaged"),
        (reply("404 Not Found"), Refused, "404"),
        (reply("409 Conflict"), Refused, "409"),
        (reply("500 Oops", b"disk"), ServerFault, "disk"),
        (reply("503 Busy"), ServerFault, "503"),
        (reply("429 Slow"), ServerFault, "429"),
    ],
)
def test_wrong_answers(server: RawServer, said: bytes, error: type[Exception], words: str) -> None:
    server.say = says(said)
    with pytest.raises(error, match=words):
        wire(server, max_reply=100).ask_json("GET", "/health", Deadline.after(5))
    assert len(server.heard) == 1, "nothing is sent twice"


def test_a_long_body_is_handed_on_as_it_comes_and_an_error_is_not(server: RawServer, tmp_path: Path) -> None:
    body = os.urandom(3_000_000)
    server.say = says(reply("200 OK", body))
    with (tmp_path / "image").open("w+b") as file:
        line = wire(server, log=WireLog(tmp_path / "log"), logged=100)
        answer = line.request("GET", "/", Deadline.after(5.0), into=file, max_reply=len(body))
        assert (answer.body, file.tell()) == (b"", len(body))
        file.seek(0)
        assert file.read() == body
        with pytest.raises(Garbled, match="longer than 2999999 bytes"):
            line.request("GET", "/", Deadline.after(5.0), into=file, max_reply=len(body) - 1)
        before = file.tell()
        server.say = says(reply("404 Not Found", b"no such image"))
        assert line.request("GET", "/", Deadline.after(5.0), into=file).words == "no such image"
        assert file.tell() == before
    assert (tmp_path / "log").stat().st_size < 5_000
    assert (
        sum("more bytes <" in chunk.data.decode() for chunk in read_log(tmp_path / "log") if chunk.way is Way.EVENT)
        == 2
    )


def test_sessions_and_secrets_are_in_no_log(server: RawServer, tmp_path: Path) -> None:
    server.say = says(reply("200 OK", b"{}", "Set-Cookie: sessionid=geheim1; Path=/"))
    headers = {"Cookie": "sessionid=geheim2", "X-CSRFToken": "geheim3"}
    body = Body(b"user=lab&password=geheim4", "application/x-www-form-urlencoded")
    line = wire(server, log=WireLog(tmp_path / "log"))
    answer = line.request("POST", "/", Deadline.after(5.0), body, headers, secrets=(b"geheim4",))
    assert answer.header("set-cookie") == "sessionid=geheim1; Path=/"
    assert b"sessionid=geheim2" in server.heard[0]
    logged = b"".join(chunk.data for chunk in read_log(tmp_path / "log"))
    assert b"geheim" not in logged
    assert b"user=lab&password=(secret)" in logged
    assert b"Set-Cookie: (secret)" in logged


def _drip(line: socket.socket) -> None:
    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(2000):
        line.sendall(b" ")
        time.sleep(0.02)


def _drip_head(line: socket.socket) -> None:
    for _ in range(2000):
        line.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.02)


@pytest.mark.parametrize("say", [_drip, _drip_head, lambda line: time.sleep(30)])
def test_every_call_ends_with_its_deadline(server: RawServer, say: Say) -> None:
    server.say = say
    begin = time.monotonic()
    with pytest.raises(Silent):
        wire(server).ask("GET", "/", Deadline.after(0.3))
    assert time.monotonic() - begin < 20


def test_a_process_that_ends_lets_go(server: RawServer) -> None:
    server.say, stop = (lambda line: time.sleep(3)), threading.Event()
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(Stopped):
        wire(server).ask("GET", "/", Deadline.after(30, stop=stop))


def test_a_process_that_ends_before_it_connects_leaves_no_socket(server: RawServer) -> None:
    ends = threading.Event()
    ends.set()
    with pytest.raises(Stopped):
        wire(server).ask("GET", "/", Deadline.after(30, stop=ends))
    gc.collect()  # a socket left to it is a warning, and an error here


def test_what_was_certainly_not_sent(server: RawServer) -> None:
    server.close()
    with pytest.raises(Unsent, match="cannot be reached"):
        wire(server).ask("POST", "/runs", Deadline.after(2))
    with pytest.raises(Unsent):
        HttpWire("http://no-such-host.invalid:1", is_exclusive=False).ask("GET", "/", Deadline.after(2))


def test_two_controllers_on_one_device(server: RawServer) -> None:
    first, second = HttpWire(server.url), HttpWire(server.url + "/")
    first.open()
    with pytest.raises(NeedsOperator, match="two controllers"):
        second.ask("GET", "/", Deadline.after(2))
    first.close()
    assert second.ask("GET", "/", Deadline.after(2)).status == 200
    second.close()


def test_random_answers_are_never_believed(server: RawServer) -> None:
    rng, said = random.Random(5), bytearray()
    server.say = lambda line: line.sendall(bytes(said))
    whole = reply("200 OK", b'{"data": {"status": "succeeded"}}')
    line = wire(server)
    for _ in range(300):
        said[:] = whole
        for _ in range(rng.randint(1, 6)):
            said[rng.randrange(len(said))] = rng.randrange(256)
        del said[rng.randrange(len(said)) if rng.random() < 0.3 else len(said) :]
        with suppress(WireError, NeedsOperator):
            assert line.ask("GET", "/", Deadline.after(5)).status // 100 == 2


def test_json_is_strict() -> None:
    assert as_json(b'{"a": [1, 2.5, null, true, "\xc2\xb5"]}', "") == {"a": [1, 2.5, None, True, "µ"]}
    for wrong in (b"", b"[" * 5000, b"[" * 70 + b"]" * 70, b"1e999", b"Infinity", b"\xff", b'"\\ud800"', b"{} {}"):
        with pytest.raises(Garbled):
            as_json(wrong, "GET /x")
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_body(float("nan"))


def test_forms() -> None:
    parts = [Part("files", b"print(1)\r\n", 'a"b\r\n.py', "text/x-python"), Part("key", b"k")]
    body = form_body(parts)
    assert body == form_body(parts)
    boundary = body.kind.partition("boundary=")[2].encode()
    assert body.content.count(b"--" + boundary) == 3
    assert b'filename="a%22b%0D%0A.py"' in body.content
    inside = form_body([Part("files", b"--" + boundary, "x")])
    assert inside.content.count(b"--" + inside.kind.partition("boundary=")[2].encode()) == 2


@pytest.mark.parametrize(
    "url", ["", "host", "ftp://h", "http://", "http://a:b@h", "http://h?x", "http://h:0", "http://h\n"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        checked_url(url)
    with pytest.raises(SettingsError, match="url"):
        http_options({"url": url}, {}, {})


def test_the_token_is_named_and_never_written(
    server: RawServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(**options: object) -> None:
        said = http_options({"url": server.url, **options}, {}, {})
        http_wire_of(said, "liquid-handler", tmp_path, is_exclusive=False).ask("GET", "/", Deadline.after(5))

    with pytest.raises(NeedsOperator, match="NEXTPLATE_T"):
        ask(token_env="NEXTPLATE_T")
    monkeypatch.setenv("NEXTPLATE_T", "abc-1")
    ask(token_env="NEXTPLATE_T")
    with pytest.raises(NeedsOperator, match="cannot be read"):
        ask(token_file="token")
    (tmp_path / "token").write_text("abc-2\n")
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(NeedsOperator, match="chmod 600"):
        ask(token_file="token")
    (tmp_path / "token").chmod(0o600)
    ask(token_file="token")
    assert [b"Bearer abc-1" in server.heard[0], b"Bearer abc-2" in server.heard[1]] == [True, True]
    assert "abc-" not in (tmp_path / "logs" / "wire" / "liquid-handler.log").read_text()
    for wrong in ({"token": "x"}, {"token_env": "A", "token_file": "b"}, {"reply_s": 0}):
        with pytest.raises(SettingsError):
            ask(**wrong)
    assert os.environ["NEXTPLATE_T"]
