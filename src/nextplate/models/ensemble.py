"""The noun: an ensemble of networks as arrays, what its members say, and its folder (safetensors, never a pickle)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.compound import Features
from nextplate.errors import ModelFileError
from nextplate.models.belief import Learned
from nextplate.models.design import Rows
from nextplate.models.labels import Labels, check_library, learned_from, mean_only
from nextplate.models.members import FloatArray, Index, Weights, import_torch
from nextplate.models.storage import learned_of, read_card, save_folder

_FILE = "ensemble.safetensors"
_FARTHEST = 4.0
"""Standard deviations beyond which a descriptor says no more than that it is far out."""


@dataclass(frozen=True, slots=True)
class Ensemble:
    """A fitted ensemble of networks."""

    weights: Weights
    """Empty for a mean-only belief."""
    inputs: Mapping[str, npt.NDArray[Any]]
    """How compounds are made into inputs: centre and scale of the descriptors, and what the kind needs beside."""
    level: float
    """Labels are level + unit * output; of 0/1 labels 0."""
    unit: float
    learned: Learned

    @property
    def notes(self) -> tuple[str, ...]:
        """What an operator should know, e.g. 'mean-only belief: all labels equal'."""
        return self.learned.notes

    @property
    def is_mean_only(self) -> bool:
        """Whether it predicts the same for every compound."""
        return not self.weights


def mean_only_ensemble(features: Features, labels: Labels, seed: int, note: str) -> Ensemble:
    """Return the belief of those who have learned nothing but a mean."""
    return Ensemble({}, {}, 0.0, 1.0, learned_from(features, labels, seed, (note,)))


def standardised(labels: Labels) -> tuple[FloatArray, float, float]:
    """Return labels as networks learn them, their level and unit; 0/1 labels stay what they are."""
    if labels.is_binary:
        return labels.y, 0.0, 1.0
    level = float(np.average(labels.y, weights=labels.weight))
    unit = float(np.sqrt(np.average((labels.y - level) ** 2, weights=labels.weight)))
    return (labels.y - level) / unit, level, unit


def describe_scale(features: Features, rows: Rows) -> dict[str, npt.NDArray[Any]]:
    """Measure centre and scale of the labelled compounds' descriptors; a constant one has scale 1."""
    values = np.asarray(features.descriptors[rows], dtype=np.float64)
    known = np.isfinite(values)
    n = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, values, 0.0).sum(axis=0) / n
    spread = np.sqrt((np.where(known, values - centre, 0.0) ** 2).sum(axis=0) / n)
    scale = np.where(spread > 1e-6 * np.maximum(np.abs(centre), 1e-6), spread, 1.0)
    return {"centre": centre.astype(np.float32), "scale": scale.astype(np.float32)}


def scaled_descriptors(
    features: Features, rows: Rows, inputs: Mapping[str, npt.NDArray[Any]]
) -> npt.NDArray[np.float32]:
    """Standardise descriptors; one that is undefined is taken as average, none is farther out than 4 deviations."""
    values = (np.asarray(features.descriptors[rows], dtype=np.float32) - inputs["centre"]) / inputs["scale"]
    return np.asarray(np.clip(np.nan_to_num(values), -_FARTHEST, _FARTHEST), dtype=np.float32)


def summary(belief: Ensemble, means: FloatArray, variances: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sum up members.

    Args:
        belief: whose labels' scale to return to.
        means: shape (n_members, n), of ``members.moments``.
        variances: likewise.

    Returns:
        mean and spread, each shape (n,). Of potencies the spread is that of the mixture (Lakshminarayanan et al.
        2017): disagreement of the members and the noise they see; of 0/1 labels the disagreement alone.
    """
    spread = np.sqrt(means.var(axis=0) + variances.mean(axis=0))
    return belief.level + belief.unit * means.mean(axis=0), belief.unit * spread


Say = Callable[[Ensemble, Features, Index], tuple[FloatArray, FloatArray]]
"""Gives members' means and noise variances on the networks' scale, each (n_members, m)."""


def predict_ensemble(
    say: Say, belief: Ensemble, features: Features, rows: Rows | None
) -> tuple[FloatArray, FloatArray]:
    """Return mean and spread of compounds, each (m,); rows None: of all.

    Raises:
        ModelError: the library has other features than those the belief was fitted on.
    """
    index = _index(belief, features, rows)
    if belief.is_mean_only:
        return mean_only(belief.learned, len(index))
    return summary(belief, *say(belief, features, index))


def draw_ensemble(say: Say, belief: Ensemble, features: Features, rows: Rows | None) -> FloatArray:
    """Return what each member means, shape (n_members, m), or (1, m) of a mean-only belief.

    Raises:
        ModelError: as ``predict_ensemble``.
    """
    index = _index(belief, features, rows)
    if belief.is_mean_only:
        return mean_only(belief.learned, len(index))[0][None]
    return belief.level + belief.unit * say(belief, features, index)[0]


def _index(belief: Ensemble, features: Features, rows: Rows | None) -> Index:
    check_library(belief.learned, features)
    return np.arange(len(features.compound_ids))[slice(None) if rows is None else rows]


def save_ensemble(belief: Ensemble, folder: Path, kind: str, metrics: Mapping[str, float] | None = None) -> None:
    """Write an ensemble to a new folder: ensemble.safetensors and the card.

    Raises:
        ModelError: the folder exists.
        DiskFull: no room; nothing is left behind.
    """
    arrays = {f"weights.{k}": v for k, v in belief.weights.items()} | {
        f"inputs.{k}": v for k, v in belief.inputs.items()
    }
    facts = {"level": belief.level, "unit": belief.unit}
    save_folder(folder, kind, belief.learned, lambda f: _write(arrays, f / _FILE, kind), facts=facts, metrics=metrics)


def _write(arrays: Mapping[str, npt.NDArray[Any]], path: Path, kind: str) -> None:
    import_torch(kind)
    from safetensors.numpy import save

    path.write_bytes(save({name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}))


def load_ensemble(folder: Path, kind: str) -> Ensemble:
    """Read what ``save_ensemble`` wrote.

    Raises:
        ModelFileError: the folder is not whole, not unaltered, or of another kind.
        ModelError: torch (the extra 'deep') is not installed.
    """
    card = read_card(folder, kind)
    import_torch(kind)
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load((folder / _FILE).read_bytes())
        level, unit = float(card["facts"]["level"]), float(card["facts"]["unit"])
    except (OSError, KeyError, TypeError, SafetensorError) as error:
        raise ModelFileError(f"{folder}: cannot be read ({error}); fit the belief again") from error
    return Ensemble(_named(arrays, "weights."), _named(arrays, "inputs."), level, unit, learned_of(card))


def _named(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {name.removeprefix(prefix): arrays[name] for name in sorted(arrays) if name.startswith(prefix)}
