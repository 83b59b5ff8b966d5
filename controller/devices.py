"""Find the driver that lab.toml names for a device and let it make the device.

Drivers are entry points in the group ``nextplate.drivers``: nextplate's own, and those of any other package
installed beside it. What an entry point names is a drivers.options.Make.
"""

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from controller.settings import DeviceSection
from drivers.options import Make
from drivers.ports import Device
from nextplate.errors import SettingsError

GROUP = "nextplate.drivers"


def make_device(section: DeviceSection, lab: Path) -> Device:
    """Make one real device.

    Raises:
        SettingsError: no such driver, it cannot be loaded, or it refuses the options; names file, device and driver.
    """
    where = f"{lab / 'lab.toml'}: device {section.name!r}, driver {section.driver!r}"
    factory = _factory(section.driver, where)
    try:
        return factory(section.kind, section.options, _home(section, lab))
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error


def _home(section: DeviceSection, lab: Path) -> Path:
    """Return the folder of a device: the lab; one that stands in has its own, for two must not share a memory."""
    if not section.stands_in:
        return lab
    folder = lab / "devices" / section.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _factory(name: str, where: str) -> Make:
    points = {point.value: point for point in entry_points(group=GROUP, name=name)}
    if not points:
        known = sorted({"sim", *(point.name for point in entry_points(group=GROUP))})
        raise SettingsError(f"{where}: no such driver is installed (there are: {', '.join(known)})")
    if len(points) > 1:
        raise SettingsError(f"{where}: installed twice, as {' and '.join(sorted(points))}; uninstall one")
    return _loaded(next(iter(points.values())), where)


def _loaded(point: EntryPoint, where: str) -> Make:
    try:
        factory: Make = point.load()
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"{where}: {point.value} cannot be loaded: {error}") from error
    return factory
