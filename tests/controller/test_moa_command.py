"""nextplate moa, end to end on a small generated copy in the shape of BBBC021."""

import contextlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from controller.cli import main
from controller.moa import read_frame
from tests.nextplate.imaging.fake_bbbc021 import MOAS, Copy, write_copy

PNG = b"\x89PNG"


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["nextplate", "moa", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out, said.err


@pytest.fixture
def nextplate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    return lambda *words: call(capsys, monkeypatch, *words)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return write_copy(tmp_path_factory.mktemp("moa") / "bbbc021")


@pytest.fixture
def tables(tmp_path: Path) -> Copy:
    return write_copy(tmp_path / "tables", has_pixels=False)


@pytest.fixture(scope="module")
def measured(copy: Copy) -> tuple[Path, str]:
    """The folder that the command leaves, and what it printed; measured once for all tests here."""
    out, said = copy.folder.parent / "out", io.StringIO()
    words = ["nextplate", "moa", str(copy.folder), "--features", "basic", "--out", str(out)]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as stop:
            main()
    assert not stop.value.code
    return out, said.getvalue()


@pytest.fixture(scope="module")
def out(measured: tuple[Path, str]) -> Path:
    return measured[0]


def test_images_to_nsc_and_nscb(measured: tuple[Path, str]):
    out, text = measured
    assert "18 of 18 treatments, 9 compounds, 3 mechanisms, 3 batches" in text
    assert "never with NSC or NSCB" in text
    body = json.loads((out / "moa.json").read_bytes())
    for kind in ("nsc", "nscb"):
        share = body[kind]["accuracy"]
        assert (share["n"], share["compounds"]) == (18, 9)
        assert share["estimate"] >= 0.8 > body[kind]["chance"] + 0.4
        assert share["low"] < 1.0
        assert body[kind]["classes"] == list(MOAS)
        assert np.sum(body[kind]["confusion"]) == pytest.approx(18)
        assert (out / f"confusion_{kind}.png").read_bytes()[:4] == PNG
        answers = pl.read_csv(out / f"{kind}.csv")
        assert answers["right"].mean() == pytest.approx(share["estimate"])
        assert all(
            a != b for a, b in zip(answers["compound"], answers["neighbour"].str.split(" @ ").list[0], strict=True)
        )
    assert (body["plates"], body["images"], body["images_measured"], body["wells"]) == (6, 180, 180, 60)
    assert body["drop"]["estimate"] == pytest.approx(
        body["nsc_of_those_in_nscb"]["estimate"] - body["nscb"]["accuracy"]["estimate"]
    )
    assert [n for n in body["notes"] if "unannotated" in n]


def test_what_was_measured_is_not_measured_again(nextplate, copy: Copy, out: Path):
    before = json.loads((out / "moa.json").read_bytes())
    part = next((out / "plates" / copy.plates[1] / "parts").glob("C02.json"))
    part.unlink()
    code, text, _ = nextplate(copy.folder, "--features", "basic", "--out", out, "--json")
    body = json.loads(text)
    assert (code, body["wells_measured_now"], before["wells_measured_now"]) == (0, 1, 60)
    assert {k: body[k] for k in ("nsc", "nscb", "drop")} == {k: before[k] for k in ("nsc", "nscb", "drop")}


def test_another_normalisation_and_other_profiles_need_no_images(nextplate, copy: Copy, out: Path, tmp_path: Path):
    profiles = out / "profiles.parquet"
    options = ("--profiles", profiles, "--out", tmp_path / "again", "--json")
    code, text, _ = nextplate(copy.folder, *options, "--normalise", "sphere")
    assert code == 0
    assert json.loads(text)["nscb"]["accuracy"]["estimate"] >= 0.7
    table = tmp_path / "embeddings.csv"
    pl.read_parquet(profiles).select("plate", pl.col("well").str.replace("0", ""), pl.col("^Nuclei_.*$")).write_csv(
        table
    )
    code, text, _ = nextplate(copy.folder, "--profiles", table, "--out", tmp_path / "csv", "--json")
    assert code == 0
    assert json.loads(text)["features"] < json.loads((out / "moa.json").read_bytes())["features"]


def test_what_cannot_be_judged_is_counted(nextplate, copy: Copy, out: Path, tmp_path: Path):
    """A plate without DMSO, a well without cells, a treatment that lost its wells: told, and the rest is scored."""
    table = pl.read_parquet(out / "profiles.parquet")
    numbers = [c for c in table.columns if c.startswith(("Nuclei", "Cells"))]
    first, second, *_ = copy.plates
    is_lost = (pl.col("plate") == second) & pl.col("well").str.starts_with("B")
    is_blank = (pl.col("plate") == first) & (pl.col("well") == "C02")
    bad = table.filter(~is_lost).with_columns(pl.when(is_blank).then(None).otherwise(pl.col(numbers)).name.keep())
    bad.write_parquet(tmp_path / "bad.parquet")
    code, text, _ = nextplate(copy.folder, "--profiles", tmp_path / "bad.parquet", "--out", tmp_path / "o", "--json")
    assert code == 0
    body = json.loads(text)
    assert (body["treatments"], body["treatments_annotated"], body["nsc"]["accuracy"]["n"]) == (17, 18, 17)
    assert any(
        n.startswith("4 of 60 DMSO and annotated wells have no profile: plate Week1_22121 B02") for n in body["notes"]
    )
    assert any(
        n.startswith("1 wells left out, more than half of the numbers missing: plate Week1_22120 C02")
        for n in body["notes"]
    )
    assert any(n.startswith("6 wells left out, plate Week1_22121: 0 DMSO wells with numbers") for n in body["notes"])
    assert "1 of 18 annotated treatments have no profile: actin-0 @ 1" in body["notes"]


def predictions(copy: Copy, path: Path, splits=("random", "compounds", "compounds-batches")) -> Path:
    from nextplate.imaging.bbbc021 import read_tables, well_rows

    rng = np.random.default_rng(1)
    wells = well_rows(read_tables(copy.folder)).filter(pl.col("moa") != "")
    right = {"random": 1.0, "compounds": 0.8, "compounds-batches": 0.5}
    rows = [
        (r["plate"], r["well"], field, split, r["moa"], r["moa"] if rng.random() < right[split] else MOAS[0])
        for split in splits
        for r in wells.iter_rows(named=True)
        for field in (1, 2)
    ]
    names = ["plate", "well", "field", "split", "true", "predicted"]
    pl.DataFrame(rows, schema=names, orient="row").write_csv(path)
    return path


def test_three_splits_are_reported_apart(nextplate, tables: Copy, tmp_path: Path):
    file = predictions(tables, tmp_path / "answers.csv")
    code, text, _ = nextplate(tables.folder, "--predictions", file, "--out", tmp_path / "o", "--json")
    assert code == 0
    body = json.loads(text)
    assert "nsc" not in body
    assert [s["split"] for s in body["splits"]] == ["random", "compounds", "compounds-batches"]
    first, second, third = (s["images"] for s in body["splits"])
    assert first["estimate"] == 1.0 > first["low"]
    assert first["estimate"] > second["estimate"] > third["estimate"]
    assert (first["n"], first["compounds"], body["splits"][0]["wells"]["n"]) == (72, 9, 36)
    assert (tmp_path / "o" / "confusion_compounds-batches.png").read_bytes()[:4] == PNG
    code, text, _ = nextplate(tables.folder, "--predictions", file, "--out", tmp_path / "o")
    assert "never pooled" in text


def swap(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (",C02,", ",Z9x,", "answers.csv, line 2: 'Z9x' is not a well name"),
        (",C02,", ",H12,", "answers.csv, line 2: plate Week1_22120, well H12 is not in the image table"),
        (
            ",Actin disruptors,",
            ",DNA damage,",
            "well C02 is Actin disruptors in the tables, its true class is 'DNA damage'",
        ),
        (",1,random,", ",one,random,", "field 'one'; write a whole number"),
        (",1,random,", ",1,all,", "there is no split 'all'; there are random, compounds, compounds-batches"),
        (",2,random,", ",1,random,", "plate Week1_22120, well C02, field 1 is predicted twice"),
        ("predicted\n", "said\n", "column predicted missing"),
    ],
)
def test_wrong_predictions_are_named(nextplate, tables: Copy, tmp_path: Path, old: str, new: str, words: str):
    file = predictions(tables, tmp_path / "answers.csv", ("random",))
    swap(file, old, new)
    code, _, err = nextplate(tables.folder, "--predictions", file, "--out", tmp_path / "o")
    assert code == 2
    assert words in err
    assert not (tmp_path / "o" / "moa.json").exists()


