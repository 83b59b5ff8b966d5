"""What plates may suffer: said by people, counted by the moves that were made, and kept to by the nights."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.projections import _moves
from controller.readiness import check_ready
from controller.reservations import NOTHING
from controller.settings import Settings
from controller.snapshots import _stock
from controller.state import Intent
from controller.steps.data import left_out, stock_care, stock_wells
from controller.store import NewEvent, RowWrite, open_store
from controller.store.store import Store
from nextplate.errors import PlanError
from protocols.stock import PlateCare, unusable_plates
from tests.controller.test_readiness import FakeStore

T0 = datetime(2026, 3, 1, 22, tzinfo=UTC)
STOCK = {"source_plate": "SRC-1", "compound_id": "C1", "initial_volume_nl": 50_000, "concentration_um": 100.0}
STOCK |= {"labware": "corning_384_wellplate_112ul_flat", "file_digest": "d"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path / "lab.db", create=True)
    rows = [{**STOCK, "source_well": well} for well in ("A01", "A02")]
    store.append([_event(T0, "stock.added")], [RowWrite("stock", rows)])
    return store


def _event(when: datetime, kind: str) -> NewEvent:
    return NewEvent(kind, when, None, {})


def say(store: Store, n_thaws: int = 0, max_thaws: int | None = None, rate: int = 0, expires: str | None = None):
    row = {"plate": "SRC-1", "n_thaws": n_thaws, "max_thaws": max_thaws, "expires": expires}
    store.append(
        [_event(T0, "stock.care")], [RowWrite("plate_care", [{**row, "evaporation_nl_per_h": rate}], "upsert")]
    )


def move(store: Store, key: str, source: str, target: str, began_h: float, took_s: float = 30.0):
    began = T0 + timedelta(hours=began_h)
    row = {"key": key, "number": 0, "barcode": "SRC-1", "source": source, "target": target}
    rows = [{**row, "begun_at": began.isoformat()}]
    store.append([_event(began + timedelta(seconds=took_s), "outcome")], [RowWrite("plate_moves", rows, "upsert")])


def test_every_way_out_of_the_cold_is_a_thaw_and_a_key_counts_once(store: Store):
    say(store, n_thaws=2, max_thaws=4)
    move(store, "k1", "hotel/SRC-1", "deck/B2", 0.0)
    move(store, "k2", "deck/B2", "deck/B3", 0.5)
    move(store, "k3", "deck/B3", "hotel/SRC-1", 1.0)
    for _ in range(2):
        move(store, "k4", "hotel/SRC-1", "deck/B2", 5.0)
    assert store.plate_care() == {"SRC-1": PlateCare(4, 4)}
    assert unusable_plates(store.plate_care(), None) == {"SRC-1": "it has been thawed 4 times and may be 4"}


def test_what_is_said_later_begins_the_count_anew(store: Store):
    say(store, n_thaws=0, max_thaws=2)
    move(store, "k1", "hotel/SRC-1", "deck/B2", 0.0)
    say(store, n_thaws=1, max_thaws=3)
    assert store.plate_care()["SRC-1"].n_thaws == 1


def test_a_well_loses_to_the_air_what_its_hours_outside_can_take_and_never_more_than_there_is(store: Store):
    say(store, rate=600)
    move(store, "k1", "hotel/SRC-1", "deck/B2", 0.0)
    assert store.stock_now()[0].volume_nl == 50_000  # it is still out
    move(store, "k2", "deck/B2", "hotel/SRC-1", 2.0, took_s=36.0)
    assert [well.volume_nl for well in store.stock_now()] == [50_000 - 1_206] * 2
    say(store, rate=10**9)
    move(store, "k3", "hotel/SRC-1", "deck/B2", 3.0)
    move(store, "k4", "deck/B2", "hotel/SRC-1", 9.0)
    assert [well.volume_nl for well in store.stock_now()] == [0, 0]


def test_nights_leave_out_what_may_not_be_used_and_say_why(store: Store, tmp_path: Path):
    snapshot = tmp_path / "stock.parquet"
    snapshot.write_bytes(_stock(store, date(2026, 3, 1), NOTHING))
    assert pl.read_parquet(snapshot).columns[-1] == "labware"  # nobody said anything: as it ever was
    assert (len(stock_wells(snapshot)), left_out(snapshot), stock_care(snapshot)) == (2, (), {})
    say(store, n_thaws=1, max_thaws=3, expires="2026-03-01")
    for today, n in ((date(2026, 3, 1), 2), (date(2026, 3, 2), 0)):
        snapshot.write_bytes(_stock(store, today, NOTHING))
        assert len(stock_wells(snapshot)) == n
        assert stock_care(snapshot) == {"SRC-1": PlateCare(1, 3)}
    assert left_out(snapshot) == ("source plate SRC-1 is left out: it kept until 2026-03-01",)


def test_a_campaign_without_usable_controls_is_told_why_before_it_starts():
    with pytest.raises(PlanError, match=r"no 'DMSO'.*R1 is left out: it kept until 2026-01-01"):
        check_ready(Settings(), FakeStore(), "L", unusable={"R1": "it kept until 2026-01-01"})


MOVES = [["A", "hotel/A", "deck/B2"], ["B", "deck/B3", "hotel/B"], ["A", "deck/B2", "deck/B3"]]


@pytest.mark.parametrize(
    ("status", "result", "n"),
    [
        ("done", {"moved": ["A", "B", "A"]}, 3),
        ("failed", {"moved": ["A", "B"]}, 2),
        ("failed", {"moved": []}, 0),
        ("failed", {}, 0),
        ("done", {"told_by": "me"}, 3),
    ],
)
def test_moves_are_kept_as_far_as_they_were_made(status: str, result: dict[str, object], n: int):
    intent = Intent("k", "deck-0", 0, {"device": "plate-mover", "command": {"verb": "move", "moves": MOVES}}, T0)
    rows = [row for write in _moves(status, intent, result) for row in write.rows]
    assert [(r["number"], r["barcode"], r["source"]) for r in rows] == [(k, *MOVES[k][:2]) for k in range(n)]


@given(st.integers(0, 9), st.one_of(st.none(), st.integers(0, 9)), st.one_of(st.none(), st.dates()), st.dates())
def test_a_plate_is_usable_until_the_last_day_and_the_last_thaw(n: int, most: int | None, last: date | None, day: date):
    is_usable = (last is None or day <= last) and (most is None or n < most)
    assert (PlateCare(n, most, last).unusable(day) == "") is is_usable


def test_the_command_takes_a_file_in_whole_or_not_at_all(run, tmp_path: Path):
    lab, care = tmp_path / "lab", tmp_path / "care.csv"
    assert run("init", lab)[0] == 0
    with open_store(lab / "nextplate.db") as store:
        store.append([_event(T0, "stock.added")], [RowWrite("stock", [{**STOCK, "source_well": "A01"}])])
    care.write_text("plate,n_thaws,max_thaws,expires\nSRC-1,1,5,2027-01-31\nSRC-9,0,,\n")
    code, _, error = run("stock", "care", care, "--lab", lab)
    assert (code, "no source plate is called SRC-9" in error) == (2, True)
    assert "thawed" not in run("stock", "show", "--lab", lab)[1]
    care.write_text("plate,n_thaws,max_thaws,expires\nSRC-1,1,5,2027-01-31\n")
    assert run("stock", "care", care, "--lab", lab)[:2] == (0, "1 source plates\n")
    assert "thawed 1 of 5 times, keeps until 2027-01-31" in run("stock", "show", "--lab", lab)[1]
