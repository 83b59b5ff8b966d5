"""The clock of a real lab."""

import time
from datetime import UTC, datetime


class WallClock:
    """Real time, UTC."""

    is_virtual = False

    def now(self) -> datetime:
        """Return the time to the millisecond."""
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def wait_until(self, when: datetime) -> None:
        """Sleep until ``when``; return at once when it has passed."""
        time.sleep(max(0.0, (when - datetime.now(UTC)).total_seconds()))
