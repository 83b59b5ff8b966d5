"""A message-passing network on the structures themselves, in PyTorch, for a laptop.

The directed message-passing network of Chemprop (Yang et al. 2019, J Chem Inf Model 59:3370), written anew: messages
run along directed bonds, so that none returns at once to where it came from; a compound is the sum of its atoms, beside
its descriptors. An ensemble of five, each with a variance of its own at every compound, or a probability. Environments
that compounds share are computed once (``graphs``), all members in one product: a fit takes seconds on one core.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.compound import Features
from nextplate.models.design import Rows
from nextplate.models.ensemble import (
    Ensemble,
    describe_scale,
    draw_ensemble,
    load_ensemble,
    mean_only_ensemble,
    predict_ensemble,
    save_ensemble,
    scaled_descriptors,
    standardised,
)
from nextplate.models.graphs import N_ATOM_COLUMNS, N_BOND_COLUMNS, Gathering, Graph, Plan, graph_of, plan_of
from nextplate.models.labels import check_labels, learned_from, why_mean_only
from nextplate.models.members import FloatArray, Index, Schedule, Weights, import_torch, moments, train

__all__ = ["draws", "fit", "load", "predict", "save"]

KIND = "mpnn"
SCREENS = ("lightgbm",)
HIDDEN = 64
DEPTH = 4
SCHEDULE = Schedule(n_members=5, batch=32, learning_rate=2e-3, decay=0.01, n_epochs=100, patience=15, held_out=0.1)
# Structures whose environments are shared and held in memory at a time.
_BLOCK = 2000


@dataclass(frozen=True, slots=True)
class _Batch:
    """A plan and the structures' descriptors as tensors."""

    plan: Plan
    bond_inputs: Any
    atom_inputs: Any
    descriptors: Any


def fit(
    features: Features, rows: Index, y: npt.ArrayLike, weight: npt.ArrayLike | None = None, seed: int = 0
) -> Ensemble:
    """Fit a belief to labelled compounds.

    Args:
        features: of the library; structures and descriptors are read.
        rows: shape (n,): rows that are labelled.
        y: shape (n,), potencies or responses, or 0/1.
        weight: shape (n,), e.g. wells per compound; None weighs all alike.
        seed: of first weights, held-out compounds and batches.

    Returns:
        The belief. With fewer than 12 labels, or all labels equal, it is mean-only and its notes say so.

    Raises:
        ModelError: no usable labels, or torch is not installed.
    """
    labels = check_labels(features, rows, y, weight)
    import_torch(KIND)
    note = why_mean_only(labels)
    if note is not None:
        return mean_only_ensemble(features, labels, seed, note)
    target, level, unit = standardised(labels)
    graphs = [graph_of(features.smiles[row]) for row in labels.rows]
    inputs = describe_scale(features, labels.rows)
    inputs["n_atoms"] = np.array([np.mean([len(graph.atoms) for graph in graphs])], dtype=np.float32)
    shown = scaled_descriptors(features, labels.rows, inputs)
    n_atoms = float(inputs["n_atoms"][0])
    whole = _batch(graphs, shown)

    def forward(weights: Mapping[str, Any], chosen: Index) -> Any:
        batch = whole if len(chosen) == len(graphs) else _batch([graphs[i] for i in chosen], shown[chosen])
        return _forward(weights, batch, n_atoms)

    rng = np.random.default_rng([seed, 0])
    start = _first_weights(shown.shape[1], 1 if labels.is_binary else 2, rng)
    weights = train(
        forward, start, target, labels.weight / labels.weight.mean(), SCHEDULE, rng,
        compounds=labels.rows, is_binary=labels.is_binary,
    )  # fmt: skip
    return Ensemble(weights, inputs, level, unit, learned_from(features, labels, seed))


def _first_weights(n_descriptors: int, n_outputs: int, rng: np.random.Generator) -> Weights:
    """Draw first weights, Glorot & Bengio 2010; members along the first axis."""
    sizes = {
        "bond": (N_ATOM_COLUMNS + N_BOND_COLUMNS, HIDDEN),
        "message": (HIDDEN, HIDDEN),
        "atom": (N_ATOM_COLUMNS, HIDDEN),
        "neighbours": (HIDDEN, HIDDEN),
        "compound": (HIDDEN, HIDDEN),
        "descriptors": (n_descriptors, HIDDEN),
        "output": (HIDDEN, n_outputs),
    }
    n = SCHEDULE.n_members
    weights = {k: rng.normal(0, np.sqrt(2 / (a + b)), (n, a, b)).astype(np.float32) for k, (a, b) in sizes.items()}
    for name, width in (("atom.bias", HIDDEN), ("compound.bias", HIDDEN), ("output.bias", n_outputs)):
        weights[name] = np.zeros((n, 1, width), dtype=np.float32)
    return weights


