"""status, plate show, report, journal and db."""

import tomllib
from pathlib import Path
from typing import Annotated

import typer

from controller.cli.common import HERE, JsonOption, LabOption, say


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command()(report)
    plate = typer.Typer(no_args_is_help=True, help="Look at plates.")
    plate.command("show")(plate_show)
    app.add_typer(plate, name="plate")
    journal = typer.Typer(no_args_is_help=True, help="The record of everything that happened.")
    journal.command("verify")(journal_verify)
    app.add_typer(journal, name="journal")
    db = typer.Typer(no_args_is_help=True, help="The lab's database.")
    db.command("upgrade")(db_upgrade)
    app.add_typer(db, name="db")


def status(lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Tell what runs, what waits and for whom.

    Example: nextplate status --lab mylab
    """
    from controller.state import fold
    from controller.status import status_body, status_text
    from controller.store import GENESIS, read_journal

    events = read_journal(_database(lab))
    last = events[-1] if events else None
    head = (last.seq, last.hash, last.time) if last else (0, GENESIS, None)
    body = status_body(fold(events), *head)
    say(body, status_text(body), as_json)


def _database(lab: Path) -> str:
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
    barcode: Annotated[str, typer.Argument(help="The plate's barcode, e.g. NP-0001.")],
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Show a plate well by well: who sits where, the response, the flags.

    Example: nextplate plate show NP-0001 --lab demo-lab
    """
    from controller.lab import open_lab
    from controller.plateview import plate_body, plate_text
    from controller.store import open_store

    with open_store(open_lab(lab).database) as store:
        body = plate_body(store, barcode)
    say(body, plate_text(body), as_json)


def report(
    lab: LabOption = HERE,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; default: reports/ in the lab.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the campaign's report: one self-contained HTML page and its figures as PNGs.

    Example: nextplate report --lab demo-lab
    """
    from controller.lab import open_lab
    from controller.reporting import write_report

    opened = open_lab(lab)
    page = write_report(opened, out or opened.folder / "reports")
    say({"report": str(page)}, f"wrote {page}", as_json)


def journal_verify(lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Check the journal's hash chain from the first event to the last.

    Example: nextplate journal verify
    """
    from controller.lab import open_lab
    from controller.store import open_store

    with open_store(open_lab(lab).database) as store:
        head = store.verify()
    body = {"events": head.seq, "hash": head.hash, "intact": True}
    say(body, f"intact: {head.seq} events, the last has hash {head.hash}", as_json)


def db_upgrade(lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Bring the lab's database to this version's schema.

    Example: nextplate db upgrade --lab mylab
    """
    from controller.lab import open_lab
    from controller.store import upgrade

    found, now = upgrade(open_lab(lab).database)
    say({"found": found, "now": now}, f"schema {found} -> {now}" if found != now else f"schema {now} already", as_json)
