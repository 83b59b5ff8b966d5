"""Batches: the ranked batch against modAL's, and the seconds of the diverse ones, at 20,000 real candidates."""

import os
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt

from bench.table import Figure
from bench.timing import seconds
from nextplate.acquisition.diversity import DIVERSITY, gain_of
from nextplate.acquisition.greedy import Limits, greedy
from nextplate.acquisition.ranked import ranked_by_euclid, ranked_by_tanimoto

COMMAND = "python -m bench.run batches"
N_CANDIDATES, N_LABELLED, N_PICKS = 20_000, 1_000, 384
# One pick of modAL's with 2048 bits takes a minute and more: identity over many picks is shown on fewer candidates.
N_THEIRS = {"jaccard": 1, "euclidean": 20}
N_FEW, N_FEW_LABELLED, N_FEW_PICKS = 1_000, 100, 48

Rows = npt.NDArray[np.float64]
Packed = npt.NDArray[np.uint8]


def figures() -> list[Figure]:
    """Measure the ranked batch by both metrics, and every diversity."""
    packed, numbers = _compounds()
    order = np.random.default_rng(0).permutation(len(packed))[: N_CANDIDATES + N_LABELLED]
    return [
        *(_ranked(metric, packed[order], numbers[order]) for metric in N_THEIRS),
        *(_same(metric, packed[order], numbers[order]) for metric in N_THEIRS),
        *_diverse(packed[order[:N_CANDIDATES]]),
    ]


def _compounds() -> tuple[Packed, Rows]:
    """Give bits and standardised descriptors of Enamine10k and of a part of LIT-PCBA ALDH1."""
    from nextplate.chem.valued import read_valued

    data = Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "data"
    files = (("molpal_enamine/Enamine10k_scores.csv.gz", "score"), ("litpcba_aldh1/ALDH1_test.csv", "y"))
    read = [read_valued(data / name, smiles_column="smiles", value_column=value).features for name, value in files]
    numbers = np.nan_to_num(np.concatenate([f.descriptors for f in read]).astype(np.float64))
    numbers = (numbers - numbers.mean(axis=0)) / (numbers.std(axis=0) + 1e-9)
    return np.concatenate([np.asarray(f.fingerprints) for f in read]), numbers


def _ranked(metric: str, packed: Packed, numbers: Rows) -> Figure:
    """Time all our picks with their preparation, and a few of modAL's, whose cost per pick only grows."""
    unsure, n = np.random.default_rng(1).random(N_CANDIDATES), N_CANDIDATES
    picks = _ours(metric, packed, numbers, unsure)
    ours_s = seconds(lambda: _ours(metric, packed, numbers, unsure))
    x = _theirs_of(metric, packed, numbers)
    theirs_s, theirs = _modal(metric, x[:n], x[n:], unsure, N_THEIRS[metric])
    per_pick_s = theirs_s / len(theirs)
    return Figure(
        f"ranked batch, {metric}: {N_PICKS} of {n:,} candidates, {N_LABELLED:,} labelled",
        f"{ours_s:.2f} s; {per_pick_s * N_PICKS / ours_s:,.0f} times faster; "
        f"{_common(picks, theirs)} of the first {len(theirs)} picks are modAL's",
        f"modAL 0.4.2.1: {per_pick_s:.2f} s a pick over its first {len(theirs)} (at least 100 times)",
        COMMAND,
    )


def _same(metric: str, packed: Packed, numbers: Rows) -> Figure:
    few = slice(N_CANDIDATES - N_FEW, N_CANDIDATES + N_FEW_LABELLED)
    x, n = _theirs_of(metric, packed[few], numbers[few]), N_FEW
    n_same = 0
    for seed in range(3):
        unsure = np.random.default_rng(seed).random(n)
        theirs = _modal(metric, x[:n], x[n:], unsure, N_FEW_PICKS)[1]
        n_same += _common(_ours(metric, packed[few], numbers[few], unsure), theirs)
    what = f"ranked batch, {metric}: {N_FEW:,} candidates, {N_FEW_LABELLED} labelled, 3 seeds of {N_FEW_PICKS} picks"
    return Figure(what, f"{n_same} of {3 * N_FEW_PICKS} picks are modAL's, in its order", "all", COMMAND)


def _ours(metric: str, packed: Packed, numbers: Rows, unsure: Rows) -> npt.NDArray[np.intp]:
    n = len(unsure)
    if metric == "jaccard":
        return ranked_by_tanimoto(unsure, packed[:n], packed[n:], N_PICKS)
    return ranked_by_euclid(unsure, numbers[:n], numbers[n:], N_PICKS)


def _theirs_of(metric: str, packed: Packed, numbers: Rows) -> npt.NDArray[np.generic]:
    return np.unpackbits(packed, axis=1).astype(bool) if metric == "jaccard" else numbers


def _common(ours: npt.NDArray[np.intp], theirs: list[int]) -> int:
    return int((ours[: len(theirs)] == np.array(theirs)).sum())


def _modal(
    metric: str, pool: npt.NDArray[np.generic], known: npt.NDArray[np.generic], unsure: Rows, n: int
) -> tuple[float, list[int]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from modAL.batch import ranked_batch

        learner = SimpleNamespace(X_training=known, on_transformed=False)
        found: list[list[int]] = []
        taken_s = seconds(lambda: found.append(ranked_batch(learner, pool, unsure, n, metric, 1)[0].tolist()), 1)
    return taken_s, found[0]


def _diverse(packed: Packed) -> list[Figure]:
    rng = np.random.default_rng(2)
    utility, limits = rng.random(len(packed)), Limits(plates=rng.integers(0, 60, len(packed)), plate_cost=0.05)
    times = {name: seconds(lambda name=name: _pick(name, utility, packed, None)) for name in DIVERSITY}  # type: ignore[misc]
    capped = seconds(lambda: _pick("penalty", utility, packed, limits))
    what = f"diverse batch: {N_PICKS} of {len(packed):,} candidates, no shortlist"
    measured = ", ".join(f"{name} {value:.2f} s" for name, value in times.items())
    return [Figure(what, f"{measured}; penalty with 60 source plates {capped:.2f} s", "", COMMAND)]


def _pick(name: str, utility: Rows, packed: Packed, limits: Limits | None) -> npt.NDArray[np.intp]:
    return greedy(gain_of(name, utility, packed, 0.1, N_PICKS), N_PICKS, limits)
