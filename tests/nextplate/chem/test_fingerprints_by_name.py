"""Fingerprints by name are rdkit's, as bits and as counts."""

import csv
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem, RDConfig
from rdkit.DataStructs import BulkTanimotoSimilarity

from nextplate.chem.describe import encode
from nextplate.chem.fingerprints import GENERATORS, NAMES, fingerprint, fingerprint_of
from nextplate.chem.kernel import tanimoto
from nextplate.errors import DataError


@pytest.fixture(scope="module")
def mols():
    path = Path(RDConfig.RDDataDir) / "Pains" / "test_data" / "wehi_mols.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return [Chem.MolFromSmiles(row[0]) for row in list(csv.reader(file))[::100]]


@pytest.mark.parametrize("name", GENERATORS)
def test_bits_give_the_tanimoto_similarity_of_rdkit(name, mols):
    packed = fingerprint_of(mols, name)
    vectors = [GENERATORS[name]().GetFingerprint(mol) for mol in mols]
    expected = [BulkTanimotoSimilarity(vector, vectors) for vector in vectors]
    assert packed.shape == (len(mols), 256)
    np.testing.assert_allclose(tanimoto(packed, packed), expected, rtol=1e-6)


@pytest.mark.parametrize("name", GENERATORS)
def test_counts_give_the_minmax_similarity_of_rdkit(name, mols):
    packed = fingerprint_of(mols, f"{name}-counts", n_count_bits=1 << 17)
    vectors = [GENERATORS[name]().GetSparseCountFingerprint(mol) for mol in mols]
    expected = np.array([BulkTanimotoSimilarity(vector, vectors) for vector in vectors])
    error = np.abs(tanimoto(packed, packed) - expected)
    assert error.mean() < 0.001  # wide enough that collisions are rare
    assert error.max() < 0.04
    assert fingerprint_of(mols, f"{name}-counts").shape == (len(mols), 512)


def test_ecfp4_by_name_is_that_of_the_features():
    smiles = ["CCO", "c1ccccc1C(=O)N", "CC(C)Cc1ccc(cc1)C(C)C(=O)O"]
    encoded = encode(smiles)
    np.testing.assert_array_equal(fingerprint(smiles, "ecfp4"), encoded.fingerprints)
    np.testing.assert_array_equal(fingerprint(smiles, "ecfp4-counts"), encoded.counts)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_computed(name):
    assert fingerprint(["CCO", "c1ccccc1CCN"], name).any(axis=1).tolist()[1]
    assert len(fingerprint([], name)) == 0


@pytest.mark.parametrize(
    ("smiles", "name", "message"),
    [("CCO", "maccs", "no fingerprint 'maccs'; choose one of: ecfp2, "), ("C1CC", "ecfp4", "not a standardised")],
)
def test_what_cannot_be_computed_is_said(smiles, name, message):
    with pytest.raises(DataError, match=message):
        fingerprint([smiles], name)
