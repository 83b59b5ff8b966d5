"""Libraries seen through images: alone, or beside descriptors."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nextplate.compound import Features
from nextplate.profiles import Profiles, Values

HAS_PROFILE = "has_profile"
"""Name of the column that says whether a compound has a profile, in the concatenated design of early fusion."""


def image_features(features: Features, profiles: Profiles) -> Features:
    """See a library through its images alone: profiles stand for descriptors, and there are no fingerprints.

    Any kind of belief that reads the design matrix can then be fitted to images.
    """
    n = len(features.compound_ids)
    nothing = np.zeros((n, 0), dtype=np.uint8)
    return Features(
        Path(),
        features.digest,
        features.compound_ids,
        features.smiles,
        nothing,
        profiles.of(features.compound_ids),
        profiles.names,
        nothing,
        nothing,
    )


def joint_features(features: Features, profiles: Profiles) -> Features:
    """Append the profiles and one column that says whether there is one to a library's descriptors (early fusion)."""
    image = profiles.of(features.compound_ids)
    has = has_profile(image).astype(np.float32)[:, None]
    return replace(
        features,
        descriptors=np.concatenate([np.asarray(features.descriptors), image, has], axis=1),
        descriptor_names=(*features.descriptor_names, *(f"image:{name}" for name in profiles.names), HAS_PROFILE),
    )


def has_profile(image: Values) -> npt.NDArray[np.bool_]:
    """Tell which rows of an (n, p) array hold at least one value, shape (n,)."""
    known: npt.NDArray[np.bool_] = np.isfinite(image).any(axis=1)
    return known
