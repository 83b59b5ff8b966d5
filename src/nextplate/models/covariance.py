"""Covariance of compounds: the sum of six kernels on counted environments, atom pairs and descriptors.

For two compounds, with a and b the bits of their thermometer-coded counts (``Features.counts``, ``Features.pairs``):

- MinMax of environments and of atom pairs, |a & b| / |a | b| (Ralaivola et al., Neural Networks 2005, 18, 1093):
  alike as a whole;
- shared environments and shared pairs, |a & b| over the mean number of bits: a function that is a sum over
  substructures, as a docking score nearly is, is smooth in this one and grows with size, as it should;
- rational quadratic and linear in standardised descriptors (Rasmussen & Williams 2006, eqs. 4.19 and 2.1).

Each is positive semi-definite, so any sum with amplitudes that are not negative is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.chem.kernel import count_bits, tanimoto
from nextplate.chem.pages import release_pages
from nextplate.compound import Features
from nextplate.models.design import Rows

Floats = npt.NDArray[np.float32]
Packed = npt.NDArray[np.uint8]

COMPONENTS: tuple[str, ...] = (
    "minmax environments",
    "minmax pairs",
    "shared environments",
    "shared pairs",
    "descriptors",
    "linear descriptors",
)
ALL: tuple[int, ...] = tuple(range(len(COMPONENTS)))
_SAMPLE = 20_000
_OUTLIER = 6.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How descriptors are standardised, and how many bits a compound of the library sets on average."""

    centre: Floats
    """Shape (n_descriptors,)."""
    width: Floats
    """Shape (n_descriptors,), positive; infinite for a descriptor that does not vary."""
    n_bits: Floats
    """Shape (2,): of environments and of pairs."""


@dataclass(frozen=True, slots=True)
class Points:
    """Compounds as the covariance sees them."""

    counts: Packed
    pairs: Packed
    descriptors: Floats
    """Shape (n, n_descriptors), standardised, divided by the root of their number; 0 where undefined."""
    n_counts: Floats
    """Shape (n,): bits set in counts."""
    n_pairs: Floats

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, rows: Rows) -> "Points":
        return Points(
            self.counts[rows], self.pairs[rows], self.descriptors[rows], self.n_counts[rows], self.n_pairs[rows]
        )


def scale_of(features: Features) -> Scale:
    """Measure a library's scale on at most 20,000 of its compounds, evenly taken."""
    rows = slice(None, None, max(1, len(features.compound_ids) // _SAMPLE))
    values = np.asarray(features.descriptors[rows], dtype=np.float64)
    known = np.isfinite(values)
    n_known = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, values, 0).sum(axis=0) / n_known
    width = np.sqrt(np.where(known, (values - centre) ** 2, 0).sum(axis=0) / n_known)
    n_bits = [max(_mean_bits(features, packed, rows), 1.0) for packed in (features.counts, features.pairs)]
    return Scale(
        centre.astype(np.float32),
        np.where(width > 1e-9, width, np.inf).astype(np.float32),
        np.array(n_bits, dtype=np.float32),
    )


def _mean_bits(features: Features, packed: Packed, rows: slice) -> float:
    """Average the bits of some rows, from a tenth of the library to the next without keeping it mapped."""
    sampled = packed[rows]
    step = max(1, -(-len(sampled) // 10))
    total = 0
    for start in range(0, len(sampled), step):
        total += int(count_bits(np.ascontiguousarray(sampled[start : start + step])).sum())
        release_pages(features)
    return total / max(len(sampled), 1)


def points_of(features: Features, scale: Scale, rows: Rows) -> Points:
    """Look up compounds of a library."""
    counts, pairs = np.ascontiguousarray(features.counts[rows]), np.ascontiguousarray(features.pairs[rows])
    z = (np.asarray(features.descriptors[rows], dtype=np.float32) - scale.centre) / scale.width
    z = np.where(np.isfinite(z), np.clip(z, -_OUTLIER, _OUTLIER), np.float32(0))
    return Points(
        counts,
        pairs,
        z / np.float32(np.sqrt(max(1, z.shape[1]))),
        count_bits(counts).astype(np.float32),
        count_bits(pairs).astype(np.float32),
    )


def components(a: Points, b: Points, scale: Scale, wanted: Sequence[int] = ALL) -> Iterator[tuple[int, Floats]]:
    """Yield the wanted kernels between two sets, each with its place in ``COMPONENTS``, shape (len(a), len(b))."""
    bits = ((a.counts, b.counts, a.n_counts, b.n_counts), (a.pairs, b.pairs, a.n_pairs, b.n_pairs))
    for i, (a_bits, b_bits, n_a, n_b) in enumerate(bits):
        if not {i, i + 2} & {*wanted}:
            continue
        similarity = tanimoto(a_bits, b_bits)
        if i + 2 in wanted:
            # |a & b| back from the ratio t: t (|a| + |b|) / (1 + t).
            yield i + 2, similarity / (1 + similarity) * ((n_a[:, None] + n_b[None, :]) / scale.n_bits[i])
        if i in wanted:
            yield i, similarity
    if {4, 5} & {*wanted}:
        inner = a.descriptors @ b.descriptors.T
        squares = (a.descriptors**2).sum(axis=1)[:, None] + (b.descriptors**2).sum(axis=1)[None, :]
        yield from ((4, 1 / (1 + np.maximum(squares - 2 * inner, 0) / 2)), (5, inner))


def covariance(a: Points, b: Points, scale: Scale, amplitudes: npt.NDArray[np.float64]) -> Floats:
    """Sum the kernels between two sets, shape (len(a), len(b)); those of amplitude 0 are not computed."""
    total = np.zeros((len(a), len(b)), dtype=np.float32)
    for i, part in components(a, b, scale, np.flatnonzero(amplitudes).tolist()):
        part *= np.float32(amplitudes[i])
        total += part
    return total


def own_variance(a: Points, scale: Scale, amplitudes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give the covariance of each compound with itself, shape (len(a),)."""
    alike = (a.n_counts > 0, a.n_pairs > 0, a.n_counts / scale.n_bits[0], a.n_pairs / scale.n_bits[1])
    parts = np.stack([*alike, np.ones(len(a)), (a.descriptors.astype(np.float64) ** 2).sum(axis=1)])
    total: npt.NDArray[np.float64] = amplitudes @ parts
    return total