def _batch(graphs: Sequence[Graph], descriptors: npt.NDArray[np.float32]) -> _Batch:
    import torch

    plan = plan_of(graphs, DEPTH)
    tensors = (torch.from_numpy(a) for a in (plan.bond_inputs, plan.atom_inputs, np.ascontiguousarray(descriptors)))
    return _Batch(plan, *tensors)


def _forward(weights: Mapping[str, Any], batch: _Batch, n_atoms: float) -> Any:
    """Compute outputs, shape (n_members, n_structures, n_outputs).

    States are (rows, members * hidden): sums over neighbours then read whole lines, for all members at once.
    """
    import torch

    plan, relu = batch.plan, torch.relu
    first = _wide(batch.bond_inputs, weights["bond"])
    message = relu(first)
    for step in plan.steps:
        message = relu(_rows(first, step.own) + _each(_sum(message, step), weights["message"]))
    own = _wide(batch.atom_inputs, weights["atom"]) + weights["atom.bias"].reshape(1, -1)
    atoms = relu(_rows(own, plan.last.own) + _each(_sum(message, plan.last), weights["neighbours"]))
    compound = _split(_sum(atoms, plan.members), weights["compound"].shape[0]) / n_atoms
    described = torch.matmul(batch.descriptors, weights["descriptors"])
    hidden = relu(torch.bmm(compound, weights["compound"]) + described + weights["compound.bias"])
    return torch.bmm(hidden, weights["output"]) + weights["output.bias"]


def _wide(inputs: Any, weight: Any) -> Any:
    """Multiply inputs (n, p) that all members share by weights (members, p, k): (n, members * k)."""
    return inputs @ weight.transpose(0, 1).reshape(inputs.shape[1], -1)


def _split(states: Any, n_members: int) -> Any:
    """View states (n, members * k) as (members, n, k)."""
    return states.view(len(states), n_members, states.shape[1] // n_members).transpose(0, 1)


def _each(states: Any, weight: Any) -> Any:
    """Multiply each member's states by its own weights: (n, members * k)."""
    import torch

    return torch.bmm(_split(states, len(weight)), weight).transpose(0, 1).reshape(states.shape)


def _rows(states: Any, rows: Index) -> Any:
    import torch

    return states.index_select(0, torch.from_numpy(rows))


def _sum(states: Any, sets: Gathering) -> Any:
    """Sum states over the sets; an empty set gives 0."""
    import torch

    sources, starts = torch.from_numpy(sets.sources), torch.from_numpy(sets.starts)
    return torch.nn.functional.embedding_bag(sources, states, starts, mode="sum")


def predict(belief: Ensemble, features: Features, rows: Rows | None = None) -> tuple[FloatArray, FloatArray]:
    """Predict compounds.

    Args:
        belief: of ``fit`` or ``load``.
        features: of a library with the descriptors the belief was fitted on.
        rows: which compounds; None: all.

    Returns:
        mean and spread, each shape (m,). Of potencies the spread holds the members' disagreement and the noise they
        see; of 0/1 labels, where the mean is a probability, the disagreement alone.

    Raises:
        ModelError: the library has other descriptors, or torch is not installed.
    """
    return predict_ensemble(_say, belief, features, rows)


def draws(belief: Ensemble, features: Features, rows: Rows | None = None) -> FloatArray:
    """Give what each member means, shape (n_members, m), for rules that want joint samples; one row if mean-only.

    Raises:
        ModelError: as ``predict``.
    """
    return draw_ensemble(_say, belief, features, rows)


def _say(belief: Ensemble, features: Features, index: Index) -> tuple[FloatArray, FloatArray]:
    """Members' means and variances on the networks' scale, each (n_members, m)."""
    torch = import_torch(KIND)
    weights = {name: torch.from_numpy(value) for name, value in belief.weights.items()}
    out = np.empty((len(belief.weights["output"]), len(index), belief.weights["output"].shape[2]), dtype=np.float32)
    for start in range(0, len(index), _BLOCK):
        part = index[start : start + _BLOCK]
        batch = _batch([graph_of(features.smiles[i]) for i in part], scaled_descriptors(features, part, belief.inputs))
        with torch.no_grad():
            out[:, start : start + _BLOCK] = _forward(weights, batch, float(belief.inputs["n_atoms"][0])).numpy()
    return moments(out, is_binary=belief.learned.is_binary)


def save(belief: Ensemble, folder: Path, *, metrics: Mapping[str, float] | None = None) -> None:
    """Write the belief to a new folder.

    Raises:
        ModelError: the folder exists.
        DiskFull: no room; nothing is left behind.
    """
    save_ensemble(belief, folder, KIND, metrics)


def load(folder: Path) -> Ensemble:
    """Read what save wrote.

    Raises:
        ModelFileError: the folder is not whole, not unaltered, or not of this kind.
    """
    return load_ensemble(folder, KIND)
