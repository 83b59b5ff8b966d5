"""PyLabRobot's coroutines from a worker's thread: one event loop, each operation with a deadline."""

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from drivers.deadline import Deadline, Stopped
from drivers.port_claim import Claim, claimed_line
from drivers.wire import taken
from nextplate.errors import NeedsOperator, SettingsError

_STOP_S = 10.0
_STEP_S = 0.1
"""How often a wait looks whether the process ends."""


def require_package() -> None:
    """See that PyLabRobot is installed.

    Raises:
        SettingsError: it is not; names the extra.
    """
    if importlib.util.find_spec("pylabrobot") is None:
        raise SettingsError("driver 'pylabrobot' needs the extra: pip install 'nextplate[pylabrobot]'")


def built(make: Callable[[], Any]) -> Any:
    """Make a machine of PyLabRobot; touches no hardware.

    Raises:
        NeedsOperator: the package cannot.
    """
    try:
        return make()
    except Exception as error:  # whatever an option makes the package raise
        raise NeedsOperator(f"PyLabRobot cannot make the machine: {error!r}") from error


class Loop:
    """The event loop of one device, made when it is first needed."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._claim = Claim(())
        """Of the port; PyLabRobot opens one whoever has it."""

    def run(self, act: Awaitable[Any], until: Deadline) -> Any:
        """Run an operation to its end, by its deadline.

        Raises:
            TimeoutError: it did not end.
            Stopped: the process ends.
        """
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(_bounded(act, until))

    def start(self, machine: Any, until: Deadline) -> None:
        """Start a machine of PyLabRobot.

        Raises:
            NeedsOperator: it does not start, or another program has its port.
        """
        if port := str(getattr(getattr(machine.backend, "io", None), "port", "")):
            self._claim = claimed_line(port, lambda: taken(port))
        try:
            self.run(machine.setup(), until)
        except Stopped:
            raise
        except (Exception, asyncio.CancelledError) as error:
            raise NeedsOperator(f"the machine does not start: {error!r}") from error

    def let_go(self, machine: Any, until: Deadline) -> None:
        """Let go of a machine's port, so that the next command, or another program, can take it."""
        # whatever it says, also that the process ends, what the command came to is settled
        try:
            with suppress(Exception, asyncio.CancelledError):
                self.run(machine.stop(), until.renewed(_STOP_S))
                return
            with suppress(
                Exception, asyncio.CancelledError
            ):  # one that did not start, or whose end failed, has its port
                self.run(machine.backend.stop(), until.renewed(_STOP_S))
        finally:
            self._claim.close()

    def close(self) -> None:
        """Let go of the loop; the machine stays as it stands."""
        if self._loop is not None and not self._loop.is_running():
            self._loop.close()


async def _bounded(act: Awaitable[Any], until: Deadline) -> Any:
    task = asyncio.ensure_future(act)
    try:
        while not (await asyncio.wait({task}, timeout=min(_STEP_S, until.left_s())))[0]:
            if until.is_over:
                raise TimeoutError("it did not end in time")
        return task.result()
    finally:
        task.cancel()
