"""The devices of a lab, one at a time: which there are, what they answer, and a bundle for a bug report."""

import io
import json
import os
import platform
import sys
import time
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from controller.devices import GROUP, make_device
from controller.files import write_bytes
from controller.secrecy import blanked, cleaned, settings_to_show, without
from controller.settings import DeviceSection, Settings
from drivers.ports import Command, Device, FetchPlate, ReadBarcode, Report, ShakePlate, Status, StorePlate
from drivers.serial_options import wire_log_path
from nextplate.errors import DataError, NextplateError, Transient

JSON = Mapping[str, Any]
_PACKAGES = ("nextplate", "pyserial", "opentrons", "numpy", "pydantic", "SQLAlchemy")
_LOOK_S = 30.0
BUSY_S = 180.0
"""How long a short motion waits for a device that settles what an earlier, killed process began."""


@runtime_checkable
class Inspected(Protocol):
    """A device that can be looked at while nothing moves; drivers.worker.WorkerDevice is one."""

    def inspect(self, wait_s: float = ..., /) -> JSON:
        """Return versions, sensors and readings."""


def list_devices(settings: Settings) -> JSON:
    """Tell which devices lab.toml names, and which drivers are installed."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    installed = {"sim", *(point.name for point in points)}
    return {
        "devices": [{**_described(section), "problem": _missing(section, installed)} for section in settings.device],
        "drivers": [{"name": "sim", "from": "nextplate", "problem": ""}, *map(_found, points)],
    }


def list_text(body: JSON) -> str:
    """Write the list for people."""
    lines = ["devices in lab.toml:"]
    for d in body["devices"]:
        lines.append(f"  {d['name']:<14} {d['kind']:<15} {d['driver']:<15} {_spelled(d['options'])}".rstrip())
        lines += [f"      WRONG: {d['problem']}"] if d["problem"] else []
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
    device: Device, trial: Trial, key: str, barcode: str, wait: Callable[[], None], tell: Callable[[str], object] = str
) -> Sequence[tuple[str, Report]]:
    """Have a device do its short motion; stops at what does not succeed.

    Args:
        device: The device.
        trial: What it does.
        key: Of the motion; each of its commands has one that begins with it.
        barcode: Of the plate.
        wait: Waits a moment between two looks.
        tell: Is told, once, what is waited for before it can begin.

    Raises:
        Transient: it did not take a command within `BUSY_S`; says what it is busy with, and the way out.
        NeedsOperator: it refused.
    """
    reports: list[tuple[str, Report]] = []
    for verb, command in trial.commands(barcode):
        _handed_over(device, command, f"{key}.{verb}", wait, tell)
        while (report := device.poll(f"{key}.{verb}")).status is Status.RUNNING:
            wait()
        reports.append((verb, report))
        if report.status is not Status.DONE:
            break
    return reports


def _handed_over(
    device: Device, command: Command, key: str, wait: Callable[[], None], tell: Callable[[str], object]
) -> None:
    """Submit, and again while the device settles what an earlier process began."""
    until, said = time.monotonic() + BUSY_S, ""
    while True:
        try:
            return device.submit(command, key)
        except Transient as error:
            if device.lookup(key).status is not Status.NOT_FOUND:
                return None
            if time.monotonic() >= until:
                raise Transient(
                    f"{error}; waited {BUSY_S:.0f} s: what was begun is settled as soon as the device answers, so see "
                    "that it is on and connected, do what is said above, and try again"
                ) from error
            if not said:
                said = str(error)
                tell(f"waiting: {said}")
        wait()


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
    """Write a zip with the examination, the settings, every device's log and memory, without secrets; count the files.

    The settings are in it as ``lab.json``: what was read from lab.toml, not its text, as a comment may hold anything.

    Raises:
        DataError: the file exists already.
    """
    if path.exists():
        raise DataError(f"{path} exists; name another file")
    settings, secrets = settings_to_show(folder, os.environ)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as bundle:

        def add(name: str, data: bytes) -> None:
            bundle.writestr(name, without(secrets, data))

        for name, said in (("examination.json", blanked(body)), ("lab.json", settings)):
            add(name, json.dumps(said, indent=1, default=str, ensure_ascii=False).encode())
        for place in (folder / "logs" / "wire", folder / "logs" / "devices"):
            for file in sorted(place.rglob("*")):
                if file.is_file() and not file.name.startswith("."):
                    add(file.relative_to(folder).as_posix(), cleaned(file.read_bytes(), secrets))
        n_files = len(bundle.namelist())
    write_bytes(path, content.getvalue())
    return n_files


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
    options = blanked(section.options)
    return {"name": section.name, "kind": section.kind, "driver": section.driver, "options": options}


def _missing(section: DeviceSection, installed: Collection[str]) -> str:
    """Say that a device's driver is not there; "" where it is."""
    if section.driver in installed:
        return ""
    near = get_close_matches(section.driver, installed, n=1)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    return f"no driver {section.driver!r} is installed{guess}"


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
