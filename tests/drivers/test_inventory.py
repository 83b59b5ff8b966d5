"""The inventory of a hotel: a file that people may correct, and whose mistakes are named."""

import json
from pathlib import Path

import pytest

from drivers.inventory import Contents, Inventory
from nextplate.errors import NeedsOperator


def test_a_doubt_ends_with_what_is_certain(tmp_path: Path):
    inventory = Inventory(tmp_path / "inventory.json", 4)
    with pytest.raises(NeedsOperator, match="is gone; put it back"):
        inventory.contents()
    inventory.prepare()
    assert inventory.contents() == Contents({}, {})
    inventory.doubt(2, "P1")
    assert inventory.contents() == Contents({}, {2: "P1"})
    assert inventory.contents().free_slot(4) == 1
    assert inventory.contents().doubt_of("P1") == 2
    inventory.confirm(2, "P1")
    assert inventory.contents() == Contents({2: "P1"}, {})
    assert inventory.contents().slot_of("P1") == 2
    inventory.doubt(2, "P1")
    assert inventory.contents().slot_of("P1") is None
    inventory.confirm(2, None)
    assert inventory.contents() == Contents({}, {})


def test_a_slot_in_doubt_is_not_free(tmp_path: Path):
    assert Contents({1: "A"}, {2: "B"}).free_slot(2) is None
    assert Contents({1: "A"}, {2: "B"}).free_slot(3) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "should be an object with format 1"),
        ('{"format": 2, "slots": {}, "doubts": {}}', "format 1"),
        ('{"format": 1, "slots": {}}', "doubts"),
        ('{"format": 1, "slots": {"5": "P1"}, "doubts": {}}', "there is no slot 5; there are 1 to 4"),
        ('{"format": 1, "slots": {"x": "P1"}, "doubts": {}}', "invalid literal"),
        ('{"format": 1, "slots": {"1": 7}, "doubts": {}}', "slot 1 holds 7, which is no barcode"),
        ('{"format": 1, "slots": {"1": "P1", "2": "P1"}, "doubts": {}}', "plate P1 stands in two slots"),
        ('{"format": 1, "slots": [], "doubts": {}}', "makes no sense"),
    ],
)
def test_a_mistake_is_named_with_its_file(tmp_path: Path, text: str, said: str):
    path = tmp_path / "inventory.json"
    path.write_text(text)
    with pytest.raises(NeedsOperator, match=r"inventory\.json") as caught:
        Inventory(path, 4).contents()
    assert said in str(caught.value)
    assert path.read_text() == text


def test_the_file_is_plain(tmp_path: Path):
    inventory = Inventory(tmp_path / "inventory.json", 40)
    inventory.prepare()
    inventory.confirm(10, "Plätze")
    inventory.confirm(9, "P9")
    text = inventory.path.read_text()
    assert "Plätze" in text
    inventory.prepare()
    assert json.loads(text) == {"format": 1, "slots": {"9": "P9", "10": "Plätze"}, "doubts": {}}
