"""What may come in: checks shared by every function of this room."""

import numpy as np
import numpy.typing as npt

from nextplate.errors import DataError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]
Names = npt.NDArray[np.str_]


def vector(values: npt.ArrayLike, what: str, n: int | None = None) -> FloatArray:
    """Make a one-dimensional array of finite numbers.

    Args:
        values: shape (n,).
        what: name in the message.
        n: length asked for; None takes any.

    Raises:
        DataError: another shape, or a value is NaN or infinite.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what}: not numbers ({error})") from error
    if array.ndim != 1 or (n is not None and len(array) != n):
        expected = "(n,)" if n is None else f"({n},)"
        raise DataError(f"{what}: shape {array.shape}, where {expected} is needed")
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise DataError(
            f"{what}: {len(bad)} of {len(array)} values are not finite, the first {array[bad[0]]} in row {bad[0]}; "
            "leave these rows out"
        )
    return array


def flags(values: npt.ArrayLike, what: str, n: int | None = None) -> BoolArray:
    """Make a boolean vector of values that are 0, 1, False or True; else DataError."""
    array = vector(values, what, n)
    other = array[(array != 0) & (array != 1)]
    if len(other):
        raise DataError(f"{what}: holds {other[0]:g}; only 0 and 1 (not a hit, a hit) are allowed")
    is_set: BoolArray = array == 1
    return is_set


def table(values: npt.ArrayLike, what: str, n_columns: int | None = None) -> FloatArray:
    """Make a (n, d) array of finite numbers; a vector becomes one column; else DataError."""
    array = np.asarray(values, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or (n_columns is not None and array.shape[1] != n_columns):
        raise DataError(f"{what}: shape {array.shape}, where (n, {n_columns or 'd'}) is needed")
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise DataError(f"{what}: row {row} holds a NaN or an infinite value; leave it out")
    return array


def names(values: npt.ArrayLike, what: str, n: int) -> Names:
    """Make a vector of n category names; an empty name is a category like any other; else DataError."""
    array = np.asarray(values).astype(np.str_)
    if array.shape != (n,):
        raise DataError(f"{what}: shape {array.shape}; give one category for each of {n} rows")
    return array


def check_level(level: float, what: str = "level") -> None:
    """Raise DataError unless 0 < level < 1."""
    if not 0 < level < 1:
        raise DataError(f"{what} is {level}; it must lie between 0 and 1, e.g. 0.9")
