"""Predictions of real compounds that the figures of bench.conformal calibrate: random forests on ECFP4.

Everything is kept under bench-out/conformal, so that a second run measures the conformal part alone.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]
KEPT = Path("bench-out/conformal")
SETS = {
    "enamine": ("molpal_enamine/Enamine10k_scores.csv.gz", "smiles", "score", -1.0),
    "tyk2": ("tyk2/tyk2_fep.csv", "SMILES", "dG_bind", -1.0),
    "aldh1": ("litpcba_aldh1/ALDH1_test.csv", "smiles", "y", 1.0),
    "mapk1": ("litpcba_mapk1/MAPK1.csv", "SMILES", "active", 1.0),
}
"""File, columns, and the sign that makes higher better."""


def kept(name: str, make: Callable[[], Arrays]) -> Arrays:
    """Read arrays made by an earlier run, or make and keep them."""
    path = KEPT / f"{name}.npz"
    if not path.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}")
        with unfinished.open("wb") as file:
            np.savez(file, **make())
        unfinished.rename(path)
    with np.load(path, allow_pickle=False) as data:
        return {key: data[key] for key in data.files}


def library(name: str) -> Arrays:
    """Give packed fingerprints (n, 128) and values (n,), higher is better; unscored rows are left out."""
    return kept(name, lambda: _read(name))


def _read(name: str) -> Arrays:
    import polars as pl
    from rdkit import Chem, RDLogger
    from rdkit.Chem import rdFingerprintGenerator

    RDLogger.DisableLog("rdApp.*")
    file, smiles, value, sign = SETS[name]
    rows = pl.read_csv(Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "data" / file)
    maker = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    known = [(Chem.MolFromSmiles(s), v) for s, v in zip(rows[smiles], rows[value], strict=True) if v is not None]
    known = [(molecule, v) for molecule, v in known if molecule is not None]
    packed = np.stack([np.packbits(maker.GetFingerprintAsNumPy(molecule)) for molecule, _ in known])
    return {"X": packed, "y": sign * np.array([float(v) for _, v in known])}


def bits(packed: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Unpack fingerprints for a forest."""
    return np.unpackbits(packed, axis=1).astype(np.float32)


def forest(X: npt.NDArray[Any], y: npt.NDArray[Any], seed: int, n_trees: int = 50) -> Any:
    """Fit a forest."""
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(n_trees, max_features=0.3, n_jobs=1, random_state=seed).fit(X, y)


