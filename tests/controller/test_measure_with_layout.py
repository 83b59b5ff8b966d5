"""nextplate measure --layout: Z', responses and curves of a real plate, and layouts that cannot be right."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from controller.judging import judge_folder, read_layout
from controller.measuring import ReadoutRequest, find_readout, measure_folder
from nextplate.errors import DataError
from nextplate.imaging import MeasureParams
from tests.nextplate.imaging.fake_plate import Scene, write_plate

PATTERN = r"images/Channel(?P<channel>\d)-\d+-(?P<row>[A-H])-(?P<column>\d+)\.tif"


def nextplate(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("nextplate")), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def bbbc013(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    root = Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "images" / "bbbc013"
    if not root.is_dir():
        pytest.skip(f"BBBC013 is not here ({root}); set NEXTPLATE_DATA")
    out = tmp_path_factory.mktemp("measured") / "bbbc013"
    names = ["--channel", "1=FKHR-GFP", "--channel", "2=DNA"]
    done = nextplate(
        "measure", root, "--layout", root / "layout.csv", "--pattern", PATTERN, *names, "--out", out, "--json"
    )
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def test_the_command_says_what_programs_need(bbbc013: tuple[Path, dict[str, Any]]):
    out, body = bbbc013
    needed = [
        "reader",
        "plate",
        "wells",
        "fields",
        "channels",
        "missing",
        "flagged",
        "z_prime",
        "z_prime_robust",
        "ssmd",
        "seconds",
    ]
    assert set(needed) <= set(body)
    assert (body["reader"], body["wells"], body["fields"], body["images_measured"]) == ("pattern", 96, 96, 192)
    assert (body["missing"], body["flagged"]) == (0, 0)
    assert json.loads((out / "summary.json").read_text()) == body


def test_the_controls_of_a_real_plate_are_told_apart_with_the_default_readout(bbbc013: tuple[Path, dict[str, Any]]):
    _, body = bbbc013
    assert body["readout"] == "responders"
    assert body["z_prime"] > 0.9
    assert body["intervals"]["z_prime"][0] > 0.85
    assert all(found["z_prime"] > 0.9 for found in body["series"].values())
    # The median ratio is a stricter judge, and stands beside it.
    assert 0.75 < body["z_prime_by_readout"]["nc_ratio"] < 0.85


def test_both_series_rise_with_the_dose_and_bend_where_they_bend(bbbc013: tuple[Path, dict[str, Any]]):
    out, body = bbbc013
    assert [(d["compound_id"], d["verdict"]) for d in body["dose_response"]] == [
        ("series1", "determined"),
        ("series2", "determined"),
    ]
    for d in body["dose_response"]:
        assert 3.5 < d["midpoint_low"] < d["midpoint"] < d["midpoint_high"] < 5
    wells = pl.read_parquet(out / "responses.parquet").filter(pl.col("role") == "sample")
    for _, series in wells.group_by("compound_id"):
        curve = series.group_by("dose").agg(pl.col("activity").median()).sort("dose")["activity"].to_numpy()
        assert (curve[1:] - curve[:-1] > -0.05).all()


def test_the_cut_does_not_make_the_figure(bbbc013: tuple[Path, dict[str, Any]]):
    """A cut from one series judges the other as well: it is not fitted to the wells it is judged by."""
    out, body = bbbc013
    cells = pl.concat([pl.read_parquet(f) for f in sorted((out / "cells").glob("*.parquet"))])
    layout = pl.read_csv(Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "images/bbbc013/layout.csv")
    table = cells.join(layout, on="well").filter(pl.col("nc_ratio").is_not_null())
    for mine, other in (("series1", "series2"), ("series2", "series1")):
        medians = table.filter(pl.col("compound") == other).group_by("role").agg(pl.col("nc_ratio").median())
        by_role = dict(medians.iter_rows())
        cut = (by_role["negative"] + by_role["positive"]) / 2
        own = table.filter(pl.col("compound") == mine)
        shares = own.group_by("well", "role").agg((pl.col("nc_ratio") > cut).mean().alias("share"))
        p, n = (shares.filter(pl.col("role") == r)["share"] for r in ("positive", "negative"))
        assert 1 - 3 * (p.std() + n.std()) / abs(p.mean() - n.mean()) > 0.9
    assert body["responder_cut"] == pytest.approx(0.85, abs=0.1)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A plate of three negative, three positive and two sample wells, measured."""
    root = tmp_path_factory.mktemp("plate")
    active = [0, 0, 0, 1, 1, 1, 0.6, 0]
    scenes = {f"A{i + 1:02d}": Scene(25, a) for i, a in enumerate(active)}
    folder = write_plate(root / "P1", scenes, size=300).folder
    measure_folder(find_readout(ReadoutRequest(folder)), MeasureParams(), root / "out", lambda *_: None)
    return folder, root / "out"


