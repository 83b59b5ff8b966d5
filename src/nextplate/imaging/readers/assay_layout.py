"""The layout that Harmony exports beside a measurement: Assaylayout/*.xml."""

from pathlib import Path

import polars as pl

from nextplate.errors import DataError
from nextplate.imaging.readers.safe_xml import child_texts, children, read_xml, walk
from nextplate.plate import parse_well, well_name

_SCHEMA = {"well": pl.String, "layer": pl.String, "value_type": pl.String, "value": pl.String}


def read_assay_layout(path: Path) -> pl.DataFrame:
    """Return one row per layer and well: well, layer (Compound, Concentration ..), value_type, value as written.

    Rows and columns are 1-based in the file. Sorted by layer as in the file, then by well.

    Raises:
        DataError: not an assay layout, or a well without row, column or value.
    """
    root = read_xml(path)
    layers = list(walk(root, "Layer"))
    if not layers:
        raise DataError(f"{path}: holds no Layer; is this a Harmony assay layout?")
    rows: list[dict[str, str]] = []
    for layer in layers:
        said = child_texts(layer)
        wells = [child_texts(well) for well in children(layer, "Well")]
        named = [
            {
                "well": _well(values, path),
                "layer": said.get("Name", ""),
                "value_type": said.get("ValueType", ""),
                "value": values.get("Value", ""),
            }
            for values in wells
        ]
        rows += sorted(named, key=lambda row: parse_well(row["well"]))
    return pl.DataFrame(rows, schema=_SCHEMA)


def _well(values: dict[str, str], path: Path) -> str:
    row, column = values.get("Row", ""), values.get("Col", "")
    if not row.isdecimal() or not column.isdecimal() or int(row) < 1 or int(column) < 1:
        raise DataError(f"{path}: a well has row {row!r} and column {column!r}; numbers from 1 are needed")
    return well_name(int(row) - 1, int(column) - 1)
