"""Tables of profiles as measuring and networks write them, joined with what was in the wells."""

import numpy as np
import polars as pl
import pytest

from nextplate.assay.moa_tables import feature_names, treated_wells
from nextplate.errors import DataError


def wells() -> pl.DataFrame:
    rows = [
        ("P1", "B02", "DMSO", 0.0, "", True),
        ("P1", "B03", "a", 1.0, "X", False),
        ("P1", "B04", "u", 1.0, "", False),
    ]
    names = ["plate", "well", "compound", "concentration_um", "moa", "is_control"]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(batch=pl.lit("Week1"))


def test_a_table_of_fields_becomes_the_medians_of_wells():
    """As a network's embeddings of fields: an unusable field has a reason and no numbers."""
    fields = pl.DataFrame(
        {
            "plate": ["P1"] * 5,
            "well": ["B02", "B02", "B02", "B3", "b03"],
            "field": [1, 2, 3, 1, 2],
            "reason": ["", "", "", "", "unreadable: cut short"],
            "n_cells": [3, 9, 5, 7, 8],
            "Embedding_000": pl.Series([1.0, 2.0, float("nan"), 4.0, None], dtype=pl.Float32),
        }
    )
    found, notes = treated_wells(fields, wells(), "fields.parquet")
    assert found.features == ("n_cells", "Embedding_000")
    np.testing.assert_array_equal(found.profiles, [[5, 1.5], [7.5, 4.0]])
    assert (found.well, found.is_control.tolist(), found.moa) == (("B02", "B03"), [True, False], ("", "X"))
    assert notes == ()


def test_what_only_one_table_has_is_counted():
    table = pl.DataFrame({"plate": ["P1", "P1"], "well": ["B02", "H12"], "x": [1.0, 2.0]})
    found, notes = treated_wells(table, wells(), "t.csv")
    assert found.well == ("B02",)
    assert notes == (
        "1 wells of t.csv are not in the image table: plate P1 H12",
        "1 of 2 DMSO and annotated wells have no profile: plate P1 B03",
    )


def test_names_text_and_image_quality_are_no_features():
    table = pl.DataFrame(
        {
            "plate": ["P1"], "well": ["B02"], "n_fields": [4], "focus_score": [1.0], "background_dna": [1.0],
            "batch": [3], "saturated_share": [0.0], "nc_ratio": [1.0], "flags": [""], "n_cells": [5],
            "Nuclei_AreaShape_Area": [9.0], "debris_share": [0.1], "nuclear_likeness": [1.0], "n_images": [8],
            "Nuclei_AreaShape_Center_X": [9.0], "Nuclei_Intensity_CenterMassIntensity_X_DAPI_mad": [9.0],
        }
    )  # fmt: skip
    assert feature_names(table) == ("n_cells", "Nuclei_AreaShape_Area")


def test_a_bad_well_is_named():
    with pytest.raises(DataError, match=r"t\.csv: 'B' is not a well name"):
        treated_wells(pl.DataFrame({"plate": ["P1"], "well": ["B"], "x": [1.0]}), wells(), "t.csv")
