"""What cannot be used is refused by name and place, with the fix; what can be made do with is told in the result."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from night_lab import NightLab, make_library

from controller import registration
from controller.lab import init_lab
from controller.steps.data import open_library
from nextplate.compound import Features
from nextplate.errors import DataError, ModelError, PlanError
from nextplate.models.labels import check_labels

SMILES = ["CCO", "CCCC", "c1ccccc1", "CCN", "CCCl", "CCBr", "CCCCO", "CC(C)O", "CC(=O)O", "CCOC", "CCC", "CCS", "CCF"]


def written(path: Path, values: list[str], smiles: list[str] = SMILES, encoding: str = "utf-8") -> Path:
    rows = "".join(f"{s},{v}\n" for s, v in zip(smiles, values, strict=True))
    path.write_bytes(f"smiles,wert in µM\n{rows}".encode(encoding))
    return path


NUMBERS = [str(i) for i in range(len(SMILES))]
REFUSED = [
    (["1e160", *NUMBERS[1:]], "line 2, column 'wert in µM': the value '1e160' lies beyond 1e+30; empty it, correct it"),
    ([*NUMBERS[:-1], "-1e31"], "line 14, column 'wert in µM': the value '-1e31' lies beyond 1e+30"),
    (["much", *NUMBERS[1:]], "line 2, column 'wert in µM': the value 'much' is not a number; empty it or correct it"),
    ([f"{i}e-160" for i in range(len(SMILES))], "the values lie within 1.2e-159 of one another, too near"),
    ([""] * len(SMILES), "column 'wert in µM' holds no value; name another (--value)"),
    (["inf"] * len(SMILES), "holds no value (13 are infinite, which no assay measures); name another (--value)"),
]


@pytest.mark.parametrize(("values", "says"), REFUSED)
def test_values_that_cannot_be_used_are_refused_with_file_line_and_column(run, tmp_path, values, says):
    file, out = written(tmp_path / "values.csv", values), tmp_path / "out"
    code, _, err = run("replay", file, "--value", "wert in µM", "--maximize", "--out", out)
    assert code == 2
    assert says in err
    assert str(file) in err
    assert not out.exists(), "nothing is left behind"


def test_a_threshold_that_nothing_reaches_and_a_file_without_structures(run, tmp_path):
    file = written(tmp_path / "values.csv", ["0"] * len(SMILES))
    usual = ("--value", "wert in µM", "--out", tmp_path / "out")
    code, _, err = run("replay", file, *usual, "--hits")
    assert (code, "the highest is 0; set a lower one (--threshold)" in err) == (2, True)
    file = written(tmp_path / "no.csv", NUMBERS, ["nonsense"] * len(SMILES))
    code, _, err = run("replay", file, *usual, "--maximize")
    assert (code, "(the first: line 2: 'nonsense' is not valid SMILES; name another column" in err) == (2, True)
    (tmp_path / "head.csv").write_text("smiles,wert in µM\n")
    code, _, err = run("replay", tmp_path / "head.csv", *usual, "--maximize")
    assert (code, "(it has no rows)" in err) == (2, True)
    assert not (tmp_path / "out").exists()


def test_replay_takes_the_encoding_that_its_message_names(run, tmp_path):
    file, out = written(tmp_path / "latin.csv", NUMBERS, encoding="latin-1"), tmp_path / "out"
    usual = ("--value", "wert in µM", "--maximize", "--strategy", "nearest", "--seeds", 1, "--rounds", 1, "--out", out)
    code, _, err = run("replay", file, *usual)
    assert code == 2
    assert "line 1: byte 0xb5 is not utf-8 text" in err
    assert "--encoding latin-1" in err
    assert not out.exists()
    assert run("replay", file, *usual, "--encoding", "latin-1", "--json")[0] == 0
    assert (out / "replay.json").exists()


def test_an_unknown_strategy_leaves_no_folder_and_a_folder_in_the_way_is_named(run, tmp_path):
    file = written(tmp_path / "values.csv", NUMBERS)
    usual = ("replay", file, "--value", "wert in µM", "--maximize")
    code, _, err = run(*usual, "--strategy", "nonsense", "--out", tmp_path / "out")
    assert (code, "there is no strategy 'nonsense'" in err) == (2, True)
    assert not (tmp_path / "out").exists()
    code, _, err = run(*usual, "--strategy", "nearest", "--out", file)
    assert (code, "cannot be made a folder (File exists); name another with --out" in err) == (2, True)


def test_a_belief_refuses_labels_that_numbers_cannot_hold():
    bits = np.zeros((2, 8), dtype=np.uint8)
    features = Features(Path(), "", ("A", "B"), ("C", "CC"), bits, np.zeros((2, 0), np.float32), (), bits, bits)
    with pytest.raises(ModelError, match=r"1 of 2 labels lie beyond 1e\+30, the largest 1e\+160; correct them"):
        check_labels(features, [0, 1], [1.0, -1e160], None)


# libraries

FILES = ["fingerprints.npy", "counts.npy", "pairs.npy", "descriptors.npy", "compounds.parquet", "card.json"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    return init_lab(tmp_path_factory.mktemp("labs") / "lab").folder


@pytest.fixture
def library(run, lab: Path, tmp_path: Path) -> Path:
    """The folder of a library of the lab's; whatever a test does to it is mended by adding it again."""
    (tmp_path / "library.csv").write_text("compound_id,smiles\n" + "".join(f"C{i},{s}\n" for i, s in enumerate(SMILES)))
    digest = json.loads(run("library", "add", tmp_path / "library.csv", "--lab", lab, "--json")[1])["library"]
    return lab / "library" / digest[:16]


