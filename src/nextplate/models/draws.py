"""Joint draws of a belief: what many compounds could be at once, with what is unsure about them together.

Independent normals with a belief's mean and spread forget that like compounds err alike; rules that compare compounds
(Thompson, the probability of being among the top k) and rules that ask what an outcome teaches (BALD) need to know.

- A Gaussian process is drawn from its posterior over the compounds asked for.
- Boosters and networks: a few members say what they mean. More draws than members are normal, with the mean of the
  members and their covariance: mean + sum_k z_k (member_k - mean) / sqrt(K), z_k standard normal.
- A forest: single trees, by lot (Breiman's bootstrap as an approximate posterior).
- A committee and a stack: draws of the members, each its share, by the law of total variance.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, cholesky, eigh

from nextplate.compound import Features
from nextplate.models.kinds import kind_of

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Draws = npt.NDArray[np.float32]

MOST_OF_PROCESS = 3_000
"""Compounds that a Gaussian process is drawn over at most: the cost grows with their cube."""
_JITTERS = (1e-6, 1e-4, 1e-2)
_DRAWN = ("gp", "minmax-gp", "forest", "extra-trees", "lightgbm", "deep", "mpnn")


def most_drawn(kind: str, belief: Any, most: int) -> int:
    """Say over how many compounds draws can be had: ``most``, or fewer where a Gaussian process is drawn.

    A process that a stack gives no weight is never drawn.
    """
    return min(most, MOST_OF_PROCESS) if _has_process(kind, belief) else most


def drawn_alone(kind: str, belief: Any) -> tuple[str, ...]:
    """Name the members of a stack or committee that give no joint draws, with their share of the draws.

    They are drawn as independent normals, so the draws know less of what errs together than they look. Empty of
    other kinds.
    """
    if kind not in ("committee", "auto"):
        return ()
    told = []
    for name, member, share in zip(belief.kinds, belief.members, _shares(kind, belief), strict=True):
        if share > 0 and not _is_drawn(name, member):
            told.append(f"{name} ({share:.0%})")
        told += [f"{within} of {name}" for within in (drawn_alone(name, member) if share > 0 else ())]
    return tuple(told)


def _is_drawn(kind: str, belief: Any) -> bool:
    """Tell whether a belief gives joint draws."""
    if kind in ("committee", "auto"):
        pairs = zip(belief.kinds, belief.members, _shares(kind, belief), strict=True)
        return any(share > 0 and _is_drawn(name, member) for name, member, share in pairs)
    return kind in _DRAWN and not getattr(belief, "is_mean_only", True)


def _shares(kind: str, belief: Any) -> FloatArray:
    """Give the share of each member in the draws, of a stack or committee."""
    weights = belief.weights if kind == "auto" else np.ones(len(belief.members))
    shares: FloatArray = weights / weights.sum()
    return shares


def joint_draws(
    kind: str, belief: Any, features: Features, rows: Index, n_draws: int, rng: np.random.Generator
) -> Draws | None:
    """Draw from a belief, all compounds at once.

    Args:
        kind: name in KINDS that the belief is of.
        belief: fitted or loaded.
        features: of the library.
        rows: shape (m,): compounds asked for.
        n_draws: at least 1.
        rng: of what is random.

    Returns:
        Shape (n_draws, m): responses, or of 0/1 labels probabilities of a hit. None where the kind gives none
        (nearest, fusion), or nothing but a mean was learned.

    Raises:
        ModelError: the library's features are others than those it was fitted on.
    """
    drawn = _drawn(kind, belief, features, rows, n_draws, rng)
    if drawn is None:
        return None
    return np.asarray(np.clip(drawn, 0.0, 1.0) if belief.learned.is_binary else drawn, dtype=np.float32)


def _drawn(
    kind: str, belief: Any, features: Features, rows: Index, n_draws: int, rng: np.random.Generator
) -> FloatArray | None:
    if kind in ("committee", "auto"):
        return _of_members(kind, belief, features, rows, n_draws, rng)
    if getattr(belief, "is_mean_only", True):
        return None
    if kind in ("gp", "minmax-gp"):
        return _of_process(belief, features, rows, n_draws, rng)
    if kind in ("forest", "extra-trees"):
        return _of_trees(belief, features, rows, n_draws, rng)
    if kind == "lightgbm":
        return _spread_out(_of_boosters(belief, features, rows), n_draws, rng)
    if kind in ("deep", "mpnn"):
        return _spread_out(_of_networks(kind, belief, features, rows), n_draws, rng)
    return None


def _spread_out(means: FloatArray, n_draws: int, rng: np.random.Generator) -> FloatArray:
    """Draw normals with the members' mean and covariance; means of shape (K, m)."""
    centre = means.mean(axis=0)
    z = rng.standard_normal((n_draws, len(means)))
    drawn: FloatArray = centre + z @ ((means - centre) / np.sqrt(len(means)))
    return drawn