def said(belief: Any, X: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Give mean and standard deviation over the trees."""
    trees = np.stack([tree.predict(X) for tree in belief.estimators_])
    return trees.mean(axis=0), trees.std(axis=0)


def campaign(name: str, rule: str, seed: int, n_rounds: int = 5) -> Arrays:
    """Run 1 % at random and n_rounds of 1 % picked by mean or UCB; per round r what was believed before its picks.

    om, os, ol: out-of-fold mean, spread, similarity to the nearest training compound of all tested (5 folds); y of
    these; tm, ts, tl, ty: likewise of the picks; rm, rs, rl, ry:
    of as many of the rest, at random. Compounds are in the order they were tested.
    """
    return kept(f"campaign_{name}_{rule}_{seed}", lambda: _campaign(name, rule, seed, n_rounds))


def _campaign(name: str, rule: str, seed: int, n_rounds: int) -> Arrays:
    data = library(name)
    X, y = bits(data["X"]), data["y"]
    n_batch = len(y) // 100
    tested = np.random.default_rng(seed).permutation(len(y))[:n_batch]
    found: Arrays = {}
    for number in range(1, n_rounds + 1):
        left = np.setdiff1d(np.arange(len(y)), tested)
        mean, spread = said(forest(X[tested], y[tested], seed), X[left])
        picks = np.argsort(-(mean if rule == "mean" else mean + spread), kind="stable")[:n_batch]
        rows = left[picks]
        columns = dict(zip(("om", "os", "ol"), out_of_fold(X, y, tested, seed), strict=True))
        columns |= {"y": y[tested], "tm": mean[picks], "ts": spread[picks], "ty": y[rows]}
        columns["tl"] = nearest(X[rows], X[tested])
        rest = np.random.default_rng([seed, number]).permutation(np.setdiff1d(np.arange(len(left)), picks))[:n_batch]
        columns |= {"rm": mean[rest], "rs": spread[rest], "ry": y[left[rest]], "rl": nearest(X[left[rest]], X[tested])}
        found |= {f"{key}{number}": values for key, values in columns.items()}
        tested = np.concatenate([tested, rows])
    return found


def out_of_fold(
    X: npt.NDArray[Any], y: npt.NDArray[Any], rows: npt.NDArray[np.intp], seed: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Give out-of-fold mean, spread and similarity to the nearest training compound; each shape (len(rows),)."""
    from sklearn.model_selection import KFold

    mean, spread, like = (np.empty(len(rows)) for _ in range(3))
    for inner, outer in KFold(5, shuffle=True, random_state=seed).split(rows):
        belief = forest(X[rows[inner]], y[rows[inner]], seed)
        mean[outer], spread[outer] = said(belief, X[rows[outer]])
        like[outer] = nearest(X[rows[outer]], X[rows[inner]])
    return mean, spread, like


def nearest(asked: npt.NDArray[Any], known: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give the Tanimoto similarity to the nearest known compound."""
    shared = asked @ known.T
    like: npt.NDArray[Any] = (shared / (asked.sum(1)[:, None] + known.sum(1)[None] - shared)).max(axis=1)
    return like


def first_batch(name: str, seed: int, n_labelled: int = 500) -> Arrays:
    """Label compounds at random: out-of-fold om, os, ol, oy of them, and m, s, y, l of all the rest."""
    return kept(f"first_{name}_{n_labelled}_{seed}", lambda: _first_batch(name, seed, n_labelled))


def _first_batch(name: str, seed: int, n_labelled: int) -> Arrays:
    data = library(name)
    X, y = bits(data["X"]), data["y"]
    order = np.random.default_rng(seed).permutation(len(y))
    rows, left = order[:n_labelled], order[n_labelled:]
    mean, spread = said(forest(X[rows], y[rows], seed), X[left])
    own = out_of_fold(X, y, rows, seed)
    keys = ("om", "os", "ol", "oy", "m", "s", "y", "l")
    return dict(zip(keys, (*own, y[rows], mean, spread, y[left], nearest(X[left], X[rows])), strict=True))


def held_out(name: str, seed: int, n_train: int) -> Arrays:
    """Fit on n_train random compounds; score and value of all others, in random order."""
    return kept(f"held_{name}_{n_train}_{seed}", lambda: _held_out(name, seed, n_train))


def _held_out(name: str, seed: int, n_train: int) -> Arrays:
    from sklearn.ensemble import RandomForestClassifier

    data = library(name)
    X, y = bits(data["X"]), data["y"]
    order = np.random.default_rng(seed).permutation(len(y))
    rows, left = order[:n_train], order[n_train:]
    if set(np.unique(y)) <= {0.0, 1.0}:
        belief = RandomForestClassifier(200, n_jobs=1, random_state=seed, class_weight="balanced_subsample")
        score, spread = belief.fit(X[rows], y[rows]).predict_proba(X[left])[:, 1], np.zeros(len(left))
    else:
        score, spread = said(forest(X[rows], y[rows], seed), X[left])
    return {"score": score, "spread": spread, "y": y[left]}


def ridge(name: str, seed: int, n_train: int = 500, n_cal: int = 800) -> Arrays:
    """Fit a ridge regression; keys as first_batch, but n_cal random compounds that it has not seen calibrate."""
    return kept(f"ridge_{name}_{seed}", lambda: _ridge(name, seed, n_train, n_cal))


def _ridge(name: str, seed: int, n_train: int, n_cal: int) -> Arrays:
    data = library(name)
    X, y = bits(data["X"]), data["y"]
    order = np.random.default_rng(seed).permutation(len(y))
    own, cal, left = order[:n_train], order[n_train : n_train + n_cal], order[n_train + n_cal :]
    known, offset = X[own].astype(np.float64), y[own].mean()
    slopes = known.T @ np.linalg.solve(known @ known.T + 10 * np.eye(n_train), y[own] - offset)
    mean, like = X @ slopes + offset, nearest(X, X[own])
    keys = ("om", "os", "ol", "oy", "m", "s", "l", "y")
    columns = (part for rows in (cal, left) for part in (mean[rows], np.zeros(len(rows)), like[rows], y[rows]))
    return dict(zip(keys, columns, strict=True))
