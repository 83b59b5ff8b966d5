"""Kill a process at a moment of an incubator's command, and let a new one take it up on the same files."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from incubator_rig import WireLab
from killing import Fuse, FusedLine, Killed

from drivers import inventory as inventory_module
from drivers import worker_memory as memory_module
from drivers.ports import FetchPlate, Report, Status, StorePlate
from drivers.wire import Line, LineSettings, line_at
from nextplate.errors import Transient

COMMANDS = {"store": StorePlate("P1"), "fetch": FetchPlate("P1")}
WRITERS = (memory_module, inventory_module)
"""Modules that write files."""


def killed_at(moment: int, fuse: Fuse, folder: Path, make: Callable[[Path], WireLab], verb: str) -> WireLab:
    """Open a lab, begin the command and kill the process at a moment; 0: never."""

    def open_line(port: str, settings: LineSettings) -> Line:
        return FusedLine(line_at(port, settings), fuse)  # type: ignore[return-value]

    lab = make(folder)
    if verb == "store":
        lab.put_on_station("P1")
    else:
        lab.shelve("P1")
    lab.device.close()  # type: ignore[attr-defined]
    lab.open(open_line)
    fuse.n_moments, fuse.at = 0, moment
    try:
        lab.device.submit(COMMANDS[verb], "k")
        lab.finish("k")
    except Killed:
        pass
    return lab


def taken_up_again(lab: WireLab, fuse: Fuse, verb: str) -> Report:
    """Do what the controller's loop does after a restart."""
    lab.wire.close()  # the system does that for a dead process
    fuse.at = -1
    lab.open()
    if lab.device.lookup("k").status is Status.NOT_FOUND:
        for _ in range(100):
            try:
                lab.device.submit(COMMANDS[verb], "k")
                break
            except Transient:
                lab.device.lookup("k")
    return lab.finish("k")


def started(lab: Path, port: str, *more: str) -> "subprocess.Popen[str]":
    """Start a process that stores P1 under the key k."""
    script = Path(__file__).parent / "incubator_process.py"
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
    arguments = [sys.executable, str(script), str(lab), port, "store", "P1", "k", *more]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment)
