"""The simulated plate mover: a gripper that carries one plate at a time and looks before it grips."""

from dataclasses import asdict
from typing import Any

from drivers.ports import Move, MovePlates
from nextplate.errors import NeedsOperator
from sim.device import Plan, SimDevice, Work
from sim.plates import FLOOR, holds_many, label_blank, place_of, plate_at, set_place, why_not
from sim.seeds import chance
from sim.settings import FaultKind
from sim.world import World, from_ms

MOVE_S = 18.0


class SimMover(SimDevice):
    """Takes MovePlates; every step is one move."""

    def __init__(self, world: World, name: str = "mover") -> None:
        super().__init__(world)
        self.name = name

    def _plan(self, command: Any) -> Plan:
        if not isinstance(command, MovePlates):
            raise self._wrong_command(command)
        if not command.moves:
            raise NeedsOperator("the command moves no plate")
        moves = [asdict(move) for move in command.moves]
        return Plan({"moves": moves}, [MOVE_S] * len(moves), {"moved": []})

    def _step(self, work: Work, now_ms: int) -> None:
        move = Move(**work.body["moves"][work.n_done])
        if move.source == "stack/new":
            label_blank(self._world, move.barcode)
        if problem := why_not(self._world, move.barcode, move.source, move.target):
            self._look_at_target(work, move)
            work.fail(problem)
        elif self._strikes(FaultKind.GRIP_MISSED, work):
            self._log(work.key, move, now_ms, "grip missed")
            work.fail(f"the gripper missed plate {move.barcode}; it still stands at {move.source}, push it in place")
        elif self._strikes(FaultKind.PLATE_DROPPED, work):
            set_place(self._world, move.barcode, FLOOR)
            self._log(work.key, move, now_ms, "dropped")
            work.fail(
                f"the gripper lost plate {move.barcode} between {move.source} and {move.target}; look on the floor"
            )
        else:
            set_place(self._world, move.barcode, move.target)
            self._log(work.key, move, now_ms, "")
            work.result["moved"].append(move.barcode)

    def _look_at_target(self, work: Work, move: Move) -> None:
        """Tell of a plate that stands where this one was to be put."""
        standing = None if holds_many(move.target) else plate_at(self._world, move.target)
        if standing and standing != move.barcode and place_of(self._world, move.barcode) == move.source:
            work.result["occupied"] = [move.target, standing]

    def _strikes(self, kind: FaultKind, work: Work) -> bool:
        """Tell whether a fault hits this move; an injected one hits the first move."""
        settings = self._world.settings
        is_drawn = chance(settings.seed, kind, work.key, work.n_done) < settings.faults.rate(kind)
        return is_drawn or (kind in work.faults and work.n_done == 0)

    def _log(self, key: str, move: Move, now_ms: int, note: str) -> None:
        sql = "INSERT INTO mover_log(time, key, barcode, source, target, note) VALUES (?, ?, ?, ?, ?, ?)"
        self._world.run(sql, (from_ms(now_ms).isoformat(), key, move.barcode, move.source, move.target, note))
