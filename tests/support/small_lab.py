"""A small simulated lab for whole campaigns: 96-well plates, 250 compounds of the WEHI set, seconds a round."""

import fcntl
import io
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from controller.app import connect
from controller.cli import main
from controller.lab import open_lab
from protocols.model import Protocol

SETTINGS = """
[campaign]
rounds = {rounds}
seed = {seed}
[plate]
wells = 96
labware = "corning_96_wellplate_360ul_flat"
n_negative = 8
n_positive = 6
n_confirm = 4
[faults]
partial_load = "{partial_load}"
failed_plate = "use"
[approval]
policy = "{policy}"
[sim]
field_px = 270
seed = {seed}
[sim.faults]
{faults}
"""


SIMULATED = """
[[device]]
name = "handler"
kind = "liquid-handler"
robot = "flex"
[[device]]
name = "arm"
kind = "plate-mover"
[[device]]
name = "incubator"
kind = "incubator"
[[device]]
name = "microscope"
kind = "imager"
"""
"""The devices of a simulated lab, for a lab.toml that names more or others."""
SPARE_ARM = '[[device]]\nname = "arm-2"\nkind = "plate-mover"\nstands_in = true\n'
REAL = "".join(
    f'[[device]]\nname = "{kind}"\nkind = "{kind}"\ndriver = "folder"\noptions = {{ exchange = "exchange" }}\n{robot}'
    for kind, robot in {"liquid-handler": 'robot = "flex"\n', "plate-mover": "", "incubator": "", "imager": ""}.items()
)
"""Four devices behind the folder driver; for make_lab's ``more``."""


def make_lab(
    folder: Path,
    *,
    assay: str = "",
    more: str = "",
    rounds: int = 2,
    seed: int = 5,
    policy: str = "auto",
    partial_load: str = "accept",
    faults: str = "clogged_tip = 0.01",
    database: str = "",
) -> Path:
    """Make and fill a lab as a user would."""
    nextplate("init", folder)
    text = SETTINGS.format(rounds=rounds, seed=seed, policy=policy, partial_load=partial_load, faults=faults)
    (folder / "lab.toml").write_text((f'[lab]\ndatabase = "{database}"\n' if database else "") + assay + text + more)
    vendor_files(folder.parent / f"vendor-{folder.name}", seed)
    nextplate("library", "add", folder.parent / f"vendor-{folder.name}" / "library.csv", "--lab", folder)
    nextplate("stock", "add", folder.parent / f"vendor-{folder.name}" / "stock.csv", "--lab", folder)
    nextplate("tips", "add", 6, "--lab", folder)
    return folder


def vendor_files(folder: Path, seed: int) -> None:
    """Let the simulated vendor send 250 compounds."""
    from sim.lab import write_wehi_library

    write_wehi_library(folder, seed, n=250)


def command(*arguments: object) -> list[str]:
    """Spell a command line of this checkout's nextplate."""
    return [sys.executable, "-c", "from controller.cli import main; main()", *map(str, arguments)]


def environment() -> dict[str, str]:
    """Let child processes find this checkout, installed or not."""
    root = Path(__file__).parents[2]
    return os.environ | {"PYTHONPATH": f"{root}:{root / 'src'}"}


def nextplate(*arguments: object, code: int = 0) -> str:
    """Type a command in this process, which has everything imported; expect its exit code, return what it printed."""
    out, err, typed = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["nextplate", *map(str, arguments)]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
        ended = 0
    except SystemExit as end:
        ended = int(end.code or 0)
    finally:
        sys.argv = typed
    assert ended == code, (arguments, ended, out.getvalue()[-2000:], err.getvalue()[-4000:])
    return out.getvalue()


def run_lab(folder: Path, code: int = 0) -> dict[str, Any]:
    """Run the campaign in a process of its own and return what it says at the end.

    The lab is named by a relative path, as people do.
    """
    called = command("run", "--lab", folder.name, "--json")
    done = subprocess.run(called, capture_output=True, text=True, env=environment(), check=False, cwd=folder.parent)
    assert done.returncode == code, (called, done.returncode, done.stdout[-2000:], done.stderr[-4000:])
    body: dict[str, Any] = json.loads(done.stdout)
    return body


def ended_night(factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return a copy of `make_lab(rounds=1)` whose campaign has ended, and what the run said at its end.

    The night is simulated once for all test processes.
    """
    base = factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else factory.getbasetemp()
    place, said = base / "ended-night", base / "ended-night" / "said.json"
    with (base / "ended-night.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            shutil.rmtree(place, ignore_errors=True)
            body = run_lab(make_lab(place / "lab", rounds=1))
            said.write_text(json.dumps(body))
    copied = factory.mktemp("ended") / "night"
    shutil.copytree(place, copied)
    return copied / "lab", json.loads(said.read_text())


def device_log(folder: Path, device: str) -> tuple[dict[str, Any], ...]:
    """Read a simulated device's own log: the physical truth."""
    hardware = connect(open_lab(folder))
    try:
        assert hardware.simulated is not None
        return hardware.simulated.log(device)
    finally:
        hardware.close()


def planned_transfers(folder: Path) -> Counter[tuple[str, int]]:
    """Count every transfer of every compiled protocol, by destination plate and number."""
    planned: Counter[tuple[str, int]] = Counter()
    for path in (folder / "protocols").glob("compile-*/protocol.json"):
        for t in Protocol.from_json(path.read_text()).transfers:
            planned[t.destination_plate, t.transfer_id] += 1
    return planned
