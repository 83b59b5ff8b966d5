"""A Gaussian process over structures: exact while labels are few, on inducing points beyond.

The covariance is ``covariance``'s sum of six kernels; its amplitudes and the noise maximise the marginal likelihood
of at most 500 labels. With up to 4,000 labels the mean is exact (Rasmussen & Williams 2006, algorithm 2.1); with
more it is the projected process on 3,000 of them (ibid. section 8.3.4), which still learns from every label. The
spread (of the function, not of a further well) is exact up to 1,000 labels and beyond that is taken about 512 of
them: never too narrow by that.

Of 0/1 labels the process is fitted to the labels as numbers, and a logistic curve fitted to its leave-one-out means
(closed form, ibid. eq. 5.12) turns a mean into the probability of a hit; the spread goes through the curve's slope.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from nextplate.compound import Features
from nextplate.errors import ModelFileError
from nextplate.models.belief import Learned
from nextplate.models.covariance import (
    ALL,
    COMPONENTS,
    Points,
    Scale,
    components,
    covariance,
    own_variance,
    points_of,
    scale_of,
)
from nextplate.models.design import Rows
from nextplate.models.evidence import most_likely
from nextplate.models.labels import Labels, check_labels, check_library, learned_from, mean_only, why_mean_only
from nextplate.models.link import fit_logistic
from nextplate.models.storage import learned_of, load_arrays, read_card, save_arrays, save_folder

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

SCREENS, DEAR_FROM = ("lightgbm",), 1_500
MOST_EXACT = 4_000
_N_INDUCING = 3_000
_N_FOLDS = 10
_N_EVIDENCE = 500
_MOST_EXACT_SPREAD, _N_SPREAD = 1_000, 512
_BLOCK = 4_096
_POINTS = ("counts", "pairs", "descriptors", "n_counts", "n_pairs")
_ARRAYS = ("centre", "width", "n_bits", "amplitudes", "solved", "spread_rows", "whitener", "affine")


@dataclass(frozen=True, slots=True)
class Process:
    """A fitted Gaussian process."""

    points: Points
    """The m compounds the mean is a sum over; none for a mean-only belief."""
    scale: Scale
    amplitudes: FloatArray
    """Shape (6,), in the order of COMPONENTS, in units of the labels' variance."""
    solved: npt.NDArray[np.float32]
    """Shape (m,): weights of the sum."""
    spread_rows: Index
    """Shape (s,): which points the spread is taken about."""
    whitener: npt.NDArray[np.float32]
    """Shape (s, s): inverse of the Cholesky root of their covariance with noise."""
    affine: FloatArray
    """Shape (4,): centre and width of the labels; offset and slope of the logistic curve (of 0/1 labels)."""
    left_out: tuple[FloatArray, FloatArray] | None
    """Mean and spread, as ``predict`` tells them, of every labelled compound by the process without its fold, each
    shape (n,). None for a mean-only belief or one read from disk."""
    learned: Learned

    @property
    def notes(self) -> tuple[str, ...]:
        """What an operator should know."""
        return self.learned.notes

    @property
    def is_mean_only(self) -> bool:
        """Whether it predicts the same for every compound."""
        return len(self.points) == 0


def fit(
    features: Features,
    rows: Index,
    y: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    seed: int = 0,
    *,
    folds: Index | None = None,
    kernels: Sequence[int] = ALL,
    noise: float | None = None,
) -> Process:
    """Fit the process.

    Args:
        features: of the library.
        rows: shape (n,): rows that are labelled.
        y: shape (n,), responses, or 0/1.
        weight: shape (n,), e.g. wells per compound; None weighs all alike.
        seed: decides which labels stand for all where there are too many.
        folds: shape (n,): what is left out together for ``left_out``, exactly, given amplitudes and noise. None: up
            to 4,000 labels each compound by itself, beyond these a tenth of the compounds at a time.
        kernels: places in COMPONENTS of those that are used.
        noise: variance of a label's noise over the covariance's, which is then shared evenly among the kernels;
            None: noise and amplitudes by the marginal likelihood.

    Raises:
        ModelError: no labels, a label or weight that is not a number, or lengths that differ.
    """
    labels = check_labels(features, rows, y, weight)
    learned = learned_from(features, labels, seed)
    scale = scale_of(features)
    if (note := why_mean_only(labels)) is not None:
        return _mean_only_process(features, scale, learned.noting(note))
    points = points_of(features, scale, labels.rows)
    centre, width = float(np.average(labels.y, weights=labels.weight)), float(labels.y.std())
    z = (labels.y - centre) / width
    noise_weight = np.maximum(labels.weight / labels.weight.mean(), 1e-3)
    rng = np.random.default_rng([seed, 5])
    few = _few(labels, _N_EVIDENCE, rng)
    amplitudes, noise = _amplitudes(points[few], scale, kernels, noise, z[few], noise_weight[few])
    kept = np.arange(len(z)) if len(z) <= MOST_EXACT else _few(labels, _N_INDUCING, rng)
    groups = _by_compound(labels.rows, rng) if folds is None else folds
    solved, left_mean, left_spread = _solve(points, kept, scale, amplitudes, z, noise / noise_weight, groups)
    offset, slope = fit_logistic(left_mean, labels.y, labels.weight) if labels.is_binary else (0.0, 1.0)
    affine = np.array([centre, width, offset, slope])
    spread_rows = np.arange(len(z)) if len(z) <= _MOST_EXACT_SPREAD else _few(labels, _N_SPREAD, rng)
    whitener = _whitener(points[spread_rows], scale, amplitudes, noise / noise_weight[spread_rows])
    notes = () if len(z) <= MOST_EXACT else (f"Gaussian process on {_N_INDUCING} of {len(z)} labels, fitted to all",)
    inside, spread_at = _joined(kept, spread_rows)
    solved_inside = np.zeros(len(inside), dtype=np.float32)
    solved_inside[np.searchsorted(inside, kept)] = solved
    return Process(
        points[inside],
        scale,
        amplitudes,
        solved_inside,
        spread_at,
        whitener,
        affine,
        _told(affine, labels.is_binary, left_mean, left_spread),
        learned.noting(*notes),
    )


