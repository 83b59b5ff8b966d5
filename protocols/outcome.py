"""What a liquid handler says of a deck load, as the ledger takes it: done, drawn but not dispensed, or nobody knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nextplate.errors import DataError
from protocols.model import DeckLoad
from protocols.steps import Transfer
from protocols.volumes import NOTHING, Interval, is_count

NOTHING_MOVED = "nothing moved"
"""The last words of a driver's message where that is certain."""


@dataclass(frozen=True, slots=True)
class Handling:
    """How far a liquid handler's word goes."""

    error_share: float = 0.0
    """A volume it confirms may be off by this share of it, either way; 0: exact."""
    notices_blockage: bool = True
    """False: it has no pressure sensor, so a transfer it confirms may have moved anything from nothing to the plan."""

    def moved(self, volume_nl: int) -> Interval:
        """Return what a confirmed volume may really have been."""
        there = Interval.exactly(volume_nl).spread(self.error_share)
        return there if self.notices_blockage else there.reaching(NOTHING)


EXACT = Handling()
"""A handler whose every word is true to the nanolitre."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known of one load."""

    dispensed: Mapping[int, int]
    """By transfer, nanolitres that arrived; below the plan: air was drawn or a tip clogged."""
    drawn: Mapping[int, int] = field(default_factory=dict)
    """By transfer, nanolitres that left the source, where the handler says so; liquid that was not dispensed went to
    waste with its tip."""
    other_steps: frozenset[int] = frozenset()
    """Numbers of the steps that are no transfers and were done; those before a reported transfer count anyway."""
    is_certain: bool = True
    """False: nobody knows what happened after the last thing reported. True: at most the step after it was begun."""
    is_begun: bool = True
    """False: it is certain that nothing was begun."""

    @classmethod
    def whole(cls, load: DeckLoad) -> "Outcome":
        """Return the outcome of a load that went as planned."""
        others = frozenset(step.step_id for step in load.steps if not isinstance(step, Transfer))
        return cls({t.transfer_id: t.volume_nl for t in load.transfers}, other_steps=others)

    @classmethod
    def of(cls, status: str, result: Mapping[str, Any], load: DeckLoad, message: str = "") -> "Outcome":
        """Read the result of a RunLoad (drivers.ports).

        Args:
            status: done, failed or unknown. Of a load that is done and does not list all its transfers nobody knows.
            result: with ``transfers``, [transfer_id, nl dispensed]; where the device tells, ``drawn`` likewise, and
                ``steps``, numbers of other steps done. A failed load that lists nothing may have stopped in its first
                step, unless it says otherwise: see says_never_began.
            load: that was run.
            message: of the report.

        Raises:
            DataError: numbers that are not of this load, listed twice, or volumes outside 0 to the plan.
        """
        planned = {t.transfer_id: t for t in load.transfers}
        dispensed = read_confirmed(result.get("transfers", ()), planned)
        drawn = read_confirmed(result.get("drawn", ()), planned)
        others = {step.step_id for step in load.steps if not isinstance(step, Transfer)}
        told = _listed(result.get("steps", tuple(others) if status == "done" else ()), "steps")
        if unknown := [number for number in told if not is_count(number) or number not in others]:
            raise DataError(f"step {unknown[0]!r:.60} is not of this load")
        is_certain = len(dispensed) == len(planned) if status == "done" else status == "failed"
        is_begun = not (status == "failed" and says_never_began(result, message))
        return cls(dispensed, drawn, frozenset(told), is_certain, is_begun)


def says_never_began(result: Mapping[str, Any], message: str = "") -> bool:
    """Tell whether a failed load's report says for certain that nothing was begun; to list nothing does not say it.

    Args:
        result: ``begun`` = 0 says it, where nothing is listed.
        message: of a report without ``transfers``, which a driver makes that refused the load: its last words may say
            it, NOTHING_MOVED.
    """
    if any(result.get(name) for name in ("transfers", "drawn", "steps")):
        return False
    if "begun" in result:
        return is_count(result["begun"]) and result["begun"] == 0
    return "transfers" not in result and message.endswith(NOTHING_MOVED)


def read_confirmed(confirmed: Any, planned: Mapping[int, Transfer]) -> dict[int, int]:
    """Read pairs of transfer and volume.

    Raises:
        DataError: no list of pairs; a transfer not of this load or listed twice, a volume outside 0 to the planned.
    """
    done: dict[int, int] = {}
    for pair in _listed(confirmed, "transfers"):
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise DataError(f"{pair!r:.60} is no pair of a transfer and a volume")
        number, volume_nl = pair
        if not is_count(number) or number not in planned or number in done:
            twice = is_count(number) and number in done
            raise DataError(f"transfer {number} is {'confirmed twice' if twice else 'not of this load'}")
        t = planned[number]
        if not is_count(volume_nl) or volume_nl > t.volume_nl:
            raise DataError(
                f"transfer {number} into {t.destination_well} of {t.destination_plate}: {volume_nl!r} nl confirmed; "
                f"expected whole nanolitres from 0 to {t.volume_nl}"
            )
        done[number] = volume_nl
    return done


def _listed(value: Any, what: str) -> list[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise DataError(f"{what} is {value!r:.60}, not a list")
    return list(value)
