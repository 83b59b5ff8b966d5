"""What all incubators and hotels with a transfer station share: when a plate may move, and whether it did.

A vendor's driver is a `Handler`: how to ask the sensors, and the one frame that starts a motion. The rest, which is
the dangerous part, is here once. Before a motion: the device is ready and without error, its shovel empty, the
transfer station holds a plate (store) or none (fetch), the slot is certainly free or certainly the plate's. The frame
that starts the motion is sent once. Whether the device took it is read from the sensors, not from its answer: an
answer may be lost, and a sensor is believed when it says the same twice. ``ready`` with the station changed is DONE,
an error or a plate on the shovel is a person's.
"""

from contextlib import suppress
from dataclasses import asdict
from enum import Enum, auto
from typing import Any

from drivers.deadline import Deadline
from drivers.incubator_handler import Handler, Pace, Stand, Verb
from drivers.inventory import Contents, Inventory
from drivers.ports import FetchPlate, Report, Status, StorePlate
from drivers.wire import Silent
from drivers.worker_memory import JSON
from nextplate.errors import DeviceError, NeedsOperator, Transient

_GATE_S = 3.0


class _Seen(Enum):
    """What became of a motion, by the sensors."""

    DONE = auto()
    UNCHANGED = auto()
    """Ready, no error, and the station as before."""
    UNCLEAR = auto()


