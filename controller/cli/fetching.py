"""image fetch: a plate out of OMERO, without a lab."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from controller.cli.common import JsonOption, say

_WAIT_S = 24 * 3600.0
_N_SHOWN = 20


def image_fetch(
    url: Annotated[str, typer.Argument(help="Address of OMERO.web, e.g. https://omero.example.org.")],
    plate: Annotated[int, typer.Argument(min=1, help="The plate's number in OMERO.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to make.")],
    user: Annotated[str | None, typer.Option(help="OMERO user; default: nobody logs in, for public data.")] = None,
    variable: Annotated[
        str, typer.Option("--password-env", help="Environment variable that holds the password.")
    ] = "OMERO_PASSWORD",
    server: Annotated[str | None, typer.Option(help="OMERO server, where OMERO.web knows several.")] = None,
    wells: Annotated[int | None, typer.Option(help="Wells that the whole plate has, e.g. 384.")] = None,
    fields: Annotated[int | None, typer.Option(help="Fields that each well has; default: as the fullest.")] = None,
    channels: Annotated[int | None, typer.Option(help="Channels that each field has; default: as most.")] = None,
    settle_s: Annotated[
        float, typer.Option("--settle", min=0, help="Seconds in which nothing may change there.")
    ] = 60.0,
    partial: Annotated[bool, typer.Option("--partial", help="Bring what is whole, and say what is missing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring a plate out of OMERO, lossless, with its key-values and the origin of every image; interrupted, it goes on.

    A plate that is not whole is refused with the wells, fields and channels that it lacks. OMERO does not say whether
    it still imports a plate: name --wells, --fields and --channels, and none that lacks some is taken for whole.

    Example: nextplate image fetch https://omero.example.org 5067 --to plate-5067 --user me --wells 384 --fields 4
    """
    from nextplate.errors import DataError

    if to.exists():
        raise DataError(f"{to} is there already; name a folder that is not")
    options: dict[str, Any] = {"url": url, "log": False}
    options |= {"user": user, "password_env": variable} if user else {}
    options |= {"server": server} if server else {}
    due = {"wells": wells, "fields": fields, "channels": channels}
    options |= {name: n for name, n in due.items() if n is not None}
    scratch = to.absolute().with_name(f".{to.name}.omero-{plate}")
    found = _fetched(options, plate, scratch, to, settle_s, is_partial=partial)
    body = {"url": url, "plate": plate, "folder": str(to), "images": found["images"], "missing": found["missing"]}
    text = f"wrote {to}: plate {plate} of {url}, {found['images']} images; their origin is in {to}/omero.json"
    if lacks := found["missing"]:
        shown = [*lacks[:_N_SHOWN], *([f".. and {len(lacks) - _N_SHOWN} more"] if len(lacks) > _N_SHOWN else [])]
        text += f"\nmissing ({len(lacks)}; all of it stands in {to}/omero.json):\n  " + "\n  ".join(shown)
    say(body, text, as_json)


def _fetched(
    options: dict[str, Any], plate: int, scratch: Path, to: Path, settle_s: float, *, is_partial: bool
) -> Mapping[str, Any]:
    from controller.devices import make_device
    from controller.settings import DeviceSection
    from nextplate.errors import DataError, NeedsOperator

    try:
        scratch.mkdir(parents=True, exist_ok=True)
        device: Any = make_device(DeviceSection(name="omero", kind="imager", driver="omero", options=options), scratch)
        try:
            report = device.fetch(plate, _WAIT_S, rest_s=settle_s, is_partial=is_partial)
        except NeedsOperator as error:
            if "is not whole" not in str(error):
                raise
            raise NeedsOperator(f"{error}; wait until it is imported, or bring what is there with --partial") from error
        finally:
            device.close()
        (scratch / report.result["folder"]).rename(to)
        shutil.rmtree(scratch)
    except OSError as error:
        raise DataError(f"{to} cannot be written: {error}") from error
    finally:
        if not (scratch / "readouts").exists():  # nothing that a second attempt could use
            shutil.rmtree(scratch, ignore_errors=True)
    result: Mapping[str, Any] = report.result
    return result
