"""The simulated washer and dispenser: plate stations that empty and fill the wells of the plate that stands on them.

A program's name says what it does, as nothing but the device needs to know: ``wash-3x80ul`` or ``wash-3x80ul-rest5ul``
(empty every well down to the rest, fill it with buffer, three times over, and empty it at last), ``dispense-20ul``
(add so much to every well), ``dispense-20ul-fix`` (of a fixative: what the cells show stays as it is then). Each
device has a bottle and the washer a waste, which run dry and run full.
"""

import re
from typing import Any

from drivers.ports import DispensePlate, WashPlate
from nextplate.errors import DataError, NeedsOperator
from sim.biology import fix
from sim.bulk import suck_off
from sim.device import Plan, SimDevice, Work
from sim.labware import is_tip_rack
from sim.liquids import Liquid, dispense, labware_of, read_well
from sim.plates import plate_at
from sim.settings import FaultKind
from sim.world import World, from_ms

LOOK_S = 5.0
CYCLE_S = 40.0
BOTTLE_NL = 2_000_000_000
WASTE_NL = 4_000_000_000
"""The waste bottle holds so much."""
REST_NL = 5_000
FIXES = "-fix"
"""Ends the name of a program that pours a fixative."""
_LOG = (
    "CREATE TABLE IF NOT EXISTS {}_log(seq INTEGER PRIMARY KEY, time TEXT, key TEXT, barcode TEXT, action TEXT, "
    "wells INTEGER, volume_nl INTEGER, note TEXT)"
)


