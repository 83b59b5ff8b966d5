"""Stock and tips are debited by what the handler says, once, and on the safe side where nobody can say."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controller.projections import rows_of
from controller.state import Intent
from protocols.model import DeckLoad, Protocol, Transfer


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    transfers = tuple(
        Transfer(n, "SRC-1", f"A{n:02d}", "NP-1", f"B{n:02d}", 5000, "TIPS-1", f"C{n:02d}", f"C{n}") for n in (1, 2, 3)
    )
    protocol = Protocol("p", "flex", "flex_1channel_50", "left", (DeckLoad(0, (), transfers),))
    (tmp_path / "protocol.json").write_text(protocol.to_json())
    return tmp_path


CASES = [
    ("all moved", "done", {"transfers": [[1, 5000], [2, 5000], [3, 5000]]}, {1: 5000, 2: 5000, 3: 5000}, [1, 2, 3]),
    ("a clogged tip", "done", {"transfers": [[1, 5000], [2, 0], [3, 5000]]}, {1: 5000, 3: 5000}, [1, 2, 3]),
    # The transfer under way may hang in its tip: drawn, and not dosed.
    ("broken off", "failed", {"transfers": [[1, 5000]]}, {1: 5000, 2: 5000}, [1, 2]),
    ("broken off, told", "failed", {"transfers": [[1, 5000]], "drawn": [[2, 1200]]}, {1: 5000, 2: 1200}, [1, 2]),
    ("broken off before it drew", "failed", {"transfers": [[1, 5000]], "drawn": [[2, 0]]}, {1: 5000}, [1, 2]),
    ("broken off at a clog", "failed", {"transfers": [[1, 0]]}, {2: 5000}, [1, 2]),
    ("never began", "failed", {"transfers": []}, {}, []),
    ("a person says done", "done", {"told_by": "ann", "choice": "done"}, {1: 5000, 2: 5000, 3: 5000}, [1, 2, 3]),
    ("a person says not done", "failed", {"told_by": "ann", "choice": "not-done"}, {}, []),
    ("nobody will ever know", "failed", {"told_by": "ann", "choice": "abort"}, {1: 5000, 2: 5000, 3: 5000}, [1, 2, 3]),
]


@pytest.mark.parametrize(("status", "result", "moved", "tips"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_debits(lab: Path, status, result, moved, tips):
    command = {"verb": "run-load", "protocol": "protocol.json", "rendered": "x.py", "digest": "d", "load": 0}
    action = {"device": "liquid-handler", "command": command}
    intent = Intent("first.r0.run-0", "run-0", 0, action, datetime(2026, 1, 5, tzinfo=UTC))
    rows, kept = rows_of(lab, "first", status, intent, result)
    tables = {r.table: r.rows for r in rows}
    assert {m["transfer_id"]: -m["delta_nl"] for m in tables.get("stock_movements", ())} == moved
    assert [int(t["well"][1:]) for t in tables.get("tips_used", ())] == tips
    dosed = dict(result["transfers"]) if "transfers" in result else moved
    short = {f"B{n:02d}" for n in (1, 2, 3) if dosed.get(n, 0) < 5000}
    assert {well for well, _, _ in kept["short"]} == short


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
