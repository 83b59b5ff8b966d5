"""From picks to a proven protocol: compiled, rendered, checked by the ledger, proven by the vendor's interpreter."""

import random
import tempfile
import time
from pathlib import Path

from bench.table import Figure
from protocols.analyze import analyze_many, compare
from protocols.compile import Compiled, Order, Rules, Spare, Target, TipPolicy, compile_orders
from protocols.labware import LABWARE, robot_deck
from protocols.ledger import Ledger
from protocols.render import render
from protocols.stock import StockWell, TipRack

_PLATE, _TROUGH, _RACK = "corning_384_wellplate_112ul_flat", "nest_12_reservoir_15ml", "opentrons_flex_96_tiprack_50ul"
_DOSES = (10.0, 5.0, 2.5, 1.0, 0.5, 0.1)
_COMMAND = "python -m bench.run rendered"


def figures() -> list[Figure]:
    """Measure 64 compounds at six doses, back-filled, with dilutions, columns of eight and tips that stay on."""
    begun = time.perf_counter()
    compiled, ledger = _compiled()
    protocol = compiled.protocol
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"load-{load.index}.py" for load in protocol.loads]
        for load, file in zip(protocol.loads, files, strict=True):
            file.write_text(render(protocol, load.index))
        ledger.check(protocol)
        own_s = time.perf_counter() - begun
        analyses = analyze_many(files, timeout_s=300.0)
        vendor_s = time.perf_counter() - begun - own_s
        begun = time.perf_counter()
        found = [p for a, load in zip(analyses, protocol.loads, strict=True) for p in compare(a, protocol, load.index)]
        own_s += time.perf_counter() - begun
    n, n_strokes = len(protocol.transfers), len({t.stroke for t in protocol.transfers if t.stroke})
    what = f"384 picks with doses to a proven protocol ({n} transfers, {n_strokes} strokes, {len(files)} loads)"
    measured = f"{own_s + vendor_s:.1f} s, of which our own part {own_s:.2f} s; {len(found)} differences"
    return [Figure(what, measured, "<= 15 s; own part < 2 s; 0 differences", _COMMAND)]


def _compiled() -> tuple[Compiled, Ledger]:
    rng = random.Random(1)
    wells = list(LABWARE[_PLATE].wells_by_column())
    wanted = [(f"CPD-{i:03d}", dose) for i in range(64) for dose in _DOSES]
    rng.shuffle(wanted)
    orders = [Order("A-1", well, name, dose_um=dose) for well, (name, dose) in zip(wells, wanted, strict=True)]
    stock = [StockWell("SRC-1", wells[i], f"CPD-{i:03d}", 60_000, 10_000.0, _PLATE) for i in range(64)]
    stock += [StockWell("TROUGH", f"A{n:02d}", "DMSO", 14_000_000, 0.0, _TROUGH) for n in (1, 2)]
    racks = [TipRack(f"T-{n:02d}", _RACK, LABWARE[_RACK].wells_by_column()) for n in range(20)]
    spares = (Spare("DIL-1", _PLATE), Spare("DIL-2", _PLATE))
    rules = Rules(final_dmso_percent=10.0, tip_policy=TipPolicy.KEEP, spares=spares)
    deck = robot_deck("flex", multichannel="flex_8channel_50")
    compiled = compile_orders(orders, [Target("A-1", _PLATE, 45_000)], stock, racks, deck, rules, "bench")
    plates = {"A-1": (_PLATE, 45_000), "DIL-1": (_PLATE, 0), "DIL-2": (_PLATE, 0)}
    return compiled, Ledger.of(stock, racks, plates)
