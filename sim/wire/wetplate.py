"""The physics of a washer or dispenser: a plate, a bottle, a waste, and deeds that go on when nobody listens."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sim.wire.emulator import Act
from sim.wire.time import EmulatedTime

N_WELLS = 96


class Trouble(StrEnum):
    """Why a run stopped by itself."""

    NO_VACUUM = "no vacuum"
    WASTE_FULL = "waste full"
    NO_BUFFER_AT_START = "no buffer at the start"
    NO_BUFFER = "no buffer in the midst"
    CLEARANCE = "plate clearance"
    WRONG_PLATE = "wrong plate type"
    VIBRATION = "vibrations"
    DOOR = "door"
    SYNTAX = "syntax"


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that a run does to all wells, at its end."""

    what: str
    """empty, fill, or anything else that only takes time."""
    duration_s: float
    volume_ul: float = 0.0
    """Filled into each well, or left in it."""


@dataclass(slots=True)
class _Run:
    name: str
    deeds: list[tuple[float, Deed]]
    """When each ends."""
    n_done: int = 0


@dataclass(slots=True)
class WetPlate:
    """What stands in the device, and what it does."""

    time: EmulatedTime
    plate: str | None = None
    plate_type: int = 96
    volume_ul: float = 50.0
    """In each well."""
    bottle_ul: float = 2_000_000.0
    is_waste_full: bool = False
    has_vacuum: bool = True
    has_clearance: bool = True
    jam: Trouble | None = None
    """For the next deed."""
    trouble: Trouble | None = None
    log: list[Act] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    """What a device must never be asked: a run in a run, ..."""
    _run: _Run | None = None
    _paused_at_s: float | None = None

    @property
    def is_running(self) -> bool:
        """Say whether a run is under way or paused, as of now."""
        self.advance()
        return self._run is not None

    @property
    def is_paused(self) -> bool:
        """Say whether somebody has paused the run."""
        return self._run is not None and self._paused_at_s is not None

    def begin(self, name: str, deeds: Sequence[Deed]) -> None:
        """Begin a run."""
        if self.is_running:
            self.violations.append(f"asked for {name} in the midst of a run")
            return
        at_s, due = self.time.now_s(), []
        self._note(at_s, "begin", name)
        for deed in deeds:
            at_s += deed.duration_s
            due.append((at_s, deed))
        self._run, self.trouble = _Run(name, due), None

    def pause(self) -> None:
        """Press pause."""
        self.advance()
        self._paused_at_s = self.time.now_s()

    def resume(self) -> None:
        """Press resume."""
        if self._paused_at_s is not None and self._run is not None:
            later_s = self.time.now_s() - self._paused_at_s
            self._run.deeds = [(at_s + later_s, deed) for at_s, deed in self._run.deeds]
        self._paused_at_s = None

    def stop(self) -> None:
        """Stop where it is, as when the power fails or somebody aborts."""
        self.advance()
        self._run = self._paused_at_s = None

    def runs(self) -> int:
        """Count the runs that began."""
        return self.count("begin")

    def count(self, what: str) -> int:
        """Count what happened of a kind: begin, end, empty, fill."""
        self.advance()
        return sum(act.what == what for act in self.log)

    def advance(self) -> None:
        """Let happen what was due by now."""
        while self._run is not None and self._paused_at_s is None:
            if self._run.n_done == len(self._run.deeds):
                self._note(self._run.deeds[-1][0] if self._run.deeds else self.time.now_s(), "end", self._run.name)
                self._run = None
                return
            at_s, deed = self._run.deeds[self._run.n_done]
            if self.time.now_s() < at_s:
                return
            self._do(at_s, deed)

    def _do(self, at_s: float, deed: Deed) -> None:
        assert self._run is not None
        if (trouble := self.jam or self._hindrance(deed)) is not None:
            self._note(at_s, "stop", trouble)
            self._run, self.jam, self.trouble = None, None, trouble
            return
        self._run.n_done += 1
        if deed.what == "empty":
            self.volume_ul = min(self.volume_ul, deed.volume_ul)
        elif deed.what == "fill":
            self.volume_ul += deed.volume_ul
            self.bottle_ul -= N_WELLS * deed.volume_ul
        self._note(at_s, deed.what, f"{deed.volume_ul:g} ul")

    def _hindrance(self, deed: Deed) -> Trouble | None:
        """Say what keeps a deed from being done."""
        if not self.has_clearance and deed.what in ("empty", "fill"):
            return Trouble.CLEARANCE
        if deed.what == "empty" and not self.has_vacuum:
            return Trouble.NO_VACUUM
        if deed.what == "empty" and self.is_waste_full:
            return Trouble.WASTE_FULL
        if deed.what == "fill" and self.bottle_ul < N_WELLS * deed.volume_ul:
            return Trouble.NO_BUFFER if self._has_filled else Trouble.NO_BUFFER_AT_START
        return None

    @property
    def _has_filled(self) -> bool:
        assert self._run is not None
        return any(deed.what == "fill" for _, deed in self._run.deeds[: self._run.n_done])

    def _note(self, at_s: float, what: str, place: str) -> None:
        if what in ("empty", "fill") and self.plate is None:
            self.violations.append(f"{what} without a plate")
        self.log.append(Act(at_s, what, self.plate or "", place))
