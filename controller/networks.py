"""nextplate network: train a whole-image network on plates with a layout, and turn plates into embeddings.

::

    .MODEL.training/    while it trains: pixels/ (decoded fields) and checkpoint.json; the same command goes on from it
    MODEL/              the trained network, by one rename at the end; the folder above is then removed
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from controller.analysis import write_table
from controller.files import full_disk_named
from controller.lock import lab_lock
from controller.measuring import ReadoutRequest, find_readout
from nextplate.assay import read_measured_layout
from nextplate.assay.measured_layout import MeasuredWell
from nextplate.errors import DataError
from nextplate.plate import Role
from nextplate.readout import Readout

if TYPE_CHECKING:
    from nextplate.imaging.networks.cache import PixelCache
    from nextplate.imaging.networks.folder import Card
    from nextplate.imaging.networks.place import Place
    from nextplate.imaging.networks.scaling import Scaling
    from nextplate.imaging.networks.schedule import TrainParams
    from nextplate.imaging.networks.targets import Targets
    from nextplate.imaging.networks.training import Record, Task, Trained

TREATMENT = "treatment"
"""The label that is compound and dose; of negative controls 'negative'."""


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What to train, on what."""

    readouts: tuple[ReadoutRequest, ...]
    layout: Path
    labels: tuple[str, ...]
    """One column for classes, one or more for responses."""
    is_response: bool
    out: Path
    channels: tuple[str, ...] | None
    """None: those of the first plate."""
    downscale: int
    scaling: "Scaling"
    has_full_resolution: bool
    n_threads: int
    """That decode and draw batches, and that compute."""


def train_network(
    request: TrainRequest,
    params: "TrainParams",
    on_epoch: Callable[["Record"], None],
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any] | None:
    """Train a network into a folder, or go on where an interrupted training was.

    Returns:
        What `--json` prints; None on every process of torchrun but the first.

    Raises:
        DataError: plates, layout or labels that cannot be used, or `out` is there already.
        DiskFull: no room; the checkpoint stays.
    """
    need_torch()
    import torch

    from nextplate.imaging.networks.place import placed, wait_for_all

    torch.set_num_threads(request.n_threads)
    if request.out.exists():
        raise DataError(f"{request.out} is there already; a network is never overwritten: name another --out")
    readouts = [find_readout(r) for r in request.readouts]
    wells = _labelled_wells(request, readouts)
    with placed(environment or os.environ) as place, full_disk_named(request.out), _held(request.out, place):
        cache = _shared_cache(request, readouts, place)
        task = _task(request, params, cache, wells, place)
        body = _trained(request, task, place, on_epoch)
        wait_for_all(place)
    return body if place.is_first else None


def need_torch() -> None:
    """Refuse to go on without the libraries of the extra `deep`.

    Raises:
        DataError: says how to install them.
    """
    if absent := [name for name in ("torch", "safetensors") if find_spec(name) is None]:
        raise DataError(f"networks need {' and '.join(absent)}; install them: pip install 'nextplate[deep]'")


@contextmanager
def _held(out: Path, place: "Place") -> Iterator[None]:
    """Keep other trainings away from the same folder.

    Raises:
        LabBusy: one works there.
    """
    if not place.is_first:
        yield
        return
    _work_folder(out).mkdir(parents=True, exist_ok=True)
    with lab_lock(_work_folder(out), "nextplate network train"):
        yield


def _work_folder(out: Path) -> Path:
    return out.with_name(f".{out.name}.training")


def _shared_cache(request: TrainRequest, readouts: Sequence[Readout], place: "Place") -> "PixelCache":
    """Decode on the first process; the others wait and read."""
    from nextplate.imaging.networks.cache import build_cache, open_cache
    from nextplate.imaging.networks.place import wait_for_all

    folder = _work_folder(request.out) / "pixels"
    if place.is_first:
        build_cache(readouts, folder, request.channels, request.downscale, request.n_threads)
    wait_for_all(place)
    return open_cache(folder)


