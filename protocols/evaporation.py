"""What plates that stand open lose to the air."""

from collections.abc import Collection, Mapping

from protocols.steps import Incubate, Seal, Step
from protocols.stock import PlateCare
from protocols.volumes import is_volume


def evaporated_nl(rate_nl_per_h: int, wait_s: float) -> int:
    """Return the most that a well loses in a time, rounded up."""
    return -int(-rate_nl_per_h * wait_s // 3600)


def rates_of(care: Mapping[str, PlateCare]) -> dict[str, int]:
    """Return by plate the most nanolitres a well loses in an hour."""
    return {plate: one.evaporation_nl_per_h for plate, one in care.items()}


def lost_nl(step: Step, rates: Mapping[str, int], sealed: Collection[str]) -> int:
    """Return the most that every well of the step's plate loses meanwhile.

    Args:
        step: only an incubation lasts; one whose time is no whole number above 0 loses nothing.
        rates: by plate; one not listed loses nothing.
        sealed: plates, which lose nothing.
    """
    if not isinstance(step, Incubate) or step.plate in sealed or not is_volume(step.wait_s):
        return 0
    return evaporated_nl(rates.get(step.plate, 0), step.wait_s)


def follow_seal(step: Step, sealed: set[str]) -> None:
    """Change which plates are sealed as a step does."""
    if isinstance(step, Seal):
        (sealed.add if step.is_on else sealed.discard)(step.plate)
