"""Embeddings as measurements: a row of numbers per field, and their mean per well."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from nextplate.imaging.networks.cache import PixelCache
from nextplate.imaging.networks.inference import FastMcnn
from nextplate.imaging.networks.loader import Clock, Loader, Rows, Waiting

Values = npt.NDArray[np.float32]
_BATCH = 8


@dataclass(frozen=True, slots=True)
class Inferred:
    """What a network says about some fields, in their order."""

    rows: Rows
    """Of the cache."""
    outputs: Values
    """Shape (fields, outputs): logits of classes, or standardised responses."""
    embeddings: Values
    """Shape (fields, n_embedding)."""
    waiting: Waiting


def infer(network: FastMcnn, loader: Loader, rows: Rows, clock: Clock, batch_size: int = _BATCH) -> Inferred:
    """Run whole fields through a network."""
    waiting = Waiting()
    outputs: list[Values] = []
    embeddings: list[Values] = []
    for batch in loader.whole(rows, batch_size, waiting, clock):
        output, embedding = network(batch.scaled(network.device, network.dtype))
        outputs.append(output.numpy())
        embeddings.append(embedding.numpy())
    if not outputs:
        empty = np.zeros((0, network.n_embedding), np.float32)
        return Inferred(rows, np.zeros((0, 0), np.float32), empty, waiting)
    return Inferred(rows, np.concatenate(outputs), np.concatenate(embeddings), waiting)


def field_embeddings(cache: PixelCache, found: Inferred) -> pl.DataFrame:
    """Return a row per field: plate, well, field, Embedding_000 ..; fields that cannot be used have empty ones.

    They are never dropped; `reason` says what is wrong and is empty otherwise.
    """
    reasons = {(p.plate, p.well, p.field): p.reason for p in cache.problems}
    wanted = {int(row): i for i, row in enumerate(found.rows)}
    values = np.full((len(cache.fields), found.embeddings.shape[1]), np.nan, np.float32)
    values[list(wanted)] = found.embeddings[list(wanted.values())]
    fields = cache.fields
    return pl.DataFrame(
        {
            "plate": [f.plate for f in fields],
            "well": [f.well for f in fields],
            "field": [f.field for f in fields],
            "reason": [reasons.get((f.plate, f.well, f.field), "") for f in fields],
        }
    ).hstack(_columns(values))


def well_embeddings(fields: pl.DataFrame) -> pl.DataFrame:
    """Return a row per well in the order of the fields: plate, well, n_fields, and the mean over usable fields."""
    names = [c for c in fields.columns if c.startswith("Embedding_")]
    return fields.group_by("plate", "well", maintain_order=True).agg(
        (pl.col("reason") == "").sum().alias("n_fields"), pl.col(names).mean()
    )


def embedding_names(n: int) -> list[str]:
    """Name the columns: Embedding_000, Embedding_001 .."""
    return [f"Embedding_{i:03d}" for i in range(n)]


def _columns(values: Values) -> pl.DataFrame:
    frame = pl.DataFrame(values, schema=embedding_names(values.shape[1]), orient="row")
    return frame.with_columns(pl.all().fill_nan(None))
