"""What a protocol file was seen to do: the nouns of the proof."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Spot:
    """A well of a piece of labware on the deck."""

    slot: str
    well: str
    """Zero-padded."""

    def __str__(self) -> str:
        return f"{self.well} in slot {self.slot}"


def _nl(volume_nl: float) -> str:
    return f"{volume_nl:g} nl" if volume_nl != round(volume_nl) else f"{round(volume_nl)} nl"


def _tip(tip: Spot, *, is_fresh: bool) -> str:
    return f"{'' if is_fresh else 'the used tip '}{tip}"


@dataclass(frozen=True, slots=True)
class SeenTransfer:
    """One aspiration and one dispense of one channel, as the interpreter carried them out."""

    PARTS: ClassVar[tuple[str, ...]] = ("source", "destination", "volume", "tip", "number of channels")
    source: Spot
    destination: Spot
    volume_nl: float
    tip: Spot
    is_fresh: bool = True
    """Whether the tip was picked up for it; False: it was on already."""
    n_channels: int = 1
    """8: one of the eight of a stroke."""

    def parts(self) -> tuple[str, ...]:
        """Return what a difference names, in the order of PARTS."""
        tip = _tip(self.tip, is_fresh=self.is_fresh)
        return str(self.source), str(self.destination), _nl(self.volume_nl), tip, str(self.n_channels)

    def __str__(self) -> str:
        source, destination, volume, tip, n = self.parts()
        channels = "" if self.n_channels == 1 else f" ({n} channels)"
        return f"moves {volume} from {source} to {destination} with tip {tip}{channels}"


@dataclass(frozen=True, slots=True)
class SeenMix:
    """Liquid drawn from a well and given back, so often."""

    PARTS: ClassVar[tuple[str, ...]] = ("well", "volume", "number of cycles", "tip", "number of channels")
    well: Spot
    volume_nl: float
    cycles: int
    tip: Spot
    is_fresh: bool = True
    n_channels: int = 1

    def parts(self) -> tuple[str, ...]:
        """Return what a difference names, in the order of PARTS."""
        tip = _tip(self.tip, is_fresh=self.is_fresh)
        return str(self.well), _nl(self.volume_nl), str(self.cycles), tip, str(self.n_channels)

    def __str__(self) -> str:
        well, volume, cycles, tip, _ = self.parts()
        return f"mixes {well} {cycles} times with {volume} with tip {tip}"


@dataclass(frozen=True, slots=True)
class SeenWait:
    """The robot stands still."""

    PARTS: ClassVar[tuple[str, ...]] = ("wait",)
    wait_s: float

    def parts(self) -> tuple[str, ...]:
        """Return what a difference names, in the order of PARTS."""
        return (f"{self.wait_s:g} s",)

    def __str__(self) -> str:
        return f"waits {self.wait_s:g} s"


@dataclass(frozen=True, slots=True)
class SeenMove:
    """The gripper carries labware."""

    PARTS: ClassVar[tuple[str, ...]] = ("start", "end")
    source: str
    """Slot."""
    target: str

    def parts(self) -> tuple[str, ...]:
        """Return what a difference names, in the order of PARTS."""
        return f"slot {self.source}", f"slot {self.target}"

    def __str__(self) -> str:
        return f"carries what stands in slot {self.source} to slot {self.target}"


SeenStep = SeenTransfer | SeenMix | SeenWait | SeenMove


def joined(steps: Iterable[tuple[SeenStep, str]]) -> list[tuple[SeenStep, str]]:
    """Join mixes that follow each other in one well with one tip: a command list does not tell them apart."""
    made: list[tuple[SeenStep, str]] = []
    for step, name in steps:
        last = made[-1][0] if made else None
        if isinstance(step, SeenMix) and isinstance(last, SeenMix) and continues(last, step):
            made[-1] = replace(last, cycles=last.cycles + step.cycles), made[-1][1]
        else:
            made.append((step, name))
    return made


def continues(last: SeenMix, step: SeenMix) -> bool:
    """Tell whether a mix only goes on with the one before it."""
    return replace(step, cycles=last.cycles, is_fresh=last.is_fresh) == last and not step.is_fresh
