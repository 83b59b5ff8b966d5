"""What was predicted of compounds before their plate was made, met with what was measured, over the rounds.

A met table (met.parquet of evaluate) has one row per compound that was picked by a belief and measured: compound_id,
reason, mean, spread, similarity (to the nearest tested compound at that time), label, and conformal p-values:
``p`` by the plain calibration, ``p_picked`` by that of the picks, each with the least it could have been; ``p_hit``,
the probability of a hit as the pick was believed to be one then (where viability is an endpoint, of being active and
leaving cells alive), and ``is_hit``, whether it was one; each null in tables of before it was kept. What is a hit is
said by the plate's analysis, not by the label alone: a toxic compound is none, however active.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from nextplate.acquisition.stopping import Yield
from nextplate.conformal import Known, RoundRecord, joined, once_each
from nextplate.conformal import asked_level as level_to_ask
from nextplate.prediction import BY_LOT

NEAR = 0.4
"""Tanimoto similarity (ECFP4) from which a compound counts as like a tested one."""
METHODS = ("plain", "for picks", "adaptive")
SCHEMA = pl.Schema(
    {
        "compound_id": pl.String,
        "reason": pl.String,
        "mean": pl.Float64,
        "spread": pl.Float64,
        "similarity": pl.Float64,
        "label": pl.Float64,
        **dict.fromkeys(("p", "least", "p_picked", "least_picked", "p_hit"), pl.Float64),
        "is_hit": pl.Boolean,
    }
)


def read_met(inputs: Mapping[str, Path]) -> dict[int, pl.DataFrame]:
    """Read the met tables among a step's inputs (``met-ROUND``: a folder of evaluate), by round, in order.

    Rounds without a row, and those judged before there were such tables, are left out.
    """
    return {r: table for r, table in _met_tables(inputs).items() if len(table)}


def cold_rounds(inputs: Mapping[str, Path]) -> tuple[int, ...]:
    """List the rounds that were judged and of which nothing had been predicted: their plates were drawn by lot."""
    return tuple(r for r, table in _met_tables(inputs).items() if table.is_empty())


def _met_tables(inputs: Mapping[str, Path]) -> dict[int, pl.DataFrame]:
    named = {int(name.removeprefix("met-")): path for name, path in inputs.items() if name.startswith("met-")}
    found = {r: pl.read_parquet(f) for r, path in sorted(named.items()) if (f := path / "met.parquet").exists()}
    return {r: _completed(table) for r, table in found.items()}


def _completed(table: pl.DataFrame) -> pl.DataFrame:
    missing = [name for name in ("p_hit", "is_hit") if name not in table.columns]
    return table.with_columns(pl.lit(None, SCHEMA[name]).alias(name) for name in missing)


def _is_hit(threshold: float) -> pl.Expr:
    """Tell hits of a met table; where it was not kept, by the label."""
    return pl.col("is_hit").fill_null(pl.col("label") >= threshold)


def yields(met: Mapping[int, pl.DataFrame], threshold: float) -> tuple[Yield, ...]:
    """Tell of every earlier plate what its picks promised and gave, oldest first.

    Rounds of before P(hit) was kept are left out.

    Args:
        met: met tables by round.
        threshold: the least label of a hit, for tables of before hits were kept.
    """
    told = [table.filter(pl.col("p_hit").is_finite()).with_columns(_is_hit(threshold)) for table in met.values()]
    return tuple(Yield(float(t["p_hit"].sum()), int(t["is_hit"].sum())) for t in told if len(t))


def known_out_of_fold(oof: pl.DataFrame) -> Known:
    """Take oof.parquet of fit; labelled compounds that could not be predicted without their own label are left out."""
    return _known(oof, oof["is_hit"].to_numpy().astype(bool), is_foreseen=False).finite()


def known_once(oof: pl.DataFrame, met: Mapping[int, pl.DataFrame], threshold: float) -> Known:
    """Take every labelled compound once: as it was predicted before it was measured, else out of fold (once_each).

    Args:
        oof: oof.parquet of fit.
        met: met tables by round.
        threshold: the least label of a hit, for compounds no longer in oof, of tables of before hits were kept.
    """
    unseen = known_out_of_fold(oof)
    if not met:
        return unseen
    hits = oof.select("compound_id", by_all="is_hit")
    parts = [table.join(hits, on="compound_id", how="left", maintain_order="left") for table in met.values()]
    tables = [table.with_columns(is_hit=pl.coalesce("by_all", _is_hit(threshold))) for table in parts]
    before = [_known(table, table["is_hit"].to_numpy().astype(bool), is_foreseen=True) for table in tables]
    return once_each(unseen, joined(before))


def _known(frame: pl.DataFrame, is_hit: npt.NDArray[np.bool_], *, is_foreseen: bool) -> Known:
    unsure = frame.with_columns(pl.col("similarity").fill_null(float("nan")))
    mean, spread, similarity, y = (unsure[name].to_numpy() for name in ("mean", "spread", "similarity", "label"))
    ids = frame["compound_id"].to_numpy().astype(np.str_)
    return Known(ids, mean, spread, similarity, y, is_hit, np.full(len(frame), is_foreseen))


def asked_level(met: Mapping[int, pl.DataFrame], level: float) -> float:
    """Give the level to ask for so that picks are covered at ``level``, from every round so far."""
    return level_to_ask([_picked(table)["p_picked"].to_numpy() for table in met.values()], level)


def _picked(table: pl.DataFrame) -> pl.DataFrame:
    return table.filter(pl.col("reason") != BY_LOT)


def records(met: Mapping[int, pl.DataFrame], level: float) -> tuple[RoundRecord, ...]:
    """Write the rounds as records for coverage_rows: plain and picks' intervals, and those of the adaptive level.

    A record knows p-values, not levels: those of the adaptive method are moved by as much as the level was in that
    round, and so tell coverage at ``level`` and at no other.
    """
    found = [_record(r, t, METHODS[0], t["p"], t["least"]) for r, t in met.items()]
    found += [_record(r, t, METHODS[1], t["p_picked"], t["least_picked"]) for r, t in met.items()]
    seen: dict[int, pl.DataFrame] = {}
    for r, table in met.items():
        moved = asked_level(seen, level) - level
        p, least = (np.clip(table[c].to_numpy() + moved, 0, 1) for c in ("p_picked", "least_picked"))
        found.append(_record(r, table, METHODS[2], pl.Series(p), pl.Series(least)))
        seen[r] = table
    return tuple(found)


def _record(r: int, table: pl.DataFrame, method: str, p: pl.Series, least: pl.Series) -> RoundRecord:
    similarity = table["similarity"].fill_nan(None).fill_null(0.0).to_numpy()
    classes = np.where(similarity >= NEAR, f"like a tested one (>= {NEAR:g})", f"new chemistry (< {NEAR:g})")
    is_picked = (table["reason"] != BY_LOT).to_numpy()
    return RoundRecord(r + 1, p.to_numpy(), is_picked, classes, least.to_numpy(), method=method)
