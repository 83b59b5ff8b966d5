"""QInstruments BioShake shakers on their serial line (9600 8N1); facts/devices.md 4.6.

::

    driver = "bioshake"
    options = { port = "/dev/ttyUSB0" }

A model that has a run time (shakeOnWithRuntime) stops by itself, also when the controller is dead; any other is
stopped by the driver. A model without a clamp (ELM) answers ``u -> ...`` to its commands and shakes all the same.
The driver never resets the device: a reset moves the rotor, and is a person's.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from drivers.bioshake_words import Unsupported, acknowledged, number, rotor, whole
from drivers.deadline import Deadline
from drivers.dialogue import Barrier, Dialogue
from drivers.serial_options import wire_of
from drivers.shaker_handler import Rotor
from drivers.shaker_options import shaker_device, shaker_options
from drivers.wire import Garbled, LineSettings, Silent, Wire
from drivers.worker import WorkerDevice
from nextplate.errors import NeedsOperator

SETTINGS = LineSettings(baudrate=9600)
_BARRIERS = (
    Barrier("getDescription", re.compile(r"(?i)[ -~]*(shake|colibri|mtp)[ -~]*")),
    Barrier("getShakeStateAsString", re.compile(r"RAMP\+|RAMP-|RUN|E?STOP")),
)
_HINT = "a BioShake answers its name to getDescription; is this its port?"
_TRIES = 3
"""Of a question or a setting, which may be repeated freely."""
_T = TypeVar("_T")


def make(kind: str, options: Mapping[str, Any], lab: Path) -> WorkerDevice:
    """Make the driver of a shaker (drivers.options.Make).

    Raises:
        SettingsError: an option is missing, unknown or wrong; not a shaker.
    """
    said = shaker_options("bioshake", kind, options, {}, {})
    handler = BioShake(wire_of(said, SETTINGS, kind, lab), reply_s=said.get("reply_s", 1.0))
    return shaker_device(handler, said, kind, lab)


class BioShake:
    """A QInstruments BioShake (drivers.shaker_handler.ShakerHandler)."""

    def __init__(self, wire: Wire, *, reply_s: float = 1.0) -> None:
        self._wire = wire
        self._line = Dialogue(wire, ends=(b"\r", b"\r\n"), reply_s=reply_s, barriers=_BARRIERS)
        self._lacks: set[str] = set()
        """Questions that this model answers with ``u -> ...``."""
        self._armed_rpm: int | None = None

    def connect(self, until: Deadline) -> None:
        """Open the port unless it is open, and see that a BioShake answers; moves nothing.

        Raises:
            DeviceError: no port, no answer, or another protocol's.
        """
        self._wire.open()
        self._line.greet(_HINT, until)

    def rotor(self, until: Deadline) -> Rotor:
        """Read the states of rotor and clamp; a target speed that is not ours any more tells of a restart."""
        state = self._asked("getShakeState", whole, until)
        elm = self._offered("getElmState", whole, until)
        target = self._offered("getShakeTargetSpeed", whole, until) if self._armed_rpm is not None else None
        return rotor(state, elm, is_restarted=target is not None and target != self._armed_rpm)

    def speeds_rpm(self, until: Deadline) -> tuple[int, int]:
        """Return the slowest and the fastest speed it turns at."""
        return self._asked("getShakeMinRpm", whole, until), self._asked("getShakeMaxRpm", whole, until)

    def has_timer(self, until: Deadline) -> bool:
        """Say whether the model has a run time: it answers how much of one is left."""
        return self._offered("getShakeRemainingTime", number, until) is not None

    def arm(self, speed_rpm: int, until: Deadline) -> None:
        """Write the target speed, and read it back: there is no checksum on this line.

        Raises:
            DeviceError: it could not be written.
        """
        self._again(lambda: self._set_speed(speed_rpm, until), until)
        self._armed_rpm = speed_rpm

    def expect(self, speed_rpm: int) -> None:
        """Remember the target speed that another process wrote."""
        self._armed_rpm = speed_rpm

    def clamp(self, until: Deadline) -> None:
        """Close the clamp, where there is one."""
        self._command("setElmLockPos", until)

    def start(self, duration_s: int | None, until: Deadline) -> None:
        """Start the rotor.

        Raises:
            NeedsOperator: refused.
            Transient: no answer, or a strange one; it may turn.
        """
        command = "shakeOn" if duration_s is None else f"shakeOnWithRuntime{duration_s}"
        acknowledged(self._line.ask(command, until), command)

    def stop(self, until: Deadline) -> None:
        """Stop the rotor at its home position."""
        acknowledged(self._line.ask("shakeOff", until), "shakeOff")

    def release(self, until: Deadline) -> None:
        """Open the clamp, where there is one."""
        self._command("setElmUnlockPos", until)

    def speed_rpm(self, until: Deadline) -> float | None:
        """Return how fast it turns now; None where the model does not say."""
        return self._offered("getShakeActualSpeed", number, until)

    def identify(self, until: Deadline) -> Mapping[str, Any]:
        """Return model, firmware and temperatures; what the model does not have is left out."""
        told = {
            "device": self._offered("getDescription", _text, until),
            "firmware": self._offered("getVersion", _text, until),
            "errors": self._offered("getErrorList", _text, until),
            "temperature_c": self._offered("getTempActual", number, until),
            "temperature_least_c": self._offered("getTempMin", number, until),
            "temperature_most_c": self._offered("getTempMax", number, until),
        }
        return {name: value for name, value in told.items() if value is not None}

    def close(self) -> None:
        """Let go of the port."""
        self._wire.close()

    def _set_speed(self, speed_rpm: int, until: Deadline) -> None:
        command = f"setShakeTargetSpeed{speed_rpm}"
        acknowledged(self._line.ask(command, until), command)
        found = self._offered("getShakeTargetSpeed", whole, until)
        if found is not None and found != speed_rpm:
            raise Garbled(f"the shaker has a target speed of {found} rpm, not {speed_rpm}")

    def _command(self, command: str, until: Deadline) -> None:
        """Send a command that may be repeated, and that not every model has."""
        try:
            self._again(lambda: acknowledged(self._line.ask(command, until), command), until)
        except Unsupported:
            return

    def _offered(self, question: str, read: Callable[[str, str], _T], until: Deadline) -> _T | None:
        """Ask what not every model answers; None: this one does not."""
        if question in self._lacks:
            return None
        for n in range(2):
            try:
                return self._asked(question, read, until)
            except Unsupported:
                if n:  # said twice; noise makes a question that no model has
                    self._lacks.add(question)
        return None

    def _asked(self, question: str, read: Callable[[str, str], _T], until: Deadline) -> _T:
        return read(self._line.ask(question, until), question)

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


def _text(reply: str, question: str) -> str:
    if reply.startswith("u ->"):
        raise Unsupported(f"this shaker does not have {question!r}")
    return reply[:200]
