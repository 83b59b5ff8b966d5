"""Do images help? Every way of seeing the same compounds, predicted by beliefs that have not seen them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from nextplate.compound import Features
from nextplate.models.crossing import cross_predict
from nextplate.models.fusion import Fusion
from nextplate.models.kinds import Kind, kind_of
from nextplate.models.profiles import has_profile, image_features

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

WAYS = ("chemistry", "image", "late", "early", "cell_count")


def compare_modalities(
    fusion: Fusion,
    features: Features,
    rows: Index,
    y: npt.ArrayLike,
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    n_folds: int = 5,
    ways: Sequence[str] = WAYS,
) -> Mapping[str, FloatArray]:
    """Predict labelled compounds by chemistry, by images, by both, and by the count of cells alone.

    Args:
        fusion: with its profiles and kinds; its mode does not matter.
        features: of the library.
        rows: shape (n,): labelled rows of the library; those without a profile teach chemistry all the same.
        y: shape (n,): potencies or 0/1.
        groups: shape (n,), e.g. scaffolds: never split between folds; None makes random folds.
        seed: of folds and beliefs.
        n_folds: at most.
        ways: some of WAYS.

    Returns:
        Out-of-fold means by way, each shape (n,); NaN for images and cell counts where there is no profile.
        'cell_count' is left out where the profiles name no such column.
    """
    labels = np.asarray(y, dtype=np.float64)
    profiles = fusion.profiles
    bare = replace(fusion, profiles=replace(profiles, count_names=()))
    all_rows = np.ones(len(rows), dtype=np.bool_)
    seen = has_profile(profiles.of([features.compound_ids[row] for row in rows]))
    image = kind_of(fusion.image)
    plan: dict[str, tuple[Kind, Features, npt.NDArray[np.bool_]]] = {
        "chemistry": (kind_of(fusion.chemistry), features, all_rows),
        "image": (image, image_features(features, profiles), seen),
        "late": (replace(bare, mode="late"), features, all_rows),
        "early": (replace(bare, mode="early"), features, all_rows),
    }
    if profiles.count_names:
        plan["cell_count"] = (image, image_features(features, profiles.counts_only), seen)
    out = {}
    for way in (w for w in ways if w in plan):
        kind, view, chosen = plan[way]
        out[way] = np.full(len(rows), np.nan)
        kept = np.flatnonzero(chosen)
        taken = None if groups is None else [groups[i] for i in kept]
        out[way][kept] = cross_predict(kind, view, rows[kept], labels[kept], seed=seed, groups=taken, n_folds=n_folds)[
            0
        ]
    return out
