"""A person's hand on an Inheco's drawer: ``python -m drivers.inheco_drawer look|open|close|init --port /dev/ttyUSB0``.

``open`` makes a unit ready for the arm's first plate; ``init`` is for one that was switched on, and closes its drawer.
Both move the drawer, so look first, and while nextplate runs the port is its own ("in use"). A shaker that moves
is left alone. Exit code 0: done; 1: not done, says why; 2: wrong usage.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict

from drivers.deadline import Deadline
from drivers.inheco_link import SETTINGS, Link
from drivers.inheco_unit import Unit, again
from drivers.inheco_words import NOT_INITIALISED
from drivers.wire import Wire
from nextplate.errors import DeviceError, NeedsOperator

_COMMANDS = {"open": "AOD", "close": "ACD"}
_POLL_S = 0.2


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command and print how the unit stands; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m drivers.inheco_drawer", description="An Inheco's drawer.")
    parser.add_argument("command", choices=["look", *_COMMANDS, "init"])
    parser.add_argument("--port", required=True, help="/dev/ttyUSB0, or socket://host:port")
    parser.add_argument("--dip", type=int, default=2, choices=range(16), help="the stack's DIP switch (2)")
    parser.add_argument("--unit", type=int, default=0, choices=range(6), help="0 is the lowest (0)")
    parser.add_argument("--wait", type=float, default=30.0, help="seconds after which it counts as stuck (30)")
    said = parser.parse_args(arguments)
    unit = Unit(Link(Wire(said.port, SETTINGS), dip=said.dip, unit=said.unit))
    try:
        done = carried_out(said.command, unit, Deadline.after(said.wait))
    except DeviceError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        unit.link.close()
    print(done)
    return 0


def carried_out(command: str, unit: Unit, until: Deadline) -> str:
    """Carry out a command and tell how the unit stands then.

    Raises:
        DeviceError: it was not done.
    """
    unit.link.connect(until)
    sight = again(lambda: unit.sight(until), until)
    if command in _COMMANDS:
        if not sight.is_initialised:
            raise NeedsOperator(NOT_INITIALISED)
        unit.drive(_COMMANDS[command], _POLL_S, until)
    elif command == "init":
        if sight.is_shaking:
            raise NeedsOperator("the shaker moves; stop it at the device")
        again(lambda: unit.order("AID", until), until)
        while (sight := again(lambda: unit.sight(until), until)).is_open is not False or not sight.is_initialised:
            if until.is_over:
                raise NeedsOperator("it was told to initialise, and its drawer is not closed")
            until.pause(_POLL_S)
    return ", ".join(f"{name} {value}" for name, value in asdict(again(lambda: unit.sight(until), until)).items())


if __name__ == "__main__":
    sys.exit(main())
