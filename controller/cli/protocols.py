"""protocol check, show, diff, render and result: a protocol in a file, whoever wrote it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli.common import JsonOption, say

if TYPE_CHECKING:
    from controller.protocolfile import LabNow
    from protocols.labware import RobotDeck

LabNamed = Annotated[
    Path | None,
    typer.Option("--lab", "-C", help="The lab folder whose stock and tips count.", show_default="no lab"),
]

LabDeck = Annotated[
    Path | None,
    typer.Option(
        "--lab", "-C", help="The lab folder whose modules and blocked slots are shown.", show_default="no lab"
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    protocol = typer.Typer(no_args_is_help=True, help="A protocol in a file: JSON of nextplate, or Opentrons Python.")
    protocol.command("check")(check)
    protocol.command("show")(show)
    protocol.command("diff")(diff)
    protocol.command("render")(render)
    protocol.command("result")(result)
    app.add_typer(protocol, name="protocol")


def check(
    file: Annotated[Path, typer.Argument(help="protocol.json of nextplate, or an Opentrons file that ends in .py.")],
    lab: LabNamed = None,
    stock: Annotated[Path | None, typer.Option(help="Stock file, where there is no lab.", show_default="none")] = None,
    fill_ul: Annotated[float, typer.Option(min=0, help="In every assay well before, where there is no lab.")] = 0.0,
    care: Annotated[
        Path | None,
        typer.Option(help="CSV of plates: n_thaws, max_thaws, expires, evaporation_nl_per_h.", show_default="none"),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="A CSV runtime parameter of an Opentrons file; again for each."),
    ] = None,
    attended: Annotated[
        bool, typer.Option("--attended", help="Somebody stands by: an Opentrons file may pause for a person.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a protocol against volumes, tips, wells and deck; a vendor's file runs in the vendor's interpreter first.

    Every problem names its well, tip or slot. A pause that waits for a person is refused, unless --attended
    is said. Exit code 0: it may run; 2: it may not.

    Example: nextplate protocol check hand.py --stock plates.csv --table steps=load-0.csv
    """
    from controller.clock import WallClock
    from controller.protocolfile import LabNow, as_body, as_text, check_file, stock_of
    from controller.protocoltables import read_tables
    from nextplate.errors import DataError

    if lab is not None and stock is not None:
        raise DataError("--lab and --stock are both given; a lab has its own stock: leave one out")
    robot, python = None, None
    if lab is not None:
        now, robot, python = _of_lab(lab)
    else:
        wells = stock_of(stock) if stock is not None else ()
        now = LabNow(wells, fill_nl=round(fill_ul * 1000), has_books=stock is not None)
    if care is not None:
        from controller.carefile import read_care

        now = replace(now, care={**now.care, **read_care(care)})
    at = WallClock().now() if now.care else None
    tables = read_tables(table or ())
    checked = check_file(file, now, robot=robot, at=at, python=python, tables=tables, is_attended=attended)
    say({**as_body(checked)}, as_text(checked), as_json)
    if checked.problems:
        raise typer.Exit(2)


def _of_lab(folder: Path) -> "tuple[LabNow, RobotDeck, Path | None]":
    """Read what a lab holds, its robot, and the interpreter that proves protocols there."""
    from controller.lab import open_lab
    from controller.protocolfile import LabNow
    from controller.settings import deck_of
    from controller.store import open_store
    from protocols.labware import LABWARE
    from protocols.stock import StockWell, TipRack

    opened = open_lab(folder)
    with open_store(opened.database) as store:
        wells = tuple(StockWell(*row) for row in store.stock_now())
        racks, care = store.tip_racks_now(), store.plate_care()
    tips = tuple(
        TipRack(r.barcode, r.labware, tuple(w for w in LABWARE[r.labware].wells_by_column() if w not in set(r.used)))
        for r in racks
    )
    settings = opened.settings
    now = LabNow(wells, tips, round(settings.assay.well_volume_ul * 1000), care, has_books=True)
    deck = deck_of(settings)
    python = settings.proof.python_for(deck.robot)
    return now, deck, Path(python) if python else None


