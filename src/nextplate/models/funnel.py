"""Two stages for libraries of millions: a cheap belief asked about all, a dear one about the best of them.

What a plate is picked from are the best few thousand of a library; a belief whose prediction costs a comparison with
every label (a Gaussian process on thousands of them) need not be asked about the rest. The first stage passes what
may be good, by mean plus spread, not what is surely good. Whether it passed enough is told from what passed: if the
second stage finds its best among the last to pass, better ones may have been held back, and the notes say so.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.compound import Features
from nextplate.models.crossing import predict_library, predict_rows
from nextplate.models.kinds import FloatArray, Index, Kind

N_PASSED = 100_000
_PLATE = 384
_LAST = 0.1
_FEW = 0.02


@dataclass(frozen=True, slots=True)
class Funnelled:
    """Predictions in two stages."""

    mean: FloatArray
    """Shape (n,): of the second belief where it was asked, else of the first."""
    spread: FloatArray
    """Shape (n,), likewise."""
    passed: Index
    """Shape (m,), ascending: rows about which the second was asked."""
    notes: tuple[str, ...]
    """How many were passed, and whether that was enough."""


def predict_in_two_stages(
    screen: tuple[Kind, Any], final: tuple[Kind, Any], features: Features, *, n_passed: int = N_PASSED
) -> Funnelled:
    """Predict a library by one belief, and the best of it by another.

    Args:
        screen: a cheap kind and its belief, e.g. lightgbm.
        final: a dear kind and its belief, of the same labels.
        features: of the library.
        n_passed: how many compounds the second is asked about; where the library holds no more, only it is asked.

    Returns:
        The predictions. Intervals calibrated for the second belief hold for the compounds passed only.

    Raises:
        ModelError: the library's features are others than those the beliefs were fitted on.
    """
    n = len(features.compound_ids)
    if n <= n_passed:
        return Funnelled(*predict_library(*final, features), np.arange(n), ())
    mean, spread = predict_library(*screen, features)
    hope = mean + spread
    passed = np.sort(np.argpartition(-hope, n_passed - 1)[:n_passed])
    order = np.argsort(np.argsort(-hope[passed], kind="stable"), kind="stable")
    mean[passed], spread[passed] = predict_rows(*final, features, passed)
    told = f"two stages: all {n} compounds screened, the best {n_passed} predicted in full"
    return Funnelled(mean, spread, passed, (told, *_too_narrow(mean[passed], order)))


def _too_narrow(mean: FloatArray, order: npt.NDArray[np.intp]) -> tuple[str, ...]:
    """Say where the best came from; ``order`` is the first stage's, 0 for its best."""
    n_best = min(_PLATE, max(1, len(mean) // 10))
    best = np.argpartition(-mean, n_best - 1)[:n_best]
    n_last = int((order[best] >= (1 - _LAST) * len(mean)).sum())
    if n_last <= _FEW * n_best:
        return ()
    return (
        f"two stages: {n_last} of the {n_best} best are among the last tenth that passed the first stage, so better "
        "ones may have been held back; pass more",
    )
