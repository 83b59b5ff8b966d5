"""Profiles on the scale of what varies without a reason: whitening on negative controls, across plates and batches.

Typical variation normalisation (Ando, McLean, Berndl 2017, doi 10.1101/161422): what differs among wells that hold
nothing is noise, so its directions are shrunk to unit variance; then the covariance of each batch's controls is made
that of all (CORAL, Sun, Feng, Saenko 2016, doi 10.1609/aaai.v30i1.10306). Whitening is ZCA on the correlation matrix
(Kessy, Lewin, Strimmer 2018, doi 10.1080/00031305.2016.1277159): W = P^-1/2 V^-1/2, the whitened feature that stays
closest to the standardised one. With fewer controls than features P is shrunk towards the identity.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.assay.spatial import Bools
from nextplate.errors import DataError

Profiles = npt.NDArray[np.float64]
"""Shape (wells, features), finite."""
_FEWEST = 3
_SINGULAR = "the controls' correlation matrix is singular: give more shrinkage, controls or fewer features"


@dataclass(frozen=True, slots=True)
class Sphering:
    """A linear map under which the controls have mean 0 and, but for the shrinkage, covariance 1."""

    mean: npt.NDArray[np.float64]
    """Shape (features,)."""
    matrix: npt.NDArray[np.float64]
    """Shape (features, features); whitened = (profiles - mean) @ matrix."""
    shrinkage: float
    """Weight of the identity in the correlation matrix, 0 to 1."""

    def apply(self, profiles: Profiles) -> Profiles:
        """Return whitened profiles, shape as given."""
        return np.asarray((profiles - self.mean) @ self.matrix)


def fit_sphering(controls: Profiles, shrinkage: float | None = None) -> Sphering:
    """Learn the map from control wells.

    Args:
        controls: shape (n, features).
        shrinkage: weight of the identity, 0 to 1; None: the least expected squared error, estimated from the
            controls by `shrinkage_of`.

    Raises:
        DataError: fewer than three controls, values that are not finite, a constant feature, or 0 shrinkage where the
            correlation matrix cannot be inverted.
    """
    _check(controls)
    mean, sd = controls.mean(axis=0), controls.std(axis=0, ddof=1)
    constant = np.flatnonzero(sd <= 1e-12 * np.maximum(np.abs(mean), 1e-300))
    if len(constant):
        raise DataError(f"feature {constant[0]} is constant in the controls; select features first")
    z = (controls - mean) / sd
    weight = shrinkage_of(z) if shrinkage is None else shrinkage
    return Sphering(mean, shrunk_inverse_root(z, weight) / sd[:, None], weight)


def shrunk_inverse_root(z: Profiles, weight: float) -> Profiles:
    """Return ((1 - weight) z'z / (n - 1) + weight I)^-1/2 for standardised z, shape (n, features).

    With fewer wells than features all but n eigenvalues are the weight itself, so the n of z's own singular values do.

    Raises:
        DataError: as `inverse_root`.
    """
    n, n_features = z.shape
    if n >= n_features:
        return inverse_root((1 - weight) * (z.T @ z) / (n - 1) + weight * np.eye(n_features))
    _, singular, directions = np.linalg.svd(z, full_matrices=False)
    values = (1 - weight) * singular**2 / (n - 1) + weight
    if weight <= 1e-10 * values[0]:
        raise DataError(_SINGULAR)
    gain = 1 / np.sqrt(values) - 1 / np.sqrt(weight)
    return np.asarray((directions.T * gain) @ directions + np.eye(n_features) / np.sqrt(weight))


def shrinkage_of(z: Profiles) -> float:
    """Estimate the best weight of the identity: sum Var(r_ij) / sum r_ij^2 over i != j, at most 1.

    Schäfer and Strimmer 2005, doi 10.2202/1544-6115.1175, for standardised z of shape (n, features):
    Var(r_ij) = n / (n - 1)^3 sum_k (w_kij - mean_k w_kij)^2, w_kij = z_ki z_kj.
    """
    n = len(z)
    product = z.T @ z
    variance = n / (n - 1) ** 3 * ((z**2).T @ z**2 - product**2 / n)
    r = product / (n - 1)
    np.fill_diagonal(variance, 0.0)
    np.fill_diagonal(r, 0.0)
    total = float((r**2).sum())
    return min(1.0, max(0.0, float(variance.sum()) / total)) if total > 0 else 1.0


def inverse_root(matrix: Profiles) -> Profiles:
    """Return the symmetric inverse square root of a positive definite matrix.

    Raises:
        DataError: the matrix is singular; more shrinkage or fewer features are needed.
    """
    values, vectors = np.linalg.eigh(matrix)
    if values[0] <= 1e-10 * values[-1]:
        raise DataError(_SINGULAR)
    return np.asarray((vectors / np.sqrt(values)) @ vectors.T)


def sphere(
    profiles: Profiles,
    is_control: Bools,
    batch: Sequence[str],
    *,
    shrinkage: float | None = None,
    aligns: bool = True,
) -> Profiles:
    """Centre each batch on its controls, whiten on the controls of all, then align the batches' covariances.

    Args:
        profiles: shape (n, features); features must have been selected, all finite.
        is_control: shape (n,), the negative controls.
        batch: name of each well's plate or batch.
        shrinkage: as in `fit_sphering`, for both steps.
        aligns: False leaves CORAL out; it wants about as many controls in each batch as there are features.

    Raises:
        DataError: as `fit_sphering`; the batch is named.
    """
    names, code = np.unique(np.asarray(batch, dtype=np.str_), return_inverse=True)
    centred = np.empty_like(profiles)
    for i, name in enumerate(names):
        controls = profiles[is_control & (code == i)]
        if len(controls) < _FEWEST:
            raise DataError(f"batch {name}: {len(controls)} controls, {_FEWEST} are needed to centre it")
        centred[code == i] = profiles[code == i] - np.median(controls, axis=0)
    white = fit_sphering(centred[is_control], shrinkage).apply(centred)
    return _aligned(white, is_control, names, code, shrinkage) if aligns and len(names) > 1 else white


def _aligned(
    white: Profiles,
    is_control: Bools,
    names: npt.NDArray[np.str_],
    code: npt.NDArray[np.int64],
    shrinkage: float | None,
) -> Profiles:
    """CORAL on whitened controls: the covariance of all is about 1, so each batch is whitened once more."""
    out = np.empty_like(white)
    for i, name in enumerate(names):
        mine = code == i
        try:
            out[mine] = fit_sphering(white[mine & is_control], shrinkage).apply(white[mine])
        except DataError as error:
            raise DataError(f"batch {name}: {error}") from error
    return out


def _check(controls: Profiles) -> None:
    if controls.ndim != 2 or len(controls) < _FEWEST:
        raise DataError(f"controls of shape {controls.shape}: at least {_FEWEST} wells by features are needed")
    if not np.isfinite(controls).all():
        raise DataError("the controls hold values that are not finite; select features first")
