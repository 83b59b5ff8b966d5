"""The simulated incubator: numbered slots behind one transfer station. Cells only respond well while inside."""

import json
from typing import Any

from drivers.ports import FetchPlate, StorePlate
from sim.device import Plan, SimDevice, Work
from sim.plates import place_of, plate_at, set_place, warm_ms
from sim.world import from_ms

HANDLE_S = 40.0
_CALM = {"temperature_c": 37.0, "co2_percent": 5.0, "humidity_percent": 95.0, "door_open": 0.0}


class SimIncubator(SimDevice):
    """Takes StorePlate and FetchPlate; one step each."""

    name = "incubator"

    def _plan(self, command: Any) -> Plan:
        if not isinstance(command, StorePlate | FetchPlate):
            raise self._wrong_command(command)
        action = "store" if isinstance(command, StorePlate) else "fetch"
        return Plan({"action": action, "barcode": command.barcode}, [HANDLE_S], {})

    def _step(self, work: Work, now_ms: int) -> None:
        act = self._store if work.body["action"] == "store" else self._fetch
        act(work, work.body["barcode"], now_ms)

    def _store(self, work: Work, barcode: str, now_ms: int) -> None:
        slot = self._free_slot()
        if plate_at(self._world, "incubator") != barcode:
            standing = plate_at(self._world, "incubator") or "no plate"
            work.fail(f"{standing} stands on the incubator's transfer station, not {barcode}")
        elif slot is None:
            work.fail(f"the incubator is full ({self._world.settings.incubator_slots} plates); {barcode} stays outside")
        else:
            set_place(self._world, barcode, f"incubator/{slot}")
            self._world.run("UPDATE plates SET warm_since_ms = ? WHERE barcode = ?", (now_ms, barcode))
            self._log(work.key, barcode, "store", slot, now_ms)
            work.result["slot"] = slot

    def _fetch(self, work: Work, barcode: str, now_ms: int) -> None:
        place = place_of(self._world, barcode) or "nowhere in the lab"
        standing = plate_at(self._world, "incubator")
        if not place.startswith("incubator/"):
            work.fail(f"plate {barcode} is not in the incubator but at {place}")
        elif standing:
            work.fail(f"the incubator's transfer station is occupied by {standing}; {barcode} stays inside")
        else:
            warm = warm_ms(self._world, barcode, now_ms)
            sql = "UPDATE plates SET warm_ms = ?, warm_since_ms = NULL, place = 'incubator' WHERE barcode = ?"
            self._world.run(sql, (warm, barcode))
            self._log(work.key, barcode, "fetch", place.split("/")[1], now_ms)

    def readings(self) -> dict[str, float]:
        """Return what its sensors say (drivers.ports.Sensing); `SimLab.disturb` makes them say something else."""
        now_ms = self._world.now_ms()
        said = dict(_CALM)
        for name, value, from_ms_, until_ms in json.loads(self._world.meta("disturbances") or "[]"):
            if from_ms_ <= now_ms < until_ms:
                said[name] = value
        return said

    def _free_slot(self) -> str | None:
        taken = {row["place"] for row in self._world.rows("SELECT place FROM plates WHERE place LIKE 'incubator/%'")}
        slots = (f"{number:02d}" for number in range(1, self._world.settings.incubator_slots + 1))
        return next((slot for slot in slots if f"incubator/{slot}" not in taken), None)

    def _log(self, key: str, barcode: str, action: str, slot: str, now_ms: int) -> None:
        sql = "INSERT INTO incubator_log(time, key, barcode, action, slot) VALUES (?, ?, ?, ?, ?)"
        self._world.run(sql, (from_ms(now_ms).isoformat(), key, barcode, action, slot))
