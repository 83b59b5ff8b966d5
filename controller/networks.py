"""Whole-image networks on an operator's command: train, embed, show."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from controller.files import full_disk_named, write_bytes
from controller.lock import lab_lock
from controller.measuring import ReadoutRequest, find_readout
from nextplate.assay import read_measured_layout
from nextplate.assay.measured_layout import MeasuredWell
from nextplate.errors import DataError, ModelError
from nextplate.plate import Role
from nextplate.readout import Readout

if TYPE_CHECKING:
    from nextplate.imaging.networks.architecture import Architecture
    from nextplate.imaging.networks.network import Network
    from nextplate.imaging.networks.normalisation import Normalisation
    from nextplate.imaging.networks.recipe import Recipe
    from nextplate.imaging.networks.training import Shown
    from nextplate.imaging.networks.workers import Worker

Progress = Callable[[int, int], None]
TREATMENT = "treatment"
"""The label that is compound and dose; of negative controls 'negative'."""


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What an operator asked to be trained."""

    plates: tuple[ReadoutRequest, ...]
    layout: Path
    label: str
    """treatment, role, compound, dose or another column of the layout; several joined by '+'."""
    is_response: bool
    """Numbers to be predicted, not classes."""
    out: Path
    """Folder of the network; must not exist."""
    channels: tuple[str, ...]
    """Empty: all of the first plate."""
    binning: int
    held_out: float
    """Share of the wells that is not trained on and judges the network; 0: none."""
    recipe: "Recipe"
    normalisation: "Normalisation"
    hidden: int
    first_branch: int
    device: str
    n_threads: int
    max_gib: float


def run_train(request: TrainRequest, progress: Progress) -> dict[str, Any]:
    """Train a network and save it; stopped, the same command goes on from the last checkpoint.

    Raises:
        DataError: plates or layout cannot be used, or the network exists already.
        ModelError: there is nothing to learn.
    """
    need_torch()
    from nextplate.imaging.networks.architecture import Architecture
    from nextplate.imaging.networks.fields import fields_of, to_target
    from nextplate.imaging.networks.workers import joined

    r = request
    if r.out.exists():
        raise ModelError(f"{r.out}: exists already; a network is never overwritten")
    readouts = [find_readout(p) for p in r.plates]
    fields = fields_of(readouts, r.channels or None)
    target = to_target(fields, layout_labels(r.layout, r.label, readouts), r.label, is_response=r.is_response)
    worker = this_worker(r.device, r.n_threads)
    work = r.out.with_name(f".{r.out.name}-work")
    with _held(work, worker), joined(worker):
        cache = shared_cache(work / "fields", fields, worker, r.binning, r.max_gib, r.n_threads)
        test = _test_rows(fields, r.held_out, r.recipe.seed)
        shown = _shown(cache, fields, target, ~test, r.normalisation)
        n_outputs = 1 if target.classes is None else len(target.classes)
        shape = Architecture(len(fields.channels), n_outputs, hidden=r.hidden, first_branch=r.first_branch)
        started = time.perf_counter()
        network, told = train_once(
            shown, shape, r.recipe, worker, r.out, work / "checkpoints", r.n_threads, progress, test
        )
    body = {
        "network": str(r.out),
        "target": target.name,
        "classes": target.classes,
        "fields": len(fields.fields),
        "trained_on": len(shown.usable),
        "problems": len(cache.problems),
        "skipped": len(fields.skipped),
        "metrics": dict(network.metrics),
        "seconds": round(time.perf_counter() - started, 2),
        **told,
    }
    if worker.is_first:
        shutil.rmtree(work, ignore_errors=True)
    return body


@contextmanager
def _held(work: Path, worker: "Worker") -> Iterator[None]:
    """Keep a second training away from the folder this one works in.

    Raises:
        LabBusy: there is one.
    """
    if not worker.is_first:
        yield
        return
    work.mkdir(parents=True, exist_ok=True)
    with lab_lock(work, "nextplate network train"):
        yield


def need_torch() -> None:
    """Refuse to go on without the libraries of the extra `deep`.

    Raises:
        DataError: says how to install them.
    """
    if absent := [name for name in ("torch", "safetensors") if find_spec(name) is None]:
        raise DataError(f"networks need {' and '.join(absent)}; install them: pip install 'nextplate[deep]'")


