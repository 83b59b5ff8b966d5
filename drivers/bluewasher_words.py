"""What a BlueCatBio BlueWasher says, in words. Pure; source: facts/devices.md 4.5."""

import re
from collections.abc import Mapping, Sequence

from drivers.wire import Garbled
from nextplate.errors import NeedsOperator

OK, UNKNOWN, MISSING, FINISHED, RUNNING = 0, 15, 16, 21, 38
MAX_LINES = 160
"""Of a program."""
_CODE = re.compile(rb"(?:Err|STATUS)=([0-9]{1,3})$")
_LINE = re.compile(r"[ -~]{1,100}")
_ERRORS: Mapping[int, str] = {
    15: "it does not know the command",
    16: "the program is missing",
    17: "a line of the program is wrong",
    18: "it is homing",
    22: "collision risk",
    23: "rotor state (waste back-up)",
    24: "the door did not move in time",
    25: "the rack did not move in time",
    26: "vibrations",
    27: "the carrier is wrong",
    28: "the door must be closed",
    29: "the door must be open",
    31: "quick stop",
    33: "it is not initialised",
    38: "a program is running",
    41: "the program exists already",
    42: "the program is too long",
}


def code_of(line: bytes) -> int | None:
    """Read the line that ends an answer, also behind the rest of one that was cut off; None where it is text."""
    found = _CODE.search(line.strip())
    return None if found is None else int(found[1])


def text_of(lines: Sequence[bytes]) -> str:
    """Return the text before the code, noise left out."""
    return " ".join(line.decode("ascii") for line in lines if line and line.isascii() and _is_plain(line))


def serial_of(lines: Sequence[bytes]) -> str:
    """Return the text of an answer that has to have one.

    Raises:
        Garbled: it has none.
    """
    if not (text := text_of(lines).strip()):
        raise Garbled("the BlueWasher answered a question with a code and no text")
    return text


def error_text(code: int) -> str:
    """Say what a code means, with its number; "" for 0."""
    return f"error {code:02d} ({_ERRORS.get(code, 'not in our table; the maker has it')})" if code else ""


def program_lines(text: str, name: str) -> tuple[str, ...]:
    """Read a program: one line of the device's own language each; empty lines and those with # are for people.

    Raises:
        NeedsOperator: no line, too many, or one that the wire cannot carry; names it.
    """
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        if not _LINE.fullmatch(said) or said.startswith("$"):
            raise NeedsOperator(
                f"program {name!r}, line {number}: {said[:60]!a} cannot be sent; a line is up to 100 printable ASCII "
                "characters and begins with no $"
            )
        lines.append(said)
    if not 1 <= len(lines) <= MAX_LINES:
        raise NeedsOperator(f"program {name!r} has {len(lines)} lines; the BlueWasher takes 1 to {MAX_LINES}")
    return tuple(lines)


def _is_plain(line: bytes) -> bool:
    return all(0x20 <= byte < 0x7F for byte in line)
