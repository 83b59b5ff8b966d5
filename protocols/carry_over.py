"""Where liquid could be carried from one well into another by a tip that is used more than once."""

from dataclasses import dataclass

from protocols.model import Protocol
from protocols.sentences import named, well_on
from protocols.steps import Mix, Transfer
from protocols.volumes import WellKey


@dataclass(frozen=True, slots=True)
class CarryOver:
    """A tip that goes from one well back into a source."""

    tip: WellKey
    """Rack and position."""
    touched: WellKey
    """The well it was in."""
    liquids: tuple[str, ...]
    """What this protocol had put there, other than what the tip held; empty: only what stood there before."""
    source: WellKey
    """The well it goes into next."""
    step: int
    """Number of the step in which it does."""

    def __str__(self) -> str:
        what = " and ".join(map(named, self.liquids)) or "what stood there before"
        return (
            f"step {self.step}: tip {self.tip[1]} of {self.tip[0]} was in {well_on(*self.touched)} and goes into "
            f"{well_on(*self.source)}: {what} can be carried over"
        )


def carry_over(protocol: Protocol) -> tuple[CarryOver, ...]:
    """Report every place where carry-over is possible, in order of execution; a fresh tip carries nothing."""
    found: list[CarryOver] = []
    received: dict[WellKey, set[str]] = {}
    for load in protocol.loads:
        on: dict[WellKey, tuple[WellKey, str]] = {}
        stroke = 0
        for step in load.steps:
            if not isinstance(step, Transfer | Mix) or not step.tip_rack:
                continue
            tip = step.tip_rack, step.tip_well
            if tip not in on and not (isinstance(step, Transfer) and step.stroke and step.stroke == stroke):
                on.clear()
            stroke = step.stroke if isinstance(step, Transfer) else 0
            if isinstance(step, Mix):
                if tip in on and on[tip][0] != (step.plate, step.well):
                    touched, held = on[tip]
                    liquids = tuple(sorted(received.get(touched, set()) - {held}))
                    found.append(CarryOver(tip, touched, liquids, (step.plate, step.well), step.step_id))
                on[tip] = ((step.plate, step.well), "")
                continue
            source, target = (step.source_plate, step.source_well), (step.destination_plate, step.destination_well)
            if tip in on and on[tip][0] != source:
                touched, held = on[tip]
                liquids = tuple(sorted(received.get(touched, set()) - {held, step.compound_id}))
                found.append(CarryOver(tip, touched, liquids, source, step.transfer_id))
            received.setdefault(target, set()).add(step.compound_id)
            on[tip] = target, step.compound_id
    return tuple(found)
