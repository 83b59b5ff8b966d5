"""Virtual time: it stands still until somebody waits, and then plays everything that is due."""

from collections.abc import Mapping
from datetime import datetime

from sim.device import SimDevice
from sim.world import World, from_ms, to_ms


class SimClock:
    """The world's clock (drivers.ports.Clock).

    ``wait_until`` first writes down how far it will go. A process killed in the middle finds, when it opens the
    world again, that the lab went on without it to that very moment: what was due has happened, once.
    """

    is_virtual: bool = True

    def __init__(self, world: World, devices: Mapping[str, SimDevice]) -> None:
        self._world = world
        self._devices = devices

    def now(self) -> datetime:
        """Return the world's time (UTC)."""
        return from_ms(self._world.now_ms())

    def wait_until(self, when: datetime) -> None:
        """Play every step due until ``when``, in order of time; return at once when it has passed."""
        target_ms = to_ms(when)
        if target_ms <= self._world.now_ms():
            return
        with self._world.transaction():
            self._world.set_meta("target_ms", target_ms)
        self._play(target_ms)

    def catch_up(self) -> None:
        """Play what a killed process was waiting for."""
        target_ms = int(self._world.meta("target_ms") or 0)
        if target_ms > self._world.now_ms():
            self._play(target_ms)

    def _play(self, target_ms: int) -> None:
        sql = "SELECT * FROM commands WHERE status = 'running' ORDER BY next_ms, seq LIMIT 2"
        while True:
            running = self._world.rows(sql)
            if not running or running[0]["next_ms"] > target_ms:
                break
            # never run ahead of another device: they meet at the plates
            limit_ms = max(running[0]["next_ms"], min([target_ms, *(row["next_ms"] - 1 for row in running[1:])]))
            self._devices[running[0]["device"]].play(running[0], limit_ms)
        with self._world.transaction():
            self._world.set_meta("now_ms", target_ms)
