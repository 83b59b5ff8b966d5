"""BBBC013: do wells of the same series and dose find each other, by a network's embedding and by measured features?

Leave one replicate out: a replicate is one row of each series (A and E, B and F, ..). A network is trained on the wells
of the three other replicates, labelled by series and dose; wells held out ask for their nearest training well by
cosine. Features measured per nucleus go through the same protocol. Every scaling is learned on the training wells.

What the plate cannot tell apart: dose is the column and series is the half of the plate, so a column effect would help
both kinds of profile alike.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from bench.table import spread
from nextplate.assay.features import select_features
from nextplate.assay.retrieval import average_precision, cosine
from nextplate.assay.sphering import fit_sphering
from nextplate.features import select
from nextplate.imaging import MeasureParams, measure
from nextplate.readout import FieldImage, Readout

CHANNELS = ("DNA", "FKHR-GFP")
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plate:
    """The plate, well by well."""

    readout: Readout
    wells: tuple[str, ...]
    role: npt.NDArray[np.str_]
    series: npt.NDArray[np.str_]
    dose: npt.NDArray[np.int64]
    replicate: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """Of one held-out replicate, shares of its 18 sample wells."""

    near_dose: float
    """Nearest training well has a dose index within 1."""
    series: float
    """.. is of the same series."""
    both: float
    precision: float
    """Mean average precision of finding the three training wells of the same series and dose among 54."""


def plate() -> Plate:
    """Open the plate of NEXTPLATE_DATA."""
    root = Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "images" / "bbbc013"
    layout = pl.read_csv(root / "layout.csv").sort("well")
    rows = pl.read_csv(root / "images.csv").sort("well", "channel_name")
    images = tuple(
        FieldImage("BBBC013", r["well"], 1, r["channel_name"], root / "images" / r["file"], None)
        for r in rows.iter_rows(named=True)
    )
    wells = layout["well"].to_list()
    return Plate(
        readout=Readout("by hand", "BBBC013", root, CHANNELS, images, (), True),
        wells=tuple(wells),
        role=np.array(layout["role"].to_list()),
        series=np.array(layout["compound"].to_list()),
        dose=layout["dose"].cast(pl.Int64).to_numpy(),
        replicate=np.array([(ord(w[0]) - 65) % 4 for w in wells]),
    )


def measured(p: Plate) -> tuple[Values, tuple[str, ...]]:
    """Return the classical profile of every well: counts, the ratio, and medians of all features per nucleus."""
    params = MeasureParams(dna=CHANNELS[0], reporter=CHANNELS[1], features=select(["all"]))
    wells = measure(p.readout, params).wells.sort("well")
    judging = ("debris_share", "nuclear_likeness", "saturated_share")
    known = [c for c in wells.columns if wells[c].dtype.is_float() and c not in judging and not c.endswith("_mad")]
    names = (*known, "n_cells", "n_expressing")
    return wells.select(pl.col(names).cast(pl.Float64).fill_null(float("nan"))).to_numpy(), names


def embedded(
    p: Plate,
    replicate: int,
    folder: Path,
    *,
    epochs: int,
    binning: int,
    crop_px: int,
    seed: int,
    learns: str = "treatment",
) -> Values:
    """Train on the other replicates and embed every well; epochs 0: the weights as drawn.

    `learns` is 'treatment', a class per series and dose, or 'dose', the index as a response.
    """
    from nextplate.imaging.networks.architecture import Architecture
    from nextplate.imaging.networks.augmentation import Augmentation
    from nextplate.imaging.networks.cache import fill_cache
    from nextplate.imaging.networks.fields import fields_of, to_target
    from nextplate.imaging.networks.normalisation import Normalisation
    from nextplate.imaging.networks.prediction import predict
    from nextplate.imaging.networks.recipe import Recipe
    from nextplate.imaging.networks.training import Shown, train

    fields = fields_of([p.readout])
    is_response = learns == "dose"
    labels = {
        (None, w): str(d) if is_response else f"{s}@{d}" for w, s, d in zip(p.wells, p.series, p.dose, strict=True)
    }
    target = to_target(fields, labels, learns, is_response=is_response)
    cache = fill_cache(folder, fields, binning=binning)
    place = {w: i for i, w in enumerate(p.wells)}
    of_row = np.array([place[f.well] for f in fields.fields])
    rows = np.flatnonzero(p.replicate[of_row] != replicate)
    recipe = Recipe(
        n_epochs=max(epochs, 1), batch=12, learning_rate=2e-3 if epochs else 1e-12, seed=seed,
        label_smoothing=0.1, weight_decay=1e-3, augmentation=Augmentation(crop_px=crop_px),
    )  # fmt: skip
    shape = Architecture(2, 1 if target.classes is None else len(target.classes))
    trained = train(Shown(cache, fields, target, rows, Normalisation()), shape, recipe, n_threads=1)
    said = predict(trained.network, cache, fields, np.arange(len(fields.fields)), n_threads=1)
    out = np.empty((len(p.wells), said.features.shape[1]))
    out[of_row] = said.features
    return out


def retrieval(p: Plate, values: Values, names: Sequence[str], replicate: int, scaling: str) -> Found:
    """Ask the held-out samples for their nearest training samples."""
    train = p.replicate != replicate
    kept = select_features(values[train], names)
    columns = [list(names).index(name) for name in kept.kept]
    x = np.nan_to_num(values[:, columns])
    x = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
    if scaling == "sphered":
        negative = train & (p.role == "negative")
        moves = x[negative].std(axis=0) > 1e-3
        x = fit_sphering(x[negative][:, moves]).apply(x[:, moves])
    asks, has = (np.flatnonzero(m & (p.role == "sample")) for m in (~train, train))
    near = cosine(x[asks], x[has])
    best = has[near.argmax(axis=1)]
    close = np.abs(p.dose[best] - p.dose[asks]) <= 1
    same = p.series[best] == p.series[asks]
    twin = (p.series[has] == p.series[asks][:, None]) & (p.dose[has] == p.dose[asks][:, None])
    precision = average_precision(near, twin, np.ones_like(twin))
    return Found(float(close.mean()), float(same.mean()), float((close & same).mean()), float(precision.mean()))


def table(rows: dict[str, list[Found]]) -> str:
    """Write mean +- sample sd over the four held-out replicates."""
    head = "| profile | dose within 1 | series | both | mAP of the same treatment |\n|---|---|---|---|---|\n"
    body = ""
    for name, found in rows.items():
        cells = [
            spread([100 * getattr(f, key) for f in found], 1) for key in ("near_dose", "series", "both", "precision")
        ]
        body += f"| {name} | {' | '.join(cells)} |\n"
    return head + body


EPOCHS = {"treatment": 100, "dose": 60}


def experiment(folder: Path, *, binning: int = 2, crop_px: int = 128, seed: int = 1) -> dict[str, list[Found]]:
    """Run all profiles through the protocol; `folder` holds the decoded fields."""
    p = plate()
    profiles: dict[str, list[tuple[Values, list[str]]]] = {}
    values, names = measured(p)
    profiles["measured features"] = [(values, list(names))] * 4
    for learns in ("untrained", *EPOCHS):
        each = []
        for r in range(4):
            epochs, target = EPOCHS.get(learns, 0), learns if learns in EPOCHS else "treatment"
            found = embedded(p, r, folder, epochs=epochs, binning=binning, crop_px=crop_px, seed=seed, learns=target)
            each.append((found, [f"{learns}{i}" for i in range(found.shape[1])]))
        title = f"network, learned {learns}" if epochs else "network, untrained"
        profiles[title] = each
        print(f"{title}: done", flush=True)
    parts = ("network, learned treatment", "network, learned dose")
    profiles["both networks"] = [_beside([profiles[name][r] for name in parts]) for r in range(4)]
    parts = ("measured features", *parts)
    profiles["measured features and both networks"] = [_beside([profiles[n][r] for n in parts]) for r in range(4)]
    return {
        f"{name}, {scaling}": [retrieval(p, *each[r], r, scaling) for r in range(4)]
        for scaling in ("standardised", "sphered")
        for name, each in profiles.items()
    }


def _beside(parts: list[tuple[Values, list[str]]]) -> tuple[Values, list[str]]:
    return np.column_stack([values for values, _ in parts]), [name for _, names in parts for name in names]
