"""Rows follow from events: written with them or not at all, and never counted twice."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from controller.store import NewEvent, RowWrite, StockNow, TipRackNow, open_store
from controller.store.store import Store
from controller.store.tables import METADATA
from nextplate.errors import StoreError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LABWARE = "corning_384_wellplate_112ul_flat"


def event(kind: str = "outcome") -> NewEvent:
    return NewEvent(kind, NOON, "first", {})


def stock(well: str, compound: str = "C1", nl: int = 50_000) -> dict[str, Any]:
    return {
        "source_plate": "S1", "source_well": well, "compound_id": compound, "initial_volume_nl": nl,
        "concentration_um": 10_000.0, "labware": LABWARE, "file_digest": "d",
    }  # fmt: skip


def moved(key: str, transfer: int, well: str, delta_nl: int) -> dict[str, Any]:
    return {"key": key, "transfer_id": transfer, "plate": "S1", "well": well, "delta_nl": delta_nl}


CAMPAIGN = {
    "campaign": "first", "seed": 2**40, "rounds": 3, "library": "l",
    "started_at": NOON.isoformat(), "settings": "{}",
}  # fmt: skip
PLATE = {"barcode": "P1", "campaign": "first", "round": 1, "labware": LABWARE}
WELL = {
    "plate": "P1", "well": "A01", "role": "sample", "compound_id": "C1", "replicate": 0, "dose_um": 10.0,
    "reason": "exploit",
}  # fmt: skip
RESPONSE = {
    "campaign": "first", "round": 1, "plate": "P1", "well": "A01", "role": "sample", "compound_id": "C1",
    "dose_um": 10.0, "activity": 0.7, "viability": 0.9, "flags": "", "is_used": True, "is_hit": True,
    "is_toxic": False,
}  # fmt: skip
PREDICTION = {
    "campaign": "first", "round": 1, "compound_id": "C1", "mean": 0.1 + 0.2, "spread": 0.1, "lower": -math.inf,
    "upper": math.inf, "p_hit": 0.25, "is_picked": True,
}  # fmt: skip


def test_stock_now_is_what_came_plus_every_movement(store: Store):
    store.append([event()], [RowWrite("stock", [stock("A01"), stock("B01", "C2"), stock("A02", "C3", 7)])])
    store.append([event()], [RowWrite("stock_movements", [moved("r1", 1, "A01", -100), moved("r1", 2, "B01", -40)])])
    store.append([event()], [RowWrite("stock_movements", [moved("r2", 1, "A01", -50), moved("r2", 2, "B01", 0)])])
    assert store.stock_now() == [
        StockNow("S1", "A01", "C1", 49_850, 10_000.0, LABWARE),
        StockNow("S1", "A02", "C3", 7, 10_000.0, LABWARE),
        StockNow("S1", "B01", "C2", 49_960, 10_000.0, LABWARE),
    ]
    assert all(type(s.volume_nl) is int for s in store.stock_now())


def test_a_movement_recorded_twice_counts_once(store: Store):
    store.append([event()], [RowWrite("stock", [stock("A01")])])
    for _ in range(2):
        store.append([event()], [RowWrite("stock_movements", [moved("r1", 1, "A01", -100)], "once")])
    assert store.stock_now()[0].volume_nl == 49_900
    with pytest.raises(StoreError, match=r"stock_movements already has key 'r1', transfer_id 1 with delta_nl -100"):
        store.append([event()], [RowWrite("stock_movements", [moved("r1", 1, "A01", -90)], "once")])
    with pytest.raises(StoreError):
        store.append([event()], [RowWrite("stock_movements", [moved("r1", 1, "A01", -100)])])
    assert store.head().seq == 3, "a refused row takes its event along"
    assert store.stock_now()[0].volume_nl == 49_900


def test_once_adds_what_is_new_beside_what_is_there(store: Store):
    store.append([event()], [RowWrite("stock", [stock("A01"), stock("A02")])])
    first, second = moved("r1", 1, "A01", -1), moved("r1", 2, "A02", -2)
    store.append([event()], [RowWrite("stock_movements", [first], "once")])
    store.append([event()], [RowWrite("stock_movements", [first, second], "once")])
    assert [r["seq"] for r in store.select("stock_movements")] == [2, 3]


def test_a_tip_is_used_once(store: Store):
    racks = [{"barcode": f"T{n}", "labware": "tips", "position": 3 - n} for n in (1, 2)]
    store.append([event()], [RowWrite("tip_racks", racks)])
    used = [{"rack": "T2", "well": w, "key": "r1"} for w in ("B01", "A01")]
    store.append([event()], [RowWrite("tips_used", used, "once")])
    store.append([event()], [RowWrite("tips_used", used, "once")])
    assert store.tip_racks_now() == [
        TipRackNow("T2", "tips", 1, ("A01", "B01")),
        TipRackNow("T1", "tips", 2, ()),
    ]
    with pytest.raises(StoreError, match="rack 'T2', well 'A01' with key 'r1'"):
        store.append([event()], [RowWrite("tips_used", [{"rack": "T2", "well": "A01", "key": "r2"}], "once")])


def test_rows_carry_the_seq_of_their_event(store: Store):
    store.append([event("x"), event("y")], [RowWrite("stock", [stock("A01")], event=1), RowWrite("stock", [])])
    assert store.select("stock")[0]["seq"] == 2


def test_upsert_replaces(store: Store):
    store.append([event()], [RowWrite("campaigns", [CAMPAIGN])])
    for rounds in (4, 5):
        store.append([event()], [RowWrite("campaigns", [{**CAMPAIGN, "rounds": rounds}], "upsert")])
    (row,) = store.select("campaigns")
    assert row == {**CAMPAIGN, "rounds": 5, "seq": 3}


def _full(store: Store) -> None:
    store.append(
        [event()],
        [
            RowWrite("campaigns", [CAMPAIGN]), RowWrite("plates", [PLATE]), RowWrite("wells", [WELL]),
            RowWrite("responses", [RESPONSE]), RowWrite("predictions", [PREDICTION]),
        ],
    )  # fmt: skip


def test_every_value_comes_back_as_it_went_in(store: Store):
    _full(store)
    assert store.responses("first") == [{**RESPONSE, "seq": 1}]
    assert store.select("predictions") == [{**PREDICTION, "seq": 1}]
    assert store.select("plates") == [{**PLATE, "layout_digest": None, "seq": 1}]
    assert store.responses("other") == []


BROKEN = {
    "an unknown role": ("wells", {**WELL, "well": "A02", "role": "blank"}),
    "a sample without compound": ("wells", {**WELL, "well": "A02", "compound_id": None}),
    "a control with compound": ("wells", {**WELL, "well": "A02", "role": "negative"}),
    "a hit without number": ("responses", {**RESPONSE, "round": 2, "activity": None}),
    "a hit that may not be used": ("responses", {**RESPONSE, "round": 2, "is_used": False}),
    "a response of a well that is not": ("responses", {**RESPONSE, "well": "A09"}),
    "a probability above one": ("predictions", {**PREDICTION, "round": 2, "p_hit": 1.5}),
    "an interval upside down": ("predictions", {**PREDICTION, "round": 2, "lower": 2.0, "upper": 1.0}),
    "a plate of no campaign": ("plates", {**PLATE, "barcode": "P2", "campaign": "none"}),
    "the same row again": ("wells", WELL),
    "an empty source well": ("stock", stock("A01", nl=0)),
    "a movement from nowhere": ("stock_movements", moved("r1", 1, "P24", -1)),
    "a NaN": ("predictions", {**PREDICTION, "round": 2, "mean": math.nan}),
    "a column that is not": ("wells", {**WELL, "well": "A02", "volume": 1}),
    "a table that is not": ("volumes", {"a": 1}),
    "the journal": ("journal", {"kind": "x"}),
}


def test_impossible_rows_are_refused_with_their_event(store: Store):
    _full(store)
    before = {t: store.select(t) for t in METADATA.tables if t != "journal"}
    for name, (table, row) in BROKEN.items():
        with pytest.raises(StoreError):
            store.append([event(name)], [RowWrite("stock", [stock("C01")]), RowWrite(table, [row])])
        assert store.verify().seq == 1, name
        assert {t: store.select(t) for t in before} == before, name


def test_rows_of_one_write_have_the_same_columns(store: Store):
    _full(store)
    with pytest.raises(StoreError, match="differ in columns"):
        store.append([event()], [RowWrite("plates", [{**PLATE, "barcode": "P2"}, {**PLATE, "layout_digest": "d"}])])


def test_select_filters_and_sorts_alike_everywhere(store: Store):
    rows = [stock("B01", "b"), stock("a01", "Z"), stock("A01", "a"), stock("É01", "c")]
    store.append([event()], [RowWrite("stock", rows)])
    wells = [r["source_well"] for r in store.select("stock")]
    assert wells == ["A01", "B01", "a01", "É01"]
    assert [r["source_well"] for r in store.select("stock", {"compound_id": ["b", "c"]})] == ["B01", "É01"]
    assert [r["compound_id"] for r in store.select("stock", order_by=["compound_id"])] == ["Z", "a", "b", "c"]
    assert store.select("runs", {"protocol_digest": None}, ["started_at"]) == []
    with pytest.raises(StoreError, match="no column colour"):
        store.select("stock", {"colour": 1})


def test_a_decision_waits_until_the_loop_takes_it(store: Store, database_url: str):
    assert store.waiting_decisions() == []
    with open_store(database_url) as operator:
        assert [operator.post_decision(text) for text in ('{"what":"pause"}', '{"what":"resume"}')] == [1, 2]
    waiting = store.waiting_decisions()
    assert [row["decision"] for row in waiting] == ['{"what":"pause"}', '{"what":"resume"}']
    assert store.head().seq == 0
    store.append([event("decision")], [RowWrite("inbox", [waiting[0]], "upsert")])
    assert store.waiting_decisions() == waiting[1:]
    assert store.select("inbox")[0]["seq"] == 1
