"""Chemistry and images in one belief: compounds with an image profile and compounds without.

**Late fusion** (the default): one belief about structures, fitted to every labelled compound, and one about image
profiles, fitted to those that have one; the two are pooled by weights learnt on out-of-fold predictions of the
compounds where both exist (``pooling``), and chemistry speaks alone where there is no profile. On 270 assays late
fusion beat early fusion (Moshkov et al. 2023, Nat Commun 14:1967). **Early fusion**: one belief about descriptors,
profile and a column that says whether there is a profile, side by side.

Every fit also says, of compounds not seen, how good chemistry, images, both, and the *count of cells alone* were:
many assays are predicted as well by the number of cells that survived as by a whole profile (Seal et al. 2025).

    kind = kind_of("fusion")                                  # a kind like any other; features.profiles tell of images
    belief = kind.fit(features, rows, y, seed=seed)
    mean, spread = kind.predict(belief, features)
    belief.scores                                             # {"chemistry": ..., "image": ..., "fused": ..., ...}
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nextplate.compound import Features
from nextplate.errors import ModelError
from nextplate.models.belief import Learned
from nextplate.models.crossing import cross_predict
from nextplate.models.design import Rows
from nextplate.models.folds import assign_folds
from nextplate.models.kinds import kind_of
from nextplate.models.labels import FEWEST_LABELS, Labels, check_labels, learned_from
from nextplate.models.pooling import Pool, learn_pool, learn_width, lone_spread, own_variance, pool_mean, pool_spread
from nextplate.models.profile_folder import load_profiles, save_profiles
from nextplate.models.profiles import has_profile, image_features, joint_features
from nextplate.models.scoring import score
from nextplate.models.storage import learned_of, read_card, save_folder
from nextplate.profiles import NO_PROFILES, Profiles

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Mode = Literal["late", "early"]

# Fewer hits (or non-hits) than this among the compounds with a profile cannot be dealt into folds.
_FEWEST_OF_A_CLASS = 4


@dataclass(frozen=True, slots=True)
class Fused:
    """A belief about compounds from their structures and, where there are any, their images."""

    learned: Learned
    chemistry: Any
    """Belief about structures; with early fusion the one belief about everything."""
    image: Any | None
    """Belief about profiles; None with early fusion, or where too few profiles are labelled."""
    pool: Pool | None
    """How the two are combined; None where there is but one."""
    profiles: Profiles
    """Those it was fitted with: it finds them again wherever it is loaded."""
    mode: Mode
    kinds: tuple[str, str]
    """Of chemistry's belief and of the images'."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """How good each was on compounds not seen that have a profile: ROC AUC of 0/1 labels, else RMSE; under
    'chemistry', 'image', 'fused' and, where the profiles name cell counts, 'cell_count'."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What an operator should know."""
        return self.learned.notes


