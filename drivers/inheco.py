"""Inheco Incubator Shakers on their serial line (19200 8N1), as an incubator or as a shaker; facts/devices.md 4.6.

::

    driver = "inheco"
    options = { port = "/dev/ttyUSB0", temperature_c = 37.0 }

A unit is a drawer for one plate. What the arm reaches is the drawer when it is open:

- incubator: FetchPlate opens the drawer, and it stays open, so that the arm takes the plate and puts the next one
  there; StorePlate closes it. Before the first night the drawer has to be open and empty: ``python -m
  drivers.inheco_drawer open --port /dev/ttyUSB0`` does that, or a hand. nextplate opens no drawer unasked, so a night
  that finds it closed fails at the arm's move or says that no plate stands on the transfer station.
- shaker: ShakePlate closes the drawer on the plate, shakes, and opens it again. It has no timer of its own: nextplate
  stops it, and a process killed meanwhile leaves that to the next one.

The drawer is moved only while the shaker stands still, and the shaker started only with a plate behind a closed drawer.
After it was switched on a unit wants to be initialised, which closes its drawer and is a person's (``... init``).

One port is one device of a lab: a stack's other units, or the same unit as incubator and shaker at once, need a second
controller and are refused ("in use"). Options beside those of `drivers.serial_options`: ``dip`` (2) and ``unit`` (0,
the lowest) of the stack; ``sees_open`` (true): the plate sensor is believed while the drawer is open. Whether it may be
is untested on hardware; with false an open drawer counts as holding a plate, and the sensor is asked once it is closed.
``temperature_c``: what the incubator is set to before it takes a plate in; left out, as it is. ``amplitude_mm`` (3) of
the shaker's orbit. Nothing was tried on a real device.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.incubator_options import incubator_device, incubator_options
from drivers.inheco_incubator import InhecoIncubator
from drivers.inheco_link import SETTINGS, Link
from drivers.inheco_shaker import InhecoShaker
from drivers.inheco_unit import Unit
from drivers.serial_options import wire_of
from drivers.shaker_options import shaker_device, shaker_options
from drivers.worker import WorkerDevice
from nextplate.errors import SettingsError

DIP, UNIT = 2, 0
_STACK: Mapping[str, type] = {"dip": int, "unit": int, "sees_open": bool}
_INCUBATOR: Mapping[str, type] = {**_STACK, "temperature_c": float}
_SHAKER: Mapping[str, type] = {**_STACK, "amplitude_mm": float}
_WARMEST_C, _WIDEST_MM = 80.0, 3.0


def make(kind: str, options: Mapping[str, Any], lab: Path) -> WorkerDevice:
    """Make the driver of an incubator or a shaker (drivers.options.Make).

    Raises:
        SettingsError: an option is missing, unknown or wrong; neither of both.
    """
    numbers = {name: options[name] for name in ("dip", "unit") if name in options}
    rest = {name: value for name, value in options.items() if numbers.get(name) != 0}  # 0 is a number of both
    if kind == "incubator":
        said = incubator_options("inheco", kind, rest, {}, _INCUBATOR)
        _bound(said, "temperature_c", _WARMEST_C)
        unit = _unit(said, numbers, kind, lab)
        handler = InhecoIncubator(unit, said.get("temperature_c"), sees_open=said.get("sees_open", True))
        return incubator_device(handler, said, kind, lab)
    if kind != "shaker":
        raise SettingsError(f"driver 'inheco' is for an incubator or a shaker, not for a {kind}")
    said = shaker_options("inheco", kind, rest, {}, _SHAKER)
    _bound(said, "amplitude_mm", _WIDEST_MM)
    amplitude_mm = float(said.get("amplitude_mm", _WIDEST_MM))
    shaker = InhecoShaker(_unit(said, numbers, kind, lab), amplitude_mm, sees_open=said.get("sees_open", True))
    return shaker_device(shaker, said, kind, lab)


def _unit(said: Mapping[str, Any], numbers: Mapping[str, Any], kind: str, lab: Path) -> Unit:
    dip, unit = numbers.get("dip", DIP), numbers.get("unit", UNIT)
    for name, value, most in (("dip", dip, 15), ("unit", unit, 5)):
        if not (isinstance(value, int) and 0 <= value <= most):
            raise SettingsError(f"option {name} = {value!r} should be 0 to {most}")
    return Unit(Link(wire_of(said, SETTINGS, kind, lab), dip=dip, unit=unit, reply_s=said.get("reply_s", 1.0)))


def _bound(said: Mapping[str, Any], name: str, most: float) -> None:
    if said.get(name, 0.0) > most:
        raise SettingsError(f"option {name} = {said[name]!r} should be at most {most:g}")
