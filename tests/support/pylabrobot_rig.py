"""A backend of PyLabRobot that logs what it does and fails where it is told, and a deck for it."""

import asyncio
import time
from pathlib import Path
from typing import Any

from shaker_rig import PassingTime

from drivers.inventory import Inventory
from drivers.key_files import write_whole
from drivers.ports import Report, RunLoad, Status
from drivers.pylabrobot_handler import PlrHandler
from drivers.shaker_trail import TrailFile
from drivers.worker import WorkerDevice
from drivers.worker_memory import Memory
from protocols.model import DeckItem, DeckLoad, DeckRole, Protocol, Transfer
from sim.wire.time import EmulatedTime

N = 6


def finish(device: WorkerDevice, key: str = "k") -> Report:
    """Wait until a command has ended."""
    end = time.monotonic() + 60
    while (report := device.poll(key)).status is Status.RUNNING:
        assert time.monotonic() < end
        time.sleep(0.005)
    return report


class Failing:
    """What the machine did, and the operation at which it fails."""

    def __init__(self, at: str = "", how: str = "error") -> None:
        self.at, self.how, self.log = at, how, list[str]()

    def backend(self) -> Any:
        from pylabrobot.liquid_handling.backends import LiquidHandlerChatterboxBackend

        spy = self

        class Backend(LiquidHandlerChatterboxBackend):  # type: ignore[misc]
            async def setup(self) -> None:
                await spy.note("setup")

            async def pick_up_tips(self, ops: Any, use_channels: Any, **named: Any) -> None:
                await spy.note(f"tip {ops[0].resource.name[-2:]}")

            async def aspirate(self, ops: Any, use_channels: Any, **named: Any) -> None:
                await spy.note(f"draw {len([x for x in spy.log if x.startswith('draw')]) + 1}")

            async def dispense(self, ops: Any, use_channels: Any, **named: Any) -> None:
                await spy.note(f"give {len([x for x in spy.log if x.startswith('give')]) + 1}")

            async def drop_tips(self, ops: Any, use_channels: Any, **named: Any) -> None:
                await spy.note("drop")

        return Backend()

    async def note(self, what: str) -> None:
        self.log.append(what)
        if what != self.at:
            return
        if self.how == "hang":
            await asyncio.sleep(60)
        raise RuntimeError("firmware error 99")


class Held(Failing):
    """A machine that stops in the midst of an operation until it is let go on; at first, of any."""

    def __init__(self) -> None:
        super().__init__()
        self._is_held, self._at = True, ""

    def hold(self, at: str = "") -> None:
        """Stop at the next operation, or only at this one; where that was reached already, nothing changes."""
        if at not in self.log:
            self._is_held, self._at = not at, at

    def go(self) -> None:
        self._is_held, self._at = False, ""

    async def note(self, what: str) -> None:
        self.log.append(what)
        self._is_held = self._is_held or what == self._at
        while self._is_held:
            await asyncio.sleep(0.002)


def write_deck(folder: Path) -> Path:
    from pylabrobot.resources import Coordinate, Deck, Plate, TipRack, TipSpot, Trash, Well, create_ordered_items_2d
    from pylabrobot.resources.tip import Tip

    deck = Deck(size_x=1000, size_y=500, size_z=500)

    def plate(name: str) -> Any:
        wells = create_ordered_items_2d(
            Well, num_items_x=12, num_items_y=8, dx=10, dy=7, dz=1, item_dx=9, item_dy=9, size_x=7, size_y=7,
            size_z=10, max_volume=300,
        )  # fmt: skip
        return Plate(name, 127, 86, 15, ordered_items=wells)

    def tip(name: str = "t") -> Any:
        return Tip(name=name, has_filter=False, total_tip_length=50, maximal_volume=50, fitting_depth=8)

    spots = create_ordered_items_2d(
        TipSpot, num_items_x=12, num_items_y=8, dx=10, dy=7, dz=1, item_dx=9, item_dy=9, size_x=7, size_y=7,
        make_tip=tip,
    )  # fmt: skip
    for n, item in enumerate((plate("1"), plate("2"), TipRack("3", 127, 86, 15, ordered_items=spots))):
        deck.assign_child_resource(item, location=Coordinate(n * 150, 0, 0))
    deck.assign_child_resource(Trash("trash", 100, 100, 100), location=Coordinate(500, 0, 0))
    path = folder / "deck.json"
    deck.save(str(path))
    return path