@dataclass(frozen=True, slots=True)
class Fusion:
    """The kind of belief that sees structures and profiles; without any profile it is chemistry's, and says so."""

    chemistry: str = "lightgbm"
    """Kind of the belief about structures; of early fusion, about everything."""
    image: str = "lightgbm"
    """Kind of the belief about profiles: one that reads the design matrix."""
    mode: Mode = "late"

    @property
    def SCREENS(self) -> tuple[str, ...]:  # as modules declare it
        """Kinds that may screen for it: as dear as its belief about structures is, few compounds having a profile."""
        return getattr(kind_of(self.chemistry), "SCREENS", ())

    @property
    def DEAR_FROM(self) -> int:
        """Labels from which it is dear: as its belief about structures."""
        return getattr(kind_of(self.chemistry), "DEAR_FROM", 0)

    @property
    def _kinds(self) -> tuple[str, str]:
        return self.chemistry, self.image

    def fit(
        self, features: Features, rows: Index, y: npt.ArrayLike, weight: npt.ArrayLike | None = None, seed: int = 0
    ) -> Fused:
        """Fit a belief to labelled compounds, some of which have a profile.

        Args:
            features: of the library, with the profiles of some of its compounds.
            rows: shape (n,): rows of the library that are labelled.
            y: shape (n,): potencies or responses, or 0/1.
            weight: shape (n,) or None.
            seed: of folds and beliefs.

        Raises:
            ModelError: there is nothing to fit, or the mode is neither 'late' nor 'early'.
        """
        labels = check_labels(features, rows, y, weight)
        if self.mode not in ("late", "early"):
            raise ModelError(f"fusion is 'late' or 'early', not {self.mode!r}")
        seen = has_profile(_profiles(features).of([features.compound_ids[row] for row in labels.rows]))
        note = _why_chemistry_only(labels, seen, self.mode)
        if note is not None:
            return self._alone(features, labels, seed, note)
        return self._late(features, labels, seen, seed) if self.mode == "late" else self._early(features, labels, seed)

    def _alone(self, features: Features, labels: Labels, seed: int, note: str) -> Fused:
        belief = kind_of(self.chemistry).fit(features, labels.rows, labels.y, labels.weight, seed)
        learned = learned_from(features, labels, seed, (note, *belief.notes))
        return Fused(learned, belief, None, None, _profiles(features), "late", self._kinds)

    def _early(self, features: Features, labels: Labels, seed: int) -> Fused:
        part, own = _labelled_part(features, labels)
        joint = joint_features(part, _profiles(features))
        belief = kind_of(self.chemistry).fit(joint, own.rows, own.y, own.weight, seed)
        learned = learned_from(features, labels, seed, belief.notes)
        return Fused(learned, belief, None, None, _profiles(features), "early", self._kinds)

    def _late(self, features: Features, labels: Labels, seen: npt.NDArray[np.bool_], seed: int) -> Fused:
        chemistry, image = kind_of(self.chemistry), kind_of(self.image)
        part, pictured = _labelled_part(features, _subset(labels, seen))
        looks = image_features(part, _profiles(features))
        of_structure = cross_predict(chemistry, features, labels.rows, labels.y, labels.weight, seed)
        of_image = cross_predict(image, looks, pictured.rows, pictured.y, pictured.weight, seed + 1)
        both = (of_structure[0][seen], of_image[0]), (of_structure[1][seen], of_image[1])
        pool = _calibrated(pictured, both, (labels.y - of_structure[0], of_structure[1]))
        structures = chemistry.fit(features, labels.rows, labels.y, labels.weight, seed)
        pictures = image.fit(looks, pictured.rows, pictured.y, pictured.weight, seed + 1)
        scores = self._scores(part, pictured, both[0], seed)
        learned = learned_from(features, labels, seed, (*structures.notes, *pictures.notes, *_said(pool, scores)))
        return Fused(learned, structures, pictures, pool, _profiles(features), "late", self._kinds, scores)

    def _scores(
        self, part: Features, labels: Labels, means: tuple[FloatArray, FloatArray], seed: int
    ) -> dict[str, float]:
        fused = _cross_pooled(labels, means, seed)
        predicted = {"chemistry": means[0], "image": means[1], "fused": fused}
        if (profiles := _profiles(part)).count_names:
            counted = image_features(part, profiles.counts_only)
            image = kind_of(self.image)
            predicted["cell_count"] = cross_predict(image, counted, labels.rows, labels.y, labels.weight, seed + 1)[0]
        return {name: score(labels.y, mean, is_binary=labels.is_binary) for name, mean in predicted.items()}

    def predict(self, belief: Fused, features: Features, rows: Rows | None = None) -> tuple[FloatArray, FloatArray]:
        """Predict compounds: both beliefs pooled where there is a profile, chemistry alone where there is none.

        Args:
            belief: of ``fit`` or ``load``.
            features: of a library; its profiles are found by compound id, where it has none those of the fit.
            rows: which compounds; None: all.

        Returns:
            mean and spread, each shape (m,). Of potencies, the spread is as wide as the out-of-fold errors, with
            profile and without apart, so that a compound without an image is as unsure as it should be.

        Raises:
            ModelError: features or profiles have other columns than those the belief was fitted on.
        """
        profiles = _fitting(belief, features)
        n = len(features.compound_ids)
        index = np.arange(n)[slice(None) if rows is None else rows]
        chemistry = kind_of(belief.kinds[0])
        if belief.mode == "early":
            part = _part(features, index)
            return chemistry.predict(belief.chemistry, joint_features(part, profiles))
        mean, spread = chemistry.predict(belief.chemistry, features, index)
        if belief.pool is None:
            return mean, spread
        part = replace(_part(features, index), profiles=profiles)
        return self._pooled(belief, belief.pool, part, (mean, spread))

    def _pooled(
        self, belief: Fused, pool: Pool, part: Features, of_structure: tuple[FloatArray, FloatArray]
    ) -> tuple[FloatArray, FloatArray]:
        mean, spread = of_structure[0].copy(), lone_spread(pool, of_structure[1])
        looks = image_features(part, _profiles(part))
        seen = np.flatnonzero(has_profile(looks.descriptors))
        if len(seen):
            means, spreads = kind_of(belief.kinds[1]).predict(belief.image, looks, seen)
            mean[seen] = pool_mean(pool, of_structure[0][seen], means)
            spread[seen] = pool_spread(pool, (of_structure[0][seen], means), (of_structure[1][seen], spreads))
        return mean, spread

    def save(self, belief: Fused, folder: Path, *, metrics: Mapping[str, float] | None = None) -> None:
        """Write the belief to a new folder; the beliefs it is made of are folders in it.

        Raises:
            ModelError: the folder exists.
            DiskFull: no room; nothing is left behind.
        """
        facts = {
            "kinds": list(belief.kinds),
            "has_image": belief.image is not None,
            "pool": None if belief.pool is None else asdict(belief.pool),
            "mode": belief.mode,
            "scores": {k: v if np.isfinite(v) else None for k, v in belief.scores.items()},
        }
        save_folder(folder, "fusion", belief.learned, lambda f: self._fill(belief, f), facts=facts, metrics=metrics)

    def _fill(self, belief: Fused, folder: Path) -> None:
        save_profiles(belief.profiles, folder)
        kind_of(belief.kinds[0]).save(belief.chemistry, folder / "chemistry")
        if belief.image is not None:
            kind_of(belief.kinds[1]).save(belief.image, folder / "image")

    def load(self, folder: Path) -> Fused:
        """Read what save wrote.

        Raises:
            ModelFileError: the folder is not whole, not unaltered, or not of this kind.
        """
        card = read_card(folder, "fusion")
        facts = card["facts"]
        kinds = facts["kinds"][0], facts["kinds"][1]
        return Fused(
            learned_of(card),
            kind_of(kinds[0]).load(folder / "chemistry"),
            kind_of(kinds[1]).load(folder / "image") if facts["has_image"] else None,
            None if facts["pool"] is None else Pool(**facts["pool"]),
            load_profiles(folder),
            facts["mode"],
            kinds,
            {k: float("nan") if v is None else float(v) for k, v in facts["scores"].items()},
        )


