"""What a network says of fields: logits or responses, and embeddings."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nextplate.imaging.networks.augmentation import NOTHING
from nextplate.imaging.networks.batches import Batch, Rows, ahead, cut, on_device
from nextplate.imaging.networks.cache import FieldCache, blocks
from nextplate.imaging.networks.fields import Fields
from nextplate.imaging.networks.network import Network
from nextplate.imaging.networks.normalisation import scale_of
from nextplate.imaging.networks.workers import has_bfloat16

Values = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Said:
    """Of each field asked for."""

    outputs: Values
    """Shape (n, classes): probabilities; or (n, 1): responses on their own scale."""
    features: Values
    """Shape (n, features): embeddings."""


def predict(
    network: Network,
    cache: FieldCache,
    fields: Fields,
    rows: Rows,
    *,
    batch: int = 16,
    device: str = "cpu",
    precision: str = "auto",
    n_threads: int = 2,
    progress: Progress | None = None,
) -> Said:
    """Run a network over rows of a cache; every row must be usable."""
    scale = scale_of(cache.pixels, fields.plates, cache.usable, network.normalisation)
    pins = device != "cpu"
    rng = np.random.default_rng(0)  # NOTHING draws and does nothing with it

    def prepare(some: list[int]) -> Batch:
        return cut(cache.pixels, scale, np.array(some), NOTHING, [rng] * len(some), pins=pins)

    batches = ahead(prepare, blocks(rows.tolist(), batch), 1 if n_threads < 1 else n_threads)
    return run(network, batches, len(rows), device=device, precision=precision, progress=progress)


def run(
    network: Network,
    batches: Iterator[Batch],
    n: int,
    *,
    device: str = "cpu",
    precision: str = "auto",
    progress: Progress | None = None,
) -> Said:
    """Run a network over batches of n fields in all."""
    module = network.module.to(device).eval()
    kind = torch.device(device).type
    uses_bf16 = precision == "bfloat16" or (precision == "auto" and has_bfloat16(device))
    outputs: list[Any] = []
    features: list[Any] = []
    done = 0
    with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=uses_bf16):
        for batch in batches:
            found = module.features(on_device(batch, device, network.normalisation.limit))
            # The last layer in float32: its logits are compared among classes.
            with torch.autocast(kind, enabled=False):
                outputs.append(module.output(found.float()))
            features.append(found.float())
            done += len(batch.rows)
            if progress is not None:
                progress(done, n)
    module.to("cpu")
    if not outputs:
        a = network.architecture
        return Said(np.empty((0, a.n_outputs), np.float32), np.empty((0, a.n_features), np.float32))
    return Said(_on_scale(torch.cat(outputs), network), _numpy(torch.cat(features)))


def _on_scale(outputs: Any, network: Network) -> Values:
    if network.classes is not None:
        return _numpy(torch.softmax(outputs, 1))
    mean, sd = network.response_scale
    return _numpy(outputs * sd + mean)


def _numpy(tensor: Any) -> Values:
    return np.asarray(tensor.cpu().numpy(), dtype=np.float32)


def share_correct(outputs: Values, values: npt.NDArray[np.float64]) -> float:
    """Return the share of fields whose likeliest class is theirs; NaN without fields."""
    return float((outputs.argmax(1) == values).mean()) if len(values) else float("nan")


def rms_error(outputs: Values, values: npt.NDArray[np.float64]) -> float:
    """Return the root mean squared error of responses; NaN without fields."""
    return float(np.sqrt(((outputs[:, 0] - values) ** 2).mean())) if len(values) else float("nan")


def held_out(groups: Sequence[str], share: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Choose whole groups (wells, say) at random to be held out, at least one; shape (n,)."""
    names, code = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    n = min(max(1, round(share * len(names))), len(names) - 1)
    return np.asarray(np.isin(code, rng.permutation(len(names))[:n]))
