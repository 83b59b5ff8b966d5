"""What images say alone: beliefs of profiles, or of the count of cells, that know nothing of structures.

They stand beside fusion: an image result says little while the count of cells alone does as well (Seal et al. 2025).
A compound without a profile is believed to be like the average label, as unsure as a label is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.compound import Features
from nextplate.errors import ModelError
from nextplate.models.belief import Learned
from nextplate.models.design import Rows
from nextplate.models.kinds import kind_of
from nextplate.models.labels import check_labels, learned_from, mean_only
from nextplate.models.profile_folder import load_profiles, save_profiles
from nextplate.models.profiles import has_profile, image_features
from nextplate.models.storage import learned_of, read_card, save_folder
from nextplate.profiles import NO_PROFILES, Profiles

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Seen:
    """A belief about compounds from their images alone."""

    learned: Learned
    image: Any | None
    """Belief about profiles; None where no labelled compound has one."""
    profiles: Profiles
    """Those it was fitted with."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What an operator should know."""
        return self.learned.notes


@dataclass(frozen=True, slots=True)
class Imaged:
    """The kind of belief that sees profiles alone, or of these the count of cells alone."""

    name: str
    """In KINDS."""
    counts_only: bool = False
    image: str = "lightgbm"
    """Kind of the belief about profiles: one that reads the design matrix."""

    def fit(
        self, features: Features, rows: Index, y: npt.ArrayLike, weight: npt.ArrayLike | None = None, seed: int = 0
    ) -> Seen:
        """Fit a belief to the labelled compounds that have a profile.

        Raises:
            ModelError: there is nothing to fit, or no column is a cell count and only that is to be seen.
        """
        labels = check_labels(features, rows, y, weight)
        profiles = self._seen(features.profiles or NO_PROFILES)
        ids = [features.compound_ids[row] for row in labels.rows]
        known = has_profile(profiles.of(ids))
        learned = learned_from(features, labels, seed)
        if not known.any():
            note = f"{self.name}: mean-only belief: no labelled compound has an image profile"
            return Seen(learned.noting(note), None, profiles)
        looks = image_features(_part(features, labels.rows[known]), profiles)
        at = np.arange(int(known.sum()), dtype=np.intp)
        belief = kind_of(self.image).fit(looks, at, labels.y[known], labels.weight[known], seed)
        return Seen(learned.noting(*belief.notes), belief, profiles)

    def _seen(self, profiles: Profiles) -> Profiles:
        if not self.counts_only:
            return profiles
        if len(profiles.compound_ids) and not profiles.count_names:
            raise ModelError(
                f"no column of the image profiles is known to be a cell count; name it: {', '.join(profiles.names[:9])}"
            )
        return profiles.counts_only

    def predict(self, belief: Seen, features: Features, rows: Rows | None = None) -> tuple[FloatArray, FloatArray]:
        """Predict compounds: by their profile, and by the average label where there is none.

        Raises:
            ModelError: the profiles have other columns than those the belief was fitted on.
        """
        index = np.arange(len(features.compound_ids))[slice(None) if rows is None else rows]
        mean, spread = mean_only(belief.learned, len(index))
        if belief.image is None:
            return mean, spread
        profiles = belief.profiles if features.profiles is None else self._seen(features.profiles)
        looks = image_features(_part(features, index), profiles)
        seen = np.flatnonzero(has_profile(looks.descriptors))
        if len(seen):
            mean[seen], spread[seen] = kind_of(self.image).predict(belief.image, looks, seen)
        return mean, spread

    def save(self, belief: Seen, folder: Path, *, metrics: Mapping[str, float] | None = None) -> None:
        """Write the belief, with the profiles it was fitted with, to a new folder.

        Raises:
            ModelError: the folder exists.
            DiskFull: no room; nothing is left behind.
        """
        facts = {"has_image": belief.image is not None}
        save_folder(folder, self.name, belief.learned, lambda f: self._fill(belief, f), facts=facts, metrics=metrics)

    def _fill(self, belief: Seen, folder: Path) -> None:
        save_profiles(belief.profiles, folder)
        if belief.image is not None:
            kind_of(self.image).save(belief.image, folder / "image")

    def load(self, folder: Path) -> Seen:
        """Read what save wrote.

        Raises:
            ModelFileError: the folder is not whole, not unaltered, or not of this kind.
        """
        card = read_card(folder, self.name)
        image = kind_of(self.image).load(folder / "image") if card["facts"]["has_image"] else None
        return Seen(learned_of(card), image, load_profiles(folder))


def _part(features: Features, index: Index) -> Features:
    """Take the ids and structures of some compounds of a library; nothing else of them is seen."""
    ids, smiles = (tuple(column[i] for i in index) for column in (features.compound_ids, features.smiles))
    return replace(features, compound_ids=ids, smiles=smiles)
