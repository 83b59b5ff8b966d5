"""APScheduler as an alarm clock: it rings at every start and knows nothing else."""

import threading
from types import TracebackType
from typing import Any, Self

from controller.nightly.starts import Starts


class Alarm:
    """Wakes a waiting thread at every start. What is due then is for Starts to say.

    Its jobs live in memory, in UTC, one instance each, missed rings joined into one: a ring too many or too late does
    no harm, as the service also looks by itself every second.
    """

    def __init__(self, starts: Starts, misfire_s: float) -> None:
        from apscheduler.jobstores.memory import MemoryJobStore
        from apscheduler.schedulers.background import BackgroundScheduler

        self._rung = threading.Event()
        defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": max(1, round(misfire_s))}
        self._scheduler: Any = BackgroundScheduler(
            jobstores={"default": MemoryJobStore()}, job_defaults=defaults, timezone="UTC", daemon=True
        )
        for start in starts.starts:
            self._scheduler.add_job(self._rung.set, starts.trigger(start))

    def __enter__(self) -> Self:
        self._scheduler.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._scheduler.shutdown(wait=False)

    def wait(self, timeout_s: float) -> None:
        """Return when it rings, when somebody wakes it, or when the time is over."""
        self._rung.wait(timeout_s)
        self._rung.clear()

    def wake(self) -> None:
        """Let ``wait`` return; may be called from a signal handler or another thread."""
        self._rung.set()

    def clock_was_set(self) -> None:
        """Let APScheduler look at the clock again: it sleeps by the old one."""
        self._scheduler.wakeup()
