"""Protocols on the simulated handler: no nanolitre is lost, and after every fault the ledger holds the truth."""

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from drivers.ports import Report, RunLoad, Status
from nextplate.errors import Transient
from protocols.ledger import Ledger
from protocols.model import DeckLoad, Protocol
from protocols.outcome import Handling, Outcome
from protocols.volumes import Interval
from sim.lab import FaultKind, FaultSettings, SimLab, SimSettings
from sim.liquids import read_well, write_well
from sim.plates import add_plate
from tests.support.right_protocols import right_protocol

CV = 0.015
FAULTS = ("crash", "clogged-tip", "unnoticed-clog", "reply-lost", "refused", "offline", "nobody-knows")
"""Those of the handler, an answer that is lost for ever, and a device that nobody reaches while it works on."""


@dataclass
class Bench:
    """A simulated lab in which one protocol after another is run, each with plates of its own."""

    lab: SimLab
    folder: Path

    def run(self, seed: int, fault: str = "") -> tuple[Ledger, Ledger, Protocol]:
        """Run a random protocol with a fault in its last load; return the ledger before and after, and the protocol."""
        protocol, ledger, _ = right_protocol(seed, is_for_handler=True)
        protocol, ledger = _renamed(protocol, ledger, f"{seed}{fault}-")
        self._deliver(ledger)
        path = self.folder / f"{seed}{fault}.json"
        path.write_text(protocol.to_json())
        books = ledger.reserve(protocol)
        handling = Handling(error_share=6 * CV, notices_blockage=fault != "unnoticed-clog")
        for load in protocol.loads:
            self._set_deck(load)
            is_last = load is protocol.loads[-1]
            report = self._run_load(path, protocol, load.index, f"{seed}{fault}.{load.index}", fault if is_last else "")
            outcome = Outcome.of(report.status.value, report.result, load)
            if fault == "nobody-knows" and is_last:
                outcome = Outcome.of("unknown", {}, load)
            books = books.commit(protocol.digest, load.index, outcome, handling)
        path.unlink()
        return ledger, books, protocol

    def truth(self, key: tuple[str, str]) -> int:
        return read_well(self.lab._world, *key).volume_nl

    def total(self, ledger: Ledger) -> int:
        return sum(self.truth(key) for key in ledger.wells) + int(self.lab._world.meta("waste_nl") or 0)

    def _deliver(self, ledger: Ledger) -> None:
        world = self.lab._world
        with world.transaction():
            for barcode, kind in ledger.labware.items():
                add_plate(world, barcode, "tips" if "tiprack" in kind else "source", kind, f"hotel/{barcode}")
            for key, volume in ledger.wells.items():
                if volume.low_nl:
                    write_well(world, *key, replace(read_well(world, *key), volume_nl=volume.low_nl))

    def _set_deck(self, load: DeckLoad) -> None:
        world = self.lab._world
        with world.transaction():
            world.run("UPDATE plates SET place = 'hotel/' || barcode WHERE place LIKE 'deck/%'")
            for item in load.deck:
                world.run("UPDATE plates SET place = ? WHERE barcode = ?", (f"deck/{item.slot}", item.barcode))

    def _run_load(self, path: Path, protocol: Protocol, index: int, key: str, fault: str) -> Report:
        handler = self.lab.handler
        if fault in tuple(FaultKind) and fault != "offline":
            self.lab.break_device("handler", FaultKind(fault))
        command = RunLoad(path, None, protocol.digest, index)
        while handler.poll(key).status is Status.NOT_FOUND:
            try:
                handler.submit(command, key)
            except Transient:
                assert fault in ("reply-lost", "refused")
        if fault == "offline":
            self.lab.clock.wait_until(self.lab.clock.now() + timedelta(seconds=60))
            self.lab.break_device("handler", FaultKind.OFFLINE)
            report = handler.poll(key)
            self.lab.repair_device("handler")
            self._wait(key)
            return report
        report = self._wait(key)
        assert fault or report.status is Status.DONE, report.message
        return report

    def _wait(self, key: str) -> Report:
        report = self.lab.handler.poll(key)
        while report.status is Status.RUNNING:
            assert report.ready_at is not None
            self.lab.clock.wait_until(report.ready_at)
            report = self.lab.handler.poll(key)
        return report


