"""The popcount kernel gives rdkit's numbers, whatever the shapes and however many threads."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem, RDConfig
from rdkit.Chem import rdFingerprintGenerator as generators
from rdkit.DataStructs import BulkTanimotoSimilarity

from nextplate.chem.describe import packed_ecfp4
from nextplate.chem.kernel import count_bits, max_tanimoto, tanimoto
from nextplate.errors import DataError


def plain(a, b):
    """Tanimoto as its definition says."""
    a, b = np.unpackbits(a, axis=1).astype(np.int64), np.unpackbits(b, axis=1).astype(np.int64)
    shared = a @ b.T
    union = a.sum(axis=1)[:, None] + b.sum(axis=1) - shared
    return (shared / np.maximum(union, 1)).astype(np.float32)


def rows(n, n_bytes=256, density=0.05, seed=0):
    return np.packbits(np.random.default_rng(seed).random((n, n_bytes * 8)) < density, axis=1)


SHAPES = [(1, 1), (1, 300), (16, 17), (17, 16), (17, 17), (3, 128), (129, 127), (130, 257), (300, 1), (64, 640)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("n_bytes", [256, 512, 8, 33])
def test_every_pair_is_right(shape, n_bytes):
    a, b = rows(shape[0], n_bytes), rows(shape[1], n_bytes, seed=1)
    np.testing.assert_array_equal(tanimoto(a, b), plain(a, b))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("n_bytes", [256, 512, 8])
def test_the_nearest_is_the_first_of_the_most_similar(shape, n_bytes):
    a, b = rows(shape[0], n_bytes), rows(shape[1], n_bytes, seed=1)
    values, indices = max_tanimoto(a, b)
    np.testing.assert_array_equal(values, plain(a, b).max(axis=1))
    np.testing.assert_array_equal(indices, plain(a, b).argmax(axis=1))


@pytest.mark.parametrize("n", [5, 400])
def test_of_equals_the_first_is_the_nearest(n):
    same = np.repeat(rows(1), n, axis=0)
    values, indices = max_tanimoto(same, same)
    assert (values == 1).all()
    assert (indices == 0).all()


def test_empty_rows_are_similar_to_nothing():
    empty = np.zeros((40, 256), np.uint8)
    assert (tanimoto(empty, empty) == 0).all()
    assert (tanimoto(empty, rows(40)) == 0).all()
    assert max_tanimoto(empty, empty)[1].tolist() == [0] * 40


@pytest.mark.parametrize("n_threads", [2, 3, 7])
@pytest.mark.parametrize("shape", [(1200, 900), (900, 1200), (4, 140_000)], ids=str)
def test_threads_change_nothing(shape, n_threads):
    a, b = rows(shape[0], 32, 0.2), rows(shape[1], 32, 0.2, seed=1)
    np.testing.assert_array_equal(tanimoto(a, b, n_threads=n_threads), tanimoto(a, b, n_threads=1))
    for many, one in zip(max_tanimoto(b, a, n_threads=n_threads), max_tanimoto(b, a, n_threads=1), strict=True):
        np.testing.assert_array_equal(many, one)


def test_no_rows_give_no_similarity():
    assert tanimoto(rows(0), rows(3)).shape == (0, 3)
    assert tanimoto(rows(3), rows(0)).shape == (3, 0)
    values, indices = max_tanimoto(rows(3), rows(0))
    assert np.isnan(values).all()
    assert indices.tolist() == [-1] * 3


def test_strided_and_read_only_and_mapped_rows_are_taken(tmp_path):
    a = rows(60)
    np.save(tmp_path / "rows.npy", a)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    expected = plain(a[::3], a)
    np.testing.assert_array_equal(tanimoto(a[::3], mapped), expected)
    np.testing.assert_array_equal(tanimoto(mapped[::3], np.asfortranarray(a)), expected)
    shifted = np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].reshape(a.shape)
    np.testing.assert_array_equal(tanimoto(shifted[::3], shifted), expected)


def test_bits_are_counted():
    a = rows(50)
    np.testing.assert_array_equal(count_bits(a), np.unpackbits(a, axis=1).sum(axis=1))


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (rows(2), rows(2, 512), "rows of 256 bytes cannot be compared with rows of 512 bytes"),
        (np.zeros((2, 256)), rows(2), "packed rows are uint8 of shape .* not float64"),
        (rows(2)[0], rows(2), r"not uint8 of shape \(256,\)"),
    ],
)
def test_what_is_no_packed_row_is_refused(a, b, message):
    with pytest.raises(DataError, match=message):
        tanimoto(a, b)
    with pytest.raises(DataError, match=message):
        max_tanimoto(a, b)


@pytest.fixture(scope="module")
def mols():
    path = Path(RDConfig.RDDataDir) / "Pains" / "test_data" / "wehi_mols.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return [Chem.MolFromSmiles(row[0]) for row in list(csv.reader(file))[::40]]


def test_bits_give_the_similarity_of_rdkit(mols):
    fingerprints = list(map(generators.GetMorganGenerator(radius=2, fpSize=2048).GetFingerprint, mols))
    packed, _ = packed_ecfp4(mols)
    expected = [BulkTanimotoSimilarity(fingerprint, fingerprints) for fingerprint in fingerprints]
    np.testing.assert_allclose(tanimoto(packed, packed), expected, rtol=1e-6)


def test_counts_give_the_minmax_similarity_of_rdkit_up_to_collisions(mols):
    vectors = list(map(generators.GetMorganGenerator(radius=2).GetSparseCountFingerprint, mols))
    _, packed = packed_ecfp4(mols)
    expected = np.array([BulkTanimotoSimilarity(vector, vectors) for vector in vectors])
    error = np.abs(tanimoto(packed, packed) - expected)
    assert error.mean() < 0.009
    assert error.max() < 0.06


def test_the_loops_are_not_compiled_before_they_are_needed():
    code = "import sys, nextplate.chem.similarity; print('numba' in sys.modules)"
    paths = os.pathsep.join(filter(None, sys.path))
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "False"


def test_a_cache_of_compiled_loops_that_cannot_be_used_is_no_obstacle():
    from numba import types

    from nextplate.chem.popcount import _compiled

    namespace = {}
    exec("def next_one(n):\n    return n + 1", namespace)  # without a source file numba refuses to cache
    assert _compiled(types.intp(types.intp))(namespace["next_one"])(41) == 42
