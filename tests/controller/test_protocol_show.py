"""Pictures of decks name all there is, and a lab's own deck; files that nobody can show are refused by their cause."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result
from worklist_lab import small_protocol

from controller.cli import make_app
from controller.deckpicture import _lines, draw_decks
from nextplate.errors import DataError
from protocols.deckmap import taken_slots
from protocols.decks import described_deck
from protocols.labware import LABWARE, robot_deck
from protocols.model import DeckItem, DeckRole, Wash

PLAN = small_protocol(2)
LAB = described_deck("flex", {"modules": {"D1": "heater-shaker"}, "blocked": ("A1",)})


def cli(*words: object) -> Result:
    return CliRunner().invoke(make_app(), [str(w) for w in ("protocol", *words)])


@pytest.mark.parametrize("name", sorted(LABWARE))
def test_the_kind_of_labware_is_written_whole(name: str) -> None:
    assert "".join(_lines(name)) == name
    assert all(len(line) <= 32 for line in _lines(name))


def test_a_picture_changes_with_the_name_the_plan_and_the_lab() -> None:
    other = (*PLAN.loads[0].deck[:2], DeckItem("C1", "TIPS-001", "opentrons_flex_96_filtertiprack_50ul", DeckRole.TIPS))
    pictures = [
        draw_decks(PLAN),
        draw_decks(replace(PLAN, name="other")),
        draw_decks(replace(PLAN, loads=(replace(PLAN.loads[0], deck=other),))),
        draw_decks(PLAN, robot=LAB),
    ]
    assert len(set(pictures)) == 4


def test_what_stands_in_a_labs_slots_is_told() -> None:
    assert taken_slots(LAB) == {"A1": "blocked", "A3": "trash", "D1": "heater-shaker"}
    with pytest.raises(DataError, match="is for the flex, the lab has the ot2"):
        draw_decks(PLAN, robot=robot_deck("ot2"))


def test_unknown_labware_is_told_as_such_and_once(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    source = PLAN.loads[0].deck[0].labware
    path.write_text(PLAN.to_json().replace(f'"labware":"{source}"', '"labware":"nosuch_96"'))
    for verb in (("show",), ("render", "--format", "opentrons", "--out", tmp_path / "out")):
        done = cli(verb[0], path, *verb[1:])
        assert re.search(r"slot B1: labware 'nosuch_96' of 'SRC-001' is not known; known", str(done.exception))
    assert not (tmp_path / "out").exists()
    body = json.loads(cli("check", path, "--json").output)
    assert [p["message"] for p in body["problems"]] == ["load 0, slot B1: labware 'nosuch_96' of SRC-001 is not known"]
    assert body["shortages"] == []


def test_a_bottle_beside_the_deck_of_which_nothing_is_known_is_named_and_not_filled(tmp_path: Path) -> None:
    steps = (*PLAN.loads[0].steps, Wash(99, "P1", (), 1, 1_000, 5, "RES", "A01", "PBS"))
    path = tmp_path / "p.json"
    path.write_text(replace(PLAN, loads=(replace(PLAN.loads[0], steps=steps),)).to_json())
    body = json.loads(cli("check", path, "--json").output)
    assert body["shortages"] == []
    assert any("nothing is known of RES, on no deck: name --lab or --stock" in note for note in body["notes"])


def test_a_python_file_is_known_by_its_end_in_any_case(tmp_path: Path) -> None:
    path = tmp_path / "hand.PY"
    path.write_text("import nothing_like_it\n")
    assert "the vendor's interpreter ended" in cli("check", path).output
