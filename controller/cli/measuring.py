"""measure: a plate folder of any microscope to numbers, with quality flags."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli.common import JsonOption, finite, new_names, progress_bar, say

if TYPE_CHECKING:
    from nextplate.imaging import MeasureParams
    from nextplate.imaging.selection import ZChoice


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(measure)


def measure(
    folder: Annotated[Path, typer.Argument(help="Folder of one plate's images.")],
    layout: Annotated[
        Path | None, typer.Option(help="CSV: well, role, compound, dose, dose_unit. Gives Z', responses and curves.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the numbers.", show_default="measured/PLATE")] = None,
    features: Annotated[
        str, typer.Option(help="basic, all, none, or groups: 'shape texture:3,9 field'. See: --features list")
    ] = "basic",
    objects: Annotated[
        str, typer.Option(help="Whose features: nuclei, cells, cytoplasm; joined by commas.")
    ] = "nuclei",
    dna: Annotated[
        str | None, typer.Option(help="Channel of the nuclear stain.", show_default="the one named like it")
    ] = None,
    reporter: Annotated[
        str | None,
        typer.Option(help="Channel of the nucleus/ring ratio, or 'none'.", show_default="the other one of two"),
    ] = None,
    channels: Annotated[
        str | None, typer.Option(help="Channels to measure, joined by commas.", show_default="all")
    ] = None,
    rename: Annotated[
        list[str] | None, typer.Option("--channel", help="Give a channel a name: 1=DNA; may be repeated.")
    ] = None,
    readout: Annotated[
        str | None,
        typer.Option(help="Column of wells.parquet to judge the plate by.", show_default="responders, or n_cells"),
    ] = None,
    nucleus_um: Annotated[float, typer.Option(min=1, callback=finite, help="Diameter of a typical nucleus.")] = 14.0,
    pixel_um: Annotated[
        float | None, typer.Option(min=0.001, callback=finite, help="Pixel size.", show_default="what the files say")
    ] = None,
    reader: Annotated[str | None, typer.Option(help="Reader to use.", show_default="detected")] = None,
    pattern: Annotated[
        str | None,
        typer.Option(help="Regular expression for names of no known microscope: (?P<well>..), (?P<channel>..) .."),
    ] = None,
    plate: Annotated[str | None, typer.Option(help="Plate, where the folder holds several.")] = None,
    z: Annotated[str, typer.Option(help="projection, middle, max, or the number of a step.")] = "projection",
    t: Annotated[int | None, typer.Option(help="Time point.", show_default="the first")] = None,
    threads: Annotated[int, typer.Option(min=1, max=64)] = 2,
    as_json: JsonOption = False,
) -> None:
    """Measure a plate: cells, features, image quality; with a layout also Z', responses and dose-response curves.

    The same command goes on after an interruption: finished wells are not measured again.

    Example: nextplate measure /data/P1 --layout P1-layout.csv --out measured/P1
    """
    from controller.files import safe_name
    from controller.judging import judge_folder, negatives_of, read_layout
    from controller.measuring import ReadoutRequest, find_readout, finish_summary, measure_folder, measured_text

    found = find_readout(ReadoutRequest(folder, reader, pattern, plate, _step(z), t, new_names(rename)))
    params = _params(found.channels, dna, reporter, channels, features, objects, nucleus_um, pixel_um)
    # A plate is called what its files say, be it ../../etc.
    target = out or Path("measured") / safe_name(found.plate)
    # A mistake in the layout is told before minutes of measuring, not after.
    plan = None if layout is None else read_layout(layout, found)
    with progress_bar("measure", as_json) as progress:
        body = measure_folder(found, params, target, progress, threads, negatives_of(plan))
    verdict, text = judge_folder(target, plan, layout, readout, params)
    body |= verdict | {"seconds": round(body["seconds"] + verdict["seconds"], 3)}
    say(finish_summary(target, body), f"{measured_text(body)}\n{text}", as_json)


def _step(z: str) -> "ZChoice":
    from nextplate.errors import DataError

    named: dict[str, ZChoice] = {"projection": "projection", "middle": "middle", "max": "max"}
    if z not in named and not z.isdecimal():
        raise DataError(f"--z {z}: write projection, middle, max, or the number of a step")
    return named[z] if z in named else int(z)


def _params(
    held: Sequence[str],
    dna: str | None,
    reporter: str | None,
    channels: str | None,
    features: str,
    objects: str,
    nucleus_um: float,
    pixel_um: float | None,
) -> "MeasureParams":
    from nextplate.features import parse_features
    from nextplate.imaging import MeasureParams
    from nextplate.imaging.channels import chosen_channels

    wanted = None if channels is None else [c.strip() for c in channels.split(",")]
    roles = chosen_channels(held, wanted, dna, reporter)
    choice, has_field = parse_features(features)
    return MeasureParams(
        dna=roles.dna,
        reporter=roles.reporter,
        others=roles.others,
        nucleus_diameter_um=nucleus_um,
        pixel_size_um=pixel_um,
        features=choice,
        objects=tuple(o.strip().capitalize() for o in objects.split(",")),
        has_field_features=has_field,
    )
