r"""Every byte on a wire, with its time, in a text file that people read and `drivers.wire_replay` plays back.

::

    2026-11-25T18:20:29.123456Z > 53 54 20 31 39 30 35 0d | ST 1905\r
    2026-11-25T18:20:29.161020Z < 4f 4b 0d 0a | OK\r\n
    2026-11-25T18:20:29.161900Z ! opened socket://10.0.0.7:4001

One line for each chunk: time (UTC), direction (``>`` to the device, ``<`` from it, ``!`` something that happened to
the port), the bytes in hexadecimal, and after the bar the same for people. A log that cannot be written (disk full)
never stops a device; it says afterwards how many lines it lost.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from nextplate.errors import DataError

_BAR = " | "
_PLAIN = {0x0D: "\\r", 0x0A: "\\n", 0x09: "\\t", 0x5C: "\\\\"}


class Way(StrEnum):
    """Where a chunk of bytes went."""

    OUT = ">"
    """To the device."""
    IN = "<"
    """From the device."""
    EVENT = "!"
    """No bytes: opened, closed, break, an error."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One line of a log."""

    at: datetime
    way: Way
    data: bytes
    """Of an EVENT: its text in UTF-8."""


def printable(data: bytes) -> str:
    r"""Spell bytes for people: ASCII as it is, the rest as ``\r``, ``\n``, ``\t`` or ``\xNN``."""
    return "".join(_PLAIN.get(b) or (chr(b) if 0x20 <= b < 0x7F else f"\\x{b:02x}") for b in data)


def spelled(chunk: Chunk) -> str:
    """Write a chunk as one line of a log, without its end."""
    when = chunk.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if chunk.way is Way.EVENT:
        return f"{when} ! {' '.join(chunk.data.decode(errors='replace').split())}"
    return f"{when} {chunk.way} {chunk.data.hex(' ')}{_BAR}{printable(chunk.data)}"


def parse_line(line: str) -> Chunk:
    """Read one line of a log.

    Raises:
        DataError: it is not one; says what was found.
    """
    try:
        when, way, rest = line.rstrip("\n").split(" ", 2)
        is_event = Way(way) is Way.EVENT
        data = rest.encode() if is_event else bytes.fromhex(rest.partition(_BAR)[0])
        return Chunk(datetime.fromisoformat(when), Way(way), data)
    except ValueError as error:
        raise DataError(f"not a line of a wire log: {line[:80]!a} ({error})") from error


def read_log(path: Path) -> Iterator[Chunk]:
    """Read a log, oldest first; a last line that is still being written is left out.

    Raises:
        DataError: the file cannot be read, or a line is damaged; names file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    except OSError as error:
        raise DataError(f"the wire log {path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if number == len(lines) and not line.endswith("\n"):
            return
        try:
            yield parse_line(line)
        except DataError as error:
            raise DataError(f"{path}, line {number}: {error}") from error


class WireLog:
    """Writes a log; when the file is full it becomes ``<name>.1``, and so on up to ``n_kept``."""

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        max_bytes: int = 4_000_000,
        n_kept: int = 4,
    ) -> None:
        self.path = path
        self._now, self._max_bytes, self._n_kept = now, max_bytes, n_kept
        self._n_lost = 0

    def write(self, way: Way, data: bytes) -> None:
        """Add a chunk; never raises, never waits for more than the disk."""
        lost = f"{self._n_lost} lines of this log could not be written" if self._n_lost else ""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._rotate()
            with self.path.open("a", encoding="utf-8") as file:
                if lost:
                    file.write(spelled(Chunk(self._now(), Way.EVENT, lost.encode())) + "\n")
                file.write(spelled(Chunk(self._now(), way, data)) + "\n")
            self._n_lost = 0
        except OSError:
            self._n_lost += 1

    def event(self, text: str) -> None:
        """Add something that happened to the port."""
        self.write(Way.EVENT, text.encode())

    def _rotate(self) -> None:
        try:
            if self.path.stat().st_size < self._max_bytes:
                return
        except FileNotFoundError:
            return
        kept = [self.path, *(self.path.with_name(f"{self.path.name}.{n}") for n in range(1, self._n_kept + 1))]
        for older, newer in zip(reversed(kept), reversed(kept[:-1]), strict=False):
            if newer.exists():
                newer.replace(older)
