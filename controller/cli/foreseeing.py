"""preflight: will tonight work?"""

from typing import Annotated

import typer

from controller.cli.common import HERE, JsonOption, LabOption, progress_bar, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("preflight")(preflight)


def preflight(
    lab: LabOption = HERE,
    rehearsals: Annotated[int, typer.Option(min=1, max=2000, help="How often the night is played through.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Of the durations drawn.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Tell whether tonight will work: when it ends, what is tight, what to load, and what each device's failure does.

    The night is rehearsed by the loop's own decisions; no device is spoken to and nothing is journaled. Exit code 0:
    it will; 1: a person is needed first.

    Example: nextplate preflight --lab mylab
    """
    from controller.lab import open_lab
    from controller.preflight import preflight as rehearse
    from controller.preflight import preflight_body, preflight_text
    from controller.store import open_store

    opened = open_lab(lab)
    with open_store(opened.database) as store, progress_bar("rehearsals", as_json) as progress:
        seen = rehearse(opened, store, rehearsals, seed, progress)
    body = preflight_body(seen)
    say(body, preflight_text(seen), as_json)
    raise typer.Exit(0 if body["will_work"] else 1)
