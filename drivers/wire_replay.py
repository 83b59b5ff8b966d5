"""A device played from a wire log: ``port = "replay:///path/of/a/wire.log"`` answers what was answered then.

The bytes we send must be those that were sent then, in the same order; as soon as they are, what had come next comes
again. Something else breaks the line and says what was expected, so that a bug report can be stepped through with
the driver that met it.
"""

import time
from collections.abc import Iterable
from pathlib import Path

from drivers.wire_log import Chunk, Way, printable, read_log
from nextplate.errors import DataError

_SILENCE_S = 0.005


class ReplayedLine:
    """An open port (drivers.wire.Line) behind which a log plays the device."""

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        self.timeout: float | None = None
        self.write_timeout: float | None = None
        self.break_condition = False
        self._script = [(c.way, c.data) for c in chunks if c.way is not Way.EVENT]
        self._incoming = bytearray()
        self._sent = b""
        self._advance()

    @classmethod
    def of(cls, path: Path) -> "ReplayedLine":
        """Play a log from its start.

        Raises:
            OSError: it cannot be read or is damaged.
        """
        try:
            return cls(read_log(path))
        except DataError as error:
            raise OSError(str(error)) from error

    @property
    def is_over(self) -> bool:
        """Say whether everything that was sent then has been sent again."""
        return not self._script

    @property
    def in_waiting(self) -> int:
        """Return how many bytes can be read."""
        return len(self._incoming)

    def read(self, size: int = 1, /) -> bytes:
        """Read what there is, at most ``size``; a silence of the log is a short one here."""
        if not self._incoming:
            time.sleep(_SILENCE_S)
        data = bytes(self._incoming[:size])
        del self._incoming[:size]
        return data

    def write(self, data: bytes, /) -> int:
        """Take bytes, and make what followed them then readable.

        Raises:
            OSError: they are not the ones that were sent then.
        """
        self._sent += data
        while self._sent and self._script:
            expected = self._script[0][1]
            n = min(len(self._sent), len(expected))
            if self._sent[:n] != expected[:n]:
                raise OSError(f"the log was sent {printable(expected)} here, not {printable(self._sent)}")
            if n < len(expected):
                self._script[0] = (Way.OUT, expected[n:])
            else:
                self._script.pop(0)
                self._advance()
            self._sent = self._sent[n:]
        if self._sent:
            raise OSError(f"the log ends before {printable(self._sent)} is sent")
        return len(data)

    def close(self) -> None:
        """Let go."""

    def _advance(self) -> None:
        """Make everything readable that came before the next bytes were sent."""
        while self._script and self._script[0][0] is Way.IN:
            self._incoming += self._script.pop(0)[1]
