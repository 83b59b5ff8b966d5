"""Train a network on the fields of a cache, alone or with other processes, from the start or from a checkpoint."""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from nextplate.errors import ModelError
from nextplate.imaging.networks.architecture import Architecture
from nextplate.imaging.networks.batches import Batch, Plan, Rows, on_device, training_batches
from nextplate.imaging.networks.cache import FieldCache
from nextplate.imaging.networks.checkpoint import Progressed, read_checkpoint, write_checkpoint
from nextplate.imaging.networks.fields import Fields, Target, data_digest
from nextplate.imaging.networks.mcnn import build
from nextplate.imaging.networks.network import Network
from nextplate.imaging.networks.normalisation import Normalisation, scale_of
from nextplate.imaging.networks.recipe import Recipe, rate_at
from nextplate.imaging.networks.workers import Worker, has_bfloat16, joined, spread_out, summed, wait_for_all

Progress = Callable[[int, int], None]
Clock = Callable[[], float]
"""Seconds, as time.perf_counter gives; the science has no clock of its own."""
ALONE = Worker()
_LOSSES_AT_ONCE = 16
"""Steps between two looks at the loss."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a training looks at."""

    cache: FieldCache
    fields: Fields
    """Row by row those of the cache."""
    target: Target
    rows: Rows
    """To train on; those without a label or pixels are left out."""
    normalisation: Normalisation

    @property
    def usable(self) -> Rows:
        """Training rows with pixels and a label."""
        known = np.intersect1d(self.cache.usable, self.target.known)
        return np.intersect1d(known, self.rows)


@dataclass(frozen=True, slots=True)
class Trained:
    """A network, and how its training went."""

    network: Network
    losses: tuple[float, ...]
    """Of every step, over all workers."""
    first_step: int
    """0, or where a checkpoint left off."""
    wait_s: float
    """Spent waiting for pixels; 0 without a clock."""
    compute_s: float


def train(
    shown: Shown,
    architecture: Architecture,
    recipe: Recipe,
    *,
    worker: Worker = ALONE,
    checkpoints: Path | None = None,
    n_threads: int = 2,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> Trained:
    """Train a network.

    Args:
        shown: pixels and labels.
        architecture: its channels and outputs must be those of `shown`.
        recipe: how.
        worker: this process; every process calls with the same arguments, the first writes.
        checkpoints: folder; None: none are written, nothing is resumed.
        n_threads: that prepare batches.
        progress: called with (steps done, steps in all), in the first process.
        clock: to tell waiting for pixels from computing; None: not told.

    Raises:
        ModelError: nothing to learn, or the loss is no longer a number.
        DataError: a checkpoint of another training.
    """
    check(shown, architecture)
    with joined(worker):
        return _Training(shown, architecture, recipe, worker, n_threads, clock).run(checkpoints, progress)


def check(shown: Shown, architecture: Architecture) -> None:
    """Refuse what cannot be learned.

    Raises:
        ModelError: says what does not fit.
    """
    target, rows = shown.target, shown.usable
    wanted = 1 if target.classes is None else len(target.classes)
    if architecture.n_outputs != wanted or architecture.n_channels != len(shown.fields.channels):
        raise ModelError(
            f"the network has {architecture.n_channels} channels and {architecture.n_outputs} outputs, "
            f"the data {len(shown.fields.channels)} and {wanted}"
        )
    if len(np.unique(target.values[rows])) < 2:
        raise ModelError(
            f"{len(rows)} fields with pixels and a label in {target.name!r}: at least two values are needed"
        )


def training_key(shown: Shown, architecture: Architecture, recipe: Recipe, n_workers: int = 1) -> dict[str, Any]:
    """Return all that makes a network, as plain JSON: equal keys give equal networks on one machine's CPU."""
    made_of = {k: v for k, v in asdict(recipe).items() if k != "checkpoint_steps"}
    rows = shown.usable
    return {
        **made_of,
        "architecture": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(architecture).items()},
        "normalisation": asdict(shown.normalisation),
        "binning": shown.cache.binning,
        "n_workers": n_workers,
        "n_rows": len(rows),
        "rows": hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest(),
        "data": data_digest(shown.fields, shown.target),
    }


