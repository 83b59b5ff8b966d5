"""Measured folders at the command line: written whole, shown, drawn, and compared."""

import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tifffile
from PIL import Image
from report_lab import ReportLab

from controller.analysis import analysis_text, write_analysis
from controller.measured import images_of, open_measured
from controller.report.figures.contactsheet import block_means, contrasts
from controller.report.figures.heatmap import HeatMap, draw_heatmap, short
from controller.report.figures.mixing import DNA, WHITE, colours_of
from nextplate.assay import AssayParams, analyse_plate, read_measured_layout
from nextplate.errors import DataError
from nextplate.plate import FORMATS

DOSES = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
SIDE = 300


def well_list() -> list[tuple[str, str, str, float | None]]:
    """Columns 1 and 7 negative, 6 and 12 positive, the rest doses of A and B; H12 is empty."""
    rows = []
    for n, well in enumerate(FORMATS[96].wells()):
        column = n % 12 + 1
        if well == "H12":
            rows.append((well, "empty", "", None))
        elif column in (1, 7):
            rows.append((well, "negative", "", None))
        elif column in (6, 12):
            rows.append((well, "positive", "", None))
        else:
            rows.append((well, "sample", "AB"[n % 2], DOSES[(n * 5 + n // 12) % 7]))
    return rows


def make_measured(folder: Path, plate: str = "P1", seed: int = 1, images: Path | None = None) -> Path:
    rng = np.random.default_rng(seed)
    rows, lines = [], ["well,role,compound,dose,dose_unit"]
    for well, role, compound, dose in well_list():
        lines.append(f"{well},{role},{compound},{dose or ''},{'uM' if dose else ''}")
        if well == "C03":
            continue
        x = (dose or 0.0) / 1.5
        level = 1.0 if role == "positive" else x / (1 + x) if compound == "A" else 0.0
        flags = "out-of-focus" if well == "D04" else ""
        row = {"plate": plate, "well": well, "n_fields": 1, "n_cells": int(rng.poisson(90)), "flags": flags}
        noise = dict(zip(("Nuclei_A", "Nuclei_B", "Nuclei_C"), rng.normal(0, 1, 3) + 3 * level, strict=True))
        rows.append(row | {"nc_ratio": 2 * level + rng.normal(0, 0.1)} | noise)
    folder.mkdir(parents=True)
    pl.DataFrame(rows).write_parquet(folder / "wells.parquet")
    (folder / "layout.csv").write_text("\n".join(lines) + "\n")
    if images is not None:
        names = [(r["well"], c) for r in rows for c in ("GFP", "DNA")]
        table = [{"plate": plate, "well": w, "field": f, "channel": c, "z": None, "t": None, "x_um": None, "y_um": None,
                  "z_um": None, "pixel_size_um": 0.5, "path": f"{w}-{c}.tif", "page": 0, "reader": "by hand"}
                 for w, c in names for f in (1,)]  # fmt: skip
        pl.DataFrame(table, infer_schema_length=None).write_parquet(folder / "fields.parquet")
        (folder / "measure.json").write_text(json.dumps({"folder": str(images), "plate": plate}))
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(3)
    for well, *_ in well_list():
        for channel in ("GFP", "DNA"):
            pixels = rng.integers(90, 110, (SIDE, SIDE)).astype(np.uint16)
            pixels[100:160, 100:160] = 3000
            tifffile.imwrite(folder / f"{well}-{channel}.tif", pixels)
    (folder / "B02-GFP.tif").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    folder = make_measured(tmp_path_factory.mktemp("measured") / "P1", images=images)
    layout = read_measured_layout(folder / "layout.csv")
    wells = pl.read_parquet(folder / "wells.parquet")
    write_analysis(analyse_plate(wells, layout, AssayParams()), folder, folder / "layout.csv")
    return folder


def test_an_analysis_is_written_whole_and_can_be_read_back(measured: Path, tmp_path: Path) -> None:
    layout = read_measured_layout(measured / "layout.csv")
    analysis = analyse_plate(pl.read_parquet(measured / "wells.parquet"), layout, AssayParams())
    written = write_analysis(analysis, tmp_path / "new", measured / "layout.csv")
    assert [p.name for p in written] == [
        "layout.csv", "responses.parquet", "responses.csv", "dose_response.csv", "plate_qc.json",
    ]  # fmt: skip
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(p.name for p in written)
    assert pl.read_parquet(tmp_path / "new" / "responses.parquet").equals(analysis.responses)
    body = json.loads((tmp_path / "new" / "plate_qc.json").read_text())
    assert body["z_prime"] == analysis.controls.numbers["z_prime"]
    assert (measured / "layout.csv").read_bytes() == (tmp_path / "new" / "layout.csv").read_bytes()


def test_the_text_has_intervals_and_reasons(measured: Path) -> None:
    layout = read_measured_layout(measured / "layout.csv")
    text = analysis_text(analyse_plate(pl.read_parquet(measured / "wells.parquet"), layout, AssayParams()))
    assert "Z'" in text
    assert " to " in text
    assert "EC50 1." in text
    assert "not determined: the response does not follow the dose" in text
    assert "note: in the layout and not measured (flag no-image): C03" in text


def test_a_measured_folder_is_shown_in_text_and_json(run, measured: Path) -> None:
    code, out, _ = run("plate", "show", measured)
    assert code == 0
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()[2:10]}
    assert (rows["A"][0], rows["A"][5], rows["D"][3], rows["C"][2], rows["H"][11]) == ("-", "+", "!", "!", ".")
    assert "one sd of the plate's negatives" in out
    assert "flag C03 (sample): no-image" in out
    assert "hit " in out
    body = json.loads(run("plate", "show", measured, "--json")[1])
    assert len(body["wells"]) == 96
    assert body["plate"] == "P1"


def test_a_folder_without_a_layout_is_shown_too(run, measured: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "wells.parquet").write_bytes((measured / "wells.parquet").read_bytes())
    code, out, _ = run("plate", "show", bare, "--heatmap", "n_cells", "--out", tmp_path / "pics")
    assert code == 0
    assert (tmp_path / "pics" / "P1-n_cells.png").is_file()
    assert "no error is known" in out


def test_pictures_are_drawn(run, measured: Path, tmp_path: Path) -> None:
    arguments = ("--heatmap", "activity, n_cells", "--contact-sheet", "--curves", "--out", tmp_path, "--json")
    code, out, _ = run("plate", "show", measured, *arguments)
    assert code == 0
    body = json.loads(out)
    names = ["P1-activity.png", "P1-n_cells.png", "P1-fields.png", "P1-curves.png"]
    assert [Path(p).name for p in body["pictures"]] == names
    assert body["unreadable"] == ["B02 GFP: B02-GFP.tif: the file is empty (0 bytes)"]
    for name in names:
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 300


def test_a_sheet_per_channel_in_grey(run, measured: Path, tmp_path: Path) -> None:
    arguments = ("--contact-sheet", "--separate", "--channels", "DNA", "--field", 1, "--out", tmp_path)
    assert run("plate", "show", measured, *arguments)[0] == 0
    (sheet,) = tmp_path.iterdir()
    assert sheet.name == "P1-fields-DNA.png"
    with Image.open(sheet) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    row, column = pixels.shape[0] // 2, pixels.shape[1] // 2
    middle = pixels[row - 60 : row + 60, column - 60 : column + 60]
    assert middle.max() > 200


WRONG = [
    (["--heatmap", "colour"], "no number 'colour'; it has"),
    (["--contact-sheet", "--channels", "RNA"], "no channel 'RNA'; it has GFP, DNA"),
    (["--contact-sheet", "--field", "7"], "no field 7 of channel DNA, GFP"),
    (["--contact-sheet", "--images", "/nowhere"], "the images are gone from /nowhere"),
    (["--layout", "/nowhere.csv"], "/nowhere.csv"),
    (["--contact-sheet", "--pattern", "x"], "--images FOLDER"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_what_cannot_be_drawn_is_one_error(run, measured: Path, tmp_path: Path, arguments: list[str], words: str):
    code, _, err = run("plate", "show", measured, *arguments, "--out", tmp_path)
    assert code == 2
    assert words in err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_measured_says_so(run, tmp_path: Path) -> None:
    code, _, err = run("plate", "show", tmp_path)
    assert code == 2
    assert "nextplate measure PLATE_FOLDER" in err


def test_curves_need_doses(run, measured: Path, tmp_path: Path) -> None:
    layout = tmp_path / "l.csv"
    layout.write_text("".join(f"{w},{r},{c}\n" for w, r, c, _ in [("well", "role", "compound", 0), *well_list()]))
    code, _, err = run("plate", "show", measured, "--layout", layout, "--curves", "--out", tmp_path / "p")
    assert code == 2
    assert "no dose-response curves" in err


def test_images_lie_where_they_were_measured_or_where_one_says(measured: Path, images: Path, tmp_path: Path) -> None:
    found = images_of(measured)
    assert {i.path.parent for i in found} == {images}
    assert images_of(measured, tmp_path)[0].path.parent == tmp_path


def test_a_damaged_table_is_told(measured: Path, tmp_path: Path) -> None:
    (tmp_path / "wells.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cannot be read"):
        open_measured(tmp_path)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ReportLab(tmp_path_factory.mktemp("pictures") / "lab").build().folder


def test_a_labs_plate_is_drawn_by_its_barcode(run, lab: Path, tmp_path: Path) -> None:
    # The fake campaign keeps no rows in the tables, only the journal; pictures need the journal alone.
    from controller.pictures import write_heatmaps, write_sheets
    from controller.shownplate import lab_plate

    shown = lab_plate(lab, "NP-0002")
    (heat,) = write_heatmaps(shown, ["activity"], tmp_path)
    sheets, failed = write_sheets(shown, tmp_path)
    assert (heat.name, [s.name for s in sheets], failed) == ("NP-0002-activity.png", ["NP-0002-fields.png"], ())
    assert shown.table["role"].null_count() == 0
    with pytest.raises(DataError, match="plate NP-0009 is not one of campaign first"):
        lab_plate(lab, "NP-0009")


def test_plates_are_compared(run, tmp_path: Path) -> None:
    folders = [make_measured(tmp_path / p, p, seed) for seed, p in enumerate(("P1", "P2"))]
    code, out, _ = run("profiles", *folders, "--out", tmp_path / "out", "--columns", "Nuclei_*")
    assert code == 0
    assert "2 plates" in out
    assert "mAP against negatives" in out
    assert "steady" in out
    files = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert files == ["features.csv", "groups.csv", "plates.csv", "profiles.json", "profiles.parquet", "replicates.csv"]
    groups = pl.read_csv(tmp_path / "out" / "groups.csv")
    assert dict(groups.select("group", "active_q").rows())["A"] < 0.01
    body = json.loads(run("profiles", *folders, "--out", tmp_path / "out", "--columns", "Nuclei_*", "--json")[1])
    assert body["features"] == 3
    assert [p["plate"] for p in body["plates"]] == ["P1", "P2"]


def test_profiles_need_layouts_and_measured_folders(run, measured: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "wells.parquet").write_bytes((measured / "wells.parquet").read_bytes())
    assert "has no layout; give one: --layout FILE" in run("profiles", bare, "--out", tmp_path / "o")[2]
    assert run("profiles", tmp_path, "--out", tmp_path / "o")[0] == 2
    code, _, said = run("profiles", measured, "--readout", "no_such", "--out", tmp_path / "o")
    assert (code, "--readout no_such: the wells of plate P1 have no such number" in said) == (2, True)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("n_wells", FORMATS)
def test_every_plate_has_a_heat_map(n_wells: int) -> None:
    shape = FORMATS[n_wells]
    wells = list(shape.wells())
    values = {w: float(i) for i, w in enumerate(wells)}
    heat = HeatMap("P", shape, "x", "y", values, {wells[0]: "negative"}, frozenset(wells[1:2]), frozenset(), 0.0)
    with Image.open(io.BytesIO(draw_heatmap(heat))) as picture:
        assert min(picture.size) > 250


def test_a_heat_map_of_nothing_is_a_plate_of_hatched_wells() -> None:
    shape = FORMATS[96]
    heat = HeatMap("P", shape, "x", "y", dict.fromkeys(shape.wells()), {}, frozenset(), frozenset(), None)
    assert draw_heatmap(heat).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("value", "span", "text"),
    [
        (0.123, 1.0, "0.12"),
        (-0.001, 1.0, "0.00"),
        (123.4, 200, "123"),
        (12.34, 20, "12.3"),
        (1e6, 2e6, "1.0e6"),
        (5, 0, "5.00"),
    ],
)
def test_numbers_in_wells_are_short(value: float, span: float, text: str) -> None:
    assert short(value, span) == text


def test_blocks_are_averaged() -> None:
    pixels = np.arange(35, dtype=np.uint16).reshape(5, 7)
    found = block_means(pixels, 2)
    assert found.shape == (2, 3)
    assert found[0, 0] == pixels[:2, :2].mean()
    assert np.array_equal(block_means(pixels, 1), pixels)


def test_contrast_is_one_for_a_channel_of_the_plate() -> None:
    tiles = {(w, "DNA"): np.full((8, 8), v, np.float32) for w, v in (("A01", 10.0), ("A02", 90.0))}
    found = contrasts(tiles, ["DNA", "RNA"])
    assert list(found) == ["DNA"]
    assert found["DNA"].black == 10
    assert found["DNA"].white == 90


def test_the_nuclear_stain_is_blue_and_a_single_channel_white() -> None:
    assert colours_of(["GFP", "Hoechst 33342"])[1] == DNA
    assert colours_of(["DAPI"]) == (WHITE,)
    assert len(set(colours_of(["a", "b", "c", "DNA"]))) == 4


def test_a_layout_of_a_corner_of_the_plate_hides_no_measured_well(run, measured: Path, tmp_path: Path) -> None:
    """24 wells that a layout names look like a plate of 24 wells; 96 were measured."""
    lines = [f"{row}{c:02d},{'negative' if c < 4 else 'positive'}" for row in "ABCD" for c in range(1, 7)]
    layout = tmp_path / "corner.csv"
    layout.write_text("\n".join(["well,role", *lines]))
    code, out, _ = run("plate", "show", measured, "--layout", layout, "--json")
    assert code == 0
    shown = json.loads(out)["wells"]
    assert len(shown) == 96
    assert next(w for w in shown if w["well"] == "H11")["n_cells"] is not None
    wells = pl.read_parquet(measured / "wells.parquet")["well"]
    assert read_measured_layout(layout).covering(wells).plate_format is FORMATS[96]


def test_a_plate_without_a_reporter_is_judged_by_its_cells(run, measured: Path, tmp_path: Path) -> None:
    (bare := tmp_path / "bare").mkdir()
    wells = pl.read_parquet(measured / "wells.parquet")
    wells.with_columns(nc_ratio=pl.lit(None, pl.Float64)).write_parquet(bare / "wells.parquet")
    code, out, _ = run("plate", "show", bare, "--layout", measured / "layout.csv", "--json")
    assert code == 0
    activities = [w["activity"] for w in json.loads(out)["wells"] if w["role"] == "negative"]
    assert activities
    assert None not in activities
