"""notify: try the channels, see what was told, send what waits."""

from typing import Annotated

import typer

from controller.cli.common import HERE, JsonOption, LabOption, say


def register(app: typer.Typer) -> None:
    """Add the commands."""
    notify = typer.Typer(no_args_is_help=True, help="Messages to people: mail, chat, SMS, webhooks.")
    notify.command("test")(trial)
    notify.command("show")(show)
    notify.command("send")(send)
    app.add_typer(notify, name="notify")


def trial(
    channel: Annotated[str | None, typer.Argument(help="Name of a channel.", show_default="all channels")] = None,
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Send a test message and tell for each channel what became of it.

    Exit code 1 when one was not delivered.

    Example: nextplate notify test phone
    """
    from controller.lab import open_lab
    from controller.notify.trial import trial_text, try_channels

    results = try_channels(open_lab(lab), channel)
    say({"channels": results}, trial_text(results), as_json)
    raise typer.Exit(int(any(not r["delivered"] for r in results.values())))


def show(
    lab: LabOption = HERE,
    last: Annotated[int, typer.Option(min=1, help="How many of the latest messages.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show the latest messages: what they told, to whom, whether they went out.

    Example: nextplate notify show --last 5
    """
    from controller.lab import open_lab
    from controller.notify.trial import notices_body, notices_text
    from controller.store import open_store

    with open_store(open_lab(lab).database) as store:
        body = notices_body(store, last)
    say(body, notices_text(body), as_json)


def send(lab: LabOption = HERE, as_json: JsonOption = False) -> None:
    """Send what is due or was not delivered, then end; for a timer, while no run looks after the lab.

    Exit code 1 when a message could not be delivered.

    Example: nextplate notify send
    """
    from controller.lab import open_lab
    from controller.notify.trial import send_due
    from controller.store import open_store

    opened = open_lab(lab)
    with open_store(opened.database) as store:
        body = send_due(opened, store)
    text = "another process looks after the messages of this lab" if body["busy"] else f"{body['waiting']} not sent"
    say(body, text, as_json)
    raise typer.Exit(int(not body["busy"] and body["waiting"] > 0))
