"""Embeddings as measurements: one row per field and per well, columns Embedding_000 and on."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nextplate.errors import DataError
from nextplate.imaging.networks.architecture import GRID
from nextplate.imaging.networks.batches import Batch, ahead, to_batch
from nextplate.imaging.networks.cache import BlankImage, blocks, read_field
from nextplate.imaging.networks.fields import Field, fields_of
from nextplate.imaging.networks.network import Network
from nextplate.imaging.networks.normalisation import image_scale, plate_scale
from nextplate.imaging.networks.prediction import Progress, Values, run
from nextplate.imaging.pixels import ImageKind, UnreadableImage, majority_kind
from nextplate.readout import Missing, Readout

_N_PROBES = 64


@dataclass(frozen=True, slots=True)
class Embeddings:
    """What a network saw on one plate."""

    fields: pl.DataFrame
    """plate, well, field, Embedding_000 .. (Float32); one row per field that could be read."""
    wells: pl.DataFrame
    """plate, well, n_fields, Embedding_000 ..: means over the fields; a well without one has n_fields 0 and nulls."""
    skipped: tuple[Missing, ...]
    """What is not in `fields`, and why."""


def embed(
    readout: Readout,
    network: Network,
    *,
    batch: int = 8,
    device: str = "cpu",
    precision: str = "auto",
    n_threads: int = 2,
    progress: Progress | None = None,
) -> Embeddings:
    """Embed every field of a plate; memory does not grow with the plate.

    Raises:
        DataError: the plate lacks a channel of the network, its fields are too small, or none can be read.
    """
    listed = fields_of([readout], network.channels)
    kind = _kind(readout, listed.fields, network)
    scale = _plate_scale(listed.fields, kind, network, n_threads)
    skipped = [m for _, m in listed.skipped]
    kept: list[Field] = []

    def prepare(rows: list[int]) -> list[_Read]:
        return [_read(listed.fields[row], kind, network, scale) for row in rows]

    def batches() -> Any:
        for reads in ahead(prepare, blocks(range(len(listed.fields)), batch), n_threads):
            good = [r for r in reads if r.pixels is not None]
            skipped.extend(Missing(r.field.well, r.field.field, None, r.reason) for r in reads if r.pixels is None)
            kept.extend(r.field for r in good)
            if good:
                yield _batch(good, pins=device != "cpu")

    said = run(network, batches(), len(listed.fields), device=device, precision=precision, progress=progress)
    table = field_embeddings(kept, said.features)
    wells = sorted({i.well for i in readout.images} | {m.well for m in readout.missing})
    return Embeddings(table, well_embeddings(table, readout.plate, wells), tuple(skipped))


def field_embeddings(fields: Sequence[Field], features: Values) -> pl.DataFrame:
    """Return plate, well, field and the embedding of each field; features have shape (fields, n)."""
    place = {"plate": [f.plate for f in fields], "well": [f.well for f in fields]}
    numbers = pl.Series("field", [f.field for f in fields], dtype=pl.Int32)
    columns = [pl.Series(name, features[:, i], dtype=pl.Float32) for i, name in enumerate(names_of(features.shape[1]))]
    return pl.DataFrame({**place}, schema={"plate": pl.String, "well": pl.String}).with_columns(numbers, *columns)


def well_embeddings(fields: pl.DataFrame, plate: str, wells: Sequence[str]) -> pl.DataFrame:
    """Average a plate's fields per well; every well given has a row."""
    names = [c for c in fields.columns if c.startswith("Embedding_")]
    means = fields.group_by("well").agg(pl.len().cast(pl.Int32).alias("n_fields"), *(pl.col(c).mean() for c in names))
    all_wells = pl.DataFrame({"plate": [plate] * len(wells), "well": list(wells)}, schema=_PLACE)
    joined = all_wells.join(means, on="well", how="left", maintain_order="left")
    return joined.with_columns(pl.col("n_fields").fill_null(0))


_PLACE = {"plate": pl.String, "well": pl.String}


def names_of(n: int) -> list[str]:
    """Return Embedding_000, Embedding_001 .. with as many digits as n needs, at least three."""
    width = max(3, len(str(n - 1)))
    return [f"Embedding_{i:0{width}d}" for i in range(n)]


@dataclass(frozen=True, slots=True)
class _Read:
    field: Field
    pixels: npt.NDArray[Any] | None
    scale: tuple[Values, Values] | None
    reason: str = ""


def _kind(readout: Readout, fields: Sequence[Field], network: Network) -> ImageKind:
    n = min(len(fields), _N_PROBES)
    kind = majority_kind(i.path for f in (fields[k * len(fields) // n] for k in range(n)) for i in f.images)
    if kind is None:
        raise DataError(f"plate {readout.plate} in {readout.folder}: none of its images can be read")
    if min(kind.height, kind.width) // network.binning < GRID:
        raise DataError(
            f"plate {readout.plate}: fields of {kind} binned by {network.binning} are smaller than {GRID} pixels"
        )
    return kind


def _plate_scale(
    fields: Sequence[Field], kind: ImageKind, network: Network, n_threads: int
) -> tuple[Values, Values] | None:
    """Return the plate's scale from a sample of fields; None when every image has its own."""
    rule = network.normalisation
    if rule.scope == "image":
        return None
    n = min(len(fields), rule.n_sampled)
    with ThreadPoolExecutor(n_threads) as pool:
        reads = list(pool.map(lambda k: _try(fields[k * len(fields) // n], kind, network.binning)[0], range(n)))
    good = [pixels for pixels in reads if pixels is not None]
    if not good:
        raise DataError(f"plate {fields[0].plate}: none of {n} sampled fields can be read")
    return plate_scale(np.stack(good), rule)


def _try(field: Field, kind: ImageKind, binning: int) -> tuple[npt.NDArray[Any] | None, str]:
    try:
        return read_field(field, kind, binning), ""
    except BlankImage as error:
        return None, f"all-zero: {error}"
    except UnreadableImage as error:
        return None, f"unreadable: {error}"


def _read(field: Field, kind: ImageKind, network: Network, scale: tuple[Values, Values] | None) -> _Read:
    pixels, reason = _try(field, kind, network.binning)
    if pixels is None:
        return _Read(field, None, None, reason)
    return _Read(field, pixels, scale or image_scale(pixels))


def _batch(reads: Sequence[_Read], *, pins: bool) -> Batch:
    pixels = np.ascontiguousarray(np.stack([r.pixels for r in reads if r.pixels is not None]).transpose(0, 2, 3, 1))
    scales = [r.scale for r in reads if r.scale is not None]
    offset, factor = (np.stack([s[i] for s in scales]) for i in (0, 1))
    return to_batch(pixels, np.arange(len(reads)), offset, factor, pins=pins)