class IncubatorMachine:
    """Stores and fetches plates (drivers.worker.Machine)."""

    name = "incubator"
    takes: tuple[type, ...] = (StorePlate, FetchPlate)

    def __init__(self, handler: Handler, inventory: Inventory, pace: Pace) -> None:
        self._handler, self._inventory, self._pace = handler, inventory, pace

    def time_s(self, command: Any) -> float:  # noqa: ARG002
        """Return the time after which a command counts as stalled."""
        return self._pace.connect_s + self._pace.handling_s

    def prepare(self, command: StorePlate | FetchPlate, until: Deadline) -> JSON:
        """Choose the slot and see that the motion is possible.

        Raises:
            DeviceError: it is not; says why.
        """
        slot = self._slot_to_fill(command) if isinstance(command, StorePlate) else self._slot_to_empty(command)
        self._handler.connect(until.within(self._pace.connect_s))
        stand = self._ready(until.within(2 * self._pace.connect_s))
        if problem := _in_the_way(_verb(command), stand, command.barcode):
            raise NeedsOperator(problem)
        self._handler.arm(_verb(command), slot, until)
        return {"slot": slot}

    def perform(self, command: StorePlate | FetchPlate, plan: JSON, until: Deadline) -> Report:
        """Move the plate, once, and tell by the sensors how it ended.

        Raises:
            Transient: the sensors did not settle in time.
        """
        slot = int(plan["slot"])
        try:
            self._inventory.doubt(slot, command.barcode)
        except NeedsOperator as error:
            return Report(Status.FAILED, {}, f"{error}; nothing moved")
        seen, stand, refusal = self._moved(_verb(command), slot, until)
        return self._concluded(command, slot, seen, stand, refusal, until)

    def after_crash(self, command: StorePlate | FetchPlate, plan: JSON, until: Deadline) -> Report:
        """Wait until nothing moves, then tell by the sensors what became of the motion; begins none.

        Raises:
            DeviceError: the device does not answer.
        """
        slot, verb = int(plan["slot"]), _verb(command)
        if self._was_confirmed(verb, slot, command.barcode):
            return _done(verb, slot)
        self._reconnect(until)
        seen, stand = self._watched(verb, until)
        if seen is _Seen.UNCHANGED:
            self._confirm(slot, None if verb == "store" else command.barcode, until)
            return Report(Status.NOT_FOUND)
        return self._concluded(command, slot, seen, stand, "", until)

    def inspect(self, until: Deadline) -> JSON:
        """Return model, sensors, climate and inventory."""
        self._handler.connect(until)
        contents = self._inventory.contents()
        return {
            **self._handler.identify(until),
            "sensors": asdict(self._steady(until)),
            "climate": {name: v for name, v in asdict(self._handler.climate(until)).items() if v is not None},
            "slots": self._inventory.n_slots,
            "plates": {str(slot): plate for slot, plate in contents.slots.items()},
            "in doubt": {str(slot): plate for slot, plate in contents.doubts.items()},
        }

    def close(self) -> None:
        """Let go of the port."""
        self._handler.close()

    def _slot_to_fill(self, command: StorePlate) -> int:
        contents, barcode = self._known(command.barcode)
        if (inside := contents.slot_of(barcode)) is not None:
            raise NeedsOperator(f"plate {barcode} is in slot {inside} already, says {self._inventory.path}")
        if (slot := contents.free_slot(self._inventory.n_slots)) is None:
            raise NeedsOperator(
                f"the incubator is full ({len(contents.slots)} plates, {len(contents.doubts)} slots in doubt, "
                f"of {self._inventory.n_slots}); {barcode} stays outside"
            )
        return slot

    def _slot_to_empty(self, command: FetchPlate) -> int:
        contents, barcode = self._known(command.barcode)
        if (slot := contents.slot_of(barcode)) is None:
            raise NeedsOperator(f"plate {barcode} is not in the incubator, says {self._inventory.path}")
        return slot

    def _known(self, barcode: str) -> tuple[Contents, str]:
        contents = self._inventory.contents()
        if not barcode.strip():
            raise NeedsOperator(f"a plate needs a barcode to be known by, not {barcode!a}")
        if (slot := contents.doubt_of(barcode)) is not None:
            raise NeedsOperator(
                f"nobody knows whether plate {barcode} is in slot {slot}; look, and correct {self._inventory.path}"
            )
        return contents, barcode

    def _moved(self, verb: Verb, slot: int, until: Deadline) -> tuple[_Seen, Stand, str]:
        """Offer the motion; again only to a device that refused it and whose sensors agree that nothing moved."""
        refusal = ""
        for _ in range(self._handler.tries):
            refusal = ""
            try:
                self._handler.go(verb, slot, until)
            except NeedsOperator as error:
                refusal = str(error)
            except Transient as error:
                refusal = f"{error} when asked to {verb}"
                seen, stand = self._watched(verb, until)
                return seen, stand, refusal
            seen, stand = self._watched(verb, until)
            if not refusal or seen is not _Seen.UNCHANGED:
                break
        return seen, stand, refusal

    def _watched(self, verb: Verb, until: Deadline) -> tuple[_Seen, Stand]:
        """Look until the motion has ended, or has certainly not begun.

        Raises:
            Transient: neither by the deadline.
        """
        quiet: Deadline | None = None
        while True:
            stand = self._steady(until)
            if stand.error or stand.is_restarted:
                return _Seen.UNCLEAR, stand
            if not stand.is_ready:
                quiet = None
            elif stand.has_station_plate == (verb == "fetch"):
                is_lost = stand.has_shovel_plate or (verb == "store" and stand.has_slot_plate is False)
                return (_Seen.UNCLEAR if is_lost else _Seen.DONE), stand
            elif quiet is None:
                quiet = until.within(self._pace.patience_s)
            elif quiet.is_over:
                return (_Seen.UNCHANGED if _is_outside_or_in_slot(verb, stand) else _Seen.UNCLEAR), stand
            if until.is_over:
                raise Silent(f"the {verb} did not end within {self._pace.handling_s:g} s ({_told(stand)})")
            until.pause(self._pace.poll_s)

    def _steady(self, until: Deadline) -> Stand:
        """Read the sensors until they say the same twice in a row; open the port again when it goes away.

        Raises:
            DeviceError: they did not by the deadline; what the device said rather than that it was silent.
        """
        before: Stand | None = None
        trouble: DeviceError | None = None
        while True:
            try:
                now = self._handler.stand(until)
            except (Transient, NeedsOperator) as error:
                # a refused question too: noise makes one that the device does not know
                trouble = error if trouble is None or not isinstance(error, Silent) else trouble
                if until.is_over:
                    raise trouble from None
                until.pause(self._pace.poll_s)
                self._reconnect(until, trouble)
                before = None
                continue
            if now == before:
                return now
            if before is not None and until.is_over:
                raise Silent(f"the incubator's sensors do not settle ({_told(now)})")
            before = now

    def _ready(self, until: Deadline) -> Stand:
        """Wait a moment for a device that is closing its gate, then activate one that still sleeps."""
        stand = self._waited(until)
        if not (stand.is_ready or stand.error or stand.has_shovel_plate):
            self._handler.activate(until)
            stand = self._waited(until)
        return stand

    def _waited(self, until: Deadline) -> Stand:
        enough = until.within(self._pace.connect_s / 2)
        while not (stand := self._steady(until)).is_ready and not stand.error and not enough.is_over:
            until.pause(self._pace.poll_s)
        return stand

    def _reconnect(self, until: Deadline, trouble: DeviceError | None = None) -> None:
        while True:
            try:
                return self._handler.connect(until)
            except Transient as error:
                if until.is_over:
                    raise trouble or error from None
                until.pause(self._pace.poll_s)

    def _was_confirmed(self, verb: Verb, slot: int, barcode: str) -> bool:
        """Say whether the inventory shows the motion done: the process was killed after the sensors had said so."""
        contents = self._inventory.contents()
        is_inside = contents.slots.get(slot) == barcode
        return slot not in contents.doubts and is_inside == (verb == "store")

    def _concluded(
        self, command: StorePlate | FetchPlate, slot: int, seen: _Seen, stand: Stand, refusal: str, until: Deadline
    ) -> Report:
        barcode, verb = command.barcode, _verb(command)
        said = "; ".join(filter(None, (refusal, stand.error)))
        if seen is _Seen.UNCLEAR:
            return self._unclear(command, slot, stand, said, until)
        if seen is _Seen.UNCHANGED and verb == "fetch" and not refusal:
            # the doubt stays: perhaps another plate's slot, perhaps nobody's
            return Report(Status.FAILED, {}, f"no plate came from slot {slot}; {self._look_for(barcode, slot)}")
        is_inside = (verb == "store") == (seen is _Seen.DONE)
        self._confirm(slot, barcode if is_inside else None, until)
        if seen is _Seen.DONE:
            self._end_access(until)
            return _done(verb, slot)
        return Report(Status.FAILED, {}, f"{said or f'plate {barcode} was not taken from the station'}; nothing moved")

    def _unclear(self, command: StorePlate | FetchPlate, slot: int, stand: Stand, said: str, until: Deadline) -> Report:
        """A person has to look, except where a plate certainly never left the station."""
        if stand.is_restarted:
            said = "; ".join(filter(None, (said, "the incubator was switched off meanwhile")))
        if isinstance(command, StorePlate) and stand.has_station_plate and stand.has_shovel_plate is False:
            self._confirm(slot, None, until)
            return Report(Status.FAILED, {}, f"{said}; plate {command.barcode} still stands on the transfer station")
        said = said or "the sensors do not tell how it ended"
        return Report(Status.UNKNOWN, {}, f"{said} ({_told(stand)}); {self._look_for(command.barcode, slot)}")

    def _look_for(self, barcode: str, slot: int) -> str:
        return f"look where plate {barcode} is, and write it into {self._inventory.path} (slot {slot} is in doubt)"

    def _confirm(self, slot: int, barcode: str | None, until: Deadline) -> None:
        """Write what is certain, trying again while the disk is full; what moved has moved.

        Raises:
            NeedsOperator: it could not be written by the deadline.
        """
        while True:
            try:
                return self._inventory.confirm(slot, barcode)
            except NeedsOperator:
                if until.is_over:
                    raise
            until.pause(self._pace.poll_s)

    def _end_access(self, until: Deadline) -> None:
        """Close the gate; that it stays open is no reason to doubt where the plate is, and `stand` shows it."""
        with suppress(Transient, NeedsOperator):
            self._handler.end_access(until.renewed(_GATE_S))


