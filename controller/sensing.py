"""Sensors: a device whose temperature, CO2 or door is out of its band is suspended, and goes on by itself.

Nothing new is given to a suspended device; what it does it ends, and all others go on. Suspension and its end are
events of the journal, with the reading and the band.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from controller.state import LabState
from drivers.ports import Device, Sensing

JSON = Mapping[str, Any]
Bands = Mapping[str, Mapping[str, tuple[float, float]]]
"""Lowest and highest value allowed, by kind of device and by reading."""
SUSPENDED, RESUMED = "device.suspended", "device.resumed"


@dataclass(slots=True)
class SensorWatch:
    """Looks at the sensors now and then; keeps nothing that the journal does not have."""

    bands: Bands
    devices: Mapping[str, Device]
    every: timedelta
    _next: datetime | None = None

    def news(self, state: LabState, now: datetime) -> list[tuple[str, None, JSON]]:
        """Return what is to be journalled of the sensors now: kind of event, no campaign, payload."""
        if not self.bands or (self._next is not None and now < self._next):
            return []
        self._next = now + self.every
        return [(kind, None, told) for device in self.bands for kind, told in self._changes(state, device)]

    def wakes(self, state: LabState, now: datetime, *, is_idle: bool) -> datetime | None:
        """Tell when the sensors are to be looked at again; None: nothing waits for them.

        Args:
            state: of the lab.
            now: UTC.
            is_idle: nothing else can come without a person; then only a suspension that is not too old is waited for.
        """
        waited = [now - since for since in state.suspended_since.values()]
        is_hopeless = is_idle and (not waited or min(waited) > _PATIENCE)
        return self._next if self.bands and not is_hopeless else None

    def _changes(self, state: LabState, device: str) -> Iterator[tuple[str, JSON]]:
        port = self.devices.get(device)
        said: Mapping[str, float] = port.readings() if isinstance(port, Sensing) else {}
        for name, (low, high) in self.bands[device].items():
            value = said.get(name)
            if value is None:
                continue  # a sensor that says nothing changes nothing
            is_out, was_out = not low <= value <= high, name in state.suspended.get(device, ())
            if is_out != was_out:
                told = {"device": device, "reading": name, "value": value, "band": [low, high]}
                yield SUSPENDED if is_out else RESUMED, told


_PATIENCE = timedelta(days=7)
"""A device that is suspended for longer needs a person."""


def sensor_text(told: JSON) -> str:
    """Say a reading and its band."""
    low, high = told["band"]
    return f"{told['device']}: {told['reading']} is {told['value']:g}, allowed {low:g} to {high:g}"