def _renamed(protocol: Protocol, ledger: Ledger, prefix: str) -> tuple[Protocol, Ledger]:
    """Give plates and racks barcodes of their own, so that many protocols fit one lab."""
    import json

    body = json.loads(protocol.to_json())
    for load in body["loads"]:
        for item in load["deck"]:
            item["barcode"] = prefix + item["barcode"]
        for step in load.get("steps", load.get("transfers", [])):
            for name in ("source_plate", "destination_plate", "tip_rack", "plate", "reservoir"):
                if name in step:
                    step[name] = prefix + step[name]
    renamed = replace(
        ledger,
        wells={(prefix + p, w): v for (p, w), v in ledger.wells.items()},
        tips={prefix + rack: wells for rack, wells in ledger.tips.items()},
        labware={prefix + barcode: kind for barcode, kind in ledger.labware.items()},
        contents={(prefix + p, w): c for (p, w), c in ledger.contents.items()},
    )
    return Protocol.from_json(json.dumps(body)), renamed


def bench(folder: Path, cv: float) -> Bench:
    settings = SimSettings(seed=3, pipetting_cv=cv, faults=FaultSettings())
    lab = SimLab.open(folder, settings)
    lab._world._db.execute("PRAGMA synchronous=OFF")
    return Bench(lab, folder)


def conserve(folder: Path, seeds: range) -> int:
    """Run protocols and return how many nanolitres they moved; fail when one is lost or found."""
    exact, moved_nl = bench(folder, 0.0), 0
    for seed in seeds:
        waste = int(exact.lab._world.meta("waste_nl") or 0)
        before, after, protocol = exact.run(seed)
        assert exact.total(before) - waste == sum(volume.low_nl for volume in before.wells.values())
        for key, volume in after.wells.items():
            assert volume.contains(exact.truth(key)), (seed, key)
        moved_nl += sum(t.volume_nl for t in protocol.transfers)
    exact.lab.close()
    return moved_nl


def contained(folder: Path, fault: str, seeds: range) -> int:
    """Run protocols that suffer a fault; return how many wells were left uncertain; fail where the truth is outside."""
    rough, n_unknown = bench(folder, CV), 0
    for seed in seeds:
        _, after, _ = rough.run(seed, fault)
        for key, volume in after.wells.items():
            assert volume.contains(rough.truth(key)), (seed, key, str(volume), rough.truth(key))
        n_unknown += len(after.unknown)
    rough.lab.close()
    return n_unknown


def test_no_nanolitre_is_lost_by_random_protocols(tmp_path: Path) -> None:
    assert conserve(tmp_path, range(20)) > 0


@pytest.mark.parametrize("fault", FAULTS)
def test_after_each_fault_the_ledger_holds_the_truth(tmp_path: Path, fault: str) -> None:
    n_unknown = contained(tmp_path, fault, range(10))
    assert n_unknown > 0 or fault not in ("crash", "clogged-tip", "offline", "nobody-knows")


@pytest.mark.long
def test_no_nanolitre_is_lost_by_a_thousand_random_protocols(tmp_path: Path) -> None:
    assert conserve(tmp_path, range(1000)) > 0


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_thousand_of_each_fault_the_ledger_holds_the_truth(tmp_path: Path, fault: str) -> None:
    contained(tmp_path, fault, range(1000))


def test_an_interval_reads_as_people_write_it() -> None:
    assert [str(Interval(5, 5)), str(Interval(5, 9))] == ["5 nl", "5 to 9 nl"]
