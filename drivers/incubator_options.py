"""What every incubator's driver can be told in lab.toml beside its own options, and how its device is put together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.incubator import IncubatorMachine
from drivers.incubator_handler import Handler, Pace
from drivers.inventory import Inventory
from drivers.serial_options import memory_of, serial_options
from drivers.worker import WorkerDevice
from nextplate.errors import NeedsOperator, SettingsError

PACE: Mapping[str, type] = {"handling_s": float, "poll_s": float, "patience_s": float, "connect_s": float}
"""See `drivers.incubator_handler.Pace`."""


def incubator_options(
    driver: str, kind: str, options: Mapping[str, Any], required: Mapping[str, type], optional: Mapping[str, type]
) -> dict[str, Any]:
    """Check the options of an incubator on a serial line.

    Raises:
        SettingsError: an option is missing, unknown or wrong, or the device is no incubator.
    """
    if kind != "incubator":
        raise SettingsError(f"driver {driver!r} is for an incubator, not for a {kind}")
    return serial_options(options, required, {**optional, **PACE})


def incubator_device(handler: Handler, said: Mapping[str, Any], kind: str, lab: Path) -> WorkerDevice:
    """Put worker, memory, inventory and a vendor's handler together.

    Raises:
        SettingsError: the memory or a first inventory cannot be made.
    """
    memory = memory_of(kind, lab)
    inventory = Inventory(memory.place / "inventory.json", handler.n_slots)
    try:
        if not memory.has_begun:
            inventory.prepare()
    except NeedsOperator as error:
        raise SettingsError(str(error)) from error
    pace = Pace(**{name: float(said[name]) for name in PACE if name in said})
    return WorkerDevice(IncubatorMachine(handler, inventory, pace), memory)
