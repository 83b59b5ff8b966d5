"""Campaigns of an acoustic dispenser: no tips, work lists, and its software's reports with exceptions."""

import csv
import json
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hidden_lab import HiddenLab, _done
from small_lab import (
    REAL,
    SETTINGS,
    command,
    device_log,
    environment,
    nextplate,
    planned_transfers,
    run_lab,
    vendor_files,
)

from controller.steps.check import _list_problems
from drivers.ports import RunLoad
from protocols.labware import vendor_well
from protocols.model import Protocol
from protocols.steps import Transfer
from protocols.worklists.echo import read_echo, write_echo
from protocols.worklists.picks import Pick
from sim.lab import SimLab

pytestmark = pytest.mark.slow

ASSAY = "[assay]\ntransfer_ul = 0.045\nincubation_h = {hours}\n"
SIM = "".join(
    f'[[device]]\nname = "{kind}"\nkind = "{kind}"\n{robot}'
    for kind, robot in {"liquid-handler": 'robot = "echo"\n', "plate-mover": "", "incubator": "", "imager": ""}.items()
)
ECHO = """[[device]]
name = "liquid-handler"
kind = "liquid-handler"
driver = "worklist-folder"
options = { format = "echo", out = "lists", in = "reports", settle_s = 1.0 }
robot = "echo"
"""


def echo_lab(folder: Path, devices: str, hours: float = 24.0, faults: str = "clogged_tip = 0.02") -> Path:
    """Make a lab whose whole stock stands in plates that sound goes through."""
    nextplate("init", folder)
    said = SETTINGS.format(rounds=1, seed=5, policy="auto", partial_load="accept", faults=faults)
    is_real = "driver" in devices
    text = ASSAY.format(hours=hours) + (said.split("[sim]")[0] if is_real else said) + devices
    (folder / "lab.toml").write_text(text)
    vendor = folder.parent / f"vendor-{folder.name}"
    vendor_files(vendor, 5)
    _for_sound(vendor / "stock.csv")
    nextplate("library", "add", vendor / "library.csv", "--lab", folder)
    nextplate("stock", "add", vendor / "stock.csv", "--lab", folder)
    return folder


def _for_sound(path: Path) -> None:
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source_plate"].startswith("SRC")]
    controls = [("DMSO", "0"), ("REF-1", "10000")]
    more = [
        {**rows[0], "source_plate": "CTRL-001", "source_well": f"A{n + 1:02d}", "compound_id": name}
        | {"concentration_um": um}
        for n, (name, um) in enumerate(controls)
    ]
    kept = [{**row, "concentration_um": row["concentration_um"] if row in more else "10000"} for row in (*rows, *more)]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "labware": "labcyte_384_pp"} for row in kept)


