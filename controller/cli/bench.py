"""device: list, test, doctor and watch the devices of a lab, one at a time."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from controller.cli.common import HERE, JsonOption, LabOption, lined, say
from protocols.sentences import plain

_TAIL_S = 0.2
_POLL_S = 0.2
NameArgument = Annotated[str, typer.Argument(help="The device's name in lab.toml.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    device = typer.Typer(no_args_is_help=True, help="Devices: list, test, examine, watch their bytes.")
    device.command("list")(device_list)
    device.command("test")(device_test)
    device.command("doctor")(device_doctor)
    device.command("watch")(device_watch)
    app.add_typer(device, name="device")


def device_list(lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """List the devices that lab.toml names, and the drivers that are installed.

    Example: nextplate device list
    """
    from controller.bench import list_devices, list_text
    from controller.lab import open_lab

    body = list_devices(open_lab(lab).settings)
    say(body, list_text(body), as_json)


def device_test(
    name: NameArgument,
    move: Annotated[
        str | None,
        typer.Option(
            "--move", help="Also a short motion with the plate of this barcode: store and fetch, shake, read."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before something moves.")] = False,
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Ask a device what it is and how it stands; with --move, and only after a yes, let it move a plate.

    Example: nextplate device test incubator
    """
    from controller.bench import looked_at, opened, section_of, spelled_look
    from controller.lab import open_lab
    from controller.lock import lab_lock

    here = open_lab(lab)
    section = section_of(here.settings, name)
    with lab_lock(here.folder, f"nextplate device test {name}", here.database), opened(section, here.folder) as device:
        look = looked_at(device, section)
        if move is None:
            say({"name": name, "look": look}, spelled_look(lined(look)), as_json)
            return
        if not as_json:
            typer.echo(spelled_look(lined(look)))
        _move(device, section.kind, move, yes, as_json)


def _move(device: object, kind: str, barcode: str, is_sure: bool, as_json: bool) -> None:
    """Let a device do a short motion with a plate.

    Raises:
        DataError: its kind has none, or nobody said yes.
        NeedsOperator: it did not succeed.
    """
    from datetime import UTC, datetime
    from typing import cast

    from controller.bench import TRIALS, fresh_key, tried
    from drivers.ports import Device, Status
    from nextplate.errors import DataError, NeedsOperator

    trial = TRIALS.get(kind)
    if trial is None:
        raise DataError(f"--move is for an {', a '.join(TRIALS)}, not for a {kind}: it has no short, harmless motion")
    if not (is_sure or typer.confirm(trial.question.format(barcode=barcode), err=True)):
        raise DataError("nothing was moved")
    key = fresh_key(datetime.now(UTC))
    tell = lambda text: typer.echo(plain(text), err=True)  # noqa: E731
    reports = tried(cast(Device, device), trial, key, barcode, lambda: time.sleep(_POLL_S), tell)
    verb, last = reports[-1]
    if last.status is not Status.DONE:
        raise NeedsOperator(f"{verb} {last.status.value}: {last.message}")
    told = {verb: dict(report.result) for verb, report in reports}
    text = "\n".join(f"{verb} {barcode}: done{_spelled(lined(result))}" for verb, result in told.items())
    say({"plate": barcode, "done": told}, text, as_json)


def _spelled(result: Mapping[str, object]) -> str:
    return "".join(f", {name} {value}" for name, value in result.items())


def device_doctor(
    bundle: Annotated[Path | None, typer.Option(help="Write what was found, logs included, to this zip.")] = None,
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Tell of every device whether it answers, with versions; --bundle makes a zip to attach to a bug report.

    Passwords, tokens and logins are blanked: of options by their names, in logs also what a header, a form or JSON
    calls so; look into the zip before you send it all the same.

    Example: nextplate device doctor --bundle doctor.zip
    """
    from controller.bench import examine, examined_text, write_bundle
    from controller.lab import open_lab

    here = open_lab(lab)
    body = examine(here.folder, here.settings)
    text = examined_text(body)
    if bundle is not None:
        n_files = write_bundle(bundle, here.folder, body)
        body, text = {**body, "bundle": str(bundle)}, f"{text}\nwrote {bundle}: {n_files} files"
    say(body, text, as_json)
    if not all(device["answers"] for device in body["devices"]):
        raise typer.Exit(1)


def device_watch(
    name: NameArgument,
    once: Annotated[bool, typer.Option("--once", help="Print what was logged and end; otherwise follow.")] = False,
    last: Annotated[int, typer.Option(min=0, help="Begin with so many lines.")] = 20,
    lab: LabOption = HERE,
) -> None:
    """Print the bytes on a device's wire with their times: > to the device, < from it, ! what happened to the port.

    Example: nextplate device watch incubator
    """
    from controller.bench import log_of, section_of
    from controller.lab import open_lab

    here = open_lab(lab)
    path = log_of(section_of(here.settings, name), here.folder)
    for line in path.read_text(errors="replace").splitlines()[-last:] if last else ():
        typer.echo(plain(line))
    if not once:
        for line in _followed(path):
            typer.echo(plain(line))


def _followed(path: Path) -> Iterator[str]:
    """Yield the lines added to a log from now on, also when it starts afresh after it was full."""
    file = path.open(errors="replace")
    file.seek(0, 2)
    rest = ""
    while True:
        if chunk := file.read():
            *lines, rest = (rest + chunk).split("\n")
            yield from lines
            continue
        if path.exists() and path.stat().st_ino != _inode(file.fileno()):
            file.close()
            file, rest = path.open(errors="replace"), ""
            continue
        time.sleep(_TAIL_S)


def _inode(fd: int) -> int:
    import os

    return os.fstat(fd).st_ino
