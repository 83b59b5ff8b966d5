"""Libraries and stock enter a lab in whole, once, or not at all."""

import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from controller.intake import Added, StockFile, StockRow, add_library, add_stock, read_stock, stock_digest
from controller.store.store import Store
from nextplate.compound import Features
from nextplate.errors import DataError, StoreError
from nextplate.plate import PLATE_384

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KNOWN = {f"C{n}" for n in range(10)}
CONTROLS = ("DMSO", "REF-1")
HEADER = "source_plate,source_well,compound_id,volume_ul,concentration_um,labware"
FILE = f"{HEADER}\nS1,A01,C1,50,10000,\nS1,A02,C2,49.5,10000,\nR1,A01,DMSO,14000,0,nest_12_reservoir_15ml\n"


@pytest.fixture
def stock(tmp_path: Path):
    def written(text: str) -> StockFile:
        path = tmp_path / "stock.csv"
        path.write_text(text)
        return read_stock(path)

    return written


def add(store: Store, file: StockFile) -> Added:
    return add_stock(store, file, KNOWN, CONTROLS, now=NOON)


def test_stock_enters_with_its_event(store: Store, stock):
    added = add(store, stock(FILE))
    assert (added.n_added, added.n_already, added.is_new) == (3, 0, True)
    assert [(s.source_plate, s.source_well, s.compound_id, s.volume_nl) for s in store.stock_now()] == [
        ("R1", "A01", "DMSO", 14_000_000),
        ("S1", "A01", "C1", 50_000),
        ("S1", "A02", "C2", 49_500),
    ]
    (event,) = store.events()
    assert event.kind == "stock.added"
    assert event.payload == {"name": "stock.csv", "digest": added.digest, "n_wells": 3, "plates": ["R1", "S1"]}
    assert {r["file_digest"] for r in store.select("stock")} == {added.digest}


def test_the_same_stock_again_changes_nothing(store: Store, stock):
    first = add(store, stock(FILE))
    for text in (FILE, FILE.replace("\n", "\r\n"), FILE.replace(",", ";"), FILE.replace("A01", "a1")):
        again = add(store, stock(text))
        assert (again.is_new, again.n_already, again.digest) == (False, 3, first.digest)
    assert store.head().seq == 1


def test_a_longer_file_adds_what_is_new(store: Store, stock):
    add(store, stock(FILE))
    added = add(store, stock(FILE + "S2,A01,C3,10,10000,\n"))
    assert (added.n_added, added.n_already) == (1, 3)
    assert next(store.events(1)).payload["plates"] == ["S2"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("S1,A01,C3,50,10000,", "well S1 A01 is in the lab already with compound_id 'C1', here 'C3'"),
        ("S1,A01,C1,51,10000,", "well S1 A01 is in the lab already with initial_volume_nl 50000, here 51000"),
        ("S1,A01,C1,50,5000,", "well S1 A01 is in the lab already with concentration_um 10000.0, here 5000.0"),
        ("S1,A09,C1,50,5000,biorad_384_wellplate_50ul", "plate S1 is a corning_384_wellplate_112ul_flat in the lab"),
        ("S1,A03,C99,50,10000,", "compound 'C99' is neither in the library nor a control liquid (DMSO, REF-1)"),
        ("S1,A03,C3,50,0,", "concentration of compound 'C3' is 0"),
        ("S1,A03,C3,-1,10000,", "volume_ul is -1"),
    ],
)
def test_stock_that_contradicts_leaves_nothing(store: Store, stock, line: str, words: str):
    add(store, stock(FILE))
    before = store.stock_now()
    with pytest.raises(DataError) as caught:
        add(store, stock(f"{HEADER}\nS9,A01,C1,50,10000,\n{line}\n"))
    assert f"stock.csv:3: {words}" in str(caught.value)
    assert "1 line cannot be used; nothing was added" in str(caught.value)
    assert store.stock_now() == before
    assert store.head().seq == 1


def test_all_problems_are_counted_and_ten_shown_by_line(store: Store, stock):
    lines = [f"S1,A{n:02d},X{n},{-1 if n % 2 else 50},10000," for n in range(1, 15)]
    with pytest.raises(DataError) as caught:
        add(store, stock("\n".join([HEADER, *lines])))
    text = str(caught.value).splitlines()
    assert text[0].startswith("stock.csv: 14 lines cannot be used")
    assert [line.split(":")[1] for line in text[1:11]] == [str(n) for n in range(2, 12)]
    assert text[11] == "  .. and 4 more"
    assert store.head().seq == 0