def _is_outside_or_in_slot(verb: Verb, stand: Stand) -> bool:
    """Say whether a plate that was not seen to move is certainly where it was, and not on the shovel."""
    return stand.has_shovel_plate is False or (verb == "store" and stand.has_shovel_plate is None)


def _done(verb: Verb, slot: int) -> Report:
    return Report(Status.DONE, {"slot": str(slot)} if verb == "store" else {})


def _verb(command: StorePlate | FetchPlate) -> Verb:
    return "store" if isinstance(command, StorePlate) else "fetch"


def _in_the_way(verb: Verb, stand: Stand, barcode: str) -> str:
    """Say what forbids a motion; "" for nothing."""
    if stand.error:
        return f"the incubator reports an error: {stand.error}; clear it at the device"
    if not stand.is_ready:
        return "the incubator is not ready; wait, or initialise it at the device"
    if stand.is_door_open:
        return "the incubator's door is open; close it"
    if stand.has_shovel_plate:
        return "a plate lies on the incubator's shovel; take it away"
    if verb == "store" and not stand.has_station_plate:
        return f"no plate stands on the incubator's transfer station; {barcode} should"
    if verb == "fetch" and stand.has_station_plate:
        return f"the incubator's transfer station is occupied; {barcode} stays inside"
    if verb == "fetch" and stand.has_slot_plate is False:
        return f"no plate is in the incubator, says its sensor; {barcode} should be"
    return ""


def _told(stand: Stand) -> str:
    shovel = {True: "a plate", False: "no plate", None: "perhaps a plate"}[stand.has_shovel_plate]
    ready, station = "ready" if stand.is_ready else "not ready", "a plate" if stand.has_station_plate else "no plate"
    return f"{ready}, {station} on the transfer station, {shovel} on the shovel"
