"""Image profiles inside a belief's folder, so that a belief finds them again wherever it is loaded."""

from pathlib import Path

import numpy as np

from nextplate.errors import DataError, ModelFileError
from nextplate.models.storage import load_arrays, save_arrays
from nextplate.profiles import Profiles

FILE = "profiles.npz"
"""compound_ids, names and count_names (text), values float32 (n, columns); the belief's card vouches for it."""
_TEXTS = ("compound_ids", "names", "count_names")


def save_profiles(profiles: Profiles, folder: Path) -> None:
    """Write profiles into a belief's folder, the same bytes for the same profiles."""
    texts = {name: np.array(getattr(profiles, name), dtype=np.str_) for name in _TEXTS}
    save_arrays(folder / FILE, {**texts, "values": profiles.values})


def load_profiles(folder: Path) -> Profiles:
    """Read what save_profiles wrote, without pickles.

    Raises:
        ModelFileError: it is not there or not whole.
    """
    arrays = load_arrays(folder / FILE)
    try:
        ids, names, counts = (tuple(arrays[name].tolist()) for name in _TEXTS)
        return Profiles(ids, arrays["values"], names, counts)
    except (KeyError, DataError) as error:
        raise ModelFileError(f"{folder / FILE}: does not hold profiles ({error}); fit the belief again") from error
