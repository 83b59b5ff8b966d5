"""A library of any length is featurised in one pass, resumed where it was killed, and equals the careful way."""

import csv
import fcntl
import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rdkit import RDConfig

from nextplate.chem import stream, writer
from nextplate.chem.library import featurise, load_features, read_library
from nextplate.chem.stream import stream_library
from nextplate.errors import DataError, DiskFull

FILES = ("compounds.parquet", "fingerprints.npy", "counts.npy", "descriptors.npy", "card.json")


@pytest.fixture(scope="module")
def wehi():
    path = Path(RDConfig.RDDataDir) / "Pains" / "test_data" / "wehi_mols.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return [*list(csv.reader(file))[:240], ["CC(=O)[O-].[Na+]", "SALT"], ["C[C@H](N)C(=O)O", "ALA"]]


@pytest.fixture
def library(tmp_path, wehi):
    path = tmp_path / "library.csv"
    path.write_text("smiles,id\n" + "".join(f"{smiles},{name}\n" for smiles, name in wehi))
    return path


def streamed(path, tmp_path, **options):
    return stream_library(path, lambda digest: tmp_path / "out" / digest[:16], tmp_path / "out", n_jobs=1, **options)


def test_one_pass_says_what_the_careful_way_says(library, tmp_path):
    done = []
    result = streamed(library, tmp_path, progress=lambda *n: done.append(n))
    careful = featurise(read_library(library).rows, tmp_path / "careful")
    assert (result.n_rows, result.issues) == (242, ())
    assert result.features.digest == careful.digest
    assert done == [(242, 243)]
    np.testing.assert_array_equal(result.features.fingerprints, careful.fingerprints)
    np.testing.assert_array_equal(result.features.counts, careful.counts)
    np.testing.assert_allclose(result.features.descriptors, careful.descriptors, rtol=1e-6)
    tables = [pl.read_parquet(f.folder / "compounds.parquet") for f in (result.features, careful)]
    assert tables[0].equals(tables[1])
    assert [p.name for p in (tmp_path / "out").iterdir()] == [careful.digest[:16]]


def test_without_alerts_they_are_null_not_empty(library, tmp_path):
    features = streamed(library, tmp_path, with_alerts=False).features
    table = pl.read_parquet(features.folder / "compounds.parquet")
    assert table["alerts"].null_count() == table["scaffold"].null_count() == 242
    assert table["change"].to_list()[-2:] == ["removed [Na+]; neutralised", ""]


def test_the_same_library_again_is_the_same_folder(library, tmp_path):
    first = streamed(library, tmp_path).features.folder
    before = [(first / name).read_bytes() for name in FILES]
    assert streamed(library, tmp_path).features.folder == first
    assert [(first / name).read_bytes() for name in FILES] == before
    assert [p.name for p in first.parent.iterdir()] == [first.name]


class Killed(BaseException):
    """Stands for a process that ends between two statements."""


def killed_at(monkeypatch, n_rows, path, tmp_path):
    """Run until so many rows are done, with a checkpoint after every 100."""

    def progress(n_done, _):
        if n_done >= n_rows:
            raise Killed

    monkeypatch.setattr(stream, "_CHUNK", 50)
    monkeypatch.setattr(writer, "_PART_ROWS", 100)
    with pytest.raises(Killed):
        streamed(path, tmp_path, progress=progress, with_alerts=False)


def test_a_killed_run_goes_on_from_its_last_checkpoint(library, tmp_path, monkeypatch, wehi):
    whole = streamed(library, tmp_path / "whole", with_alerts=False)
    killed_at(monkeypatch, 150, library, tmp_path)
    assert [p.name.startswith(".") for p in (tmp_path / "out").iterdir()] == [True]
    done = []
    result = streamed(library, tmp_path, progress=lambda n, _: done.append(n), with_alerts=False)
    assert done[0] == 150  # 100 rows were safe, and 50 are done again
    for name in FILES:
        assert (result.features.folder / name).read_bytes() == (whole.features.folder / name).read_bytes()


