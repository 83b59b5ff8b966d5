"""Auto: two Gaussian processes and three kinds of trees, weighed by how each predicts labels it has not seen.

Which kind is best depends on the campaign: of smooth scores the processes, of rare and noisy hits the trees. Each is
judged on the campaign's own labels, every one predicted without its fold, and by what a campaign wants of it: that the
best labels (hits; of other labels the best fifth) stand on top. That is average precision, the mean over the best
labels of the precision at their rank. The weights start where such campaigns mostly end, and move from there no
further than the labels ask for: to the nearest point of a grid over the simplex that no other beats by more than so
many standard errors of the paired difference (after the rule of Breiman et al. 1984). So it is a stack (Wolpert 1992)
with a prior. Of responses the six-kernel process starts alone, and two errors are asked for: over the next batches of
campaigns on docking, free energies and lipophilicity it finds as much as the best kind does (15.1, 29.4, 3.4 of the
top a batch), where one error from equal weights loses a twentieth to a sixth. Of 0/1 labels one process and two
kinds of forest start equal (six campaigns on MAPK1: 73 hits; 69 without the process, 67 with LightGBM in its place),
and four errors are asked for: labels of a campaign are mostly of its own picks, whose neighbours were picked with
them, and left-out precision flatters kinds that rank by neighbours. With 0.5, 1, 2, 3 and 4 errors from all five
alike, the next batch of a campaign on ALDH1 held 8.5, 8.8, 9.2, 9.7 and 10.0 hits (the best single kind 9.5). These
choices were made on the sets named, so what auto finds there is not held out.

Of 0/1 labels probabilities are averaged, as they are (a linear pool). Pooled log-odds under logistic curves fitted to
left-out values find less: with two or three hits such a curve silences whatever cannot yet foresee them, and of five
kinds the two processes alone are left.

The left-out predictions of the stack are kept for the calibration, so that no kind is fitted twice as often.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.compound import Features
from nextplate.errors import ModelFileError
from nextplate.models.belief import Learned
from nextplate.models.committee import load_members, save_members
from nextplate.models.crossing import cross_predict, deal_folds
from nextplate.models.design import Index, Rows
from nextplate.models.kinds import kind_of
from nextplate.models.labels import Labels, check_labels, learned_from, why_mean_only
from nextplate.models.storage import learned_of, load_arrays, read_card, save_arrays, save_folder

FloatArray = npt.NDArray[np.float64]

MEMBERS = ("gp", "minmax-gp", "forest", "extra-trees", "lightgbm")
SCREENS = ("lightgbm", "forest", "extra-trees")
# Kinds whose fit leaves folds out by itself.
_FOLDING = frozenset(("gp", "minmax-gp"))
# What a campaign starts with: of responses, of 0/1 labels.
_LEADER = "gp"
_POOLED = ("minmax-gp", "forest", "extra-trees")
# How many standard errors better other weights have to be: of responses, of 0/1 labels.
_ERRORS = (2.0, 4.0)
_STEPS = 5
_BEST_SHARE = 0.2
_FEWEST_BEST = 5
_NOTHING_LEFT_OUT = "auto: all labels are of one compound, so that nothing can be left out: the first kind alone"
_FEWER_FOLDS_ABOVE = 1_500


@dataclass(frozen=True, slots=True)
class Stack:
    """Beliefs of several kinds and the weight of each."""

    kinds: tuple[str, ...]
    members: tuple[Any, ...]
    weights: FloatArray
    """Shape (n_members,), not negative, sum 1."""
    left_out: tuple[FloatArray, FloatArray] | None
    """Mean and spread of every label by the stack of beliefs that had not seen it, each shape (n,); None: too few."""
    learned: Learned

    @property
    def notes(self) -> tuple[str, ...]:
        """What an operator should know; the first tells the weights."""
        return self.learned.notes


def fit(
    features: Features,
    rows: Index,
    y: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    seed: int = 0,
    *,
    members: Sequence[str] = MEMBERS,
) -> Stack:
    """Fit every kind and weigh them.

    Args:
        features: of the library.
        rows: shape (n,): rows that are labelled.
        y: shape (n,), responses, or 0/1.
        weight: shape (n,); None weighs all alike.
        seed: of everything random.
        members: names of kinds.

    Returns:
        The stack; its notes name the weights, or say that labels teach nothing yet.

    Raises:
        ModelError: no labels, a label or weight that is not a number, or lengths that differ.
    """
    labels = check_labels(features, rows, y, weight)
    if why_mean_only(labels) is not None:
        only = kind_of(members[0]).fit(features, labels.rows, labels.y, labels.weight, seed)
        return _alone(members[0], only, learned_from(features, labels, seed, only.notes))
    n_folds = 5 if len(labels.y) <= _FEWER_FOLDS_ABOVE else 3
    folds = deal_folds(labels.rows, labels.y, seed, n_folds=n_folds)
    fitted, unseen = zip(
        *(_fit_and_cross(name, features, labels, seed, folds, n_folds) for name in members), strict=True
    )
    means, spreads = (np.stack([pair[part] for pair in unseen]) for part in (0, 1))
    if not np.isfinite(means).all():
        learned = learned_from(features, labels, seed, (*fitted[0].notes, _NOTHING_LEFT_OUT))
        return _alone(members[0], fitted[0], learned)
    weights, why = weigh(means, labels, folds, _start(members, labels))
    left_out = _pool(means, spreads, weights)
    told = ", ".join(f"{name} {w:.0%}" for name, w in zip(members, weights, strict=True))
    notes = (f"auto: {told}{why}", *(f"{n}: {note}" for n, b in zip(members, fitted, strict=True) for note in b.notes))
    return Stack(
        tuple(members),
        tuple(fitted),
        weights,
        left_out,
        learned_from(features, labels, seed, tuple(dict.fromkeys(notes))),
    )


def _alone(name: str, belief: Any, learned: Learned) -> Stack:
    """Return the stack of one kind, as it is."""
    return Stack((name,), (belief,), np.ones(1), None, learned)


def _fit_and_cross(
    name: str, features: Features, labels: Labels, seed: int, folds: Index, n_folds: int
) -> tuple[Any, tuple[FloatArray, FloatArray]]:
    kind, options = kind_of(name), {"folds": folds} if name in _FOLDING else {}
    belief = kind.fit(features, labels.rows, labels.y, labels.weight, seed, **options)
    left_out = getattr(belief, "left_out", None)
    return belief, left_out or cross_predict(
        kind, features, labels.rows, labels.y, labels.weight, seed, n_folds=n_folds
    )


def weigh(means: FloatArray, labels: Labels, folds: Index, start: FloatArray) -> tuple[FloatArray, str]:
    """Choose the weights of a stack.

    Args:
        means: shape (k, n): each kind's prediction of labels it has not seen.
        labels: n of them.
        folds: shape (n,): what was left out together. Folds are compared within themselves only: one that holds many
            hits was predicted by beliefs that saw few.
        start: shape (k,), sum 1: kept, or left no further than the labels ask for.

    Returns:
        Shape (k,), sum 1: start, or multiples of a fifth; and why it is start where labels are too few to tell.
    """
    is_best = _best(labels)
    if not _FEWEST_BEST <= is_best.sum() < len(is_best):
        return (
            start,
            f" (by default: {int(is_best.sum())} of {len(is_best)} labels stand out, {_FEWEST_BEST} are needed)",
        )
    values = means.copy()
    for fold in np.unique(folds):
        values[:, folds == fold] -= values[:, folds == fold].mean(axis=1, keepdims=True)
    grid = np.vstack([start, simplex(len(means))])
    precision = np.stack([precision_at_best(w @ values, is_best) for w in grid])
    total = precision.mean(axis=1).round(9)
    best = int(np.argmax(total))
    error = (precision[best] - precision).std(axis=1, ddof=1) / np.sqrt(precision.shape[1])
    near = np.flatnonzero(total[best] - total <= _ERRORS[labels.is_binary] * error + 1e-12)
    far = ((grid[near] - start) ** 2).sum(axis=1).round(9)
    weights: FloatArray = grid[near[np.lexsort((-total[near], far))[0]]]
    return weights, ""


def _start(kinds: Sequence[str], labels: Labels) -> FloatArray:
    """Give the weights before the labels speak: alike to those that start, or to all where none of them is here."""
    leading = _POOLED if labels.is_binary else (_LEADER,)
    chosen = np.array([name in leading for name in kinds])
    return chosen / chosen.sum() if chosen.any() else np.full(len(kinds), 1 / len(kinds))


def _best(labels: Labels) -> npt.NDArray[np.bool_]:
    """Tell the labels that a campaign wants on top: hits, or the best fifth; of many ties at its edge those above."""
    if labels.is_binary:
        is_hit: npt.NDArray[np.bool_] = labels.y == 1
        return is_hit
    edge = float(np.quantile(labels.y, 1 - _BEST_SHARE))
    is_best: npt.NDArray[np.bool_] = labels.y >= edge
    return is_best if is_best.mean() <= 0.5 else labels.y > edge


def precision_at_best(score: FloatArray, is_best: npt.NDArray[np.bool_]) -> FloatArray:
    """Return the precision at the rank of each of the best; the mean of it is average precision.

    Args:
        score: shape (n,), higher is predicted better; of ties the earlier row comes first.
        is_best: shape (n,).

    Returns:
        Shape (n_best,), in row order.
    """
    order = np.argsort(-score, kind="stable")
    ranks = np.flatnonzero(is_best[order])
    precision = np.zeros(len(score))
    precision[order[ranks]] = np.arange(1, len(ranks) + 1) / (ranks + 1)
    return precision[is_best]


def simplex(k: int) -> FloatArray:
    """List the points of the k-simplex whose coordinates are multiples of a fifth, shape (m, k)."""
    points = [p for p in product(range(_STEPS + 1), repeat=k) if sum(p) == _STEPS]
    return np.array(points, dtype=np.float64) / _STEPS


def _pool(means: FloatArray, spreads: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mix means, and spreads by the law of total variance."""
    mean: FloatArray = weights @ means
    variance: FloatArray = weights @ (spreads**2 + (means - mean) ** 2)
    return mean, np.sqrt(variance)


