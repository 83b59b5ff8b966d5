"""A port in memory that answers at once, for parsers and the edges of a wire."""

from collections.abc import Callable

from drivers.wire import LineSettings, Wire


class FakeLine:
    """An open port (drivers.wire.Line) whose other end is a function from what was written to what comes back."""

    def __init__(self, answer: Callable[[bytes], bytes] = lambda data: b"") -> None:
        self.timeout: float | None = 0.0
        self.write_timeout: float | None = 1.0
        self.break_condition = False
        self.incoming, self.sent, self.is_closed = bytearray(), b"", False
        self.trouble: OSError | None = None
        self._answer = answer

    @property
    def in_waiting(self) -> int:
        if self.trouble is not None:
            raise self.trouble
        return len(self.incoming)

    def read(self, size: int = 1, /) -> bytes:
        if self.trouble is not None:
            raise self.trouble
        data = bytes(self.incoming[:size])
        del self.incoming[:size]
        return data

    def write(self, data: bytes, /) -> int:
        if self.trouble is not None:
            raise self.trouble
        self.sent += data
        self.incoming += self._answer(data)
        return len(data)

    def close(self) -> None:
        self.is_closed = True


def wire_on(line: FakeLine) -> Wire:
    """Return an open wire on a fake port."""

    def open_line(port: str, settings: LineSettings) -> FakeLine:
        return line

    wire = Wire("fake", open_line=open_line)
    wire.open()
    return wire
