"""How often and how soon a night is started again; pure."""

from collections.abc import Sequence
from dataclasses import dataclass

_HOUR_S = 3600.0
_LONGEST_S = 300.0


@dataclass(frozen=True, slots=True)
class Patience:
    """The service's limits; see controller.settings.nightly."""

    hang_s: float = 300.0
    stop_s: float = 120.0
    backoff_s: float = 5.0
    max_restarts: int = 5

    def recent(self, restarts: Sequence[float], now_s: float) -> tuple[float, ...]:
        """Return the restarts that still count."""
        return tuple(t for t in restarts if now_s - t < _HOUR_S)

    def pause_s(self, n_before: int) -> float | None:
        """Return how long to wait before a restart after so many recent ones; None: no more."""
        if n_before >= self.max_restarts:
            return None
        return min(self.backoff_s * 2.0**n_before, max(_LONGEST_S, self.backoff_s))

    @property
    def busy_s(self) -> float:
        """How long to wait until a lab that is held, or lacks room, is tried again."""
        return min(max(2.0 * self.backoff_s, 1.0), _LONGEST_S)