@pytest.mark.parametrize("name", ["progress.json", "part-000001.parquet", "counts.npy"])
@pytest.mark.parametrize("damage", ["cut", "remove"])
def test_a_damaged_checkpoint_is_not_gone_on_from(library, tmp_path, monkeypatch, name, damage):
    killed_at(monkeypatch, 150, library, tmp_path)
    (partial,) = (tmp_path / "out").iterdir()
    if damage == "cut":
        (partial / name).write_bytes((partial / name).read_bytes()[:60])
    else:
        (partial / name).unlink()
    done = []
    result = streamed(library, tmp_path, progress=lambda n, _: done.append(n), with_alerts=False)
    assert done[0] == 50
    assert len(load_features(result.features.folder).compound_ids) == 242


def test_another_file_does_not_take_up_the_checkpoint(library, tmp_path, monkeypatch):
    killed_at(monkeypatch, 150, library, tmp_path)
    library.write_text(library.read_text() + "CCO,ETHANOL\n")
    done = []
    assert streamed(library, tmp_path, progress=lambda n, _: done.append(n), with_alerts=False).n_rows == 243
    assert done[0] == 50


def test_two_writers_of_one_library_do_not_meet(library, tmp_path, monkeypatch):
    killed_at(monkeypatch, 150, library, tmp_path)
    (partial,) = (tmp_path / "out").iterdir()
    with (partial / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another process is writing"):
            streamed(library, tmp_path, with_alerts=False)


def test_bad_rows_are_refused_or_listed(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("smiles,id\nCCO,A\nC1CC,B\n,C\nCCN,\nCC\nCCC,F\n")
    with pytest.raises(DataError, match=r"4 rows cannot be used: line 3: B: 'C1CC' is not valid SMILES"):
        streamed(path, tmp_path)
    result = streamed(path, tmp_path, skip_bad=True)
    assert [(issue.line, issue.kind) for issue in result.issues] == [
        (3, "bad-smiles"), (4, "no-smiles"), (5, "no-id"), (6, "short-row"),
    ]  # fmt: skip
    assert result.features.compound_ids == ("A", "F")
    assert [p.name for p in (tmp_path / "out").iterdir()] == [result.features.folder.name]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("smiles,id\nCCO,A\nCCN,A\nCCC,B\nCCF,B\nCCF,C\n", r"2 compound ids occur more than once: B \(2 times\); A"),
        ("smiles,id\n", "none of its 0 rows"),
        ("", "the file is empty"),
        ("smiles,price\nCCO,3\n", "no column of compound ids"),
        ('smiles,id\nCCO,"A\n', "quote"),
        ("smiles,id\nCCO,\0\n", "line 2: holds NUL bytes"),
    ],
)
def test_what_cannot_be_used_is_said_and_leaves_nothing(tmp_path, text, message):
    path = tmp_path / "library.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        streamed(path, tmp_path, skip_bad=True)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_gzip_and_other_encodings_are_read_as_they_come(tmp_path):
    text = "\ufeffid;smiles\r\nA;CCO\r\nB;CCN\r\n"
    for name, data in {"u.csv": text.encode("utf-16"), "g.csv.gz": gzip.compress(text.encode())}.items():
        (tmp_path / name).write_bytes(data)
        assert streamed(tmp_path / name, tmp_path).features.compound_ids == ("A", "B")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(text.encode() * 100)[:-9])
    with pytest.raises(DataError, match="gzip file is damaged"):
        streamed(tmp_path / "cut.csv.gz", tmp_path)
    (tmp_path / "latin.csv").write_bytes("id,smiles\nÄ,CCO\n".encode("latin-1"))
    with pytest.raises(DataError, match="byte 0xc4 is not utf-8"):
        streamed(tmp_path / "latin.csv", tmp_path)
    assert streamed(tmp_path / "latin.csv", tmp_path, encoding="latin-1").features.compound_ids == ("Ä",)


def test_a_full_disk_leaves_nothing(library, tmp_path, monkeypatch):
    import errno
    import os

    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="disk is full"):
        streamed(library, tmp_path)
    assert not list((tmp_path / "out").iterdir())
