"""Two stages for libraries of millions: a cheap belief asked about all, a dear one about the best of them.

What a plate is picked from are the best few thousand of a library; a belief whose prediction costs a comparison with
every label (a Gaussian process on thousands of them) need not be asked about the rest. A kind that is so dear names
the kinds that may screen for it (``SCREENS``). The first stage passes what may be good, by mean plus spread, not what
is surely good.

A lot drawn from the whole library is asked about in full as well, whatever the screen says of it. It serves twice.
Picks by lot come from it: a lot of a lot is as even a draw from the library as any, and what was predicted of it is
comparable with what was predicted of the rest, which the calibration needs. And those of it that did not pass tell
what the screen is worth: how wide its spread must be to cover what the second belief would have said, and whether
better ones were held back.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.compound import Features
from nextplate.models.crossing import predict_library, predict_rows
from nextplate.models.kinds import FloatArray, Index, Kind, kind_of, screens

Mask = npt.NDArray[np.bool_]

N_PASSED = 100_000
N_LOT = 2_000
_PLATE = 384
_LAST, _FEW = 0.1, 0.02
# Fewer compounds than these that did not pass say too little of those that did not.
_FEWEST_OUTSIDE = 30


@dataclass(frozen=True, slots=True)
class Funnelled:
    """Predictions in two stages, or in one where that is enough."""

    mean: FloatArray
    """Shape (n,): of the second belief where it was asked, else of the first."""
    spread: FloatArray
    """Shape (n,), likewise; of the first so widened that it covers what the second would have said."""
    in_full: Mask
    """Shape (n,): predicted by the second belief: those that passed and those drawn by lot."""
    by_lot: Mask
    """Shape (n,): drawn by lot from the whole library; all of it where all are predicted in full."""
    notes: tuple[str, ...]
    """How many were passed, and whether that was enough."""


@dataclass(frozen=True, slots=True)
class Screen:
    """The cheap belief of the first stage."""

    name: str
    kind: Kind
    belief: Any


def predict_all(
    kind: Kind,
    belief: Any,
    features: Features,
    fit: Callable[[Kind], Any],
    *,
    seed: int = 0,
    n_passed: int = N_PASSED,
    n_lot: int = N_LOT,
) -> Funnelled:
    """Predict a library, in two stages where the kind is dear and the library holds more than n_passed.

    Args:
        kind: of belief.
        belief: as the kind fitted it.
        features: of the library.
        fit: fits a kind to the same labels; asked for a screen where the belief has none to lend.
        seed: of the lot.
        n_passed: how many compounds a dear belief is asked about.
        n_lot: how many are drawn by lot, and asked about as well.

    Raises:
        ModelError: as ``fit``; the library's features are others than those the belief was fitted on.
    """
    n = len(features.compound_ids)
    if n <= n_passed or not _is_dear(kind, belief):
        everyone = np.ones(n, dtype=bool)
        return Funnelled(*predict_library(kind, belief, features), everyone, everyone, ())
    screen = screen_of(kind, belief, fit)
    return predict_in_two_stages(screen, (kind, belief), features, seed=seed, n_passed=n_passed, n_lot=n_lot)


def _is_dear(kind: Kind, belief: Any) -> bool:
    """Tell whether a belief is dear to ask; a stack that leans on one kind alone is as dear as that kind."""
    used = [name for name, (_, weight) in _stacked(belief).items() if weight > 0]
    return bool(screens(kind_of(used[0]) if len(used) == 1 else kind, belief.learned.n_labels))


def _stacked(belief: Any) -> dict[str, tuple[Any, float]]:
    """Give the members of a stack and their weights by kind; nothing of a belief that is no stack."""
    if not (hasattr(belief, "members") and hasattr(belief, "weights")):
        return {}
    pairs = zip(belief.members, belief.weights, strict=True)
    return dict(zip(belief.kinds, pairs, strict=True))


def predict_chosen(
    kind: Kind, belief: Any, features: Features, fit: Callable[[Kind], Any], in_full: Mask
) -> tuple[FloatArray, FloatArray, tuple[str, ...]]:
    """Predict in full what another belief's funnel let through, and screen the rest where the kind is dear.

    Args:
        kind: of belief.
        belief: as the kind fitted it.
        features: of the library.
        fit: fits a kind to the same labels; asked for a screen where the belief has none to lend.
        in_full: shape (n,): compounds that are predicted in full whatever the kind.

    Returns:
        mean and spread, each shape (n,), the screen's spread so widened that it covers what the belief would have
        said; and how many were predicted in full, unless all were.

    Raises:
        ModelError: as ``fit``; the library's features are others than those the belief was fitted on.
    """
    if in_full.all() or not _is_dear(kind, belief):
        return *predict_library(kind, belief, features), ()
    screen = screen_of(kind, belief, fit)
    mean, spread = predict_library(screen.kind, screen.belief, features)
    asked = np.flatnonzero(in_full)
    said = predict_rows(kind, belief, features, asked)
    spread *= _wider(mean[asked], spread[asked], *said)
    mean[asked], spread[asked] = said
    return mean, spread, (f"two stages: {len(asked):,} of {len(mean):,} compounds predicted in full",)


def screen_of(kind: Kind, belief: Any, fit: Callable[[Kind], Any]) -> Screen:
    """Find a screen for a dear belief: a member of its own if it has one of the kinds it names, else a new one.

    Of several members the one of most weight is taken, of equal weights the one named first.

    Args:
        kind: dear: it names SCREENS.
        belief: of that kind.
        fit: fits a kind to the same labels.
    """
    names, own = screens(kind, belief.learned.n_labels), _stacked(belief)
    lent = [name for name in names if name in own]
    if not lent:
        return Screen(names[0], kind_of(names[0]), fit(kind_of(names[0])))
    best = max(lent, key=lambda name: own[name][1])
    return Screen(best, kind_of(best), own[best][0])


def predict_in_two_stages(
    screen: Screen,
    final: tuple[Kind, Any],
    features: Features,
    *,
    seed: int = 0,
    n_passed: int = N_PASSED,
    n_lot: int = N_LOT,
) -> Funnelled:
    """Predict a library by one belief, and the best of it and a lot by another.

    Args:
        screen: a cheap kind and its belief, e.g. lightgbm.
        final: a dear kind and its belief, of the same labels.
        features: of the library, of more than n_passed compounds.
        seed: of the lot.
        n_passed: how many compounds pass the screen.
        n_lot: how many are drawn by lot; all where the library holds fewer.

    Returns:
        The predictions. Intervals calibrated for the second belief hold for the compounds predicted in full only.

    Raises:
        ModelError: the library's features are others than those the beliefs were fitted on.
    """
    n = len(features.compound_ids)
    mean, spread = predict_library(screen.kind, screen.belief, features)
    hope = mean + spread
    has_passed, by_lot = _let_through(hope, seed, n_passed, n_lot)
    asked = np.flatnonzero(has_passed | by_lot)
    screened = mean[asked], spread[asked]
    said = predict_rows(*final, features, asked)
    is_outside = ~has_passed[asked]
    judged = is_outside if is_outside.sum() >= _FEWEST_OUTSIDE else np.ones(len(asked), dtype=bool)
    wider = _wider(*(values[judged] for values in (*screened, *said)))
    spread *= wider
    mean[asked], spread[asked] = said
    told = (
        f"two stages: all {n:,} compounds screened by {screen.name}, the best {n_passed:,} and "
        f"{int(is_outside.sum()):,} by lot predicted in full; the rest keep the screen's mean, and its spread times "
        f"{wider:.2f}: intervals and picks other than by lot are of those predicted in full"
    )
    best = _best_of(said[0][~is_outside])
    notes = (told, *_last_to_pass(hope[asked][~is_outside], best), *_held_back(said[0], is_outside, best, n - n_passed))
    return Funnelled(mean, spread, has_passed | by_lot, by_lot, notes)


def _let_through(hope: FloatArray, seed: int, n_passed: int, n_lot: int) -> tuple[Mask, Mask]:
    """Mark the best of a library, and a lot of it all; each of shape (n,)."""
    n = len(hope)
    has_passed, by_lot = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    has_passed[np.argpartition(-hope, n_passed - 1)[:n_passed]] = True
    by_lot[np.random.default_rng([seed, 7]).choice(n, min(n_lot, n), replace=False)] = True
    return has_passed, by_lot


def narrowed(
    said: Funnelled, kind: Kind, belief: Any, *, seed: int = 0, n_passed: int = N_PASSED, n_lot: int = N_LOT
) -> tuple[Funnelled, tuple[str, ...]]:
    """Choose what a second endpoint is predicted in full of, where the first was of all and the second is dear.

    What both are compared by has to be predicted in full of both, and the best of the first is what may be picked.

    Args:
        said: predictions of the first endpoint; returned as they are where two stages served them already, or where
            the second endpoint can be asked about all.
        kind: of the second endpoint's belief.
        belief: of the second endpoint.
        seed: of the lot.
        n_passed: as ``predict_all``.
        n_lot: likewise.
    """
    n = len(said.mean)
    if not said.in_full.all() or n <= n_passed or not _is_dear(kind, belief):
        return said, ()
    has_passed, by_lot = _let_through(said.mean + said.spread, seed, n_passed, n_lot)
    note = (
        f"two stages: of {n:,} compounds the best {n_passed:,} by the endpoint beside it and {n_lot:,} by lot are "
        "predicted in full of both: picks other than by lot are of those"
    )
    return replace(said, in_full=has_passed | by_lot, by_lot=by_lot), (note,)


def _wider(mean: FloatArray, spread: FloatArray, full_mean: FloatArray, full_spread: FloatArray) -> float:
    """Say how many times wider the screen's spread must be to hold what the second belief says, and its spread."""
    needed = float(np.mean((full_mean - mean) ** 2 + full_spread**2))
    had = float(np.mean(spread**2))
    return max(1.0, float(np.sqrt(needed / had))) if had > 0 else 1.0


