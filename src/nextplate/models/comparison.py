"""Do images help? Every way of seeing the same compounds, predicted by beliefs that have not seen them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.compound import Features
from nextplate.models.folds import assign_folds
from nextplate.models.fusion import Fusion
from nextplate.models.kinds import kind_of
from nextplate.models.labels import Labels, check_labels
from nextplate.models.pooling import learn_pool, pool_mean
from nextplate.models.profiles import has_profile, image_features, joint_features
from nextplate.profiles import NO_PROFILES

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

WAYS = ("chemistry", "image", "late", "early", "cell_count")


@dataclass(frozen=True, slots=True)
class Compared:
    """Out-of-fold means of the same compounds, seen in several ways."""

    means: Mapping[str, FloatArray]
    """By way, each shape (n,); NaN for images and cell counts where there is no profile. 'cell_count' is left out where
    the profiles name no such column."""
    folds: Index
    """Shape (n,): the fold of each compound, the same for every way. Means of different folds come from different
    beliefs: rank within folds (``scoring.fold_auc``)."""


def compare_modalities(
    fusion: Fusion,
    features: Features,
    rows: Index,
    y: npt.ArrayLike,
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    n_folds: int = 5,
) -> Compared:
    """Predict labelled compounds by chemistry, by images, by both, and by the count of cells alone.

    Late fusion's weights for a fold are learnt on the out-of-fold predictions of the other folds.

    Args:
        fusion: with its kinds; its mode does not matter.
        features: of the library, with the profiles of some of its compounds.
        rows: shape (n,): labelled rows of the library; those without a profile teach chemistry all the same.
        y: shape (n,): potencies or 0/1.
        groups: shape (n,), e.g. scaffolds: never split between folds; None makes random folds.
        seed: of folds and beliefs.
        n_folds: at most; fewer when there are fewer compounds or groups.

    Raises:
        ModelError: there is nothing to fit.
    """
    labels = check_labels(features, rows, y, None)
    profiles = features.profiles or NO_PROFILES
    seen = has_profile(profiles.of([features.compound_ids[row] for row in labels.rows]))
    folds = assign_folds(len(seen), n_folds, np.random.default_rng([seed, 1]), groups)
    every, image = np.ones(len(seen), dtype=np.bool_), image_features(features, profiles)
    means = {
        "chemistry": _out_of_fold(fusion.chemistry, features, labels, every, folds, seed),
        "image": _out_of_fold(fusion.image, image, labels, seen, folds, seed),
        "early": _out_of_fold(fusion.chemistry, joint_features(features, profiles), labels, every, folds, seed),
    }
    means["late"] = _late(labels, means["chemistry"], means["image"], folds)
    if profiles.count_names:
        counted = image_features(features, profiles.counts_only)
        means["cell_count"] = _out_of_fold(fusion.image, counted, labels, seen, folds, seed)
    return Compared({way: means[way] for way in WAYS if way in means}, folds)


def _out_of_fold(
    name: str, features: Features, labels: Labels, usable: npt.NDArray[np.bool_], folds: Index, seed: int
) -> FloatArray:
    """Predict the usable compounds of each fold by a belief fitted to those of the others; NaN where it cannot be."""
    kind = kind_of(name)
    mean = np.full(len(folds), np.nan)
    for fold in np.unique(folds[usable]):
        out, kept = np.flatnonzero(usable & (folds == fold)), np.flatnonzero(usable & (folds != fold))
        if len(kept):
            belief: Any = kind.fit(
                features, labels.rows[kept], labels.y[kept], labels.weight[kept], seed + int(fold) + 1
            )
            mean[out] = kind.predict(belief, features, labels.rows[out])[0]
    return mean


def _late(labels: Labels, chemistry: FloatArray, image: FloatArray, folds: Index) -> FloatArray:
    """Pool where both are known, by weights learnt on the other folds; chemistry alone elsewhere."""
    mean = chemistry.copy()
    both = np.isfinite(image) & np.isfinite(chemistry)
    for fold in np.unique(folds[both]):
        out, kept = both & (folds == fold), both & (folds != fold)
        if kept.any():
            pool = learn_pool(
                labels.y[kept], labels.weight[kept], chemistry[kept], image[kept], is_binary=labels.is_binary
            )
            mean[out] = pool_mean(pool, chemistry[out], image[out])
    return mean