def order(folder: Path, volume_nl: int = 5_000, tip: str = "", target: str = "P1") -> RunLoad:
    deck = (
        DeckItem("1", "SRC", "x", DeckRole.SOURCE),
        DeckItem("2", "P1", "x", DeckRole.DESTINATION),
        DeckItem("3", "TIPS", "x", DeckRole.TIPS),
    )
    moved = tuple(
        Transfer(i, "SRC", "A01", target, f"B{i:02d}", volume_nl, "TIPS", tip or f"C{i:02d}", "C1")
        for i in range(1, N + 1)
    )
    protocol = Protocol("test", "flex", "x", "left", (DeckLoad(0, deck, moved),))
    path = folder / "protocol.json"
    write_whole(path, protocol.to_json().encode())  # a driver may be reading it
    return RunLoad(path, None, protocol.digest, 0)


def opened(folder: Path, machine: Failing, transfer_s: float = 20.0, **more: Any) -> WorkerDevice:
    """Open the bridge on a machine, as a process does."""
    memory = Memory(folder / "memory")
    memory.prepare()
    deck = folder / "deck.json" if (folder / "deck.json").exists() else write_deck(folder)
    handler = PlrHandler(machine.backend, deck, memory.place / "loads", transfer_s=transfer_s)
    return WorkerDevice(handler, memory, **more)


# its incubators and shakers: one motion, one order to start

RACKS = ("cytomat_rack_69mm_7", "cytomat_rack_95mm_5")
N_SLOTS = 12


class HeldIncubator(Held):
    """An incubator that stops in the midst of a motion until it is let go on."""

    def backend(self) -> Any:
        from pylabrobot.storage import IncubatorChatterboxBackend

        spy = self

        class Backend(IncubatorChatterboxBackend):  # type: ignore[misc]
            async def setup(self) -> None:
                await spy.note("setup")

            async def fetch_plate_to_loading_tray(self, plate: Any, **named: Any) -> None:
                await spy.note("move")

            async def take_in_plate(self, plate: Any, site: Any, **named: Any) -> None:
                await spy.note("move")

        return Backend()


class HeldShaker(Held):
    """A shaker that stops in the midst of an order until it is let go on; its time passes while the driver waits."""

    def __init__(self) -> None:
        super().__init__()
        self.time = EmulatedTime(0.0)

    def backend(self) -> Any:
        from pylabrobot.shaking import ShakerChatterboxBackend

        spy = self

        class Backend(ShakerChatterboxBackend):  # type: ignore[misc]
            async def setup(self) -> None:
                await spy.note("setup")

            async def start_shaking(self, speed: float) -> None:
                await spy.note("start")

            async def stop_shaking(self) -> None:
                await spy.note("stop")

        return Backend()


def opened_incubator(folder: Path, machine: HeldIncubator, **more: Any) -> WorkerDevice:
    """Open the bridge to an incubator, as a process does; a new one has plate P9 in its first slot."""
    from drivers.pylabrobot_incubator import PlrIncubator, racks_of

    memory, inventory = Memory(folder / "memory"), Inventory(folder / "memory" / "inventory.json", N_SLOTS)
    memory.prepare()
    if not inventory.path.exists():
        inventory.prepare()
        inventory.confirm(1, "P9")
    incubator = PlrIncubator(machine.backend, lambda: racks_of(RACKS), inventory, memory.place / "motions")
    return WorkerDevice(incubator, memory, **more)


def opened_shaker(folder: Path, machine: HeldShaker, **more: Any) -> WorkerDevice:
    """Open the bridge to a shaker, as a process does."""
    from drivers.pylabrobot_shaker import PlrShaker

    memory = Memory(folder / "memory")
    memory.prepare()
    trail = TrailFile(memory.place / "rotor.json", lambda: "one")
    shaker = PlrShaker(machine.backend, trail, memory.place / "shakes", fastest_rpm=3000)
    device = WorkerDevice(shaker, memory, monotonic=machine.time.now_s, **more)
    device._stop = PassingTime(machine.time)
    return device
