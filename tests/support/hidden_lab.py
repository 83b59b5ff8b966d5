"""A lab behind the folder driver whose people and robots are a SimLab in a folder of its own."""

import csv
import shutil
import threading
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

from lab_software import JSON, LabSoftware

from drivers.ports import AcquirePlate, FetchPlate, Move, MovePlates, Report, RunLoad, Status, StorePlate
from sim.lab import SimLab, SimSettings, SourceWell

CONTROLS = ("DMSO", "REF-1")


class HiddenLab(threading.Thread):
    """Answers requests in a thread until it is stopped; the world knows nothing of nextplate's journal."""

    def __init__(self, lab: Path, world: Path, vendor: Path, n_tips: int) -> None:
        super().__init__(daemon=True)
        self.lab, self.world, self.vendor, self.n_tips = lab, world, vendor, n_tips
        self.held: set[str] = set()
        """Verbs that are begun but not ended while they stand here."""
        self.error = ""
        self._stop_now = threading.Event()

    def stop(self) -> None:
        self._stop_now.set()
        self.join(60)
        assert not self.error, self.error

    def run(self) -> None:
        try:
            with self.open() as sim:
                software = LabSoftware(self.lab / "exchange", lambda request: self._answer(sim, request))
                while not self._stop_now.wait(0.05):
                    verbs = {request["command"]["verb"] for request in software.waiting()}
                    if verbs & self.held:
                        software.begin()
                    elif verbs:
                        software.work()
                    self.serve(sim)
        except Exception:
            self.error = traceback.format_exc()

    def serve(self, sim: SimLab) -> None:
        """Do what is asked for in other ways than through the exchange."""

    def open(self) -> SimLab:
        labware = "corning_96_wellplate_360ul_flat"
        sim = SimLab.open(self.world, SimSettings(seed=5, assay_labware=labware, n_threads=1, field_px=270))
        with (self.vendor / "library.csv").open(newline="") as file:
            smiles = {row["compound_id"]: row["smiles"] for row in csv.DictReader(file)}
        with (self.vendor / "stock.csv").open(newline="") as file:
            sim.deliver([_well(row, smiles) for row in csv.DictReader(file)])
        racks = {f"TIPS-{n + 1:04d}": "opentrons_flex_96_tiprack_50ul" for n in range(self.n_tips)}
        sim.deliver_tips(racks)
        sim.deliver_assay_plates(["NP-0001"])
        return sim

    def _answer(self, sim: SimLab, request: JSON) -> JSON:
        command, key = request["command"], request["key"]
        match command["verb"]:
            case "run-load":
                path = self.lab / "exchange" / "requests" / command["files"]["protocol"]
                report = _done(sim, sim.handler, RunLoad(path, None, command["protocol_digest"], command["load"]), key)
            case "move":
                report = _done(sim, sim.mover, MovePlates(tuple(Move(**m) for m in command["moves"])), key)
            case "store":
                report = _done(sim, sim.incubator, StorePlate(command["barcode"]), key)
            case "fetch":
                sim.clock.wait_until(sim.clock.now() + timedelta(hours=24))
                report = _done(sim, sim.incubator, FetchPlate(command["barcode"]), key)
            case _:
                report = _done(sim, sim.imager, AcquirePlate(command["barcode"]), key)
                folder = report.result["folder"]
                shutil.copytree(self.world / folder, self.lab / folder)
        return {"status": report.status.value, "result": dict(report.result), "message": report.message}


def _well(row: dict[str, str], smiles: dict[str, str]) -> SourceWell:
    name = row["compound_id"]
    structure = None if name in CONTROLS else smiles[name]
    volume_nl = round(1000 * float(row["volume_ul"]))
    where = (row["source_plate"], row["source_well"], name, structure, volume_nl)
    return SourceWell(*where, float(row["concentration_um"] or 0), row["labware"])


def _done(sim: SimLab, device: Any, command: Any, key: str) -> Report:
    device.submit(command, key)
    while (report := device.poll(key)).status is Status.RUNNING:
        sim.clock.wait_until(report.ready_at or sim.clock.now() + timedelta(hours=1))
    return report
