"""A rendered file is plain, readable Python that holds names only as data."""

import ast

import pytest

from nextplate.errors import DataError, PlanError
from protocols.labware import vendor_well
from protocols.model import DeckRole
from protocols.render import microlitres, render
from tests.support.protocol_lab import NASTY, SmallLab


def table(text: str, name: str) -> list[tuple[object, ...]]:
    """Read a table of the file as data, without running the file."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            return list(ast.literal_eval(node.value))
    raise AssertionError(name)


def test_the_file_is_ascii_python_with_the_requirements_of_its_robot(lab: SmallLab) -> None:
    text = render(lab.protocol(), 0)
    assert text.isascii()
    assert table(text, "requirements") == ["robotType", "apiLevel"]
    assert f'"robotType": {lab.deck.robot_type!r}' in text
    assert ("load_trash_bin('A3')" in text) == (lab.robot == "flex")
    # 1.25 ul is under the 5 ul of the Flex pipette's normal mode.
    assert ("configure_for_volume(1.25)" in text) == (lab.robot == "flex")


def test_the_table_holds_every_transfer_in_order_with_vendor_wells(lab: SmallLab) -> None:
    protocol = lab.protocol()
    slots = {item.barcode: item.slot for item in protocol.loads[0].deck}
    rows = table(render(protocol, 0), "TRANSFERS")
    assert [row[0] for row in rows] == [t.transfer_id for t in protocol.transfers]
    assert rows[0] == (
        1, slots["CTRL"], "A1", slots["P-1"], vendor_well(protocol.transfers[0].destination_well), 1.25,
        slots["TIPS-2"], "F12", protocol.transfers[0].compound_id,
    )  # fmt: skip


def test_nasty_names_stay_names(lab: SmallLab) -> None:
    text = render(lab.protocol(), 0)
    assert set(NASTY) <= {row[-1] for row in table(text, "TRANSFERS")}
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)}
    allowed = {"protocol.load_labware", "protocol.load_trash_bin", "protocol.load_instrument"}
    allowed |= {
        f"pipette.{verb}" for verb in ("pick_up_tip", "aspirate", "dispense", "drop_tip", "configure_for_volume")
    }
    assert calls <= allowed


def test_same_protocol_same_text(lab: SmallLab) -> None:
    assert render(lab.protocol(), 0) == render(lab.protocol(), 0)


def test_the_deck_table_is_the_deck(lab: SmallLab) -> None:
    deck = lab.protocol().loads[0].deck
    assert table(render(lab.protocol(), 0), "DECK") == [(i.slot, i.labware, i.barcode, i.role.value) for i in deck]
    assert deck[0].role is DeckRole.DESTINATION


@pytest.mark.parametrize(
    ("volume_nl", "text"), [(1, "0.001"), (1_000, "1.0"), (1_250, "1.25"), (50_000, "50.0"), (12_340, "12.34")]
)
def test_microlitres_are_exact(volume_nl: int, text: str) -> None:
    assert microlitres(volume_nl) == text


@pytest.mark.parametrize(("well", "vendor"), [("A01", "A1"), ("P24", "P24"), ("AF48", "AF48"), ("B10", "B10")])
def test_vendor_wells(well: str, vendor: str) -> None:
    assert vendor_well(well) == vendor


def test_refusals() -> None:
    with pytest.raises(PlanError, match="has no load 7; it has 1"):
        render(SmallLab().protocol(), 7)
    with pytest.raises(DataError, match="'9Z' is not a well"):
        vendor_well("9Z")
