"""Sending one message: a child process with a deadline, so that no server and no library can hold anything up."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from controller.notify.channels import Channel

_PICTURE_S = 60.0
"""More time for a message whose picture has to be drawn first."""
_KILL_S = 5.0


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message ready to go."""

    id: str
    attempt: int
    """Counting from 1."""
    title: str
    body: str
    plate: str | None
    """Whose picture goes with it."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a parcel."""

    is_ok: bool
    said: str
    """Why not; without any secret."""


class Sending(Protocol):
    """A parcel on its way."""

    def result(self) -> Sent | None:
        """Return how it ended; None while it is under way, which it is until its deadline at most."""

    def stop(self) -> None:
        """End it; it may have arrived."""


class Courier(Protocol):
    """Sends parcels."""

    def send(self, parcel: Parcel, channel: Channel) -> Sending:
        """Begin to send; never waits for the receiver."""


@dataclass(slots=True)
class ProcessSending:
    """A child process that sends."""

    process: "subprocess.Popen[bytes]"
    until: float
    """By `monotonic`."""
    limit_s: float
    monotonic: Callable[[], float]

    def result(self) -> Sent | None:
        """Return how it ended; past its deadline the process is killed."""
        if self.process.poll() is not None:
            return self._told()
        if self.monotonic() < self.until:
            return None
        self.stop()
        return Sent(False, f"it was not delivered within {self.limit_s:g} s")

    def stop(self) -> None:
        """Kill the process."""
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_KILL_S)
        if self.process.stdout:
            self.process.stdout.close()

    def _told(self) -> Sent:
        said = b""
        if self.process.stdout:
            said = self.process.stdout.read()
            self.process.stdout.close()
        try:
            answer = json.loads(said)
            return Sent(bool(answer["ok"]), str(answer["said"]))
        except (ValueError, KeyError, TypeError):
            return Sent(False, f"the sending process died (exit code {self.process.returncode})")


@dataclass(frozen=True, slots=True)
class ProcessCourier:
    """Sends each parcel in a process of its own."""

    lab: Path
    monotonic: Callable[[], float] = time.monotonic

    def send(self, parcel: Parcel, channel: Channel) -> Sending:
        """Start the process and hand it the parcel; secrets go through the pipe, not into its arguments."""
        limit_s = channel.deadline_s + (_PICTURE_S if parcel.plate else 0.0)
        command = [sys.executable, "-m", "controller.notify.child"]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
        with suppress(BrokenPipeError):
            if process.stdin:
                process.stdin.write(json.dumps(self._body(parcel, channel, limit_s)).encode())
                process.stdin.close()
        return ProcessSending(process, self.monotonic() + limit_s, limit_s, self.monotonic)

    def _body(self, parcel: Parcel, channel: Channel, limit_s: float) -> dict[str, Any]:
        return {
            "url": channel.url,
            "id": parcel.id,
            "attempt": parcel.attempt,
            "title": parcel.title,
            "body": parcel.body,
            "plate": parcel.plate,
            "lab": str(self.lab),
            "deadline_s": limit_s,
        }
