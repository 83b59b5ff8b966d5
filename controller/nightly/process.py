"""The night as a child process, from the keeper's side."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from controller.nightly.pulse import Pulse, PulseReader
from controller.nightly.told import rotate

_TRACE_S = 0.3
"""What faulthandler needs to write the threads down."""


class NightProcess:
    """``python -m controller.nightly.night LAB FD``: says pulses on FD, and ends when its standard input does."""

    def __init__(self, lab: Path) -> None:
        logs = lab / "logs" / "nightly"
        logs.mkdir(parents=True, exist_ok=True)
        rotate(logs / "night.log")
        mine, its = os.pipe()
        try:
            with (logs / "night.log").open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "controller.nightly.night", str(lab), str(its)],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    pass_fds=[its],
                    # A group of its own: Ctrl-C in a terminal is the keeper's, who then ends it with care.
                    start_new_session=True,
                )
        except BaseException:
            os.close(mine)
            raise
        finally:
            os.close(its)
        self._reader: PulseReader | None = PulseReader(mine)

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    def pulses(self) -> Sequence[Pulse]:
        """Return what it has said since, without waiting."""
        return self._reader.read() if self._reader else ()

    def code(self) -> int | None:
        """Return its exit code; None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Ask it to end after the present scan."""
        if self._process.poll() is None:
            self._process.terminate()

    def kill(self, *, with_traces: bool = False) -> None:
        """End it and its computing helpers now, if they still run.

        What drivers start in sessions of their own is no helper: a robot's tool is not cut off.
        """
        if with_traces and self._process.poll() is None:
            self._process.send_signal(signal.SIGUSR1)
            time.sleep(_TRACE_S)
        # The group outlives its leader while a helper runs; its number is not given away before.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        if self._reader:
            self._reader.close()
            self._reader = None
