"""Which plate stands in which slot of a hotel, as far as is known: a file that people may correct.

::

    {"format": 1,
     "slots": {"3": "P-0001", "4": "P-0002"},
     "doubts": {"5": "P-0003"},
     "taken": {"5": "P-0003"}}

A doubt is a plate that was on its way into or out of a slot when the driver lost sight of it. It is written before
anything moves and taken away when the sensors have confirmed how the motion ended, so that a process killed between
never believes a plate to be where it is not. Nothing is put into a slot in doubt, nothing fetched from it: a person
looks, and writes the plate under "slots" or takes the line away. "taken", where there is any, are the doubts whose
motion the device had acknowledged; without that, a station that changed may be a person's doing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from drivers.key_files import write_whole
from nextplate.errors import NeedsOperator

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Contents:
    """What stands where; slots are numbered from 1."""

    slots: Mapping[int, str]
    doubts: Mapping[int, str]
    taken: Mapping[int, str] = field(default_factory=dict)
    """Doubts whose motion the device said that it begins."""

    def slot_of(self, barcode: str) -> int | None:
        """Return the slot of a plate; None when it is not inside, or in doubt."""
        return next((slot for slot, plate in self.slots.items() if plate == barcode and slot not in self.doubts), None)

    def doubt_of(self, barcode: str) -> int | None:
        """Return the slot a plate may be in or not; None when nothing is in doubt about it."""
        return next((slot for slot, plate in self.doubts.items() if plate == barcode), None)

    def free_slot(self, n_slots: int) -> int | None:
        """Return the first slot that is certainly empty; None when there is none."""
        return next((s for s in range(1, n_slots + 1) if s not in self.slots and s not in self.doubts), None)


class Inventory:
    """The file of one hotel."""

    def __init__(self, path: Path, n_slots: int) -> None:
        self.path, self.n_slots = path, n_slots

    def prepare(self) -> None:
        """Write that the hotel is empty, in a lab that never moved a plate.

        Raises:
            NeedsOperator: the file cannot be written.
        """
        if not self.path.exists():
            self._write(Contents({}, {}))

    def contents(self) -> Contents:
        """Read it.

        Raises:
            NeedsOperator: it is not there, cannot be read, or makes no sense; names the file and the mistake.
        """
        try:
            body = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            raise NeedsOperator(
                f"the inventory {self.path} is gone; put it back, or write down what is inside"
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            raise NeedsOperator(f"the inventory {self.path} cannot be read: {error}; correct it") from error
        try:
            return _checked(body, self.n_slots)
        except (KeyError, TypeError, ValueError) as error:
            raise NeedsOperator(f"the inventory {self.path} makes no sense: {error}; correct it") from error

    def doubt(self, slot: int, barcode: str) -> None:
        """Write that a plate is about to go into or out of a slot.

        Raises:
            NeedsOperator: the file cannot be read or written.
        """
        now = self.contents()
        self._write(replace(now, doubts={**now.doubts, slot: barcode}, taken=_without(slot, now.taken)))

    def take(self, slot: int, barcode: str) -> None:
        """Write that the device said that it begins the motion in doubt.

        Raises:
            NeedsOperator: the file cannot be read or written.
        """
        now = self.contents()
        self._write(replace(now, taken={**now.taken, slot: barcode}))

    def confirm(self, slot: int, barcode: str | None) -> None:
        """Write what certainly stands in a slot now (None: nothing); the doubt is over.

        Raises:
            NeedsOperator: the file cannot be read or written.
        """
        now = self.contents()
        others, doubts, taken = (_without(slot, plates) for plates in (now.slots, now.doubts, now.taken))
        self._write(Contents({**others, slot: barcode} if barcode is not None else others, doubts, taken))

    def _write(self, contents: Contents) -> None:
        def keyed(slots: Mapping[int, str]) -> dict[str, str]:
            return {str(slot): plate for slot, plate in sorted(slots.items())}

        body = {"format": FORMAT, "slots": keyed(contents.slots), "doubts": keyed(contents.doubts)}
        body |= {"taken": keyed(contents.taken)} if contents.taken else {}
        try:
            write_whole(self.path, json.dumps(body, indent=1, ensure_ascii=False).encode())
        except OSError as error:
            raise NeedsOperator(f"the inventory {self.path} cannot be written: {error}") from error


def _checked(body: Any, n_slots: int) -> Contents:
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise ValueError(f"it should be an object with format {FORMAT}")
    contents = Contents(*(_slots(part, n_slots) for part in (body["slots"], body["doubts"], body.get("taken", {}))))
    plates = list(contents.slots.values())
    if twice := sorted({p for p in plates if plates.count(p) > 1}):
        raise ValueError(f"plate {twice[0]} stands in two slots")
    return contents


def _without(slot: int, plates: Mapping[int, str]) -> dict[int, str]:
    return {s: plate for s, plate in plates.items() if s != slot}


def _slots(body: Any, n_slots: int) -> dict[int, str]:
    if not isinstance(body, dict):
        raise TypeError(f"slots are an object, not {type(body).__name__}")
    slots = {}
    for text, plate in body.items():
        if not (isinstance(plate, str) and plate):
            raise ValueError(f"slot {text} holds {plate!r}, which is no barcode")
        slot = int(text)
        if not 1 <= slot <= n_slots:
            raise ValueError(f"there is no slot {text}; there are 1 to {n_slots}")
        slots[slot] = plate
    return slots