class _Training:
    """One run of `train` in one process."""

    def __init__(
        self,
        shown: Shown,
        architecture: Architecture,
        recipe: Recipe,
        worker: Worker,
        n_threads: int,
        clock: Clock | None,
    ) -> None:
        self.shown, self.recipe, self.worker = shown, recipe, worker
        self.n_threads, self.clock = n_threads, clock or (lambda: 0.0)
        self.device = torch.device(worker.device)
        self.module = build(architecture, np.random.default_rng([recipe.seed, 0])).to(self.device).train()
        self.optimiser = _optimiser(self.module, recipe)
        self.plan = Plan(shown.usable, recipe.batch * worker.n_workers, recipe.n_epochs, recipe.seed)
        self.scale = scale_of(shown.cache.pixels, shown.fields.plates, shown.cache.usable, shown.normalisation)
        self.response = _response_scale(shown.target, self.plan.rows)
        self.weights = _class_weights(shown.target, self.plan.rows, recipe).to(self.device)
        self.uses_bf16 = recipe.precision == "bfloat16" or (recipe.precision == "auto" and has_bfloat16(worker.device))
        self.waited = self.computed = 0.0

    def run(self, checkpoints: Path | None, progress: Progress | None) -> Trained:
        """Train to the end."""
        made_with = self._key()
        done = Progressed(0, ())
        if checkpoints is not None:
            done = read_checkpoint(checkpoints, self.module, self.optimiser, made_with)
        first, losses = done.step, list(done.losses)
        model = spread_out(self.module, self.worker)
        fresh: list[Any] = []
        for step, batch in enumerate(self._timed(self._batches(first)), first):
            fresh.append(self._step(model, batch, step))
            is_checkpoint = self._is_checkpoint(step + 1)
            if len(fresh) == _LOSSES_AT_ONCE or is_checkpoint:
                losses += self._told(fresh, step)
                fresh = []
            if checkpoints is not None and is_checkpoint and self.worker.is_first:
                # of the module, not its wrapper, so that a process alone can read it
                write_checkpoint(
                    checkpoints, self.module, self.optimiser, Progressed(step + 1, tuple(losses)), made_with
                )
            if progress is not None and self.worker.is_first:
                progress(step + 1, self.plan.n_steps)
        wait_for_all(self.worker)
        return Trained(self._network(losses), tuple(losses), first, self.waited, self.computed)

    def _batches(self, first: int) -> Iterator[Batch]:
        return training_batches(
            self.shown.cache.pixels,
            self.scale,
            self.plan,
            self.recipe.augmentation,
            first=first,
            share=self.worker.share,
            n_threads=self.n_threads,
            pins=self.device.type == "cuda",
        )

    def _timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Tell the time in which the network waits from that in which it computes."""
        asked = self.clock()
        for batch in batches:
            got = self.clock()
            self.waited += got - asked
            yield batch
            asked = self.clock()
            self.computed += asked - got

    def _step(self, model: Any, batch: Batch, step: int) -> Any:
        """Go one step; return its loss as a tensor, because asking for the number would stop a GPU's queue."""
        images = on_device(batch, self.device, self.shown.normalisation.limit)
        rate = rate_at(step, self.plan.n_steps, self.recipe, self.worker.n_workers)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.uses_bf16):
            outputs = model(images)
        loss = self._loss(outputs.float(), batch.rows)
        loss.backward()
        if self.recipe.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.recipe.clip_norm)
        self.optimiser.step()
        return loss.detach()

    def _told(self, losses: list[Any], step: int) -> list[float]:
        """Return losses over all workers as numbers."""
        values = (summed(torch.stack(losses), self.worker) / self.worker.n_workers).tolist()
        if not all(map(math.isfinite, values)):
            raise ModelError(f"the loss is no number any more by step {step + 1}; lower the learning rate")
        return [float(v) for v in values]

    def _loss(self, outputs: Any, rows: Rows) -> Any:
        values = self.shown.target.values[rows]
        if self.shown.target.classes is None:
            mean, sd = self.response
            wanted = torch.from_numpy((values - mean) / sd).float().to(self.device)
            return functional.mse_loss(outputs[:, 0], wanted)
        wanted = torch.from_numpy(values.astype(np.int64)).to(self.device)
        each = functional.cross_entropy(outputs, wanted, label_smoothing=self.recipe.label_smoothing, reduction="none")
        # The weights' mean over the data is 1. Divided by the number of fields, not by the batch's own sum of weights,
        # so that the mean over workers is the mean over the whole batch.
        return (each * self.weights[wanted]).mean()

    def _is_checkpoint(self, n_done: int) -> bool:
        every = self.recipe.checkpoint_steps or self.plan.steps_per_epoch
        return n_done % every == 0 or n_done == self.plan.n_steps

    def _key(self) -> dict[str, Any]:
        return training_key(self.shown, self.module.architecture, self.recipe, self.worker.n_workers)

    def _network(self, losses: list[float]) -> Network:
        target = self.shown.target
        made_with = self._key()
        return Network(
            module=self.module.to("cpu").to(memory_format=torch.channels_last).eval(),
            channels=self.shown.fields.channels,
            target=target.name,
            classes=target.classes,
            response_scale=self.response,
            normalisation=self.shown.normalisation,
            binning=self.shown.cache.binning,
            data_digest=str(made_with["data"]),
            metrics={"training_loss": float(np.mean(losses[-self.plan.steps_per_epoch :]))},
            training=made_with,
        )


def _optimiser(module: Any, recipe: Recipe) -> Any:
    """Decay weights, not biases."""
    weights = [p for p in module.parameters() if p.ndim > 1]
    biases = [p for p in module.parameters() if p.ndim == 1]
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": biases, "weight_decay": 0.0}]
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


def _response_scale(target: Target, rows: Rows) -> tuple[float, float]:
    if target.classes is not None:
        return 0.0, 1.0
    values = target.values[rows]
    return float(values.mean()), float(values.std())


def _class_weights(target: Target, rows: Rows, recipe: Recipe) -> Any:
    """Return a weight per class: equal shares of the loss, mean 1 over the training rows; 0 for a class not there."""
    if target.classes is None:
        return torch.ones(1)
    count: npt.NDArray[np.int64] = np.bincount(target.values[rows].astype(np.int64), minlength=len(target.classes))
    if not recipe.balances_classes:
        return torch.ones(len(count))
    n_present = int((count > 0).sum())
    share = np.divide(len(rows) / n_present, count, out=np.zeros(len(count)), where=count > 0)
    return torch.from_numpy(share).float()
