"""network train, embed and show, as an operator types them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.nextplate.imaging.networks.tiny_plates import plate_of, wells_of

torch = pytest.importorskip("torch", reason="torch is not installed: pip install nextplate[deep]")
pytest.importorskip("safetensors", reason="safetensors is not installed: pip install nextplate[deep]")

QUICK = ["--binning", "1", "--threads", "1", "--device", "cpu", "--learning-rate", "0.003"]


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    kinds = wells_of(9, 3)
    plate_of(tmp_path / "P1", kinds)
    rows = [f"{well},sample,{'abc'[kind]},{kind + 1},uM" for well, kind in kinds.items()]
    (tmp_path / "layout.csv").write_text("well,role,compound,dose,dose_unit\n" + "\n".join(rows) + "\n")
    return tmp_path


def test_train_show_and_embed(run, lab):
    train = [
        "network",
        "train",
        lab / "P1",
        "--layout",
        lab / "layout.csv",
        "--out",
        lab / "net",
        *QUICK,
        "--hidden",
        "8",
        "--label",
        "compound",
    ]
    code, out, err = run(*train, "--epochs", "6", "--batch", "4", "--json")
    assert code == 0, err
    body = json.loads(out)
    assert body["classes"] == ["a", "b", "c"]
    assert body["fields"] == 18
    assert body["trained_on"] == 14  # two of nine wells judge
    assert body["metrics"]["held_out_fields"] == 4
    assert 0 <= body["waiting_share"] < 1
    assert sorted(p.name for p in lab.iterdir()) == ["P1", "layout.csv", "net"]
    assert "never overwritten" in run(*train)[2]
    assert "abc"[0] in run("network", "show", lab / "net")[1]
    assert json.loads(run("network", "show", lab / "net", "--json")[1])["architecture"]["hidden"] == 8
    code, out, _ = run("network", "embed", lab / "P1", "--network", lab / "net", "--out", lab / "P1.parquet", "--json")
    assert code == 0
    wells = pl.read_parquet(lab / "P1.parquet")
    assert wells.columns == ["plate", "well", "n_fields", *(f"Embedding_{i:03d}" for i in range(8))]
    assert wells["n_fields"].to_list() == [2] * 9
    fields = pl.read_parquet(lab / "P1.fields.parquet")
    assert fields.height == 18
    mean = fields.filter(pl.col("well") == "A01")["Embedding_003"].mean()
    assert wells["Embedding_003"][0] == pytest.approx(mean, rel=1e-5)


def test_train_under_torchrun_speaks_once_and_writes_one_network(lab):
    command = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "--no-python", sys.executable, "-c"]
    main_text = "from controller.cli import main; main()"
    done = subprocess.run(
        [sys.executable, *command, main_text, "network", "train", lab / "P1", "--layout", lab / "layout.csv",
         "--out", lab / "net", *QUICK, "--epochs", "2", "--batch", "2", "--json"],
        capture_output=True, text=True, timeout=200, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    bodies = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(bodies) == 1
    assert json.loads((lab / "net" / "card.json").read_text())["training"]["n_workers"] == 2
    assert sorted(p.name for p in lab.iterdir()) == ["P1", "layout.csv", "net"]


WRONG = [
    (["--label", "colour"], "no column 'colour'"),
    (["--channels", "DNA"], "has no channel 'DNA'; it has w1, w2"),
    (["--label", "compound", "--response"], "compound is 'a', not a number"),
    (["--max-gib", "0.000001"], "bin more pixels or allow more"),
    (["--held-out", "1.5"], "the share held out is 1.5"),
    (["--optimiser", "magic"], "can be sgd or adamw"),
    (["--crop", "70"], "crop_px is 70, fields are 64 x 64"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_what_cannot_be_trained_is_one_line(run, lab, options, message):
    code, _, err = run(
        "network", "train", lab / "P1", "--layout", lab / "layout.csv", "--out", lab / "net", *QUICK, *options
    )
    assert code in (1, 2)
    assert message in err
    assert err.count("\n") == 1
    assert not (lab / "net").exists()


def test_embedding_a_plate_with_bad_wells_keeps_the_others(run, lab):
    run("network", "train", lab / "P1", "--layout", lab / "layout.csv", "--out", lab / "net", *QUICK, "--epochs", "1")
    (lab / "P1" / "P1_A02_s1_w1.tif").write_bytes(b"")
    for name in ("P1_A03_s1_w2.tif", "P1_A03_s2_w2.tif"):
        (lab / "P1" / name).write_bytes(b"II*\x00")
    code, out, _ = run("network", "embed", lab / "P1", "--network", lab / "net", "--out", lab / "x.parquet", "--json")
    assert code == 0
    wells = pl.read_parquet(lab / "x.parquet")
    assert wells["n_fields"].to_list()[:4] == [2, 1, 0, 2]
    assert wells["Embedding_000"].null_count() == 1
    reasons = [(m["well"], m["reason"].split(":")[0]) for m in json.loads(out)["skipped"]]
    assert sorted(reasons) == [("A02", "unreadable"), ("A03", "unreadable"), ("A03", "unreadable")]
    assert "give the folder of a trained network" in run("network", "show", lab / "P1")[2]
    assert ".parquet" in run("network", "embed", lab / "P1", "--network", lab / "net", "--out", lab / "x.csv")[2]


def test_help_does_not_load_torch():
    code = "import sys; from controller.cli import make_app; make_app(); sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert done.returncode == 0
    code = "import sys, nextplate.imaging; sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert done.returncode == 0