@dataclass(frozen=True, slots=True)
class _Best:
    rows: Index
    """Of those that passed."""
    edge: float
    """The least of their means."""


def _best_of(mean: FloatArray) -> _Best:
    """Take a plate of the best that passed, at most a tenth of them."""
    n_best = min(_PLATE, max(1, len(mean) // 10))
    rows = np.argpartition(-mean, n_best - 1)[:n_best]
    return _Best(rows, float(mean[rows].min()))


def _last_to_pass(hope: FloatArray, best: _Best) -> tuple[str, ...]:
    """Say so where the best stood among the last that the screen passed; ``hope`` is the screen's, of those."""
    order = np.argsort(np.argsort(-hope, kind="stable"), kind="stable")
    n_last, n_best = int((order[best.rows] >= (1 - _LAST) * len(hope)).sum()), len(best.rows)
    if n_last <= _FEW * n_best:
        return ()
    return (
        f"two stages: {n_last} of the {n_best} best are among the last tenth that passed the first stage, so better "
        "ones may have been held back; pass more (belief.n_passed)",
    )


def _held_back(mean: FloatArray, is_outside: Mask, best: _Best, n_not_passed: int) -> tuple[str, ...]:
    """Say so where compounds drawn by lot that did not pass are as good as the best that did."""
    n_good, n_drawn = int((mean[is_outside] > best.edge).sum()), int(is_outside.sum())
    if n_good == 0:
        return ()
    return (
        f"two stages: {n_good} of {n_drawn:,} drawn by lot among those not passed are as good as the best "
        f"{len(best.rows)}, so about {round(n_good * n_not_passed / n_drawn):,} were held back; pass more "
        "(belief.n_passed)",
    )