def layout_file(folder: Path, text: str) -> Path:
    path = folder / "layout.csv"
    path.write_text(text)
    return path


ROLES = ["negative"] * 3 + ["positive"] * 3 + ["sample"] * 2
GOOD = "well,role,compound\n" + "".join(
    f"A{i + 1:02d},{r},{'C' + str(i) if r == 'sample' else ''}\n" for i, r in enumerate(ROLES)
)


def judge(measured: tuple[Path, Path], path: Path, column: str | None = None, params: MeasureParams | None = None):
    folder, out = measured
    layout = read_layout(path, find_readout(ReadoutRequest(folder)))
    return judge_folder(out, layout, path, column, params or MeasureParams())


def test_judging_again_changes_nothing(measured: tuple[Path, Path], tmp_path: Path):
    path = layout_file(tmp_path, GOOD)
    first, _ = judge(measured, path)
    wells = pl.read_parquet(measured[1] / "wells.parquet")
    again, text = judge(measured, path)
    assert {**first, "seconds": 0} == {**again, "seconds": 0}
    assert wells.equals(pl.read_parquet(measured[1] / "wells.parquet"))
    assert "Z'" in text


@pytest.mark.parametrize(
    ("column", "reporter", "chosen"),
    [(None, "Reporter", "responders"), ("nc_ratio", "Reporter", "nc_ratio"), ("n_cells", None, "n_cells")],
)
def test_the_readout_that_judges(
    measured: tuple[Path, Path], tmp_path: Path, column: str | None, reporter: str | None, chosen: str
):
    body, _ = judge(measured, layout_file(tmp_path, GOOD), column, MeasureParams(reporter=reporter))
    assert body["readout"] == chosen


def test_without_controls_nothing_is_made_up(measured: tuple[Path, Path], tmp_path: Path):
    body, text = judge(measured, layout_file(tmp_path, "well,role,compound\nA01,sample,X\nA02,sample,Y\n"))
    assert body["z_prime"] is None
    assert body["responder_cut"] is None
    assert "negative" in " ".join(body["reasons"])
    assert "not known" in text


def test_a_readout_that_is_not_there_is_told_with_those_like_it(measured: tuple[Path, Path], tmp_path: Path):
    with pytest.raises(DataError, match=r"--readout nc_rato: no such number .* did you mean nc_ratio"):
        judge(measured, layout_file(tmp_path, GOOD), "nc_rato")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("well,role\nA01,negativ\n", r"layout\.csv, line 2.*A01.*negativ"),
        ("well,role\nZ99,negative\n", r"line 2.*Z99"),
        ("well,role\nA01,negative\nA1,negative\n", r"line 3.*A01"),
        ("role\nnegative\n", "well"),
        ("", "is empty"),
    ],
)
def test_a_wrong_layout_is_one_line_exit_code_2_and_nothing_is_measured(
    run, measured: tuple[Path, Path], tmp_path: Path, text: str, message: str
):
    path = layout_file(tmp_path, text)
    code, _, err = run("measure", measured[0], "--layout", path, "--out", tmp_path / "out")
    assert code == 2
    assert not (tmp_path / "out").exists()
    assert len(err.strip().splitlines()) == 1
    with pytest.raises(DataError, match=message):
        read_layout(path, find_readout(ReadoutRequest(measured[0])))


def test_what_was_said_of_other_numbers_does_not_stay(run, tmp_path: Path):
    """A folder that is measured anew without a layout, or cut short, holds no verdict on the numbers of before."""
    folder = write_plate(tmp_path / "P1", {f"A{i + 1:02d}": Scene(12) for i in range(8)}, size=260).folder
    out, words = tmp_path / "out", ["--features", "none", "--json"]
    layout = layout_file(tmp_path, GOOD)
    assert run("measure", folder, "--layout", layout, "--out", out, *words)[0] == 0
    verdicts = [out / n for n in ("plate_qc.json", "responses.parquet", "responses.csv", "dose_response.csv")]
    assert all(path.is_file() for path in (*verdicts, out / "summary.json"))
    wrong = run("measure", folder, "--layout", layout, "--readout", "nothing", "--nucleus-um", 9, "--out", out)
    assert wrong[0] == 2
    assert not [path.name for path in (*verdicts, out / "summary.json") if path.exists()]
    assert run("measure", folder, "--layout", out / "layout.csv", "--out", out, *words)[0] == 0
    assert all(path.is_file() for path in (*verdicts, out / "summary.json"))
    assert run("measure", folder, "--out", out, *words)[0] == 0
    assert not [path.name for path in verdicts if path.exists()]
