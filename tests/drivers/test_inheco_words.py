"""An Inheco's frames and words: 10,000 random and mutated replies each, and drivers on a line of noise."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_line import FakeLine, wire_on
from hypothesis import given
from hypothesis import strategies as st

from drivers import inheco, inheco_frames, inheco_words
from drivers.deadline import Deadline
from drivers.incubator_handler import Stand
from drivers.inheco_frames import Refused, accepted, crc8, decoded, encoded
from drivers.inheco_incubator import InhecoIncubator
from drivers.inheco_link import Link
from drivers.inheco_shaker import InhecoShaker
from drivers.inheco_unit import Unit
from drivers.ports import Status
from drivers.shaker_handler import Rotor
from drivers.wire import Garbled
from nextplate.errors import DeviceError, NeedsOperator, SettingsError
from sim.wire.inheco import IncubatorShaker, checksum
from sim.wire.time import EmulatedTime

N = 10_000
GOOD = (
    b"\xb2\x20`", b"\xb20\xb2\x20`", b"\xb21\xb2\x20`", b"\xb22\xb2\x20`", b"\xb2370\xb2\x20`", b"\xb2-12\xb2\x20`",
    b"\xb2IncShak_\xb2C_V3.26\xb2\x20`", b"\xb2\x28`", b"\xb2\x29`", b"\xb2\x24`", b"\xb2\x22`", b"\xb2100\xb2\x20`",
)  # fmt: skip
WHOLE = re.compile(rb"(\xb2[\x00\x20-\x5f\x61-\x7f]*)*\xb2[\x20-\x2f]`")
PARSERS: dict[str, tuple[Callable[[str], Any], Callable[[str], bool]]] = {
    "choice": (lambda d: inheco_words.choice(d, "RSE", range(3)), lambda d: d in ("0", "1", "2")),
    "whole": (lambda d: inheco_words.whole(d, "RTT"), lambda d: re.fullmatch(r"[+-]?\d{1,5}", d, re.ASCII) is not None),
    "nothing": (lambda d: inheco_words.nothing(d, "AOD"), lambda d: not d),
    "model": (inheco_words.model, lambda d: d in ("0", "1", "2", "3")),
}


def replies(seed: int) -> list[bytes]:
    """Half random, half good ones with a byte changed, lost, doubled, or cut."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(N):
        if rng.random() < 0.3:
            out.append(bytes(rng.integers(0, 256, rng.integers(0, 12), dtype=np.uint8)))
            continue
        good = GOOD[rng.integers(len(GOOD))]
        at, byte = int(rng.integers(len(good))), bytes([rng.integers(0, 256)])
        how = rng.integers(6)
        out.append((good[:at] + byte + good[at + 1:], good[:at] + good[at + 1:], good[:at] + byte + good[at:],
                    good[:at], good + good, good)[how])  # fmt: skip
    return out


def test_a_reply_is_believed_only_where_it_is_whole():
    n_good = 0
    for raw in replies(1):
        if not raw.endswith(b"`"):
            continue
        try:
            reply = decoded(raw[:-1], dip=2)
        except Garbled:
            continue
        assert WHOLE.fullmatch(raw), raw
        assert reply.data.isascii()
        n_good += 1
    assert n_good > 1000


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_a_parser_believes_only_what_is_of_the_protocol(name: str):
    parse, is_good = PARSERS[name]
    n_good = 0
    for raw in replies(2):
        with suppress(Garbled, Refused):
            data = accepted(decoded(raw[:-1], dip=2), "q")
            parse(data)
            assert is_good(data), raw
            n_good += 1
    assert n_good > 100


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789,", min_size=3, max_size=40), st.integers(0, 5), st.integers(0, 15))
def test_a_frame_is_what_the_facts_page_says(command: str, unit: int, dip: int):
    frame = encoded(command, dip=dip, unit=unit)
    text = f"T0{unit}{command}".encode()
    assert frame[:3] == bytes([len(text) + 3, 0x30 + dip, 0xC0 + len(text)])
    assert frame[3:-1] == text
    assert frame[-1] == crc8(frame[:-1]) == checksum(frame[:-1])
    assert IncubatorShaker(EmulatedTime(0.0)).split(bytearray(frame + frame)) == [frame, frame]


