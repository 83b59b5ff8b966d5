"""Stock files as people send them."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.intake import StockFile, StockRow, read_stock
from controller.stockfile import _number
from nextplate.errors import DataError

HEADER = "source_plate,source_well,compound_id,volume_ul,concentration_um"


@pytest.fixture
def read(tmp_path: Path):
    def read_bytes(content: bytes | str) -> StockFile:
        path = tmp_path / "stock.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_stock(path)

    return read_bytes


def row(**changed) -> StockRow:
    normal = {
        "line": 2, "source_plate": "S1", "source_well": "A01", "compound_id": "C1", "volume_nl": 50_000,
        "concentration_um": 10_000.0, "labware": "corning_384_wellplate_112ul_flat",
    }  # fmt: skip
    return StockRow(**(normal | changed))


PLAIN = f"{HEADER}\nS1,A01,C1,50,10000\n"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.rstrip(),
        PLAIN + "\n\n",
        PLAIN + ",,,,\n",
        PLAIN.replace("A01", "a1"),
        PLAIN.replace("A01", " A1 "),
        PLAIN.replace("source_plate", "Plate").replace("source_well", "WELL"),
        PLAIN.replace("source_plate", "barcode"),
        PLAIN.replace("volume_ul", "volume_nl").replace(",50,", ",50000,"),
        PLAIN.replace("concentration_um", "concentration_mM").replace(",10000", ",10"),
        PLAIN.replace(",50,", ",50.000,"),
        PLAIN.replace(",50,", ",5e1,"),
        PLAIN.replace(",", ";").replace(";50;", ";50,0;"),
        PLAIN.replace(",50,", ',"50",'),
        PLAIN.replace(HEADER, f"{HEADER},labware,comment").replace("10000", "10000,corning_384_wellplate_112ul_flat,x"),
        PLAIN.replace(HEADER, f"{HEADER},labware").replace("10000", "10000,"),
    ],
)
def test_spellings_of_one_file(read, content):
    assert read(content) == StockFile("stock.csv", (row(),), ())


def test_a_reservoir_has_its_own_wells(read):
    text = f"{HEADER},labware\nR1,A12,DMSO,14500,0,nest_12_reservoir_15ml\n"
    (found,) = read(text).rows
    assert (found.source_well, found.volume_nl, found.concentration_um) == ("A12", 14_500_000, 0.0)
    assert "outside" in read(text.replace("A12", "B01")).issues[0].what


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("S1,A01,C1,-5,10000", "volume_ul is -5; a source well holds more than nothing"),
        ("S1,A01,C1,0,10000", "more than nothing"),
        ("S1,A01,C1,nan,10000", "'nan', not a number"),
        ("S1,A01,C1,inf,10000", "'inf', not a number"),
        ("S1,A01,C1,,10000", "'', not a number"),
        ("S1,A01,C1,5 ul,10000", "'5 ul', not a number"),
        ("S1,A01,C1,1_0,10000", "'1_0', not a number"),
        (
            "S1,A01,C1,113,10000",
            "volume_ul is 113, and a well of corning_384_wellplate_112ul_flat holds 112 microlitres",
        ),
        ("S1,A01,C1,0.0001,10000", "not a whole number of nanolitres"),
        ("S1,A01,C1,1e99,10000", "is the unit right"),
        ("S1,A01,C1,50,-1", "concentration_um is -1; it cannot be negative"),
        ("S1,A01,C1,50,", "concentration_um is '', not a number"),
        ("S1,A01,C1,50,NaN", "'NaN', not a number"),
        ("S1,Q01,C1,50,10000", "well Q01 lies outside a 384-well plate"),
        ("S1,A25,C1,50,10000", "outside"),
        ("S1,1A,C1,50,10000", "'1A' is not a well name"),
        ("S1,,C1,50,10000", "source_well is empty"),
        (",A01,C1,50,10000", "source_plate is empty"),
        ("S1,A01, ,50,10000", "compound_id is empty"),
        ("S1,A01,C1", "volume_ul is '', not a number"),
        ("S1,A01,C1,50,10000,7", "more cells than the header"),
        ("S1,P24,C9,50,10000", "well S1 P24 is on line 2 already"),
    ],
)
def test_a_bad_line_is_named_and_the_good_ones_read(read, line: str, words: str):
    file = read(f"{HEADER}\nS1,P24,C0,50,10000\n{line}\n")
    (issue,) = file.issues
    assert issue.line == 3
    assert words in issue.what
    assert file.rows[0].compound_id == "C0"


def test_unknown_labware_and_two_labwares_of_one_plate(read):
    head = f"{HEADER},labware\nS1,A01,C1,50,1,\n"
    assert "'tube' is not known for stock; known are agil" in read(f"{head}S1,A02,C1,50,1,tube\n").issues[0].what
    (issue,) = read(f"{head}S1,A02,C1,40,1,biorad_384_wellplate_50ul\n").issues
    assert issue.what.startswith("plate S1 is a corning_384_wellplate_112ul_flat on line 2, here biorad_384")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        (HEADER + "\n", "a header and no rows"),
        (HEADER + "\n,,,,\n", "a header and no rows"),
        ("well,compound_id,volume_ul\n", "stock.csv:1: the stock file has no column source_plate or plate"),
        (PLAIN.replace("compound_id", "name"), "no column compound_id; it has source_plate, source_well, name"),
        (PLAIN.replace("volume_ul", "volume"), "no column volume_ul or volume_nl"),
        (PLAIN.replace("concentration_um", "conc"), "no column concentration_um or concentration_mm"),
        (PLAIN.replace("source_well", "volume_nl"), "no column source_well"),
        (PLAIN.replace(HEADER, HEADER + ",volume_nl"), "columns volume_ul and volume_nl for one thing"),
        (PLAIN.replace(HEADER, HEADER + ",well"), "columns source_well and well for one thing"),
        (PLAIN.replace(HEADER, HEADER + ",labware,labware"), "column labware twice"),
        (PLAIN.encode() + b"S1,A02,\xff,1,1\n", "stock.csv:3: byte .* is not utf-8"),
        (b"PK\x03\x04\0\0", "zero bytes"),
        (PLAIN + 'S1,A02,"C2,1,1\n', "stock.csv: after line 2: unexpected end of data"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_at_all(read, content, words):
    with pytest.raises(DataError, match=words):
        read(content)


def test_an_absent_file(tmp_path: Path):
    with pytest.raises(DataError, match=r"cannot read .*none\.csv: No such file"):
        read_stock(tmp_path / "none.csv")


@given(st.integers(1, 112_000))
def test_microlitres_are_read_to_the_nanolitre(nanolitres: int):
    text = f"{nanolitres // 1000}.{nanolitres % 1000:03d}"
    assert _number(text, "volume_ul", False) * 1000 == Decimal(nanolitres)


@pytest.mark.parametrize("barcode", ["../../x", "a b", "SRC/1", "x" * 41, "-1", "S;1"])
def test_a_plate_is_named_by_a_barcode(read, barcode: str):
    (issue,) = read(f"{HEADER},labware\n{barcode},A01,C1,50,1,\n").issues
    assert "is no barcode" in issue.what
