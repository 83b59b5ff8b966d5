"""Barcode readers as their serial lines know them; from facts/devices.md 4.7, and from no driver.

A pty and a socket carry 8-bit bytes: the seven bits and the parity of a Keyence's line exist only on a UART.
"""

import threading
from dataclasses import dataclass, field

from sim.wire.emulator import Act, split_lines
from sim.wire.time import EmulatedTime


@dataclass(slots=True)
class Bench:
    """What stands in front of a reader, and what it read."""

    time: EmulatedTime
    labels: list[str] = field(default_factory=list)
    """In sight; the reader sees them in turn."""
    log: list[Act] = field(default_factory=list)
    """Every read, of nothing too."""

    def look(self) -> str | None:
        """Read the next label in sight; None: there is none."""
        label = self.labels[len(self.log) % len(self.labels)] if self.labels else None
        self.log.append(Act(self.time.now_s(), "read", label or "", "reader"))
        return label


class KeyenceReader:
    """A Keyence BL: LON reads, RMOTOR tells of its motor; with the motor off it reads nothing."""

    def __init__(self, time: EmulatedTime) -> None:
        self.time, self.lock = time, threading.RLock()
        self.bench = Bench(time)
        self.is_motor_on, self.is_beam_on = True, False

    def split(self, buffer: bytearray) -> list[bytes]:
        """Take whole lines; they end with a carriage return."""
        return split_lines(buffer, b"\r")

    def refusal(self, frame: bytes) -> bytes:  # noqa: ARG002
        """Return the answer of a reader that cannot."""
        return b"NG\r"

    def answer(self, frame: bytes) -> list[bytes]:
        """Act on a line; one that it does not know stays without an answer."""
        match frame:
            case b"RMOTOR\r":
                return [b"MOTORON\r" if self.is_motor_on else b"MOTOROFF\r"]
            case b"LON\r":
                self.is_beam_on = True
                if not self.is_motor_on:
                    return [b"NG\r"]
                label = self.bench.look()
                return [label.encode() + b"\r"] if label is not None else []
            case b"LOFF\r":
                self.is_beam_on = False
        return []


class PlainScanner:
    """A scanner that sends what it sees: on its trigger, or when a label comes in sight (`present`)."""

    def __init__(self, time: EmulatedTime, trigger: bytes = b"T\r") -> None:
        self.time, self.lock = time, threading.RLock()
        self.bench = Bench(time)
        self._trigger = trigger

    def split(self, buffer: bytearray) -> list[bytes]:
        """Take whole lines; they end with a carriage return."""
        return split_lines(buffer, b"\r")

    def refusal(self, frame: bytes) -> bytes:  # noqa: ARG002
        """Return nothing: it has no word for that."""
        return b""

    def answer(self, frame: bytes) -> list[bytes]:
        """Read when triggered."""
        if frame != self._trigger or (label := self.bench.look()) is None:
            return []
        return [label.encode() + b"\r"]

    def present(self, label: str) -> bytes:
        """Hold a label in front of it; return what it then sends by itself."""
        self.bench.labels = [label]
        self.bench.look()
        return label.encode() + b"\r"


if __name__ == "__main__":
    from sim.wire.by_hand import serve

    serve("barcode-keyence")
