"""Labware offsets: how far labware of a kind in a slot stands off where its definition puts it.

Measured on a robot (labware position check) and kept by the operator: in lab.toml, or as JSON beside a protocol. They
go into the rendered file (``set_offset``), or to a run as its API wants them (``LabwareOffsetCreate``: definitionUri,
location, vector; robot-server of opentrons 9.0.0).
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nextplate.errors import DataError
from protocols.labware import ROBOTS, labware

MAX_OFFSET_MM = 10.0
"""Farther off, labware stands wrong or the number is of another unit."""
_FIELDS = ("labware", "slot", "x_mm", "y_mm", "z_mm")


@dataclass(frozen=True, slots=True)
class Offset:
    """The offset of one kind of labware in one slot of one robot."""

    labware: str
    """Load name."""
    slot: str
    x_mm: float
    """To the right."""
    y_mm: float
    """To the back."""
    z_mm: float
    """Up."""

    @property
    def vector_mm(self) -> tuple[float, float, float]:
        """Return x, y and z."""
        return self.x_mm, self.y_mm, self.z_mm


@dataclass(frozen=True, slots=True)
class LabwareOffset:
    """An offset as a run of the robot takes it."""

    definition_uri: str
    """namespace/load name/version, as the robot's own analysis names it."""
    slot: str
    vector_mm: tuple[float, float, float]

    def body(self) -> dict[str, Any]:
        """Return the JSON values of POST /runs or /runs/{id}/labware_offsets."""
        x, y, z = self.vector_mm
        return {
            "definitionUri": self.definition_uri,
            "location": {"slotName": self.slot},
            "vector": {"x": x, "y": y, "z": z},
        }


def checked_offsets(offsets: Iterable[Offset], where: str, robot: str = "") -> tuple[Offset, ...]:
    """Return offsets that can be used.

    Args:
        offsets: to be checked.
        where: they stand, for the message.
        robot: whose slots they are of; empty: nobody says.

    Raises:
        DataError: unknown labware, no finite number, more than MAX_OFFSET_MM, a slot that the robot has not, or two
            for one kind in one slot.
    """
    slots = (*ROBOTS[robot].slots, *ROBOTS[robot].staging) if robot else ()
    found: dict[tuple[str, str], Offset] = {}
    for n, offset in enumerate(offsets, start=1):
        here = f"{where}, offset {n}"
        kind = labware(offset.labware).load_name
        for axis, mm in zip("xyz", offset.vector_mm, strict=True):
            if not math.isfinite(mm) or abs(mm) > MAX_OFFSET_MM:
                raise DataError(f"{here}: {axis}_mm is {mm:g}; an offset is at most {MAX_OFFSET_MM:g} mm either way")
        if slots and offset.slot not in slots:
            known = ", ".join(sorted(slots, key=lambda slot: (len(slot), slot)))
            raise DataError(f"{here}: the {robot} has no slot {offset.slot!r:.20} for labware; it has {known}")
        if (kind, offset.slot) in found:
            raise DataError(f"{here}: a second one for {kind} in slot {offset.slot}; keep the newer one")
        found[kind, offset.slot] = offset
    return tuple(found.values())


def read_offsets(path: Path, robot: str = "") -> tuple[Offset, ...]:
    """Read offsets from JSON: ``[{"labware": .., "slot": "C2", "x_mm": 0.1, "y_mm": 0.0, "z_mm": -0.3}, ..]``.

    ``robot`` is whose slots they are of; empty: nobody says.

    Raises:
        DataError: the file cannot be read, or an offset cannot be used; says where.
    """
    try:
        body = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error!s:.100}") from error
    if not isinstance(body, list):
        raise DataError(f"{path}: offsets are a list of objects with {', '.join(_FIELDS)}")
    offsets = [_offset(item, f"{path}, offset {n}") for n, item in enumerate(body, start=1)]
    return checked_offsets(offsets, str(path), robot)


def _offset(body: Any, where: str) -> Offset:
    if not isinstance(body, Mapping) or set(body) != set(_FIELDS):
        raise DataError(f"{where}: {body!r:.80} does not have exactly the fields {', '.join(_FIELDS)}")
    texts, numbers = [body[name] for name in _FIELDS[:2]], [body[name] for name in _FIELDS[2:]]
    if not all(isinstance(text, str) for text in texts):
        raise DataError(f"{where}: labware and slot are texts")
    if any(isinstance(mm, bool) or not isinstance(mm, int | float) for mm in numbers):
        raise DataError(f"{where}: x_mm, y_mm and z_mm are numbers")
    x, y, z = (float(mm) for mm in numbers)
    kind, slot = texts
    return Offset(kind, slot, x, y, z)


def run_offsets(analysed: Sequence[Mapping[str, Any]], offsets: Sequence[Offset]) -> tuple[LabwareOffset, ...]:
    """Return the offsets that a run needs, for the driver to post.

    Args:
        analysed: the ``labware`` list of the run's analysis (protocols.analyze.Analysis.labware).
        offsets: the operator's.
    """
    by_place = {(offset.labware, offset.slot): offset for offset in offsets}
    found: dict[tuple[str, str], LabwareOffset] = {}
    for item in analysed:
        location = item.get("location")
        slot = location.get("slotName") if isinstance(location, Mapping) else None
        offset = by_place.get((str(item.get("loadName")), str(slot)))
        if offset is not None:
            uri = str(item["definitionUri"])
            found[uri, offset.slot] = LabwareOffset(uri, offset.slot, offset.vector_mm)
    return tuple(found.values())
