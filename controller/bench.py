"""The devices of a lab, one at a time: which there are, what they answer, and a bundle for a bug report."""

import io
import json
import platform
import re
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from controller.devices import GROUP, make_device
from controller.files import write_bytes
from controller.settings import DeviceSection, Settings
from drivers.ports import Command, Device, FetchPlate, ReadBarcode, Report, ShakePlate, Status, StorePlate
from drivers.serial_options import wire_log_path
from nextplate.errors import DataError, NextplateError

JSON = Mapping[str, Any]
_PACKAGES = ("nextplate", "pyserial", "opentrons", "numpy", "pydantic", "SQLAlchemy")
_SECRET = re.compile(r"(?i)^(\s*\S*(?:password|secret|token|key)\S*\s*=\s*).*$", re.MULTILINE)
_LOGIN = re.compile(r"://[^/\s@\"']+@")
_CHANNELS = re.compile(r"(?ms)^\s*\[notifications.*?(?=^\s*\[(?!\[?\s*notifications)|\Z)")
_ADDRESS = re.compile(r"([\"'])[A-Za-z0-9+.-]+://.*?\1")
_LOOK_S = 30.0


@runtime_checkable
class Inspected(Protocol):
    """A device that can be looked at while nothing moves; drivers.worker.WorkerDevice is one."""

    def inspect(self, wait_s: float = ..., /) -> JSON:
        """Return versions, sensors and readings."""


