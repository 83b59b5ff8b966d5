"""What every washer's and dispenser's driver can be told in lab.toml, and how its device is put together."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.program_handler import Pace, ProgramHandler
from drivers.program_machine import ProgramMachine
from drivers.program_trace import Trace
from drivers.serial_options import memory_of
from drivers.worker import WorkerDevice
from nextplate.errors import NeedsOperator, SettingsError

PACE: Mapping[str, type] = {"program_s": float, "poll_s": float, "patience_s": float, "connect_s": float}
"""See `drivers.program_handler.Pace`."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,79}")


def check_kind(driver: str, kind: str, kinds: tuple[str, ...]) -> None:
    """See that a driver is asked for a device that it is for.

    Raises:
        SettingsError: it is not.
    """
    if kind not in kinds:
        raise SettingsError(f"driver {driver!r} is for a {' or a '.join(kinds)}, not for a {kind}")


def pace_of(said: Mapping[str, Any]) -> Pace:
    """Return the pace that the options ask for."""
    return Pace(**{name: float(said[name]) for name in PACE if name in said})


def program_device(handler: ProgramHandler, said: Mapping[str, Any], kind: str, lab: Path) -> WorkerDevice:
    """Put worker, memory, trace and a vendor's handler together.

    Raises:
        SettingsError: the memory cannot be made.
    """
    memory = memory_of(kind, lab)
    machine = ProgramMachine(kind, handler, Trace(memory.place / "trace.json"), pace_of(said))
    return WorkerDevice(machine, memory)


def program_file(folder: Path, name: str, ending: str) -> Path:
    """Return the file of a program.

    Raises:
        NeedsOperator: a name that no file of this folder can have.
    """
    if not _NAME.fullmatch(name):
        raise NeedsOperator(
            f"{name[:80]!a} is no name of a program; it is the name of a file in {folder} without {ending}"
        )
    return folder / f"{name}{ending}"


def program_text(folder: Path, name: str, ending: str, max_bytes: int = 100_000) -> str:
    """Read the file of a program.

    Raises:
        NeedsOperator: there is none (names those there are), or it is no text.
    """
    path = program_file(folder, name, ending)
    try:
        content = path.read_bytes()
    except OSError as error:
        there = ", ".join(program_names(folder, ending)) or "none"
        raise NeedsOperator(f"program {name!r}: {path} cannot be read ({error}); there are: {there}") from error
    if len(content) > max_bytes:
        raise NeedsOperator(f"program {name!r}: {path} has {len(content)} bytes; is that a program?")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NeedsOperator(f"program {name!r}: {path} is not UTF-8 text ({error})") from error


def program_names(folder: Path, ending: str) -> tuple[str, ...]:
    """Name the programs that have a file."""
    return tuple(sorted(path.name.removesuffix(ending) for path in folder.glob(f"*{ending}") if path.is_file()))
