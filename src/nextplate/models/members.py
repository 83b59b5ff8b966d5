"""Networks in numbers: an ensemble's members are trained side by side, as one stack of weights.

Every parameter has a leading axis of members, so one matrix product serves them all; each member sees its own part of
the rows and stops at its own best epoch on the rest. Adam works weight by weight, so that what a member learns does
not depend on the others. Loss: the negative log likelihood of a normal with a variance of its own at each compound
(Nix & Weigend 1994; Lakshminarayanan et al. 2017), or cross entropy of 0/1 labels.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.errors import ModelError

FloatArray = npt.NDArray[np.float64]
Weights = Mapping[str, npt.NDArray[np.float32]]
"""By name, each with a leading axis of members."""
Index = npt.NDArray[np.intp]

# A variance below this share of the labels' own is not believed: no well repeats so well.
_LEAST_VARIANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Schedule:
    """How members are trained."""

    n_members: int
    batch: int
    """Compounds a step."""
    learning_rate: float
    decay: float
    """AdamW's decoupled weight decay (Loshchilov & Hutter 2019)."""
    n_epochs: int
    """At most."""
    patience: int
    """Epochs without a better held-out loss after which a member has stopped."""
    held_out: float
    """Share of the labelled compounds that stops a member, another share for each."""


def import_torch(kind: str) -> Any:
    """Import torch when it is first needed.

    Raises:
        ModelError: it is not installed; names the extra.
    """
    try:
        import torch
    except ImportError as error:
        raise ModelError(
            f"a belief of kind {kind!r} needs torch, which is not installed: pip install 'nextplate[deep]', "
            "or choose another kind"
        ) from error
    return torch


def held_out_rows(
    y: FloatArray, compounds: Index, schedule: Schedule, rng: np.random.Generator, *, is_binary: bool
) -> Any:
    """Choose each member's held-out rows, shape (n_members, n), True where held out.

    A compound is held out with all its replicates, and hits and non-hits in equal shares.
    """
    names, compound = np.unique(compounds, return_inverse=True)
    is_hit = np.zeros(len(names), dtype=bool)
    if is_binary:
        is_hit[compound[y == 1]] = True
    out = np.zeros((schedule.n_members, len(names)), dtype=bool)
    for member in range(schedule.n_members):
        for part in (np.flatnonzero(is_hit), np.flatnonzero(~is_hit)):
            n = round(schedule.held_out * len(part)) if len(part) > 3 else 0
            out[member, rng.permutation(part)[:n]] = True
    return out[:, compound]


def train(
    forward: Callable[[Mapping[str, Any], Index], Any],
    start: Weights,
    y: FloatArray,
    weight: FloatArray,
    schedule: Schedule,
    rng: np.random.Generator,
    *,
    compounds: Index,
    is_binary: bool,
) -> Weights:
    """Train an ensemble.

    Args:
        forward: gives of weights and of rows (positions in y) the outputs, shape (n_members, len(rows), 2 or 1).
        start: the first weights; names ending in 'bias' do not decay.
        y: shape (n,): standardised labels, or 0/1.
        weight: shape (n,): of the labels, mean 1.
        schedule: of the training.
        rng: of held-out rows and batches.
        compounds: shape (n,): replicates share a number.
        is_binary: cross entropy; else the normal likelihood.

    Returns:
        Each member's weights at its best epoch.
    """
    torch = import_torch("deep")
    held = held_out_rows(y, compounds, schedule, rng, is_binary=is_binary)
    target = torch.from_numpy(y.astype(np.float32))
    use, check = (torch.from_numpy((weight * part).astype(np.float32)) for part in (~held, held))
    weights = {name: torch.from_numpy(value.copy()).requires_grad_() for name, value in start.items()}
    optimiser = _optimiser(torch, weights, schedule)
    best = {name: value.detach().clone() for name, value in weights.items()}
    least, since = torch.full((schedule.n_members,), torch.inf), 0
    for _ in range(schedule.n_epochs):
        for rows in batches(len(y), schedule.batch, rng):
            at = torch.from_numpy(rows)
            loss, _ = _loss(torch, forward(weights, rows), target[at], is_binary)
            optimiser.zero_grad(set_to_none=True)
            _mean(loss, use[:, at]).sum().backward()
            optimiser.step()
        with torch.no_grad():
            _, loss = _loss(torch, forward(weights, np.arange(len(y))), target, is_binary)
            judged = _mean(loss, check)
        better = judged < least
        least = torch.where(better, judged, least)
        for name, value in weights.items():
            best[name][better] = value.detach()[better]
        since = 0 if bool(better.any()) else since + 1
        if since >= schedule.patience:
            break
    return {name: value.numpy() for name, value in best.items()}


def _optimiser(torch: Any, weights: Mapping[str, Any], schedule: Schedule) -> Any:
    decaying = [value for name, value in weights.items() if not name.endswith("bias")]
    plain = [value for name, value in weights.items() if name.endswith("bias")]
    groups = [{"params": decaying, "weight_decay": schedule.decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=schedule.learning_rate)


def _mean(loss: Any, share: Any) -> Any:
    """Weighted mean of each member's loss, (n_members, n) to (n_members,); 0 where a member has no row."""
    return (loss * share).sum(1) / share.sum(1).clamp_min(1e-6)


def batches(n: int, size: int, rng: np.random.Generator) -> Iterator[Index]:
    """Deal rows into batches of about equal size in random order."""
    yield from np.array_split(rng.permutation(n), max(1, round(n / size)))


def _loss(torch: Any, out: Any, target: Any, is_binary: bool) -> tuple[Any, Any]:
    """Return what is learned from and what is judged by, of every member at every row, each (n_members, n)."""
    if is_binary:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            out[..., 0], target.expand(out.shape[:2]), reduction="none"
        )
        return loss, loss
    variance = torch.nn.functional.softplus(out[..., 1]) + _LEAST_VARIANCE
    likelihood = ((target - out[..., 0]) ** 2 / variance + variance.log()) / 2
    # beta-NLL with beta 1/2 (Seitzer et al. 2022): the plain likelihood leaves compounds that are hard unlearned.
    return likelihood * variance.detach().sqrt(), likelihood


def moments(out: npt.NDArray[np.float32], *, is_binary: bool) -> tuple[FloatArray, FloatArray]:
    """Turn outputs (n_members, n, 2 or 1) into members' means and noise variances, each (n_members, n).

    Of 0/1 labels: probabilities and zeros.
    """
    wide = out.astype(np.float64)
    if is_binary:
        p: FloatArray = 1 / (1 + np.exp(-wide[..., 0]))
        return p, np.zeros(p.shape)
    return wide[..., 0], np.logaddexp(0, wide[..., 1]) + _LEAST_VARIANCE
