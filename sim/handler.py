"""The simulated liquid handler: it really moves volumes between wells, and keeps its own log of what moved."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from drivers.ports import RunLoad
from drivers.proven import proven_file
from nextplate.errors import DataError, NeedsOperator
from protocols.model import DeckItem, DeckLoad, DeckRole, Protocol, Transfer
from sim.device import Plan, SimDevice, Work
from sim.labware import is_tip_rack
from sim.liquids import aspirate, dispense, labware_of
from sim.plates import plate_at
from sim.seeds import chance, generator
from sim.settings import FaultKind
from sim.world import from_ms

DECK_CHECK_S = 20.0
TRANSFER_S = 9.0
"""Pick up a tip, draw, dispense, mix, drop the tip: one channel of a Flex."""


class SimHandler(SimDevice):
    """Takes RunLoad. Step 0 looks at the deck, every further step is one transfer."""

    name = "handler"

    def _possible_faults(self) -> tuple[FaultKind, ...]:
        return (FaultKind.REPLY_LOST, FaultKind.CRASH)

    def _plan(self, command: Any) -> Plan:
        if not isinstance(command, RunLoad):
            raise self._wrong_command(command)
        load = self._read_load(command)
        proven_file(command)
        return Plan({"load": asdict(load)}, [DECK_CHECK_S] + [TRANSFER_S] * len(load.transfers), {"transfers": []})

    def _read_load(self, command: RunLoad) -> DeckLoad:
        path = Path(command.protocol_path)
        path = path if path.is_absolute() else self._world.lab_folder / path
        try:
            protocol = Protocol.from_json(path.read_text(encoding="utf-8"))
        except (OSError, DataError) as error:
            raise NeedsOperator(f"the handler cannot read protocol {path}: {error}") from error
        if protocol.digest != command.protocol_digest:
            raise NeedsOperator(f"protocol {path} is not the one approved: its digest is {protocol.digest[:12]}, not "
                                f"{command.protocol_digest[:12]}; compile and approve it again")  # fmt: skip
        for load in protocol.loads:
            if load.index == command.load:
                return load
        raise NeedsOperator(f"protocol {path} has no load {command.load}; it has {len(protocol.loads)}")

    def _step(self, work: Work, now_ms: int) -> None:
        load = work.body["load"]
        if work.n_done == 0:
            self._check_deck(work, [DeckItem(**{**item, "role": DeckRole(item["role"])}) for item in load["deck"]])
        elif FaultKind.CRASH in work.faults and work.n_done > len(load["steps"]) // 2:
            work.fail("the handler stopped: motor stall on the Z axis; clear the deck before anything else")
        else:
            self._transfer(work, Transfer(**load["steps"][work.n_done - 1]), now_ms)

    def _check_deck(self, work: Work, deck: list[DeckItem]) -> None:
        problems = [problem for item in deck if (problem := self._deck_problem(item))]
        if problems:
            work.fail("; ".join(problems) + "; nothing was pipetted")

    def _deck_problem(self, item: DeckItem) -> str:
        standing = plate_at(self._world, f"deck/{item.slot}")
        if standing != item.barcode:
            return f"deck slot {item.slot} should hold {item.barcode} but holds {standing or 'nothing'}"
        row = self._world.row("SELECT labware FROM plates WHERE barcode = ?", (standing,))
        labware = "" if row is None else str(row["labware"])
        if labware != item.labware:
            return f"{item.barcode} in slot {item.slot} is a {labware}, the protocol says {item.labware}"
        return ""

    def _transfer(self, work: Work, transfer: Transfer, now_ms: int) -> None:
        if problem := self._tip_problem(transfer) or self._well_problem(transfer):
            work.fail(f"transfer {transfer.transfer_id}: {problem}")
            return
        clog = self._clog(work, transfer)
        wanted_nl = 0 if clog else self._imprecise(work.key, transfer)
        self._world.run("INSERT INTO tips_used VALUES (?, ?)", (transfer.tip_rack, transfer.tip_well))
        liquid = aspirate(self._world, transfer.source_plate, transfer.source_well, wanted_nl)
        moved_nl = liquid.volume_nl
        to_plate, to_well = transfer.destination_plate, transfer.destination_well
        spilled_nl = dispense(self._world, to_plate, to_well, liquid, now_ms) if moved_nl else 0
        has_air = not clog and moved_nl < wanted_nl
        note = clog or ("air drawn" if has_air else "overfilled" if spilled_nl else "")
        self._log(work.key, transfer, now_ms, moved_nl, spilled_nl, note)
        is_noticed = clog == FaultKind.CLOGGED_TIP or (has_air and self._world.settings.has_pressure_sensor)
        work.result["transfers"].append([transfer.transfer_id, moved_nl if is_noticed else transfer.volume_nl])

    def _tip_problem(self, transfer: Transfer) -> str:
        where = f"tip {transfer.tip_well} of rack {transfer.tip_rack}"
        row = self._world.row("SELECT place, labware FROM plates WHERE barcode = ?", (transfer.tip_rack,))
        if row is None or not is_tip_rack(row["labware"]) or not row["place"].startswith("deck/"):
            return f"{where} cannot be reached: the rack is not on the deck"
        sql = "SELECT 1 FROM tips_used WHERE rack = ? AND tip = ?"
        is_used = self._world.row(sql, (transfer.tip_rack, transfer.tip_well)) is not None
        return f"{where} is missing: it was used before" if is_used else ""

    def _well_problem(self, transfer: Transfer) -> str:
        for plate, well in (
            (transfer.source_plate, transfer.source_well),
            (transfer.destination_plate, transfer.destination_well),
        ):
            row = self._world.row("SELECT place FROM plates WHERE barcode = ?", (plate,))
            if row is None or not row["place"].startswith("deck/"):
                return f"plate {plate} is not on the deck"
            if not labware_of(self._world, plate).has_well(well):
                return f"plate {plate} has no well {well}"
        return ""

    def _clog(self, work: Work, transfer: Transfer) -> str:
        """Return the kind of clog that hits this transfer, '' for none; an injected one hits the first transfer."""
        settings = self._world.settings
        for kind in (FaultKind.CLOGGED_TIP, FaultKind.UNNOTICED_CLOG):
            is_drawn = chance(settings.seed, kind, work.key, transfer.transfer_id) < settings.faults.rate(kind)
            if is_drawn or (kind in work.faults and work.n_done == 1):
                return kind
        return ""

    def _imprecise(self, key: str, transfer: Transfer) -> int:
        settings = self._world.settings
        error = generator(settings.seed, "pipetting", key, transfer.transfer_id).normal(0.0, settings.pipetting_cv)
        return max(0, round(transfer.volume_nl * (1.0 + error)))

    def _log(self, key: str, transfer: Transfer, now_ms: int, moved_nl: int, spilled_nl: int, note: str) -> None:
        sql = (
            "INSERT INTO handler_log(time, key, transfer_id, source_plate, source_well, destination_plate, "
            "destination_well, asked_nl, moved_nl, spilled_nl, tip_rack, tip_well, note) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        t = transfer
        ends = (t.source_plate, t.source_well, t.destination_plate, t.destination_well)
        time = from_ms(now_ms).isoformat()
        row = (time, key, t.transfer_id, *ends, t.volume_nl, moved_nl, spilled_nl, t.tip_rack, t.tip_well, note)
        self._world.run(sql, row)
