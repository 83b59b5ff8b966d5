"""image convert: a plate of any microscope as OME-Zarr; image watch; image fetch."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.cli.common import JsonOption, progress_bar, say
from controller.cli.fetching import image_fetch
from controller.cli.watching import watch

if TYPE_CHECKING:
    from nextplate.imaging import Exported, ExportOptions

_N_SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add the commands."""
    image = typer.Typer(no_args_is_help=True, help="Work on the images of a plate.")
    image.command("convert")(image_convert)
    image.command("watch")(watch)
    image.command("fetch")(image_fetch)
    app.add_typer(image, name="image")


def image_convert(
    folder: Annotated[Path, typer.Argument(help="The plate's folder, as the microscope left it.")],
    out: Annotated[Path, typer.Argument(help="Folder to make, e.g. plate.ome.zarr.")],
    reader: Annotated[str | None, typer.Option(help="Reader to use; default: detected from the folder.")] = None,
    pattern: Annotated[str | None, typer.Option(help="Regular expression for names of no known microscope.")] = None,
    plate: Annotated[str | None, typer.Option(help="Which plate, where the folder holds several.")] = None,
    z: Annotated[str, typer.Option(help="all, projection, middle, max, or the number of a step.")] = "all",
    t: Annotated[str, typer.Option(help="all, or the number of a time point.")] = "all",
    levels: Annotated[
        int | None, typer.Option(min=1, help="Most levels of the pyramid; default: down to about 256 pixels.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Fields converted at a time.")] = 2,
    as_json: JsonOption = False,
) -> None:
    """Write a plate as OME-Zarr (NGFF 0.5): lossless, with pyramids, whole or not there; interrupted, it goes on.

    Example: nextplate image convert /data/plate-7 plate-7.ome.zarr
    """
    from nextplate.imaging import export_plate, list_planes

    options = _options(z, t, levels)
    started = time.perf_counter()
    listing = list_planes(folder, reader=reader, pattern=pattern, plate=plate)
    with progress_bar("convert", as_json) as progress:
        exported = export_plate(listing, folder, out, options, progress, threads)
    body = convert_body(exported, time.perf_counter() - started)
    say(body, _text(body), as_json)


def _options(z: str, t: str, levels: int | None) -> "ExportOptions":
    from nextplate.errors import DataError
    from nextplate.imaging import ExportOptions

    if t != "all" and not t.isdecimal():
        raise DataError(f"--t {t!r}: write all, or the number of a time point")
    if not z.isdecimal() and z not in ("all", "projection", "middle", "max"):
        raise DataError(f"--z {z!r}: write all, projection, middle, max, or the number of a step")
    step: Any = int(z) if z.isdecimal() else z
    return ExportOptions(step, "all" if t == "all" else int(t), levels)


def convert_body(exported: "Exported", seconds: float) -> dict[str, Any]:
    """Return what was converted, for programs."""
    e = exported
    return {
        "out": str(e.folder),
        "reader": e.reader,
        "plate": e.plate,
        "wells": len(e.wells),
        "fields": e.n_fields,
        "fields_kept": e.n_kept,
        "channels": list(e.channels),
        "images": e.n_images,
        "missing": [{"well": m.well, "field": m.field, "channel": m.channel, "reason": m.reason} for m in e.missing],
        "bytes_in": e.n_bytes_in,
        "bytes_out": e.n_bytes_out,
        "seconds": round(seconds, 3),
    }


def _text(body: dict[str, Any]) -> str:
    b = body
    lines = [
        f"wrote {b['out']}: plate {b['plate']} ({b['reader']}), {b['wells']} wells, {b['fields']} fields, "
        f"{b['images']} images of {', '.join(b['channels'])}; "
        f"{b['bytes_in'] / 1e6:.1f} MB became {b['bytes_out'] / 1e6:.1f} MB in {b['seconds']:.1f} s"
    ]
    if b["fields_kept"]:
        lines.append(f"{b['fields_kept']} fields were finished before and kept")
    if b["missing"]:
        lines.append(f"missing ({len(b['missing'])}; all of them stand in {b['out']}/zarr.json):")
        lines += [f"  {_place(m)}: {m['reason']}" for m in b["missing"][:_N_SHOWN]]
    return "\n".join(lines)


def _place(missing: dict[str, Any]) -> str:
    field = "" if missing["field"] is None else f" field {missing['field']}"
    return f"{missing['well']}{field}{'' if missing['channel'] is None else ' ' + missing['channel']}"