def _labelled_wells(request: TrainRequest, readouts: Sequence[Readout]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the labels of every occupied well that has all of them."""
    found = {}
    for readout in readouts:
        layout = read_measured_layout(request.layout, readout.plate)
        for well in layout.occupied():
            labels = [label_of(well, name, request.layout) for name in request.labels]
            if all(labels):
                found[readout.plate, well.well] = tuple(labels)
    return found


def label_of(well: MeasuredWell, column: str, layout: Path) -> str:
    """Return what a column says of a well, '' when nothing.

    Raises:
        DataError: the layout has no such column.
    """
    dose = "" if well.dose is None else f"{well.dose:g}"
    known = {
        "role": well.role.value,
        "compound": well.compound_id or "",
        "dose": dose,
        TREATMENT: "negative" if well.role is Role.NEGATIVE else " ".join(p for p in (well.compound_id, dose) if p),
    }
    if column not in known and column not in well.further:
        has = ", ".join([*known, *well.further])
        raise DataError(f"{layout}, well {well.well}: there is no column {column!r}; there are {has}")
    return known.get(column) or well.further.get(column, "")


def _task(
    request: TrainRequest,
    params: "TrainParams",
    cache: "PixelCache",
    wells: Mapping[tuple[str, str], tuple[str, ...]],
    place: "Place",
) -> "Task":
    from nextplate.imaging.networks.loader import Loader
    from nextplate.imaging.networks.mcnn import McnnShape
    from nextplate.imaging.networks.scaling import pixel_scale
    from nextplate.imaging.networks.training import Task

    targets = _targets(request, cache, wells)
    rows = cache.usable[targets.labelled[cache.usable]]
    loader = Loader(cache, pixel_scale(cache, request.scaling), request.n_threads, is_pinned=place.is_gpu)
    shape = McnnShape(len(cache.channels), len(targets.names), has_full_resolution=request.has_full_resolution)
    return Task(loader, rows, targets, shape, params)


def _targets(request: TrainRequest, cache: "PixelCache", wells: Mapping[tuple[str, str], tuple[str, ...]]) -> "Targets":
    from nextplate.imaging.networks.targets import class_targets, response_targets

    if not request.is_response:
        return class_targets(cache, {key: labels[0] for key, labels in wells.items()})
    numbers = {key: [_number(text, key, request) for text in labels] for key, labels in wells.items()}
    return response_targets(cache, request.labels, numbers, cache.usable)


def _number(text: str, key: tuple[str, str], request: TrainRequest) -> float:
    try:
        return float(text)
    except ValueError:
        name = ", ".join(request.labels)
        raise DataError(f"{request.layout}, well {key[1]}: {name} is {text!r}; a response is a number") from None


def _trained(
    request: TrainRequest, task: "Task", place: "Place", on_epoch: Callable[["Record"], None]
) -> dict[str, Any]:
    from nextplate.imaging.networks.training import train

    started = time.perf_counter()
    work = _work_folder(request.out)
    trained = train(task, place, time.perf_counter, work / "checkpoint", on_epoch)
    if place.is_first:
        _save(request, task, trained)
        shutil.rmtree(work, ignore_errors=True)
    last = {k: v for k, v in trained.history[-1].items() if k != "seconds"}
    cache = task.loader.cache
    return {
        "out": str(request.out),
        "fields": len(task.rows),
        "fields_without_label": len(cache.usable) - len(task.rows),
        "fields_unusable": [asdict(p) for p in cache.problems],
        "names": list(task.targets.names),
        "processes": place.share.world,
        **last,
        "seconds": round(time.perf_counter() - started, 3),
    }


def _save(request: TrainRequest, task: "Task", trained: "Trained") -> None:
    from nextplate.imaging.networks.folder import card_of, save_network

    cache, last = task.loader.cache, trained.history[-1]
    metrics = {f"training_{k}": float(last[k]) for k in ("loss", "accuracy", "rmse") if k in last}
    card = card_of(
        task.shape, task.targets, cache.channels, cache.downscale, request.scaling, cache.digest(task.rows), metrics,
        asdict(task.params),
    )  # fmt: skip
    save_network(trained.network, card, request.out)


def embed_plates(
    readouts: Sequence[Readout], model: Path, out: Path, pixels: Path | None = None, n_threads: int = 2
) -> dict[str, Any]:
    """Write the embeddings of plates: `out` a row per well, beside it `<name>-fields.parquet` a row per field.

    Args:
        readouts: with the channels the network was trained on.
        model: folder of a trained network.
        out: a Parquet file; replaced when it is there.
        pixels: keep the decoded fields there for the next time; None: they are removed in the end.
        n_threads: that decode and compute.

    Raises:
        DataError: a damaged network, or plates without its channels.
        DiskFull: no room; nothing half-written stays.
    """
    need_torch()
    started = time.perf_counter()
    if out.suffix != ".parquet":
        raise DataError(f"--out {out}: embeddings are a Parquet file; name it ….parquet")
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = pixels or out.with_name(f".{out.stem}.pixels")
    with full_disk_named(out):
        fields, card, waiting = _embedded(readouts, model, folder, n_threads)
        from nextplate.imaging.networks.embedding import well_embeddings

        wells = well_embeddings(fields)
        write_table(fields, out.with_name(f"{out.stem}-fields.parquet"))
        write_table(wells, out)
    if pixels is None:
        shutil.rmtree(folder, ignore_errors=True)
    bad = fields.filter(pl.col("reason") != "").select("plate", "well", "field", "reason").to_dicts()
    return {
        "out": str(out),
        "plates": [r.plate for r in readouts],
        "wells": len(wells),
        "fields": len(fields),
        "fields_unusable": bad,
        "channels": list(card.channels),
        "embedding": card.shape.n_embedding,
        "waiting": round(waiting, 4) if np.isfinite(waiting) else None,
        "seconds": round(time.perf_counter() - started, 3),
    }


def _embedded(
    readouts: Sequence[Readout], model: Path, folder: Path, n_threads: int
) -> tuple[pl.DataFrame, "Card", float]:
    import torch

    from nextplate.imaging.networks.cache import build_cache
    from nextplate.imaging.networks.embedding import field_embeddings, infer
    from nextplate.imaging.networks.folder import load_network
    from nextplate.imaging.networks.inference import FastMcnn
    from nextplate.imaging.networks.loader import Loader
    from nextplate.imaging.networks.scaling import pixel_scale

    torch.set_num_threads(n_threads)
    network, card = load_network(model)
    cache = build_cache(readouts, folder, card.channels, card.downscale, n_threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loader = Loader(cache, pixel_scale(cache, card.scaling), n_threads, is_pinned=device == "cuda")
    found = infer(FastMcnn(network, device), loader, cache.usable, time.perf_counter)
    return field_embeddings(cache, found), card, found.waiting.share
