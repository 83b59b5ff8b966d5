"""One short sentence for each step, for people: instructions, differences, problems."""

import re

from protocols.steps import Dispense, Incubate, Mix, PlateMove, Read, Seal, Step, Transfer, Wash

_SHOWN = 4
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Signs that move a terminal's cursor, clear it, turn its text round, or cannot be written at all."""
_LONGEST = 60


def named(text: str) -> str:
    """Write a name from a library or a person on one line: unprintable signs escaped, long ones cut in the middle."""
    plain = text if text.isprintable() else ascii(text)[1:-1]
    half = _LONGEST // 2 - 1
    return plain if len(plain) <= _LONGEST else f"{plain[:half]}..{plain[-half:]}"


def plain(text: str) -> str:
    """Write a name on one line and whole: signs that a terminal obeys are escaped."""
    return _CONTROL.sub(lambda sign: ascii(sign[0])[1:-1], text)


def well_on(plate: str, well: str) -> str:
    """Name a well of a plate: B07 of A-001."""
    return plain(f"{well} of {plate}")


def wells_on(plate: str, wells: tuple[str, ...]) -> str:
    """Name some wells of a plate; all of them where none is listed."""
    if not wells:
        return f"every well of {plain(plate)}"
    more = f" and {len(wells) - _SHOWN} more" if len(wells) > _SHOWN else ""
    return plain(f"{', '.join(wells[:_SHOWN])}{more} of {plate}")


def said(step: Step) -> str:
    """Say what a step does."""
    match step:
        case Transfer():
            source = well_on(step.source_plate, step.source_well)
            target = well_on(step.destination_plate, step.destination_well)
            return f"{step.volume_nl} nL of {named(step.compound_id)} from {source} to {target}"
        case Mix():
            return f"mix {well_on(step.plate, step.well)} {step.cycles} times with {step.volume_nl} nL"
        case Dispense():
            bottle = well_on(step.reservoir, step.reservoir_well)
            return f"{step.volume_nl} nL of {named(step.reagent)} from {bottle} into {wells_on(step.plate, step.wells)}"
        case Wash():
            bottle = well_on(step.reservoir, step.reservoir_well)
            where = wells_on(step.plate, step.wells)
            return (
                f"wash {where} {step.cycles} times with {step.volume_nl} nL of {named(step.reagent)} from {bottle}, "
                f"leaving at most {step.rest_nl} nL at each emptying"
            )
        case Incubate():
            warm = "" if step.temperature_c is None else f" at {step.temperature_c:g} C"
            shaken = f", shaken at {step.shake_rpm} rpm" if step.shake_rpm else ""
            return f"let {plain(step.plate)} stand for {step.wait_s} s{warm}{shaken}"
        case PlateMove():
            return plain(f"carry {step.barcode} from {step.source} to {step.target}")
        case Seal():
            return f"{'seal' if step.is_on else 'take the seal off'} {plain(step.plate)}"
        case Read():
            return f"read {plain(step.plate)} ({named(step.readout)})"