def layout_labels(layout: Path, label: str, readouts: Sequence[Readout]) -> dict[tuple[str | None, str], str]:
    """Return the label of every occupied well by (plate, well); several columns joined by '+' are one, 'a@b'.

    A well whose cell is empty in one of the columns has no label.

    Raises:
        DataError: the layout cannot be read, or has no such column.
    """
    columns = [name.strip() for name in label.split("+")]
    found: dict[tuple[str | None, str], str] = {}
    for readout in readouts:
        for well in read_measured_layout(layout, readout.plate).occupied():
            texts = [label_of(well, name, layout) for name in columns]
            if all(texts):
                found[readout.plate, well.well] = "@".join(texts)
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


def this_worker(device: str, n_threads: int) -> "Worker":
    """Return who this process is among torchrun's, and let torch use that many threads."""
    import torch

    from nextplate.imaging.networks.workers import worker_of

    torch.set_num_threads(max(1, n_threads))
    return worker_of(os.environ, device)


def shared_cache(
    folder: Path,
    fields: Any,
    worker: "Worker",
    binning: int,
    max_gib: float,
    n_threads: int,
    progress: Progress | None = None,
) -> Any:
    """Decode the fields in the first process and open them in all."""
    from nextplate.imaging.networks.cache import fill_cache
    from nextplate.imaging.networks.workers import wait_for_all

    def fill() -> Any:
        with full_disk_named(folder):
            return fill_cache(folder, fields, binning=binning, max_gib=max_gib, n_threads=n_threads, progress=progress)

    if worker.is_first:
        cache = fill()
        wait_for_all(worker)
        return cache
    wait_for_all(worker)
    return fill()


def train_once(
    shown: "Shown",
    shape: "Architecture",
    recipe: "Recipe",
    worker: "Worker",
    folder: Path,
    checkpoints: Path,
    n_threads: int,
    progress: Progress,
    test: Any,
) -> tuple["Network", dict[str, Any]]:
    """Train and save a network, or load the same one trained before; return how it went.

    `test`, shape (fields,), says which rows are held out; their metrics go into the card.
    """
    from nextplate.imaging.networks.network import load_network, save_network
    from nextplate.imaging.networks.training import train, training_key
    from nextplate.imaging.networks.workers import wait_for_all

    if folder.exists():
        network = load_network(folder)
        if network.training != training_key(shown, shape, recipe, worker.n_workers):
            raise DataError(f"{folder}: was trained with other data or settings; give another folder, or remove it")
        return network, {"first_step": None, "images_per_s": None, "waiting_share": None}
    trained = train(
        shown, shape, recipe, worker=worker, checkpoints=checkpoints, n_threads=n_threads, progress=progress,
        clock=time.perf_counter,
    )  # fmt: skip
    network = trained.network
    if worker.is_first:
        metrics = {**network.metrics, **_judged(network, shown, test, worker.device, n_threads)}
        network = replace(network, metrics=metrics)
        with full_disk_named(folder):
            save_network(network, folder)
        shutil.rmtree(checkpoints, ignore_errors=True)
    wait_for_all(worker)
    spent = trained.wait_s + trained.compute_s
    n_images = (len(trained.losses) - trained.first_step) * recipe.batch * worker.n_workers
    return network, {
        "first_step": trained.first_step,
        "images_per_s": round(n_images / spent, 2) if spent else None,
        "waiting_share": round(trained.wait_s / spent, 4) if spent else None,
    }


def _judged(network: "Network", shown: "Shown", test: Any, device: str, n_threads: int) -> dict[str, float]:
    """Judge a network on the rows held out: of the wells trained on nothing is said here."""
    from nextplate.imaging.networks.prediction import predict, rms_error, share_correct

    held = np.flatnonzero(test)
    rows = np.intersect1d(np.intersect1d(held, shown.cache.usable), shown.target.known)
    if len(rows) == 0:
        return {}
    said = predict(network, shown.cache, shown.fields, rows, device=device, n_threads=n_threads)
    values = shown.target.values[rows]
    if network.classes is not None:
        return {"held_out_accuracy": share_correct(said.outputs, values), "held_out_fields": float(len(rows))}
    return {"held_out_rms_error": rms_error(said.outputs, values), "held_out_fields": float(len(rows))}


def _test_rows(fields: Any, share: float, seed: int) -> Any:
    """Hold out whole wells: two fields of a well are no independent witnesses."""
    from nextplate.imaging.networks.prediction import held_out

    if not 0 <= share < 1:
        raise DataError(f"the share held out is {share}; it lies in [0, 1)")
    groups = [f"{f.plate}/{f.well}" for f in fields.fields]
    if share == 0 or len(set(groups)) < 2:
        return np.zeros(len(groups), dtype=np.bool_)
    return held_out(groups, share, np.random.default_rng([seed, 3]))


