"""Counts packed as a thermometer: Tanimoto of the bits is MinMax of the counts."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem, RDConfig
from rdkit.Chem import rdFingerprintGenerator as generators

from nextplate.chem.environments import Environments, count_environments, folded_bits, thermometer

MORGAN = generators.GetMorganGenerator(radius=2, fpSize=2048)


@pytest.fixture(scope="module")
def mols():
    path = Path(RDConfig.RDDataDir) / "Pains" / "test_data" / "wehi_mols.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return [Chem.MolFromSmiles(row[0]) for row in list(csv.reader(file))[::50]]


def minmax(a: dict[int, int], b: dict[int, int]) -> float:
    keys = a.keys() | b.keys()
    shared = sum(min(a.get(k, 0), b.get(k, 0)) for k in keys)
    return shared / sum(max(a.get(k, 0), b.get(k, 0)) for k in keys)


def bit_tanimoto(a, b) -> float:
    a, b = np.unpackbits(a), np.unpackbits(b)
    return float((a & b).sum() / (a | b).sum())


def test_the_columns_say_what_rdkit_counts(mols):
    environments = count_environments(mols, MORGAN)
    for row, mol in enumerate(mols):
        own = environments.rows == row
        told = dict(zip(environments.keys[own].tolist(), environments.counts[own].tolist(), strict=True))
        assert told == MORGAN.GetSparseCountFingerprint(mol).GetNonzeroElements()


def test_folded_bits_are_the_fingerprint_of_rdkit(mols):
    packed = folded_bits(count_environments(mols, MORGAN), 2048)
    assert packed.shape == (len(mols), 256)
    for row, mol in zip(packed, mols, strict=True):
        np.testing.assert_array_equal(np.unpackbits(row), MORGAN.GetFingerprintAsNumPy(mol))


def test_tanimoto_of_the_code_is_minmax_of_the_counts_up_to_collisions(mols):
    packed = thermometer(count_environments(mols, MORGAN))
    assert packed.shape == (len(mols), 512)
    counts = [MORGAN.GetSparseCountFingerprint(mol).GetNonzeroElements() for mol in mols]
    errors = [
        bit_tanimoto(packed[i], packed[j]) - minmax(counts[i], counts[j]) for i in range(len(mols)) for j in range(i)
    ]
    assert np.abs(errors).mean() < 0.009
    assert np.abs(errors).max() < 0.06


@given(st.dictionaries(st.integers(0, 2**63), st.integers(1, 60), min_size=1, max_size=8))
def test_an_environment_that_occurs_c_times_sets_c_bits(counted):
    keys, counts = list(counted), list(counted.values())
    n_bits = 1 << 20  # wide enough that two of 480 hardly ever collide
    rows = np.zeros(len(keys), dtype=np.intp)
    packed = thermometer(Environments(1, rows, np.array(keys, np.uint64), np.array(counts, np.int32)), n_bits)
    n_set = int(np.unpackbits(packed).sum())
    assert sum(counts) - 3 <= n_set <= sum(counts)


def test_more_of_the_same_only_adds_bits():
    mols = [Chem.MolFromSmiles("C" * n) for n in (8, 12, 30)]
    a, b, c = (np.unpackbits(row) for row in thermometer(count_environments(mols, MORGAN)))
    assert (a <= b).all()
    assert (b <= c).all()


def test_no_structures_give_no_rows():
    environments = count_environments([], MORGAN)
    assert thermometer(environments).shape == (0, 512)
    assert folded_bits(environments, 2048).shape == (0, 256)
