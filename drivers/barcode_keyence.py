"""Keyence BL-600HA and BL-1300 barcode readers (9600 7E1); facts/devices.md 4.7.

::

    driver = "keyence-bl"
    options = { port = "/dev/ttyUSB0", pattern = "P-[0-9]{4}" }

A read is LON, again until two in a row say the same, and LOFF, as LON leaves the beam on (that, and the answers NG and
ERR99, are not on the facts page but in the public driver it names). Parity is checked by the port's hardware: a byte
with a flipped bit is dropped or replaced there, which neither a pty nor a socket can show.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.barcode import NothingRead, code_of, reader_device, reader_options
from drivers.deadline import Deadline
from drivers.dialogue import Barrier, Dialogue
from drivers.serial_options import wire_of
from drivers.wire import Garbled, LineSettings, Silent, Wire
from drivers.worker import WorkerDevice
from nextplate.errors import NeedsOperator

SETTINGS = LineSettings(baudrate=9600, bytesize=7, parity="E")
_MOTOR = Barrier("RMOTOR", re.compile("MOTORON|MOTOROFF"))
_HINT = "a Keyence BL answers MOTORON or MOTOROFF; is this its port?"
_TRIES = 6
_NOTHING = re.compile(r"NG|ERROR|ERR[0-9]{1,2}")


def make(kind: str, options: Mapping[str, Any], lab: Path) -> WorkerDevice:
    """Make the driver of a barcode reader (drivers.options.Make).

    Raises:
        SettingsError: an option is missing, unknown or wrong; not a barcode reader.
    """
    said = reader_options("keyence-bl", kind, options, {})
    wire = wire_of(said, SETTINGS, kind, lab)
    return reader_device(KeyenceBl(wire, said.get("pattern"), reply_s=said.get("reply_s", 1.0)), said, kind, lab)


class KeyenceBl:
    """A Keyence BL (drivers.barcode.CodeReader)."""

    def __init__(self, wire: Wire, pattern: str | None = None, *, reply_s: float = 1.0) -> None:
        self._wire, self._pattern = wire, pattern
        self._line = Dialogue(wire, ends=(b"\r", b"\r"), reply_s=reply_s, barriers=(_MOTOR,))

    def connect(self, until: Deadline) -> None:
        """Open the port unless it is open, and see that a Keyence BL answers.

        Raises:
            DeviceError: no port, no answer, or another protocol's.
        """
        self._wire.open()
        self._line.greet(_HINT, until)

    def read(self, until: Deadline) -> str:
        """Read until two in a row say the same; see `drivers.barcode.CodeReader`.

        Raises:
            NothingRead: no code, or several.
            WireError: no answer, or noise.
        """
        try:
            return self._agreed(until)
        finally:
            if self._wire.is_open:
                self._wire.write(b"LOFF\r", until.renewed(1.0))

    def identify(self, until: Deadline) -> Mapping[str, Any]:
        """Say whether the motor of the scanner's mirror turns."""
        return {"device": "Keyence BL", "motor": "on" if self._is_on(until) else "off"}

    def close(self) -> None:
        """Let go of the port."""
        self._wire.close()

    def _is_on(self, until: Deadline) -> bool:
        return self._line.ask("RMOTOR", until) == "MOTORON"

    def _agreed(self, until: Deadline) -> str:
        codes: list[str] = []
        trouble: NeedsOperator | Silent | Garbled = NothingRead("no code")
        for _ in range(_TRIES):
            try:
                codes.append(self._once(until))
            except (Silent, Garbled, NothingRead) as error:
                if until.is_over or (isinstance(error, NothingRead) and str(error) == str(trouble)):
                    raise  # said twice, or out of time
                trouble = error
                continue
            if codes[-2:].count(codes[-1]) == 2:
                return codes[-1]
        if len(set(codes)) > 1:
            raise NothingRead(f"more than one code: {', '.join(sorted(set(codes)))}; leave one label in front of it")
        raise trouble

    def _once(self, until: Deadline) -> str:
        """Read once; the greeting throws away whatever was read before."""
        self._line.greet(_HINT, until)
        reply = self._line.ask("LON", until)
        if _NOTHING.fullmatch(reply):
            raise NothingRead(f"the reader answers {reply}; is a label in front of it, and its motor on?")
        if _MOTOR.answer.fullmatch(reply):
            raise Garbled(f"the reader answered {reply} to LON")
        return code_of(reply.encode("ascii"), self._pattern)