def _of_boosters(belief: Any, features: Features, rows: Index) -> FloatArray:
    from nextplate.models import lightgbm

    return np.stack([lightgbm.predict(replace(belief, members=(m,)), features, rows)[0] for m in belief.members])


def _of_networks(kind: str, belief: Any, features: Features, rows: Index) -> FloatArray:
    module: Any = kind_of(kind)
    means: FloatArray = module.draws(belief, features, rows)
    return means


def _of_trees(belief: Any, features: Features, rows: Index, n_draws: int, rng: np.random.Generator) -> FloatArray:
    """Ask single trees; with more draws than trees some are asked twice."""
    from nextplate.models import forest

    n_trees = len(belief.trees.roots)
    chosen = rng.permutation(n_trees)[: min(n_draws, n_trees)]
    single = [replace(belief, trees=replace(belief.trees, roots=belief.trees.roots[i : i + 1])) for i in chosen]
    each = np.stack([forest.predict(one, features, rows)[0] for one in single])
    dealt: FloatArray = each[np.arange(n_draws) % len(each)]
    return dealt


def _of_process(belief: Any, features: Features, rows: Index, n_draws: int, rng: np.random.Generator) -> FloatArray:
    """Draw from the posterior: covariance of the compounds less what the labels tell (Rasmussen & Williams, 2.2)."""
    from nextplate.models.covariance import covariance, points_of

    points = points_of(features, belief.scale, rows)
    across = covariance(points, belief.points, belief.scale, belief.amplitudes)
    told = (across[:, belief.spread_rows] @ belief.whitener.T).astype(np.float64)
    left = covariance(points, points, belief.scale, belief.amplitudes).astype(np.float64) - told @ told.T
    latent = (across @ belief.solved).astype(np.float64) + rng.standard_normal((n_draws, len(rows))) @ _root(left).T
    centre, width, offset, slope = belief.affine
    if not belief.learned.is_binary:
        drawn: FloatArray = centre + width * latent
        return drawn
    chance: FloatArray = 1 / (1 + np.exp(-(offset + slope * latent)))
    return chance


def _root(matrix: FloatArray) -> FloatArray:
    """Return a root, R R' = matrix; a growing ridge makes up for rounding.

    Where that is not enough, the root of the nearest matrix that has one: eigenvalues below 0 become 0 (Higham 1988).
    """
    scale = max(float(np.mean(np.diag(matrix))), 1e-12)
    for jitter in _JITTERS:
        ridged = matrix.copy()
        ridged[np.diag_indices(len(matrix))] += jitter * scale
        try:
            root: FloatArray = cholesky(ridged, lower=True, overwrite_a=True, check_finite=False)
        except LinAlgError:
            continue
        return root
    values, vectors = eigh((matrix + matrix.T) / 2, check_finite=False)
    clipped: FloatArray = vectors * np.sqrt(np.maximum(values, 0.0))
    return clipped


def _of_members(
    kind: str, belief: Any, features: Features, rows: Index, n_draws: int, rng: np.random.Generator
) -> FloatArray | None:
    """Deal the draws to the members by weight; a member that gives none is drawn as independent normals."""
    counts = rng.multinomial(n_draws, _shares(kind, belief))
    parts, is_joint = [], False
    for i in np.flatnonzero(counts):
        name, member, n = belief.kinds[i], belief.members[i], int(counts[i])
        drawn = _drawn(name, member, features, rows, n, rng)
        is_joint |= drawn is not None
        if drawn is None:
            mean, spread = kind_of(name).predict(member, features, rows)
            drawn = mean + spread * rng.standard_normal((n, len(rows)))
        parts.append(drawn)
    return np.concatenate(parts) if is_joint else None


def _has_process(kind: str, belief: Any) -> bool:
    if kind in ("gp", "minmax-gp"):
        return True
    if kind not in ("committee", "auto"):
        return False
    pairs = zip(belief.kinds, belief.members, _shares(kind, belief), strict=True)
    return any(share > 0 and _has_process(name, member) for name, member, share in pairs)
