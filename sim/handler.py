"""The simulated liquid handler: it really moves volumes between wells, and keeps its own log of what moved."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from drivers.ports import RunLoad
from drivers.proven import proven_file, proven_with
from nextplate.errors import DataError, NeedsOperator
from protocols.model import DeckItem, DeckLoad, DeckRole, Protocol
from protocols.sentences import said
from protocols.steps import Dispense, Incubate, Mix, PlateMove, Read, Seal, Step, Transfer, Wash, read_step, step_body
from sim.bulk import add_reagent, to_waste, wash
from sim.device import Plan, SimDevice, Work
from sim.labware import is_tip_rack
from sim.liquids import Liquid, aspirate, dispense, labware_of
from sim.plates import plate_at
from sim.seeds import chance, generator
from sim.settings import FaultKind
from sim.world import from_ms

DECK_CHECK_S = 20.0
TRANSFER_S = 9.0
"""Pick up a tip, draw, dispense, mix, drop the tip: one channel of a Flex."""
SHOT_S = 1.0
"""Droplets from one well into another, by sound; the plates move in between."""
CYCLE_S = 2.0
"""One cycle of mixing."""
BULK_S = 60.0
"""A dispenser or washer over a plate, per cycle."""


class SimHandler(SimDevice):
    """Takes RunLoad. Step 0 looks at the deck, every further step is one of the load's.

    Beside ``transfers`` its result has ``steps``, the numbers of other steps done, where a load has any, and
    ``drawn`` where a motor stalls over a well and the handler knows that its tip is full; ``begun`` is 0 where the
    deck is not as the load needs it.
    """

    name = "handler"

    def _possible_faults(self) -> tuple[FaultKind, ...]:
        return (FaultKind.REPLY_LOST, FaultKind.CRASH)

    def _plan(self, command: Any) -> Plan:
        if not isinstance(command, RunLoad):
            raise self._wrong_command(command)
        load = self._read_load(command)
        proven_file(command)
        proven_with(command)
        first: dict[str, Any] = {"transfers": []}
        if len(load.transfers) < len(load.steps):
            first["steps"] = []
        body = {"deck": [asdict(item) for item in load.deck], "steps": [step_body(step) for step in load.steps]}
        return Plan({"load": body}, [DECK_CHECK_S, *map(_seconds, load.steps)], first)

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
                return _taken(load)
        raise NeedsOperator(f"protocol {path} has no load {command.load}; it has {len(protocol.loads)}")

    def _step(self, work: Work, now_ms: int) -> None:
        load, n = work.body["load"], work.n_done
        steps = load.get("steps") or load.get("transfers", [])  # a world of before there were other steps
        if n == 0:
            self._check_deck(work, [DeckItem(**{**item, "role": DeckRole(item["role"])}) for item in load["deck"]])
            return
        step = read_step(steps[n - 1], "step")
        if FaultKind.CRASH in work.faults and n > len(steps) // 2:
            self._crash(work, step, now_ms)
        elif isinstance(step, Transfer):
            self._transfer(work, step, now_ms, is_kept=[step.tip_rack, step.tip_well] in _tips_on(steps[:n]))
        else:
            self._other(work, step, now_ms)

    def _other(self, work: Work, step: Step, now_ms: int) -> None:
        if isinstance(step, Mix):
            self._use_tip(step.tip_rack, step.tip_well)
            work.result["steps"].append(step.step_id)
        elif isinstance(step, Dispense | Wash | Incubate):
            if isinstance(step, Dispense):
                add_reagent(self._world, step, now_ms)
            elif isinstance(step, Wash):
                wash(self._world, step, now_ms)
            work.result["steps"].append(step.step_id)

    def _crash(self, work: Work, step: Step, now_ms: int) -> None:
        """Stop in the midst of a step, at a moment drawn by chance."""
        work.fail("the handler stopped: motor stall on the Z axis; clear the deck before anything else")
        rng = generator(self._world.settings.seed, "moment", work.key)
        match step:
            case Transfer():
                self._stop_transfer(work, step, now_ms, int(rng.integers(4)))
            case Mix():
                self._stop_mix(step, int(rng.integers(4)))
            case Dispense():
                add_reagent(self._world, step, now_ms, float(rng.random()))
            case Wash():
                wash(self._world, step, now_ms, float(rng.random()))

    def _stop_transfer(self, work: Work, step: Transfer, now_ms: int, moment: int) -> None:
        """Stop before a transfer, with the tip on, with the tip full, or with the liquid given and not yet told."""
        if moment == 0 or self._well_problem(step):
            return
        self._use_tip(step.tip_rack, step.tip_well)
        if moment == 1:
            return
        wanted_nl = self._imprecise(work.key, step)
        liquid = aspirate(self._world, step.source_plate, step.source_well, wanted_nl)
        moved_nl, note = liquid.volume_nl, "stopped"
        if moment == 2:
            to_waste(self._world, liquid)
            moved_nl, note = 0, "stopped with a full tip"
            if self._world.settings.has_pressure_sensor:
                # A well that gave less gave air, which the sensor notices.
                drawn_nl = step.volume_nl if liquid.volume_nl >= wanted_nl else min(liquid.volume_nl, step.volume_nl)
                work.result["drawn"] = [[step.transfer_id, drawn_nl]]
        elif moved_nl:
            dispense(self._world, step.destination_plate, step.destination_well, liquid, now_ms)
        self._log(work.key, step, now_ms, moved_nl, 0, note)

    def _stop_mix(self, step: Mix, moment: int) -> None:
        """Stop before a mix, with the tip on, with the tip full (that liquid goes with it), or at the end."""
        if moment:
            self._use_tip(step.tip_rack, step.tip_well)
        if moment == 2:
            to_waste(self._world, aspirate(self._world, step.plate, step.well, step.volume_nl))

    def _check_deck(self, work: Work, deck: list[DeckItem]) -> None:
        problems = [problem for item in deck if (problem := self._deck_problem(item))]
        if problems:
            work.fail("; ".join(problems) + "; nothing was pipetted")
            work.result["begun"] = 0

    def _deck_problem(self, item: DeckItem) -> str:
        standing = plate_at(self._world, f"deck/{item.slot}")
        if standing != item.barcode:
            return f"deck slot {item.slot} should hold {item.barcode} but holds {standing or 'nothing'}"
        row = self._world.row("SELECT labware FROM plates WHERE barcode = ?", (standing,))
        labware = "" if row is None else str(row["labware"])
        if labware != item.labware:
            return f"{item.barcode} in slot {item.slot} is a {labware}, the protocol says {item.labware}"
        return ""

    def _transfer(self, work: Work, transfer: Transfer, now_ms: int, *, is_kept: bool) -> None:
        if problem := ("" if is_kept else self._tip_problem(transfer)) or self._well_problem(transfer):
            work.fail(f"transfer {transfer.transfer_id}: {problem}")
            return
        clog = self._clog(work, transfer)
        wanted_nl = 0 if clog else self._imprecise(work.key, transfer)
        self._use_tip(transfer.tip_rack, transfer.tip_well)
        liquid: Liquid = aspirate(self._world, transfer.source_plate, transfer.source_well, wanted_nl)
        moved_nl = liquid.volume_nl
        to_plate, to_well = transfer.destination_plate, transfer.destination_well
        spilled_nl = dispense(self._world, to_plate, to_well, liquid, now_ms) if moved_nl else 0
        has_air = not clog and moved_nl < wanted_nl
        note = clog or ("air drawn" if has_air else "overfilled" if spilled_nl else "")
        self._log(work.key, transfer, now_ms, moved_nl, spilled_nl, note)
        is_noticed = clog == FaultKind.CLOGGED_TIP or (has_air and self._world.settings.has_pressure_sensor)
        told_nl = min(moved_nl, transfer.volume_nl) if is_noticed else transfer.volume_nl
        work.result["transfers"].append([transfer.transfer_id, told_nl])

    def _use_tip(self, rack: str, well: str) -> None:
        if rack:  # sound needs none
            self._world.run("INSERT OR IGNORE INTO tips_used VALUES (?, ?)", (rack, well))

    def _tip_problem(self, transfer: Transfer) -> str:
        if not transfer.tip_rack:
            return (
                "" if self._shoots(transfer) else f"no tip is named, and {transfer.source_plate} is no plate for sound"
            )
        where = f"tip {transfer.tip_well} of rack {transfer.tip_rack}"
        row = self._world.row("SELECT place, labware FROM plates WHERE barcode = ?", (transfer.tip_rack,))
        if row is None or not is_tip_rack(row["labware"]) or not row["place"].startswith("deck/"):
            return f"{where} cannot be reached: the rack is not on the deck"
        sql = "SELECT 1 FROM tips_used WHERE rack = ? AND tip = ?"
        is_used = self._world.row(sql, (transfer.tip_rack, transfer.tip_well)) is not None
        return f"{where} is missing: it was used before" if is_used else ""

    def _shoots(self, transfer: Transfer) -> bool:
        """Tell whether a transfer without a tip is an acoustic dispenser's: from its one source to its one plate."""
        places = (("deck/source", transfer.source_plate), ("deck/destination", transfer.destination_plate))
        return all(plate_at(self._world, place) == barcode for place, barcode in places)

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


def _taken(load: DeckLoad) -> DeckLoad:
    """Return a load that the handler can carry out.

    Raises:
        NeedsOperator: it has a step of another device.
    """
    for step in load.steps:
        if isinstance(step, PlateMove | Seal | Read):
            raise NeedsOperator(f"the handler cannot do step {step.step_id} of load {load.index}: {said(step)}")
    return load


def _seconds(step: Step) -> float:
    match step:
        case Mix():
            return CYCLE_S * max(1, step.cycles)
        case Wash():
            return BULK_S * max(1, step.cycles)
        case Dispense():
            return BULK_S
        case Incubate():
            return float(step.wait_s)
        case Transfer() if not step.tip_rack:
            return SHOT_S
    return TRANSFER_S


def _tips_on(steps: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return the tips that are on when the last of some steps begins: those of the motion before it.

    A step that needs no tip, an incubation for one, leaves them on.
    """
    tipped = [step for step in steps if "tip_rack" in step]
    motions = [list(group) for _, group in groupby(enumerate(tipped), key=lambda n: n[1].get("stroke") or -n[0])]
    before = motions[-2] if len(motions) > 1 else []
    return [[step["tip_rack"], step["tip_well"]] for _, step in before]
