"""The driver ``pylabrobot``: a liquid handler, an incubator or a shaker over PyLabRobot 0.2.2 (extra ``pylabrobot``).

Each kind has its own module and options: `drivers.pylabrobot_handler`, `drivers.pylabrobot_incubator`,
`drivers.pylabrobot_shaker`. What PyLabRobot cannot tell after a crash is UNKNOWN, and a person's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers import pylabrobot_handler, pylabrobot_incubator, pylabrobot_shaker
from drivers.options import Make
from drivers.ports import Device
from nextplate.errors import SettingsError

KINDS: Mapping[str, Make] = {
    "liquid-handler": pylabrobot_handler.make,
    "incubator": pylabrobot_incubator.make,
    "shaker": pylabrobot_shaker.make,
}


def make(kind: str, options: Mapping[str, Any], lab: Path) -> Device:
    """Make the driver of a kind (drivers.options.Make).

    Raises:
        SettingsError: an option is missing, unknown or wrong, the extra is not installed, or there is no such kind.
    """
    if kind not in KINDS:
        raise SettingsError(f"driver 'pylabrobot' is for a liquid-handler, an incubator or a shaker, not for a {kind}")
    return KINDS[kind](kind, options, lab)
