"""Stock and tips are debited by what the handler says, once, and on the safe side where nobody can say."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from controller_fakes import FakeLab

from controller.faults import about
from controller.projections import rows_of
from controller.state import Intent, LabState, Outcome
from protocols.model import DeckItem, DeckLoad, DeckRole, Mix, Protocol, Transfer


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    transfers = tuple(
        Transfer(n, "SRC-1", f"A{n:02d}", "NP-1", f"B{n:02d}", 5000, "TIPS-1", f"C{n:02d}", f"C{n}") for n in (1, 2, 3)
    )
    protocol = Protocol("p", "flex", "flex_1channel_50", "left", (DeckLoad(0, (), transfers),))
    (tmp_path / "protocol.json").write_text(protocol.to_json())
    return tmp_path


ALL = {1: 5000, 2: 5000, 3: 5000}
NOTHING_BEGAN = {"transfers": [], "begun": 0}
CASES = [
    ("all moved", "done", {"transfers": [[1, 5000], [2, 5000], [3, 5000]]}, ALL, [1, 2, 3], []),
    # A clogged tip may have drawn all of it, so it is booked: a well believed emptier costs a compound.
    ("a clogged tip", "done", {"transfers": [[1, 5000], [2, 0], [3, 5000]]}, ALL, [1, 2, 3], [2]),
    ("air drawn", "done", {"transfers": [[1, 5000], [2, 900], [3, 5000]]}, ALL, [1, 2, 3], [2]),
    ("a transfer not told", "done", {"transfers": [[1, 5000], [3, 5000]]}, ALL, [1, 2, 3], [2]),
    # The transfer under way may hang in its tip: drawn, and not dosed.
    ("broken off", "failed", {"transfers": [[1, 5000]]}, {1: 5000, 2: 5000}, [1, 2], [2, 3]),
    ("broken off in the first", "failed", {"transfers": []}, {1: 5000}, [1], [1, 2, 3]),
    (
        "broken off, told",
        "failed",
        {"transfers": [[1, 5000]], "drawn": [[2, 1200]]},
        {1: 5000, 2: 1200},
        [1, 2],
        [2, 3],
    ),
    ("broken off in the first, told", "failed", {"transfers": [], "drawn": [[1, 700]]}, {1: 700}, [1], [1, 2, 3]),
    ("broken off before it drew", "failed", {"transfers": [[1, 5000]], "drawn": [[2, 0]]}, {1: 5000}, [1, 2], [2, 3]),
    ("broken off at a clog", "failed", {"transfers": [[1, 0]]}, {1: 5000, 2: 5000}, [1, 2], [1, 2, 3]),
    ("never began", "failed", NOTHING_BEGAN, {}, [], [1, 2, 3]),
    ("a lie about never", "failed", {"transfers": [[1, 5000]], "begun": 0}, {1: 5000, 2: 5000}, [1, 2], [2, 3]),
    ("a person says done", "done", {"told_by": "ann", "choice": "done"}, ALL, [1, 2, 3], []),
    ("a person says not done", "failed", {"told_by": "ann", "choice": "not-done"}, {}, [], [1, 2, 3]),
    ("written off", "done", {"told_by": "ann", "choice": "write-off"}, ALL, [1, 2, 3], [1, 2, 3]),
    ("nobody will ever know", "failed", {"told_by": "ann", "choice": "abort"}, ALL, [1, 2, 3], [1, 2, 3]),
    ("a report that cannot be read", "done", {"transfers": [[1, 5001], [9, 1]]}, ALL, [1, 2, 3], [1, 2, 3]),
]


def load_intent(key: str = "first.r0.run-0") -> Intent:
    command = {"verb": "run-load", "protocol": "protocol.json", "rendered": "x.py", "digest": "d", "load": 0}
    action = {"device": "liquid-handler", "command": command}
    return Intent(key, "run-0", 0, action, datetime(2026, 1, 5, tzinfo=UTC))


@pytest.mark.parametrize(
    ("status", "result", "drawn", "tips", "short"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_debits(lab: Path, status, result, drawn, tips, short):
    rows, kept = rows_of(lab, "first", status, load_intent(), result)
    tables = {r.table: r.rows for r in rows}
    assert {m["transfer_id"]: -m["delta_nl"] for m in tables.get("stock_movements", ())} == drawn
    assert [int(t["well"][1:]) for t in tables.get("tips_used", ())] == tips
    assert {int(well[1:]): planned for well, _, planned in kept["short"]} == dict.fromkeys(short, 5000)
    assert ("unreadable" in kept) == (result.get("transfers") == [[1, 5001], [9, 1]])


def test_only_certain_words_say_that_a_load_never_began(lab: Path):
    for result, message, is_begun in (
        ({}, "the door is open; nothing moved", False),
        ({"begun": 0}, "no such protocol", False),
        ({}, "the handler stopped", True),
        ({"transfers": []}, "the robot said: nothing moved", True),
        ({"transfers": [], "begun": False}, "", True),
        ({"transfers": [], "begun": 1}, "", True),
    ):
        rows, _ = rows_of(lab, "first", "failed", load_intent(), result, message)
        assert any(r.table == "tips_used" for r in rows) == is_begun, (result, message)
        outcome = Outcome("k", "failed", result, message, datetime(2026, 1, 5, tzinfo=UTC))
        asked = about(LabState(), FakeLab().plan, "run-0", load_intent(), outcome).payload
        assert ("retry" in asked["choices"]) != is_begun, (result, message)


def test_dilutions_and_cells_are_no_stock_and_a_mix_takes_a_tip(lab: Path):
    deck = tuple(
        DeckItem(str(n), barcode, "corning_384_wellplate_112ul_flat", role)
        for n, (barcode, role) in enumerate(
            [("SRC-1", DeckRole.SOURCE), ("DIL-1", DeckRole.INTERMEDIATE), ("NP-1", DeckRole.DESTINATION)]
        )
    )
    steps = (
        Transfer(1, "SRC-1", "A01", "DIL-1", "A01", 5000, "TIPS-1", "C01", "C1"),
        Transfer(2, "DIL-1", "A01", "NP-1", "A01", 2000, "TIPS-1", "C02", "C1"),
        Mix(3, "NP-1", "A01", 1000, 3, "TIPS-1", "C03"),
    )
    protocol = Protocol("p", "flex", "flex_1channel_50", "left", (DeckLoad(0, deck, steps),))
    (lab / "protocol.json").write_text(protocol.to_json())
    rows, kept = rows_of(lab, "first", "failed", load_intent(), {"transfers": [[1, 5000], [2, 2000]]})
    tables = {r.table: r.rows for r in rows}
    assert [(m["plate"], m["well"], m["delta_nl"]) for m in tables["stock_movements"]] == [("SRC-1", "A01", -5000)]
    assert [t["well"] for t in tables["tips_used"]] == ["C01", "C02", "C03"]
    assert kept["short"] == []


def test_a_tip_that_stayed_on_is_used_once_and_no_tip_is_none(lab: Path):
    protocol = Protocol.from_json((lab / "protocol.json").read_text())
    kept = tuple(replace(t, tip_well="C01" if t.transfer_id < 3 else "") for t in protocol.transfers)
    kept = (*kept[:2], replace(kept[2], tip_rack=""))
    (lab / "protocol.json").write_text(replace(protocol, loads=(DeckLoad(0, (), kept),)).to_json())
    command = {"verb": "run-load", "protocol": "protocol.json", "rendered": "x.py", "digest": "d", "load": 0}
    intent = Intent("k", "run-0", 0, {"device": "liquid-handler", "command": command}, datetime(2026, 1, 5, tzinfo=UTC))
    rows, _ = rows_of(lab, "first", "done", intent, {"transfers": [[1, 5000], [2, 5000], [3, 5000]]})
    tables = {r.table: r.rows for r in rows}
    assert [(t["rack"], t["well"]) for t in tables["tips_used"]] == [("TIPS-1", "C01")]
    assert len(tables["stock_movements"]) == 3
