"""A lab that stands but for `Port.work`: what the rigs of the drivers on wires share (test_device_ports.py)."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from device_rig import Left, Port, Rig

from drivers.ports import Status
from drivers.wire import Line, LineSettings, line_at

KEYS = ("k", "other", "new")
"""Of the commands that the suite gives."""
SOON_S = 0.1
"""How long a lookup waits in these labs, whose devices stand still."""


def wait_for(is_so: Callable[[], object], within_s: float = 20.0) -> None:
    """Wait until something is so; where it never is, what the test asks next will tell."""
    end = time.monotonic() + within_s
    while not is_so() and time.monotonic() < end:
        time.sleep(0.002)


@dataclass(frozen=True)
class Spoiled:
    """A folder that a driver lives by: it can be taken away, and a file of it be made unwritable."""

    home: Path
    away: Path
    """Where it is meanwhile."""
    blocked: Path
    """Made a folder, where the driver wants to write its file."""

    def faults(self, before: Callable[[], None] = lambda: None) -> dict[str, Callable[[], object]]:
        """Return the suite's faults; before it is taken away something may have to be awaited."""

        def take_away() -> None:
            before()
            self.home.rename(self.away)

        return {"refused": self.blocked.mkdir, "offline": take_away}

    def repair(self) -> None:
        """Put it back, and let files be written."""
        if self.away.exists():
            self.away.rename(self.home)
        if self.blocked.exists():
            self.blocked.rmdir()


@dataclass(frozen=True)
class Standing:
    """An open device with a worker's memory, and a lab whose time can be made to pass."""

    device: Any
    memory: Path
    effects: Callable[[], int]
    is_begun: Callable[[], object]
    """What was given has begun, as far as it will while the lab stands."""
    go: Callable[[], None]
    """Let time pass."""
    stand: Callable[[], None]
    """Let none pass."""
    set_out: Callable[[], None] = lambda: None
    """Let it come to the beginning, where that takes time; nothing happens where it has."""

    def port(self) -> Port:
        """Return it as the suite wants it; its memory can be taken away, and its files be made unwritable."""
        spoiled = Spoiled(self.memory, self.memory.with_name("away"), self.memory / "asked" / ".k.json.tmp")

        def is_running() -> bool:
            return any(self.device.poll(key).status is Status.RUNNING for key in KEYS)

        def begin() -> None:
            self.set_out()
            wait_for(lambda: self.is_begun() or not is_running())
            self.stand()

        def work() -> None:
            self.go()
            wait_for(lambda: not is_running())
            self.stand()

        def close() -> None:
            begin()  # what is not begun yet would be NOT_FOUND, and rightly
            self.device.close()

        return Port(self.device, self.effects, work, begin, close, spoiled.faults(begin), spoiled.repair)


Lab = TypeVar("Lab")
STANDING_FAULTS = frozenset({"refused", "offline"})


class Gate:
    """Between a driver and its wire: shut, nothing that the device says comes through."""

    def __init__(self) -> None:
        self.is_shut, self._shuts_at, self._was_shut_at = True, b"", b""

    def shut(self) -> None:
        """Let nothing through."""
        self.is_shut = True

    def open(self, until: bytes = b"") -> None:
        """Let all through, until the driver writes this; nothing, where it has written it already."""
        if not until or until != self._was_shut_at:
            self._shuts_at, self.is_shut = until, False

    def wrote(self, data: bytes) -> None:
        """Hear what the driver writes."""
        if self._shuts_at and self._shuts_at in data:
            self.is_shut, self._was_shut_at = True, self._shuts_at

    def line(self, port: str, settings: LineSettings) -> Line:
        """Open a port behind the gate."""
        return GatedLine(line_at(port, settings), self)  # type: ignore[return-value]


class GatedLine:
    """A port behind a gate."""

    def __init__(self, line: Line, gate: Gate) -> None:
        self.__dict__.update(_line=line, _gate=gate)

    def __getattr__(self, name: str) -> object:
        return getattr(self._line, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._line, name, value)

    @property
    def in_waiting(self) -> int:
        return 0 if self._gate.is_shut else self._line.in_waiting

    def read(self, size: int = 1) -> bytes:
        if self._gate.is_shut:
            time.sleep(0.002)
            return b""
        data: bytes = self._line.read(size)
        return data

    def write(self, data: bytes) -> int | None:
        self._gate.wrote(data)
        n: int | None = self._line.write(data)
        return n

    def close(self) -> None:
        self._line.close()


class Folders(Generic[Lab]):
    """Labs whose emulators outlive a process, by folder; closed when a test ends."""

    def __init__(self, make: Callable[[Path], Lab]) -> None:
        self._make, self._labs = make, dict[Path, Lab]()

    def at(self, folder: Path) -> Lab:
        """Return the lab of a folder, made when it is asked for first."""
        if folder not in self._labs:
            self._labs[folder] = self._make(folder)
        return self._labs[folder]

    def close(self) -> None:
        """Close them all."""
        for lab in self._labs.values():
            lab.close()  # type: ignore[attr-defined]
        self._labs.clear()


class Kinds:
    """Every kind of lab here, to close what a test opened."""

    def __init__(self) -> None:
        self._kinds: list[Folders[Any]] = []

    def add(self, make: Callable[[Path], Any]) -> Folders[Any]:
        """Return the labs of a kind."""
        self._kinds.append(Folders(make))
        return self._kinds[-1]

    def close(self) -> None:
        """Close them all."""
        for kind in self._kinds:
            kind.close()


FOLDERS = Kinds()


def _of(command: Any) -> Callable[[Path], Any]:
    return lambda folder: command


def standing_rig(
    open_port: Callable[[Path], Port], works: Any, fails: Any, keys: set[str], driver: str, left: Left = Left.GOES_ON
) -> Rig:
    """Return the rig of a port that stands; a command, or what makes one in a folder."""
    made = [command if callable(command) else _of(command) for command in (works, fails)]
    return Rig(open_port, made[0], made[1], frozenset(keys), STANDING_FAULTS, driver=driver, left=left)