def predict(belief: Stack, features: Features, rows: Rows | None = None) -> tuple[FloatArray, FloatArray]:
    """Return the weighted mean and the total standard deviation, each shape (m,); kinds without weight rest.

    Raises:
        ModelError: the library's features are others than those the members were fitted on.
    """
    used = np.flatnonzero(belief.weights > 0)
    each = [kind_of(belief.kinds[i]).predict(belief.members[i], features, rows) for i in used]
    means, spreads = (np.stack([pair[part] for pair in each]) for part in (0, 1))
    return _pool(means, spreads, belief.weights[used])


def save(belief: Stack, folder: Path, *, metrics: Mapping[str, float] | None = None) -> None:
    """Write a belief to a new folder, whole or not at all: a folder per member, weights.npz and card.json.

    Raises:
        ModelError: the folder exists.
        DiskFull: no room; nothing is left behind.
    """
    left_out = np.empty((2, 0)) if belief.left_out is None else np.stack(belief.left_out)

    def fill(inside: Path) -> None:
        save_arrays(inside / "weights.npz", {"weights": belief.weights, "left_out": left_out})
        save_members(inside, belief.kinds, belief.members)

    save_folder(folder, "auto", belief.learned, fill, facts={"members": list(belief.kinds)}, metrics=metrics)


def load(folder: Path) -> Stack:
    """Read a belief and check every file against the card, and every member's against its own.

    Raises:
        ModelFileError: a file is missing, altered, or of another kind or format.
    """
    card = read_card(folder, "auto")
    names, arrays = card["facts"].get("members"), load_arrays(folder / "weights.npz")
    if not isinstance(names, list) or arrays.keys() != {"weights", "left_out"}:
        raise ModelFileError(f"{folder}: its card or weights.npz does not tell the members; fit the belief again")
    kinds = tuple(map(str, names))
    left_out = tuple(arrays["left_out"]) if arrays["left_out"].size else None
    return Stack(kinds, load_members(folder, kinds), arrays["weights"], left_out, learned_of(card))
