"""What every shaker's driver can be told in lab.toml beside its own options, and how its device is put together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.serial_options import memory_of, serial_options
from drivers.shaker import ShakerMachine
from drivers.shaker_handler import ShakerHandler, ShakerPace
from drivers.shaker_trail import TrailFile
from drivers.worker import WorkerDevice
from nextplate.errors import SettingsError

PACE: Mapping[str, type] = {
    "poll_s": float, "patience_s": float, "stop_s": float, "connect_s": float, "tolerance_s": float,
}  # fmt: skip
"""See `drivers.shaker_handler.ShakerPace`."""


def shaker_options(
    driver: str, kind: str, options: Mapping[str, Any], required: Mapping[str, type], optional: Mapping[str, type]
) -> dict[str, Any]:
    """Check the options of a shaker on a serial line.

    Raises:
        SettingsError: an option is missing, unknown or wrong, or the device is no shaker.
    """
    if kind != "shaker":
        raise SettingsError(f"driver {driver!r} is for a shaker, not for a {kind}")
    return serial_options(options, required, {**optional, **PACE})


def shaker_device(handler: ShakerHandler, said: Mapping[str, Any], kind: str, lab: Path) -> WorkerDevice:
    """Put worker, memory, trail and a vendor's handler together.

    Raises:
        SettingsError: the memory cannot be made.
    """
    memory = memory_of(kind, lab)
    pace = ShakerPace(**{name: float(said[name]) for name in PACE if name in said})
    return WorkerDevice(ShakerMachine(handler, TrailFile(memory.place / "rotor.json"), pace), memory)
