"""The noun: what images say about some of the compounds of a library."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nextplate.errors import DataError

Values = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Profiles:
    """Image profiles of compounds, row i belonging to compound_ids[i]; a compound not listed has no profile.

    Raises:
        DataError: shapes differ, a compound or column occurs twice, a value is infinite, or a count column is not
            one of the columns.
    """

    compound_ids: tuple[str, ...]
    values: Values
    """Shape (n, len(names)), float32: e.g. well medians against the plate's negative control; NaN where missing."""
    names: tuple[str, ...]
    count_names: tuple[str, ...] = ()
    """Columns that say nothing but how many cells were left: the baseline every image result is shown beside."""

    def __post_init__(self) -> None:
        shape = (len(self.compound_ids), len(self.names))
        if self.values.shape != shape:
            raise DataError(
                f"the image profiles are {self.values.shape}; {shape[0]} ids and {shape[1]} names want {shape}"
            )
        for what, given in (("compound", self.compound_ids), ("column", self.names)):
            if len(set(given)) < len(given):
                twice = next(name for i, name in enumerate(given) if name in given[:i])
                raise DataError(f"image profiles name the {what} {twice!r} twice; give one row a compound (its median)")
        if strange := set(self.count_names) - set(self.names):
            raise DataError(
                f"{min(strange)!r} is to be a cell count, but no column is called so: {', '.join(self.names[:9])}"
            )
        if np.isinf(self.values).any():
            raise DataError(
                f"{int(np.isinf(self.values).sum())} values of the image profiles are infinite; leave them empty"
            )

    @property
    def counts_only(self) -> "Profiles":
        """The same compounds seen through their cell counts alone."""
        chosen = [self.names.index(name) for name in self.count_names]
        return replace(self, values=self.values[:, chosen], names=self.count_names)

    @property
    def digest(self) -> str:
        """sha256 over ids, names and values."""
        sha = hashlib.sha256("\n".join((*self.compound_ids, "", *self.names)).encode())
        sha.update(np.ascontiguousarray(self.values, dtype=np.float32).tobytes())
        return sha.hexdigest()

    def of(self, compound_ids: Sequence[str]) -> Values:
        """Return the profiles of compounds, shape (len(compound_ids), len(names)); NaN for one without."""
        place = {name: i for i, name in enumerate(self.compound_ids)}
        found = np.array([place.get(name, -1) for name in compound_ids], dtype=np.intp)
        out = np.full((len(found), len(self.names)), np.nan, dtype=np.float32)
        out[found >= 0] = self.values[found[found >= 0]]
        return out

    def named(self, compound_ids: Sequence[str], names: Sequence[str]) -> "Profiles":
        """Return the profiles of compounds that go by other names elsewhere; those without a profile are left out.

        Args:
            compound_ids: shape (n,), as the profiles call them; one may occur again.
            names: shape (n,), each once: what they are called elsewhere.
        """
        place = {name: i for i, name in enumerate(self.compound_ids)}
        pairs = [(place[own], name) for own, name in zip(compound_ids, names, strict=True) if own in place]
        rows = np.array([row for row, _ in pairs], dtype=np.intp)
        return replace(self, compound_ids=tuple(name for _, name in pairs), values=self.values[rows])


NO_PROFILES = Profiles((), np.empty((0, 0), dtype=np.float32), ())
