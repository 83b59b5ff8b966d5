"""The emulated Inheco, spoken to in raw bytes and by no driver of ours, and held against PyLabRobot's words for it."""

from typing import Any

import pytest

from sim.wire.hotel import Jam
from sim.wire.inheco import IncubatorShaker, checksum
from sim.wire.rotor import Phase
from sim.wire.time import EmulatedTime


def frame(command: str, unit: int = 0, dip: int = 2) -> bytes:
    text = f"T0{unit}{command}".encode()
    start = bytes([len(text) + 3, 0x30 + dip, 0xC0 + len(text)]) + text
    return start + bytes([checksum(start)])


def said(device: IncubatorShaker, command: str) -> bytes:
    return b"".join(device.answer(frame(command)))


@pytest.fixture
def device() -> IncubatorShaker:
    return IncubatorShaker(EmulatedTime(0.0))


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("RTS", b"\xb21\xb2\x20\x60"), ("RDS", b"\xb21\xb2\x20\x60"), ("RLW", b"\xb20\xb2\x20\x60"),
        ("RFV0", b"\xb2IncShak_\xb2C_V3.26\xb2\x20\x60"), ("REE", b"\xb20\xb2\x20\x60"),
        ("RAT1", b"\xb2369\xb2\x20\x60"),
        ("STT250", b"\xb2\x20\x60"), ("STT9999", b"\xb2\x23\x60"), ("SSP20,20,100,100,90", b"\xb2\x20\x60"),
        ("SSP20,20,10,100,90", b"\xb2\x23\x60"), ("SSP20,20", b"\xb2\x23\x60"), ("XYZ", b"\xb2\x22\x60"),
        ("ASEND", b"\xb2\x29\x60"), ("ACD", b"\xb2\x20\x60"), ("RDA0,1", b"\xb21\xb2\x20\x60"), ("x", b"\xb2\x22\x60"),
    ],
)  # fmt: skip
def test_it_answers(device: IncubatorShaker, command: str, reply: bytes) -> None:
    assert said(device, command) == reply


def test_a_frame_that_did_not_arrive_as_sent_is_a_protocol_error(device: IncubatorShaker) -> None:
    whole = frame("AOD")
    for at in range(2, len(whole)):
        for bit in range(8):
            wrong = bytearray(whole)
            wrong[at] ^= 1 << bit
            assert device.answer(bytes(wrong)) == [b"\xb2\x24\x60"]
    assert device.hotel.log == []
    assert device.answer(frame("RDS", dip=3)) == []
    assert device.answer(frame("RDS", unit=1)) == [b"\xb2\x2e\x60"]


def test_noise_before_a_frame_is_skipped(device: IncubatorShaker) -> None:
    buffer = bytearray(b"\x00\xff\r\n" + frame("RDS") + frame("RLW")[:4])
    assert device.split(buffer) == [frame("RDS")]
    buffer += frame("RLW")[4:]
    assert device.split(buffer) == [frame("RLW")]
    assert not buffer


def test_a_drawer_takes_its_time(device: IncubatorShaker) -> None:
    device.hotel.put_on_station("P1")
    said(device, "ACD")
    assert said(device, "RDS") == b"\xb2\x29\x60"
    assert (device.hotel.station, device.hotel.shovel, device.hotel.slots) == (None, "P1", {})
    device.time.skip(5.0)
    assert said(device, "RDS") == b"\xb20\xb2\x20\x60"
    assert device.hotel.slots == {1: "P1"}
    assert device.hotel.moves() == 1
    device.hotel.put_on_station("P2")
    assert len(device.hotel.violations) == 1


@pytest.mark.parametrize(("jam", "where"), [(Jam.PICK, "station"), (Jam.PUT, "between"), (Jam.STALL, "between")])
def test_a_drawer_that_sticks(device: IncubatorShaker, jam: Jam, where: str) -> None:
    device.hotel.put_on_station("P1")
    device.hotel.jam = jam
    said(device, "ACD")
    device.time.skip(100.0)
    assert (device.hotel.station, device.hotel.shovel) == (("P1", None) if where == "station" else (None, "P1"))


def test_it_shakes_behind_a_closed_drawer_only_and_does_not_open_meanwhile(device: IncubatorShaker) -> None:
    device.hotel.put_on_station("P1")
    assert said(device, "ASEND") == b"\xb2\x29\x60"
    assert device.physics.violations == ["asked to shake with an open drawer"]
    device.physics.violations.clear()
    said(device, "ACD")
    device.time.skip(5.0)
    said(device, "SSP30,30,150,150,90")
    assert said(device, "ASEND") == b"\xb2\x20\x60"
    device.time.skip(5.0)
    assert said(device, "RSE") == b"\xb21\xb2\x20\x60"
    assert said(device, "RFX1") == b"\xb2150\xb2\x20\x60"
    assert said(device, "AOD") == b"\xb2\x28\x60"
    assert device.hotel.violations == ["asked to move the drawer while the shaker moves"]
    said(device, "ASE0")
    assert said(device, "RSE") == b"\xb22\xb2\x20\x60"
    device.time.skip(5.0)
    assert said(device, "RSE") == b"\xb20\xb2\x20\x60"
    assert device.physics.shakes[0].speed_rpm == 900


def test_switched_on_it_wants_to_be_initialised_which_closes_the_drawer(device: IncubatorShaker) -> None:
    device.power_cycle()
    assert said(device, "REE") == b"\xb23\xb2\x20\x60"
    assert said(device, "ACD") == b"\xb2\x27\x60"
    assert said(device, "AID") == b"\xb2\x20\x60"
    device.time.skip(5.0)
    assert device.hotel.is_open is False
    assert device.physics.phase is Phase.STILL


@pytest.fixture
def plr() -> Any:
    module = pytest.importorskip("pylabrobot.storage.inheco.incubator_shaker_backend", reason="no extra pylabrobot")
    return module.InhecoIncubatorShakerStackBackend(dip_switch_id=2, port="/dev/nobody-has-this")


@pytest.mark.parametrize("command", ["AID", "AOD", "ACD", "RDS", "STT370", "SSP30,30,100,100,90", "RDA0,1"])
def test_frames_are_those_that_pylabrobot_sends(plr: Any, command: str) -> None:
    for unit in range(6):
        assert plr._build_message(command, stack_index=unit) == frame(command, unit)


@pytest.mark.parametrize("command", ["RTS", "RDS", "RFV0", "RFV2", "RAT1", "STT370", "XYZ"])
def test_answers_are_those_that_pylabrobot_reads(plr: Any, device: IncubatorShaker, command: str) -> None:
    reply = said(device, command)
    read = plr._parse_response_binary_safe(reply)
    assert read["ok"] == (command != "XYZ")
    assert read["error_code"] == (2 if command == "XYZ" else 0)
    assert read["data"] == reply[:-3].replace(b"\xb2", b"").decode()
