"""The rigs of the bridges to other packages, for the suite of every port, where those packages are installed."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pylabrobot_rig
import shaker_rig
import sila_rig
from device_rig import Left, Port, Rig
from standing import FOLDERS, SOON_S, Folders, Standing, standing_rig

from drivers.ports import FetchPlate, ShakePlate, StorePlate
from drivers.worker import WorkerDevice

SETTLED_S = 2.0
"""How long a lookup waits where what a dead process left is told of at once."""


@dataclass(frozen=True)
class _Plr:
    """A kind of machine behind PyLabRobot: how it is made and opened, the act that counts, and the one to stop in."""

    spy: Callable[[], Any]
    opened: Callable[..., WorkerDevice]
    act: str
    first: str


_HANDLER = _Plr(pylabrobot_rig.Held, pylabrobot_rig.opened, "draw", "draw 1")
_INCUBATOR = _Plr(pylabrobot_rig.HeldIncubator, pylabrobot_rig.opened_incubator, "move", "move")
_SHAKER = _Plr(pylabrobot_rig.HeldShaker, pylabrobot_rig.opened_shaker, "start", "start")


class _Bench:
    """A machine behind PyLabRobot that outlives the processes that use it."""

    def __init__(self, make_spy: Callable[[], Any], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.spy = make_spy()

    def close(self) -> None:
        self.spy.go()


def _plr_port(kind: _Plr, labs: Folders[_Bench], folder: Path) -> Port:
    spy = labs.at(folder).spy
    device = kind.opened(folder, spy, lookup_wait_s=SETTLED_S)

    def acts() -> int:
        return sum(act.startswith(kind.act) for act in spy.log)

    set_out = partial(spy.hold, kind.first)
    return Standing(device, folder / "memory", acts, acts, spy.go, spy.hold, set_out).port()


def _plr(kind: _Plr, works: Any, fails: Any, keys: set[str]) -> Rig:
    labs = FOLDERS.add(partial(_Bench, kind.spy))
    return standing_rig(partial(_plr_port, kind, labs), works, fails, keys, "pylabrobot", Left.TOLD)


def _sila_port(labs: "Folders[sila_rig.Corner]", folder: Path) -> Port:
    corner = labs.at(folder)
    corner.hotel.hold()
    device = corner.open(SOON_S)
    return Standing(
        device, corner.memory, corner.n_effects, corner.is_noted, corner.hotel.release, corner.hotel.hold
    ).port()


def bridge_rigs() -> dict[str, Rig]:
    """Return the rigs of the bridges whose packages are installed."""
    rigs, order = {}, pylabrobot_rig.order
    if importlib.util.find_spec("pylabrobot"):
        rigs |= {
            "pylabrobot": _plr(_HANDLER, order, partial(order, volume_nl=60_000), {"transfers"}),
            "pylabrobot-store": _plr(_INCUBATOR, StorePlate("P1"), StorePlate("P9"), {"slot"}),
            "pylabrobot-fetch": _plr(_INCUBATOR, FetchPlate("P9"), FetchPlate("P2"), set()),
            "pylabrobot-shaker": _plr(_SHAKER, shaker_rig.SHAKE, ShakePlate("P1", 60_000, 5), {"shaken_s"}),
        }
    if importlib.util.find_spec("sila2"):
        labs = FOLDERS.add(sila_rig.Corner)
        rigs["sila2"] = standing_rig(
            partial(_sila_port, labs), StorePlate("P1"), StorePlate("STUCK"), {"slot"}, "sila2"
        )
    return rigs
