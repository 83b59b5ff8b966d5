"""nextplate network: train, embed, show, as an operator types them, alone and under torchrun."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")

from tiny_plates import PATTERN, WELLS, write_layout, write_plate
from typer.testing import CliRunner

from controller.cli import make_app
from nextplate.errors import DataError, LabBusy

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}
MAIN = "import sys; from controller.cli import main; main()"


@pytest.fixture
def plate(tmp_path):
    return write_plate(tmp_path / "P1")


@pytest.fixture
def train_line(plate, tmp_path):
    layout = write_layout(tmp_path / "layout.csv")
    return ["network", "train", str(plate), "--layout", str(layout), "--out", str(tmp_path / "m"), "--pattern", PATTERN,
            "--downscale", "1", "--epochs", "3", "--batch", "3", "--threads", "1", "--precision", "float32",
            "--json"]  # fmt: skip


def run(line):
    """Run a command; raise what it raises, else return its JSON."""
    result = CliRunner().invoke(make_app(), line, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_train_embed_and_show(train_line, plate, tmp_path):
    body = run(train_line)
    assert (body["names"], body["fields"], body["epoch"], body["processes"]) == (["C1 1", "negative"], 12, 3, 1)
    # Nothing is left of the training but the network.
    assert sorted(p.name for p in tmp_path.iterdir()) == ["P1", "layout.csv", "m"]
    shown = run(["network", "show", str(tmp_path / "m"), "--json"])
    assert (shown["channels"], shown["names"], shown["task"]) == (["DNA", "GFP"], body["names"], "classes")
    assert shown["parameters"] > 1_000_000
    out = tmp_path / "e.parquet"
    line = ["network", "embed", str(plate), "--model", str(tmp_path / "m"), "--out", str(out), "--pattern", PATTERN]
    body = run([*line, "--threads", "1", "--json"])
    assert (body["wells"], body["fields"], body["fields_unusable"]) == (6, 12, [])
    wells = pl.read_parquet(out)
    assert wells["well"].to_list() == list(WELLS)
    assert wells.columns[:4] == ["plate", "well", "n_fields", "Embedding_000"]
    assert len(pl.read_parquet(tmp_path / "e-fields.parquet")) == 12
    assert sorted(p.name for p in tmp_path.iterdir()) == ["P1", "e-fields.parquet", "e.parquet", "layout.csv", "m"]


def test_responses_come_from_any_column_and_empty_cells_teach_nothing(train_line):
    body = run([*train_line, "--response", "--label", "strength"])
    assert (body["names"], body["fields"], body["fields_without_label"]) == (["strength"], 10, 2)
    assert "rmse" in body


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--label", "colour"], r"no column 'colour'; there are role, compound, dose, treatment, strength"),
        (["--response", "--label", "role"], "role is 'negative'; a response is a number"),
        (["--scaling", "well"], "there are plate, image"),
        (["--channels", "RNA"], "no channel 'RNA'"),
        (["--optimiser", "adam"], "there are adamw, sgd"),
        (["--label", "compound"], "label more wells"),
    ],
)
def test_what_cannot_be_learnt_is_one_clear_error(train_line, more, message, tmp_path):
    with pytest.raises(DataError, match=message):
        run([*train_line, *more])
    assert not (tmp_path / "m").exists()


def test_a_network_is_never_overwritten_and_two_trainings_do_not_meet(train_line, tmp_path):
    from controller.lock import lab_lock

    (tmp_path / ".m.training").mkdir()
    with lab_lock(tmp_path / ".m.training", "nextplate network train"), pytest.raises(LabBusy):
        run(train_line)
    (tmp_path / "m").mkdir()
    with pytest.raises(DataError, match="never overwritten"):
        run(train_line)


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_with_the_same_network(train_line, tmp_path):
    process = subprocess.Popen([sys.executable, "-c", MAIN, *train_line, "--epochs", "12"], env=ENVIRONMENT)
    note, deadline = tmp_path / ".m.training" / "checkpoint" / "checkpoint.json", time.monotonic() + 60
    while not note.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "m").exists()
    n_before = json.loads(note.read_text())["n_epochs"]
    assert 1 <= n_before < 12
    resumed = run([*train_line, "--epochs", "12"])
    (tmp_path / "m").rename(tmp_path / "resumed")
    whole = run([*train_line, "--epochs", "12"])
    assert resumed["loss"] == pytest.approx(whole["loss"], rel=1e-6)
    first, second = (tmp_path / name / "weights.safetensors" for name in ("resumed", "m"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.slow
def test_two_processes_of_torchrun_train_one_network(train_line, tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    line = [*launcher, sys.executable, "-c", MAIN, *train_line]
    result = subprocess.run(line, env=ENVIRONMENT, capture_output=True, text=True, timeout=180, check=False)
    assert result.returncode == 0, result.stderr
    lines = [text for text in result.stdout.splitlines() if text.startswith("{")]
    # Only the first process speaks and writes.
    assert len(lines) == 1
    body = json.loads(lines[0])
    assert (body["processes"], body["fields"], body["epoch"]) == (2, 12, 3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["P1", "layout.csv", "m"]
    assert run(["network", "show", str(tmp_path / "m"), "--json"])["metrics"]["training_loss"] == body["loss"]
