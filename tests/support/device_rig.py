"""What a driver brings along to join the contract suite (tests/contract/test_device_ports.py)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from drivers.ports import Clock, Device, Report, Status


@dataclass(frozen=True)
class Port:
    """An open device, and the lab around it."""

    device: Device
    effects: Callable[[], int]
    """Counts what physically happened in this folder, in this process or an earlier one."""
    work: Callable[[], None]
    """Let the lab work until what it was given is done, or as far as it will go."""
    begin: Callable[[], None]
    """Let the lab begin with what it was given, and end nothing."""
    close: Callable[[], None]
    """Let go as a process does that ends."""
    faults: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    """Ways to break the device for the next command: reply-lost, refused, offline."""
    repair: Callable[[], None] = lambda: None
    """Take every fault back."""
    clock: Clock | None = None
    """Where the device says when it will be ready: the clock it means."""

    def finish(self, key: str) -> Report:
        for _ in range(100):
            report = self.device.poll(key)
            if report.status is not Status.RUNNING:
                return report
            self.work()
        raise AssertionError(f"{key} never ends")


class Left(StrEnum):
    """What becomes of a command that a process left half-way, when another process asks for it."""

    GOES_ON = "goes on"
    """In the device: it is RUNNING, and ends as if nobody had died."""
    TOLD = "told"
    """It is FAILED or UNKNOWN with what it left behind, and nothing of it is done again: a person is."""
    AGAIN = "again"
    """Nothing moves in one: it is NOT_FOUND, and may be done again."""


@dataclass(frozen=True)
class Rig:
    """One kind of device: how to open it in a folder, a command that works, one that fails."""

    open: Callable[[Path], Port]
    """Opening a folder again finds the same device and the same lab."""
    works: Callable[[Path], Any]
    fails: Callable[[Path], Any]
    result_keys: frozenset[str]
    """What the command promises to tell (drivers.ports)."""
    faults: frozenset[str] = frozenset()
    """Which of Port.faults can be injected."""
    has_clock: bool = False
    driver: str = ""
    """The name of its entry point in group nextplate.drivers; "": none, as of the simulation."""
    left: Left = Left.GOES_ON
