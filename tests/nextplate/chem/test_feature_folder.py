"""The feature folder appears whole or not at all, and a damaged one is never used."""

import errno
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem, RDConfig
from rdkit.Chem import FilterCatalog

from nextplate.chem import describe
from nextplate.chem import folder as chem_folder
from nextplate.chem.alerts import REACTIVE, find_alerts
from nextplate.chem.library import featurise, load_features, read_library
from nextplate.chem.writer import sha256_of
from nextplate.errors import DataError, DiskFull

SMILES = ["CCO", "c1ccccc1CN", "O=C1C=CC(=O)C=C1", "CC(=O)Oc1ccccc1C(=O)O"]
FILES = ("compounds.parquet", "fingerprints.npy", "counts.npy", "pairs.npy", "descriptors.npy", "card.json")
REACTIVE_EXAMPLES = (  # in the order of REACTIVE
    "CC(=O)Cl",
    "CS(=O)(=O)Cl",
    "CP(=O)(C)Cl",
    "CC(=O)OC(C)=O",
    "CN=C=O",
    "CN=C=S",
    "CN=C=NC",
    "CC=O",
    "CCCl",
    "CC(=O)CBr",
    "CC1CO1",
    "CC1CS1",
    "CC1CN1",
    "CC1CC(=O)O1",
    "C=CC(=O)OC",
    "C=C[N+](=O)[O-]",
    "C=CC#N",
    "C=CS(C)(=O)=O",
    "COS(C)(=O)=O",
    "COOC",
    "CC=[N+]=[N-]",
    "CN=[N+]=[N-]",
    "CC(=O)C#N",
    "CS",
    "CSSC",
    "CN(C)Cl",
)


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "library.csv"
    path.write_text("smiles,id\n" + "".join(f"{s},C{i}\n" for i, s in enumerate(SMILES)))
    return read_library(path).rows


@pytest.fixture
def folder(tmp_path, rows):
    featurise(rows, tmp_path / "features")
    return tmp_path / "features"


def test_what_is_written_is_what_is_loaded(folder, rows):
    features = load_features(folder)
    assert features.compound_ids == ("C0", "C1", "C2", "C3")
    assert features.smiles == tuple(row.smiles for row in rows)
    assert features.fingerprints.shape == (4, 256)
    assert features.counts.shape == (4, 512)
    assert features.descriptors.shape == (4, len(features.descriptor_names))
    assert isinstance(features.fingerprints, np.memmap)
    assert sorted(p.name for p in folder.parent.iterdir()) == ["features", "library.csv"]


def test_scaffolds_and_alerts_are_kept(folder):
    import polars as pl

    table = pl.read_parquet(folder / "compounds.parquet")
    assert table["scaffold"].to_list() == ["", "c1ccccc1", "O=C1C=CC(=O)C=C1", "c1ccccc1"]
    assert table["alerts"].to_list() == [
        "",
        "",
        "quinone_A(370);reactive: Michael acceptor: ketone, aldehyde or ester",
        "",
    ]


def test_a_folder_of_an_earlier_format_is_named_and_rebuilt(folder, rows):
    card = folder / "card.json"
    card.write_text(card.read_text().replace("nextplate-features-2", "nextplate-features-1"))
    with pytest.raises(DataError, match=r"card.json: is not of the format nextplate-features-2; add the library again"):
        load_features(folder)
    assert featurise(rows, folder).counts.shape == (4, 512)


def test_same_library_same_bytes(tmp_path, rows, folder):
    featurise(rows, tmp_path / "again")
    for name in FILES:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_damage_is_found_and_mended(folder, rows, name, damage):
    path = folder / name
    data = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(DataError, match=f"{name}.*add the library again"):
        load_features(folder)
    if (damage, name) == ("remove", "card.json"):
        with pytest.raises(DataError, match="in the way"):
            featurise(rows, folder)
    else:
        assert featurise(rows, folder).compound_ids == ("C0", "C1", "C2", "C3")


def old(folder):
    """Open a folder that was written a while ago: found sound, and known to be from now on."""
    time.sleep(0.06)  # longer than the clock tick within which a change could hide
    load_features(folder)
    assert (folder / ".verified.json").exists()


@pytest.mark.parametrize("name", FILES)
def test_damage_after_it_was_found_sound_is_found(folder, name):
    old(folder)
    path = folder / name
    times, data = path.stat(), path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # a copy that keeps times would not hide it either
    with pytest.raises(DataError, match=f"{name}.*add the library again"):
        load_features(folder)


def test_what_was_found_sound_is_not_hashed_again_but_on_demand(folder, monkeypatch):
    old(folder)
    hashed = []
    monkeypatch.setattr(chem_folder, "sha256_of", lambda path: hashed.append(path.name) or sha256_of(path))
    load_features(folder)
    assert hashed == ["card.json"]
    load_features(folder, recheck=True)
    assert {*hashed} == {*FILES}


