"""Protocols and their books: how fast they are compiled and checked, what is refused, whether the ledger is right."""

import tempfile
from pathlib import Path

from bench.table import Figure
from bench.timing import seconds, warm_seconds
from protocols.check import check
from protocols.orders import Compiled
from tests.sim.test_sim_ledger import FAULTS, conserve, contained
from tests.support.orders_lab import OrdersLab, dose_lab, plain_lab
from tests.support.right_protocols import right_protocol
from tests.support.wrong_protocols import NIGHT, ROBOT, WRONG, ledger

COMMAND = "python -m bench.run liquid"
TEST = "pytest -m long tests/sim/test_sim_ledger.py"


def figures() -> list[Figure]:
    """Measure speed, refusals, conservation and containment."""
    return [*_speed(), *_refusals(), _conservation(), _containment()]


def _speed() -> list[Figure]:
    plain, mixed = plain_lab(3000, 10, 8), plain_lab(3000, 30, 8)
    compiled = [seconds(plain.compiled), seconds(mixed.compiled)]
    doses = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03)
    labs = {
        "384 picks from 29 plates": plain_lab(384, 29, 1),
        "61 compounds at 6 doses with dilutions and back-fill": dose_lab(61, doses),
        "the same with 8 channels": dose_lab(61, doses, has_eight=True),
    }
    own = {name: warm_seconds(lambda lab=lab: _whole(lab), 3) for name, lab in labs.items()}  # type: ignore[misc]
    shown = "; ".join(f"{name} {value:.2f} s" for name, value in own.items())
    return [
        Figure("3,000 transfers compiled", f"{compiled[0]:.2f} s from 10 plates into 8, {compiled[1]:.2f} s from 30",
               "under 5 s", COMMAND),
        Figure("384 wells to checked protocol, our own part", shown, "under 2 s", COMMAND),
    ]  # fmt: skip


def _whole(lab: OrdersLab) -> Compiled:
    compiled = lab.compiled()
    assert not check(compiled.protocol, lab.ledger(), lab.deck)
    compiled.protocol.to_json()
    return compiled


def _refusals() -> list[Figure]:
    named = 0
    for wrong in WRONG.values():
        found = check(wrong.make(), ledger(), ROBOT, NIGHT)
        named += any(wrong.words in p.message and (p.plate, p.well) == (wrong.plate, wrong.well) for p in found)
    right = [right_protocol(seed) for seed in range(200)]
    refused = sum(bool(check(protocol, books, robot, NIGHT)) for protocol, books, robot in right)
    return [
        Figure("wrong protocols refused with the right well named", f"{named} of {len(WRONG)}", "all of at least 40",
               COMMAND),
        Figure("generated right protocols refused", f"{refused} of {len(right)}", "none of 200", COMMAND),
    ]  # fmt: skip


def _conservation() -> Figure:
    with tempfile.TemporaryDirectory() as folder:
        moved_nl = conserve(Path(folder), range(1000))
    measured = f"0 nl lost or found in 1,000 protocols that moved {moved_nl / 1e6:.0f} ml"
    return Figure("volume conserved by random protocols on the simulated handler", measured, "exact", TEST)


def _containment() -> Figure:
    n_unknown = 0
    for fault in FAULTS:
        with tempfile.TemporaryDirectory() as folder:
            n_unknown += contained(Path(folder), fault, range(1000))
    measured = f"every well of 1,000 trials of each of {len(FAULTS)} faults; {n_unknown} wells left uncertain"
    return Figure("the ledger's intervals contain the simulated truth after a fault", measured, "1,000 trials", TEST)