def test_wrong_tables_and_profiles_end_with_one_clear_error(nextplate, tables: Copy, tmp_path: Path):
    out = tmp_path / "o"
    profiles = tmp_path / "p.csv"

    def told(*more: object) -> str:
        code, _, err = nextplate(tables.folder, "--out", out, *more)
        assert code == 2
        assert err.count("nextplate: ") == 1
        return err

    assert "p.csv is not there" in told("--profiles", profiles)
    assert "a table ends in .parquet or .csv" in told("--profiles", tmp_path / "p.xlsx")
    profiles.write_text("plate,well,x\nP9,A01,1\n")
    assert "not one well is in the image table; the first is plate P9, A01" in told("--profiles", profiles)
    profiles.write_text("plate,well\nP9,A01\n")
    assert "no column of numbers" in told("--profiles", profiles)
    profiles.write_text("plate,well,x\nP9,A01,1\nP9,A1,2\n")
    assert "plate P9, well A01 occurs twice" in told("--profiles", profiles)
    profiles.write_text("plate,place,x\nP9,A01,1\n")
    assert "column well missing" in told("--profiles", profiles)
    bad = tmp_path / "p.parquet"
    bad.write_bytes(b"not a table")
    assert "p.parquet: cannot be read as a table" in told("--profiles", bad)
    assert "normalisation 'z'; it can be robust or sphere" in told("--normalise", "z")
    assert "no group of features is called 'shapes'" in told("--features", "shapes")
    (tables.folder / "BBBC021_v1_compound.csv").unlink()
    assert "BBBC021_v1_compound.csv is not there" in told()
    swap(tables.folder / "BBBC021_v1_moa.csv", "actin-0,1.0,", "actin-0,low,")
    assert "BBBC021_v1_moa.csv, line 2: concentration 'low'" in told()


