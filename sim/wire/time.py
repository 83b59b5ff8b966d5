"""The time of an emulated device: faster than the wall's, or standing until somebody moves it."""

import threading
import time


class EmulatedTime:
    """Seconds since the device was switched on."""

    def __init__(self, speed: float = 1.0) -> None:
        self._lock = threading.Lock()
        self._speed, self._at_s, self._since = speed, 0.0, time.monotonic()

    def now_s(self) -> float:
        """Return the device's time."""
        with self._lock:
            return self._at_s + (time.monotonic() - self._since) * self._speed

    def skip(self, wait_s: float) -> None:
        """Let so many of the device's seconds pass at once."""
        with self._lock:
            self._at_s += wait_s

    def run_at(self, speed: float) -> None:
        """Change how many of the device's seconds pass in one of the wall's; 0: time stands."""
        now = self.now_s()
        with self._lock:
            self._at_s, self._since, self._speed = now, time.monotonic(), speed
