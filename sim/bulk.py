"""What a dispenser and a washer do to the wells of a simulated plate."""

from protocols.steps import Dispense, Wash
from sim.liquids import Liquid, aspirate, dispense, labware_of, read_well, write_well
from sim.world import World


def wells_named(world: World, step: Dispense | Wash) -> tuple[str, ...]:
    """Return the wells a step names; every well of the plate where it names none."""
    return step.wells or tuple(labware_of(world, step.plate).plate_format.wells())


def add_reagent(world: World, step: Dispense, now_ms: int, stop_at: float = 1.0) -> None:
    """Fill every well; from a bottle that runs dry air comes for the rest.

    Args:
        world: to change.
        step: what is wanted.
        now_ms: time of the world.
        stop_at: share of the wells after which the dispenser stops.
    """
    wells = wells_named(world, step)
    for well in wells[: round(stop_at * len(wells))]:
        _fill(world, step, well, now_ms)


def wash(world: World, step: Wash, now_ms: int, stop_at: float = 1.0) -> None:
    """Empty and fill every well, cycle by cycle, and empty it at last; what is sucked off is waste.

    Args:
        world: to change.
        step: what is wanted.
        now_ms: time of the world.
        stop_at: share of all emptyings and fillings after which the washer stops.
    """
    wells = wells_named(world, step)
    strokes = [(is_fill, well) for _ in range(step.cycles) for is_fill in (False, True) for well in wells]
    strokes += [(False, well) for well in wells]
    for is_fill, well in strokes[: round(stop_at * len(strokes))]:
        if is_fill:
            _fill(world, step, well, now_ms)
        else:
            suck_off(world, step.plate, well, step.rest_nl)


def _fill(world: World, step: Dispense | Wash, well: str, now_ms: int) -> None:
    liquid = aspirate(world, step.reservoir, step.reservoir_well, step.volume_nl)
    if liquid.volume_nl:
        dispense(world, step.plate, well, liquid, now_ms)


def suck_off(world: World, plate: str, well: str, rest_nl: int) -> None:
    """Empty a well down to a rest; what is sucked off is waste."""
    liquid = read_well(world, plate, well)
    gone = liquid.draw(max(0, liquid.volume_nl - rest_nl))
    write_well(world, plate, well, liquid)
    to_waste(world, gone)


def to_waste(world: World, liquid: Liquid) -> None:
    """Count a liquid as waste."""
    world.set_meta("waste_nl", int(world.meta("waste_nl") or 0) + liquid.volume_nl)