def show(
    file: Annotated[Path, typer.Argument(help="protocol.json of nextplate.")],
    picture: Annotated[
        Path | None, typer.Option(help="Draw the decks too: a file that ends in .svg or .png.", show_default="none")
    ] = None,
    lab: LabDeck = None,
    as_json: JsonOption = False,
) -> None:
    """Show what to load where, load by load, as text and as a picture.

    Example: nextplate protocol show protocol.json --picture decks.svg
    """
    from controller.protocolfile import read_sound
    from protocols.deckmap import taken_slots
    from protocols.describe import describe, loads_table
    from protocols.forecast import to_load

    protocol = read_sound(file)
    robot = _deck_of_lab(lab, protocol.robot) if lab is not None else None
    if picture is not None:
        from controller.deckpicture import write_decks

        write_decks(protocol, picture, robot)
    needs = to_load(protocol)
    text = describe(protocol) + "\n".join(["have at least", *(f"  {need}" for need in needs)])
    taken = taken_slots(robot) if robot is not None else {}
    if taken:
        text += "\nno labware goes into " + ", ".join(f"{slot} ({what})" for slot, what in taken.items())
    body = {
        "taken": taken,
        "digest": protocol.digest,
        "loads": loads_table(protocol),
        "have": [{"plate": n.plate, "well": n.well, "liquid": n.liquid, "volume_nl": n.volume_nl} for n in needs],
        "picture": None if picture is None else str(picture),
    }
    say(body, text + (f"\nwrote {picture}" if picture else ""), as_json)


def _deck_of_lab(folder: Path, robot: str) -> "RobotDeck":
    """Return a lab's robot.

    Raises:
        DataError: it is another one than ``robot``.
    """
    from controller.lab import open_lab
    from controller.settings import deck_of
    from nextplate.errors import DataError

    deck = deck_of(open_lab(folder).settings)
    if deck.robot != robot:
        raise DataError(f"the protocol is for the {robot}, the lab {folder} has the {deck.robot}")
    return deck


def diff(
    before: Annotated[Path, typer.Argument(help="protocol.json of nextplate.")],
    after: Annotated[Path, typer.Argument(help="Another one.")],
    as_json: JsonOption = False,
) -> None:
    """Say in words how two protocols differ: what each well gets, where things stand, what is done.

    Example: nextplate protocol diff monday.json tuesday.json
    """
    from controller.protocolfile import read_protocol
    from protocols.difference import diff as differences

    lines = differences(read_protocol(before), read_protocol(after))
    say({"differences": list(lines)}, "\n".join(lines) or "no difference", as_json)


MappingNamed = Annotated[
    Path | None,
    typer.Option(help="TOML: columns, and the tables gwl, echo, result, trace.", show_default="built-in defaults"),
]


def render(
    file: Annotated[Path, typer.Argument(help="protocol.json of nextplate.")],
    form: Annotated[str, typer.Option("--format", help="opentrons, gwl, echo, csv or pylabrobot.")],
    mapping: MappingNamed = None,
    offsets: Annotated[
        Path | None, typer.Option(help="JSON file of labware offsets, for opentrons.", show_default="none")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write into.", show_default="this folder")] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write a protocol as files of a robot's own software: load-0.gwl and so on, one a deck load.

    A name that the format cannot carry gets a label; load-0.names.csv says which name it stands for.

    Example: nextplate protocol render protocol.json --format echo --out lists
    """
    from controller.protocolfile import read_sound
    from controller.worklistfiles import rendered, settings_of, write_files
    from protocols.problems import ProblemKind

    protocol = read_sound(file, ProblemKind.DECK, ProblemKind.WELL)
    paths = write_files(rendered(protocol, form, settings_of(mapping), offsets), out)
    say({"files": [str(path) for path in paths]}, "\n".join(f"wrote {path}" for path in paths), as_json)


def result(
    file: Annotated[Path, typer.Argument(help="protocol.json of nextplate, that was run.")],
    report: Annotated[Path, typer.Argument(help="What the robot's software wrote.")],
    form: Annotated[str, typer.Option("--format", help="echo, table, opentrons or hamilton.")],
    load: Annotated[int | None, typer.Option(help="Deck load that was run.", show_default="the only one")] = None,
    mapping: MappingNamed = None,
    as_json: JsonOption = False,
) -> None:
    """Say what really happened in a run, transfer by transfer, and how it differs from the plan.

    Exit code 0: all as planned; 1: something did not happen, or nobody can tell; 2: the file is not of this protocol.

    Example: nextplate protocol result protocol.json transfer-report.csv --format echo
    """
    from controller.protocolfile import read_sound
    from controller.worklistfiles import as_body, as_text, result_of, settings_of

    account = result_of(read_sound(file), load, report, form, settings_of(mapping))
    say(as_body(account), as_text(account), as_json)
    if not account.is_as_planned:
        raise typer.Exit(1)
