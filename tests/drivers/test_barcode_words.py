"""What a barcode reader says: a code, or noise; never a code that was not sent."""

import random
import re

import pytest

from drivers.barcode import code_of
from drivers.wire import Garbled

N = 10_000
GOOD = (b"P-0001", b"SRC-0042", b"NP-0001 A", b"4006381333931", b"\nP-1")


def _mutated(rng: random.Random) -> bytes:
    data = bytearray(rng.choice(GOOD))
    for _ in range(rng.randint(0, 4)):
        kind, at = rng.randrange(4), rng.randint(0, len(data))
        if kind == 0:
            data[at:at] = bytes([rng.randrange(256)])
        elif kind == 1 and data:
            del data[at - 1]
        elif kind == 2 and data:
            data[at - 1] ^= 1 << rng.randrange(8)
        else:
            data = data[:at] if rng.random() < 0.5 else data * rng.randint(1, 20)
    return bytes(data)


def test_ten_thousand_mutated_lines_are_a_code_as_sent_or_refused():
    rng = random.Random(5)
    for _ in range(N):
        line = _mutated(rng)
        try:
            code = code_of(line)
        except Garbled:
            continue
        assert code.encode("latin-1") == line.removeprefix(b"\n")
        assert re.fullmatch(r"[!-~]([ -~]{0,78}[!-~])?", code)


@pytest.mark.parametrize("line", [b"", b" ", b" P1", b"P1 ", b"\x00P1", b"P\xb5", b"P" * 81, b"P1\n", b"\n\nP1"])
def test_what_is_no_code_is_refused(line: bytes):
    with pytest.raises(Garbled, match="noise, no code"):
        code_of(line)


def test_a_code_that_is_not_of_the_lab_is_refused_with_the_option_named():
    assert code_of(b"P-0001", r"P-[0-9]{4}") == "P-0001"
    with pytest.raises(Garbled, match=r"no code of this lab \(option pattern"):
        code_of(b"X-0001", r"P-[0-9]{4}")