def test_somebody_else_adding_stock_meanwhile_is_noticed(store: Store, stock, monkeypatch):
    file, read = stock(FILE), Store.select

    def meanwhile(self: Store, *arguments):
        monkeypatch.undo()
        found = read(self, *arguments)
        add(store, file)
        return found

    monkeypatch.setattr(Store, "select", meanwhile)
    with pytest.raises(StoreError):
        add(store, file)
    assert store.head().seq == 1


def test_stock_digest_ignores_order():
    rows = [StockRow(n, "S1", well, "C1", 5, 1.0, "l") for n, well in enumerate(["A01", "A02"])]
    assert stock_digest(rows) == stock_digest(rows[::-1])
    assert stock_digest(rows) != stock_digest(rows[:1])


def library(folder: Path, n: int, digest: str = "d" * 64) -> Features:
    ids = [f"C{i}" for i in range(n)]
    folder.mkdir(exist_ok=True)
    pl.DataFrame({"compound_id": ids, "raw_smiles": [f"C.{i}" for i in ids]}).write_parquet(
        folder / "compounds.parquet"
    )
    smiles = tuple(f"C{i}" for i in ids)
    return Features(
        folder, digest, tuple(ids), smiles, np.zeros((n, 256), np.uint8), np.zeros((n, 2), np.float32), ("a", "b"),
        np.zeros((n, 512), np.uint8),
    )  # fmt: skip


def test_a_library_enters_with_its_event_and_only_once(store: Store, tmp_path: Path):
    features = library(tmp_path / "features", 30)
    assert add_library(store, features, name="wehi.csv", now=NOON) == Added(features.digest, 30, 0)
    assert add_library(store, features, name="other.csv", now=NOON) == Added(features.digest, 0, 30)
    (event,) = store.events()
    assert (event.kind, event.payload) == (
        "library.added",
        {"library": features.digest, "n_compounds": 30, "name": "wehi.csv"},
    )
    compounds = store.compounds(features.digest)
    assert [c["row"] for c in compounds] == list(range(30))
    assert {k: compounds[7][k] for k in ("compound_id", "smiles", "raw_smiles")} == {
        "compound_id": "C7", "smiles": "CC7", "raw_smiles": "C.C7",
    }  # fmt: skip


def test_a_folder_of_another_library_is_refused(store: Store, tmp_path: Path):
    features = library(tmp_path / "features", 30)
    library(tmp_path / "features", 20)
    with pytest.raises(DataError, match="lists other compounds"):
        add_library(store, features, name="wehi.csv", now=NOON)
    assert store.head().seq == 0


def test_a_library_that_breaks_halfway_leaves_nothing(store: Store, tmp_path: Path):
    features = library(tmp_path / "features", 30)
    ids = (*features.compound_ids[:-1], "C0")
    pl.DataFrame({"compound_id": ids, "raw_smiles": ids}).write_parquet(features.folder / "compounds.parquet")
    twice = Features(features.folder, features.digest, ids, *(getattr(features, n) for n in Features.__slots__[3:]))
    with pytest.raises(StoreError):
        add_library(store, twice, name="wehi.csv", now=NOON)
    assert store.head().seq == 0
    assert store.select("libraries") == store.select("compounds") == []


def test_ten_thousand_compounds_and_their_wells_enter_quickly(store: Store, tmp_path: Path):
    n = 10_000
    features = library(tmp_path / "features", n)
    wells = list(PLATE_384.wells())
    lines = [f"S{i // 384:03d},{wells[i % 384]},C{i},50,10000," for i in range(n)]
    (tmp_path / "stock.csv").write_text("\n".join([HEADER, *lines]))
    start = time.process_time()
    add_library(store, features, name="wehi.csv", now=NOON)
    add_stock(store, read_stock(tmp_path / "stock.csv"), features.compound_ids, (), now=NOON)
    assert time.process_time() - start < 4
    assert len(store.stock_now()) == len(store.compounds(features.digest)) == n
