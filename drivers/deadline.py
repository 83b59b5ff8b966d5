"""A moment by which a call has ended, handed down through everything that waits for a device."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace


class Stopped(Exception):
    """The process is ending: whoever waits for a device lets go, and writes nothing about how its command ended."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on a monotonic clock."""

    at_s: float
    monotonic: Callable[[], float] = time.monotonic
    stop: threading.Event | None = None
    """Set when the process ends; None: nothing ends the wait early."""

    @classmethod
    def after(
        cls, wait_s: float, *, monotonic: Callable[[], float] = time.monotonic, stop: threading.Event | None = None
    ) -> "Deadline":
        """Return the moment ``wait_s`` from now."""
        return cls(monotonic() + wait_s, monotonic, stop)

    def within(self, wait_s: float) -> "Deadline":
        """Return the moment ``wait_s`` from now, or this one if it comes first."""
        return replace(self, at_s=min(self.at_s, self.monotonic() + wait_s))

    def renewed(self, wait_s: float) -> "Deadline":
        """Return the moment ``wait_s`` from now, also where this one has passed; for what has to be tidied up."""
        return replace(self, at_s=self.monotonic() + wait_s)

    def left_s(self) -> float:
        """Return the seconds left, 0 when it has passed.

        Raises:
            Stopped: the process is ending.
        """
        if self.stop is not None and self.stop.is_set():
            raise Stopped
        return max(0.0, self.at_s - self.monotonic())

    @property
    def is_over(self) -> bool:
        """Say whether it has passed."""
        return self.left_s() <= 0

    def pause(self, wait_s: float) -> None:
        """Wait so long, but not beyond the deadline.

        Raises:
            Stopped: the process is ending.
        """
        wait_s = min(wait_s, self.left_s())
        if self.stop is None:
            time.sleep(wait_s)
        elif self.stop.wait(wait_s):
            raise Stopped
