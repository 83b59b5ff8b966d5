"""Files of image profiles: those that can be used are, and the others say where and what to do."""

import re

import numpy as np
import polars as pl
import pytest

from nextplate.errors import DataError
from nextplate.models.profile_file import read_profiles, told_overlap

GOOD = "compound_id,area,N_Cells\nA,1,200\nB,,150\nC,3,NA\n"


def test_a_table_of_compounds_is_read_and_its_cell_count_known_by_name(tmp_path):
    path = tmp_path / "profiles.csv"
    path.write_text(GOOD)
    found = read_profiles(path)
    assert (found.profiles.names, found.profiles.count_names, found.notes) == (("area", "N_Cells"), ("N_Cells",), ())
    np.testing.assert_array_equal(found.profiles.of(["B", "X"]), [[np.nan, 150], [np.nan, np.nan]])
    assert read_profiles(path, count_column="area").profiles.count_names == ("area",)
    told = told_overlap(path, found.profiles, ["A", "B", "Z"], "the library")
    assert told.startswith("image profiles: 2 of 3 compounds in the library have one; 1 profiles are of compounds that")


def test_wells_as_nextplate_profiles_writes_them_become_medians(tmp_path):
    wells = pl.DataFrame(
        {
            "plate": ["P1"] * 5,
            "well": ["A01", "A02", "A03", "A04", "A05"],
            "role": ["negative", "sample", "sample", "sample", "empty"],
            "compound_id": ["DMSO", "A", "A", "B", None],
            "dose": [None, 1.0, 10.0, 1.0, None],
            "dose_unit": ["uM"] * 5,
            "treatment": [None, "A 1", "A 10", "B 1", None],
            "texture": [9.0, 1.0, 3.0, 5.0, 9.0],
        }
    )
    wells.write_parquet(tmp_path / "profiles.parquet")
    found = read_profiles(tmp_path / "profiles.parquet")
    assert found.profiles.compound_ids == ("A", "B")
    assert found.profiles.values.tolist() == [[2.0], [5.0]]
    assert found.notes[0] == (
        "image profiles: 3 wells of 2 compounds, of each the median over its wells, 1 at several doses"
    )
    assert found.notes[1].startswith("no cell-count baseline stands beside these results: no column")


BAD = [
    ("compound_id,area\nA,1\nB,2\nA,3\n", "line 2 and line 4 are both of compound 'A'; give one row per compound"),
    ("compound_id,area,glow\nA,1,\nB,2,nan\n", "column 'glow' holds no number; leave the column out"),
    ("compound_id,area\nA,1\nB,-inf\n", "line 3, column 'area': '-inf' is infinite; leave it empty or correct it"),
    ("compound_id,area\nA,1e300\n", "line 2, column 'area': '1e300' is too large"),
    ("compound_id,area,moa\nA,1,kinase\n", "line 2, column 'moa': 'kinase' is not a number; correct it, or leave"),
    ("compound,area\nA,1\n", "there is no column 'compound_id'; the columns are: 'compound', 'area'"),
    ("compound_id,area,area\nA,1,2\n", "line 1: two columns are called 'area'; give each its own name"),
    ("compound_id,area,glow\nA,1,2\nB,1\n", "line 3: 2 cells under 3 columns; correct the line"),
    ("compound_id,area\n,1\n", "line 2: column 'compound_id' is empty; name the compound, or leave the row out"),
    ("compound_id,area\n", "holds no profile of a compound; give one row per compound"),
    ("compound_id,plate\nA,P1\n", "no column of numbers beside compound_id, plate; add the profiles"),
    ("", "the file is empty"),
    (None, "there is no such file of image profiles; write it with: nextplate profiles FOLDER..."),
]


@pytest.mark.parametrize(("text", "says"), BAD, ids=[says[:30] for _, says in BAD])
def test_what_cannot_be_used_is_named_with_the_fix(tmp_path, text, says):
    path = tmp_path / "profiles.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=re.escape(says)) as raised:
        read_profiles(path)
    assert str(raised.value).startswith(f"{path}: ")


def test_a_damaged_parquet_a_strange_count_and_strangers_alone_are_refused(tmp_path):
    (tmp_path / "p.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(DataError, match="cannot be read as a table of image profiles"):
        read_profiles(tmp_path / "p.parquet")
    path = tmp_path / "profiles.csv"
    path.write_text(GOOD)
    with pytest.raises(DataError, match="no column 'cells' to be the cell count; there are: 'area', 'N_Cells'"):
        read_profiles(path, count_column="cells")
    with pytest.raises(DataError, match="none of its 3 compounds is in the library: here 'A', 'B'"):
        told_overlap(path, read_profiles(path).profiles, ["X"], "the library")