def list_devices(settings: Settings) -> JSON:
    """Tell which devices lab.toml names, and which drivers are installed."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return {
        "devices": [_described(section) for section in settings.device],
        "drivers": [{"name": "sim", "from": "nextplate", "problem": ""}, *map(_found, points)],
    }


def list_text(body: JSON) -> str:
    """Write the list for people."""
    lines = ["devices in lab.toml:"]
    lines += [f"  {d['name']:<14} {d['kind']:<15} {d['driver']:<15} {_spelled(d['options'])}" for d in body["devices"]]
    lines += ["drivers installed:"]
    lines += [f"  {d['name']:<15} {d['from']} {d['problem']}".rstrip() for d in body["drivers"]]
    return "\n".join(lines)


def section_of(settings: Settings, name: str) -> DeviceSection:
    """Return the device of a name.

    Raises:
        DataError: there is none; says which there are.
    """
    for section in settings.device:
        if section.name == name:
            return section
    known = ", ".join(section.name for section in settings.device)
    raise DataError(f"lab.toml names no device {name!r}; there are: {known}")


@contextmanager
def opened(section: DeviceSection, folder: Path) -> Iterator[Device]:
    """Make one device for a while.

    Raises:
        SettingsError: its driver is not installed or refuses its options.
        DataError: it is simulated, and so has nothing to look at.
    """
    if section.driver == "sim":
        raise DataError(f"device {section.name!r} is simulated; there is no wire to look at")
    device = make_device(section, folder)
    try:
        yield device
    finally:
        if close := getattr(device, "close", None):
            close()


def looked_at(device: Device, section: DeviceSection) -> JSON:
    """Ask a device what it is and how it stands; moves nothing.

    Raises:
        DeviceError: it does not answer.
    """
    if not isinstance(device, Inspected):
        return {"note": f"driver {section.driver!r} offers no look at its device"}
    return device.inspect(_LOOK_S)


@dataclass(frozen=True, slots=True)
class Trial:
    """A short motion that shows that a device works."""

    question: str
    """What a person has to see to before; with ``{barcode}``."""
    commands: Callable[[str], Sequence[tuple[str, Command]]]
    """Of a barcode: what is done, by name, in order."""


TRIALS: Mapping[str, Trial] = {
    "incubator": Trial(
        "Is plate {barcode} on the transfer station, and nobody's hand near? Store it and fetch it again?",
        lambda barcode: (("store", StorePlate(barcode)), ("fetch", FetchPlate(barcode))),
    ),
    "shaker": Trial(
        "Is plate {barcode} on the shaker, clamped? Shake it for 2 s at 400 rpm?",
        lambda barcode: (("shake", ShakePlate(barcode, 400, 2)),),  # a speed that all shakers have
    ),
    "barcode-reader": Trial(
        "Is plate {barcode} in front of the reader? Read it?",
        lambda barcode: (("read", ReadBarcode(barcode)),),
    ),
}
"""By kind of device; washers and dispensers have none that leaves a plate as it is, handlers and arms none so short."""


def tried(
    device: Device, trial: Trial, key: str, barcode: str, wait: Callable[[], None]
) -> Sequence[tuple[str, Report]]:
    """Have a device do its short motion; stops at what does not succeed."""
    reports: list[tuple[str, Report]] = []
    for verb, command in trial.commands(barcode):
        device.submit(command, f"{key}.{verb}")
        while (report := device.poll(f"{key}.{verb}")).status is Status.RUNNING:
            wait()
        reports.append((verb, report))
        if report.status is not Status.DONE:
            break
    return reports


def examine(folder: Path, settings: Settings) -> JSON:
    """Look at every device; what is wrong with one stands beside its name."""
    return {
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "ports": _ports(),
        "drivers": list_devices(settings)["drivers"],
        "devices": [{**_described(section), **_examined(section, folder)} for section in settings.device],
    }


def examined_text(body: JSON) -> str:
    """Write an examination for people."""
    lines = [f"nextplate {body['versions'].get('nextplate', '?')}, Python {body['python']}, {body['system']}"]
    lines += [f"serial ports: {', '.join(body['ports']) or 'none found'}"]
    for device in body["devices"]:
        lines.append(f"{'ok   ' if device['answers'] else 'WRONG'} {device['name']} ({device['driver']})")
        lines += [f"      {line}" for line in (device["problem"] or spelled_look(device["look"])).splitlines()]
    return "\n".join(lines)


def spelled_look(look: JSON) -> str:
    """Write what a device answered for people, one thing a line."""
    return "\n".join(f"{name}: {_spelled(v) if isinstance(v, Mapping) else v}" for name, v in look.items())


def write_bundle(path: Path, folder: Path, body: JSON) -> int:
    """Write a zip with the examination, lab.toml without its secrets, every device's log and memory; count the files.

    Raises:
        DataError: the file exists already.
    """
    if path.exists():
        raise DataError(f"{path} exists; name another file")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("examination.json", json.dumps(body, indent=1, default=str))
        bundle.writestr("lab.toml", without_secrets((folder / "lab.toml").read_text(encoding="utf-8-sig")))
        for place in (folder / "logs" / "wire", folder / "logs" / "devices"):
            for file in sorted(place.rglob("*")):
                if file.is_file() and not file.name.startswith("."):
                    bundle.write(file, file.relative_to(folder).as_posix())
        n_files = len(bundle.namelist())
    write_bytes(path, content.getvalue())
    return n_files


def without_secrets(text: str) -> str:
    """Blank passwords and tokens in the text of lab.toml, logins in URLs, and every address of [notifications]."""
    text = _CHANNELS.sub(lambda table: _ADDRESS.sub('"***"', table[0]), text)
    return _LOGIN.sub("://***@", _SECRET.sub(r'\1"***"', text))


def log_of(section: DeviceSection, folder: Path) -> Path:
    """Return the file in which the bytes of a device's wire are logged.

    Raises:
        DataError: there is none yet.
    """
    path = wire_log_path(folder, section.kind)
    if not path.exists():
        raise DataError(f"no byte of {section.name!r} was logged yet: there is no {path}")
    return path


def fresh_key(now: datetime) -> str:
    """Return a key for a test that nobody used before."""
    return f"device-test.{now:%Y%m%d-%H%M%S-%f}"


def _examined(section: DeviceSection, folder: Path) -> JSON:
    if section.driver == "sim":
        return {"answers": True, "problem": "", "look": {"note": "simulated"}}
    try:
        with opened(section, folder) as device:
            return {"answers": True, "problem": "", "look": looked_at(device, section)}
    except NextplateError as error:
        return {"answers": False, "problem": str(error), "look": {}}


def _described(section: DeviceSection) -> dict[str, Any]:
    return {"name": section.name, "kind": section.kind, "driver": section.driver, "options": dict(section.options)}


def _found(point: EntryPoint) -> dict[str, str]:
    source = f"{point.dist.name} {point.dist.version}" if point.dist else "?"
    try:
        point.load()
    except (ImportError, AttributeError) as error:
        return {"name": point.name, "from": source, "problem": f"cannot be loaded: {error}"}
    return {"name": point.name, "from": source, "problem": ""}


def _spelled(options: JSON) -> str:
    return ", ".join(f"{name} = {value}" for name, value in options.items())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _ports() -> list[str]:
    """Return the serial ports that this machine has; none where pyserial is not installed."""
    try:
        from serial.tools.list_ports import comports  # type: ignore[import-untyped]
    except ImportError:
        return []
    return [f"{port.device} ({port.description})" for port in comports()]
