"""The wire: deadlines, exclusive ports, unplugged cables, and a log that holds and plays every byte."""

import os
import pty
import socket
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fake_line import FakeLine, wire_on
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.deadline import Deadline, Stopped
from drivers.wire import TICK_S, Garbled, Gone, LineSettings, Silent, Wire
from drivers.wire_log import Chunk, Way, WireLog, parse_line, read_log, spelled
from drivers.wire_replay import ReplayedLine
from nextplate.errors import DataError, NeedsOperator

LATE_S = 0.3
"""For a loaded test machine; see TICK_S."""


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    master, slave = pty.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    for fd in (master, slave):
        with suppress(OSError):
            os.close(fd)


def soon(wait_s: float = 0.1) -> Deadline:
    return Deadline.after(wait_s)


def test_a_line_comes_without_its_end_and_the_rest_waits(terminal: tuple[int, str]):
    master, port = terminal
    wire = Wire(port)
    wire.open()
    wire.write(b"CR\r", soon(1))
    assert os.read(master, 10) == b"CR\r"
    os.write(master, b"CC\r\n0\r\nrest")
    assert wire.read_line(b"\r\n", soon(1)) == b"CC"
    assert wire.read_line(b"\r\n", soon(1)) == b"0"
    assert wire.read_exact(2, soon(1)) == b"re"
    assert wire.has_input
    assert wire.flush() == b"st"
    assert not wire.has_input
    wire.close()


@pytest.mark.parametrize("wait_s", [0.0, 0.05, 0.2])
def test_every_call_ends_by_its_deadline(terminal: tuple[int, str], wait_s: float):
    master, port = terminal
    wire = Wire(port)
    wire.open()
    os.write(master, b"half a li")
    with pytest.raises(Silent) as caught:
        wire.read_exact(100, soon(LATE_S))
    assert caught.value.received == b"half a li"
    for call in (
        lambda: wire.read_line(b"\r", soon(wait_s)),
        lambda: wire.read_exact(100, soon(wait_s)),
        lambda: wire.send_break(5.0, soon(wait_s)),
    ):
        began = time.monotonic()
        with suppress(Silent):
            call()
        assert time.monotonic() - began < wait_s + TICK_S + 10.0  # of a loaded test machine's
    wire.close()


def test_a_port_that_takes_no_bytes_is_silent(terminal: tuple[int, str]):
    _, port = terminal
    wire = Wire(port)
    wire.open()
    began = time.monotonic()
    with pytest.raises(Silent, match="does not take bytes"):
        wire.write(b"x" * 500_000, soon(0.1))
    assert time.monotonic() - began < 20.0
    wire.close()


def test_the_end_of_the_process_ends_every_wait(terminal: tuple[int, str]):
    _, port = terminal
    wire, stop = Wire(port), threading.Event()
    wire.open()
    threading.Timer(0.05, stop.set).start()
    with pytest.raises(Stopped):
        wire.read_line(b"\r", Deadline.after(30.0, stop=stop))
    with pytest.raises(Stopped):
        Deadline.after(30.0, stop=stop).pause(10.0)
    wire.close()


def test_a_second_controller_is_told_which_port_is_taken(terminal: tuple[int, str]):
    _, port = terminal
    first, second = Wire(port), Wire(port)
    first.open()
    with pytest.raises(NeedsOperator, match=f"{port} is in use by another program"):
        second.open()
    first.close()
    second.open()
    second.close()


def test_a_second_controller_on_a_socket_too():
    server = socket.create_server(("127.0.0.1", 0))
    port = f"socket://127.0.0.1:{server.getsockname()[1]}"
    first, second = Wire(port), Wire(port)
    first.open()
    with pytest.raises(NeedsOperator, match="in use by another program"):
        second.open()
    first.close()
    server.close()
    with pytest.raises(Gone, match="is it plugged in"):
        second.open()


@pytest.mark.parametrize(
    ("port", "error", "said"),
    [
        ("/dev/nobody-has-this", Gone, "cannot be opened"),
        ("nonsense://x", NeedsOperator, "cannot be used"),
        ("socket://127.0.0.1:99999", Gone, "cannot be opened"),
        ("replay:///nowhere/wire.log", Gone, "cannot be read"),
    ],
)
def test_a_port_that_cannot_be_opened_is_named(port: str, error: type[Exception], said: str):
    with pytest.raises(error, match=said) as caught:
        Wire(port).open()
    assert port in str(caught.value)


def test_an_unplugged_port_is_gone_and_found_again(tmp_path: Path):
    master, slave = pty.openpty()
    tty.setraw(slave)
    link = tmp_path / "port"
    link.symlink_to(os.ttyname(slave))
    wire = Wire(str(link))
    wire.open()
    link.unlink()
    os.close(slave)
    os.close(master)
    with pytest.raises(Gone):
        wire.read_line(b"\r", soon(1.0))
    assert not wire.is_open
    with pytest.raises(Gone):
        wire.reopen(soon(0.1))
    again, slave = pty.openpty()
    tty.setraw(slave)
    threading.Timer(0.1, lambda: link.symlink_to(os.ttyname(slave))).start()
    wire.reopen(soon(3.0))
    os.write(again, b"back\r")
    assert wire.read_line(b"\r", soon(1.0)) == b"back"
    wire.close()
    os.close(again)
    os.close(slave)


