"""After a result file with faults the ledger's intervals contain what was simulated, and nothing is lost or made."""

import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from result_files import echo_report, result_table, run_record, trace
from worklist_lab import SOURCE, TARGET, TIPS, small_protocol

from protocols.analyze import analyze
from protocols.labware import LABWARE
from protocols.ledger import Ledger
from protocols.render import render
from protocols.stock import StockWell, TipRack
from protocols.worklists.account import Account, as_outcome
from protocols.worklists.echo_report import read_echo_report
from protocols.worklists.hamilton_trace import read_hamilton_trace
from protocols.worklists.names import Names
from protocols.worklists.opentrons_record import read_opentrons_record
from protocols.worklists.results import read_results

PLAN = small_protocol(8)
LOAD, VOLUME, NAMES = PLAN.loads[0], 5_000, Names({})
Truth = dict[int, tuple[int, int]]
"""By transfer, what was drawn and what arrived."""


def _table_trial(rng: random.Random, is_echo: bool) -> tuple[Account, Truth]:
    truth: Truth = {}
    faults: dict[int, tuple[str, str]] = {}
    skip: set[int] = set()
    for t in LOAD.transfers:
        moved = rng.choice([0, 5 * rng.randrange(1000), VOLUME])
        match rng.randrange(6):
            case 0:
                faults[t.transfer_id] = (str(moved), "fault") if moved < VOLUME else ("", "fault")
            case 1:
                faults[t.transfer_id] = "", "fault"
            case 2:
                skip.add(t.transfer_id)
            case 3:
                faults[t.transfer_id] = f"{moved}.5" if moved < VOLUME else "", "fault"
            case _:
                moved = VOLUME
        # What a table tells is what arrived: a pipette that failed to give may have drawn all of it.
        truth[t.transfer_id] = moved if is_echo else rng.choice([moved, rng.randint(moved, VOLUME), VOLUME]), moved
    if is_echo:
        return read_echo_report(echo_report(PLAN, faults, frozenset(skip)), LOAD, NAMES), truth
    return read_results(result_table(PLAN, faults, frozenset(skip)), LOAD, NAMES), truth


def _run_trial(rng: random.Random, is_trace: bool) -> tuple[Account, Truth]:
    at = rng.randint(1, 9)
    fault = rng.choice(["aspirate", "dispense"] + ["stop"] * (not is_trace))
    faults: Mapping[int, str] = {at: fault}
    truth = {t.transfer_id: (VOLUME, VOLUME) if t.transfer_id < at else (0, 0) for t in LOAD.transfers}
    if at in truth:
        some = rng.choice([0, rng.randrange(VOLUME), VOLUME])
        truth[at] = {"aspirate": (some, 0), "dispense": (VOLUME, some), "stop": (VOLUME, 0)}[fault]
    if is_trace:
        return read_hamilton_trace(trace(PLAN, faults), LOAD, NAMES), truth
    status = rng.choice(["failed", "stopped", "running"]) if at in truth else "succeeded"
    return read_opentrons_record(run_record(PLAN, faults, status), LOAD), truth


@pytest.mark.parametrize("name", ["echo", "table", "opentrons", "hamilton"])
def test_intervals_contain_the_truth_in_1000_trials(name: str) -> None:
    stock = [StockWell("SRC-001", t.source_well, t.compound_id, 60_000, 10.0, SOURCE) for t in PLAN.transfers]
    rack = TipRack("TIPS-001", TIPS, LABWARE[TIPS].wells_by_column())
    before = Ledger.of(stock, [rack], {"P1": (TARGET, 100_000)})
    booked = before.reserve(PLAN)
    for seed in range(1_000):
        rng = random.Random(f"{name} {seed}")
        trial = _table_trial if name in ("echo", "table") else _run_trial
        account, truth = trial(rng, name in ("echo", "hamilton"))
        after = booked.commit(PLAN.digest, 0, as_outcome(account))
        for t in LOAD.transfers:
            drawn, arrived = truth[t.transfer_id]
            assert after.volume("SRC-001", t.source_well).contains(60_000 - drawn), (seed, t)
            assert after.volume("P1", t.destination_well).contains(100_000 + arrived), (seed, t)
        total = before.total_nl().low_nl
        assert after.total_nl().contains(total), seed


@pytest.mark.opentrons
def test_the_vendors_own_command_list_is_followed(tmp_path: Path) -> None:
    import json

    path = tmp_path / "load.py"
    path.write_text(render(PLAN, 0))
    analysis = analyze(path)
    assert analysis.is_ok, analysis.errors
    raw = json.dumps({"commands": [dict(command) for command in analysis.commands]}).encode()
    assert read_opentrons_record(raw, LOAD).is_as_planned
