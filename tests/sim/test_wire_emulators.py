"""The emulators, spoken to in raw bytes and by no driver: their answers, their physics, and the faults of the wire."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sim.wire.cytomat import CytomatEmulator
from sim.wire.faults import Fault, FaultScript, WireFault
from sim.wire.hotel import Hotel, Jam, Trouble
from sim.wire.liconic import LiconicStx
from sim.wire.server import WireServer
from sim.wire.time import EmulatedTime


class Peer:
    """A client of the TCP port."""

    def __init__(self, server: WireServer) -> None:
        host, _, port = server.url.removeprefix("socket://").rpartition(":")
        self.socket = socket.create_connection((host, int(port)), 2.0)

    def hear(self, wait_s: float = 30.0) -> bytes:
        self.socket.settimeout(wait_s)
        try:
            return self.socket.recv(100)
        except (TimeoutError, ConnectionResetError):
            return b""

    def ask(self, text: bytes, wait_s: float = 30.0) -> bytes:
        self.socket.sendall(text)
        return self.hear(wait_s)


@pytest.fixture
def liconic(tmp_path: Path) -> Iterator[tuple[LiconicStx, WireServer, Peer]]:
    emulator = LiconicStx(EmulatedTime(0.0))
    with WireServer(emulator, tmp_path) as server:
        peer = Peer(server)
        yield emulator, server, peer
        peer.socket.close()


Setup = tuple[LiconicStx, WireServer, Peer]


def test_a_liconic_is_silent_until_greeted_then_answers_by_its_words(liconic: Setup):
    emulator, _, peer = liconic
    assert peer.ask(b"RD 1915\r", 0.3) == b""
    assert peer.ask(b"CR\r") == b"CC\r\n"
    emulator.hotel.put_on_station("P1")
    for text, reply in (
        (b"RD 1915", b"1"), (b"RD 1813", b"1"), (b"RD 1812", b"0"), (b"WR DM0 2", b"OK"), (b"WR DM5 3", b"OK"),
        (b"WR DM25 4", b"OK"), (b"RD DM0", b"00002"), (b"RD DM982", b"00369"), (b"nonsense", b"E1"),
        (b"ST 1904", b"OK"), (b"RD 1915", b"0"),
    ):  # fmt: skip
        assert peer.ask(text + b"\r") == reply + b"\r\n"
    emulator.time.skip(10.0)
    assert peer.ask(b"RD 1812\r") == b"1\r\n"
    emulator.time.skip(10.0)
    assert peer.ask(b"RD 1915\r") == b"1\r\n"
    assert emulator.hotel.slots == {7: "P1"}


def test_a_liconic_forgets_its_words_when_switched_off(liconic: Setup):
    emulator, _, peer = liconic
    peer.ask(b"CR\r")
    peer.ask(b"WR DM25 4\r")
    emulator.power_cycle()
    assert peer.ask(b"RD DM25\r", 0.3) == b""
    peer.ask(b"CR\r")
    assert peer.ask(b"RD DM25\r") == b"00000\r\n"
    assert peer.ask(b"RD 1915\r") == b"0\r\n"
    assert peer.ask(b"ST 1801\r") == b"OK\r\n"
    assert peer.ask(b"RD 1915\r") == b"1\r\n"


@pytest.mark.parametrize(
    ("said", "reply"),
    [
        ("ch:bs", "bs 02"), ("ch:be", "be 00"), ("ch:it", "it +37.0 +36.9"), ("ch:io", "er 02"), ("mv:ts 001", "er 31"),
        ("mv:st 099", "er 05"), ("mv:st 1", "er 02"), ("hello", "er 03"), ("ll:in", "ok 01"), ("rs:be", "ok 02"),
    ],
)  # fmt: skip
def test_a_cytomat_answers(said: str, reply: str):
    emulator = CytomatEmulator(EmulatedTime(0.0), false_busy=0.0)
    assert emulator.answer(said.encode() + b"\r\n") == [reply.encode() + b"\r\n"]


def test_a_cytomat_says_busy_for_no_reason():
    emulator = CytomatEmulator(EmulatedTime(0.0), false_busy=0.3)
    said = {emulator.answer(b"ch:bs\r\n")[0] for _ in range(100)}
    assert said == {b"bs 02\r\n", b"er 01\r\n", b"er 02\r\n"}


@pytest.mark.parametrize(
    ("jam", "trouble", "shovel", "station"),
    [(Jam.PICK, Trouble.NO_PLATE, None, "P1"), (Jam.PUT, Trouble.NOT_PUT, "P1", None), (Jam.STALL, None, "P1", None)],
)
def test_a_plate_sticks(jam: Jam, trouble: Trouble | None, shovel: str | None, station: str | None):
    clock = EmulatedTime(0.0)
    hotel = Hotel(clock, 4, station="P1", jam=jam)
    hotel.store(2)
    clock.skip(100.0)
    assert hotel.is_moving == (jam is Jam.STALL)
    assert (hotel.trouble, hotel.shovel, hotel.station, hotel.moves()) == (trouble, shovel, station, 0)


def test_a_motion_in_a_motion_and_two_plates_on_a_station_are_noted():
    hotel = Hotel(EmulatedTime(0.0), 4, station="P1", slots={1: "P2"})
    hotel.store(2)
    hotel.fetch(1)
    hotel.put_on_station("P3")
    assert len(hotel.violations) == 2


REPLIES: Any = {
    WireFault.LOST_REQUEST: (b"", 0), WireFault.LOST_REPLY: (b"", 1), WireFault.REFUSED: (b"E1\r\n", 0),
    WireFault.CUT_REPLY: (b"OK", 1), WireFault.UNSOLICITED: (b"?\r\nOK\r\n", 1), WireFault.GARBLED_REPLY: (None, 1),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(REPLIES))
def test_a_fault_hits_the_frame_it_is_for_and_no_other(liconic: Setup, kind: WireFault):
    emulator, server, peer = liconic
    peer.ask(b"CR\r")
    server.faults.add(Fault(kind, nth=2, match="WR", data=b"?\r\n" if kind is WireFault.UNSOLICITED else b""))
    assert peer.ask(b"WR DM1 1\r") == b"OK\r\n"
    reply, n_acted = REPLIES[kind]
    heard = peer.ask(b"WR DM2 1\r", 0.3 if reply == b"" else 30.0)
    while kind is WireFault.UNSOLICITED and len(heard) < len(reply):
        heard += peer.hear()
    assert heard == reply if reply is not None else heard not in (b"", b"OK\r\n")
    assert ("DM2" in emulator.words) == bool(n_acted)
    assert peer.ask(b"WR DM3 1\r") == b"OK\r\n"


def test_behind_a_late_answer_all_wait(liconic: Setup):
    _, server, peer = liconic
    peer.ask(b"CR\r")
    server.faults.add(Fault(WireFault.LATE_REPLY, match="RD DM982", wait_s=0.2))
    peer.socket.sendall(b"RD DM982\rRD 1915\r")
    began, heard = time.monotonic(), b""
    while len(heard) < 10:
        heard += peer.hear()
    assert heard == b"00369\r\n1\r\n"
    assert time.monotonic() - began >= 0.19


def test_a_port_goes_away_and_comes_back_at_the_same_place(liconic: Setup):
    _, server, peer = liconic
    peer.ask(b"CR\r")
    server.faults.add(Fault(WireFault.PORT_GONE, match="RD 1915", wait_s=0.5))
    assert peer.ask(b"RD 1915\r") == b""
    assert not server.pty_path.exists()
    while not server.pty_path.exists():
        time.sleep(0.01)
    again = Peer(server)
    assert again.ask(b"RD 1915\r") == b"1\r\n"
    again.socket.close()
    with server.pty_path.open("r+b", buffering=0) as terminal:
        terminal.write(b"RD 1813\r")
        assert os.read(terminal.fileno(), 10) == b"0\r\n"


def test_half_a_frame_stays_in_the_device_and_a_second_client_is_turned_away(liconic: Setup):
    _, server, peer = liconic
    peer.ask(b"CR\r")
    second = Peer(server)
    assert second.hear() == b""
    second.socket.close()
    peer.socket.sendall(b"RD 19")
    peer.socket.close()
    while (said := (again := Peer(server)).ask(b"CR\r")) == b"":
        again.socket.close()  # until the device server knows that the first one went
    assert said == b"E1\r\n"
    assert again.ask(b"CR\r") == b"CC\r\n"
    again.socket.close()


def test_noise_is_the_same_for_the_same_seed():
    first, second = (FaultScript(seed=3) for _ in range(2))
    said = [first.noise(b"RD 1915\r") for _ in range(20)]
    assert said == [second.noise(b"RD 1915\r") for _ in range(20)]
    assert all(noisy != b"RD 1915\r" and noisy.endswith(b"\r") for noisy in said)
