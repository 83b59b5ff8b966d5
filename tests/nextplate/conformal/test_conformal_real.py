"""Coverage on real compounds: TYK2 free energies and Enamine docking, over many random splits of one cheap model."""

import os
from pathlib import Path

import numpy as np
import pytest

from nextplate.conformal import calibrate, candidate_intervals, density_ratio, label_sets, split_intervals

DATA = Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "data"
SETS = {
    "tyk2": ("tyk2/tyk2_fep.csv", "SMILES", "dG_bind"),
    "enamine": ("molpal_enamine/Enamine10k_scores.csv.gz", "smiles", "score"),
}
N, N_TRAIN, N_CAL, N_SPLITS = 2400, 500, 800, 120
LEVELS = [0.8, 0.9, 0.95]


@pytest.fixture(scope="module", params=list(SETS))
def predicted(request):
    """Means of a ridge regression on fingerprints, a class each, and values, of compounds it has not seen."""
    pl = pytest.importorskip("polars")
    from rdkit import Chem
    from rdkit.Chem import rdFingerprintGenerator

    file, smiles, value = SETS[request.param]
    if not (DATA / file).exists():
        pytest.skip(f"{DATA / file} is not there; set NEXTPLATE_DATA")
    table = pl.read_csv(DATA / file).drop_nulls([smiles, value])
    rows = np.random.default_rng(1).permutation(len(table))[:N]
    maker = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=512)
    molecules = [Chem.MolFromSmiles(text) for text in table[smiles].gather(rows)]
    X = np.stack([maker.GetFingerprintAsNumPy(molecule) for molecule in molecules]).astype(float)
    y = -table[value].cast(pl.Float64).gather(rows).to_numpy()
    known, offset = X[:N_TRAIN], y[:N_TRAIN].mean()
    weights = known.T @ np.linalg.solve(known @ known.T + 10 * np.eye(N_TRAIN), y[:N_TRAIN] - offset)
    n_rings = np.array([min(molecule.GetRingInfo().NumRings(), 5) for molecule in molecules]).astype(str)
    return X[N_TRAIN:] @ weights + offset, n_rings[N_TRAIN:], y[N_TRAIN:]


def splits():
    for seed in range(N_SPLITS):
        order = np.random.default_rng(seed).permutation(N - N_TRAIN)
        yield order[:N_CAL], order[N_CAL:]


@pytest.mark.parametrize("level", LEVELS)
def test_real_measurements_are_covered_overall_and_in_every_class(predicted, level):
    mean, classes, y = predicted
    everyone, by_class = [], {name: [] for name in np.unique(classes) if (classes == name).sum() > 150}
    for known, asked in splits():
        split = split_intervals((y - mean)[known], mean[asked], level=level)
        everyone.append(((y[asked] >= split.lower) & (y[asked] <= split.upper)).mean())
        calibration = calibrate(mean[known], np.zeros(N_CAL), y[known], bins=classes[known])
        found = candidate_intervals(calibration, mean[asked], np.zeros(len(asked)), level=level, bins=classes[asked])
        inside = (y[asked] >= found.lower) & (y[asked] <= found.upper)
        for name, shares in by_class.items():
            shares.append(inside[classes[asked] == name].mean())
    assert abs(np.mean(everyone) - level) < 0.015
    assert len(by_class) >= 2
    for shares in by_class.values():
        assert abs(np.mean(shares) - level) < 0.015


@pytest.mark.parametrize("level", LEVELS)
def test_rare_real_hits_keep_their_label_as_often_as_promised(predicted, level):
    mean, _, y = predicted
    is_hit, rng = y >= np.quantile(y, 0.95), np.random.default_rng(2)
    kept = []
    for known, asked in splits():
        sets = label_sets(mean[known], is_hit[known], mean[asked], level=level, rng=rng)
        kept.append([sets.may_hit[is_hit[asked]].mean(), sets.may_not[~is_hit[asked]].mean()])
    assert np.abs(np.mean(kept, axis=0) - level).max() < 0.015


@pytest.mark.parametrize("level", LEVELS)
def test_weighted_intervals_hold_on_the_picked(predicted, level):
    mean, _, y = predicted
    plain, weighted, n_infinite = [], [], 0
    for known, asked in splits():
        picked = asked[np.argsort(-mean[asked], kind="stable")[:60]]
        weights = density_ratio(mean[known], mean[picked], mean[picked])
        for shares, used in ((plain, None), (weighted, weights)):
            found = split_intervals((y - mean)[known], mean[picked], level=level, weights=used)
            shares.append(((y[picked] >= found.lower) & (y[picked] <= found.upper)).mean())
        n_infinite += found.n_infinite
    assert n_infinite == 0
    assert np.mean(weighted) > level - 0.03
    assert np.mean(weighted) > np.mean(plain)
