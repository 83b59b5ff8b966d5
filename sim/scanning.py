"""The simulated barcode reader: it reads the label of the plate that stands in front of it."""

from typing import Any

from drivers.ports import ReadBarcode
from sim.device import Plan, SimDevice, Work
from sim.plates import plate_at
from sim.settings import FaultKind
from sim.world import World, from_ms

PLACE = "reader"
READ_S = 1.5
_LOG = (
    "CREATE TABLE IF NOT EXISTS barcode_reader_log(seq INTEGER PRIMARY KEY, time TEXT, key TEXT, barcode TEXT, "
    "note TEXT)"
)


class SimBarcodeReader(SimDevice):
    """Takes ReadBarcode; one step."""

    name = "barcode_reader"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        # A world made by an earlier version has no such device: it is new in it.
        if world.row("SELECT 1 FROM sqlite_master WHERE name = 'barcode_reader_log'") is None:
            with world.transaction():
                world.run(_LOG)

    def _possible_faults(self) -> tuple[FaultKind, ...]:
        return (FaultKind.REPLY_LOST, FaultKind.CRASH, FaultKind.STALL)

    def _plan(self, command: Any) -> Plan:
        if not isinstance(command, ReadBarcode):
            raise self._wrong_command(command)
        return Plan({"expected": command.expected}, [READ_S], {})

    def _step(self, work: Work, now_ms: int) -> None:
        expected, standing = work.body["expected"], plate_at(self._world, PLACE)
        read = None if FaultKind.CRASH in work.faults else standing
        self._log(work, read, "laser off" if standing and read is None else "", now_ms)
        if read is None:
            why = f"no plate stands at place {PLACE}" if standing is None else "the laser is off"
            work.fail(f"nothing was read: {why}")
            return
        work.result["barcode"] = read
        if expected not in ("", read):
            work.fail(f"the reader read {read}, not {expected}; another plate stands in front of it")

    def _log(self, work: Work, read: str | None, note: str, now_ms: int) -> None:
        sql = "INSERT INTO barcode_reader_log(time, key, barcode, note) VALUES (?, ?, ?, ?)"
        self._world.run(sql, (from_ms(now_ms).isoformat(), work.key, read or "", note))
