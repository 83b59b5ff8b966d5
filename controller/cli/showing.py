"""status, plate show, report and db."""

import tomllib
from pathlib import Path
from typing import Annotated

import typer

from controller.cli.common import HERE, CampaignOption, JsonOption, LabOption, lined, progress_bar, say


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command()(report)
    plate = typer.Typer(no_args_is_help=True, help="Look at plates.")
    plate.command("show")(plate_show)
    plate.command("carried")(plate_carried)
    app.add_typer(plate, name="plate")
    db = typer.Typer(no_args_is_help=True, help="The lab's database.")
    db.command("upgrade")(db_upgrade)
    app.add_typer(db, name="db")


def status(
    lab: LabOption = HERE,
    campaign: CampaignOption = None,
    full: Annotated[bool, typer.Option("--full", help="Every round, question and plate instead of ten lines.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Tell what runs, what waits and for whom, what comes next, devices, faults, plates, the last night's result.

    Example: nextplate status --lab mylab

    Example: nextplate status --full --lab mylab
    """
    from controller.folding import collector_paused
    from controller.glimpse import glimpse, ten_lines
    from controller.state import fold
    from controller.status import status_body, status_text, untold_body
    from controller.store import GENESIS, Head, read_journal, read_untold
    from nextplate.errors import DataError

    url = lab_database(lab)
    with collector_paused():
        events = read_journal(url)
        state = fold(events)
    head, now = (Head(events[-1].seq, events[-1].hash), events[-1].time) if events else (Head(0, GENESIS), None)
    if campaign is not None and campaign not in state.campaigns:
        known = ", ".join(state.campaigns) or "none"
        raise DataError(f"no campaign is called {campaign!r} (there are: {known})")
    body = status_body(state.focused(campaign) if campaign else state, *head, now) | untold_body(read_untold(url))
    seen = glimpse(state, head, now) | {"untold": body["untold"]}
    is_full = full or campaign is not None or state.campaign is None
    say(body | {"glimpse": seen}, status_text(lined(body)) if is_full else "\n".join(ten_lines(lined(seen))), as_json)


def lab_database(lab: Path) -> str:
    """Read only the database's address: status must answer at once, and even when another key is wrong."""
    from controller.database import database_url
    from nextplate.errors import SettingsError

    path = lab / "lab.toml"
    try:
        body = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise SettingsError(
            f"{path}: no such file; make a lab with: nextplate init FOLDER, or name it: --lab"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from error
    section = body.get("lab", {})
    url = section.get("database", "sqlite:///nextplate.db") if isinstance(section, dict) else None
    if not isinstance(url, str):
        raise SettingsError(f"{path}: lab.database = {url!r}: a database URL in quotes is needed")
    return database_url(lab, url)


def plate_show(
    plate: Annotated[str, typer.Argument(help="A plate's barcode, e.g. NP-0001, or a measured folder.")],
    lab: LabOption = HERE,
    heatmap: Annotated[
        str | None, typer.Option(help="Draw a heat map of each of these columns, joined by commas.")
    ] = None,
    contact_sheet: Annotated[bool, typer.Option("--contact-sheet", help="Draw one field of every well.")] = False,
    curves: Annotated[bool, typer.Option("--curves", help="Draw the dose-response curves.")] = False,
    channels: Annotated[str | None, typer.Option(help="Channels of the sheet, joined by commas.")] = None,
    separate: Annotated[bool, typer.Option("--separate", help="One sheet per channel, in grey.")] = False,
    field: Annotated[int | None, typer.Option(help="Field of the sheet.", show_default="the middle one")] = None,
    layout: Annotated[
        Path | None, typer.Option(help="Layout of a measured folder.", show_default="the folder's own")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Where a measured folder's images lie now.", show_default="where they lay")
    ] = None,
    pattern: Annotated[str | None, typer.Option(help="Names of the images, where no reader knows them.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the pictures.", show_default="pictures")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a plate well by well: who sits where, the response, the flags; and draw it.

    Example: nextplate plate show NP-0001 --lab demo-lab

    Example: nextplate plate show measured/P1 --heatmap activity,n_cells --contact-sheet --curves
    """
    from controller.plateview import barcode_view, folder_view, plate_text

    columns, asked = _split(heatmap), _split(channels)
    is_drawn = bool(columns or contact_sheet or curves)
    is_folder = _is_folder(plate)
    body, shown = folder_view(Path(plate), layout, images, pattern) if is_folder else barcode_view(lab, plate, is_drawn)
    text = plate_text(body)
    if is_drawn and shown is not None:
        from controller.pictures import write_curves, write_heatmaps, write_sheets

        target = out or Path("pictures")
        written = write_heatmaps(shown, columns, target)
        if contact_sheet:
            with progress_bar("fields", as_json) as progress:
                sheets, failed = write_sheets(shown, target, asked, separate=separate, field=field, progress=progress)
            written += sheets
            body |= {"unreadable": list(failed)}
            text += "".join(f"\nnot shown: {f}" for f in failed)
        written += write_curves(shown, target) if curves else []
        body |= {"pictures": [str(p) for p in written]}
        text += "".join(f"\nwrote {p}" for p in written)
    say(body, text, as_json)


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _is_folder(plate: str) -> bool:
    """Tell a measured folder from a barcode; a folder that is none is one too, so that the error says so."""
    path = Path(plate)
    return (path / "wells.parquet").is_file() or (path.is_dir() and path.name != plate)


def plate_carried(
    barcode: Annotated[str, typer.Argument(help="The plate's barcode.")],
    place: Annotated[str, typer.Argument(help="Where it stands now, e.g. stack/done, imager, deck/C2.")],
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Tell that a person has put a plate somewhere; the next moves start from there.

    Example: nextplate plate carried NP-0004 stack/done --lab mylab
    """
    from controller.cli.answers import decide_in

    decide_in(lab, {"what": "carried", "plate": barcode, "place": place}, as_json)


def report(
    lab: LabOption = HERE,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; default: reports/ in the lab.")] = None,
    campaign: CampaignOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the campaign's report: one self-contained HTML page and its figures as PNGs.

    Example: nextplate report --lab demo-lab
    """
    from controller.lab import open_lab
    from controller.reporting import write_report

    opened = open_lab(lab)
    page = write_report(opened, out or opened.folder / "reports", campaign)
    say({"report": str(page)}, f"wrote {page}", as_json)


def db_upgrade(lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Bring the lab's database to this version's schema.

    Example: nextplate db upgrade --lab mylab
    """
    from controller.lab import open_lab
    from controller.store import upgrade

    found, now = upgrade(open_lab(lab).database)
    say({"found": found, "now": now}, f"schema {found} -> {now}" if found != now else f"schema {now} already", as_json)
