"""The heartbeat: lines of JSON on a pipe from the night to its keeper, each with a number that only grows."""

import json
import os
from collections.abc import Mapping
from typing import Any

_LONGEST = 500
"""Characters of a message: a line stays below PIPE_BUF, so that it is written whole or not at all."""

Pulse = Mapping[str, Any]
"""n: its number. what: scan, phase, waiting, clock or end. message: for people. word: of an end, see Word."""


class Word:
    """How a night may end; the keeper acts on it."""

    OVER = "over"
    """The campaign is over: nothing to do until lab.toml names another."""
    STOPPED = "stopped"
    """Asked to stop, and did."""
    REFUSED = "refused"
    """Only a person can help: a setting, a broken journal; the same again would end in the same."""
    BUSY = "busy"
    """Somebody else holds the lab; it is asked again later, without end."""
    WANTING = "wanting"
    """There is no room on the disk, or no database server: asked again later, without end."""
    FAILED = "failed"
    """Something that may pass: a device that does not answer, a step that broke off."""


class PulseWriter:
    """The night's end of the pipe. It never blocks: a keeper that does not read must not stop the night."""

    def __init__(self, fd: int) -> None:
        self._fd, self._n = fd, 0
        os.set_blocking(fd, False)

    def send(self, what: str, message: str = "", **facts: str) -> None:
        """Send one line; drop it when the pipe is full or the keeper is gone."""
        self._n += 1
        body = {"n": self._n, "what": what, "message": message[:_LONGEST], **facts}
        try:
            os.write(self._fd, json.dumps(body).encode() + b"\n")
        except (BlockingIOError, BrokenPipeError):
            return  # the next one tells as much


class PulseReader:
    """The keeper's end of the pipe."""

    def __init__(self, fd: int) -> None:
        self._fd, self._rest, self._n = fd, b"", 0
        os.set_blocking(fd, False)

    def read(self) -> list[Pulse]:
        """Return the lines that have come since, without waiting; one that is no newer than the last is left out."""
        while True:
            try:
                data = os.read(self._fd, 65536)
            except BlockingIOError:
                break
            if not data:
                break
            self._rest += data
        *lines, self._rest = self._rest.split(b"\n")
        return [pulse for line in lines if (pulse := self._taken(line)) is not None]

    def _taken(self, line: bytes) -> Pulse | None:
        try:
            pulse: Pulse = json.loads(line)
            n = int(pulse["n"])
        except (ValueError, KeyError, TypeError):
            return None  # a night killed while it wrote
        if n <= self._n:
            return None
        self._n = n
        return pulse

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._fd)
