"""Networks against a forest where labels are few: docking scores of Enamine10k and hits of LIT-PCBA ALDH1.

``PYTHONPATH=src:. NEXTPLATE_DATA=../shared OMP_NUM_THREADS=1 python -m bench.deep [enamine] [aldh1] [speed]``. Every
belief is fitted to the same random compounds and asked about all others. Times are of the processor, one thread.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.imaging_screens import data_folder
from bench.table import Figure, markdown, spread
from nextplate.chem.valued import ValuedStructures, read_valued
from nextplate.compound import Features
from nextplate.models import kind_of, predict_library
from nextplate.models.scoring import roc_auc

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
COMMAND = "python -m bench.deep"
KINDS = ("lightgbm", "deep", "mpnn")
SEEDS = (0, 1, 2)
N_TOP = 100


@dataclass(frozen=True, slots=True)
class Judged:
    """What one belief was worth on the compounds it was not fitted to."""

    error: float
    """RMSE of potencies; of hits, 1 - ROC AUC."""
    recall: float
    """Share of the top 100 not yet tested (or of hits) among the next picks, as many as 1 % of the library."""
    nll: float
    """Mean negative log likelihood under the mean and spread; NaN for hits."""
    coverage: float
    """Share within 1.645 spreads: 0.9 if normal; NaN for hits."""
    fit_s: float
    predict_s: float


def figures() -> list[Figure]:
    """Measure everything."""
    return [*enamine(), *aldh1(), *speed()]


def enamine(sizes: Sequence[int] = (105, 600), seeds: Sequence[int] = SEEDS) -> list[Figure]:
    """Compare on docking scores (10,449 compounds), low is good."""
    data = read_valued(
        data_folder() / "molpal_enamine" / "Enamine10k_scores.csv.gz", smiles_column="smiles", value_column="score"
    )
    return _compared("Enamine10k", data.features, -data.values, sizes, seeds, "enamine")


def aldh1(sizes: Sequence[int] = (600,), seeds: Sequence[int] = SEEDS) -> list[Figure]:
    """Compare on hits of a real screen (20,000 compounds, 997 hits)."""
    data = _aldh1()
    return _compared("ALDH1", data.features, data.values, sizes, seeds, "aldh1")


def _aldh1() -> ValuedStructures:
    path = data_folder() / "litpcba_aldh1" / "ALDH1_test.csv"
    return read_valued(path, smiles_column="smiles", value_column="y")


def _compared(
    what: str, features: Features, y: FloatArray, sizes: Sequence[int], seeds: Sequence[int], section: str
) -> list[Figure]:
    out = []
    is_binary = bool(np.isin(y, (0, 1)).all())
    for n in sizes:
        rows = {name: [_judged(name, features, y, n, seed) for seed in seeds] for name in ("forest", *KINDS)}
        for name, judged in rows.items():
            error = "1 - AUC" if is_binary else "RMSE"
            measured = f"{error} {spread([j.error for j in judged], 3)}; recall {spread([j.recall for j in judged], 3)}"
            if not is_binary:
                nll, covered = (np.mean([getattr(j, key) for j in judged]) for key in ("nll", "coverage"))
                measured += f"; NLL {nll:.2f}, 90 % holds {100 * covered:.0f} %"
            cost = f"fit {min(j.fit_s for j in judged):.1f} s, predict {min(j.predict_s for j in judged):.1f} s"
            out.append(Figure(f"{what}, {n} labels: {name}", measured, cost, f"{COMMAND} {section}"))
    return out


def _judged(name: str, features: Features, y: FloatArray, n: int, seed: int) -> Judged:
    order = np.random.default_rng([seed, n]).permutation(len(y))
    tested, rest = order[:n], np.sort(order[n:])
    mean, width, fit_s, predict_s = (_forest if name == "forest" else _of_kind(name))(features, tested, y, seed)
    print(name, n, seed, f"{fit_s:.1f} s, {predict_s:.1f} s", flush=True)
    picked = rest[np.argsort(-mean[rest], kind="stable")[: len(y) // 100]]
    if bool(np.isin(y, (0, 1)).all()):
        recall = y[picked].sum() / y[rest].sum()
        return Judged(1 - roc_auc(y[rest], mean[rest]), float(recall), np.nan, np.nan, fit_s, predict_s)
    top = np.setdiff1d(np.argsort(-y, kind="stable")[:N_TOP], tested)
    z = (y[rest] - mean[rest]) / width[rest]
    nll = np.mean(z**2 / 2 + np.log(width[rest]) + np.log(2 * np.pi) / 2)
    error = np.sqrt(np.mean((y[rest] - mean[rest]) ** 2))
    recall = len(np.intersect1d(picked, top)) / len(top)
    return Judged(float(error), recall, float(nll), float(np.mean(np.abs(z) < 1.645)), fit_s, predict_s)


Fitted = tuple[FloatArray, FloatArray, float, float]


def _of_kind(name: str) -> Callable[[Features, Index, FloatArray, int], Fitted]:
    def run(features: Features, tested: Index, y: FloatArray, seed: int) -> Fitted:
        kind = kind_of(name)
        started = time.process_time()
        belief = kind.fit(features, tested, y[tested], seed=seed)
        fitted = time.process_time()
        mean, width = predict_library(kind, belief, features)
        return mean, width, fitted - started, time.process_time() - fitted

    return run


def _forest(features: Features, tested: Index, y: FloatArray, seed: int) -> Fitted:
    """scikit-learn's forest as most would write it: 100 trees on ECFP4 bits and descriptors, spread over trees."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    from nextplate.models import design_matrix

    X = np.nan_to_num(design_matrix(features))
    is_binary = bool(np.isin(y, (0, 1)).all())
    Forest = RandomForestClassifier if is_binary else RandomForestRegressor
    started = time.process_time()
    forest = Forest(100, max_features=0.3, random_state=seed, n_jobs=1).fit(X[tested], y[tested])
    fitted = time.process_time()
    each = np.stack([t.predict_proba(X)[:, 1] if is_binary else t.predict(X) for t in forest.estimators_])
    return each.mean(axis=0), each.std(axis=0) + 1e-9, fitted - started, time.process_time() - fitted


def speed() -> list[Figure]:
    """Count what sharing environments saves, and time the message-passing network on structures it has not read."""
    from nextplate.models import mpnn
    from nextplate.models.graphs import graph_of, plan_of

    smiles = _aldh1().features.smiles[:10_000]
    graph_of.cache_clear()
    started = time.process_time()
    graphs = [graph_of(s) for s in smiles]
    read_s = time.process_time() - started
    plan = plan_of(graphs[:2000], mpnn.DEPTH)
    computed = len(plan.bond_inputs) + sum(len(step.own) for step in plan.steps)
    return [
        Figure("structures read as graphs", f"{len(smiles) / read_s:.0f} /s", "one core", f"{COMMAND} speed"),
        Figure(
            "messages computed for 2,000 ALDH1 structures", f"{computed:,}",
            f"without sharing {plan.n_messages:,} ({plan.n_messages / computed:.1f} x)", f"{COMMAND} speed",
        ),
    ]  # fmt: skip


def main() -> None:
    """Measure the sections named, or all."""
    import torch

    torch.set_num_threads(1)
    sections = {"enamine": enamine, "aldh1": aldh1, "speed": speed}
    for name in sys.argv[1:] or list(sections):
        print(markdown(sections[name]()), flush=True)


if __name__ == "__main__":
    main()
