"""LiCONiC STX incubators on the serial line of their PLC (9600 8E1, RTS/CTS); facts/devices.md 4.1.

::

    driver = "liconic-stx"
    options = { port = "/dev/ttyUSB0", cassettes = 10, levels = 22, site_height_mm = 17.0 }

Slot 1 is level 1 of cassette 1, then upwards, then the next cassette. Where a sensor is marked untested by its
sources (a plate on the shovel, relay 1812), option ``shovel_sensor = false`` does without.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from drivers.deadline import Deadline
from drivers.dialogue import Barrier, Dialogue
from drivers.incubator_handler import Climate, Stand, Verb
from drivers.incubator_options import incubator_device, incubator_options
from drivers.liconic_words import acknowledged, flag, handling_error, pitch_steps, word
from drivers.serial_options import wire_of
from drivers.wire import Garbled, LineSettings, Silent, Wire
from drivers.worker import WorkerDevice
from nextplate.errors import NeedsOperator

SETTINGS = LineSettings(baudrate=9600, parity="E", rtscts=True)
_GREETING = Barrier("CR", re.compile("CC"))
_HINT = "a LiCONiC STX answers 'CC'; is this its PLC port, and not another device's or the STX Driver program's?"
_MOTION: Mapping[Verb, str] = {"store": "ST 1904", "fetch": "ST 1905"}
_BREAK_S = 0.2
_TRIES = 3
"""Of a question or a setting, which may be repeated freely."""
_REQUIRED: Mapping[str, type] = {"cassettes": int, "levels": int, "site_height_mm": float}
_OPTIONAL: Mapping[str, type] = {"shovel_sensor": bool}


@dataclass(frozen=True, slots=True)
class Shape:
    """What stands in the incubator; all cassettes are alike."""

    cassettes: int
    levels: int
    """In each cassette."""
    site_height_mm: float
    has_shovel_sensor: bool = True


def make(kind: str, options: Mapping[str, Any], lab: Path) -> WorkerDevice:
    """Make the driver of an incubator (drivers.options.Make).

    Raises:
        SettingsError: an option is missing, unknown or wrong; not an incubator.
    """
    said = incubator_options("liconic-stx", kind, options, _REQUIRED, _OPTIONAL)
    shape = Shape(said["cassettes"], said["levels"], said["site_height_mm"], said.get("shovel_sensor", True))
    handler = Liconic(wire_of(said, SETTINGS, kind, lab), shape, reply_s=said.get("reply_s", 1.0))
    return incubator_device(handler, said, kind, lab)


class Liconic:
    """A LiCONiC STX (drivers.incubator_handler.Handler)."""

    tries = 1

    def __init__(self, wire: Wire, shape: Shape, *, reply_s: float = 1.0, break_s: float = _BREAK_S) -> None:
        self._wire, self._shape, self._break_s = wire, shape, break_s
        self._line = Dialogue(wire, ends=(b"\r", b"\r\n"), reply_s=reply_s, barriers=(_GREETING,))
        self.n_slots = shape.cassettes * shape.levels

    def connect(self, until: Deadline) -> None:
        """Open the port unless it is open, and greet the PLC; sets and moves nothing.

        Raises:
            DeviceError: no port, no answer, or another protocol's.
        """
        if not self._wire.is_open:
            self._wire.open()
            self._wire.send_break(self._break_s, until)
            until.pause(self._break_s)  # the PLC needs 150 ms after a break
        self._line.greet(_HINT, until)

    def activate(self, until: Deadline) -> None:
        """Activate the handling system, as after it was switched on."""
        acknowledged(self._line.ask("ST 1801", until), "ST 1801")

    def stand(self, until: Deadline) -> Stand:
        """Read the flags; the error's number where there is one."""
        error = handling_error(self._word("DM200", until)) if self._flag(1814, until) else ""
        return Stand(
            is_ready=self._flag(1915, until),
            has_station_plate=self._flag(1813, until),
            has_shovel_plate=self._flag(1812, until) if self._shape.has_shovel_sensor else None,
            error=error,
            # lost at every restart of the PLC
            is_restarted=self._word("DM25", until) != self._shape.levels,
        )

    def arm(self, verb: Verb, slot: int, until: Deadline) -> None:  # noqa: ARG002
        """Write cassette, pitch, levels and level, and read them back: there is no checksum on this line.

        Raises:
            DeviceError: they could not be written.
        """
        cassette, level = divmod(slot - 1, self._shape.levels)
        wanted = {
            "DM0": cassette + 1,
            "DM23": pitch_steps(self._shape.site_height_mm),
            "DM25": self._shape.levels,
            "DM5": level + 1,
        }
        for name, value in wanted.items():
            self._again(partial(self._set, name, value, until), until)

    def go(self, verb: Verb, slot: int, until: Deadline) -> None:  # noqa: ARG002
        """Start the motion.

        Raises:
            NeedsOperator: refused.
            Transient: no answer, or a strange one; it may move.
        """
        acknowledged(self._line.ask(_MOTION[verb], until), _MOTION[verb])

    def end_access(self, until: Deadline) -> None:
        """Close the gate."""
        acknowledged(self._line.ask("ST 1903", until), "ST 1903")

    def climate(self, until: Deadline) -> Climate:
        """Read set and actual values; CO2 and N2 are marked untested by their sources."""

        def value(name: str, scale: float) -> float:
            return round(self._word(name, until) * scale, 3)

        return Climate(
            temperature_set_c=value("DM890", 0.1),
            temperature_c=value("DM982", 0.1),
            humidity_set_percent=value("DM893", 0.1),
            humidity_percent=value("DM983", 0.1),
            co2_set_percent=value("DM894", 0.01),
            co2_percent=value("DM984", 0.01),
            n2_set_percent=value("DM895", 0.01),
            n2_percent=value("DM985", 0.01),
        )

    def identify(self, until: Deadline) -> Mapping[str, str]:
        """Say what is known; the PLC line has no question for model or version."""
        axes = {6501: "inner turn", 6504: "2nd lift", 6502: "lift", 6503: "carousel"}
        ready = [name for relay, name in axes.items() if self._flag(relay, until)]
        return {"device": "LiCONiC STX (PLC line)", "axes initialised": ", ".join(ready) or "none"}

    def close(self) -> None:
        """Let go of the port."""
        self._wire.close()

    def _set(self, name: str, value: int, until: Deadline) -> None:
        acknowledged(self._line.ask(f"WR {name} {value}", until), f"WR {name}")
        if (found := self._word(name, until)) != value:
            raise Garbled(f"the incubator has {found} in {name}, not {value}")

    def _flag(self, relay: int, until: Deadline) -> bool:
        question = f"RD {relay}"
        return flag(self._line.ask(question, until), question)

    def _word(self, name: str, until: Deadline) -> int:
        question = f"RD {name}"
        return word(self._line.ask(question, until), question)

    def _again(self, act: Callable[[], None], until: Deadline) -> None:
        for n in range(1, _TRIES + 1):
            try:
                act()
            except (Silent, Garbled, NeedsOperator):
                # a refusal too: noise on the line makes a command that it does not know
                if n == _TRIES or until.is_over:
                    raise
            else:
                return