def _profiles(features: Features) -> Profiles:
    return features.profiles or NO_PROFILES


def _fitting(belief: Fused, features: Features) -> Profiles:
    """Return the profiles to look a library's compounds up in."""
    given = features.profiles or belief.profiles
    if given.names != belief.profiles.names and len(belief.profiles.compound_ids):
        raise ModelError(
            f"the belief was fitted on image profiles of {len(belief.profiles.names)} columns and is asked with "
            f"{len(given.names)}; measure the images with the same features, or fit again"
        )
    return given if len(belief.profiles.compound_ids) else belief.profiles


def _why_chemistry_only(labels: Labels, seen: npt.NDArray[np.bool_], mode: Mode) -> str | None:
    """Tell why images cannot be learned from; None when they can."""
    n = int(seen.sum())
    if n == 0:
        return "chemistry alone: no labelled compound has an image profile"
    if mode == "early":
        return None
    if n < FEWEST_LABELS:
        return f"chemistry alone: only {n} labelled compounds have an image profile, {FEWEST_LABELS} are needed"
    pictured = labels.y[seen]
    if not labels.is_binary:
        return (
            "chemistry alone: all labels of compounds with an image profile are equal"
            if np.ptp(pictured) == 0
            else None
        )
    fewest = int(min(pictured.sum(), n - pictured.sum()))
    if fewest < _FEWEST_OF_A_CLASS:
        what = "hits" if pictured.sum() <= n / 2 else "non-hits"
        return f"chemistry alone: only {fewest} {what} have an image profile, {_FEWEST_OF_A_CLASS} are needed"
    return None


