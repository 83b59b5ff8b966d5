"""profiles: several measured plates on one scale."""

from pathlib import Path
from typing import Annotated

import typer

from controller.cli.common import JsonOption, finite, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(profiles)


def profiles(
    folders: Annotated[list[Path], typer.Argument(help="Measured folders, one plate each.")],
    layout: Annotated[
        Path | None,
        typer.Option(help="Layout of all plates, or with a column plate.", show_default="each folder's own"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("profiles"),
    columns: Annotated[
        str, typer.Option(help="Features, with * and ?, joined by commas: 'Nuclei_*,Cells_Texture_*'.")
    ] = "*",
    by: Annotated[
        str, typer.Option(help="What replicates share: compound, or treatment (compound and dose).")
    ] = "compound",
    readout: Annotated[
        str | None, typer.Option(help="Column whose controls tell drift.", show_default="nc_ratio")
    ] = None,
    spheres: Annotated[bool, typer.Option("--sphere/--no-sphere", help="Whiten on the negatives.")] = True,
    shrinkage: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, callback=finite, help="Of the whitening: less whitens more.", show_default="estimated"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the random rankings.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Compare measured plates: do replicates find each other, which compounds stand out, do plates drift?

    Every plate is normalised to its negatives; features are chosen over all plates and whitened on the negatives.

    Example: nextplate profiles measured/P1 measured/P2 --out profiles
    """
    from controller.profiling import compare_plates, profiles_text, write_profiles
    from nextplate.assay import ProfileParams

    patterns = tuple(p.strip() for p in columns.split(",") if p.strip())
    params = ProfileParams(columns=patterns, group=by, spheres=spheres, shrinkage=shrinkage)
    found, drifts = compare_plates(folders, layout, params, seed, readout)
    body = write_profiles(found, drifts, out)
    say(body, f"{profiles_text(found, drifts)}\nwrote {out}", as_json)
