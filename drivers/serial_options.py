"""What every serial device can be told in lab.toml, and where it keeps its memory and its log.

::

    options = { port = "/dev/ttyUSB0", log = true, reply_s = 1.0 }

``port`` is what `drivers.wire.Wire` takes; ``log`` (true unless said otherwise) writes every byte to
``logs/wire/<kind>.log``; ``reply_s`` is how long an answer may take.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.options import checked
from drivers.wire import LineSettings, Wire
from drivers.wire_log import WireLog
from drivers.worker_memory import Memory
from nextplate.errors import SettingsError

_REQUIRED: Mapping[str, type] = {"port": str}
_OPTIONAL: Mapping[str, type] = {"log": bool, "reply_s": float}


def serial_options(
    options: Mapping[str, Any], required: Mapping[str, type], optional: Mapping[str, type]
) -> dict[str, Any]:
    """Check a serial driver's options: its own, and those of every serial device.

    Raises:
        SettingsError: one is missing, unknown or wrong, or a number is not above 0.
    """
    said = checked(options, {**_REQUIRED, **required}, {**_OPTIONAL, **optional})
    for name, value in said.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and not 0 < value < float("inf"):
            raise SettingsError(f"option {name} = {value!r} should be above 0")
    if not said["port"].strip():
        raise SettingsError("option port is empty; it is /dev/..., or socket://host:port")
    return said


def wire_of(said: Mapping[str, Any], settings: LineSettings, kind: str, lab: Path) -> Wire:
    """Return the wire of a device, not opened."""
    log = WireLog(wire_log_path(lab, kind)) if said.get("log", True) else None
    return Wire(said["port"], settings, log=log)


def wire_log_path(lab: Path, kind: str) -> Path:
    """Return where the bytes of a device's wire are logged."""
    return lab / "logs" / "wire" / f"{kind}.log"


def memory_of(kind: str, lab: Path) -> Memory:
    """Return the memory of a device, its folders made.

    Raises:
        SettingsError: they cannot be made.
    """
    memory = Memory(lab / "logs" / "devices" / kind)
    try:
        memory.prepare()
    except OSError as error:
        raise SettingsError(f"the memory of the {kind} cannot be made: {error}") from error
    return memory
