"""Several endpoints: a belief for each, and the probability that a compound satisfies two of them at once."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, roots_legendre

from nextplate.compound import Features
from nextplate.conformal import calibrate, hit_probability
from nextplate.errors import ModelError
from nextplate.models.crossing import fit_and_cross
from nextplate.models.funnel import N_LOT, N_PASSED, Funnelled, narrowed, predict_all, predict_chosen
from nextplate.models.kinds import Kind, kind_of

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

_FEWEST_SHARED = 20
# Twelve points are exact to 1e-7 up to a correlation of 0.9, which the correlation is kept within.
_NODES, _WEIGHTS = roots_legendre(12)
_HIGHEST = 0.9


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Labels of one endpoint, and what of it is wanted."""

    name: str
    rows: Index
    """Shape (n,): rows of the library that are labelled."""
    y: FloatArray
    """Shape (n,): higher is better; for viability the viability, for toxicity its negative."""
    threshold: float
    """A value that reaches it satisfies the endpoint; not read of 0/1 labels."""
    kind: str = "lightgbm"
    """A name in KINDS."""
    weight: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Believed:
    """What is believed about one endpoint."""

    endpoint: Endpoint
    belief: Any
    mean: FloatArray
    """Shape (n_compounds,)."""
    spread: FloatArray
    """Shape (n_compounds,)."""
    p_satisfied: FloatArray
    """Shape (n_compounds,): calibrated probability that the threshold is reached; of 0/1 labels the mean."""
    residual: FloatArray
    """Shape (len(rows),): label less its out-of-fold prediction."""
    notes: tuple[str, ...] = ()
    """Of the prediction in two stages, where it was."""
    beside: Funnelled | None = None
    """Of the endpoint beside it, its predictions; in_full says what both were predicted in full."""


def believe(
    features: Features,
    endpoint: Endpoint,
    seed: int = 0,
    *,
    beside: Funnelled | None = None,
    n_passed: int = N_PASSED,
    n_lot: int = N_LOT,
) -> Believed:
    """Fit a belief of one endpoint, and predict a large library in two stages where its kind is dear.

    Args:
        features: of the library.
        endpoint: its labels.
        seed: of the belief.
        beside: predictions of an endpoint that this one is weighed against: what was predicted in full of it is so
            here. Where all was, and this kind is dear, the best of it and a lot are, and only they may be compared:
            ``Believed.beside`` says which. None: this endpoint has a funnel of its own.
        n_passed: as ``models.funnel.predict_all``.
        n_lot: likewise.

    Raises:
        ModelError: as the kind's fit.
    """
    kind, y = kind_of(endpoint.kind), np.asarray(endpoint.y, dtype=np.float64)
    belief, *unseen = fit_and_cross(kind, features, endpoint.rows, y, endpoint.weight, seed)

    def fit(screen: Kind) -> Any:
        return screen.fit(features, endpoint.rows, y, endpoint.weight, seed)

    if beside is None:
        said = predict_all(kind, belief, features, fit, seed=seed, n_passed=n_passed, n_lot=n_lot)
        mean, spread, notes = said.mean, said.spread, said.notes
    else:
        beside, told = narrowed(beside, kind, belief, seed=seed, n_passed=n_passed, n_lot=n_lot)
        mean, spread, notes = predict_chosen(kind, belief, features, fit, beside.in_full)
        notes = (*told, *notes)
    return replace(judged(endpoint, belief, (mean, spread), (unseen[0], unseen[1])), notes=notes, beside=beside)


def judged(
    endpoint: Endpoint, belief: Any, everywhere: tuple[FloatArray, FloatArray], unseen: tuple[FloatArray, FloatArray]
) -> Believed:
    """Tell how probably each compound satisfies an endpoint, of a belief that was fitted already.

    Args:
        endpoint: what it was fitted to.
        belief: of the endpoint's kind.
        everywhere: mean and spread of the library, each shape (n_compounds,).
        unseen: mean and spread of the labelled without their own label, each shape (len(rows),).
    """
    y = np.asarray(endpoint.y, dtype=np.float64)
    mean, spread = everywhere
    p = mean
    if not np.isin(y, (0.0, 1.0)).all():
        p = hit_probability(calibrate(*unseen, y), mean, spread, endpoint.threshold)
    # where nothing calibrates, nothing is known
    p = np.where(np.isnan(p), 0.5, p)
    return Believed(endpoint, belief, mean, spread, p, y - unseen[0])


def residual_correlation(a: Believed, b: Believed) -> float:
    """Return how the errors of two endpoints go together, on the compounds measured for both.

    Shrunk by n / (n + 20) for its own error and kept within +-0.9; 0 with fewer than 20 compounds in common.
    """
    of_b = {int(row): value for row, value in zip(b.endpoint.rows, b.residual, strict=True) if np.isfinite(value)}
    pairs = [
        (value, of_b[int(row)])
        for row, value in zip(a.endpoint.rows, a.residual, strict=True)
        if np.isfinite(value) and int(row) in of_b
    ]
    x, y = np.array(pairs).reshape(-1, 2).T
    if len(x) < _FEWEST_SHARED or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    found = float(np.corrcoef(x, y)[0, 1]) * len(x) / (len(x) + _FEWEST_SHARED)
    return float(np.clip(found, -_HIGHEST, _HIGHEST))


def probability_of_both(a: npt.ArrayLike, b: npt.ArrayLike, correlation: float = 0.0) -> FloatArray:
    """Return the probability of two conditions at once, by a Gaussian copula over their own probabilities.

    The integral over the correlation of the bivariate normal density (Drezner and Wesolowsky 1990), by
    Gauss-Legendre quadrature.

    Args:
        a: shape (n,): probability of the one, e.g. active.
        b: shape (n,): of the other, e.g. viable.
        correlation: of the errors, from ``residual_correlation``; 0 multiplies.

    Returns:
        Shape (n,), between max(0, a + b - 1) and min(a, b).

    Raises:
        ModelError: the correlation is not between -0.9 and 0.9.
    """
    p, q = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if not -_HIGHEST <= correlation <= _HIGHEST:
        raise ModelError(f"a correlation of {correlation}; it lies between -{_HIGHEST} and {_HIGHEST}")
    both = p * q
    if correlation:
        h, k = (np.clip(ndtri(x), -8.0, 8.0) for x in (p, q))
        end = np.arcsin(correlation)
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            angle = end * (node + 1) / 2
            exponent = -(h * h + k * k - 2 * h * k * np.sin(angle)) / (2 * np.cos(angle) ** 2)
            both = both + weight * end / 2 * np.exp(exponent) / (2 * np.pi)
    return np.clip(both, np.maximum(p + q - 1, 0.0), np.minimum(p, q))
