"""Right orders at random: each is made as ordered, by a protocol that the check passes, or refused with its cause."""

import re
from dataclasses import replace
from typing import Any

import pytest

from nextplate.errors import PlanError
from protocols.compile import Order, Rules, Spare, Target
from protocols.labware import LABWARE, pipette
from protocols.model import Mix
from protocols.stock import StockWell
from tests.protocols.test_compile_orders import assert_as_ordered
from tests.support.orders_lab import P384, TROUGH, OrdersLab, compounds, dose_lab, solvent
from tests.support.random_orders import random_orders

_REFUSED = re.compile(r"(\w+) of (\S+): ([\d.]+) uM of \S+ from .*?, (\d+) nl into a well with (\d+) nl: (.*)")
_CAUSES = (
    "these doses cannot be made",
    "the stock cannot serve this plate",
    "no well is left for a dilution",
    "tips needed",
)


def made_or_refused(seed: int) -> bool:
    """Compile the orders of a seed; return whether they were made."""
    lab = random_orders(seed)
    try:
        compiled = lab.compiled()
    except PlanError as error:
        refusal = str(error)
    else:
        assert_as_ordered(lab, compiled)
        return True
    assert any(cause in refusal for cause in _CAUSES), refusal
    for found in _REFUSED.finditer(refusal):
        assert_cause(lab, found)
    return False


def assert_cause(lab: OrdersLab, found: re.Match[str]) -> None:
    """Reckon anew what a refusal says of a dose."""
    well, plate, dose_um, total, fill, words = found.groups()
    (order,) = (o for o in lab.orders if (o.plate, o.well) == (plate, well))
    total_nl, tool = int(total), pipette(lab.deck.pipette)
    strongest = max(item.concentration_um for item in lab.stock if item.compound_id == order.compound_id)
    exact_nl = float(dose_um) * (total_nl + int(fill)) / strongest
    assert ("too strong" in words) == (total_nl >= tool.min_nl and exact_nl > total_nl)
    assert ("raise final_dmso_percent" in words) == (total_nl < tool.min_nl)


def test_right_orders_are_made_or_refused_with_the_cause() -> None:
    made = sum(made_or_refused(seed) for seed in range(40))
    assert made > 25


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_thousand_right_orders_are_made_or_refused_with_the_cause() -> None:
    made = sum(made_or_refused(seed) for seed in range(1_000, 2_000))
    assert made > 700


def test_a_column_with_dilutions_of_two_levels_is_filled_before_the_first_is_made() -> None:
    """The solvent of a whole column used to wait for the level of its first well."""
    wells = LABWARE[P384].wells_by_column()
    orders = [Order("A-000", wells[i], f"CPD-{i:04d}", dose_um=1.0) for i in range(11)]
    lab = OrdersLab(
        orders, (Target("A-000", P384, 45_000),), [*compounds(11, 1), *solvent()],
        Rules(6.0, spares=(Spare("DIL", P384),)), has_eight=True,
    )  # fmt: skip
    assert_as_ordered(lab, lab.compiled())


def test_a_compound_that_stands_in_a_trough_is_diluted_well_by_well_and_mixed_in_each() -> None:
    """Eight channels used to give it to a column of which the first well was mixed."""
    lab = dose_lab(
        1, (0.5,) * 700, has_eight=True, rules=Rules(10.0, spares=(Spare("DIL", P384),)), n_racks=60,
        stock=[StockWell("CPD", "A01", "CPD-0000", 14_000_000, 100.0, TROUGH), *solvent()],
    )  # fmt: skip
    compiled = lab.compiled()
    assert_as_ordered(lab, compiled)
    given = {t.destination_well for t in compiled.protocol.transfers if t.source_plate == "CPD"}
    assert {step.well for step in compiled.protocol.steps if isinstance(step, Mix)} == given
    assert len(given) > 8


CAUSES: dict[str, tuple[float, float, float, str]] = {
    "too little solvent": (
        0.001,
        1.0,
        1e4,
        "505 nl are under the 1000 nl minimum of flex_1channel_50; raise final_dmso",
    ),
    "too strong": (900.0, 2.0, 1e4, "too strong a dose for the stock: it takes 4592 nl of 10000 uM"),
    "too weak": (1e-7, 10.0, 1e4, "too weak a dose for the stock: it would have to be diluted more than 1e+06 fold"),
    "too much solvent": (1.0, 70.0, 1e4, "116667 nl are over what flex_1channel_50 moves at once; lower final_dmso"),
}


@pytest.mark.parametrize("case", CAUSES)
def test_a_dose_that_cannot_be_made_is_told_its_cause(case: str) -> None:
    dose_um, percent, um, words = CAUSES[case]
    lab = OrdersLab(
        [Order("A", "A01", "CPD-0000", dose_um=dose_um)], (Target("A", P384, 50_000),),
        [*compounds(1, 1, um=um), *solvent()], Rules(percent, spares=(Spare("DIL", P384), Spare("DIL2", P384))),
    )  # fmt: skip
    with pytest.raises(PlanError, match=re.escape(words)):
        lab.compiled()


def test_a_dose_for_which_other_wells_left_too_little_says_so() -> None:
    wells = LABWARE[P384].wells_by_column()
    stock = [*compounds(1, 1, volume_nl=8_000), *solvent()]
    lab = OrdersLab(
        [Order("A", well, "CPD-0000", dose_um=700.0) for well in wells[:2]], (Target("A", P384, 45_000),), stock,
        Rules(10.0, spares=(Spare("DIL", P384),)),
    )  # fmt: skip
    with pytest.raises(PlanError, match="too little is left of it, other wells have taken the rest"):
        lab.compiled()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"concentration_um": float("nan")}, "A01 on SRC-00 is nan uM strong, which is no concentration"),
        ({"concentration_um": -1.0}, "is -1.0 uM strong"),
        ({"volume_nl": 60_000.5}, "A01 on SRC-00 holds 60000.5 nl, not whole nanolitres"),
        ({"volume_nl": True}, "holds True nl, not whole nanolitres"),
    ],
)
def test_stock_that_is_no_number_is_refused(change: dict[str, Any], words: str) -> None:
    first, *rest = compounds(1, 1)
    lab = OrdersLab([Order("A", "A01", "CPD-0000", 1_000)], (Target("A", P384, 0),), [replace(first, **change), *rest])
    with pytest.raises(PlanError, match=re.escape(words)):
        lab.compiled()