@given(st.binary(min_size=1, max_size=20), st.integers(0, 159))
def test_the_checksum_sees_every_single_flipped_bit(data: bytes, at: int):
    flipped = bytearray(data)
    flipped[at // 8 % len(data)] ^= 1 << at % 8
    assert crc8(bytes(flipped)) != crc8(data)


def test_what_no_frame_can_hold_is_refused():
    for command, dip, unit in (("AOD", 16, 0), ("AOD", 2, 6), ("X" * 70, 2, 0)):
        with pytest.raises(ValueError, match="no frame can hold"):
            encoded(command, dip=dip, unit=unit)


def test_every_error_has_words():
    for code in range(1, 16):
        with pytest.raises(Refused, match=f"refused 'AOD': error {code}, "):
            accepted(inheco_frames.Reply(code, ""), "AOD")


class NoiseIsOver(Exception):
    """Every reply was given."""


@pytest.mark.parametrize("kind", ["incubator", "shaker"])
@pytest.mark.parametrize("n", [500, pytest.param(N, marks=pytest.mark.long)])
def test_a_line_of_noise_makes_no_stand_and_no_motion(kind: str, n: int):
    """Whole drivers, whose greeting was answered well, on a line that then answers anything."""
    noise, is_noisy = replies(3)[:n], False

    def answer(_data: bytes) -> bytes:
        if not is_noisy:
            return GOOD[6]
        if not noise:
            raise NoiseIsOver
        return noise.pop()

    line = FakeLine(answer)
    unit, until = Unit(Link(wire_on(line), dip=2, unit=0, reply_s=0.0)), Deadline.after(120.0)
    unit.link.connect(until)
    is_noisy = True
    incubator, shaker = InhecoIncubator(unit, 37.0), InhecoShaker(unit)
    calls: dict[str, list[Callable[[Deadline], Any]]] = {
        "incubator": [incubator.connect, incubator.climate, incubator.identify, lambda u: incubator.arm("store", 1, u)],
        "shaker": [shaker.connect, shaker.identify, shaker.speed_rpm, lambda u: shaker.arm(600, u)],
    }
    look, what = (incubator.stand, Stand) if kind == "incubator" else (shaker.rotor, Rotor)
    with suppress(NoiseIsOver):
        while not until.is_over:
            for call in calls[kind]:
                with suppress(DeviceError):
                    call(until)
            with suppress(DeviceError):
                assert isinstance(look(until), what)  # type: ignore[operator]
    assert not noise, "it hung"
    assert not any(motion in line.sent for motion in (b"AOD", b"ACD", b"ASE", b"AID"))


def test_a_firmware_whose_name_is_a_number_is_waited_for():
    line = FakeLine(lambda data: b"\xb2326\xb2\x20`" if b"RFV0" in data else b"\xb21\xb2\x20`")
    link, until = Link(wire_on(line), dip=2, unit=0, reply_s=0.0), Deadline.after(5.0)
    link.connect(until)
    line.incoming += b"\xb20\xb2\x20`"
    assert link.ask("RLW", until) == "1"
    assert line.sent.count(b"RFV0") == 2


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("washer", {}, "for an incubator or a shaker, not for a washer"),
        ("shaker", {"speed": 1}, "'speed' is no option"),
        ("shaker", {"temperature_c": 37.0}, "'temperature_c' is no option"),
        ("shaker", {"amplitude_mm": 3.5}, "at most 3"),
        ("incubator", {"temperature_c": 200.0}, "at most 80"),
        ("incubator", {"unit": 6}, "unit = 6 should be 0 to 5"),
        ("incubator", {"dip": 16}, "dip = 16 should be 0 to 15"),
        ("incubator", {"dip": -1}, "above 0"),
        ("incubator", {"dip": "2"}, "dip = '2' should be int"),
        ("incubator", {"port": ""}, "port is empty"),
    ],
)
def test_a_wrong_option_is_named(kind: str, options: dict[str, Any], said: str, tmp_path: Path):
    with pytest.raises(SettingsError, match=said):
        inheco.make(kind, {"port": "/dev/x", **options}, tmp_path)


@pytest.mark.parametrize("kind", ["incubator", "shaker"])
def test_to_make_it_touches_no_port(kind: str, tmp_path: Path):
    device = inheco.make(kind, {"port": "/dev/nobody-has-this", "dip": 0, "unit": 0}, tmp_path)
    assert device.poll("nobody").status is Status.NOT_FOUND
    device.close()


def test_an_incubator_without_a_shaker_is_not_shaken():
    line = FakeLine(lambda data: GOOD[6] if b"RFV0" in data else b"\xb22\xb2\x20`")
    shaker = InhecoShaker(Unit(Link(wire_on(line), dip=2, unit=0, reply_s=0.0)))
    with pytest.raises(NeedsOperator, match="Inheco incubator DWP has no shaker"):
        shaker.connect(Deadline.after(5.0))