def _shown(cache: Any, fields: Any, target: Any, train_on: Any, normalisation: "Normalisation") -> "Shown":
    from nextplate.imaging.networks.training import Shown

    return Shown(cache, fields, target, np.flatnonzero(train_on), normalisation)


def train_text(body: dict[str, Any]) -> str:
    """Say in a few lines what was trained."""
    metrics = ", ".join(f"{k.replace('_', ' ')} {v:.4g}" for k, v in body["metrics"].items())
    what = f"{len(body['classes'])} classes" if body["classes"] else "a response"
    lines = [
        f"trained on {body['trained_on']} of {body['fields']} fields: {what} of {body['target']}; {metrics}",
        f"left out: {body['skipped']} incomplete and {body['problems']} unreadable fields",
    ]
    if body["images_per_s"]:
        lines.append(
            f"{body['images_per_s']} images/s, {100 * body['waiting_share']:.1f} % of the time waiting for pixels"
        )
    return "\n".join([*lines, f"wrote {body['network']}"])


def run_embed(
    plates: Sequence[ReadoutRequest],
    network: Path,
    out: Path,
    *,
    device: str,
    n_threads: int,
    batch: int,
    progress: Progress,
) -> dict[str, Any]:
    """Embed plates and write wells to `out` (Parquet) and fields beside it (NAME.fields.parquet).

    Raises:
        DataError: a plate or the network cannot be used.
    """
    need_torch()
    import io

    import polars as pl

    from nextplate.imaging.networks.embedding import embed
    from nextplate.imaging.networks.network import load_network

    if out.suffix != ".parquet":
        raise DataError(f"{out}: embeddings are written as Parquet; give a name that ends in .parquet")
    loaded = load_network(network)
    worker = this_worker(device, n_threads)
    found = [
        embed(
            find_readout(plate), loaded,
            device=worker.device, n_threads=n_threads, batch=batch, progress=progress,
        )
        for plate in plates
    ]  # fmt: skip
    for path, parts in ((out, [e.wells for e in found]), (fields_path(out), [e.fields for e in found])):
        buffer = io.BytesIO()
        pl.concat(parts).write_parquet(buffer)
        write_bytes(path, buffer.getvalue())
    return {
        "wells": sum(e.wells.height for e in found),
        "fields": sum(e.fields.height for e in found),
        "features": loaded.architecture.n_features,
        "skipped": [
            {"well": m.well, "field": m.field, "channel": m.channel, "reason": m.reason}
            for e in found
            for m in e.skipped
        ],
        "out": str(out),
        "out_fields": str(fields_path(out)),
    }


def fields_path(out: Path) -> Path:
    """Return where the table of fields goes."""
    return out.with_suffix(".fields.parquet")


def embed_text(body: dict[str, Any]) -> str:
    """Say in a few lines what was embedded."""
    shown = [f"  {m['well']} field {m['field']}: {m['reason']}" for m in body["skipped"][:10]]
    more = [f"  and {len(body['skipped']) - 10} more"] if len(body["skipped"]) > 10 else []
    head = f"{body['fields']} fields of {body['wells']} wells, {body['features']} features each; wrote {body['out']}"
    return "\n".join([head, *([f"left out: {len(body['skipped'])}"] if shown else []), *shown, *more])


def show_text(card: dict[str, Any]) -> str:
    """Say in a few lines what a network is."""
    a = card["architecture"]
    classes = ", ".join(card["classes"]) if card["classes"] else "a response"
    metrics = ", ".join(f"{k} {v:.4g}" for k, v in card["metrics"].items() if v is not None) or "none"
    return "\n".join(
        [
            f"target     {card['target']}: {classes}",
            f"channels   {', '.join(card['channels'])}, pixels binned by {card['binning']}",
            f"network    {card['n_parameters'] / 1e6:.2f} M parameters, head {a['head']}, embedding of "
            f"{a['hidden'] or a['mixed']}, first branch at 1/{2 ** a['first_branch']}",
            f"pixels     scaled per {card['normalisation']['scope']}",
            f"metrics    {metrics}",
            f"trained    on {card['training'].get('n_rows', '?')} fields, data {card['data_digest'][:12]}",
            f"made by    nextplate {card['nextplate']}, torch {card['torch']}",
        ]
    )
