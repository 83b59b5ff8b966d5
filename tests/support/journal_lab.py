"""A lab folder whose journal a fake lab has written: for commands that read it, in milliseconds."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

from controller_fakes import FakeLab

from controller.cli import main
from controller.lab import init_lab
from controller.store import NewEvent, open_store


class Said(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


def write_lab(folder: Path, fake: FakeLab, text: str | None = None) -> Path:
    """Make a lab that has lived through what the fake one has."""
    with open_store(init_lab(folder, text).database) as store:
        events = [NewEvent(e.kind, e.time, e.campaign, e.payload) for e in fake.journal.events]
        store.append(events, expected_seq=0)
    return folder


def typed(folder: Path, *arguments: object) -> Said:
    """Type a command about a lab, in this process."""
    out, err, before, code = io.StringIO(), io.StringIO(), sys.argv, 0
    sys.argv = ["nextplate", *map(str, arguments), "--lab", str(folder)]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv = before
    return Said(code, out.getvalue(), err.getvalue())
