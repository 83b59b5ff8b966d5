"""Train an M-CNN on fields with known classes or responses."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from nextplate.errors import DataError, ModelError
from nextplate.imaging.networks.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from nextplate.imaging.networks.inference import torch_dtype
from nextplate.imaging.networks.loader import Clock, Loader, Rows, Waiting, epoch_rows, split
from nextplate.imaging.networks.mcnn import Mcnn, McnnShape, make_mcnn
from nextplate.imaging.networks.place import Place, summed, wrapped
from nextplate.imaging.networks.schedule import Loss, TrainParams, make_loss, make_optimiser, rate_at
from nextplate.imaging.networks.targets import Targets

Record = Mapping[str, Any]
"""One finished epoch: epoch, loss, accuracy or rmse (in standardised units), learning_rate, seconds, waiting."""
OnEpoch = Callable[[Record], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained network and how it got there."""

    network: Mcnn
    history: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """What to train on."""

    loader: Loader
    rows: Rows
    """Fields that train: usable, and with a truth."""
    targets: Targets
    shape: McnnShape
    params: TrainParams


def train(
    task: Task,
    place: Place,
    clock: Clock,
    checkpoints: Path | None = None,
    on_epoch: OnEpoch = lambda _record: None,
    stop_after: int | None = None,
) -> Trained:
    """Train, or go on from the checkpoint of the same training.

    Args:
        task: data, truth, network and settings. One seed gives one network on one machine and number format.
        place: of this process; all processes get the same task.
        clock: for the seconds and the share of waiting in the history.
        checkpoints: folder written by rank 0 after every epoch; None: none.
        on_epoch: told after every epoch, on rank 0.
        stop_after: epochs after which to stop early; None: all.

    Raises:
        DataError: no field to train on, or the checkpoint of another training.
        ModelError: the loss is no number any more.
    """
    if not len(task.rows):
        raise DataError("no field to train on: none that can be used has a label")
    torch.manual_seed(task.params.seed)
    network = make_mcnn(task.shape, task.params.seed).to(place.device, memory_format=torch.channels_last)
    optimiser = make_optimiser(network.parameters(), task.params)
    key = training_key(task, place)
    found = (read_checkpoint(checkpoints, key, network, optimiser) if checkpoints else None) or Checkpoint(key, 0, ())
    learner = _Learner(task, place, clock, wrapped(network, place), optimiser)
    history = list(found.history)
    with torch.backends.cudnn.flags(enabled=True, benchmark=True):
        for epoch in range(found.n_epochs, min(task.params.epochs, stop_after or task.params.epochs)):
            history.append(learner.epoch(epoch))
            if place.is_first:
                if checkpoints:
                    write_checkpoint(checkpoints, Checkpoint(key, epoch + 1, tuple(history)), network, optimiser)
                on_epoch(history[-1])
    return Trained(network.eval(), tuple(history))


def training_key(task: Task, place: Place) -> str:
    """Digest what decides the outcome: pixels, truth, network, settings, number of processes."""
    truth = hashlib.sha256(task.targets.values[task.rows].tobytes()).hexdigest()
    body = [task.loader.cache.digest(task.rows), truth, task.targets.names, asdict(task.shape), asdict(task.params)]
    scale = hashlib.sha256(task.loader.scale.offset.tobytes() + task.loader.scale.gain.tobytes()).hexdigest()
    return hashlib.sha256(json.dumps([*body, scale, place.share.world]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Learner:
    task: Task
    place: Place
    clock: Clock
    network: Any
    """As called: wrapped where there are several processes."""
    optimiser: Any

    def epoch(self, epoch: int) -> Record:
        params, share = self.task.params, self.place.share
        loss = make_loss(self.task.targets, self.task.rows, params, self.place.device)
        waiting, total = Waiting(), torch.zeros(3, device=self.place.device)
        batches = self.task.loader.training(
            self.task.rows, params.batch_size, params.crop_px, params.seed, epoch, share, waiting, self.clock
        )
        n_batches = len(split(epoch_rows(self.task.rows, params.seed, epoch, share), params.batch_size))
        rate = 0.0
        for i, batch in enumerate(batches):
            rate = self._set_rate(epoch * n_batches + i, n_batches)
            total += self._step(batch, loss)
        return self._record(epoch, summed(total, self.place), rate, waiting)

    def _set_rate(self, step: int, n_batches: int) -> float:
        params = self.task.params
        peak = params.learning_rate * self.place.share.world
        rate = rate_at(step, params.epochs * n_batches, round(params.warmup_epochs * n_batches), peak)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        return rate

    def _step(self, batch: Any, loss: Loss) -> Any:
        """Learn from one batch; return (sum of losses, sum of what is good, fields) without waiting for the device."""
        dtype = torch_dtype(self.task.params.precision, self.place.device)
        with _autocast(self.place.device, dtype):
            outputs, _ = self.network(batch.scaled(self.place.device, dtype))
        found, good = loss(outputs.float(), batch.rows)
        self.optimiser.zero_grad(set_to_none=True)
        found.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.task.params.clip_norm)
        self.optimiser.step()
        n = len(batch.rows)
        return torch.stack((found.detach() * n, good.to(found.dtype), found.new_tensor(float(n))))

    def _record(self, epoch: int, total: list[float], rate: float, waiting: Waiting) -> Record:
        loss_sum, good, n = total
        if not abs(loss_sum) < float("inf"):
            rate_said = self.task.params.learning_rate
            raise ModelError(f"epoch {epoch + 1}: the loss is {loss_sum}; lower the learning rate (now {rate_said})")
        score = {"accuracy": good / n} if self.task.targets.task == "classes" else {"rmse": (good / n) ** 0.5}
        seconds = {"seconds": round(waiting.total_s, 3), "waiting": round(waiting.share, 4)}
        return {"epoch": epoch + 1, "loss": loss_sum / n, **score, "learning_rate": rate, **seconds}


@contextmanager
def _autocast(device: str, dtype: Any) -> Iterator[None]:
    kind = "cuda" if device.startswith("cuda") else "cpu"
    with torch.autocast(kind, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        yield