def planned(lab: Path) -> Protocol:
    (path,) = (lab / "protocols").glob("compile-*/protocol.json")
    return Protocol.from_json(path.read_text())


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab whose campaign ended by itself."""
    lab = echo_lab(tmp_path_factory.mktemp("echo") / "lab", SIM)
    nextplate("tips", "add", 1, "--lab", lab, code=2)
    body = run_lab(lab)
    assert body["finished"]
    assert not body["faults"]
    return lab


def test_a_simulated_echo_shoots_every_planned_droplet_once(shot: Path):
    lab = shot
    log = device_log(lab, "handler")
    assert Counter((row["destination_plate"], row["transfer_id"]) for row in log) == planned_transfers(lab)
    assert {row["asked_nl"] for row in log} == {45}
    assert {row["tip_rack"] for row in log} == {""}
    (folder,) = (lab / "protocols").glob("compile-*")
    protocol = planned(lab)
    for load in protocol.loads:
        picks = read_echo((folder / f"load-{load.index}.csv").read_bytes().decode())
        assert len(picks) == len(load.transfers)
        assert {item.slot for item in load.deck} == {"source", "destination"}
    moves = {(m["source"], m["target"]) for m in device_log(lab, "mover")}
    assert {("hotel/SRC-001", "deck/source"), ("stack/new", "deck/destination")} <= moves


def test_a_list_that_is_not_the_plan_is_refused(shot: Path, tmp_path: Path):
    lab = shot
    (folder,) = (lab / "protocols").glob("compile-*")
    protocol = planned(lab)
    assert _list_problems(protocol, folder) == []
    other = tmp_path / "other"
    other.mkdir()
    for load in protocol.loads:
        (other / f"load-{load.index}.csv").write_bytes(write_echo(protocol, load.index).text.encode())
    text = (other / "load-0.csv").read_bytes().replace(b",45\r\n", b",50\r\n", 1)
    (other / "load-0.csv").write_bytes(text)
    (problem,) = _list_problems(protocol, other)
    assert problem.startswith("load 1, line 2: the list says ")


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("controls in a trough", "echo_550 cannot draw DMSO from CTRL-001 A01"),
        ("no whole droplets", "is not a whole number of droplets of 2.5 nl"),
        ("dilutions", "shoots droplets small enough"),
    ],
)
def test_what_no_sound_can_do_is_told_before_anything_moves(tmp_path: Path, what: str, words: str):
    lab = echo_lab(tmp_path / "lab", SIM)
    text = (lab / "lab.toml").read_text()
    if what == "no whole droplets":
        (lab / "lab.toml").write_text(text.replace("0.045", "0.047"))
    if what == "dilutions":
        deck = '[deck]\ndilution = "labcyte_384_pp"\n'
        (lab / "lab.toml").write_text(text.replace("[plate]", f"{deck}[plate]"))
    if what == "controls in a trough":
        lab = _with_trough(tmp_path)
    done = subprocess.run(
        command("run", "--lab", lab, "--json"), capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 2, done.stdout
    assert words in done.stderr


def _with_trough(tmp_path: Path) -> Path:
    lab = tmp_path / "trough"
    nextplate("init", lab)
    said = SETTINGS.format(rounds=1, seed=5, policy="auto", partial_load="accept", faults="clogged_tip = 0.0")
    (lab / "lab.toml").write_text(ASSAY.format(hours=24.0) + said + SIM)
    stock = tmp_path / "vendor-lab" / "stock.csv"
    text = stock.read_text().splitlines()
    mended = [line.replace("labcyte_384_pp", "nest_12_reservoir_15ml") if "CTRL-001" in line else line for line in text]
    stock.write_text("\n".join([*mended, ""]))
    nextplate("library", "add", tmp_path / "vendor-lab" / "library.csv", "--lab", lab)
    nextplate("stock", "add", stock, "--lab", lab)
    return lab


class EchoLab(HiddenLab):
    """People, robots, and an Echo whose software takes pick lists and leaves transfer reports.

    One transfer of each list is an exception: the dispenser could not draw, and went on.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments, n_tips=0)
        self.excepted: list[tuple[str, str]] = []
        """Plate and well of each exception."""

    def serve(self, sim: SimLab) -> None:
        for path in sorted((self.lab / "lists").glob("[!.]*.csv")):
            report = self.lab / "reports" / f"{path.stem}_transfer.csv"
            if not report.exists():
                self._run(sim, path, report)

    def _run(self, sim: SimLab, path: Path, report: Path) -> None:
        picks = read_echo(path.read_bytes().decode())
        index = int(path.stem.split("-")[1])
        protocol = planned(self.lab)
        load = protocol.loads[index]
        assert [_ends(t) for t in load.transfers] == [_ends(p) for p in picks]
        # The Echo knows only its list; the world is told of it without the transfer that failed.
        done = replace(load, steps=load.steps[1:])
        physical = replace(protocol, loads=tuple(done if item is load else item for item in protocol.loads))
        place = self.world / f"{path.stem}.json"
        place.write_text(physical.to_json())
        told = _done(sim, sim.handler, RunLoad(place, None, physical.digest, index), path.stem)
        moved = dict(told.result["transfers"])
        assert set(moved) == {t.transfer_id for t in done.transfers}
        failed, *well = picks
        self.excepted.append((failed.destination_plate, failed.destination_well))
        part = report.with_suffix(".part")
        part.write_bytes(_report(failed, well))
        part.rename(report)


def _ends(item: Transfer | Pick) -> tuple[str, str, str, str, int]:
    return item.source_plate, item.source_well, item.destination_plate, item.destination_well, item.volume_nl


HEAD = (
    "Source Plate Barcode,Source Well,Destination Plate Barcode,Destination Well,Transfer Volume,Actual Volume,"
    "Transfer Status"
)


def _report(failed: Pick, done: list[Pick]) -> bytes:
    lines = ["Run ID,17", "Protocol Name,night", "", "[EXCEPTIONS]", HEAD]
    lines += [_row(failed, 0, "MM0202007: Exceeds maximum fluid height"), "", "[DETAILS]", HEAD]
    lines += [
        *(_row(pick, pick.volume_nl, "") for pick in done),
        "",
        "Instrument Name,E5XX",
        "Instrument Serial Number,1",
    ]
    return "\r\n".join([*lines, ""]).encode()


def _row(pick: Pick, moved_nl: int, status: str) -> str:
    source, target = vendor_well(pick.source_well), vendor_well(pick.destination_well)
    cells = (pick.source_plate, source, pick.destination_plate, target, pick.volume_nl, moved_nl, status)
    return ",".join(map(str, cells))


def test_an_echo_with_its_own_software_works_a_night_and_its_exceptions_are_left_out(tmp_path: Path):
    devices = REAL[REAL.index('[[device]]\nname = "plate-mover"') :] + ECHO
    lab = echo_lab(tmp_path / "lab", devices, hours=0.0)
    people = EchoLab(lab, tmp_path / "world", tmp_path / "vendor-lab")
    people.start()
    body = run_lab(lab)
    people.stop()
    assert body["finished"]
    assert not body["faults"]
    protocol = planned(lab)
    with people.open() as world:
        log = world.log("handler")
    happened = Counter((row["destination_plate"], row["destination_well"]) for row in log)
    ordered = Counter((t.destination_plate, t.destination_well) for t in protocol.transfers)
    assert len(people.excepted) == len(protocol.loads) == 2
    assert ordered - happened == Counter(people.excepted)
    assert not happened - ordered, "nothing was shot twice"
    path, *_ = (lab / "measurements").glob("normalise-*/responses.parquet")
    flagged = pl.read_parquet(path).filter(pl.col("flags").str.contains("not-dosed"))
    assert sorted(flagged["well"]) == sorted(well for _, well in people.excepted)
    shown = json.loads(nextplate("stock", "show", "--lab", lab, "--json"))
    n_drawn = sum(row["source_plate"].startswith("SRC") for row in log)
    assert shown["plates"]["SRC-001"]["volume_nl"] == 250 * 60_000 - 45 * n_drawn
