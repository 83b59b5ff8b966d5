"""The command line. ``main`` turns errors into one clear message and the exit code: 0 done, 1 the lab needs a
person, 2 wrong usage or bad input, 130 stopped by Ctrl-C."""

import json
import sys

import typer

from controller.cli import (
    answers,
    bench,
    foreseeing,
    images,
    intake,
    journal,
    measuring,
    moa,
    models,
    networks,
    nightly,
    notifying,
    profiles,
    protocols,
    replaying,
    running,
    scheduling,
    showing,
    watch,
)
from controller.cli.common import for_terminal
from controller.files import is_full
from nextplate.errors import (
    DataError,
    DeviceError,
    DiskFull,
    JournalBroken,
    LabBusy,
    ModelError,
    NextplateError,
    StepError,
    StoreAway,
)
from protocols.sentences import plain

_NEEDS_PERSON = (DeviceError, DiskFull, JournalBroken, LabBusy, StoreAway, StepError, ModelError)


_MODULES = (
    running,
    foreseeing,
    scheduling,
    intake,
    answers,
    showing,
    watch,
    journal,
    notifying,
    protocols,
    measuring,
    profiles,
    images,
    networks,
    nightly,
    moa,
    models,
    replaying,
    bench,
)


def make_app() -> typer.Typer:
    """Assemble the commands."""
    app = typer.Typer(
        name="nextplate",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Run an automated screening lab: images in, beliefs updated, the next plate designed and pipetted.",
        epilog="Example: nextplate demo demo-lab   then   nextplate status --lab demo-lab",
    )
    for module in _MODULES:
        module.register(app)
    return app


def main() -> None:
    """Run the console script."""
    try:
        make_app()()
    except NextplateError as error:
        sys.exit(_explain(error))
    except OSError as error:
        sys.exit(_explain_os(error))
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on from here", err=True)
        sys.exit(130)


def _explain_os(error: OSError) -> int:
    """Explain what the system refused; an error that names no file is a bug and is raised."""
    if is_full(error):
        return _say("the disk is full; free some space and run the same command again", 1)
    if error.filename is None:
        raise error
    return _say(f"{error.filename}: {error.strerror}", 2)


def _explain(error: NextplateError) -> int:
    is_ours = isinstance(error, _NEEDS_PERSON) and not isinstance(error, DataError)
    said = plain(str(error)) if isinstance(error, DeviceError) else str(error)  # its words forge no further line
    return _say(said, 1 if is_ours else 2)


def _say(message: str, code: int) -> int:
    """Print an error for people, and for programs where they asked for JSON."""
    typer.echo(for_terminal(f"nextplate: {message}"), err=True)
    if "--json" in sys.argv:
        typer.echo(json.dumps({"error": message, "exit_code": code}))
    return code


if __name__ == "__main__":
    main()
