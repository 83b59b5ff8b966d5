"""Protocols on the simulated handler: no nanolitre is lost, and after every fault the ledger holds the truth."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from controller.projections import rows_of
from controller.state import Intent
from drivers.ports import Report, RunLoad, Status
from nextplate.errors import Transient
from protocols.ledger import Ledger
from protocols.model import DeckItem, DeckLoad, DeckRole, Dispense, Mix, Protocol, Wash
from protocols.outcome import Handling, Outcome
from protocols.stock import StockWell, TipRack
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
    told: list[tuple[Protocol, DeckLoad, Report]] = field(default_factory=list)
    """What the handler said of each load of the protocol run last; of the last one nothing, where nobody knows."""

    def run(self, seed: int, fault: str = "") -> tuple[Ledger, Ledger, Protocol]:
        """Run a random protocol with a fault in its last load; return the ledger before and after, and the protocol."""
        protocol, ledger, _ = right_protocol(seed, is_for_handler=True)
        return self.play(*_renamed(protocol, ledger, f"{seed}{fault}-"), f"{seed}{fault}", fault)

    def play(self, protocol: Protocol, ledger: Ledger, name: str, fault: str) -> tuple[Ledger, Ledger, Protocol]:
        """Run a protocol, as ``run`` does."""
        self.told.clear()
        self._deliver(ledger)
        path = self.folder / f"{name}.json"
        path.write_text(protocol.to_json())
        books = ledger.reserve(protocol)
        handling = Handling(error_share=6 * CV, notices_blockage=fault != "unnoticed-clog")
        for load in protocol.loads:
            self._set_deck(load)
            is_last = load is protocol.loads[-1]
            report = self._run_load(path, protocol, load.index, f"{name}.{load.index}", fault if is_last else "")
            if fault == "nobody-knows" and is_last:
                report = Report(Status.UNKNOWN)
            self.told.append((protocol, load, report))
            outcome = Outcome.of(report.status.value, report.result, load)
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


def night_books(folder: Path, fault: str, seeds: range) -> int:
    """Run protocols that suffer a fault, as a night does; return how often more was booked than was drawn.

    Fails where a stock well is believed fuller than it is, or a tip that is gone is believed to be there.
    """
    exact, n_over = bench(folder, 0.0), 0
    for seed in seeds:
        before, _, protocol = exact.run(seed, fault)
        believed = Counter({key: volume.low_nl for key, volume in before.wells.items()})
        tips: set[tuple[str, str]] = set()
        for night, load, report in exact.told:
            tables = booked(folder, night, load, report)
            for row in tables.get("stock_movements", ()):
                believed[row["plate"], row["well"]] += row["delta_nl"]
            tips |= {(row["rack"], row["well"]) for row in tables.get("tips_used", ())}
        sources = {(t.source_plate, t.source_well) for t in protocol.transfers}
        for key in sources:
            assert believed[key] <= exact.truth(key), (seed, key)
            n_over += believed[key] < exact.truth(key)
        sql = "SELECT rack, tip FROM tips_used WHERE rack LIKE ?"
        gone = {(r["rack"], r["tip"]) for r in exact.lab._world.rows(sql, (f"{seed}{fault}-%",))}
        assert gone <= tips, (seed, gone - tips)
    exact.lab.close()
    return n_over


def booked(folder: Path, protocol: Protocol, load: DeckLoad, report: Report) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Return the rows that a night writes for a load, by table."""
    (folder / "night.json").write_text(protocol.to_json())
    command = {"verb": "run-load", "protocol": "night.json", "digest": protocol.digest, "load": load.index}
    action = {"device": "liquid-handler", "command": command}
    intent = Intent(f"n.r0.run-{load.index}", "run-0", 0, action, datetime(2026, 1, 5, tzinfo=UTC))
    is_known = report.status in (Status.DONE, Status.FAILED)
    result = report.result if is_known else {"told_by": "ann", "choice": "write-off"}
    status = "failed" if report.status is Status.FAILED else "done"
    rows, _ = rows_of(folder, "n", status, intent, result, report.message)
    return {r.table: r.rows for r in rows}


@pytest.mark.parametrize("fault", ["", *FAULTS])
def test_what_nights_book_is_never_less_than_was_drawn(tmp_path: Path, fault: str) -> None:
    n_over = night_books(tmp_path, fault, range(15))
    assert n_over or fault not in ("crash", "clogged-tip", "unnoticed-clog", "nobody-knows")


@pytest.mark.long
@pytest.mark.parametrize("fault", ["", *FAULTS])
def test_what_a_thousand_nights_of_each_fault_book_is_never_less_than_was_drawn(tmp_path: Path, fault: str) -> None:
    night_books(tmp_path, fault, range(1000))


PLATE, TROUGH = "corning_384_wellplate_112ul_flat", "nest_12_reservoir_15ml"
TIP_RACK = "opentrons_flex_96_tiprack_50ul"
BULK = {
    "mix": Mix(9, "P", "A01", 20_000, 3, "T", "B01"),
    "wash": Wash(9, "P", ("A01", "A02", "A03"), 2, 30_000, 4_000, "R", "A01", "PBS"),
    "dispense": Dispense(9, "P", ("A01", "A02", "A03"), 7_000, "R", "A01", "PBS"),
}


@pytest.mark.parametrize("kind", BULK)
def test_a_crash_inside_another_step_leaves_the_truth_in_the_ledger(tmp_path: Path, kind: str) -> None:
    rough, changed = bench(tmp_path, CV), set[int]()
    deck = (
        DeckItem("C2", "P", PLATE, DeckRole.DESTINATION),
        DeckItem("B2", "R", TROUGH, DeckRole.SOURCE),
        DeckItem("D2", "T", TIP_RACK, DeckRole.TIPS),
    )
    plan = Protocol("n", "flex", "flex_1channel_50", "left", (DeckLoad(0, deck, (BULK[kind],)),))
    for seed in range(40):
        stock = [StockWell("R", "A01", "PBS", 9_000_000, 1.0, TROUGH)]
        books = Ledger.of(stock, [TipRack("T", TIP_RACK, ("B01",))], {"P": (PLATE, 55_000)})
        before, after, _ = rough.play(*_renamed(plan, books, f"{seed}-"), f"{kind}{seed}", "crash")
        for key, volume in after.wells.items():
            assert volume.contains(rough.truth(key)), (seed, key, str(volume), rough.truth(key))
        waste = int(rough.lab._world.meta("waste_nl") or 0)
        changed.add(sum(rough.truth(key) != volume.low_nl for key, volume in before.wells.items()))
        assert after.total_nl().contains(before.total_nl().low_nl), seed
        assert after.unknown, seed
    assert waste or kind == "dispense"
    assert len(changed) > 1, "it always stopped at the same moment"
    rough.lab.close()


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
