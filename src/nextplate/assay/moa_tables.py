"""Join tables of numbers by plate and well with a table that says what was in each well."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from nextplate.assay.feature_columns import feature_columns
from nextplate.assay.moa_predictions import Prediction
from nextplate.assay.moa_profiles import TreatedWells
from nextplate.errors import DataError
from nextplate.plate import parse_well, well_name

_NOT_FEATURES = frozenset(
    {
        *("plate", "well", "field", "batch", "compound", "concentration", "concentration_um", "moa", "is_control"),
        *("replicate", "smiles", "flags", "details", "n_expressing"),
        *("label", "split", "true", "predicted", "fold"),
    }
)
"""Columns that say which well it is or what is known of it."""
_OF_REPORTER = ("reporter_", "nc_ratio")
"""Beginnings of the names of what needs a reporter."""
_FIELD = "field"
_Place = tuple[str, str]


def treated_wells(profiles: pl.DataFrame, wells: pl.DataFrame, source: str) -> tuple[TreatedWells, tuple[str, ...]]:
    """Say what was in each well of a table of profiles.

    Args:
        profiles: columns plate, well and numbers; with a column field, a well is the median of its fields. Columns of
            names, image quality and text are no features.
        wells: columns plate, well, batch, compound, concentration_um, moa, is_control (Bbbc021.wells).
        source: where the profiles come from, for messages.

    Returns:
        The wells that both tables have, and counted notes on the others.

    Raises:
        DataError: a column is missing, no column of numbers, a bad well, a well twice, or no well in common.
    """
    table = _by_well(profiles, source)
    names = feature_names(table)
    if not names:
        raise DataError(f"{source}: no column of numbers beside plate and well; there are {_some(table.columns)}")
    table = table.select("plate", "well", pl.col(names).cast(pl.Float64))
    joined = wells.join(table, on=["plate", "well"], how="inner", maintain_order="left")
    if joined.is_empty():
        row = table.row(0, named=True) if len(table) else {"plate": "none", "well": "none"}
        raise DataError(
            f"{source}: not one well is in the image table; the first is plate {row['plate']}, {row['well']}"
        )
    notes = []
    strangers = table.join(wells, on=["plate", "well"], how="anti")
    if len(strangers):
        notes.append(f"{len(strangers)} wells of {source} are not in the image table: {_places(strangers)}")
    needed = wells.filter(pl.col("is_control") | (pl.col("moa") != ""))
    without = needed.join(table, on=["plate", "well"], how="anti")
    if len(without):
        notes.append(f"{len(without)} of {len(needed)} DMSO and annotated wells have no profile: {_places(without)}")
    return _treated(joined, names), tuple(notes)


def feature_names(table: pl.DataFrame) -> tuple[str, ...]:
    """Return the columns of numbers that describe cells."""
    return tuple(c for c in feature_columns(table) if c not in _NOT_FEATURES and not c.startswith(_OF_REPORTER))


def predictions_of(table: pl.DataFrame, wells: pl.DataFrame, source: str) -> tuple[Prediction, ...]:
    """Say of each prediction which compound and batch it is about.

    Args:
        table: columns plate, well, field, split, true, predicted; a line per image and split.
        wells: as `treated_wells`.
        source: file, for messages.

    Raises:
        DataError: a column is missing, a bad well or field, a well that the image table lacks, or a true class that
            is not the well's; line, plate and well are named.
    """
    _need(table, ("plate", "well", "field", "split", "true", "predicted"), source)
    known = {(r["plate"], r["well"]): r for r in wells.iter_rows(named=True)}
    return tuple(
        _prediction(row, known, f"{source}, line {line}")
        for line, row in enumerate(table.iter_rows(named=True), start=2)
    )


def _prediction(row: Mapping[str, object], known: Mapping[_Place, Mapping[str, object]], where: str) -> Prediction:
    well = _well(str(row["well"]), where)
    place = f"plate {row['plate']}, well {well}"
    held = known.get((str(row["plate"]), well))
    if held is None:
        raise DataError(f"{where}: {place} is not in the image table")
    true = "DMSO" if held["is_control"] else str(held["moa"])
    if row["true"] != true:
        raise DataError(
            f"{where}: {place} is {true or 'not annotated'} in the tables, its true class is {row['true']!r}"
        )
    if row["predicted"] in (None, ""):
        raise DataError(f"{where}: {place} has no predicted class")
    field = str(row["field"])
    if not field.isdecimal():
        raise DataError(f"{where}: {place}: field {field!r}; write a whole number")
    return Prediction(
        split=str(row["split"]),  # type: ignore[arg-type]  # checked where it is scored
        plate=str(row["plate"]),
        well=well,
        field=int(field),
        compound=str(held["compound"]),
        batch=str(held["batch"]),
        true=true,
        predicted=str(row["predicted"]),
    )


def _by_well(profiles: pl.DataFrame, source: str) -> pl.DataFrame:
    _need(profiles, ("plate", "well"), source)
    spelled = [_well(str(w), source) for w in profiles["well"]]
    table = profiles.with_columns(pl.col("plate").cast(pl.String), pl.Series("well", spelled, pl.String))
    if _FIELD in table.columns:
        names = feature_names(table)
        return table.group_by("plate", "well", maintain_order=True).agg(pl.col(names).fill_nan(None).median())
    twice = table.filter(table.select("plate", "well").is_duplicated())
    if len(twice):
        row = twice.row(0, named=True)
        raise DataError(
            f"{source}: plate {row['plate']}, well {row['well']} occurs twice; keep one, or add a column field"
        )
    return table


def _need(table: pl.DataFrame, columns: Sequence[str], source: str) -> None:
    if absent := [c for c in columns if c not in table.columns]:
        raise DataError(f"{source}: column {', '.join(absent)} missing; there are {_some(table.columns)}")


def _well(text: str, where: str) -> str:
    try:
        return well_name(*parse_well(text))
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _treated(joined: pl.DataFrame, names: Sequence[str]) -> TreatedWells:
    def of(column: str) -> tuple[str, ...]:
        return tuple(joined[column].to_list())

    return TreatedWells(
        plate=of("plate"),
        well=of("well"),
        batch=of("batch"),
        compound=of("compound"),
        concentration=tuple(joined["concentration_um"].to_list()),
        moa=of("moa"),
        is_control=joined["is_control"].to_numpy().astype(np.bool_),
        features=tuple(names),
        profiles=joined.select(names).to_numpy().astype(np.float64),
    )


def _places(table: pl.DataFrame) -> str:
    return _some([f"plate {p} {w}" for p, w in table.select("plate", "well").iter_rows()])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" .." if len(names) > 5 else "")
