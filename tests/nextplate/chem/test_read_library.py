"""A vendor's file is read as it comes, or refused with one message that says where and what to do."""

import gzip
from pathlib import Path

import pytest
from rdkit import RDConfig

from nextplate.chem.library import read_library
from nextplate.errors import DataError

PLAIN = "smiles,id\nCCO,A\nc1ccccc1,B\n"
ACCEPTED = {
    "plain": PLAIN.encode(),
    "byte-order mark": b"\xef\xbb\xbf" + PLAIN.encode(),
    "utf-16": PLAIN.encode("utf-16"),
    "windows line ends": PLAIN.replace("\n", "\r\n").encode(),
    "old mac line ends": PLAIN.replace("\n", "\r").encode(),
    "gzip": gzip.compress(PLAIN.encode(), mtime=0),
    "semicolons": PLAIN.replace(",", ";").encode(),
    "tabs": PLAIN.replace(",", "\t").encode(),
    "quotes": b'"smiles","id"\n"CCO","A"\n"c1ccccc1","B"\n',
    "blanks around": b" smiles , id \n CCO , A \n\n c1ccccc1, B \n\n",
    "other order, more columns": b'Reg ID,Plate,Canonical SMILES,note\nA,1,CCO,"x, y"\nB,1,c1ccccc1,\n',
    "other names": b"Name;STRUCTURE\nA;CCO\nB;c1ccccc1\n",
    "no header": b"CCO,A\nc1ccccc1,B\n",
    "no header, ids first": b"A-1,CCO\nB-1,c1ccccc1\n",
    "no last line end": PLAIN.rstrip().encode(),
}


def write(folder: Path, content: bytes | str, name: str = "library.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", ACCEPTED)
def test_files_as_people_send_them(tmp_path, name):
    rows = read_library(write(tmp_path, ACCEPTED[name])).rows
    assert [row.smiles for row in rows] == ["CCO", "c1ccccc1"]
    assert [row.compound_id[0] for row in rows] == ["A", "B"]


def test_smi_files_may_use_blanks(tmp_path):
    rows = read_library(write(tmp_path, "CCO A\nc1ccccc1 B\n", "library.smi")).rows
    assert [row.compound_id for row in rows] == ["A", "B"]


def test_columns_may_be_named(tmp_path):
    path = write(tmp_path, "a,b,c\nA,CCO,9\n")
    (row,) = read_library(path, smiles_column="b", id_column="C").rows
    assert (row.compound_id, row.smiles, row.line) == ("9", "CCO", 2)


REFUSED = [
    ("", "empty"),
    ("\n \n", "empty"),
    ("smiles,id\n", "0 rows"),
    ("structure_data,id\nC1CC,A\n", "no column is called smiles; the columns are: 'structure_data', 'id'"),
    ("smiles,amount\nCCO,4\n", "no column of compound ids .*smiles, amount"),
    ("smiles,id\nCCO,A\nC1CC,B\n", r"1 row cannot be used: line 3: B: 'C1CC' is not valid SMILES.*--skip-bad"),
    ("smiles,id\nCCO,\n", "line 2: no compound id"),
    ("smiles,id\n,A\n", "line 2: A has no structure"),
    ("smiles,id\nCCO,A\nCCC\n", "line 3: only 1 cells"),
    ("smiles,id\nCCO,A\nCCC,B\nCCCC,A\n", r"1 compound id occurs more than once: A \(lines 2, 4\)"),
    ('smiles,id\n"CCO,A\nCCC,B\n', "quote that is opened and never closed"),
    (b"PK\x03\x04xxxx", "Excel workbook"),
    (b"smiles,id\nCCO,A\nCCC,\xe9t\xe9\n", "line 3: byte 0xe9 is not utf-8 text.*latin-1"),
    (b"smiles,id\nCC\x00O,A\n", "NUL"),
    (gzip.compress(PLAIN.encode(), mtime=0)[:-9], "gzip file is damaged"),
]


@pytest.mark.parametrize(("content", "says"), REFUSED)
def test_refusals_say_where_and_what_to_do(tmp_path, content, says):
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=says) as caught:
        read_library(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_missing_column(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_library(tmp_path / "none.csv")
    with pytest.raises(DataError, match=r"no column 'SMI' \(smiles_column\); the columns are: 'smiles', 'id'"):
        read_library(write(tmp_path, PLAIN), smiles_column="SMI")


def test_only_the_first_five_bad_lines_are_named_but_all_are_counted(tmp_path):
    path = write(tmp_path, "smiles,id\n" + "".join(f"C1CC,X{i}\n" for i in range(9)) + "CCO,A\n")
    with pytest.raises(DataError, match=r"9 rows cannot be used: line 2: .*line 6: .*; and 4 more") as caught:
        read_library(path)
    assert "line 7" not in str(caught.value)


def test_bad_rows_left_out_on_request_are_each_reported(tmp_path):
    file = read_library(write(tmp_path, "smiles,id\nC1CC,X\nCCO,A\n,Y\n"), skip_bad=True)
    assert [row.compound_id for row in file.rows] == ["A"]
    assert [(issue.line, issue.kind) for issue in file.issues] == [(2, "bad-smiles"), (4, "no-smiles")]
    assert file.n_skipped == 2


def test_nothing_but_bad_rows_is_an_error_even_then(tmp_path):
    with pytest.raises(DataError, match="none of its rows"):
        read_library(write(tmp_path, "smiles,id\nC1CC,X\n"), skip_bad=True)


def test_one_structure_under_two_ids_is_kept_and_noted(tmp_path):
    file = read_library(write(tmp_path, "smiles,id\nCCO,A\nOCC,B\nC(O)C.Cl,C\n"))
    assert [row.compound_id for row in file.rows] == ["A", "B", "C"]
    assert [issue.text for issue in file.issues] == [
        "B has the structure of A",
        "C has the structure of A",
    ]
    assert file.n_skipped == 0


def test_latin_1_is_read_when_it_is_asked_for(tmp_path):
    path = write(tmp_path, b"smiles,id\nCCO,\xe9t\xe9\n")
    assert read_library(path, encoding="latin-1").rows[0].compound_id == "été"


def test_a_limit_of_rows_is_said(tmp_path):
    file = read_library(write(tmp_path, PLAIN), max_rows=1)
    assert len(file.rows) == 1
    assert file.issues[0].text == "only the first 1 of 2 rows were read"


def test_the_wehi_set_inside_rdkit_is_read_as_it_is():
    path = Path(RDConfig.RDDataDir) / "Pains" / "test_data" / "wehi_mols.csv"
    file = read_library(path, max_rows=300)
    assert len(file.rows) == 300
    assert file.rows[0].compound_id == "WEHI-0039854"
    assert [issue.kind for issue in file.issues] == ["no-header", "cut-off"]


def test_forty_thousand_rows(tmp_path):
    lines = "".join(f"{'C' * (i % 4 + 1)}O,ID-{i}\n" for i in range(40_000))
    done = []
    file = read_library(write(tmp_path, "smiles,id\n" + lines), progress=lambda n, total: done.append((n, total)))
    assert len(file.rows) == 40_000
    assert done[-1] == (40_000, 40_000)
