"""Deck loads, moves, incubation and imaging: the tasks that devices do."""

from collections.abc import Callable

from controller.actions import load_command, moves_command, plate_command, step_command, with_files
from controller.deck import clear_deck, set_deck
from controller.recipe.context import Built, Context
from controller.recipe.stops import carried, step_of, stops
from drivers.ports import Move
from protocols.render import STEPS


def deck(c: Context) -> Built:
    """Set the deck for one load."""
    summary = c.outcome("compile").result["summary"]
    wanted, spares = summary["loads"][c.load]["deck"], summary.get("dilution_plates", ())
    return c.operate("plate-mover", moves_command(set_deck(c.state, wanted, spares)))


def run(c: Context) -> Built:
    """Pipette one load, by the file that was proven."""
    compiled = c.outcome("compile")
    summary = compiled.result["summary"]
    folder = compiled.result["folder"]
    file = summary["loads"][c.load]["file"]
    proven = compiled.result["outputs"][file]
    command = load_command(f"{folder}/protocol.json", f"{folder}/{file}", summary["digest"], c.load, proven)
    outputs, table = compiled.result["outputs"], summary["loads"][c.load].get("table")
    tables = {STEPS: (f"{folder}/{table}", outputs[table])} if table else {}
    offsets = summary.get("offsets")
    return c.operate(
        "liquid-handler",
        with_files(command, tables, (f"{folder}/{offsets}", outputs[offsets]) if offsets else ()),
    )


def clear(c: Context) -> Built:
    """Clear the deck, and carry the assay plate to its first stop."""
    target = stops(c.plan)[0].place
    return c.operate("plate-mover", moves_command(clear_deck(c.state, c.barcode, target)))


def plate(device: str, verb: str) -> Callable[[Context], Built]:
    """Return the task in which a device does something with the assay plate."""
    return lambda c: c.operate(device, plate_command(verb, c.barcode))


def carry(c: Context) -> Built:
    """Carry the assay plate from one stop to the next."""
    here, there = carried(c.plan, c.task)
    return c.operate("plate-mover", moves_command((Move(c.barcode, here.place, there.place),)))


def unstage(c: Context) -> Built:
    """Carry the imaged plate away."""
    return c.operate("plate-mover", moves_command((Move(c.barcode, "imager", "stack/done"),)))


def treat(c: Context) -> Built:
    """Do on the bench what a step of the assay says."""
    step = step_of(c.plan, c.task)
    return c.operate(step["device"], step_command(step, c.barcode))


def park(c: Context) -> Built:
    """Carry the assay plate from where it stands to the done stack."""
    return c.operate("plate-mover", moves_command((Move(c.barcode, c.state.places[c.barcode], "stack/done"),)))
