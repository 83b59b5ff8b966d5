"""A small simulated lab for tests: one 96-well assay plate, two source plates, tiny images."""

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from drivers.ports import (
    AcquirePlate,
    Device,
    FetchPlate,
    Move,
    MovePlates,
    Report,
    RunLoad,
    Status,
    StorePlate,
)
from protocols.model import DeckItem, DeckLoad, DeckRole, Protocol, Step, Transfer
from sim.lab import SimLab, SimSettings, SourceWell

ASSAY = "corning_96_wellplate_360ul_flat"
SOURCE = "corning_384_wellplate_112ul_flat"
RESERVOIR = "nest_12_reservoir_15ml"
TIPS = "opentrons_flex_96_tiprack_50ul"
RACK = "TIPS-001"
WELLS_96 = [f"{row}{column:02d}" for row in "ABCDEFGH" for column in range(1, 13)]
SMILES = [
    "CCOC(=O)c1ccccc1N", "c1ccncc1CNC(=O)c1ccccc1", "Cc1ccc(cc1)S(=O)(=O)N(C)C", "O=C(Nc1ccccc1)c1ccco1",
    "COc1ccc(cc1)C(=O)NN", "Clc1ccc(cc1)-c1nnco1", "CN1CCN(CC1)c1ccccc1", "O=C1CSC(=S)N1", "Oc1ccccc1O",
    "CC(C)(C)c1ccc(cc1)OCC(=O)N", "N#Cc1ccc(cc1)N1CCOCC1", "c1ccc2[nH]ccc2c1", "Fc1ccc(cc1)C(=O)c1ccccc1",
    "CCCCNC(=O)c1cccnc1", "COc1ccccc1OCC(=O)Nc1ccccc1", "O=C(NCc1ccccc1)C1CCCCC1", "[O-][N+](=O)c1ccc(cc1)C=C",
    "Cc1cc(no1)C(=O)Nc1ccccn1", "CCN(CC)CCOc1ccccc1", "c1csc(n1)-c1ccccc1",
]  # fmt: skip
DECK = (
    DeckItem("A1", "CTRL-001", RESERVOIR, DeckRole.SOURCE),
    DeckItem("A2", "P1", ASSAY, DeckRole.DESTINATION),
    DeckItem("B1", "SRC-001", SOURCE, DeckRole.SOURCE),
    DeckItem("C1", RACK, TIPS, DeckRole.TIPS),
)


def settings(**changes: Any) -> SimSettings:
    values: dict[str, Any] = {"seed": 5, "field_px": 96, "assay_labware": ASSAY, "n_threads": 2}
    return SimSettings(**{**values, **changes})


def source_wells() -> list[SourceWell]:
    samples = [
        SourceWell("SRC-001", f"A{i + 1:02d}", f"C{i:03d}", smiles, 60_000, 100.0, SOURCE)
        for i, smiles in enumerate(SMILES)
    ]
    controls = [
        SourceWell("CTRL-001", f"A{i:02d}", name, None, 10_000_000, um, RESERVOIR)
        for i, (name, um) in enumerate([("DMSO", 0.0), ("REF-1", 100.0)], start=1)
    ]
    return samples + controls


def open_lab(folder: Path, **changes: Any) -> SimLab:
    """Open a lab in which everything a night needs has been delivered."""
    lab = SimLab.open(folder, settings(**changes))
    lab.deliver(source_wells())
    lab.deliver_tips({RACK: TIPS})
    lab.deliver_assay_plates(["P1", "P2"])
    return lab


def transfers(n: int = 24, volume_nl: int = 5_000) -> tuple[Transfer, ...]:
    """Wells A01.. of P1: vehicle, reference, then compounds in turn; a fresh tip each."""
    out = []
    for i in range(n):
        source = ("CTRL-001", f"A{i + 1:02d}") if i < 2 else ("SRC-001", f"A{i % len(SMILES) + 1:02d}")
        name = ("DMSO", "REF-1")[i] if i < 2 else f"C{i % len(SMILES):03d}"
        out.append(Transfer(i + 1, *source, "P1", WELLS_96[i], volume_nl, RACK, WELLS_96[i], name))
    return tuple(out)


def write_protocol(folder: Path, moved: tuple[Step, ...], deck: tuple[DeckItem, ...] = DECK) -> RunLoad:
    protocol = Protocol("test", "flex", "flex_1channel_50", "left", (DeckLoad(0, deck, moved),))
    path = folder / f"protocol-{protocol.digest[:8]}.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(protocol.to_json())
    return RunLoad(path, None, protocol.digest, 0)


def home(barcode: str) -> str:
    if barcode.startswith("P"):
        return "stack/new"
    return f"tips/{barcode}" if barcode.startswith("TIPS") else f"hotel/{barcode}"


def set_deck() -> MovePlates:
    return MovePlates(tuple(Move(item.barcode, home(item.barcode), f"deck/{item.slot}") for item in DECK))


def finish(lab: SimLab, device: Device, key: str) -> Report:
    """Wait until a command has ended."""
    report = device.poll(key)
    while report.status is Status.RUNNING:
        lab.clock.wait_until(report.ready_at or lab.clock.now() + timedelta(hours=1))
        report = device.poll(key)
    return report


def do(lab: SimLab, device: Device, command: Any, key: str) -> Report:
    """Bring a command to its end, whether or not the device has it already."""
    if device.lookup(key).status is Status.NOT_FOUND:
        device.submit(command, key)
    return finish(lab, device, key)


def set_up(lab: SimLab) -> None:
    assert do(lab, lab.mover, set_deck(), "set-deck").status is Status.DONE


def night(lab: SimLab, folder: Path) -> None:
    """Dose plate P1, let it stand for a day, image it; start it again after a crash and it goes on."""
    set_up(lab)
    do(lab, lab.handler, write_protocol(folder, transfers()), "dose")
    do(lab, lab.mover, MovePlates((Move("P1", "deck/A2", "incubator"),)), "to-incubator")
    do(lab, lab.incubator, StorePlate("P1"), "store")
    if lab.incubator.lookup("fetch").status is Status.NOT_FOUND:
        stored = lab.log("incubator")[0]["time"]
        lab.clock.wait_until(type(lab.clock.now()).fromisoformat(stored) + timedelta(hours=24))
    do(lab, lab.incubator, FetchPlate("P1"), "fetch")
    do(lab, lab.mover, MovePlates((Move("P1", "incubator", "imager"),)), "to-imager")
    do(lab, lab.imager, AcquirePlate("P1"), "image")


@dataclass(frozen=True)
class Snapshot:
    """Everything physical about a lab: tables as text, files as digests."""

    tables: Mapping[str, list[Any]]
    files: Mapping[str, str]


def snapshot(folder: Path) -> Snapshot:
    db = sqlite3.connect(folder / "sim" / "world.db")
    names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    tables = {name: sorted(db.execute(f"SELECT * FROM {name}").fetchall(), key=json.dumps) for name in names}
    db.close()
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "readouts").rglob("*"))
        if path.is_file()
    }
    return Snapshot(tables, files)