class _WetStation(SimDevice):
    """What both share: a station, a bottle, a log of what happened to the wells."""

    takes: type
    grammar: re.Pattern[str]
    example: str

    def __init__(self, world: World) -> None:
        super().__init__(world)
        # A world made by an earlier version has no such devices: they are new in it.
        if world.row("SELECT 1 FROM sqlite_master WHERE name = ?", (f"{self.name}_log",)) is None:
            with world.transaction():
                world.run(_LOG.format(self.name))

    @property
    def bottle_nl(self) -> int:
        """Return what is left in the bottle."""
        left = self._world.meta(f"{self.name}_bottle_nl")
        return BOTTLE_NL if left is None else int(left)

    def refill(self, volume_nl: int = BOTTLE_NL) -> None:
        """Put a bottle with so much in it, as a person does."""
        with self._world.transaction():
            self._world.set_meta(f"{self.name}_bottle_nl", volume_nl)

    def _possible_faults(self) -> tuple[FaultKind, ...]:
        return (FaultKind.REPLY_LOST, FaultKind.CRASH, FaultKind.STALL)

    def _plan(self, command: Any) -> Plan:
        if not isinstance(command, self.takes):
            raise self._wrong_command(command)
        barcode, program = command.barcode, command.program  # type: ignore[attr-defined]
        found = self.grammar.fullmatch(program)
        if found is None:
            raise NeedsOperator(f"the {self.name} has no program {program!r}; a program is called like {self.example}")
        numbers = [int(text) if text else None for text in found.groups()]
        if 0 in numbers[:2]:
            raise NeedsOperator(f"the {self.name}'s program {program!r} would do nothing; give numbers above 0")
        body = {"barcode": barcode, "program": program, **self._amounts(numbers)}
        return Plan(body, [LOOK_S, *[CYCLE_S] * self._n_steps(body)], {"program": program})

    def _amounts(self, numbers: list[int | None]) -> dict[str, Any]:
        raise NotImplementedError

    def _n_steps(self, body: dict[str, Any]) -> int:
        raise NotImplementedError

    def _act(self, work: Work, n: int, now_ms: int) -> None:
        raise NotImplementedError

    def _step(self, work: Work, now_ms: int) -> None:
        barcode, n_steps = work.body["barcode"], self._n_steps(work.body)
        standing = plate_at(self._world, self.name)
        if standing != barcode:
            work.fail(f"{standing or 'no plate'} stands on the {self.name}, not {barcode}; nothing moved")
        elif not _is_open(self._world, barcode):
            work.fail(f"{barcode} is no plate that the {self.name} can work on; nothing moved")
        elif FaultKind.CRASH in work.faults and work.n_done > n_steps // 2:
            work.result["steps_done"] = work.n_done - 1
            work.fail(f"the {self.name} stopped half-way: motor stall; look at plate {barcode}")
        elif work.n_done:
            self._act(work, work.n_done, now_ms)

    def _fill(self, work: Work, now_ms: int) -> None:
        """Fill well after well, until the bottle is dry."""
        barcode, volume_nl = work.body["barcode"], work.body["volume_nl"]
        left_nl, wells = self.bottle_nl, _wells(self._world, barcode)
        n_filled = min(len(wells), left_nl // volume_nl)
        for well in wells[:n_filled]:
            if work.body["program"].endswith(FIXES):
                fix(self._world, barcode, well, now_ms)
            dispense(self._world, barcode, well, Liquid(volume_nl), now_ms)
        self._world.set_meta(f"{self.name}_bottle_nl", left_nl - n_filled * volume_nl)
        is_dry = n_filled < len(wells)
        self._log(work, now_ms, "fill", n_filled, n_filled * volume_nl, "bottle empty" if is_dry else "")
        if is_dry:
            work.result["steps_done"] = work.n_done - 1
            work.fail(
                f"the {self.name}'s bottle ran dry after {n_filled} of {len(wells)} wells of {barcode}; "
                "fill it, and look at the plate"
            )

    def _log(self, work: Work, now_ms: int, action: str, n_wells: int, volume_nl: int, note: str = "") -> None:
        sql = (
            f"INSERT INTO {self.name}_log(time, key, barcode, action, wells, volume_nl, note) "  # noqa: S608
            "VALUES (?, ?, ?, ?, ?, ?, ?)"
        )
        time = from_ms(now_ms).isoformat()
        self._world.run(sql, (time, work.key, work.body["barcode"], action, n_wells, volume_nl, note))


class SimWasher(_WetStation):
    """Takes WashPlate; step 0 looks at the plate, every further one is a cycle, the last empties the wells."""

    name = "washer"
    takes = WashPlate
    grammar = re.compile(r"wash-([0-9]{1,2})x([0-9]{1,4})ul(?:-rest([0-9]{1,3})ul)?")
    example = "wash-3x80ul-rest5ul"

    @property
    def waste_nl(self) -> int:
        """Return what is in the waste bottle."""
        return int(self._world.meta("washer_waste_nl") or 0)

    def empty_waste(self) -> None:
        """Empty the waste bottle, as a person does."""
        self._set_waste(0)

    def fill_waste(self) -> None:
        """Let the waste bottle be full."""
        self._set_waste(WASTE_NL)

    def _set_waste(self, volume_nl: int) -> None:
        with self._world.transaction():
            self._world.set_meta("washer_waste_nl", volume_nl)

    def _amounts(self, numbers: list[int | None]) -> dict[str, Any]:
        cycles, volume_ul, rest_ul = numbers
        rest_nl = REST_NL if rest_ul is None else 1000 * rest_ul
        return {"cycles": cycles, "volume_nl": 1000 * (volume_ul or 0), "rest_nl": rest_nl}

    def _n_steps(self, body: dict[str, Any]) -> int:
        return int(body["cycles"]) + 1

    def _act(self, work: Work, n: int, now_ms: int) -> None:
        if self.waste_nl >= WASTE_NL:
            work.result["steps_done"] = n - 1
            work.fail(f"the washer's waste is full; empty it, and look at plate {work.body['barcode']}")
            return
        self._empty(work, now_ms)
        if n <= work.body["cycles"]:
            self._fill(work, now_ms)

    def _empty(self, work: Work, now_ms: int) -> None:
        barcode, rest_nl = work.body["barcode"], work.body["rest_nl"]
        wells = _wells(self._world, barcode)
        gone_nl = 0
        for well in wells:
            if (excess_nl := read_well(self._world, barcode, well).volume_nl - rest_nl) > 0:
                suck_off(self._world, barcode, well, rest_nl)
                gone_nl += excess_nl
        self._world.set_meta("washer_waste_nl", self.waste_nl + gone_nl)
        self._log(work, now_ms, "empty", len(wells), gone_nl)


class SimDispenser(_WetStation):
    """Takes DispensePlate; step 0 looks at the plate, step 1 fills the wells."""

    name = "dispenser"
    takes = DispensePlate
    grammar = re.compile(r"dispense-([0-9]{1,4})ul(?:-fix)?")
    example = "dispense-20ul or dispense-20ul-fix"

    def _amounts(self, numbers: list[int | None]) -> dict[str, Any]:
        return {"volume_nl": 1000 * (numbers[0] or 0)}

    def _n_steps(self, body: dict[str, Any]) -> int:  # noqa: ARG002
        return 1

    def _act(self, work: Work, n: int, now_ms: int) -> None:  # noqa: ARG002
        self._fill(work, now_ms)


def _wells(world: World, barcode: str) -> list[str]:
    return list(labware_of(world, barcode).plate_format.wells())


def _is_open(world: World, barcode: str) -> bool:
    """Say whether a plate has wells that a manifold reaches."""
    row = world.row("SELECT labware FROM plates WHERE barcode = ?", (barcode,))
    try:
        return row is not None and not is_tip_rack(row["labware"]) and bool(_wells(world, barcode))
    except DataError:
        return False
