"""10,000 random and mutated replies for each parser of a shaker's line: no crash, no hang, no wrong success."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_line import FakeLine, wire_on

from drivers import bioshake, bioshake_words
from drivers.deadline import Deadline
from drivers.shaker_handler import Rotor
from drivers.wire import Garbled
from nextplate.errors import DeviceError, NeedsOperator, SettingsError

N = 10_000
_NUMBER = re.compile(r"[+-]?\d{1,5}(\.\d{1,4})?", re.ASCII)
GOOD = (
    "ok",
    "OK",
    "e",
    "e 12",
    "u -> shakeOn",
    "3",
    "0",
    "600",
    "600.0",
    "25.3",
    "-1",
    "BioShake 3000-T elm",
    "RUN",
    "STOP",
)
PARSERS: dict[str, tuple[Callable[[str], Any], Callable[[str], bool]]] = {
    "ok": (lambda r: bioshake_words.acknowledged(r, "shakeOn"), lambda r: r.lower() == "ok"),
    "number": (lambda r: bioshake_words.number(r, "q"), lambda r: _NUMBER.fullmatch(r) is not None),
    "whole": (lambda r: bioshake_words.whole(r, "q"), lambda r: float(r) == int(float(r))),
    "state": (
        lambda r: bioshake_words.rotor(bioshake_words.whole(r, "q"), 1, is_restarted=False),
        lambda r: int(float(r)) in (0, 1, 2, 3, 4, 5, 6, 7, 90, 99),
    ),
}  # fmt: skip


def replies(seed: int, good: Sequence[str] = GOOD) -> list[str]:
    """Half random, half good ones with a byte changed, lost, doubled, or cut."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(N):
        if rng.random() < 0.4:
            out.append(bytes(rng.integers(0, 256, rng.integers(0, 12), dtype=np.uint8)).decode("latin-1"))
            continue
        text = good[rng.integers(len(good))]
        at = int(rng.integers(len(text)))
        char = chr(rng.integers(0, 256))
        how = rng.integers(6)
        out.append((text[:at] + char + text[at + 1:], text[:at] + text[at + 1:], text[:at] + char + text[at:],
                    text[:at], text + text, text)[how])  # fmt: skip
    return out


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_a_parser_believes_only_what_is_of_the_protocol(name: str):
    parse, is_good = PARSERS[name]
    n_good = 0
    for reply in replies(1):
        try:
            parse(reply)
        except (Garbled, NeedsOperator):
            continue
        assert is_good(reply), reply
        n_good += 1
    assert n_good > 10


class NoiseIsOver(Exception):
    """Every reply was given."""


def test_a_line_of_noise_makes_no_rotor_turn():
    noise = replies(2)

    def answer(_data: bytes) -> bytes:
        if not noise:
            raise NoiseIsOver
        return noise.pop().encode("latin-1") + b"\r\n"

    line = FakeLine(answer)
    handler, until = bioshake.BioShake(wire_on(line), reply_s=0.0), Deadline.after(60.0)
    with suppress(NoiseIsOver):
        while not until.is_over:
            for call in (handler.connect, handler.identify, handler.speeds_rpm, handler.has_timer, handler.speed_rpm):
                with suppress(DeviceError):
                    call(until)
            with suppress(DeviceError):
                handler.arm(600, until)
            with suppress(DeviceError):
                assert isinstance(handler.rotor(until), Rotor)
    assert not noise, "it hung"
    assert b"shakeOn" not in line.sent


@pytest.mark.parametrize(
    ("state", "is_turning", "is_stopping", "error"),
    [(0, True, False, ""), (2, True, True, ""), (3, False, False, ""), (5, True, False, ""),
     (4, False, False, "manual"),
     (90, False, False, "ECO"), (99, False, False, "starting")],
)  # fmt: skip
def test_states_in_words(state: int, is_turning: bool, is_stopping: bool, error: str):
    rotor = bioshake_words.rotor(state, None, is_restarted=False)
    assert (rotor.is_turning, rotor.is_stopping) == (is_turning, is_stopping)
    assert error in rotor.error
    assert bool(error) == bool(rotor.error)
    assert bioshake_words.rotor(3, 1, is_restarted=False).is_clamped is True
    assert "state 9" in bioshake_words.rotor(3, 9, is_restarted=False).error


def test_options_are_checked(tmp_path: Path):
    with pytest.raises(SettingsError, match="for a shaker, not for a washer"):
        bioshake.make("washer", {"port": "/dev/x"}, tmp_path)
    with pytest.raises(SettingsError, match="'speed' is no option"):
        bioshake.make("shaker", {"port": "/dev/x", "speed": 1}, tmp_path)
    device = bioshake.make("shaker", {"port": "/dev/x", "tolerance_s": 5}, tmp_path)
    assert device.poll("nobody").status == "not-found"
    device.close()
