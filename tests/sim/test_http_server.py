"""The HTTP wire: requests reach the device, each fault does what its name says."""

import http.client
import time
from collections.abc import Iterator

import pytest

from sim.wire.faults import Fault, WireFault
from sim.wire.http_server import HttpReply, HttpRequest, HttpServer


class Echo:
    """Counts what it did."""

    def __init__(self) -> None:
        self.n_acts = self.n_cycles = 0

    def handle(self, request: HttpRequest) -> HttpReply:
        self.n_acts += 1
        if request.path == "/bug":
            raise KeyError("bug")
        return HttpReply(201, request.body or b'{"path": "%s"}' % request.path.encode(), {"X-Robot": "yes"})

    def power_cycle(self) -> None:
        self.n_cycles += 1


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer(Echo()) as made:
        yield made


def ask(server: HttpServer, method: str = "GET", path: str = "/a", body: bytes | None = None) -> tuple[int, bytes]:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        client.request(method, path, body)
        answer = client.getresponse()
        return answer.status, answer.read()
    finally:
        client.close()


def acts(server: HttpServer) -> int:
    assert isinstance(server.device, Echo)
    return server.device.n_acts


def test_requests_reach_the_device_whole(server: HttpServer) -> None:
    assert ask(server, "POST", "/a%20b?x=1&x=2", b"body") == (201, b"body")
    request = server.requests[0]
    assert (request.path, request.query, request.body) == ("/a b", {"x": ["1", "2"]}, b"body")
    assert request.frame == b"POST /a%20b?x=1&x=2\nbody"


@pytest.mark.parametrize(
    ("kind", "acted"),
    [
        (WireFault.LOST_REQUEST, 0),
        (WireFault.LOST_REPLY, 1),
        (WireFault.CUT_REPLY, 1),
        (WireFault.PORT_GONE, 1),
    ],
)
def test_no_whole_answer_whether_the_device_acted_or_not(server: HttpServer, kind: WireFault, acted: int) -> None:
    server.faults.add(Fault(kind, match="POST /a", wait_s=0.05))
    with pytest.raises((http.client.HTTPException, OSError)):
        ask(server, "POST", "/a", b"0123456789")
    assert acts(server) == acted


def test_refused_with_a_status_does_nothing(server: HttpServer) -> None:
    server.faults.add(Fault(WireFault.REFUSED, data=b"500"), Fault(WireFault.REFUSED, nth=2))
    assert [ask(server)[0] for _ in range(3)] == [500, 503, 201]
    assert acts(server) == 1


def test_garbled_late_and_other_bodies(server: HttpServer) -> None:
    server.faults.add(Fault(WireFault.GARBLED_REPLY), Fault(WireFault.UNSOLICITED, nth=2, data=b"[]"))
    server.faults.add(Fault(WireFault.LATE_REPLY, nth=3, wait_s=0.1), Fault(WireFault.GARBLED_REQUEST, nth=4))
    assert ask(server)[1] != b'{"path": "/a"}'
    assert ask(server) == (200, b"[]")
    begun = time.monotonic()
    assert ask(server) == (201, b'{"path": "/a"}')
    assert time.monotonic() - begun >= 0.1
    assert ask(server, "POST", "/a", b"xyz")[1] != b"xyz"


def test_port_gone_and_back_is_the_same_port(server: HttpServer) -> None:
    server.vanish()
    with pytest.raises(OSError):
        ask(server)
    server.appear()
    assert ask(server)[0] == 201
    server.power_cycle()
    assert ask(server)[0] == 201
    assert isinstance(server.device, Echo)
    assert server.device.n_cycles == 1


def test_a_bug_or_a_wrong_length_is_an_answer(server: HttpServer) -> None:
    assert ask(server, path="/bug")[0] == 500
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    client.putrequest("POST", "/a")
    client.putheader("Content-Length", "-7")
    client.endheaders()
    assert client.getresponse().status == 400
    client.close()