def test_files_of_another_library_are_refused(folder, tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("smiles,id\n" + "".join(f"{s}C,C{i}\n" for i, s in enumerate(SMILES[:1] + SMILES[3:])))
    featurise(read_library(path).rows, tmp_path / "other")
    old(folder)
    shutil.copy(tmp_path / "other" / "counts.npy", folder / "counts.npy")
    with pytest.raises(DataError, match=r"counts.npy.*cut short or altered.*add the library again"):
        load_features(folder)
    shutil.copy(tmp_path / "other" / "card.json", folder / "card.json")
    with pytest.raises(DataError, match=r"compounds.parquet.*cut short or altered.*add the library again"):
        load_features(folder)


def test_a_folder_of_another_featuriser_is_refused(folder):
    card = folder / "card.json"
    body = json.loads(card.read_text())
    card.write_text(json.dumps({**body, "pairs": "atom-pair counts: another hash"}))
    with pytest.raises(DataError, match=r"card.json: .*pairs.*another hash.*add the library again"):
        load_features(folder)


def test_a_folder_that_may_only_be_read_is_opened(folder, monkeypatch):
    def refused(*_arguments, **_named):
        raise PermissionError(errno.EACCES, "read-only")

    (folder / ".verified.json").unlink()
    monkeypatch.setattr(Path, "write_text", refused)
    assert len(load_features(folder).compound_ids) == 4
    assert not (folder / ".verified.json").exists()


def test_texts_on_disk_behave_as_a_tuple(folder):
    ids = load_features(folder).compound_ids
    there = ("C0", "C1", "C2", "C3")
    assert (len(ids), ids[1], ids[-1], ids[1:3], tuple(ids)) == (4, "C1", "C3", ("C1", "C2"), there)
    assert ids == there
    assert there == ids
    assert ids == load_features(folder).compound_ids
    assert ids != there[:3]
    assert ids != load_features(folder).smiles
    assert ids != "C0C1"
    assert "C2" in ids
    assert ids.index("C2") == 2
    assert ids[np.intp(2)] == "C2"
    with pytest.raises(IndexError, match="row 4 of 4"):
        ids[4]
    with pytest.raises(TypeError):
        hash(ids)


def test_another_library_in_the_folder_is_left_alone(folder, rows):
    with pytest.raises(DataError, match="holds another library"):
        featurise(rows[:2], folder)
    assert len(load_features(folder).compound_ids) == 4


def test_a_full_disk_leaves_nothing(tmp_path, rows, monkeypatch):
    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="disk is full"):
        featurise(rows, tmp_path / "features")
    assert [p.name for p in tmp_path.iterdir()] == ["library.csv"]


def test_no_compounds_is_an_error(tmp_path):
    with pytest.raises(DataError, match="0 compounds"):
        featurise([], tmp_path / "features")


def test_screened_alerts_equal_the_catalog_of_rdkit():
    path = Path(RDConfig.RDDataDir) / "Pains" / "test_data" / "wehi_mols.csv"
    with path.open(encoding="utf-8") as file:
        smiles = [line.split(",")[0].strip('"') for line in file.read().splitlines()[::50]]
    catalogs = FilterCatalog.FilterCatalogParams.FilterCatalogs
    params = FilterCatalog.FilterCatalogParams()
    for part in (catalogs.PAINS_A, catalogs.PAINS_B, catalogs.PAINS_C):
        params.AddCatalog(part)
    catalog = FilterCatalog.FilterCatalog(params)
    for name, smarts in REACTIVE.items():
        entry = FilterCatalog.FilterCatalogEntry(f"reactive: {name}", FilterCatalog.SmartsMatcher(name, smarts))
        catalog.AddEntry(entry)
    mols = [Chem.MolFromSmiles(s) for s in (*smiles, *REACTIVE_EXAMPLES)]
    n_pains = n_reactive = 0
    for mol, alerts in zip(mols, find_alerts(mols, list(map(Chem.MolToSmiles, mols))), strict=True):
        expected = sorted(entry.GetDescription() for entry in catalog.GetMatches(mol))
        assert sorted(filter(None, alerts.split(";"))) == expected
        n_reactive += sum(name.startswith("reactive: ") for name in expected)
        n_pains += sum(not name.startswith("reactive: ") for name in expected)
    assert n_pains > 5
    assert n_reactive > 20


def test_every_reactive_group_is_flagged_on_its_example():
    mols = list(map(Chem.MolFromSmiles, REACTIVE_EXAMPLES))
    found = find_alerts(mols, list(map(Chem.MolToSmiles, mols)))
    assert len(found) == len(REACTIVE)
    for name, alerts in zip(REACTIVE, found, strict=True):
        assert f"reactive: {name}" in alerts.split(";")
    assert find_alerts([Chem.MolFromSmiles("CC(=O)Nc1ccccc1")], ["CC(=O)Nc1ccccc1"]) == ("",)


def test_fingerprints_are_ecfp4():
    from rdkit.Chem import AllChem, DataStructs

    generator = AllChem.GetMorganGenerator(radius=2, fpSize=2048)
    for smiles, packed in zip(SMILES, describe.encode(SMILES).fingerprints, strict=True):
        bits = np.zeros(2048, dtype=np.uint8)
        DataStructs.ConvertToNumpyArray(generator.GetFingerprint(Chem.MolFromSmiles(smiles)), bits)
        assert (np.unpackbits(packed) == bits).all()