def _subset(labels: Labels, chosen: npt.NDArray[np.bool_]) -> Labels:
    return Labels(labels.rows[chosen], labels.y[chosen], labels.weight[chosen])


def _labelled_part(features: Features, labels: Labels) -> tuple[Features, Labels]:
    """Take the labelled compounds out of a library, so that no array over all of it is built."""
    index, rows = np.unique(labels.rows, return_inverse=True)
    return _part(features, index), Labels(rows.astype(np.intp), labels.y, labels.weight)


def _calibrated(
    labels: Labels,
    both: tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]],
    lone: tuple[FloatArray, FloatArray],
) -> Pool:
    """Learn the weights, and how wide spreads must be to match the errors.

    Args:
        labels: of compounds with a profile.
        both: out-of-fold means of chemistry and images, then their spreads.
        lone: chemistry's out-of-fold errors and spreads of all labelled compounds.
    """
    means, spreads = both
    pool = learn_pool(labels.y, labels.weight, means[0], means[1], is_binary=labels.is_binary)
    pooled = pool_mean(pool, *means)
    if labels.is_binary:
        return replace(pool, lone_shift=float(np.sqrt(np.mean((pooled - means[0]) ** 2))))
    own, apart = own_variance(pool, means, spreads), (means[0] - means[1]) ** 2
    return replace(
        pool,
        width=learn_width(labels.y - pooled, own, apart),
        lone_width=learn_width(lone[0], lone[1] ** 2, np.zeros(len(lone[0]))),
    )


def _cross_pooled(labels: Labels, means: tuple[FloatArray, FloatArray], seed: int) -> FloatArray:
    """Pool out-of-fold means by weights learnt on other compounds, so that the score of the pool is honest too."""
    n = len(labels.y)
    folds = assign_folds(n, 5, np.random.default_rng([seed, 2]), None, labels.y == 1 if labels.is_binary else None)
    pooled = np.empty(n)
    for fold in range(int(folds.max()) + 1):
        out, kept = folds == fold, folds != fold
        pool = learn_pool(
            labels.y[kept], labels.weight[kept], means[0][kept], means[1][kept], is_binary=labels.is_binary
        )
        pooled[out] = pool_mean(pool, means[0][out], means[1][out])
    return pooled


def _said(pool: Pool, scores: Mapping[str, float]) -> tuple[str, ...]:
    """Say what images were worth, and whether cell counts alone were worth as much."""
    if "cell_count" not in scores or not np.isfinite(scores["cell_count"]):
        return ()
    is_matched = scores["cell_count"] >= scores["image"] if pool.is_binary else scores["cell_count"] <= scores["image"]
    what = "ROC AUC" if pool.is_binary else "RMSE"
    if not is_matched:
        return ()
    return (
        f"cell counts alone predict as well as the whole profile ({what} {scores['cell_count']:.3f} "
        f"against {scores['image']:.3f}): the images may say no more than how many cells were left",
    )


def _part(features: Features, index: Index) -> Features:
    """Take some compounds of a library."""
    return replace(
        features,
        compound_ids=tuple(features.compound_ids[i] for i in index),
        smiles=tuple(features.smiles[i] for i in index),
        fingerprints=np.asarray(features.fingerprints[index]),
        descriptors=np.asarray(features.descriptors[index]),
        counts=np.asarray(features.counts[index]),
    )
