"""What washers say and are told: replies that noise made are never a success, programs that make no sense are named."""

import random
from collections.abc import Callable

import pytest

from drivers import bluewasher_words, el406_frames, el406_words
from drivers.wire import Garbled
from nextplate.errors import DeviceError, NeedsOperator

N = 10_000
BLUE = (b"Err=00", b"Err=21", b"STATUS=38", b"BW-384-0117", b"FW 3.15", b"Err=", b"")
POLL = el406_frames.encoded(el406_frames.Frame(0x92, b"\x00\x00\x04\x00\x01\x00\x00\x00\x00"))
SERIAL = el406_frames.encoded(el406_frames.Frame(0x0100, b"\x00\x00EL406-1508"))


def mutated(rng: random.Random, good: bytes) -> bytes:
    data = bytearray(good)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0:
                data[at:at] = bytes([rng.randrange(256)])
            case 1 if at < len(data):
                del data[at]
            case 2 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case _:
                data = data[:at]
    return bytes(data)


def test_ten_thousand_mutated_lines_of_a_bluewasher():
    rng = random.Random(7)
    for _ in range(N):
        line = mutated(rng, rng.choice(BLUE))
        code = bluewasher_words.code_of(line)
        if code is not None:
            assert line.strip().endswith(str(code).encode()) or line.strip()[-2:].lstrip(b"0") in (
                b"",
                str(code).encode(),
            )
        assert bluewasher_words.text_of([line]).isascii()


@pytest.mark.parametrize("good", [POLL, SERIAL], ids=["poll", "serial"])
def test_ten_thousand_mutated_frames_of_an_el406_are_refused_or_the_frame_itself(good: bytes):
    rng = random.Random(8)
    for _ in range(N):
        data = mutated(rng, good)
        try:
            start = el406_frames.header(data[:11])
            frame = el406_frames.whole(start, data[11 : 11 + start.n_data])
        except Garbled:
            continue
        assert el406_frames.encoded(frame) == data[: 11 + start.n_data]
    for _ in range(N):
        data = bytes(rng.randrange(256) for _ in range(rng.randint(0, 24)))
        for parse in (el406_words.poll, el406_words.text, el406_words.payload, el406_frames.frames_in):
            quietly(parse, data)


def quietly(parse: Callable[[bytes], object], data: bytes) -> None:
    try:
        parse(data)
    except DeviceError:
        return


@pytest.mark.parametrize("line", [b"Err=0", b"Err=00 ", b"> $x Err=00", b"Err=Err=00"])
def test_a_code_at_the_end_of_a_line_is_one(line: bytes):
    assert bluewasher_words.code_of(line) == 0


@pytest.mark.parametrize("line", [b"Err=", b"Err=0000", b"Err=0x1", b"rr=00", b"Err=00!", b"Err=-1", b"\xffErr"])
def test_a_line_without_one_is_text(line: bytes):
    assert bluewasher_words.code_of(line) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has 0 lines"),
        ("# nothing\n\n", "has 0 lines"),
        ("EMPTY\n" * 161, "has 161 lines"),
        ("EMPTY\n$runprog 1\n", r"line 2: '\$runprog 1' cannot be sent"),
        ("FILL 80 µl\n", "line 1: .* cannot be sent"),
        ("E" * 101, "line 1: "),
    ],
)
def test_a_program_that_cannot_be_sent_is_refused_by_its_line(text: str, says: str):
    with pytest.raises(NeedsOperator, match=says):
        bluewasher_words.program_lines(text, "p")


def test_lines_for_people_are_left_out():
    assert bluewasher_words.program_lines("# two cycles\n\n EMPTY \nFILL 80\n", "p") == ("EMPTY", "FILL 80")
