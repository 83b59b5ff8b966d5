"""The simulated lab as the composition root sees it; the only module of ``sim`` that others import.

::

    lab = SimLab.open(folder, SimSettings(seed=7))
    lab.deliver(source_wells)
    lab.deliver_tips({"TIPS-001": "opentrons_flex_96_tiprack_50ul"})
    lab.deliver_assay_plates(20)
    lab.mover.submit(MovePlates(...), "key-1")
    lab.clock.wait_until(lab.mover.poll("key-1").ready_at)

The lab lives in ``<folder>/sim/world.db`` and goes on existing when the process dies: open it again.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from nextplate.errors import DataError
from sim.clock import SimClock
from sim.delivery import SourceWell, deliver, deliver_assay_plates, deliver_spares, deliver_tips
from sim.device import SimDevice
from sim.handler import SimHandler
from sim.imager import SimImager
from sim.incubator import SimIncubator
from sim.mover import SimMover
from sim.plates import add_plate, holds_many, is_place, place_of, plate_at, set_place
from sim.referee import Confusion, Referee, RefereeReport, RoundCurve
from sim.scanning import SimBarcodeReader
from sim.settings import FaultKind, FaultSettings, SimSettings
from sim.shaking import SimShaker
from sim.vendor import write_wehi_library
from sim.washing import SimDispenser, SimWasher
from sim.world import World, to_ms

__all__ = [
    "Confusion",
    "FaultKind",
    "FaultSettings",
    "Referee",
    "RefereeReport",
    "RoundCurve",
    "SimLab",
    "SimSettings",
    "SourceWell",
    "write_wehi_library",
]


class SimLab:
    """Devices, a clock and a referee on one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.handler = SimHandler(world)
        self.mover = SimMover(world)
        self.incubator = SimIncubator(world)
        self.imager = SimImager(world)
        self._devices: dict[str, SimDevice] = {
            device.name: device for device in (self.handler, self.mover, self.incubator, self.imager)
        }
        self.shaker, self.barcode_reader = SimShaker(world), SimBarcodeReader(world)
        self.washer, self.dispenser = SimWasher(world), SimDispenser(world)
        self.spare_mover = SimMover(world, "spare_mover")
        more = (self.spare_mover, self.shaker, self.barcode_reader, self.washer, self.dispenser)
        self._devices |= {device.name: device for device in more}
        self.clock = SimClock(world, self._devices)
        self.referee = Referee(world)

    @classmethod
    def open(cls, lab_folder: Path, settings: SimSettings) -> "SimLab":
        """Open the lab in a folder, or make it; what a killed process was waiting for has then happened.

        Raises:
            DataError: the world was made with another seed or by another version.
        """
        lab = cls(World(Path(lab_folder), settings))
        lab.clock.catch_up()
        return lab

    def close(self) -> None:
        """Let go of the files; the lab stays on disk."""
        self._world.close()

    def __enter__(self) -> "SimLab":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def deliver(self, source_wells: Sequence[SourceWell]) -> None:
        """Put source plates into the hotel (see sim.delivery.deliver); delivering again changes nothing."""
        deliver(self._world, source_wells)

    def deliver_tips(self, racks: Mapping[str, str]) -> None:
        """Put full tip racks, barcode to load name, at ``tips/<barcode>``; delivering again changes nothing."""
        deliver_tips(self._world, racks)

    def deliver_spares(self, plates: Mapping[str, str]) -> None:
        """Put empty plates for dilutions, barcode to load name, into the hotel; delivering again changes nothing."""
        deliver_spares(self._world, plates)

    def deliver_assay_plates(self, plates: int | Iterable[str]) -> None:
        """Fill ``stack/new`` with named plates, or up to a count of unlabelled ones; cells stand in every well."""
        deliver_assay_plates(self._world, plates)

    def log(self, device: str) -> tuple[dict[str, Any], ...]:
        """Return a device's own log: what physically happened, in order."""
        self._known(device)
        return tuple(dict(row) for row in self._world.rows(f"SELECT * FROM {device}_log ORDER BY seq"))  # noqa: S608

    def where(self, barcode: str) -> str | None:
        """Return where a plate really stands, None when no such plate exists."""
        return place_of(self._world, barcode)

    def break_device(self, device: str, kind: FaultKind) -> None:
        """Let the next command of a device suffer a fault; OFFLINE lasts until repair_device."""
        self._known(device)
        with self._world.transaction():
            self._world.run("INSERT INTO injected(device, kind) VALUES (?, ?)", (device, FaultKind(kind).value))

    def repair_device(self, device: str) -> None:
        """Take back every injected fault of a device that has not struck yet."""
        self._known(device)
        with self._world.transaction():
            self._world.run("DELETE FROM injected WHERE device = ?", (device,))

    def disturb(self, name: str, value: float, start: datetime, end: datetime) -> None:
        """Let a sensor of the incubator (temperature_c, co2_percent, door_open ...) say a value for a while."""
        with self._world.transaction():
            known = json.loads(self._world.meta("disturbances") or "[]")
            self._world.set_meta("disturbances", json.dumps([*known, [name, value, to_ms(start), to_ms(end)]]))

    def leave_plate(self, barcode: str, place: str) -> None:
        """Let somebody leave a plate that nobody registered at a place."""
        with self._world.transaction():
            add_plate(self._world, barcode, "stranger", self._world.settings.assay_labware, place)

    def place_by_hand(self, barcode: str, place: str) -> None:
        """Put a plate somewhere as an operator would after a fault.

        Raises:
            DataError: no such plate or place, or the place is taken.
        """
        with self._world.transaction():
            standing = plate_at(self._world, place)
            if place_of(self._world, barcode) is None or not is_place(place, barcode):
                raise DataError(f"plate {barcode} cannot be put at {place}: no such plate, or no such place for it")
            if standing not in (None, barcode) and not holds_many(place):
                raise DataError(f"{place} is taken by {standing}; put {standing} away first")
            set_place(self._world, barcode, place)

    def _known(self, device: str) -> None:
        if device not in self._devices:
            raise DataError(f"the simulated lab has no device {device!r}; it has {', '.join(self._devices)}")
