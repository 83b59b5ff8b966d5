"""What an emulated OMERO holds: groups, screens, plates with wells and images, key-values, imports under way.

From the OME data model as the JSON API's documentation shows it. An import shows a plate first, then its images one
after another, each first without pixels: more than a real server shows of a running import, and no less.
"""

import io
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from sim.wire.time import EmulatedTime

Stack = npt.NDArray[Any]
"""Shape (t, c, z, y, x)."""
GROUP = 5
"""Id of the group that holds everything unless said otherwise."""


@dataclass(slots=True)
class StoredImage:
    """One image."""

    id: int
    name: str
    stack: Stack
    channels: tuple[str, ...]
    acquired_ms: int | None
    pixel_um: float | None = 0.325
    listed_at: float = 0.0
    """When a list shows it, in the emulated time."""
    ready_at: float = 0.0
    """When it has pixels."""

    def ome_tiff(self) -> bytes:
        """Return the export of the image: every plane as it is."""
        out = io.BytesIO()
        said: dict[str, Any] = {"axes": "TCZYX", "Name": "".join(filter(str.isprintable, self.name))}
        if all(self.channels):
            said["Channel"] = {"Name": list(self.channels)}
        if self.pixel_um is not None:
            said |= {"PhysicalSizeX": self.pixel_um, "PhysicalSizeXUnit": "µm"}
        tifffile.imwrite(out, self.stack, ome=True, photometric="minisblack", metadata=said)
        return out.getvalue()


@dataclass(slots=True)
class StoredWell:
    """A well; row and column from 0."""

    id: int
    row: int
    column: int
    images: list[StoredImage]


@dataclass(slots=True)
class StoredPlate:
    """A plate."""

    id: int
    name: str
    group: int = GROUP
    screens: tuple[int, ...] = ()
    wells: list[StoredWell] = field(default_factory=list)
    runs: tuple[int, ...] = ()
    """Ids of its PlateAcquisitions; the fields are dealt out among them in turn."""
    listed_at: float = 0.0


@dataclass(frozen=True, slots=True)
class StoredNotes:
    """A key-value annotation, linked to one thing."""

    id: int
    link: int
    on: str
    """Class of what it is on, as in PlateI."""
    on_id: int
    values: tuple[tuple[str, str], ...]
    namespace: str | None = "openmicroscopy.org/omero/client/mapAnnotation"


@dataclass(slots=True)
class Store:
    """Everything; guarded by `lock`."""

    time: EmulatedTime
    lock: threading.RLock = field(default_factory=threading.RLock)
    groups: dict[int, str] = field(default_factory=lambda: {GROUP: "Screening", 6: "Others"})
    screens: dict[int, str] = field(default_factory=dict)
    plates: dict[int, StoredPlate] = field(default_factory=dict)
    notes: list[StoredNotes] = field(default_factory=list)
    _last: int = 1000

    def new_id(self) -> int:
        """Return an id that nothing has."""
        self._last += 1
        return self._last

    def add_screen(self, name: str) -> int:
        """Make a screen and return its id."""
        with self.lock:
            number = self.new_id()
            self.screens[number] = name
            return number

    def add_plate(
        self,
        name: str,
        *,
        wells: Sequence[tuple[int, int]] = ((0, 0), (0, 1)),
        n_fields: int = 1,
        channels: Sequence[str] = ("DNA", "Reporter"),
        n_z: int = 1,
        shape: tuple[int, int] = (12, 16),
        dtype: str = "uint16",
        acquired_ms: int | None = None,
        image_s: float = 0.0,
        **said: Any,
    ) -> StoredPlate:
        """Import a plate: it is listed now, its images one after another, ``image_s`` apart; 0: all are there."""
        with self.lock:
            plate = StoredPlate(self.new_id(), name, listed_at=self.time.now_s(), **said)
            at = plate.listed_at
            for row, column in wells:
                well = StoredWell(self.new_id(), row, column, [])
                for n in range(n_fields):
                    number = self.new_id()
                    stack = _stack(number, (1, len(channels), n_z, *shape), dtype)
                    title = f"{name} [Well {chr(65 + row)}{column + 1:02d}, Field {n + 1}]"
                    image = StoredImage(number, title, stack, tuple(channels), acquired_ms)
                    at += image_s
                    image.listed_at, image.ready_at = at, at + image_s / 2
                    well.images.append(image)
                plate.wells.append(well)
            self.plates[plate.id] = plate
            return plate

    def annotate(self, on: str, on_id: int, *pairs: tuple[str, str]) -> StoredNotes:
        """Put key-values on a PlateI, WellI or ImageI."""
        with self.lock:
            note = StoredNotes(self.new_id(), self.new_id(), on, on_id, pairs)
            self.notes.append(note)
            return note

    def listed_plates(self) -> list[StoredPlate]:
        """Return the plates that a list shows, as OMERO orders them."""
        now = self.time.now_s()
        return sorted((p for p in self.plates.values() if p.listed_at <= now), key=lambda p: (p.name.lower(), p.id))

    def images(self) -> Iterator[StoredImage]:
        """Yield every image that is listed."""
        now = self.time.now_s()
        for plate in self.plates.values():
            yield from (image for well in plate.wells for image in well.images if image.listed_at <= now)

    def pixels(self) -> Mapping[tuple[str, str, int], Stack]:
        """Return what was imaged, by plate, well and 1-based field: the truth to hold a readout against."""
        return {
            (plate.name, f"{chr(65 + well.row)}{well.column + 1:02d}", n): image.stack
            for plate in self.plates.values()
            for well in plate.wells
            for n, image in enumerate(well.images, 1)
        }


def _stack(seed: int, shape: tuple[int, ...], dtype: str) -> Stack:
    rng = np.random.default_rng(seed)
    if np.issubdtype(np.dtype(dtype), np.floating):
        return rng.random(shape).astype(dtype)
    return rng.integers(0, np.iinfo(np.dtype(dtype)).max, shape, dtype=np.dtype(dtype), endpoint=True)