@pytest.mark.parametrize("name", FILES)
def test_library_show_checks_every_file_and_adding_it_again_mends_it(run, lab, library, name, tmp_path):
    whole = (library / name).read_bytes()
    for damaged in (whole[:-3], whole[:-1] + bytes([whole[-1] ^ 1])):
        (library / name).write_bytes(damaged)
        code, _, err = run("library", "show", "--lab", lab)
        assert code == 2
        assert str(library / name) in err
        assert "add the library again" in err
    code, out, _ = run("library", "add", tmp_path / "library.csv", "--lab", lab)
    assert code == 0
    assert f"its features were made again: {library / name}: " in " ".join(out.split())
    assert "nothing changed" not in out
    assert run("library", "show", "--lab", lab)[0] == 0
    assert (library / name).read_bytes() == whole
    assert "nothing changed" in run("library", "add", tmp_path / "library.csv", "--lab", lab)[1]


@pytest.mark.parametrize("streamed", [False, True])
def test_features_that_were_deleted_are_made_again_and_that_is_said(run, lab, library, tmp_path, monkeypatch, streamed):
    if streamed:
        monkeypatch.setattr(registration, "LARGE_BYTES", 10)
    shutil.rmtree(library)
    said = json.loads(run("library", "add", tmp_path / "library.csv", "--lab", lab, "--json")[1])
    assert (said["new"], said["mended"]) == (False, f"{library}: is missing")
    said = json.loads(run("library", "add", tmp_path / "library.csv", "--lab", lab, "--json")[1])
    assert said["mended"] == ""


def test_a_folder_that_holds_another_library_is_named(run, lab, library, tmp_path):
    (tmp_path / "other.csv").write_text("compound_id,smiles\nX,CCCCCC\nY,CCCCCCC\n")
    other = json.loads(run("library", "add", tmp_path / "other.csv", "--lab", lab, "--json")[1])["library"]
    shutil.copytree(library, tmp_path / "kept")
    shutil.rmtree(library)
    shutil.copytree(lab / "library" / other[:16], library)
    code, _, err = run("library", "show", "--lab", lab)
    assert code == 2
    assert f"{library}: holds another library ({other[:16]}); move it away and add the library" in err
    with pytest.raises(DataError, match="holds another library"):
        open_library(library)
    shutil.rmtree(library)
    shutil.copytree(tmp_path / "kept", library)
    assert len(open_library(library).compound_ids) == len(SMILES)


# small libraries


def small_lab(folder: Path, n: int) -> NightLab:
    make_library(folder / "library", n)
    return NightLab(folder, n, lambda rows, r: {"activity": [0.1 * i for i in rows]}, n_wells=300)


@pytest.mark.parametrize("n", [1, 3])
def test_a_library_smaller_than_the_plate_is_taken_whole_and_told(tmp_path, n):
    lab = small_lab(tmp_path, n)
    with pytest.raises(PlanError, match=rf"no compound can be picked \({n} tested, 0 no .*the library is used up"):
        lab.run(2)
    assert f"{300 - n} of 300 wells stay empty: only {n} compounds can be picked" in lab.notes("pick", 0)
    assert "mean-only belief: only" in lab.notes("fit", 1)
