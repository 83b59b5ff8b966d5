"""The PF400's parsers with 10,000 wrong replies each, its taught positions and its options."""

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_line import FakeLine
from mover_rig import SPOTS, taught_text

from drivers import pf400, pf400_words
from drivers.deadline import Deadline
from drivers.pf400_arm import Arm, ArmPace, ArmWire
from drivers.pf400_places import Taught, read_taught
from drivers.wire import Garbled
from nextplate.errors import DeviceError, NeedsOperator, SettingsError

N = 10_000
GOOD = ("0", "0 1", "0 -1", "0 30", "-1009", "-2805", "0 400.000 0.000 180.000 -90.000 100.000",
        "0 1 2 3 4 5 6", "0 TCP Command Server 3.0C1")  # fmt: skip


def replies(seed: int) -> list[str]:
    """Half random, half good ones with a byte changed, lost, doubled, or cut."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(N):
        if rng.random() < 0.3:
            out.append(bytes(rng.integers(0, 256, rng.integers(0, 14), dtype=np.uint8)).decode("latin-1"))
            continue
        text = GOOD[rng.integers(len(GOOD))]
        at, char, how = int(rng.integers(len(text))), chr(rng.integers(0, 256)), rng.integers(6)
        out.append((text[:at] + char + text[at + 1:], text[:at] + text[at + 1:], text[:at] + char + text[at:],
                    text[:at], text + text, text)[how])  # fmt: skip
    return out


@pytest.mark.parametrize("parse", [pf400_words.values, pf400_words.joints, pf400_words.flag])
def test_a_parser_believes_only_what_is_of_the_protocol(parse: Any):
    n_good = 0
    for reply in replies(1):
        try:
            said = parse(reply, "q")
        except (Garbled, NeedsOperator):
            continue
        n_good += 1
        assert reply == "0" or reply.startswith("0 ")
        if isinstance(said, tuple):
            assert len(said) in (5, 6)
            assert all(math.isfinite(value) for value in said)
        elif isinstance(said, bool):
            assert reply.split() in (["0", "0"], ["0", "1"], ["0", "-1"])
    assert n_good > 10


class NoiseIsOver(Exception):
    """Every reply was given."""


def test_a_line_of_noise_moves_nothing_and_ends(tmp_path: Path):
    noise = replies(2)

    def answer(_data: bytes) -> bytes:
        if not noise:
            raise NoiseIsOver
        return noise.pop().encode("latin-1") + b"\r\n"

    line = FakeLine(answer)
    (tmp_path / "places.toml").write_text(taught_text())
    wire = ArmWire("fake", open_line=lambda port, settings: line)
    wire.open()
    pace = ArmPace(0.1, 0.1, 0.0, 0.0, 0.1)
    arm, until = Arm(wire, read_taught(tmp_path / "places.toml"), pace, reply_s=0.0), Deadline.after(60.0)
    with suppress(NoiseIsOver):
        while not until.is_over:
            soon = until.within(0.05)
            for call in (arm.connect, lambda t: arm.enable(30, t), arm.look, arm.version, arm.is_powered):
                with suppress(DeviceError):
                    call(soon)
    assert not noise, "it hung"
    assert not any(word in line.sent for word in (b"movej", b"grasp", b"release", b"home", b"hp 1"))


def test_what_was_taught_is_read(tmp_path: Path):
    (tmp_path / "places.toml").write_text(taught_text())
    taught = read_taught(tmp_path / "places.toml")
    assert isinstance(taught, Taught)
    assert {name: (nest.at, nest.above) for name, nest in taught.nests.items()} == {
        name: (spot.at, spot.above) for name, spot in SPOTS.items()
    }
    assert taught.where((400.2, 0.0, 180.0, -90.0)) == "safe"
    assert taught.where((180.0, 10.0, 120.0, -30.0)) == "deck/A2"
    assert taught.where((180.0, 12.0, 120.0, -30.0)) is None
    assert taught.where((1.0, 2.0, 3.0)) is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("format = 1", "format = 2", "format = 2 should be 1"),
        ("format = 1\n", "", "format = None should be 1"),
        ("open_mm = 100.0\n", "", "open_mm is missing"),
        ("open_mm = 100.0", "open_mm = 87.0", "too near plate_width_mm = 85.5"),
        ("open_mm = 100.0", "open_mm = nan", "open_mm holds nan, which is no position"),
        ("plate_width_mm = 85.5", "plate_width_mm = -1", "plate_width_mm = -1 should be above 0"),
        ("plate_width_mm = 85.5", "plate_widht_mm = 85.5", "'plate_widht_mm' is unknown"),
        ("safe = [400.0, 0.0, 180.0, -90.0]", "safe = [400.0]", "safe = [400.0] should be 4 numbers"),
        ("at = [200.0, 40.0", "at = [true, 40.0", "at of place 'stack/new' holds True"),
        ("at = [200.0, 40.0", "at = [1e9, 40.0", "which no joint reaches"),
        ("at = [200.0, 40.0, 100.0, -60.0]", "at = [200.0]", "at of place 'stack/new' = [200.0] should be 4 numbers"),
        ("above = [260.0, 40.0", "abov = [260.0, 40.0", "place 'stack/new': 'abov' is unknown"),
        ("above = [260.0, 40.0, 100.0, -60.0]\n", "", "place 'stack/new': above is missing"),
        ("above = [260.0, 40.0", "above = [200.0, 40.0", "above of stack/new is the same position as at of stack/new"),
        ("at = [200.0, 40.0, 100.0, -60.0]", "at = [150.0, 10.0, 120.0, -30.0]",
         "at of deck/A2 is the same position as at of stack/new"),
        ("format = 1", "format = ", "cannot be read"),
    ],
)  # fmt: skip
def test_a_wrong_position_is_named(old: str, new: str, said: str, tmp_path: Path):
    path = tmp_path / "places.toml"
    text = taught_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(SettingsError) as caught:
        read_taught(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


OPTIONS = {"port": "socket://127.0.0.1:1", "places": "places.toml"}


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("imager", OPTIONS, "driver 'pf400' is for a plate-mover, not for a imager"),
        ("plate-mover", {}, "option 'port' is missing; option 'places' is missing"),
        ("plate-mover", {**OPTIONS, "speed_percent": 200}, "option speed_percent = 200 should be 1 to 100"),
        ("plate-mover", {**OPTIONS, "places": "nowhere.toml"}, "nowhere.toml cannot be read"),
        ("plate-mover", {**OPTIONS, "plate_s": 0}, "option plate_s = 0 should be above 0"),
    ],
)
def test_a_wrong_option_is_named(kind: str, options: dict[str, Any], said: str, tmp_path: Path):
    (tmp_path / "places.toml").write_text(taught_text())
    with pytest.raises(SettingsError) as caught:
        pf400.make(kind, options, tmp_path)
    assert said in str(caught.value)


def test_to_make_it_opens_nothing(tmp_path: Path):
    (tmp_path / "places.toml").write_text(taught_text())
    device = pf400.make("plate-mover", {**OPTIONS, "speed_percent": 10, "powers_on": True}, tmp_path)
    device.close()
    assert not (tmp_path / "logs" / "wire" / "plate-mover.log").exists()