def test_loop_and_what_a_pty_lacks():
    wire = Wire("loop://", LineSettings(baudrate=19200, parity="E"))
    with pytest.raises(Gone, match="is not open"):
        wire.write(b"x", soon())
    wire.open()
    wire.write(b"hello\n", soon())
    assert wire.read_line(b"\n", soon()) == b"hello"
    wire.send_break(0.001, soon())
    wire.close()


def test_signals_that_a_pty_does_not_have_are_none(terminal: tuple[int, str]):
    wire = Wire(terminal[1], LineSettings(parity="E", rtscts=True))
    wire.open()
    assert wire.is_clear_to_send() is None
    wire.send_break(0.001, soon())
    wire.close()


def test_noise_without_an_end_is_bounded():
    line = FakeLine()
    wire = wire_on(line)
    line.incoming += b"\xff" * 200_000
    with pytest.raises(Garbled, match="without an end of line"):
        wire.read_line(b"\r", soon(5.0))


def test_a_port_that_fails_is_closed():
    line = FakeLine()
    wire = wire_on(line)
    line.trouble = OSError(5, "Input/output error")
    with pytest.raises(Gone, match="went away"):
        wire.read_exact(1, soon())
    assert line.is_closed
    assert not wire.is_open


# the log

AT = datetime(2026, 11, 25, 18, 20, 29, 123456, UTC)


@given(st.binary(max_size=300), st.sampled_from([Way.OUT, Way.IN]))
def test_a_line_of_the_log_reads_back(data: bytes, way: Way):
    chunk = Chunk(AT, way, data)
    text = spelled(chunk)
    assert "\n" not in text
    assert text.isascii()
    assert parse_line(text) == chunk


@settings(max_examples=50)
@given(st.text(max_size=200))
def test_no_line_of_a_damaged_log_does_harm(text: str):
    try:
        chunk = parse_line(text)
    except DataError:
        return
    assert isinstance(chunk.way, Way)


def test_a_damaged_line_is_named(tmp_path: Path):
    path = tmp_path / "wire.log"
    path.write_text(f"{spelled(Chunk(AT, Way.OUT, b'x'))}\n2026 > zz\n")
    with pytest.raises(DataError, match=r"wire.log, line 2: not a line of a wire log"):
        list(read_log(path))


def test_the_log_rotates_and_a_full_disk_stops_nothing(tmp_path: Path):
    log = WireLog(tmp_path / "w" / "wire.log", now=lambda: AT, max_bytes=200, n_kept=2)
    for n in range(30):
        log.write(Way.OUT, b"%03d" % n)
    assert sorted(p.name for p in (tmp_path / "w").iterdir()) == ["wire.log", "wire.log.1", "wire.log.2"]
    assert next(iter(read_log(tmp_path / "w" / "wire.log.1"))).way is Way.OUT
    blocked = WireLog(tmp_path / "file" / "wire.log", now=lambda: AT)
    (tmp_path / "file").write_text("in the way")
    blocked.write(Way.OUT, b"x")
    blocked.write(Way.OUT, b"y")
    (tmp_path / "file").unlink()
    blocked.write(Way.OUT, b"z")
    lines = list(read_log(tmp_path / "file" / "wire.log"))
    assert lines[0].data == b"2 lines of this log could not be written"
    assert lines[1].data == b"z"


def test_a_replay_answers_as_then_and_stops_where_the_driver_says_something_else():
    script = (
        (Way.IN, b"hello\r"),
        (Way.OUT, b"a\r"),
        (Way.IN, b"1"),
        (Way.IN, b"\r"),
        (Way.EVENT, b"?"),
        (Way.OUT, b"b\r"),
    )
    line = ReplayedLine([Chunk(AT, way, data) for way, data in script])
    assert line.read(100) == b"hello\r"
    line.write(b"a")
    assert line.in_waiting == 0
    line.write(b"\r")
    assert line.read(100) == b"1\r"
    with pytest.raises(OSError, match=r"was sent b\\r here, not c\\r"):
        line.write(b"c\r")


def test_a_last_byte_before_the_peer_hangs_up_is_heard():
    """A driver that has a connection for each question: an answer of any length, and the end at once."""
    for reply in (b"6\r\n", b"23\r\n", b"128\r\n"):
        with socket.create_server(("127.0.0.1", 0)) as server:
            wire = Wire(f"socket://127.0.0.1:{server.getsockname()[1]}")
            wire.open()
            peer, _ = server.accept()
            peer.sendall(reply)
            peer.close()
            time.sleep(0.05)
            assert wire.read_line(b"\r\n", soon(30)) == reply.rstrip()
            with pytest.raises(Gone):
                wire.read_line(b"\r\n", soon(30))
            wire.close()


def test_a_late_write_does_not_hurry_the_next():
    line = FakeLine()
    wire = wire_on(line)
    waits = []
    for left_s in (60.0, 0.05, 60.0):
        wire.write(b"a", soon(left_s))
        waits.append(line.write_timeout)
    assert waits[0] == waits[2] == 1.0
    assert 0 < (waits[1] or 0) <= 0.05


def test_nothing_is_sent_after_its_time():
    line = FakeLine()
    wire = wire_on(line)
    with pytest.raises(Silent, match="the time was over before MOVE was sent"):
        wire.write(b"MOVE", Deadline(time.monotonic() - 100))
    assert line.sent == b""
