"""The clock of a real lab."""

import threading
from datetime import UTC, datetime


class WallClock:
    """Real time, UTC; waiting ends early when interrupt is called."""

    is_virtual = False

    def __init__(self) -> None:
        self._interrupted = threading.Event()

    def now(self) -> datetime:
        """Return the time to the millisecond."""
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def wait_until(self, when: datetime) -> None:
        """Sleep until ``when`` or until interrupted."""
        self._interrupted.wait(max(0.0, (when - datetime.now(UTC)).total_seconds()))

    def interrupt(self) -> None:
        """End every present and future wait."""
        self._interrupted.set()
