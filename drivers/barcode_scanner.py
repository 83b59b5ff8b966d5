r"""Plain serial barcode scanners, which send ``<code>\r`` when they see a label (9600 8N1); facts/devices.md 4.7.

::

    driver = "serial-scanner"
    options = { port = "/dev/ttyUSB0", pattern = "P-[0-9]{4}" }
    options = { port = "/dev/ttyUSB0", trigger = "+" }

Without ``trigger`` the driver listens from the moment of the command on: a code that came before is a ghost and does
not count, so the scanner has to be one that repeats what it sees (presentation or continuous mode), or the plate has
to come after the command. With ``trigger`` that text and a carriage return are sent first, and again until two reads
in a row say the same. Two different codes within ``settle_s`` are told, not chosen from.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.barcode import NothingRead, code_of, quiet, reader_device, reader_options
from drivers.deadline import Deadline
from drivers.serial_options import wire_of
from drivers.wire import Garbled, LineSettings, Silent, Wire
from drivers.worker import WorkerDevice
from nextplate.errors import SettingsError

SETTINGS = LineSettings(baudrate=9600)
SETTLE_S, QUIET_S = 0.3, 0.05
_TRIES = 6
_MAX_LINE = 256


def make(kind: str, options: Mapping[str, Any], lab: Path) -> WorkerDevice:
    """Make the driver of a barcode reader (drivers.options.Make).

    Raises:
        SettingsError: an option is missing, unknown or wrong; not a barcode reader.
    """
    said = reader_options("serial-scanner", kind, options, {"trigger": str, "settle_s": float})
    trigger = said.get("trigger")
    if trigger is not None and not (trigger and trigger.isascii() and trigger.isprintable()):
        raise SettingsError(f"option trigger = {trigger!r} should be some printable ASCII characters")
    wire = wire_of(said, SETTINGS, kind, lab)
    reader = SerialScanner(
        wire, said.get("pattern"), trigger, settle_s=said.get("settle_s", SETTLE_S), reply_s=said.get("reply_s", 1.0)
    )
    return reader_device(reader, said, kind, lab)


class SerialScanner:
    """A plain scanner (drivers.barcode.CodeReader)."""

    def __init__(
        self,
        wire: Wire,
        pattern: str | None = None,
        trigger: str | None = None,
        *,
        settle_s: float = SETTLE_S,
        quiet_s: float = QUIET_S,
        reply_s: float = 1.0,
    ) -> None:
        self._wire, self._pattern, self._trigger = wire, pattern, trigger
        self._settle_s, self._quiet_s, self._reply_s = settle_s, quiet_s, reply_s

    def connect(self, until: Deadline) -> None:  # noqa: ARG002
        """Open the port unless it is open; a plain scanner answers nothing.

        Raises:
            DeviceError: no port.
        """
        self._wire.open()

    def read(self, until: Deadline) -> str:
        """Read a code; see `drivers.barcode.CodeReader`.

        Raises:
            NothingRead: none, or several.
            WireError: only noise.
        """
        if self._trigger is None:
            quiet(self._wire, self._quiet_s, until)
            return self._one_of(self._heard(until, until))
        codes: list[str] = []
        trouble: Silent | Garbled | NothingRead | None = None
        for _ in range(_TRIES):
            quiet(self._wire, self._quiet_s, until)
            self._wire.write(f"{self._trigger}\r".encode("ascii"), until)
            try:
                codes.append(self._one_of(self._heard(until.within(self._reply_s), until)))
            except (Silent, Garbled, NothingRead) as error:
                if until.is_over or (isinstance(error, NothingRead) and str(error) == str(trouble)):
                    raise
                trouble = error
                continue
            if codes[-2:].count(codes[-1]) == 2:
                return codes[-1]
        if trouble is not None and len(set(codes)) < 2:
            raise NothingRead(str(trouble)) from trouble
        return self._one_of(codes)

    def identify(self, until: Deadline) -> Mapping[str, Any]:  # noqa: ARG002
        """Say what is known: the port opens."""
        how = "by trigger" if self._trigger is not None else "when it sees a label"
        return {"device": "serial barcode scanner", "reads": how, "note": "it answers no question"}

    def close(self) -> None:
        """Let go of the port."""
        self._wire.close()

    def _heard(self, first_by: Deadline, until: Deadline) -> list[str]:
        """Return the codes that come, from the first until none came for a while.

        Raises:
            Garbled: what came is no code.
            Silent: nothing came.
        """
        codes: list[str] = []
        trouble: Garbled | None = None
        by = first_by
        for _ in range(64):
            try:
                line = self._wire.read_line(b"\r", by, max_bytes=_MAX_LINE)
                codes.append(code_of(line, self._pattern))
                by = until.within(self._settle_s)
            except Garbled as error:
                trouble = error
            except Silent:
                if codes or trouble is None:
                    break
                raise trouble from None
        if not codes:
            raise trouble or Silent(f"{self._wire.port} sent no code")
        return codes

    def _one_of(self, codes: list[str]) -> str:
        if len(set(codes)) > 1:
            raise NothingRead(f"more than one code: {', '.join(sorted(set(codes)))}; leave one label in front of it")
        return codes[0]
