"""nextplate moa --train: networks trained under three splits, and what they say of images they never saw.

::

    OUT/
      fields/              decoded images, read by every training
      networks/SPLIT-FOLD/ finished networks; the same command does not train them again
      predictions.parquet  plate, well, field, split, true, predicted: what `--predictions` reads
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from controller.analysis import write_table
from controller.files import full_disk_named
from controller.networks import Progress, need_torch, shared_cache, this_worker, train_once
from nextplate.assay.moa_splits import SPLITS, Fold, Split, compound_batch_split, compound_split, random_split
from nextplate.errors import DataError
from nextplate.imaging.bbbc021 import Bbbc021

if TYPE_CHECKING:
    from nextplate.imaging.networks.cache import FieldCache
    from nextplate.imaging.networks.fields import Fields, Target
    from nextplate.imaging.networks.recipe import Recipe
    from nextplate.imaging.networks.workers import Worker


@dataclass(frozen=True, slots=True)
class TrainChoice:
    """How the networks are trained."""

    recipe: "Recipe"
    n_folds: int = 5
    binning: int = 4
    is_half: bool = False
    """Without the full-resolution branch."""
    device: str = "auto"
    max_gib: float = 64.0


@dataclass(frozen=True, slots=True)
class _Images:
    """Annotated fields with pixels, and what is known of each; rows are of the cache."""

    cache: "FieldCache"
    fields: "Fields"
    target: "Target"
    rows: Any
    held: tuple[dict[str, Any], ...]
    """The well of each of `rows`: moa, compound, batch."""


def train_and_predict(
    copy: Bbbc021, choice: TrainChoice, out: Path, n_threads: int, progress: Progress
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Train a network per fold of the three splits; return and write the predictions, and return counts.

    Raises:
        DataError: no images, several processes, or `out` holds networks of other data or settings.
        DiskFull: no room; finished networks stay.
    """
    need_torch()
    worker = this_worker(choice.device, n_threads)
    if worker.n_workers > 1:
        raise DataError("--train runs in one process; start it without torchrun")
    images = _images(copy, choice, out, worker, n_threads)
    splits = _splits(images, choice)
    jobs = [(split, k, fold) for split in splits for k, fold in enumerate(split.folds)]
    tables, n_new = [], 0
    for done, (split, k, fold) in enumerate(jobs):
        table, is_new = _fold(images, choice, f"{split.name}-{k}", fold, out, worker, n_threads)
        tables.append(table.with_columns(pl.lit(split.name).alias("split")))
        n_new += is_new
        progress(done + 1, len(jobs))
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    whole = pl.concat(tables).select("plate", "well", "field", "split", "true", "predicted")
    with full_disk_named(out):
        write_table(whole, out / "predictions.parquet")
    return whole, _counts(images, splits, n_new)


def _images(copy: Bbbc021, choice: TrainChoice, out: Path, worker: "Worker", n_threads: int) -> _Images:
    from nextplate.imaging.networks.fields import fields_of, to_target

    fields = fields_of(copy.readouts)
    wells = {(r["plate"], r["well"]): r for r in copy.wells.iter_rows(named=True)}
    labels: dict[tuple[str | None, str], str] = {key: str(r["moa"]) for key, r in wells.items() if r["moa"]}
    target = to_target(fields, labels, "moa")
    cache = shared_cache(out / "fields", fields, worker, choice.binning, choice.max_gib, n_threads)
    rows = np.intersect1d(cache.usable, target.known)
    places = [fields.fields[i] for i in rows]
    return _Images(cache, fields, target, rows, tuple(wells[f.plate, f.well] for f in places))


def _splits(images: _Images, choice: TrainChoice) -> tuple[Split, ...]:
    moas, compounds, batches = ([str(h[key]) for h in images.held] for key in ("moa", "compound", "batch"))
    draws = [np.random.default_rng([choice.recipe.seed, 5, i]) for i in range(len(SPLITS))]
    n = choice.n_folds
    return (
        random_split(moas, n, draws[0]),
        compound_split(moas, compounds, n, draws[1]),
        compound_batch_split(moas, compounds, batches, n, draws[2]),
    )


def _fold(
    images: _Images, choice: TrainChoice, name: str, fold: Fold, out: Path, worker: "Worker", n_threads: int
) -> tuple[pl.DataFrame, bool]:
    """Train on one fold, or load what was trained before, and ask it of the fold's test images."""
    from nextplate.imaging.networks.architecture import Architecture
    from nextplate.imaging.networks.normalisation import Normalisation
    from nextplate.imaging.networks.prediction import predict
    from nextplate.imaging.networks.training import Shown

    rows, classes = images.rows[fold.test], images.target.classes or ()
    train_rows = images.rows[fold.train]
    if len(np.unique(images.target.values[train_rows])) < 2:  # one class is left: nothing to learn, one answer
        only = classes[int(images.target.values[train_rows][0])]
        return _table(images, rows, [only] * len(rows)), False
    shown = Shown(images.cache, images.fields, images.target, train_rows, Normalisation())
    shape = Architecture(len(images.fields.channels), len(classes), first_branch=int(choice.is_half))
    nothing_held_out = np.zeros(len(images.fields.fields), dtype=np.bool_)
    network, told = train_once(
        shown, shape, choice.recipe, worker, out / "networks" / name, out / "checkpoints" / name, n_threads,
        lambda _done, _total: None, nothing_held_out,
    )  # fmt: skip
    said = predict(network, images.cache, images.fields, rows, device=worker.device, n_threads=n_threads)
    return _table(images, rows, [classes[i] for i in said.outputs.argmax(1)]), told["first_step"] is not None


def _table(images: _Images, rows: Any, predicted: list[str]) -> pl.DataFrame:
    classes, values = images.target.classes or (), images.target.values
    places = [images.fields.fields[i] for i in rows]
    return pl.DataFrame(
        {
            "plate": [f.plate for f in places],
            "well": [f.well for f in places],
            "field": [f.field for f in places],
            "true": [classes[int(values[i])] for i in rows],
            "predicted": predicted,
        }
    )


def _counts(images: _Images, splits: tuple[Split, ...], n_new: int) -> dict[str, Any]:
    return {
        "fields": len(images.rows),
        "fields_left_out": len(images.cache.problems) + len(images.fields.skipped),
        "networks_trained_now": n_new,
        "folds": {s.name: len(s.folds) for s in splits},
        "untestable": {s.name: list(s.untestable) for s in splits},
        "images_untested": {s.name: s.n_untested for s in splits},
    }
