"""image fetch: a plate out of OMERO, without a lab."""

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from controller.cli.common import JsonOption, say

_WAIT_S = 24 * 3600.0


def image_fetch(
    url: Annotated[str, typer.Argument(help="Address of OMERO.web, e.g. https://omero.example.org.")],
    plate: Annotated[int, typer.Argument(min=1, help="The plate's number in OMERO.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to make.")],
    user: Annotated[str | None, typer.Option(help="OMERO user; default: nobody logs in, for public data.")] = None,
    variable: Annotated[
        str, typer.Option("--password-env", help="Environment variable that holds the password.")
    ] = "OMERO_PASSWORD",
    server: Annotated[str | None, typer.Option(help="OMERO server, where OMERO.web knows several.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a plate out of OMERO, lossless, with its key-values and the origin of every image; interrupted, it goes on.

    Example: nextplate image fetch https://omero.example.org 5067 --to plate-5067 --user me
    """
    from nextplate.errors import DataError

    if to.exists():
        raise DataError(f"{to} is there already; name a folder that is not")
    options: dict[str, Any] = {"url": url, "log": False}
    options |= {"user": user, "password_env": variable} if user else {}
    options |= {"server": server} if server else {}
    scratch = to.absolute().with_name(f".{to.name}.omero-{plate}")
    n_images = _fetched(options, plate, scratch, to)
    body = {"url": url, "plate": plate, "folder": str(to), "images": n_images}
    say(body, f"wrote {to}: plate {plate} of {url}, {n_images} images; their origin is in {to}/omero.json", as_json)


def _fetched(options: dict[str, Any], plate: int, scratch: Path, to: Path) -> int:
    from controller.devices import make_device
    from controller.settings import DeviceSection
    from nextplate.errors import DataError

    try:
        scratch.mkdir(parents=True, exist_ok=True)
        device: Any = make_device(DeviceSection(name="omero", kind="imager", driver="omero", options=options), scratch)
        try:
            report = device.fetch(plate, _WAIT_S)
        finally:
            device.close()
        (scratch / report.result["folder"]).rename(to)
        shutil.rmtree(scratch)
    except OSError as error:
        raise DataError(f"{to} cannot be written: {error}") from error
    finally:
        if not (scratch / "readouts").exists():  # nothing that a second attempt could use
            shutil.rmtree(scratch, ignore_errors=True)
    return int(report.result["images"])
