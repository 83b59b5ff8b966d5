"""Thaws, expiry and evaporation from a CSV; a protocol that draws from a plate past them is refused."""

import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orders_lab import plain_lab
from typer.testing import CliRunner

from controller.carefile import read_care
from controller.cli import make_app
from nextplate.errors import DataError
from protocols.stock import PlateCare


def write(folder: Path, text: str) -> Path:
    (folder / "care.csv").write_text(text, encoding="utf-8")
    return folder / "care.csv"


def test_what_a_file_says(tmp_path: Path) -> None:
    path = write(tmp_path, "plate,n_thaws,max_thaws,expires,evaporation_nl_per_h\nS,2,5,2027-01-31,100\nT,,,,\n")
    assert read_care(path) == {"S": PlateCare(2, 5, date(2027, 1, 31), 100), "T": PlateCare()}
    assert read_care(write(tmp_path, "\ufeffplate\nS\n")) == {"S": PlateCare()}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the columns are none"),
        ("barcode\nS\n", "the columns are barcode; known are plate, n_thaws"),
        ("plate,plate\nS,S\n", "the columns are plate, plate"),
        ("plate\nS\nS\n", r"care.csv:3: plate 'S' is named twice"),
        ("plate,n_thaws\n,1\n", r"care.csv:2: plate '' is empty"),
        ("plate,n_thaws\nS,-1\n", r"care.csv:2: n_thaws is '-1', not a whole number"),
        ("plate,max_thaws\nS,1e3\n", "max_thaws is '1e3'"),
        ("plate,expires\nS,31.01.2027\n", "expires is '31.01.2027', not a date like 2026-11-25"),
        ("plate\nS,1\n", r"care.csv:2: has more cells than the header"),
    ],
)
def test_a_wrong_cell_is_named_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_care(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"care\.csv: No such file"):
        read_care(tmp_path / "care.csv")
    (tmp_path / "care.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="is not UTF-8"):
        read_care(tmp_path / "care.csv")


@given(text=st.text(max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = write(tmp_path_factory.getbasetemp(), "plate,expires\n" + text)
    refusal = ""
    try:
        assert all(read_care(path))
    except DataError as error:
        refusal = str(error)
    assert not refusal or str(path) in refusal


def test_an_expired_plate_and_one_thawed_too_often_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(plain_lab(8, 2, 1).compiled().protocol.to_json())
    care = write(tmp_path, "plate,n_thaws,max_thaws,expires\nSRC-00,0,,2020-01-01\nSRC-01,3,3,\n")
    words = ["protocol", "check", str(tmp_path / "p.json"), "--care", str(care), "--json"]
    done = CliRunner().invoke(make_app(), words)
    assert done.exit_code == 2
    problems = json.loads(done.output)["problems"]
    assert [(p["kind"], p["plate"]) for p in problems] == [("expired", "SRC-00"), ("thawed", "SRC-01")]
