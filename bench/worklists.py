"""Work lists and result files: how fast they are written and read, and what damaged files pass for."""

import random

from bench.table import Figure
from bench.timing import warm_seconds
from nextplate.errors import DataError
from protocols.compile import compile_orders
from protocols.labware import LABWARE, robot_deck
from protocols.model import DeckItem, DeckLoad, DeckRole, Protocol, Transfer
from protocols.orders import Order, Rules, Target
from protocols.stock import StockWell
from protocols.worklists.formats import LISTS, ListSettings, names_of, read_result, write_list
from tests.support.result_files import damaged, echo_report, result_table, run_record, trace

COMMAND = "python -m bench.run worklists"
PLATE, TIPS = "corning_384_wellplate_112ul_flat", "opentrons_flex_96_tiprack_50ul"


def figures() -> list[Figure]:
    """Measure writing, reading, acoustic compilation, and 10,000 damaged files of each kind."""
    plan, settings = _plan(3_000), ListSettings()
    written = {kind: warm_seconds(lambda k=kind: write_list(k, plan, 0, settings), 3) for kind in LISTS}  # type: ignore[misc]
    load, names = plan.loads[0], names_of(plan, 0, "csv", settings)
    files = {
        "echo": echo_report(plan),
        "table": result_table(plan),
        "opentrons": run_record(plan),
        "hamilton": trace(plan),
    }
    read = {
        kind: warm_seconds(lambda k=kind, raw=raw: read_result(k, raw, load, names, settings), 3)  # type: ignore[misc]
        for kind, raw in files.items()
    }
    acoustic = warm_seconds(_acoustic, 3)
    return [
        Figure("a work list of 3,000 transfers written", _shown(written), "", COMMAND),
        Figure("a result of 3,000 transfers read", _shown(read), "", COMMAND),
        Figure("3,000 doses with back-fill compiled for an Echo", f"{acoustic:.2f} s", "under 5 s", COMMAND),
        *_damaged(),
    ]


def _shown(seconds: dict[str, float]) -> str:
    return ", ".join(f"{kind} {value * 1000:.0f} ms" for kind, value in seconds.items())


def _plan(n: int) -> Protocol:
    wells, tips = LABWARE[PLATE].wells_by_column(), LABWARE[TIPS].wells_by_column()
    deck = [DeckItem(f"S{i}", f"SRC-{i}", PLATE, DeckRole.SOURCE) for i in range(4)]
    deck += [DeckItem(f"D{i}", f"P-{i}", PLATE, DeckRole.DESTINATION) for i in range(8)]
    deck.append(DeckItem("T", "TIPS", TIPS, DeckRole.TIPS))
    moved = [
        Transfer(
            i + 1, f"SRC-{i % 4}", wells[i % 384], f"P-{i // 384}", wells[i % 384], 5_000, "TIPS", tips[i % 96], f"C{i}"
        )
        for i in range(n)
    ]
    return Protocol("bench", "flex", "flex_1channel_50", "left", (DeckLoad(0, tuple(deck), tuple(moved)),))


def _acoustic() -> Protocol:
    kind = "labcyte_384_pp"
    wells = LABWARE[kind].wells_by_column()
    stock = [StockWell(f"S-{i // 384}", wells[i % 384], f"C{i}", 60_000, 10_000.0, kind) for i in range(3_000)]
    stock += [StockWell("S-D", well, "DMSO", 60_000, 0.0, kind) for well in wells]
    targets = [Target(f"A-{i}", PLATE, 50_000) for i in range(8)]
    orders = [Order(f"A-{i // 384}", wells[i % 384], f"C{i}", dose_um=10.0) for i in range(3_000)]
    return compile_orders(orders, targets, stock, (), robot_deck("echo"), Rules(0.5), "bench").protocol


def _damaged() -> list[Figure]:
    plan, settings = _plan(6), ListSettings()
    load, names = plan.loads[0], names_of(plan, 0, "csv", settings)
    bad = {
        "echo": echo_report(plan, dict.fromkeys((2, 3, 5), ("0", "no liquid"))),
        "table": result_table(plan, dict.fromkeys((2, 3, 5), ("0", "error"))),
        "opentrons": run_record(plan, {3: "aspirate"}, "failed"),
        "hamilton": trace(plan, {3: "aspirate"}),
    }
    told: dict[str, int] = {}
    for kind, raw in bad.items():
        rng = random.Random(11)
        for _ in range(10_000):
            try:
                account = read_result(kind, damaged(raw, rng), load, names, settings)
            except DataError:
                continue
            told[kind] = told.get(kind, 0) + account.is_as_planned
    shown = ", ".join(f"{kind} {told.get(kind, 0)}" for kind in bad)
    what = "wrong successes of 10,000 damaged reports of a failed run, crashes none"
    return [Figure(what, shown, "0", COMMAND)]
