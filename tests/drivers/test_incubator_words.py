"""10,000 random and mutated replies for each parser of an incubator's line: no crash, no hang, no wrong success."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from fake_line import FakeLine, wire_on

from drivers import cytomat_words, liconic_words
from drivers.cytomat import Cytomat
from drivers.deadline import Deadline
from drivers.incubator_handler import Stand
from drivers.liconic import Liconic, Shape
from drivers.wire import Garbled
from nextplate.errors import DeviceError, NeedsOperator

N = 10_000
GOOD = ("OK", "0", "1", "CC", "E1", "E0", "00370", "06163", "-0001", "ok 82", "ok", "er 03", "bs 82", "be 00", "bw 09",
        "it +37.0 +36.9", "ih 95.0 -1")  # fmt: skip
NUMBER = r"[+-]?[0-9]"
PARSERS: dict[str, tuple[Callable[[str], Any], Callable[[str], bool]]] = {
    "liconic OK": (lambda r: liconic_words.acknowledged(r, "ST 1904"), lambda r: r == "OK"),
    "liconic relay": (lambda r: liconic_words.flag(r, "RD 1915"), lambda r: r in ("0", "1")),
    "liconic word": (lambda r: liconic_words.word(r, "RD DM5"), lambda r: r.lstrip("+-").isdigit() and len(r) <= 6),
    "cytomat ok": (lambda r: cytomat_words.accepted(r, "mv:ts 001"), lambda r: re.fullmatch("ok( ..)?", r) is not None),
    "cytomat register": (lambda r: cytomat_words.register(r, "bs"), lambda r: r[:3] == "bs " and len(r) == 5),
    "cytomat climate": (lambda r: cytomat_words.readings(r, "it"), lambda r: r[:3] == "it " and r.count(" ") == 2),
}  # fmt: skip


def replies(seed: int) -> Sequence[str]:
    """Half random, half good ones with a byte changed, lost, doubled, or cut."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(N):
        if rng.random() < 0.4:
            out.append(bytes(rng.integers(0, 256, rng.integers(0, 12), dtype=np.uint8)).decode("latin-1"))
            continue
        text = GOOD[rng.integers(len(GOOD))]
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


def _handlers(line: FakeLine) -> dict[str, Any]:
    wire = wire_on(line)
    return {
        "liconic": Liconic(wire, Shape(3, 4, 17.0), reply_s=0.0, break_s=0.0),
        "cytomat": Cytomat(wire, 12, reply_s=0.0, again_s=0.0),
    }


class NoiseIsOver(Exception):
    """Every reply was given."""


@pytest.mark.parametrize("name", ["cytomat", "liconic"])
def test_a_line_of_noise_makes_no_stand_and_no_motion(name: str):
    """Whole drivers on a line that answers anything: what they raise is an answer for people, and it ends."""
    noise = list(replies(2))

    def answer(_data: bytes) -> bytes:
        if not noise:
            raise NoiseIsOver
        return noise.pop().encode("latin-1") + b"\r\n"

    line = FakeLine(answer)
    handler, until = _handlers(line)[name], Deadline.after(60.0)
    with suppress(NoiseIsOver):
        while not until.is_over:
            _ask_everything(handler, until)
    assert not noise, "it hung"
    assert not any(motion in line.sent for motion in (b"ST 190", b"mv:"))


def _ask_everything(handler: Any, until: Deadline) -> None:
    for call in (handler.connect, handler.climate, handler.identify, lambda until: handler.arm("store", 5, until)):
        with suppress(DeviceError):
            call(until)
    with suppress(DeviceError):
        assert isinstance(handler.stand(until), Stand)


def test_every_code_has_words():
    assert all(cytomat_words.error_text(code) for code in range(1, 256))
    assert cytomat_words.error_text(0) == cytomat_words.warning_text(0) == ""
    assert "the gate is not closed" in cytomat_words.error_text(7)
    assert "00014 (not initialised)" in liconic_words.handling_error(14)
    assert liconic_words.handling_error(6163).startswith("handling error 06163 (a plate could not be put in")
    with pytest.raises(NeedsOperator, match="E1, it does not know this command"):
        liconic_words.acknowledged("E1", "ST 1900")


@pytest.mark.parametrize(("height_mm", "steps"), [(17.0, 788), (44.0, 1713), (5.0, 377)])
def test_the_pitch_of_a_cassette(height_mm: float, steps: int):
    assert liconic_words.pitch_steps(height_mm) == steps
