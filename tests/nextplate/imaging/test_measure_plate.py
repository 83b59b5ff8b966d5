"""Measuring a plate: true numbers, flags with reasons, and the same bytes for any number of threads."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import tifffile

from nextplate.errors import DataError
from nextplate.imaging import FLAGS, Measured, MeasureParams, excludes, measure, open_readout
from tests.nextplate.imaging.fake_plate import SIZE, Drawn, FakePlate, Scene, light, write_plate

ACTIVITIES = (0.0, 0.25, 0.5, 0.75, 1.0)


def by_well(measured: Measured) -> dict[str, dict[str, object]]:
    return {str(row["well"]): row for row in measured.wells.iter_rows(named=True)}


def small(n: int = 8, **changes: object) -> dict[str, Scene]:
    return {f"A{i + 1:02d}": replace(Scene(n_cells=15), **changes) for i in range(n)}


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> FakePlate:
    """Counts from 3 to 120, five activities, one blurred and one empty well, one that is dim."""
    scenes = {
        f"{row}{c + 1:02d}": Scene(n, a)
        for row, n in zip("ABC", (40, 80, 120), strict=True)
        for c, a in enumerate(ACTIVITIES)
    }
    scenes |= {"D01": Scene(60, 0.2, blur_px=2.5), "D02": Scene(0), "D03": Scene(60, brightness=0.5), "D04": Scene(3)}
    return write_plate(tmp_path_factory.mktemp("images") / "P1", scenes)


@pytest.fixture(scope="module")
def measured(plate: FakePlate) -> Measured:
    return measure(open_readout(plate.folder), MeasureParams())


def test_counts_are_within_five_percent_of_the_truth(plate: FakePlate, measured: Measured) -> None:
    rows = by_well(measured)
    for well in (w for w in rows if w != "D01"):
        assert rows[well]["n_cells"] == pytest.approx(plate.truth[well].n_cells, rel=0.05, abs=1)
    assert sum(int(str(rows[w]["n_cells"])) for w in rows) == pytest.approx(
        sum(t.n_cells for t in plate.truth.values()), rel=0.02
    )


def test_ratios_follow_the_truth_and_rise_with_activity(plate: FakePlate, measured: Measured) -> None:
    rows = by_well(measured)
    for row in "ABC":
        seen = [float(str(rows[f"{row}{c + 1:02d}"]["nc_ratio"])) for c in range(len(ACTIVITIES))]
        true = [plate.truth[f"{row}{c + 1:02d}"].log2_ratio for c in range(len(ACTIVITIES))]
        assert seen == sorted(seen)
        np.testing.assert_allclose(seen, true, atol=0.2)


def test_areas_are_in_square_micrometres(measured: Measured) -> None:
    area = measured.wells.filter(pl.col("flags") == "")["nuclear_area_um2"]
    # Drawn: 18 to 25 px across, a little elongated, at 0.65 um: about 140 um2.
    assert area.is_between(100, 190).all()


def test_only_the_blurred_the_empty_and_the_killed_well_are_flagged(measured: Measured) -> None:
    flagged = {r["well"]: r["flags"] for r in measured.wells.iter_rows(named=True) if r["flags"]}
    assert set(flagged) == {"D01", "D02", "D04"}
    assert flagged["D04"] == "cell-count-collapse"
    assert not excludes(flagged.pop("D04"), 1)
    assert "out-of-focus" in flagged["D01"].split(";")
    assert flagged["D02"] == "empty-field"
    assert all(excludes(flags, 1) for flags in flagged.values())


def test_every_cell_is_a_row_inside_its_field(measured: Measured) -> None:
    cells, wells = measured.cells, measured.wells
    counted = cells.group_by("well").len().sort("well")
    expected = wells.filter(pl.col("n_cells") > 0).sort("well")
    assert dict(counted.iter_rows()) == dict(expected.select("well", "n_cells").iter_rows())
    assert cells["y_px"].is_between(0, 539).all()
    assert cells["x_px"].is_between(0, 539).all()
    assert cells["plate"].unique().to_list() == ["P1"]


def test_threads_do_not_change_a_byte(plate: FakePlate, measured: Measured, tmp_path: Path) -> None:
    again = measure(open_readout(plate.folder), MeasureParams(), n_threads=1)
    for name in ("wells", "cells"):
        for label, result in (("two", measured), ("one", again)):
            getattr(result, name).write_parquet(tmp_path / f"{name}.{label}")
        assert (tmp_path / f"{name}.two").read_bytes() == (tmp_path / f"{name}.one").read_bytes()


def test_illumination_is_learned_and_taken_out(plate: FakePlate, measured: Measured) -> None:
    drawn = light(SIZE, 0.3)[::2, ::2]
    for flat in measured.flat_fields:
        left_over = drawn / drawn.mean() * flat.inverse_gain
        assert flat.note == ""
        assert drawn.std() / drawn.mean() > 0.07
        assert left_over.std() < 0.035
    far = (pl.col("y_px") - 270).abs().clip(lower_bound=1) + (pl.col("x_px") - 297).abs() > 330
    dna = (
        measured.cells.filter(~pl.col("well").is_in(["D01", "D03"]))
        .group_by(far.alias("far"))
        .agg(pl.col("dna").mean())
    )
    near_mean, far_mean = dna.sort("far")["dna"].to_list()
    assert far_mean / near_mean == pytest.approx(1.0, abs=0.06)


def test_progress_is_told_well_by_well(tmp_path: Path) -> None:
    folder = write_plate(tmp_path / "P1", small(2), size=160).folder
    told: list[tuple[int, int]] = []
    measure(open_readout(folder), MeasureParams(), lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_bytes(b"this is no image" * 10)


def header_only(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def rewrite(change: Callable[[npt.NDArray[np.uint16]], npt.NDArray[np.generic]]) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, change(tifffile.imread(path)))


@pytest.mark.parametrize(
    ("damage", "flag", "words"),
    [
        (cut, "unreadable", "damaged or cut short"),
        (empty, "unreadable", "0 bytes"),
        (text, "unreadable", "not a readable TIFF"),
        (header_only, "unreadable", "unreadable"),
        (rewrite(lambda a: (a // 256).astype(np.uint8)), "unreadable", "the plate's images are 160 x 160 uint16"),
        (rewrite(lambda a: a[:-1]), "unreadable", "160 x 159 uint16"),
        (rewrite(lambda a: a.astype(np.float32)), "unreadable", "8 or 16 bit"),
        (rewrite(lambda a: np.stack([a] * 3, -1)), "unreadable", "grey"),
        (rewrite(lambda a: a * 0), "all-zero", "every pixel is 0"),
        (Path.unlink, "no-image", "no image of this channel"),
    ],
)
def test_a_bad_image_flags_its_well_and_nothing_else(
    tmp_path: Path, damage: Callable[[Path], None], flag: str, words: str
) -> None:
    folder = write_plate(tmp_path / "P1", small(3), size=160).folder
    damage(folder / "TimePoint_1" / "P1_A02_s1_w2.TIF")
    measured = measure(open_readout(folder), MeasureParams())
    rows = by_well(measured)
    assert {w: r["flags"] for w, r in rows.items()} == {"A01": "", "A02": flag, "A03": ""}
    assert (rows["A02"]["n_fields"], rows["A02"]["n_cells"], rows["A02"]["nc_ratio"]) == (0, 0, None)
    assert words in str(rows["A02"]["details"])
    assert excludes(str(rows["A02"]["flags"]), 0)
    assert [p.well for p in measured.problems] == ["A02"]


def test_an_absent_well_has_a_row_with_its_reason(tmp_path: Path) -> None:
    folder = write_plate(tmp_path / "P1", small(2), size=160).folder
    rows = by_well(measure(open_readout(folder, expected_wells=["A01", "A02", "B07"]), MeasureParams()))
    assert list(rows) == ["A01", "A02", "B07"]
    assert (rows["B07"]["flags"], rows["B07"]["n_fields"]) == ("no-image", 0)
    assert rows["B07"]["details"] == "no image of this well"


def test_one_bad_field_of_two_leaves_the_well_in_use(tmp_path: Path) -> None:
    folder = write_plate(tmp_path / "P1", small(2), size=160).folder
    for well in ("A01", "A02"):
        for wave in (1, 2):
            first = folder / "TimePoint_1" / f"P1_{well}_s1_w{wave}.TIF"
            (first.with_name(f"P1_{well}_s2_w{wave}.TIF")).write_bytes(first.read_bytes())
    cut(folder / "TimePoint_1" / "P1_A02_s2_w1.TIF")
    row = by_well(measure(open_readout(folder), MeasureParams()))["A02"]
    assert (row["n_fields"], row["flags"]) == (1, "unreadable")
    assert not excludes(str(row["flags"]), 1)


def test_a_plate_without_one_readable_image_is_all_flags(tmp_path: Path) -> None:
    folder = write_plate(tmp_path / "P1", small(2), size=160).folder
    for path in (folder / "TimePoint_1").iterdir():
        empty(path)
    measured = measure(open_readout(folder), MeasureParams())
    assert measured.wells["flags"].to_list() == ["unreadable", "unreadable"]
    assert measured.cells.is_empty()
    assert measured.flat_fields == ()


def test_clipped_images_are_flagged(tmp_path: Path) -> None:
    def clip(well: str, drawn: Drawn) -> Drawn:
        return (
            replace(drawn, dna=np.where(drawn.dna > 1000, 65535, drawn.dna).astype(np.uint16))
            if well == "A02"
            else drawn
        )

    folder = write_plate(tmp_path / "P1", small(3), size=160, edit=clip).folder
    rows = by_well(measure(open_readout(folder), MeasureParams()))
    assert {w: r["flags"] for w, r in rows.items()} == {"A01": "", "A02": "saturated", "A03": ""}


def test_an_unknown_pixel_size_leaves_areas_in_pixels(tmp_path: Path) -> None:
    folder = write_plate(tmp_path / "P1", small(2), size=240).folder
    for path in (folder / "TimePoint_1").iterdir():
        tifffile.imwrite(path, tifffile.imread(path))
    measured = measure(open_readout(folder), MeasureParams())
    assert measured.wells["nuclear_area_um2"].null_count() == 2
    assert measured.wells["nuclear_area_px"].is_between(200, 500).all()
    told = measure(open_readout(folder), MeasureParams(pixel_size_um=0.65))
    assert told.wells["nuclear_area_um2"].null_count() == 0


def test_a_channel_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    folder = write_plate(tmp_path / "P1", small(1), size=160).folder
    with pytest.raises(DataError, match="has no channel 'GFP'; it has DNA, Reporter"):
        measure(open_readout(folder), MeasureParams(reporter="GFP"))


def test_every_flag_has_a_sentence() -> None:
    assert all(sentence.endswith(".") for sentence in FLAGS.values())