def _amplitudes(
    points: Points, scale: Scale, kernels: Sequence[int], noise: float | None, z: FloatArray, weight: FloatArray
) -> tuple[FloatArray, float]:
    amplitudes = np.zeros(len(COMPONENTS))
    if noise is not None:
        amplitudes[list(kernels)] = 1 / len(kernels)
        return amplitudes, noise
    used = dict(components(points, points, scale, kernels))
    amplitudes[sorted(used)], noise = most_likely([used[i].astype(np.float64) for i in sorted(used)], z, weight)
    return amplitudes, noise


def _mean_only_process(features: Features, scale: Scale, learned: Learned) -> Process:
    nothing = np.empty(0, dtype=np.float32)
    return Process(
        points_of(features, scale, np.empty(0, dtype=np.intp)),
        scale,
        np.zeros(len(COMPONENTS)),
        nothing,
        np.empty(0, dtype=np.intp),
        nothing.reshape(0, 0),
        np.array([learned.level, 1.0, 0.0, 1.0]),
        None,
        learned,
    )


def _few(labels: Labels, n: int, rng: np.random.Generator) -> Index:
    """Choose n labels to stand for all: half of them the best ones, the others by lot; ascending."""
    if len(labels.y) <= n:
        return np.arange(len(labels.y))
    shuffled = rng.permutation(len(labels.y))
    best = shuffled[np.argsort(-labels.y[shuffled], kind="stable")[: n // 2]]
    if labels.is_binary:
        best = best[labels.y[best] == 1]
    others = rng.permutation(np.setdiff1d(np.arange(len(labels.y)), best))[: n - len(best)]
    return np.sort(np.concatenate([best, others]))


def _by_compound(rows: Index, rng: np.random.Generator) -> Index:
    """Deal labels so that those of one compound are left out together: each compound, or of many a tenth at a time."""
    compounds, at = np.unique(rows, return_inverse=True)
    if len(rows) <= MOST_EXACT:
        return at
    dealt: Index = rng.permutation(len(compounds))[at] % _N_FOLDS
    return dealt


def _joined(kept: Index, spread_rows: Index) -> tuple[Index, Index]:
    inside = np.union1d(kept, spread_rows)
    return inside, np.searchsorted(inside, spread_rows)


def _solve(
    points: Points,
    kept: Index,
    scale: Scale,
    amplitudes: FloatArray,
    z: FloatArray,
    noise: FloatArray,
    folds: Index,
) -> tuple[npt.NDArray[np.float32], FloatArray, FloatArray]:
    """Solve for the weights of the sum; also every label's mean and spread as if its fold had been left out."""
    if len(kept) == len(z):
        total = covariance(points, points, scale, amplitudes).astype(np.float64)
        total[np.diag_indices(len(z))] += noise
        factor = cho_factor(total, lower=True, overwrite_a=True)
        solved = cho_solve(factor, z)
        return solved.astype(np.float32), *_left_out(cho_solve(factor, np.eye(len(z))), solved, z, noise, folds)
    return _solve_projected(points, kept, scale, amplitudes, z, noise, folds)


def _left_out(
    inverse: FloatArray, solved: FloatArray, z: FloatArray, noise: FloatArray, folds: Index
) -> tuple[FloatArray, FloatArray]:
    """Predict each fold from the others without solving again: block inversion, as eq. 5.12 for blocks."""
    mean, variance = np.empty(len(z)), np.empty(len(z))
    for fold in np.unique(folds):
        out = np.flatnonzero(folds == fold)
        block = np.linalg.inv(inverse[np.ix_(out, out)])
        mean[out], variance[out] = z[out] - block @ solved[out], np.diag(block) - noise[out]
    return mean, np.sqrt(np.maximum(variance, 1e-8))


def _solve_projected(
    points: Points,
    kept: Index,
    scale: Scale,
    amplitudes: FloatArray,
    z: FloatArray,
    noise: FloatArray,
    folds: Index,
) -> tuple[npt.NDArray[np.float32], FloatArray, FloatArray]:
    """Least squares on the kernels of the kept points; left-out means by solving again without each fold's labels."""
    across = covariance(points, points[kept], scale, amplitudes).astype(np.float64)
    weighted = across / noise[:, None]
    normal, target = weighted.T @ across + across[kept], weighted.T @ z
    normal[np.diag_indices(len(kept))] += 1e-6 * float(np.trace(normal)) / len(kept)
    solved = cho_solve(cho_factor(normal, lower=True), target)
    mean = np.empty(len(z))
    for fold in np.unique(folds):
        out = folds == fold
        rest = normal - weighted[out].T @ across[out]
        mean[out] = across[out] @ cho_solve(cho_factor(rest, lower=True), target - weighted[out].T @ z[out])
    spread = float(np.sqrt(max(np.mean((z - mean) ** 2) - np.mean(noise), 1e-8)))
    return solved.astype(np.float32), mean, np.full(len(z), spread)


def _whitener(points: Points, scale: Scale, amplitudes: FloatArray, noise: FloatArray) -> npt.NDArray[np.float32]:
    total = covariance(points, points, scale, amplitudes).astype(np.float64)
    total[np.diag_indices(len(points))] += noise
    root = np.linalg.cholesky(total)
    whitener: npt.NDArray[np.float32] = solve_triangular(root, np.eye(len(points)), lower=True).astype(np.float32)
    return whitener


def predict(belief: Process, features: Features, rows: Rows | None = None) -> tuple[FloatArray, FloatArray]:
    """Predict compounds, 4,096 at a time.

    Returns:
        mean and spread, each shape (m,): of 0/1 labels the probability of a hit and how far it may be off.

    Raises:
        ModelError: the library's features are others than those it was fitted on.
    """
    check_library(belief.learned, features)
    index = np.arange(len(features.compound_ids))[slice(None) if rows is None else rows]
    if belief.is_mean_only:
        return mean_only(belief.learned, len(index))
    mean, spread = np.empty(len(index)), np.empty(len(index))
    for start in range(0, len(index), _BLOCK):
        block = slice(start, start + _BLOCK)
        mean[block], spread[block] = _latent(belief, points_of(features, belief.scale, index[block]))
    return _told(belief.affine, belief.learned.is_binary, mean, spread)


def _latent(belief: Process, points: Points) -> tuple[FloatArray, FloatArray]:
    across = covariance(points, belief.points, belief.scale, belief.amplitudes)
    told = across[:, belief.spread_rows] @ belief.whitener.T
    variance = own_variance(points, belief.scale, belief.amplitudes) - np.einsum("ij,ij->i", told, told)
    return (across @ belief.solved).astype(np.float64), np.sqrt(np.maximum(variance, 1e-8))


def _told(affine: FloatArray, is_binary: bool, mean: FloatArray, spread: FloatArray) -> tuple[FloatArray, FloatArray]:
    """From standardised units to the labels' own, or to probabilities."""
    centre, width, offset, slope = affine
    if not is_binary:
        return centre + width * mean, width * spread
    p = 1 / (1 + np.exp(-(offset + slope * mean)))
    return p, slope * p * (1 - p) * spread


def save(belief: Process, folder: Path, *, metrics: Mapping[str, float] | None = None) -> None:
    """Write a belief to a new folder, whole or not at all: process.npz and card.json.

    Raises:
        ModelError: the folder exists.
        DiskFull: no room; nothing is left behind.
    """
    arrays = {name: getattr(belief.points, name) for name in _POINTS}
    arrays |= {name: getattr(belief.scale, name) for name in ("centre", "width", "n_bits")}
    arrays |= {name: getattr(belief, name) for name in ("amplitudes", "solved", "spread_rows", "whitener", "affine")}
    facts = {"components": list(COMPONENTS), "n_points": len(belief.points)}
    save_folder(
        folder,
        "gp",
        belief.learned,
        lambda inside: save_arrays(inside / "process.npz", arrays),
        facts=facts,
        metrics=metrics,
    )


def load(folder: Path) -> Process:
    """Read a belief and check every file against the card.

    Raises:
        ModelFileError: a file is missing, altered, or of another kind or format.
    """
    card = read_card(folder, "gp")
    arrays = load_arrays(folder / "process.npz")
    if missing := {*_POINTS, *_ARRAYS} - arrays.keys():
        raise ModelFileError(f"{folder / 'process.npz'}: lacks {', '.join(sorted(missing))}; fit the belief again")
    return Process(
        Points(*(arrays[name] for name in _POINTS)),
        Scale(arrays["centre"], arrays["width"], arrays["n_bits"]),
        arrays["amplitudes"],
        arrays["solved"],
        arrays["spread_rows"],
        arrays["whitener"],
        arrays["affine"],
        None,
        learned_of(card),
    )
