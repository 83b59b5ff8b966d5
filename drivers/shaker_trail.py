"""How far the last shake came, in a file that outlives the process: a rotor may turn on when its controller is dead.

::

    {"run": "5d41...", "boot": "0c2f...", "sent_s": 1021.5, "seen_s": 1021.9, "stopping_s": null}

Times are of the machine's monotonic clock, which all processes share until it starts anew; ``boot`` tells that it did.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from drivers.key_files import write_whole
from nextplate.errors import NeedsOperator

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Return what changes when the machine is started anew; "" where it does not tell."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class Trail:
    """What certainly happened before a moment."""

    run: str
    """Of the plan."""
    boot: str
    sent_s: float
    """Just before the frame that starts the rotor."""
    seen_s: float | None = None
    """When it was first seen to turn; None: it was not, yet."""
    stopping_s: float | None = None
    """Just before the frame that stops it; None: none was sent, yet."""

    def elapsed_s(self, now_s: float, boot: str) -> float | None:
        """Return the time since the rotor was started; None when nobody can tell."""
        is_same_clock = bool(boot) and boot == self.boot and now_s >= self.sent_s
        return now_s - self.sent_s if is_same_clock else None


class TrailFile:
    """The file of one shaker."""

    def __init__(self, path: Path, boot: Callable[[], str] = boot_id) -> None:
        self.path, self.boot = path, boot

    def write(self, trail: Trail) -> None:
        """Write it.

        Raises:
            NeedsOperator: it cannot be written.
        """
        try:
            write_whole(self.path, json.dumps(asdict(trail)).encode())
        except OSError as error:
            raise NeedsOperator(f"{self.path} cannot be written: {error}") from error

    def read(self, run: str) -> Trail | None:
        """Return how far a run came; None when its rotor was never started.

        Raises:
            NeedsOperator: the file was damaged; names it.
        """
        try:
            body = json.loads(self.path.read_bytes())
            sent_s = _time(body, "sent_s")
            if sent_s is None:
                raise TypeError("sent_s is missing")
            trail = Trail(str(body["run"]), str(body["boot"]), sent_s, _time(body, "seen_s"), _time(body, "stopping_s"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise NeedsOperator(f"{self.path} cannot be read ({error!r}); look at the shaker") from error
        return trail if trail.run == run else None


def _time(body: dict[str, object], name: str) -> float | None:
    value = body[name]
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return None if value is None else float(value)
    raise TypeError(f"{name} = {value!r}")
