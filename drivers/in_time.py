"""Files on a share that may hang: every look in a thread of its own, waited for a moment and then left behind.

The kernel does not let go of a call on a network folder whose server is away, so that whoever makes it in the
controller's own thread stops the night. One call at a time is under way; while it hangs, a command that was running
runs, and after ``HANG_S`` nobody knows. A command whose writing was given up is not written when the share comes back.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from drivers.ports import Report, Status
from nextplate.errors import Transient

SUBMIT_S, POLL_S, LOOKUP_S = 10.0, 2.0, 10.0
"""How long each verb waits for a share."""
HANG_S = 60.0
"""A share that has not answered for so long is told of."""


@dataclass(slots=True)
class _Call:
    """One look at the share, or one writing."""

    act: Callable[[], Any]
    began_s: float
    is_over: threading.Event = field(default_factory=threading.Event)
    is_given_up: bool = False
    value: Any = None
    trouble: BaseException | None = None


class InTime:
    """What a device's files say, in time."""

    def __init__(self, where: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._where, self._monotonic = where, monotonic
        self._free = threading.Lock()
        """Held while a call is under way, by whichever thread."""
        self._call: _Call | None = None
        self._here = threading.local()
        self._last: dict[str, Report] = {}

    def submit(self, key: str, act: Callable[[], None]) -> None:
        """Have a command written.

        Raises:
            Transient: the share hangs; whether it has the command, a lookup tells. And whatever ``act`` raises.
        """
        call, is_over = self._made(act, SUBMIT_S)
        if call is None:
            raise Transient(f"{self._hangs()}; command {key} was not handed over")
        if not is_over:
            raise Transient(f"{self._hangs()}; whether command {key} was handed over, nobody knows yet")
        self._last[key] = Report(Status.RUNNING)

    def report(self, key: str, act: Callable[[], Report], wait_s: float) -> Report:
        """Return what the files say, or what they said last where the share hangs; raises what ``act`` raises."""
        call, is_over = self._made(act, wait_s)
        if call is None or not is_over:
            return self._meanwhile(key)
        report: Report = call.value
        self._last[key] = report
        return report

    @property
    def is_wanted(self) -> bool:
        """Say, within a call, whether anybody still waits for what it writes."""
        call: _Call | None = getattr(self._here, "call", None)
        return call is None or not call.is_given_up

    def _made(self, act: Callable[[], Any], wait_s: float) -> tuple[_Call | None, bool]:
        """Begin a call, wait for it, and tell whether it has ended; None where another one hangs.

        Raises:
            BaseException: what the call raised.
        """
        hung_s = self._hung_s()
        if not self._free.acquire(timeout=0.0 if hung_s > wait_s else wait_s):
            return None, False
        call = self._call = _Call(act, self._monotonic())
        threading.Thread(target=self._run, args=(call,), daemon=True, name=f"files of {self._where}").start()
        if not call.is_over.wait(wait_s):
            call.is_given_up = True
            return call, False
        if call.trouble is not None:
            raise call.trouble
        return call, True

    def _run(self, call: _Call) -> None:
        self._here.call = call
        try:
            call.value = call.act()
        except BaseException as error:
            call.trouble = error
        finally:
            self._call = None
            self._free.release()
            call.is_over.set()

    def _meanwhile(self, key: str) -> Report:
        last = self._last.get(key)
        is_known = last is not None and last.status not in (Status.UNKNOWN, Status.NOT_FOUND)
        if last is not None and is_known and (last.status is not Status.RUNNING or self._hung_s() < HANG_S):
            return last
        return Report(Status.UNKNOWN, message=self._hangs())

    def _hung_s(self) -> float:
        call = self._call
        return 0.0 if call is None else self._monotonic() - call.began_s

    def _hangs(self) -> str:
        return f"{self._where} has not answered for {self._hung_s():.0f} s; is its server on, and the share mounted?"