def test_a_number_that_is_whole_in_the_first_hundred_lines_is_read(tmp_path: Path):
    table = tmp_path / "profiles.csv"
    lines = [f"22123,{row}{column:02d},0" for row in "ABCDEFGH" for column in range(1, 25)]
    table.write_text("\n".join(["plate,well,Embedding_0", *lines, "22123,P24,0.5"]))
    found = read_frame(table)
    assert found["Embedding_0"][-1] == 0.5
    assert found["plate"][0] == "22123"


def test_networks_are_trained_under_three_splits_once(
    nextplate, copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("torch", reason="torch is not installed: pip install nextplate[deep]")
    pytest.importorskip("safetensors", reason="safetensors is not installed: pip install nextplate[deep]")
    from controller import moa_training
    from nextplate.imaging.bbbc021 import read_tables, well_rows

    rows = well_rows(read_tables(copy.folder)).iter_rows(named=True)
    of_well = {(r["plate"], r["well"]): (r["compound"], r["batch"]) for r in rows}
    train_once, fold_of = moa_training.train_once, moa_training._fold
    trained: dict[str, set] = {}
    tested: dict[str, set] = {}

    def spied_training(shown, *rest):
        places = [shown.fields.fields[i] for i in shown.usable]
        trained[rest[3].name] = {of_well[f.plate, f.well] for f in places}
        return train_once(shown, *rest)

    def spied_fold(images, choice, name, *rest):
        table, is_new = fold_of(images, choice, name, *rest)
        tested[name] = {of_well[place] for place in table.select("plate", "well").iter_rows()}
        return table, is_new

    monkeypatch.setattr(moa_training, "train_once", spied_training)
    monkeypatch.setattr(moa_training, "_fold", spied_fold)
    words = (copy.folder, "--train", "--folds", 2, "--epochs", 1, "--binning", 3, "--half")
    words = (*words, "--threads", 1, "--out", tmp_path, "--json")
    code, text, err = nextplate(*words)
    assert code == 0, err
    body = json.loads(text)
    assert "nsc" not in body
    assert [s["split"] for s in body["splits"]] == ["random", "compounds", "compounds-batches"]
    assert body["training"]["networks_trained_now"] == sum(body["training"]["folds"].values()) > 0
    held_out = [name for name in trained if name.startswith("compounds")]
    assert len(held_out) >= 4
    for name in held_out:
        assert not {c for c, _ in trained[name]} & {c for c, _ in tested[name]}
        if name.startswith("compounds-batches"):
            assert not {b for _, b in trained[name]} & {b for _, b in tested[name]}
    answers = pl.read_parquet(tmp_path / "predictions.parquet")
    assert answers.columns == ["plate", "well", "field", "split", "true", "predicted"]
    again = json.loads(nextplate(*words)[1])
    assert again["training"]["networks_trained_now"] == 0
    assert again["splits"] == body["splits"]
    code, _, err = nextplate(*words, "--predictions", tmp_path / "predictions.parquet")
    assert (code, "leave --profiles and --predictions out" in err) == (2, True)
