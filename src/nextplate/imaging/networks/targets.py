"""What a network is to say about a field: which class it is of, or which numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nextplate.errors import DataError
from nextplate.imaging.networks.cache import PixelCache

Task = Literal["classes", "response"]
Key = tuple[str, str]
"""(plate, well)."""


@dataclass(frozen=True, slots=True)
class Targets:
    """The truth of every field that has one."""

    task: Task
    names: tuple[str, ...]
    """Class names, or names of the responses."""
    values: npt.NDArray[Any]
    """Class numbers, shape (fields,), -1 without; or standardised responses, shape (fields, responses), NaN without."""
    mean: tuple[float, ...] = ()
    """Of each response, in its own unit; empty for classes."""
    spread: tuple[float, ...] = ()
    """What one standardised unit is."""

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Say which fields have a truth, shape (fields,)."""
        if self.task == "classes":
            return np.asarray(self.values >= 0)
        return np.asarray(np.isfinite(self.values).all(axis=1))


def class_targets(cache: PixelCache, labels: Mapping[Key, str]) -> Targets:
    """Make targets of names per (plate, well); wells without one teach nothing.

    Raises:
        DataError: fewer than two classes among the fields that can be used.
    """
    keys = [(f.plate, f.well) for f in cache.fields]
    usable = {keys[row] for row in cache.usable.tolist()}
    names = tuple(sorted({name for key, name in labels.items() if key in usable}))
    if len(names) < 2:
        raise DataError(f"a network tells classes apart and there is {names[0] if names else 'none'}; label more wells")
    number = {name: i for i, name in enumerate(names)}
    values = [number.get(labels.get(key, ""), -1) for key in keys]
    return Targets("classes", names, np.asarray(values, np.int64))


def response_targets(
    cache: PixelCache, names: Sequence[str], responses: Mapping[Key, Sequence[float]], rows: npt.NDArray[np.intp]
) -> Targets:
    """Make targets of numbers per (plate, well), standardised over the rows that train.

    Raises:
        DataError: a response that is the same everywhere, or no well with all of them.
    """
    absent = [float("nan")] * len(names)
    raw = np.asarray([responses.get((f.plate, f.well), absent) for f in cache.fields], np.float64)
    known = raw[rows][np.isfinite(raw[rows]).all(axis=1)]
    if not len(known):
        raise DataError(f"no well that can be used has a number for {', '.join(names)}")
    mean, spread = known.mean(axis=0), known.std(axis=0)
    if not spread.all():
        raise DataError(f"{names[int(np.argmin(spread))]} is the same in every well; there is nothing to learn")
    values = ((raw - mean) / spread).astype(np.float32)
    return Targets("response", tuple(names), values, tuple(mean.tolist()), tuple(spread.tolist()))


def balanced_weights(targets: Targets, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    """Weigh classes so that each counts alike and a field counts 1 on average; 0 for a class without fields."""
    counts = np.bincount(targets.values[rows], minlength=len(targets.names)).astype(np.float64)
    n_present = max(1, int((counts > 0).sum()))
    weights = np.divide(counts.sum() / n_present, counts, out=np.zeros_like(counts), where=counts > 0)
    return weights.astype(np.float32)
