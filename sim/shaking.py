"""The simulated orbital shaker: a plate station that shakes the plate that stands on it, and then stands still."""

from typing import Any

from drivers.ports import ShakePlate
from nextplate.errors import NeedsOperator
from sim.device import Plan, SimDevice, Work
from sim.plates import FLOOR, plate_at, set_place
from sim.settings import FaultKind
from sim.world import World, from_ms

CLAMP_S, STOP_S = 2.0, 3.0
SPEEDS_RPM = (200, 3000)
MAX_S = 86_400
_LOG = (
    "CREATE TABLE IF NOT EXISTS shaker_log(seq INTEGER PRIMARY KEY, time TEXT, key TEXT, barcode TEXT, "
    "speed_rpm INTEGER, shaken_s REAL, note TEXT)"
)


class SimShaker(SimDevice):
    """Takes ShakePlate. Step 0 clamps the plate, two steps shake one half each, the last stops and lets go."""

    name = "shaker"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        # A world made by an earlier version has no such device: it is new in it.
        if world.row("SELECT 1 FROM sqlite_master WHERE name = 'shaker_log'") is None:
            with world.transaction():
                world.run(_LOG)

    def _possible_faults(self) -> tuple[FaultKind, ...]:
        return (FaultKind.REPLY_LOST, FaultKind.CRASH, FaultKind.STALL)

    def _plan(self, command: Any) -> Plan:
        if not isinstance(command, ShakePlate):
            raise self._wrong_command(command)
        low, high = SPEEDS_RPM
        if not low <= command.speed_rpm <= high:
            raise NeedsOperator(f"the shaker turns at {low} to {high} rpm, not at {command.speed_rpm}; nothing moved")
        if not 1 <= command.duration_s <= MAX_S:
            raise NeedsOperator(f"the shaker shakes for 1 to {MAX_S} s, not for {command.duration_s}; nothing moved")
        body = {"barcode": command.barcode, "speed_rpm": command.speed_rpm, "duration_s": command.duration_s}
        half_s = command.duration_s / 2
        return Plan(body, [CLAMP_S, half_s, half_s, STOP_S], {"shaken_s": 0.0}, jitter=0.0)

    def _step(self, work: Work, now_ms: int) -> None:
        barcode, half_s = work.body["barcode"], work.body["duration_s"] / 2
        standing = plate_at(self._world, self.name)
        if standing != barcode:
            work.fail(f"{standing or 'no plate'} stands on the shaker, not {barcode}; nothing moved")
        elif work.n_done == 1 and FaultKind.PLATE_DROPPED in work.faults:
            set_place(self._world, barcode, FLOOR)
            self._shaken(work, half_s, now_ms, "thrown")
            work.fail(f"the shaker threw plate {barcode}; look on the floor")
        elif work.n_done == 1 and FaultKind.CRASH in work.faults:
            self._shaken(work, half_s, now_ms, "motor fault")
            work.fail(f"the shaker stopped half-way: motor fault; plate {barcode} still stands on it")
        elif work.n_done == 1:
            work.result["shaken_s"] = half_s
        elif work.n_done == 2:
            self._shaken(work, 2 * half_s, now_ms, "")

    def _shaken(self, work: Work, shaken_s: float, now_ms: int, note: str) -> None:
        work.result["shaken_s"] = shaken_s
        sql = "INSERT INTO shaker_log(time, key, barcode, speed_rpm, shaken_s, note) VALUES (?, ?, ?, ?, ?, ?)"
        time, body = from_ms(now_ms).isoformat(), work.body
        self._world.run(sql, (time, work.key, body["barcode"], body["speed_rpm"], shaken_s, note))
