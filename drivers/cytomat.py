"""Thermo Cytomat incubators on their serial line (9600 8N1); facts/devices.md 4.3.

::

    driver = "cytomat"
    options = { port = "/dev/ttyS0", slots = 42 }

Slots have absolute numbers from 1. The model C2C_425 ends its lines otherwise and counts rack and site from 0: option
``sites_per_rack`` says that it is one. A Cytomat sometimes says that it is busy, or does not know a command, for no
reason: a question is asked again, a motion only after the sensors have shown that nothing moved. Its line has no
checksum and a slot cannot be read back, so that noise that makes one digit of another is not seen.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from drivers.cytomat_words import SPURIOUS, Overview, Refused, accepted, error_text, readings, register, warning_text
from drivers.deadline import Deadline
from drivers.dialogue import Barrier, Dialogue
from drivers.incubator_handler import Climate, Stand, Verb
from drivers.incubator_options import incubator_device, incubator_options
from drivers.serial_options import wire_of
from drivers.wire import LineSettings, Wire
from drivers.worker import WorkerDevice

SETTINGS = LineSettings(baudrate=9600)
# Two, so that one can be asked while the other is unanswered; the answer begins with the register's own name.
_BARRIERS = (
    Barrier("ch:bw", re.compile("bw [0-9A-Fa-f]{2}")),
    Barrier("ch:be", re.compile("be [0-9A-Fa-f]{2}")),
)
_HINT = "a Cytomat answers 'bw' and a byte; is it another model (option sites_per_rack), or another device?"
_MOTION: Mapping[Verb, str] = {"store": "mv:ts", "fetch": "mv:st"}
_ASK_TRIES = 10
_ASK_AGAIN_S = 0.1
_MOVE_TRIES = 5
_REQUIRED: Mapping[str, type] = {"slots": int}
_OPTIONAL: Mapping[str, type] = {"sites_per_rack": int}
_T = TypeVar("_T")


def make(kind: str, options: Mapping[str, Any], lab: Path) -> WorkerDevice:
    """Make the driver of an incubator (drivers.options.Make).

    Raises:
        SettingsError: an option is missing, unknown or wrong; not an incubator.
    """
    said = incubator_options("cytomat", kind, options, _REQUIRED, _OPTIONAL)
    wire = wire_of(said, SETTINGS, kind, lab)
    handler = Cytomat(wire, said["slots"], said.get("sites_per_rack"), reply_s=said.get("reply_s", 1.0))
    return incubator_device(handler, said, kind, lab)


class Cytomat:
    """A Thermo Cytomat (drivers.incubator_handler.Handler)."""

    tries = _MOVE_TRIES

    def __init__(
        self,
        wire: Wire,
        slots: int,
        sites_per_rack: int | None = None,
        *,
        reply_s: float = 1.0,
        again_s: float = _ASK_AGAIN_S,
    ) -> None:
        self._wire, self.n_slots, self._sites_per_rack, self._again_s = wire, slots, sites_per_rack, again_s
        ends = (b"\r\n", b"\r\n") if sites_per_rack is None else (b"\r", b"\r")
        self._line = Dialogue(wire, ends=ends, reply_s=reply_s, barriers=_BARRIERS)

    def connect(self, until: Deadline) -> None:
        """Open the port unless it is open, and see that a Cytomat answers; moves nothing.

        Raises:
            DeviceError: no port, no answer, or another protocol's.
        """
        self._wire.open()
        self._line.greet(_HINT, until)

    def activate(self, until: Deadline) -> None:
        """Do nothing: to initialise a Cytomat is a motion, and a person's."""

    def stand(self, until: Deadline) -> Stand:
        """Read the overview register, and the error register where it is set."""
        seen = Overview.of(self._register("bs", until))
        error = error_text(self._register("be", until)) or "unknown" if seen.has_error else ""
        return Stand(
            is_ready=seen.is_ready and not seen.is_busy,
            has_station_plate=seen.has_station_plate,
            has_shovel_plate=seen.has_handler_plate,
            error=error,
            is_door_open=seen.is_door_open,
        )

    def arm(self, verb: Verb, slot: int, until: Deadline) -> None:
        """Do nothing: the slot is in the command that moves."""

    def go(self, verb: Verb, slot: int, until: Deadline) -> None:
        """Start the motion.

        Raises:
            NeedsOperator: refused.
            Transient: no answer, or a strange one; it may move.
        """
        command = f"{_MOTION[verb]} {self._address(slot)}"
        accepted(self._line.ask(command, until), command)

    def end_access(self, until: Deadline) -> None:
        """Do nothing: a Cytomat closes its gate by itself."""

    def climate(self, until: Deadline) -> Climate:
        """Read nominal and actual values; None for what this model does not have."""
        temperature, co2, humidity, o2 = (self._readings(name, until) for name in ("it", "ic", "ih", "io"))
        return Climate(
            temperature_set_c=temperature[0],
            temperature_c=temperature[1],
            co2_set_percent=co2[0],
            co2_percent=co2[1],
            humidity_set_percent=humidity[0],
            humidity_percent=humidity[1],
            o2_set_percent=o2[0],
            o2_percent=o2[1],
        )

    def identify(self, until: Deadline) -> Mapping[str, str]:
        """Say what is known; the line has no question for model or version."""
        return {
            "device": "Thermo Cytomat",
            "warning": warning_text(self._register("bw", until)) or "none",
            "error": error_text(self._register("be", until)) or "none",
            "action register": f"{self._register('ba', until):02X}",
        }

    def close(self) -> None:
        """Let go of the port."""
        self._wire.close()

    def _address(self, slot: int) -> str:
        if self._sites_per_rack is None:
            return f"{slot:03d}"
        rack, site = divmod(slot - 1, self._sites_per_rack)
        return f"{rack:02d} {site:02d}"

    def _register(self, name: str, until: Deadline) -> int:
        return self._asked(lambda: register(self._line.ask(f"ch:{name}", until), name), until)

    def _readings(self, name: str, until: Deadline) -> tuple[float | None, float | None]:
        try:
            return self._asked(lambda: readings(self._line.ask(f"ch:{name}", until), name), until)
        except Refused:
            return None, None

    def _asked(self, ask: Callable[[], _T], until: Deadline) -> _T:
        """Ask again what an idle Cytomat refuses for no reason.

        Raises:
            Refused: for a reason, or every time.
        """
        for _ in range(_ASK_TRIES):
            try:
                return ask()
            except Refused as error:
                if error.code not in SPURIOUS:
                    raise
                refusal = error
            if until.is_over:
                break
            until.pause(self._again_s)
        raise refusal
