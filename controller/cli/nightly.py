"""nightly: the unattended service."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.cli.common import HERE, JsonOption, LabOption, say
from protocols.sentences import plain

if TYPE_CHECKING:
    from controller.lab import Lab
    from controller.nightly.told import Happening


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(nightly)


def nightly(
    lab: LabOption = HERE,
    start_now: Annotated[bool, typer.Option("--now", help="Start a night at once; then go on as usual.")] = False,
    print_unit: Annotated[bool, typer.Option("--print-unit", help="Print a systemd unit and end.")] = False,
    next_starts: Annotated[bool, typer.Option("--next", help="Tell the next starts and windows, and end.")] = False,
    clock_is_right: Annotated[
        bool, typer.Option("--clock-is-right", help="Say that this machine's clock is right, and end.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the lab unattended: nights start by themselves, crashes and hangs are met, people are told.

    Starts, the hours in which robots may move, and patience stand in [nightly] of lab.toml. SIGTERM and Ctrl-C end it
    cleanly, after the present scan.

    Example: nextplate nightly --lab mylab

    Example: nextplate nightly --lab mylab --print-unit > /etc/systemd/system/nextplate.service
    """
    from controller.lab import open_lab

    opened = open_lab(lab)
    if print_unit:
        typer.echo(_unit(opened), nl=False)
    elif next_starts:
        _tell_next(opened, as_json)
    elif clock_is_right:
        _believe(opened, as_json)
    else:
        _serve(lab, start_now, as_json)


def _unit(opened: "Lab") -> str:
    from controller.nightly.systemd import unit_text
    from controller.store.address import parse_address

    path = parse_address(opened.database).path
    return unit_text(opened.folder, opened.settings.nightly.stop_s, opened.settings.is_simulated, path)


def _tell_next(opened: "Lab", as_json: bool) -> None:
    from datetime import timedelta

    from controller.clock import WallClock
    from controller.nightly.service import starts_of
    from controller.nightly.windows import windows_of

    section, now = opened.settings.nightly, WallClock().now()
    starts, windows = starts_of(opened), windows_of(section.move, section.time_zone)
    coming = [t.astimezone(starts.zone) for t in starts.between(now, now + timedelta(days=8))][:5]
    body = {
        "starts": [t.isoformat() for t in coming],
        "may_move_now": windows.is_open(now),
        "may_move_from": windows.opens(now).astimezone(starts.zone).isoformat(),
    }
    lines = [f"starts {t:%a %Y-%m-%d %H:%M %Z}" for t in coming]
    lines.append("robots may move: " + (", ".join(section.move) or "at any time") + f" ({section.time_zone})")
    say(body, "\n".join(lines), as_json)


def _believe(opened: "Lab", as_json: bool) -> None:
    from controller.clock import WallClock
    from controller.nightly.clockguard import ClockWord, clock_file, write_word
    from controller.store import open_store

    now = WallClock().now()
    with open_store(opened.database) as store:
        write_word(clock_file(opened.folder), ClockWord(None, now, store.head().seq))
    say({"confirmed": now.isoformat()}, f"noted: {now:%Y-%m-%d %H:%M} UTC is right", as_json)


def _serve(folder: Path, start_now: bool, as_json: bool) -> None:
    import json

    from controller.lab import open_lab
    from controller.nightly.service import serve
    from controller.notify.happenings import telling

    def hear(told: "Happening") -> None:
        body: dict[str, Any] = {"time": told.time.isoformat(), "kind": told.kind, "message": told.message}
        text = plain(f"{told.time:%Y-%m-%d %H:%M:%S} {told.kind}: {told.message}")
        typer.echo(json.dumps({**body, **told.facts}) if as_json else text)

    with telling(open_lab(folder)) as tell:
        serve(folder, [hear, tell], start_now=start_now)
